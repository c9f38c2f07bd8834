//! The watch as a simulator: the same program as on a device, with its glass, its touches and its camera on a pipe.
//!
//! Each message is one byte of type, the payload's length (32 bits, big-endian) and the payload.
//!
//! | in | payload |
//! | --- | --- |
//! | `T` | touch: JSON `{"kind":"down"\|"move"\|"up","x","y"}`, pixels of the glass |
//! | `A` | tap the button with this accessible label |
//! | `B` | the button on the side: no payload |
//! | `W` | whether the watch is worn: `1` or `0` |
//! | `F` | camera frame: width, height (16 bits each, big-endian), one byte of brightness a pixel |
//! | `L` | language: `zh` or `en` |
//!
//! | out | payload |
//! | --- | --- |
//! | `P` | picture: width, height (16 bits each), three bytes RGB a pixel |
//! | `E` | what is shown: JSON `{"screen","online","camera","elements":[{"label","role","x","y","width","height","enabled"}…]}` |
//! | `H` | something to feel or hear: JSON `{"cue","pulses":[…]}`, a [`Cue`]'s tag, and ms of vibration and rest in turn |
//!
//! A picture comes before the elements it shows, and both only when they changed. The end of the input ends the program. Of
//! camera frames that come faster than they are read only the newest is kept.

use std::io::{self, Read, Write};
use std::sync::mpsc::SyncSender;

use nodpay_watch::reader::Frame;
use nodpay_watch::view::Screen;
use serde::Deserialize;

use crate::feel::{Cue, Feel};
use crate::runtime::RuntimeOptions;
use crate::screens::{Picture, Role, Screens, Shape, Touch};
use crate::sight::Sight;
use crate::watch::{Event, Watch, WatchError};
use crate::words::Language;

/// Longest message taken, in bytes: a frame of 2048 × 2048.
const MAX_MESSAGE_LEN: u32 = 4 * 1024 * 1024 + 4;

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

/// Runs until the input ends.
pub fn run_simulator(options: &SimulatorOptions) -> Result<(), WatchError> {
    let screens = Screens::new(options.shape, options.language);
    let (mut watch, queue, sight) = Watch::start(&options.runtime, screens)?;
    let read = move || read_pipe(&mut io::stdin().lock(), &sight, &queue);
    std::thread::Builder::new().name("pipe".to_owned()).spawn(read)?;
    let mut page = Page { out: io::stdout(), elements: String::new() };
    loop {
        page.show(&mut watch)?;
        if !watch.wait()? {
            return Ok(());
        }
    }
}

/// The other end of the pipe.
struct Page<W> {
    out: W,
    /// As sent last.
    elements: String,
}

impl<W: Write> Page<W> {
    /// Sends what changed.
    fn show(&mut self, watch: &mut Watch) -> io::Result<()> {
        let (view, cue) = watch.refresh();
        let (screen, online) = (name(&view.screen), view.online);
        if let Some(picture) = watch.screens.draw() {
            let message = picture_message(picture);
            send(&mut self.out, b'P', &message)?;
        }
        let elements = describe(screen, online, watch);
        if elements != self.elements {
            send(&mut self.out, b'E', elements.as_bytes())?;
            self.elements = elements;
        }
        cue.map_or(Ok(()), |cue| self.feel(cue))
    }
}

impl<W: Write> Feel for Page<W> {
    fn feel(&mut self, cue: Cue) -> io::Result<()> {
        let felt = serde_json::json!({ "cue": cue.tag(), "pulses": cue.pulses() });
        send(&mut self.out, b'H', felt.to_string().as_bytes())
    }
}

fn describe(screen: &str, online: bool, watch: &Watch) -> String {
    let elements: Vec<serde_json::Value> = watch
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
        "screen": screen, "online": online, "camera": watch.runtime.camera(), "elements": elements,
    });
    shown.to_string()
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
fn read_pipe(pipe: &mut impl Read, sight: &Sight, queue: &SyncSender<Event>) {
    while let Some((kind, payload)) = read_message(pipe) {
        let event = match kind {
            b'T' => touch(&payload).map(Event::Touch),
            b'A' => String::from_utf8(payload).ok().map(Event::Tap),
            b'B' => Some(Event::SideButton),
            b'W' => worn(&payload).map(Event::Worn),
            b'L' => language(&payload).map(Event::Language),
            b'F' => match frame(payload) {
                Some(frame) if !sight.see(&frame) => return,
                Some(_) | None => None,
            },
            _ => None,
        };
        if let Some(event) = event
            && queue.send(event).is_err()
        {
            return;
        }
    }
    let _ = queue.send(Event::End(None));
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

fn worn(payload: &[u8]) -> Option<bool> {
    match payload {
        b"1" => Some(true),
        b"0" => Some(false),
        _ => None,
    }
}

fn frame(mut payload: Vec<u8>) -> Option<Frame> {
    let (head, _) = payload.split_first_chunk::<4>()?;
    let [w1, w0, h1, h0] = *head;
    let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
    payload.drain(..4);
    Frame::new(usize::from(width), usize::from(height), payload).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

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
        send(&mut pipe, b'B', b"").expect("writes");
        send(&mut pipe, b'W', b"1").expect("writes");
        send(&mut pipe, b'W', b"maybe").expect("writes");
        send(&mut pipe, b'?', b"").expect("writes");
        let (sender, queue) = sync_channel(16);
        let sight = Sight::start(sender.clone()).expect("starts");
        sight.want(true);
        read_pipe(&mut &pipe[..], &sight, &sender);
        let events: Vec<Event> = queue.try_iter().collect();
        assert_eq!(events.len(), 7, "a touch, a tap, a language, a frame, the button, worn, the end");
        assert!(matches!(events[0], Event::Touch(Touch::Pressed { x: 10.0, y: 20.5 })));
        assert!(matches!(&events[1], Event::Tap(label) if label == "付款"));
        assert!(matches!(events[2], Event::Language(Language::English)));
        assert!(matches!(&events[3..], [Event::Frame, Event::SideButton, Event::Worn(true), Event::End(None)]));
        let frame = sight.newest().expect("the newest");
        assert_eq!((frame.width(), frame.luma()), (1, &[9][..]));
    }

    #[test]
    fn an_endless_message_ends_the_pipe() {
        let mut pipe = vec![b'A'];
        pipe.extend_from_slice(&u32::MAX.to_be_bytes());
        assert!(read_message(&mut &pipe[..]).is_none());
    }
}
