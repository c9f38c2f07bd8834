//! The watch as a simulator: the same program as on a device, with its glass, its touches and its camera on a pipe.
//!
//! Each message is one byte of type, the payload's length (32 bits, big-endian) and the payload.
//!
//! | in | payload |
//! | --- | --- |
//! | `T` | touch: JSON `{"kind":"down"\|"move"\|"up","x","y"}`, pixels of the glass |
//! | `A` | tap the button with this accessible label |
//! | `F` | camera frame: width, height (16 bits each, big-endian), one byte of brightness a pixel |
//! | `L` | language: `zh` or `en` |
//!
//! | out | payload |
//! | --- | --- |
//! | `P` | picture: width, height (16 bits each), three bytes RGB a pixel |
//! | `E` | what is shown: JSON `{"screen","online","camera","elements":[{"label","role","x","y","width","height","enabled"}…]}` |
//!
//! A picture comes before the elements it shows, and both only when they changed. The end of the input ends the program. Of
//! camera frames that come faster than they are read only the newest is kept.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nodpay_watch::Input;
use nodpay_watch::reader::{Frame, Reader};
use nodpay_watch::view::Screen;
use serde::Deserialize;

use crate::net::Tell;
use crate::runtime::{Runtime, RuntimeError, RuntimeOptions};
use crate::screens::{Picture, Role, Screens, Shape, Touch};
use crate::words::Language;

/// Longest message taken, in bytes: a frame of 2048 × 2048.
const MAX_MESSAGE_LEN: u32 = 4 * 1024 * 1024 + 4;
/// Frames are read at this size at most, as a watch's camera gives them.
const MAX_FRAME_SIDE: usize = 640;
/// Messages that wait; a fuller queue holds up its sender.
const QUEUE_LEN: usize = 64;

/// How to simulate a watch.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// What it runs on.
    pub runtime: RuntimeOptions,
    /// Of the glass.
    pub shape: Shape,
    /// Until the wearer chooses one; the pipe may change it.
    pub language: Language,
}

/// Why the simulator ended before its input did.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The watch itself.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// Nobody reads the pictures.
    #[error("the pipe broke: {0}")]
    Pipe(#[from] io::Error),
}

/// Runs until the input ends.
pub fn run_simulator(options: &SimulatorOptions) -> Result<(), SimulatorError> {
    let (sender, queue) = sync_channel(QUEUE_LEN);
    let network = sender.clone();
    let tell: Tell = Arc::new(move |input| network.send(Event::Network(input)).is_ok());
    let newest = Arc::new(Mutex::new(None));
    let frames = Arc::clone(&newest);
    let read = move || read_pipe(&mut io::stdin().lock(), &frames, &sender);
    std::thread::Builder::new().name("pipe".to_owned()).spawn(read)?;
    let runtime = Runtime::start(&options.runtime, tell)?;
    let mut screens = Screens::new(options.shape, runtime.language()?.unwrap_or(options.language));
    screens.set_zone(jiff::tz::TimeZone::system());
    let mut simulator =
        Simulator { runtime, screens, reader: Reader::new(), newest, out: io::stdout(), elements: String::new() };
    simulator.run(&queue)
}

enum Event {
    Network(Input),
    Touch(Touch),
    Tap(String),
    Language(Language),
    /// There is a frame to be read.
    Frame,
    End,
}

type NewestFrame = Arc<Mutex<Option<Frame>>>;

struct Simulator<W> {
    runtime: Runtime,
    screens: Screens,
    reader: Reader,
    newest: NewestFrame,
    out: W,
    /// As sent last.
    elements: String,
}

impl<W: Write> Simulator<W> {
    fn run(&mut self, queue: &Receiver<Event>) -> Result<(), SimulatorError> {
        loop {
            self.show()?;
            match queue.recv_timeout(self.sleep()) {
                Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(event) => self.take(event)?,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.runtime.tick()?;
        }
    }

    /// Without an end where nothing is due: an idle watch is woken by events alone.
    fn sleep(&self) -> Duration {
        let wait = [self.runtime.wait_ms(), self.screens.wake_in_ms()].into_iter().flatten().min();
        wait.map_or(Duration::MAX, Duration::from_millis)
    }

    fn take(&mut self, event: Event) -> Result<(), SimulatorError> {
        match event {
            Event::Network(input) => self.runtime.handle(input)?,
            Event::Touch(touch) => self.screens.touch(touch),
            Event::Tap(label) => {
                if !self.screens.tap(&label) {
                    eprintln!("nodpay-watch: no button {label:?} to tap");
                }
            }
            Event::Language(language) => self.screens.set_language(language),
            Event::Frame => {
                let frame = self.newest.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(frame) = frame.filter(|_| self.runtime.camera()) {
                    self.look_at(&frame)?;
                }
            }
            Event::End => {}
        }
        for action in self.screens.take_actions() {
            self.runtime.handle(Input::User(action))?;
        }
        if let Some(language) = self.screens.take_language() {
            self.runtime.keep_language(language)?;
        }
        Ok(())
    }

    fn look_at(&mut self, frame: &Frame) -> Result<(), RuntimeError> {
        let (width, height) = (u32::try_from(frame.width()), u32::try_from(frame.height()));
        if let (Ok(width), Ok(height)) = (width, height) {
            self.screens.set_preview(width, height, frame.luma());
        }
        let texts = self.reader.read(frame);
        if texts.is_empty() { Ok(()) } else { self.runtime.handle(Input::CodesRead(texts)) }
    }

    /// Brings the glass up to date and sends what changed.
    fn show(&mut self) -> Result<(), SimulatorError> {
        let view = self.runtime.view();
        self.screens.advance(self.runtime.now_ms());
        self.screens.show(&view);
        if let Some(picture) = self.screens.draw() {
            let message = picture_message(picture);
            send(&mut self.out, b'P', &message)?;
        }
        let elements = self.describe(&view.screen, view.online);
        if elements != self.elements {
            send(&mut self.out, b'E', elements.as_bytes())?;
            self.elements = elements;
        }
        Ok(())
    }

    fn describe(&self, screen: &Screen, online: bool) -> String {
        let elements: Vec<serde_json::Value> = self
            .screens
            .elements()
            .into_iter()
            .map(|element| {
                let role = match element.role {
                    Role::Button => "button",
                    Role::Text => "text",
                    Role::Image => "image",
                };
                serde_json::json!({
                    "label": element.label, "role": role, "x": element.x, "y": element.y,
                    "width": element.width, "height": element.height, "enabled": element.enabled,
                })
            })
            .collect();
        let shown = serde_json::json!({
            "screen": name(screen), "online": online, "camera": self.runtime.camera(), "elements": elements,
        });
        shown.to_string()
    }
}

/// A screen's name on the pipe.
const fn name(screen: &Screen) -> &'static str {
    match screen {
        Screen::Welcome { .. } => "welcome",
        Screen::Scan { .. } => "scan",
        Screen::ChoosePin { .. } => "choose-pin",
        Screen::Pairing { .. } => "pairing",
        Screen::Home { .. } => "home",
        Screen::Fetching => "fetching",
        Screen::Review(_) => "review",
        Screen::Pin { .. } => "pin",
        Screen::Recognise { .. } => "recognise",
        Screen::Amount(_) => "amount",
        Screen::History(_) => "history",
        Screen::Settings(_) => "settings",
        Screen::Sending => "sending",
        Screen::Waiting { .. } => "waiting",
        Screen::Paying { .. } => "paying",
        Screen::Ended(_) => "ended",
    }
}

fn picture_message(picture: &Picture) -> Vec<u8> {
    let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX).to_be_bytes();
    let mut message = Vec::with_capacity(picture.rgb.len() + 4);
    message.extend_from_slice(&side(picture.width));
    message.extend_from_slice(&side(picture.height));
    message.extend_from_slice(&picture.rgb);
    message
}

fn send(out: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    out.write_all(&[kind])?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(payload)?;
    out.flush()
}

/// Reads messages until the pipe ends or breaks its rules; both end the program.
fn read_pipe(pipe: &mut impl Read, newest: &NewestFrame, queue: &SyncSender<Event>) {
    while let Some((kind, payload)) = read_message(pipe) {
        let event = match kind {
            b'T' => touch(&payload).map(Event::Touch),
            b'A' => String::from_utf8(payload).ok().map(Event::Tap),
            b'L' => language(&payload).map(Event::Language),
            b'F' => frame(payload).and_then(|frame| {
                // One wake-up a frame that waits is enough.
                let waiting = newest.lock().unwrap_or_else(PoisonError::into_inner).replace(frame);
                waiting.is_none().then_some(Event::Frame)
            }),
            _ => None,
        };
        if let Some(event) = event
            && queue.send(event).is_err()
        {
            return;
        }
    }
    let _ = queue.send(Event::End);
}

fn read_message(pipe: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    pipe.read_exact(&mut head).ok()?;
    let [kind, length @ ..] = head;
    let length = u32::from_be_bytes(length);
    if length > MAX_MESSAGE_LEN {
        return None;
    }
    let mut payload = vec![0; usize::try_from(length).ok()?];
    pipe.read_exact(&mut payload).ok()?;
    Some((kind, payload))
}

fn touch(payload: &[u8]) -> Option<Touch> {
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Down,
        Move,
        Up,
    }
    #[derive(Deserialize)]
    struct Message {
        kind: Kind,
        x: f32,
        y: f32,
    }
    let Message { kind, x, y } = serde_json::from_slice(payload).ok()?;
    Some(match kind {
        Kind::Down => Touch::Pressed { x, y },
        Kind::Move => Touch::Moved { x, y },
        Kind::Up => Touch::Released { x, y },
    })
}

fn language(payload: &[u8]) -> Option<Language> {
    Language::from_tag(std::str::from_utf8(payload).ok()?)
}

fn frame(mut payload: Vec<u8>) -> Option<Frame> {
    let (head, _) = payload.split_first_chunk::<4>()?;
    let [w1, w0, h1, h0] = *head;
    let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
    payload.drain(..4);
    Frame::new(usize::from(width), usize::from(height), payload).ok().map(|frame| frame.scaled_to(MAX_FRAME_SIDE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_and_bad_ones_passed_over() {
        let mut pipe = Vec::new();
        send(&mut pipe, b'T', br#"{"kind":"down","x":10,"y":20.5}"#).expect("writes");
        send(&mut pipe, b'T', br#"{"kind":"sideways","x":10,"y":20}"#).expect("writes");
        send(&mut pipe, b'A', "付款".as_bytes()).expect("writes");
        send(&mut pipe, b'L', b"en").expect("writes");
        send(&mut pipe, b'L', b"xx").expect("writes");
        send(&mut pipe, b'F', &[0, 2, 0, 1, 7, 8]).expect("writes");
        send(&mut pipe, b'F', &[0, 1, 0, 1, 9]).expect("writes");
        send(&mut pipe, b'F', &[0, 2, 0, 2, 7]).expect("writes");
        send(&mut pipe, b'F', &[0]).expect("writes");
        send(&mut pipe, b'?', b"").expect("writes");
        let (sender, queue) = sync_channel(QUEUE_LEN);
        let newest = NewestFrame::default();
        read_pipe(&mut &pipe[..], &newest, &sender);
        drop(sender);
        let events: Vec<Event> = queue.iter().collect();
        assert_eq!(events.len(), 5, "a touch, a tap, a language, a frame, the end");
        assert!(matches!(events[0], Event::Touch(Touch::Pressed { x: 10.0, y: 20.5 })));
        assert!(matches!(&events[1], Event::Tap(label) if label == "付款"));
        assert!(matches!(events[2], Event::Language(Language::English)));
        assert!(matches!((&events[3], &events[4]), (Event::Frame, Event::End)));
        let frame = newest.lock().expect("whole").take().expect("the newest");
        assert_eq!((frame.width(), frame.luma()), (1, &[9][..]));
    }

    #[test]
    fn an_endless_message_ends_the_pipe() {
        let mut pipe = vec![b'A'];
        pipe.extend_from_slice(&u32::MAX.to_be_bytes());
        assert!(read_message(&mut &pipe[..]).is_none());
    }
}
