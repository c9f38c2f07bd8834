//! The agent, its screens and its camera as one thing: events go in, pictures and cues come out.
//!
//! Whoever owns a glass runs [`Watch::refresh`], draws, and [`Watch::wait`]s, in turn. Between events the watch sleeps until
//! the agent's or the screens' next deadline, for ever if there is none: nothing is polled.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use nodpay_watch::Input;
use nodpay_watch::view::{Screen, UserAction, View};

use crate::feel::{Cue, cue};
use crate::net::Tell;
use crate::runtime::{Runtime, RuntimeError, RuntimeOptions};
use crate::screens::{Screens, Touch};
use crate::sight::Sight;
use crate::words::Language;

/// Events that wait; a fuller queue holds up its sender.
const QUEUE_LEN: usize = 64;

/// What happens to a watch.
#[derive(Debug)]
pub(crate) enum Event {
    Network(Input),
    Touch(Touch),
    /// The button with this accessible label is touched.
    Tap(String),
    /// The button on the watch's side is pressed.
    SideButton,
    /// The watch is on a wrist, or not.
    Worn(bool),
    Language(Language),
    /// There is a frame to be shown.
    Frame,
    /// A frame held codes with these texts.
    Codes(Vec<String>),
    /// Glass, touch or pipe are gone; without an error on purpose.
    End(Option<io::Error>),
}

/// See the module.
pub(crate) struct Watch {
    pub(crate) runtime: Runtime,
    pub(crate) screens: Screens,
    queue: Receiver<Event>,
    sight: Arc<Sight>,
    view: View,
    cue: Option<Cue>,
}

/// Why the watch ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The agent's own surroundings.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// Glass, touch, camera or pipe.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Watch {
    /// Starts the agent. Threads that make events get them to the watch through the sender, frames through the [`Sight`].
    pub(crate) fn start(
        options: &RuntimeOptions,
        mut screens: Screens,
    ) -> Result<(Self, SyncSender<Event>, Arc<Sight>), WatchError> {
        let (sender, queue) = sync_channel(QUEUE_LEN);
        let network = sender.clone();
        let tell: Tell = Arc::new(move |input| network.send(Event::Network(input)).is_ok());
        let runtime = Runtime::start(options, tell)?;
        if let Some(language) = runtime.language()? {
            screens.set_language(language);
        }
        screens.set_zone(jiff::tz::TimeZone::system());
        let sight = Sight::start(sender.clone())?;
        let view = runtime.view();
        let watch = Self { runtime, screens, queue, sight: Arc::clone(&sight), view, cue: None };
        Ok((watch, sender, sight))
    }

    /// Brings screens and camera up to date with the agent. What is shown, and what is to be felt since the last call.
    pub(crate) fn refresh(&mut self) -> (&View, Option<Cue>) {
        let view = self.runtime.view();
        self.screens.advance(self.runtime.now_ms());
        self.screens.show(&view);
        self.sight.want(self.runtime.camera());
        let cue = cue(&self.view, &view).or(self.cue.take());
        self.cue = None;
        self.view = view;
        (&self.view, cue)
    }

    /// Sleeps until something happens and lets it happen. False if that is the end.
    pub(crate) fn wait(&mut self) -> Result<bool, WatchError> {
        let wait = [self.runtime.wait_ms(), self.screens.wake_in_ms()].into_iter().flatten().min();
        let event = match wait {
            Some(ms) => self.queue.recv_timeout(Duration::from_millis(ms)),
            None => self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
            Ok(Event::End(None)) | Err(RecvTimeoutError::Disconnected) => return Ok(false),
            Ok(Event::End(Some(error))) => return Err(error.into()),
            Ok(event) => self.take(event)?,
            Err(RecvTimeoutError::Timeout) => {}
        }
        self.runtime.tick()?;
        Ok(true)
    }

    fn take(&mut self, event: Event) -> Result<(), RuntimeError> {
        match event {
            Event::Network(input) => self.runtime.handle(input)?,
            Event::Touch(touch) => self.screens.touch(touch),
            Event::Tap(label) => {
                if !self.screens.tap(&label) {
                    eprintln!("nodpay-watch: no button {label:?} to tap");
                }
            }
            Event::SideButton => {
                if let Some(action) = side_button(&self.view.screen) {
                    self.cue = Some(Cue::Tap);
                    self.runtime.handle(Input::User(action))?;
                }
            }
            Event::Worn(worn) => self.runtime.handle(Input::Worn(worn))?,
            Event::Language(language) => self.screens.set_language(language),
            Event::Frame => self.look(),
            Event::Codes(texts) => {
                if self.runtime.camera() {
                    self.runtime.handle(Input::CodesRead(texts))?;
                }
            }
            Event::End(_) => {}
        }
        for action in self.screens.take_actions() {
            self.cue = Some(Cue::Tap);
            self.runtime.handle(Input::User(action))?;
        }
        if let Some(language) = self.screens.take_language() {
            self.runtime.keep_language(language)?;
        }
        Ok(())
    }

    fn look(&mut self) {
        let Some(frame) = self.sight.newest() else { return };
        if let (Ok(width), Ok(height)) = (u32::try_from(frame.width()), u32::try_from(frame.height())) {
            self.screens.set_preview(width, height, frame.luma());
        }
    }
}

/// Start where there is something to start, back out of what is only looked at, done with what is over. Never a step of a payment.
fn side_button(screen: &Screen) -> Option<UserAction> {
    match screen {
        Screen::Welcome { .. } | Screen::Home { .. } => Some(UserAction::Start),
        Screen::Scan { .. } | Screen::History(_) | Screen::Settings(_) => Some(UserAction::Cancel),
        Screen::Ended(_) => Some(UserAction::Done),
        Screen::ChoosePin { .. }
        | Screen::Pairing { .. }
        | Screen::Fetching
        | Screen::Amount(_)
        | Screen::Review(_)
        | Screen::Pin { .. }
        | Screen::Recognise { .. }
        | Screen::Sending
        | Screen::Waiting { .. }
        | Screen::Paying { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::{Entry, gallery};

    #[test]
    fn the_side_button_takes_no_step_of_a_payment() {
        for Entry { name, view, .. } in gallery() {
            let expected = match name.split('-').next().expect("a word") {
                "welcome" | "home" => Some(UserAction::Start),
                "scan" | "history" | "settings" => Some(UserAction::Cancel),
                "paid" | "refused" | "failed" | "expired" | "cancelled" => Some(UserAction::Done),
                _ => None,
            };
            assert_eq!(side_button(&view.screen), expected, "{name}");
        }
    }
}
