//! The watch on a real device: the glass, touch and camera of a Linux machine, or a window on its desktop.
//!
//! Each back end stands behind a small trait ([`Glass`], [`TouchSource`], [`FrameSource`], [`Feel`]) and holds nothing but
//! the talk with its device; what can be computed (pixels, touches, brightness) is a pure function beside it. What waits for
//! a device does so in its own thread, so that the watch sleeps while nothing happens.

#[cfg(feature = "device")]
mod evdev;
#[cfg(feature = "device")]
mod fb;
mod files;
#[cfg(feature = "device")]
mod kms;
mod pixels;
#[cfg(feature = "device")]
mod v4l;
#[cfg(feature = "device")]
mod vibrator;
#[cfg(feature = "window")]
mod window;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use nodpay_watch::reader::Frame;

use crate::feel::Feel;
use crate::runtime::RuntimeOptions;
use crate::screens::{Screens, Shape, Touch};
use crate::sight::Sight;
use crate::watch::{Event, Watch, WatchError};
use crate::words::Language;
use pixels::{Drawing, Fit};

/// How long a camera that failed is left alone.
const CAMERA_REST: Duration = Duration::from_secs(1);

/// What shows the picture.
pub(crate) trait Glass {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);
    /// Brings the changed part of the picture to the glass.
    fn present(&mut self, drawing: &Drawing<'_>) -> io::Result<()>;
}

/// What the wearer does; positions are pixels of the glass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Signal {
    Touch(Touch),
    SideButton,
    /// The watch is on a wrist, or not.
    Worn(bool),
    /// The window was closed.
    #[cfg(feature = "window")]
    Closed,
}

/// What fingers, or a mouse, come from.
pub(crate) trait TouchSource: Send {
    /// Sleeps until there are some; none is fine.
    fn wait(&mut self) -> io::Result<Vec<Signal>>;
}

/// A camera that is on; dropping it switches it off.
pub(crate) trait FrameSource {
    /// Sleeps until there is one.
    fn next_frame(&mut self) -> io::Result<Frame>;
}

/// A watch on this machine's own devices.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    /// What it runs on.
    pub runtime: RuntimeOptions,
    /// Of the glass; without it square, unless the glass is as wide as it is high. A window is round.
    pub shape: Option<Shape>,
    pub language: Language,
    /// `kms[:/dev/dri/card0]`, `fb[:/dev/fb0]` or `window`.
    pub display: String,
    /// `v4l[:/dev/video0]`, `y4m:FILE` or `folder:FOLDER`; without it the viewfinder stays dark.
    pub camera: Option<String>,
    /// `evdev:/dev/input/eventN`; without any, every touch screen, side button and wearing sensor that is found.
    pub touch: Vec<String>,
    /// A vibrator of the kernel's LED class; without it the usual one, if there is one.
    pub vibrator: Option<PathBuf>,
}

/// Runs until its window is closed; on a device, for ever.
pub fn run_device(options: &DeviceOptions) -> Result<(), WatchError> {
    let (mut glass, touches) = open(options)?;
    let size = glass.size();
    let shape = options.shape.unwrap_or(if size.0 == size.1 { Shape::Round } else { Shape::Square });
    let fit = Fit::new(size, shape.size());
    let screens = Screens::scaled(shape, options.language, fit.scale);
    let camera = options.camera.as_deref().map(Camera::parse).transpose()?;
    let mut feel = vibrator(options)?;
    let (mut watch, queue, sight) = Watch::start(&options.runtime, screens)?;
    for source in touches {
        let queue = queue.clone();
        std::thread::Builder::new().name("touch".to_owned()).spawn(move || pass_on(source, fit, &queue))?;
    }
    if let Some(camera) = camera {
        std::thread::Builder::new().name("camera".to_owned()).spawn(move || look(&camera, &sight))?;
    }
    drop(queue);
    loop {
        let (_, cue) = watch.refresh();
        if watch.screens.draw().is_some() {
            glass.present(&fit.place(watch.screens.picture(), watch.screens.changed()))?;
        }
        if let (Some(cue), Some(felt)) = (cue, &mut feel)
            && let Err(error) = felt.feel(cue)
        {
            eprintln!("nodpay-watch: {error}");
            feel = None;
        }
        if !watch.wait()? {
            return Ok(());
        }
    }
}

type Opened = (Box<dyn Glass>, Vec<Box<dyn TouchSource>>);

fn open(options: &DeviceOptions) -> io::Result<Opened> {
    let (kind, path) = split(&options.display);
    match kind {
        #[cfg(feature = "device")]
        "kms" => {
            let glass = kms::Kms::open(path.unwrap_or(Path::new("/dev/dri/card0")))?;
            let touches = evdev_sources(&options.touch, glass.size())?;
            Ok((Box::new(glass), touches))
        }
        #[cfg(feature = "device")]
        "fb" => {
            let glass = fb::FrameBuffer::open(path.unwrap_or(Path::new("/dev/fb0")))?;
            let touches = evdev_sources(&options.touch, glass.size())?;
            Ok((Box::new(glass), touches))
        }
        #[cfg(feature = "window")]
        "window" if path.is_none() => {
            let (glass, mouse) = window::open(options.shape.unwrap_or(Shape::Round).size())?;
            Ok((Box::new(glass), vec![Box::new(mouse)]))
        }
        _ => {
            let had = [("device", cfg!(feature = "device")), ("window", cfg!(feature = "window"))];
            let had: Vec<&str> = had.into_iter().filter_map(|(name, had)| had.then_some(name)).collect();
            let why = format!(
                "there is no display {}: kms[:PATH] and fb[:PATH] are in builds with the feature device, window in those \
                 with the feature window; this build has {}",
                options.display,
                had.join(" and ")
            );
            Err(io::Error::new(io::ErrorKind::InvalidInput, why))
        }
    }
}

#[cfg(feature = "device")]
fn evdev_sources(touch: &[String], glass: (u32, u32)) -> io::Result<Vec<Box<dyn TouchSource>>> {
    let mut paths = Vec::new();
    for spec in touch {
        let ("evdev", Some(path)) = split(spec) else {
            let why = format!("there is no touch {spec}: it is evdev:/dev/input/eventN");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        };
        paths.push(path.to_owned());
    }
    let sources = if paths.is_empty() { evdev::find(glass)? } else { evdev::open(&paths, glass)? };
    Ok(sources.into_iter().map(|source| -> Box<dyn TouchSource> { Box::new(source) }).collect())
}

#[cfg(feature = "device")]
fn vibrator(options: &DeviceOptions) -> io::Result<Option<Box<dyn Feel>>> {
    let found = || Some(PathBuf::from("/sys/class/leds/vibrator")).filter(|usual| usual.exists());
    let folder = options.vibrator.clone().or_else(found);
    let start = |folder| -> io::Result<Box<dyn Feel>> { Ok(Box::new(vibrator::Vibrator::start(folder)?)) };
    folder.map(start).transpose()
}

#[cfg(not(feature = "device"))]
fn vibrator(options: &DeviceOptions) -> io::Result<Option<Box<dyn Feel>>> {
    match options.vibrator {
        None => Ok(None),
        Some(_) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "this build has no vibrator: it needs the feature device"))
        }
    }
}

/// `kind:path`, or `kind` alone.
fn split(spec: &str) -> (&str, Option<&Path>) {
    spec.split_once(':').map_or((spec, None), |(kind, path)| (kind, Some(Path::new(path))))
}

fn pass_on(mut source: Box<dyn TouchSource>, fit: Fit, queue: &SyncSender<Event>) {
    loop {
        let events: Vec<Event> = match source.wait() {
            Ok(signals) => signals.into_iter().map(|signal| event(signal, fit)).collect(),
            Err(error) => vec![Event::End(Some(error))],
        };
        for event in events {
            let is_end = matches!(event, Event::End(_));
            if queue.send(event).is_err() || is_end {
                return;
            }
        }
    }
}

fn event(signal: Signal, fit: Fit) -> Event {
    match signal {
        Signal::Touch(touch) => Event::Touch(fit.touch(touch)),
        Signal::SideButton => Event::SideButton,
        Signal::Worn(worn) => Event::Worn(worn),
        #[cfg(feature = "window")]
        Signal::Closed => Event::End(None),
    }
}

/// Where frames come from.
enum Camera {
    #[cfg(feature = "device")]
    V4l(PathBuf),
    Y4m(PathBuf),
    Folder(PathBuf),
}

impl Camera {
    fn parse(spec: &str) -> io::Result<Self> {
        match split(spec) {
            #[cfg(feature = "device")]
            ("v4l", path) => Ok(Self::V4l(path.unwrap_or(Path::new("/dev/video0")).to_owned())),
            ("y4m", Some(path)) => Ok(Self::Y4m(path.to_owned())),
            ("folder", Some(path)) => Ok(Self::Folder(path.to_owned())),
            _ => {
                let why = format!(
                    "there is no camera {spec}: y4m:FILE, folder:FOLDER, and in builds with the feature device v4l[:PATH]"
                );
                Err(io::Error::new(io::ErrorKind::InvalidInput, why))
            }
        }
    }

    /// Switches it on.
    fn open(&self) -> io::Result<Box<dyn FrameSource>> {
        Ok(match self {
            #[cfg(feature = "device")]
            Self::V4l(path) => Box::new(v4l::V4l::open(path)?),
            Self::Y4m(path) => Box::new(files::Paced::y4m(path)?),
            Self::Folder(path) => Box::new(files::Paced::folder(path)?),
        })
    }
}

/// Has the camera on while frames are wanted. One that fails is tried again: the watch is of use without it.
fn look(camera: &Camera, sight: &Arc<Sight>) {
    loop {
        sight.wait_until_wanted();
        if let Err(error) = camera.open().and_then(|mut source| follow(&mut *source, sight)) {
            eprintln!("nodpay-watch: camera: {error}");
            std::thread::sleep(CAMERA_REST);
        }
    }
}

fn follow(source: &mut dyn FrameSource, sight: &Sight) -> io::Result<()> {
    while sight.is_wanted() {
        if !sight.see(&source.next_frame()?) {
            return Err(io::Error::other("the watch has ended"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nodpay_watch::view::{Screen, UserAction, View};

    use super::*;
    use crate::gallery::{Entry, gallery};
    use crate::screens::{Area, Element, Role};

    /// What a glass of this size holds after each drawing, if only what changed is brought to it.
    fn after_each(glass: (u32, u32), shape: Shape, mut look: impl FnMut(&str, &[Vec<u8>], &Drawing<'_>)) {
        let fit = Fit::new(glass, shape.size());
        let mut screens = Screens::scaled(shape, Language::Chinese, fit.scale);
        let row_len = usize::try_from(glass.0).unwrap() * 3;
        let mut held = vec![vec![0; row_len]; usize::try_from(glass.1).unwrap()];
        for Entry { name, view, .. } in gallery() {
            screens.show(&view);
            if screens.draw().is_some() {
                let drawing = fit.place(screens.picture(), screens.changed());
                let (top, left) =
                    (usize::try_from(drawing.area().y).unwrap(), usize::try_from(drawing.area().x).unwrap());
                for (row, rgb) in held[top..].iter_mut().zip(drawing.rows()) {
                    row[left * 3..left * 3 + rgb.len()].copy_from_slice(rgb);
                }
            }
            let (width, height) = (screens.picture().width, screens.picture().height);
            look(name, &held, &fit.place(screens.picture(), Area { x: 0, y: 0, width, height }));
        }
    }

    #[test]
    fn what_changed_is_all_that_a_glass_needs() {
        for (glass, shape) in [
            ((360, 360), Shape::Round),
            ((454, 454), Shape::Round),
            ((480, 480), Shape::Square),
            ((240, 300), Shape::Square),
        ] {
            after_each(glass, shape, |name, held, whole| {
                let area = whole.area();
                assert!(area.width == glass.0 || area.height == glass.1, "{glass:?}: as large as it fits");
                let (left, top) = (usize::try_from(area.x).unwrap(), usize::try_from(area.y).unwrap());
                assert_eq!(whole.rows().count(), usize::try_from(area.height).unwrap());
                for (y, (held, row)) in held[top..].iter().zip(whole.rows()).enumerate() {
                    assert!(held[left * 3..left * 3 + row.len()] == *row, "{name} on {glass:?}: row {y}");
                }
            });
        }
    }

    #[test]
    fn a_finger_meets_the_button_on_a_glass_of_any_size() {
        for (glass, shape) in [((454, 454), Shape::Round), ((1280, 720), Shape::Round), ((240, 300), Shape::Square)] {
            let fit = Fit::new(glass, shape.size());
            let mut screens = Screens::scaled(shape, Language::English, fit.scale);
            screens.show(&View { screen: Screen::Welcome { notice: None }, online: false });
            screens.draw();
            let is_scan = |element: &Element| element.role == Role::Button && element.label == "Scan";
            let button = screens.elements().into_iter().find(is_scan).unwrap();
            let (x, y) = (button.x + button.width / 2.0, button.y + button.height / 2.0);
            // Where that is on the glass.
            let Touch::Pressed { x: left, y: top } = fit.touch(Touch::Pressed { x: 0.0, y: 0.0 }) else { panic!() };
            let (x, y) = ((x - left) * fit.scale, (y - top) * fit.scale);
            for signal in [Touch::Pressed { x, y }, Touch::Released { x, y }].map(Signal::Touch) {
                let Event::Touch(touch) = event(signal, fit) else { panic!("a touch") };
                screens.touch(touch);
            }
            assert_eq!(screens.take_actions(), [UserAction::Start], "{glass:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        let error = |spec: &str| Camera::parse(spec).and_then(|camera| camera.open().map(drop)).expect_err("refused");
        assert!(error("webcam").to_string().contains("no camera webcam"));
        assert!(error("y4m").to_string().contains("no camera y4m"));
        assert_eq!(error("y4m:/no/such.y4m").kind(), io::ErrorKind::NotFound);
        assert_eq!(error("folder:/no/such").kind(), io::ErrorKind::NotFound);
        assert_eq!(split("kms:/dev/dri/card1"), ("kms", Some(Path::new("/dev/dri/card1"))));
        assert_eq!(split("kms"), ("kms", None));
    }
}
