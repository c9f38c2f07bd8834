//! From camera frames to the picture under the viewfinder and the texts of codes, off the thread that draws.
//!
//! Whoever has a camera calls [`Sight::see`] while frames are [wanted](Sight::wait_until_wanted). Of frames that come faster
//! than they are shown or read only the newest is kept, so the queue is one frame long and a slow reader is never behind.

use std::io;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nodpay_watch::reader::{Frame, Reader};

use crate::watch::Event;

/// Frames are read at this size at most, as a watch's camera gives them.
const MAX_FRAME_SIDE: usize = 640;

/// See the module.
#[derive(Debug)]
pub(crate) struct Sight {
    state: Mutex<State>,
    changed: Condvar,
    queue: SyncSender<Event>,
}

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    /// Counts how often the camera was switched on: what was seen before is not read after.
    session: u64,
    shown: Option<Arc<Frame>>,
    unread: Option<Arc<Frame>>,
}

impl Sight {
    /// Starts the reading thread. Of each frame the queue gets [`Event::Frame`], of each that holds codes [`Event::Codes`].
    pub(crate) fn start(queue: SyncSender<Event>) -> io::Result<Arc<Self>> {
        let sight = Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), queue });
        let reading = Arc::clone(&sight);
        std::thread::Builder::new().name("reader".to_owned()).spawn(move || reading.read())?;
        Ok(sight)
    }

    /// Switches the camera on or off. Frames that were not read by then are forgotten.
    pub(crate) fn want(&self, wanted: bool) {
        let mut state = self.state();
        if state.wanted != wanted {
            *state = State { wanted, session: state.session + u64::from(wanted), ..State::default() };
            self.changed.notify_all();
        }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.state().wanted
    }

    /// Sleeps until frames are wanted.
    #[cfg(any(feature = "device", feature = "window"))]
    pub(crate) fn wait_until_wanted(&self) {
        let state = self.state();
        drop(self.changed.wait_while(state, |state| !state.wanted).unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes a frame; false if nobody listens any more.
    pub(crate) fn see(&self, frame: &Frame) -> bool {
        if !self.is_wanted() {
            return true;
        }
        let frame = Arc::new(frame.scaled_to(MAX_FRAME_SIDE));
        let (waiting, session) = {
            let mut state = self.state();
            if !state.wanted {
                return true;
            }
            (state.shown.replace(Arc::clone(&frame)), state.session)
        };
        // One wake-up a frame that waits is enough. It is shown before it is read.
        if waiting.is_none() && self.queue.send(Event::Frame).is_err() {
            return false;
        }
        let mut state = self.state();
        if state.wanted && state.session == session {
            state.unread = Some(frame);
            self.changed.notify_all();
        }
        true
    }

    /// The newest frame that was not taken yet.
    pub(crate) fn newest(&self) -> Option<Arc<Frame>> {
        self.state().shown.take()
    }

    fn read(&self) {
        let mut reader = Reader::new();
        let mut reader_session = 0;
        loop {
            let (frame, session) = self.next_unread();
            if session != reader_session {
                reader = Reader::new();
                reader_session = session;
            }
            let texts = reader.read(&frame);
            if texts.is_empty() || self.state().session != session {
                continue;
            }
            if self.queue.send(Event::Codes(texts)).is_err() {
                return;
            }
        }
    }

    fn next_unread(&self) -> (Arc<Frame>, u64) {
        let mut state = self.state();
        loop {
            if let Some(frame) = state.unread.take() {
                return (frame, state.session);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    fn frame(luma: u8) -> Frame {
        Frame::new(2, 1, vec![luma, luma]).expect("a frame")
    }

    #[test]
    fn only_the_newest_frame_waits_and_only_while_it_is_wanted() {
        let (sender, queue) = sync_channel(8);
        let sight = Sight::start(sender).expect("starts");
        assert!(sight.see(&frame(1)));
        assert!(queue.try_recv().is_err() && sight.newest().is_none(), "nobody asked");
        sight.want(true);
        sight.want(true);
        assert!(sight.see(&frame(2)) && sight.see(&frame(3)));
        assert!(matches!(queue.try_recv(), Ok(Event::Frame)));
        assert!(queue.try_recv().is_err(), "one wake-up for both");
        assert_eq!(sight.newest().expect("waits").luma(), [3, 3]);
        assert!(sight.newest().is_none());
        assert!(sight.see(&frame(4)));
        sight.want(false);
        assert!(sight.newest().is_none(), "forgotten");
    }

    #[test]
    fn a_code_is_read_elsewhere_and_told() {
        let (sender, queue) = sync_channel(8);
        let sight = Sight::start(sender).expect("starts");
        sight.want(true);
        let code = qrcode::QrCode::new("NODPAY").expect("fits");
        let picture = code.render().light_color('W').dark_color('B').module_dimensions(4, 4).build();
        let luma: Vec<u8> =
            picture.lines().flat_map(str::bytes).map(|byte| if byte == b'W' { 255 } else { 0 }).collect();
        let side = picture.lines().count();
        assert!(sight.see(&Frame::new(side, side, luma).expect("square")));
        assert!(matches!(queue.recv(), Ok(Event::Frame)));
        assert!(matches!(queue.recv(), Ok(Event::Codes(texts)) if texts == ["NODPAY"]));
    }

    #[test]
    fn a_camera_learns_that_the_watch_has_ended() {
        let (sender, queue) = sync_channel(8);
        let sight = Sight::start(sender).expect("starts");
        sight.want(true);
        drop(queue);
        assert!(!sight.see(&frame(1)));
    }
}
