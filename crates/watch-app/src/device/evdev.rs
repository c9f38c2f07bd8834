//! Touch screens, side buttons and the sensor on the watch's back by the kernel's evdev protocol (`/dev/input/event*`).
//!
//! One finger counts: the first on the glass, until it leaves. Screens of several fingers are followed by slots (multi-touch
//! protocol B), others by `BTN_TOUCH` and `ABS_X`, `ABS_Y`, which also those of protocol A send. A screen that is turned
//! or mirrored against its display is put right where the kernel knows of it (`touchscreen-*` in the device tree).
//!
//! Whether the watch is worn is `SW_FRONT_PROXIMITY`: on while something is close to the sensor.
//!
//! Not run where this was written: there was no such device; [`Translator`] is tested with events as a kernel sends them.

use std::io;
use std::path::PathBuf;

use ::evdev::raw_stream::{RawDevice, enumerate};
use ::evdev::{
    AbsInfo, AbsoluteAxisCode as Axis, EventSummary, InputEvent, KeyCode, PropType, SwitchCode, SynchronizationCode,
};

use super::{Signal, TouchSource};
use crate::screens::Touch;

/// Fingers told apart; more are not followed.
const MAX_SLOTS: usize = 16;
/// What watches have on their side.
const SIDE_BUTTONS: [KeyCode; 4] = [KeyCode::KEY_POWER, KeyCode::KEY_HOMEPAGE, KeyCode::KEY_BACK, KeyCode::KEY_PROG1];

/// On while the watch is worn.
const WORN: SwitchCode = SwitchCode::SW_FRONT_PROXIMITY;

/// A screen, a button, a sensor, or several of them.
pub(crate) struct Evdev {
    device: RawDevice,
    translator: Translator,
    /// What is so at the start, until it is told.
    first: Option<Signal>,
}

/// Every touch screen, side button and wearing sensor of this machine; an error without a touch screen.
pub(crate) fn find(glass: (u32, u32)) -> io::Result<Vec<Evdev>> {
    let mut found = Vec::new();
    let mut any_screen = false;
    for (_, device) in enumerate() {
        let has_button = device.supported_keys().is_some_and(|keys| SIDE_BUTTONS.iter().any(|key| keys.contains(*key)));
        let is_screen = is_screen(&device);
        any_screen |= is_screen;
        if is_screen || has_button || has_sensor(&device) {
            found.push(Evdev::new(device, glass)?);
        }
    }
    if any_screen {
        Ok(found)
    } else {
        Err(io::Error::new(io::ErrorKind::NotFound, "no touch screen among /dev/input/event*"))
    }
}

pub(crate) fn open(paths: &[PathBuf], glass: (u32, u32)) -> io::Result<Vec<Evdev>> {
    paths.iter().map(|path| Evdev::new(RawDevice::open(path)?, glass)).collect()
}

/// Touched, and not a touch pad.
fn is_screen(device: &RawDevice) -> bool {
    let touched = device.supported_keys().is_some_and(|keys| keys.contains(KeyCode::BTN_TOUCH));
    let slots = device.supported_absolute_axes().is_some_and(|axes| axes.contains(Axis::ABS_MT_SLOT));
    (touched || slots) && !device.properties().contains(PropType::POINTER)
}

fn has_sensor(device: &RawDevice) -> bool {
    device.supported_switches().is_some_and(|switches| switches.contains(WORN))
}

impl Evdev {
    fn new(device: RawDevice, glass: (u32, u32)) -> io::Result<Self> {
        let by_slots = device.supported_absolute_axes().is_some_and(|axes| axes.contains(Axis::ABS_MT_SLOT));
        let codes =
            if by_slots { [Axis::ABS_MT_POSITION_X, Axis::ABS_MT_POSITION_Y] } else { [Axis::ABS_X, Axis::ABS_Y] };
        let mut ranges = [Range::default(); 2];
        if is_screen(&device) {
            for (axis, info) in device.get_absinfo()? {
                for ((range, code), side) in ranges.iter_mut().zip(codes).zip([glass.0, glass.1]) {
                    if axis == code {
                        *range = Range::new(&info, side);
                    }
                }
            }
        }
        let first = has_sensor(&device).then(|| device.get_switch_state()).transpose()?;
        let first = first.map(|on| Signal::Worn(on.contains(WORN)));
        Ok(Self { device, translator: Translator::new(by_slots, ranges), first })
    }
}

impl TouchSource for Evdev {
    fn wait(&mut self) -> io::Result<Vec<Signal>> {
        if let Some(signal) = self.first.take() {
            return Ok(vec![signal]);
        }
        let events = self.device.fetch_events()?;
        Ok(events.filter_map(|event| self.translator.take(event)).collect())
    }
}

/// What an axis of a touch screen counts, and the side of the glass it runs along.
#[derive(Clone, Copy, Debug, Default)]
struct Range {
    least: i32,
    /// Pixels of the glass for each count.
    scale: f32,
}

impl Range {
    #[allow(clippy::as_conversions)] // Counts and pixels of a screen: exact enough in an f32.
    fn new(info: &AbsInfo, side: u32) -> Self {
        let counts = i64::from(info.maximum()) - i64::from(info.minimum()) + 1;
        Self { least: info.minimum(), scale: side as f32 / counts.max(1) as f32 }
    }

    /// The middle of what counts as this value.
    #[allow(clippy::as_conversions)] // As above.
    fn pixel(self, value: i32) -> f32 {
        (value.saturating_sub(self.least) as f32 + 0.5) * self.scale
    }
}

/// From events to touches, a report at a time. Pure.
#[derive(Debug)]
struct Translator {
    by_slots: bool,
    ranges: [Range; 2],
    /// The slot events are about; without slots always the first.
    slot: usize,
    /// A slot's last position: what does not change is not sent again, not even for the next finger.
    positions: [[i32; 2]; MAX_SLOTS],
    /// The slot of the finger that counts.
    followed: Option<usize>,
    /// As told last.
    told: Option<[i32; 2]>,
    /// Events were lost; what is left of their report is not whole.
    lost: bool,
}

impl Translator {
    fn new(by_slots: bool, ranges: [Range; 2]) -> Self {
        let positions = [[0; 2]; MAX_SLOTS];
        Self { by_slots, ranges, slot: 0, positions, followed: None, told: None, lost: false }
    }

    fn take(&mut self, event: InputEvent) -> Option<Signal> {
        #[allow(clippy::wildcard_enum_match_arm)] // The kernel's events, most of which mean nothing to a watch.
        match event.destructure() {
            EventSummary::Synchronization(_, SynchronizationCode::SYN_DROPPED, _) => return self.lose(),
            EventSummary::Synchronization(_, SynchronizationCode::SYN_REPORT, _) => return self.report(),
            EventSummary::Key(_, key, 1) if SIDE_BUTTONS.contains(&key) => return Some(Signal::SideButton),
            EventSummary::Switch(_, WORN, value) => return Some(Signal::Worn(value != 0)),
            _ if self.lost => {}
            EventSummary::AbsoluteAxis(_, axis, value) if self.by_slots => match axis {
                Axis::ABS_MT_SLOT => self.slot = usize::try_from(value).unwrap_or(MAX_SLOTS),
                Axis::ABS_MT_TRACKING_ID => self.finger(value >= 0),
                Axis::ABS_MT_POSITION_X => self.place(0, value),
                Axis::ABS_MT_POSITION_Y => self.place(1, value),
                _ => {}
            },
            EventSummary::AbsoluteAxis(_, Axis::ABS_X, value) => self.place(0, value),
            EventSummary::AbsoluteAxis(_, Axis::ABS_Y, value) => self.place(1, value),
            EventSummary::Key(_, KeyCode::BTN_TOUCH, value) if !self.by_slots => self.finger(value != 0),
            _ => {}
        }
        None
    }

    fn place(&mut self, axis: usize, value: i32) {
        if let Some(place) = self.positions.get_mut(self.slot).and_then(|position| position.get_mut(axis)) {
            *place = value;
        }
    }

    fn finger(&mut self, is_down: bool) {
        match self.followed {
            None if is_down && self.slot < MAX_SLOTS => self.followed = Some(self.slot),
            Some(slot) if !is_down && slot == self.slot => self.followed = None,
            None | Some(_) => {}
        }
    }

    fn report(&mut self) -> Option<Signal> {
        if std::mem::take(&mut self.lost) {
            return None;
        }
        let now = self.followed.and_then(|slot| self.positions.get(slot)).copied();
        let before = std::mem::replace(&mut self.told, now);
        let pixels = |[x, y]: [i32; 2]| (self.ranges[0].pixel(x), self.ranges[1].pixel(y));
        let touch = match (before, now) {
            (None, None) => return None,
            (None, Some(now)) => {
                let (x, y) = pixels(now);
                Touch::Pressed { x, y }
            }
            (Some(before), Some(now)) if before == now => return None,
            (Some(_), Some(now)) => {
                let (x, y) = pixels(now);
                Touch::Moved { x, y }
            }
            (Some(before), None) => {
                let (x, y) = pixels(before);
                Touch::Released { x, y }
            }
        };
        Some(Signal::Touch(touch))
    }

    /// Whoever lost sight of a finger must not take it for a tap: it leaves beside the glass.
    fn lose(&mut self) -> Option<Signal> {
        self.lost = true;
        self.followed = None;
        self.told.take().map(|_| Signal::Touch(Touch::Released { x: -1.0, y: -1.0 }))
    }
}

#[cfg(test)]
mod tests {
    use ::evdev::EventType;

    use super::*;

    const SLOT: Axis = Axis::ABS_MT_SLOT;
    const FINGER: Axis = Axis::ABS_MT_TRACKING_ID;
    const X: Axis = Axis::ABS_MT_POSITION_X;
    const Y: Axis = Axis::ABS_MT_POSITION_Y;

    fn axis(axis: Axis, value: i32) -> InputEvent {
        InputEvent::new(EventType::ABSOLUTE.0, axis.0, value)
    }

    fn key(key: KeyCode, value: i32) -> InputEvent {
        InputEvent::new(EventType::KEY.0, key.0, value)
    }

    fn syn(code: SynchronizationCode) -> InputEvent {
        InputEvent::new(EventType::SYNCHRONIZATION.0, code.0, 0)
    }

    fn report() -> InputEvent {
        syn(SynchronizationCode::SYN_REPORT)
    }

    /// Counts from 100 to 819 along 360 pixels, and from 0 to 359.
    fn translator(by_slots: bool) -> Translator {
        let range = |least, most| Range::new(&AbsInfo::new(0, least, most, 0, 0, 0), 360);
        Translator::new(by_slots, [range(100, 819), range(0, 359)])
    }

    fn signals(by_slots: bool, events: &[InputEvent]) -> Vec<Signal> {
        let mut translator = translator(by_slots);
        events.iter().filter_map(|event| translator.take(*event)).collect()
    }

    fn pressed(x: f32, y: f32) -> Signal {
        Signal::Touch(Touch::Pressed { x, y })
    }

    fn moved(x: f32, y: f32) -> Signal {
        Signal::Touch(Touch::Moved { x, y })
    }

    fn released(x: f32, y: f32) -> Signal {
        Signal::Touch(Touch::Released { x, y })
    }

    #[test]
    fn a_finger_of_many() {
        let events = [
            // A finger comes down, …
            vec![
                axis(FINGER, 7),
                axis(X, 300),
                axis(Y, 50),
                key(KeyCode::BTN_TOUCH, 1),
                axis(Axis::ABS_X, 300),
                report(),
            ],
            // … a second one does not count, …
            vec![axis(SLOT, 1), axis(FINGER, 8), axis(X, 800), axis(Y, 300), report()],
            // … the first moves and lifts, …
            vec![axis(SLOT, 0), axis(Y, 60), report()],
            vec![axis(FINGER, -1), report()],
            // … the second lifts too, and one comes down where the first had been: nothing but the finger is sent.
            vec![axis(SLOT, 1), axis(FINGER, -1), key(KeyCode::BTN_TOUCH, 0), report()],
            vec![axis(SLOT, 0), axis(FINGER, 9), report()],
            vec![report()],
        ]
        .concat();
        let expected = [pressed(100.25, 50.5), moved(100.25, 60.5), released(100.25, 60.5), pressed(100.25, 60.5)];
        assert_eq!(signals(true, &events), expected);
    }

    #[test]
    fn fingers_beyond_the_last_slot_are_passed_over() {
        let beyond = i32::try_from(MAX_SLOTS).unwrap();
        let events =
            [axis(SLOT, beyond), axis(FINGER, 7), axis(X, 300), report(), axis(SLOT, -1), axis(FINGER, 7), report()];
        assert_eq!(signals(true, &events), []);
    }

    #[test]
    fn a_screen_of_one_finger() {
        let events = [
            vec![axis(Axis::ABS_X, 100), axis(Axis::ABS_Y, 0), key(KeyCode::BTN_TOUCH, 1), report()],
            vec![axis(Axis::ABS_X, 819), axis(Axis::ABS_Y, 359), report()],
            vec![key(KeyCode::BTN_TOUCH, 0), report()],
        ]
        .concat();
        let end = (359.75, 359.5);
        assert_eq!(signals(false, &events), [pressed(0.25, 0.5), moved(end.0, end.1), released(end.0, end.1)]);
    }

    #[test]
    fn lost_events_are_no_tap() {
        let events = [
            vec![axis(FINGER, 7), axis(X, 300), axis(Y, 50), report()],
            vec![syn(SynchronizationCode::SYN_DROPPED), axis(FINGER, -1), axis(FINGER, 8), report()],
            vec![axis(Y, 70), report()],
            vec![axis(FINGER, -1), report(), axis(FINGER, 9), report()],
        ]
        .concat();
        assert_eq!(signals(true, &events), [pressed(100.25, 50.5), released(-1.0, -1.0), pressed(100.25, 70.5)]);
        assert_eq!(signals(true, &[syn(SynchronizationCode::SYN_DROPPED), report()]), []);
    }

    #[test]
    fn the_sensor_says_whether_the_watch_is_worn() {
        let switch = |code: SwitchCode, value| InputEvent::new(EventType::SWITCH.0, code.0, value);
        let events = [switch(WORN, 1), report(), switch(SwitchCode::SW_LID, 1), report(), switch(WORN, 0), report()];
        assert_eq!(signals(true, &events), [Signal::Worn(true), Signal::Worn(false)]);
    }

    #[test]
    fn side_buttons_count_once() {
        let events = [key(KeyCode::KEY_POWER, 1), report(), key(KeyCode::KEY_POWER, 2), key(KeyCode::KEY_POWER, 0)];
        assert_eq!(signals(false, &events), [Signal::SideButton]);
        assert_eq!(signals(true, &[key(KeyCode::KEY_A, 1), report()]), []);
    }
}
