//! The command line, the same for `nodpay watch …` and `nodpay-watch …`.

use std::path::PathBuf;
use std::process::ExitCode;

use nodpay_watch::AgentConfig;

use crate::memory;
use crate::runtime::RuntimeOptions;
use crate::screens::Shape;
use crate::sim::{SimulatorOptions, run_simulator};
use crate::words::Language;

const HELP: &str = "\
The Nodpay watch.

  run                  run the watch
    --simulator          glass, touches and camera on a pipe (stdin, stdout)
    --display kms[:/dev/dri/card0] | fb[:/dev/fb0] | window
                         or on this machine: kms and fb in builds with the feature device, window with the feature window
    --camera v4l[:/dev/video0] | y4m:FILE | folder:FOLDER
                         with --display: where frames come from (default: nowhere)
    --touch evdev:/dev/input/eventN
                         with kms and fb: touch screen or side button, may be repeated (default: all that are found)
    --vibrator FOLDER    with --display: a vibrator of the LED class (default: /sys/class/leds/vibrator, if it is there)
    --data FOLDER        journal and key (default: nodpay-watch-data)
    --keys LINE          where the device key is (default: file: in the folder):
                           file:[FOLDER][?secret=PATH]
                           pkcs11:token=LABEL?module-path=PATH&pin-source=PATH
                           tpm:device:/dev/tpmrm0[?lockout=PATH]
    --language zh|en     language of the screens until the wearer chooses one (default: zh)
    --shape round|square shape of the glass (default: round)
    --root-certificate FILE  trust this certificate authority (PEM) only
    --order-life-ms MS   how long a guardian may take (default: 600000, at most 3600000)
    --demo-keys          also take decisions of the demo's software keys; never on a real watch
  scan IMAGE…          read the codes in pictures (PNG, JPEG): one JSON object a line
    --max-side N         scale a picture down first (default: 640)
    --expected CSV       read every picture of a list (columns file, expected_text) and sum up
    --video FILE.y4m     read frame after frame (YUV4MPEG2) until a code reads; one JSON object
  screens --out FOLDER write every screen as a picture
";

/// Runs the program with these arguments, without the program's name.
#[must_use]
pub fn main_with_args(args: Vec<String>) -> ExitCode {
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprint!("nodpay-watch: {error}");
            let causes = std::iter::successors(error.source(), |cause| cause.source());
            causes.for_each(|cause| eprint!(": {cause}"));
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

type AnyError = Box<dyn std::error::Error>;

fn run(args: Vec<String>) -> Result<bool, AnyError> {
    let mut args = pico_args::Arguments::from_vec(args.into_iter().map(Into::into).collect());
    if args.contains(["-h", "--help"]) {
        print!("{HELP}");
        return Ok(true);
    }
    match args.subcommand()?.as_deref() {
        Some("run") => run_watch(args).map(|()| true),
        Some("scan") => scan(args),
        Some("screens") => screens(args).map(|()| true),
        Some(other) => Err(format!("there is no command {other}; --help lists them").into()),
        None => Err(HELP.into()),
    }
}

fn run_watch(mut args: pico_args::Arguments) -> Result<(), AnyError> {
    let simulator = args.contains("--simulator");
    let mut agent = AgentConfig::default();
    if let Some(life) = args.opt_value_from_str("--order-life-ms")? {
        agent.order_life_ms = life;
    }
    agent.demo_keys = args.contains("--demo-keys");
    let language = |text: &str| Language::from_tag(text).ok_or("the language is zh or en");
    let shape =
        |text: &str| Shape::ALL.into_iter().find(|shape| shape.tag() == text).ok_or("the shape is round or square");
    let path = |text: &std::ffi::OsStr| Ok::<_, std::convert::Infallible>(PathBuf::from(text));
    // Parsed here: the argument parser's own errors repeat the whole line, and somebody may have put a PIN into it.
    let keys =
        args.opt_value_from_str::<_, String>("--keys")?.map(|line| line.parse()).transpose()?.unwrap_or_default();
    let runtime = RuntimeOptions {
        data: args.opt_value_from_os_str("--data", path)?.unwrap_or_else(|| "nodpay-watch-data".into()),
        keys,
        agent,
        root_certificate: args.opt_value_from_os_str("--root-certificate", path)?,
    };
    let shape = args.opt_value_from_fn("--shape", shape)?;
    let language = args.opt_value_from_fn("--language", language)?.unwrap_or(Language::Chinese);
    memory::keep_small();
    if simulator {
        nothing_left(args)?;
        return Ok(run_simulator(&SimulatorOptions { runtime, shape: shape.unwrap_or(Shape::Round), language })?);
    }
    on_device(args, runtime, shape, language)
}

#[cfg(any(feature = "device", feature = "window"))]
fn on_device(
    mut args: pico_args::Arguments,
    runtime: RuntimeOptions,
    shape: Option<Shape>,
    language: Language,
) -> Result<(), AnyError> {
    let display = args.opt_value_from_str("--display")?;
    let options = crate::device::DeviceOptions {
        runtime,
        shape,
        language,
        display: display.ok_or("where to draw: --display kms, fb or window, or --simulator")?,
        camera: args.opt_value_from_str("--camera")?,
        touch: args.values_from_str("--touch")?,
        vibrator: args.opt_value_from_str("--vibrator")?,
    };
    nothing_left(args)?;
    Ok(crate::device::run_device(&options)?)
}

#[cfg(not(any(feature = "device", feature = "window")))]
fn on_device(_: pico_args::Arguments, _: RuntimeOptions, _: Option<Shape>, _: Language) -> Result<(), AnyError> {
    Err("this build has no display: run it with --simulator, or build it with the feature device or window".into())
}

fn scan(mut args: pico_args::Arguments) -> Result<bool, AnyError> {
    let path = |text: &std::ffi::OsStr| Ok::<_, std::convert::Infallible>(PathBuf::from(text));
    let max_side: usize = args.opt_value_from_str("--max-side")?.unwrap_or(640);
    let expected = args.opt_value_from_os_str("--expected", path)?;
    let video = args.opt_value_from_os_str("--video", path)?;
    let images: Vec<PathBuf> = args.finish().into_iter().map(PathBuf::from).collect();
    let (mut out, mut errors) = (std::io::stdout().lock(), std::io::stderr().lock());
    Ok(match (video, expected) {
        (Some(file), _) => nodpay_watch::scan::run_video(&file, max_side, &mut out, &mut errors)?,
        (None, Some(list)) => nodpay_watch::scan::run_expected(&list, max_side, &mut out, &mut errors)?,
        (None, None) => nodpay_watch::scan::run(&images, max_side, &mut out, &mut errors)?,
    })
}

fn screens(mut args: pico_args::Arguments) -> Result<(), AnyError> {
    let path = |text: &std::ffi::OsStr| Ok::<_, std::convert::Infallible>(PathBuf::from(text));
    let out: PathBuf = args.value_from_os_str("--out", path)?;
    nothing_left(args)?;
    Ok(crate::gallery::write_screens(&out)?)
}

fn nothing_left(args: pico_args::Arguments) -> Result<(), String> {
    match args.finish().first() {
        None => Ok(()),
        Some(left) => Err(format!("{} is not understood; --help lists everything", left.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(args: &[&str]) -> String {
        run(args.iter().map(ToString::to_string).collect()).expect_err("refused").to_string()
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert!(error(&["fly"]).contains("no command fly"));
        assert!(error(&[]).contains("--simulator"));
        assert!(error(&["run"]).contains("--simulator"));
        assert!(error(&["run", "--simulator", "--language", "fr"]).contains("zh or en"));
        assert!(error(&["run", "--simulator", "--wings"]).contains("--wings"));
        assert!(error(&["run", "--simulator", "--keys", "cloud:"]).contains("file:…, pkcs11:… or tpm:…"));
        let pin = error(&["run", "--simulator", "--keys", "pkcs11:?module-path=m.so&pin-value=2718"]);
        assert!(pin.contains("pin-source") && !pin.contains("2718"), "{pin}");
        assert!(error(&["screens"]).contains("--out"));
    }
}
