//! The watch as a process of its own, played through its pipe as the simulator page plays it: touches by label, camera
//! frames in, pictures and what they show out.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nodpay_watch::reader::Frame;
use serde_json::Value;

use super::Result;

/// A step of the watch that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// A simulated camera's rate.
const FRAME_EVERY: Duration = Duration::from_millis(120);
const MAX_MESSAGE: u32 = 4 * 1024 * 1024;

/// How to start the watch.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// Program and its first arguments, up to and including what selects the watch.
    pub command: Vec<String>,
    pub data: PathBuf,
    pub demo_keys: bool,
    /// Shortens an order's life, in milliseconds.
    pub order_life_ms: Option<u64>,
}

impl WatchOptions {
    /// `program watch run --simulator`, in English, with the demo's keys.
    #[must_use]
    pub fn of_program(program: &Path, data: &Path) -> Self {
        let program = program.to_string_lossy().into_owned();
        let arguments = ["watch", "run", "--simulator", "--language", "en"].map(str::to_owned);
        let command = std::iter::once(program).chain(arguments).collect();
        Self { command, data: data.to_owned(), demo_keys: true, order_life_ms: None }
    }
}

/// A running watch. Killed when dropped.
#[derive(Debug)]
pub struct WatchProcess {
    child: Child,
    stdin: ChildStdin,
    shown: Arc<(Mutex<Shown>, Condvar)>,
}

#[derive(Debug, Default)]
struct Shown {
    elements: Value,
    picture: Vec<u8>,
    ended: bool,
}

impl WatchProcess {
    pub fn start(options: &WatchOptions) -> Result<Self> {
        let (program, arguments) = options.command.split_first().ok_or("no watch program")?;
        let mut command = Command::new(program);
        command.args(arguments).arg("--data").arg(&options.data);
        if options.demo_keys {
            command.arg("--demo-keys");
        }
        if let Some(life) = options.order_life_ms {
            command.arg("--order-life-ms").arg(life.to_string());
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take().ok_or("no pipe to the watch")?;
        let stdout = child.stdout.take().ok_or("no pipe from the watch")?;
        let shown = Arc::new((Mutex::new(Shown { elements: Value::Null, ..Shown::default() }), Condvar::new()));
        let reader = Arc::clone(&shown);
        std::thread::spawn(move || read_pipe(stdout, &reader));
        Ok(Self { child, stdin, shown })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no last word, as when the battery is pulled.
    pub fn terminate(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until the watch shows a screen of this name, and returns its elements.
    pub fn wait_screen(&self, screen: &str) -> Result<Value> {
        self.wait(&format!("the screen {screen}"), |elements| elements["screen"] == screen)
    }

    /// Waits until what is shown satisfies `ready`; `what` names it in the error.
    pub fn wait(&self, what: &str, ready: impl Fn(&Value) -> bool) -> Result<Value> {
        let (shown, changed) = &*self.shown;
        let deadline = Instant::now() + PATIENCE;
        let mut state = shown.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if ready(&state.elements) {
                return Ok(state.elements.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.ended {
                let why = if state.ended { "the watch program ended" } else { "time is over" };
                return Err(format!("waiting for {what}: {why}; it shows {}", state.elements).into());
            }
            state = changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What is shown now.
    #[must_use]
    pub fn elements(&self) -> Value {
        self.shown.0.lock().unwrap_or_else(PoisonError::into_inner).elements.clone()
    }

    /// The last picture: width and height (16 bits each, big-endian) and RGB.
    #[must_use]
    pub fn picture(&self) -> Vec<u8> {
        self.shown.0.lock().unwrap_or_else(PoisonError::into_inner).picture.clone()
    }

    /// Taps the element with this accessible label.
    pub fn tap(&mut self, label: &str) -> Result<()> {
        self.send(b'A', label.as_bytes())
    }

    /// Types a PIN on whatever keypad is shown and confirms it.
    pub fn type_pin(&mut self, pin: &str, confirm: &str) -> Result<()> {
        for digit in pin.chars() {
            self.tap(&digit.to_string())?;
        }
        self.tap(confirm)
    }

    /// Holds `frame` before the camera until the watch has read it and put the camera away.
    pub fn show_frame(&mut self, frame: &Frame) -> Result<()> {
        self.hold_frame(frame, |shown| shown["camera"] != true)
    }

    /// Holds `frame` before the camera until what is shown satisfies `ready`.
    pub fn hold_frame(&mut self, frame: &Frame, ready: impl Fn(&Value) -> bool) -> Result<()> {
        self.wait("the camera", |shown| shown["camera"] == true)?;
        let side = |side: usize| u16::try_from(side).map_err(|_| "the frame is too large");
        let mut message = Vec::with_capacity(frame.luma().len() + 4);
        message.extend_from_slice(&side(frame.width())?.to_be_bytes());
        message.extend_from_slice(&side(frame.height())?.to_be_bytes());
        message.extend_from_slice(frame.luma());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.send(b'F', &message)?;
            let (shown, changed) = &*self.shown;
            let state = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let (state, _) = changed
                .wait_timeout_while(state, FRAME_EVERY, |state| !ready(&state.elements))
                .unwrap_or_else(PoisonError::into_inner);
            if ready(&state.elements) {
                return Ok(());
            }
        }
        Err(format!("the watch did not read the code; it shows {}", self.elements()).into())
    }

    pub fn send(&mut self, kind: u8, payload: &[u8]) -> Result<()> {
        let length = u32::try_from(payload.len())?;
        self.stdin.write_all(&[kind])?;
        self.stdin.write_all(&length.to_be_bytes())?;
        self.stdin.write_all(payload)?;
        Ok(self.stdin.flush()?)
    }
}

impl Drop for WatchProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_pipe(mut pipe: ChildStdout, shown: &(Mutex<Shown>, Condvar)) {
    loop {
        let message = read_message(&mut pipe);
        let mut state = shown.0.lock().unwrap_or_else(PoisonError::into_inner);
        match message {
            Some((b'E', payload)) => state.elements = serde_json::from_slice(&payload).unwrap_or(Value::Null),
            Some((b'P', payload)) => state.picture = payload,
            Some(_) => {}
            None => state.ended = true,
        }
        let ended = state.ended;
        drop(state);
        shown.1.notify_all();
        if ended {
            return;
        }
    }
}

fn read_message(pipe: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    pipe.read_exact(&mut head).ok()?;
    let [kind, length @ ..] = head;
    let length = u32::from_be_bytes(length);
    if length > MAX_MESSAGE {
        return None;
    }
    let mut payload = vec![0; usize::try_from(length).ok()?];
    pipe.read_exact(&mut payload).ok()?;
    Some((kind, payload))
}
