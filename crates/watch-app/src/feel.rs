//! What the wearer feels or hears: each cue follows from how the view changed, and a [`Feel`] makes it felt.

use std::io;

use nodpay_watch::view::{EndKind, PinGate, Screen, View};

/// Something worth a short vibration or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cue {
    /// A button took the touch.
    Tap,
    /// The camera read a code that goes on.
    CodeRead,
    /// The code, or what was typed, is not taken; the screen says why.
    NotTaken,
    /// The guardian has the order.
    Sent,
    /// The guardian nodded.
    Nodded,
    Paid,
    Refused,
    /// Failed or expired.
    NotPaid,
    WrongPin,
    /// The guardian has enrolled this watch.
    Paired,
}

impl Cue {
    pub const ALL: [Self; 10] = [
        Self::Tap,
        Self::CodeRead,
        Self::NotTaken,
        Self::Sent,
        Self::Nodded,
        Self::Paid,
        Self::Refused,
        Self::NotPaid,
        Self::WrongPin,
        Self::Paired,
    ];

    /// One word, for pipes and logs.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Tap => "tap",
            Self::CodeRead => "code-read",
            Self::NotTaken => "not-taken",
            Self::Sent => "sent",
            Self::Nodded => "nodded",
            Self::Paid => "paid",
            Self::Refused => "refused",
            Self::NotPaid => "not-paid",
            Self::WrongPin => "wrong-pin",
            Self::Paired => "paired",
        }
    }

    /// Milliseconds of vibration and of rest, in turn.
    #[must_use]
    pub const fn pulses(self) -> &'static [u16] {
        match self {
            Self::Tap => &[15],
            Self::CodeRead => &[60],
            Self::Sent => &[40],
            Self::Nodded | Self::Paired => &[40, 80, 40],
            Self::Paid => &[60, 80, 60, 80, 250],
            Self::NotTaken => &[120],
            Self::WrongPin => &[60, 60, 60, 60, 60],
            Self::Refused | Self::NotPaid => &[400],
        }
    }
}

/// Makes a cue felt or heard, without waiting for its end.
pub trait Feel {
    fn feel(&mut self, cue: Cue) -> io::Result<()>;
}

/// The cue of a change of view, if it is worth one.
#[must_use]
pub fn cue(before: &View, after: &View) -> Option<Cue> {
    let (before, after) = (&before.screen, &after.screen);
    if let Screen::Ended(ending) = after {
        let is_new = !matches!(before, Screen::Ended(_));
        return match ending.kind {
            _ if !is_new => None,
            EndKind::Paid => Some(Cue::Paid),
            EndKind::Refused => Some(Cue::Refused),
            EndKind::Failed | EndKind::Expired => Some(Cue::NotPaid),
            // The wearer's own doing.
            EndKind::Cancelled => None,
        };
    }
    let turned_away =
        |after: &Screen| matches!(after, Screen::Scan { .. } | Screen::Home { .. } | Screen::Welcome { .. });
    match (before, after) {
        (Screen::Scan { notice: old, .. }, Screen::Scan { notice: new, .. }) => {
            (new.is_some() && new != old).then_some(Cue::NotTaken)
        }
        (Screen::ChoosePin { notice: old, .. }, Screen::ChoosePin { notice: new, .. }) => {
            (new.is_some() && new != old).then_some(Cue::NotTaken)
        }
        (Screen::Pin { gate: old, .. }, Screen::Pin { gate: new, .. }) => is_worse(*old, *new).then_some(Cue::WrongPin),
        (Screen::Recognise { notice: old }, Screen::Recognise { notice: new }) => {
            (new.is_some() && new != old).then_some(Cue::NotTaken)
        }
        (Screen::Scan { .. }, after) => (!turned_away(after)).then_some(Cue::CodeRead),
        (Screen::Pairing { .. }, Screen::Home { .. }) => Some(Cue::Paired),
        (Screen::Sending, Screen::Waiting { .. }) => Some(Cue::Sent),
        (before, Screen::Paying { .. }) => (!matches!(before, Screen::Paying { .. })).then_some(Cue::Nodded),
        (before, Screen::Home { notice: Some(_), .. } | Screen::Welcome { notice: Some(_) }) => {
            (!turned_away(before)).then_some(Cue::NotTaken)
        }
        (_, _) => None,
    }
}

/// Whether a PIN was tried in between and was wrong.
const fn is_worse(old: PinGate, new: PinGate) -> bool {
    match (old, new) {
        (PinGate::Open { tries_left: old }, PinGate::Open { tries_left: Some(new) }) => match old {
            Some(old) => new < old,
            None => true,
        },
        (PinGate::Open { .. }, PinGate::Wait { .. } | PinGate::Guardian)
        | (PinGate::Wait { .. }, PinGate::Guardian) => true,
        (_, PinGate::Open { .. }) | (PinGate::Wait { .. }, PinGate::Wait { .. }) | (PinGate::Guardian, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use nodpay_watch::view::{Notice, ScanFor};

    use super::*;
    use crate::gallery::gallery;

    fn shown(name: &str) -> Screen {
        gallery().into_iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("no {name}")).view.screen
    }

    #[test]
    fn each_change_has_its_cue() {
        let scan = |notice| Screen::Scan { purpose: ScanFor::Paying, notice };
        let pin = |digits, gate| Screen::Pin { digits, gate, asked: false };
        let open = |tries_left| PinGate::Open { tries_left };
        let wait = |left_ms| PinGate::Wait { left_ms };
        let home = |notice| Screen::Home { wearer: "小明".to_owned(), balance: None, notice };
        let ended = |kind| {
            let Screen::Ended(ending) = shown("paid") else { panic!("paid is an end") };
            Screen::Ended(nodpay_watch::view::Ending { kind, ..ending })
        };
        let (waiting, paying) = (shown("waiting"), shown("paying"));
        let table = [
            (scan(None), Screen::Fetching, Some(Cue::CodeRead)),
            (scan(None), shown("pairing"), Some(Cue::CodeRead)),
            (scan(None), home(None), None),
            (scan(None), scan(None), None),
            (scan(None), scan(Some(Notice::BrokenCode)), Some(Cue::NotTaken)),
            (scan(Some(Notice::BrokenCode)), scan(Some(Notice::BrokenCode)), None),
            (scan(Some(Notice::BrokenCode)), scan(Some(Notice::NotAPaymentCode)), Some(Cue::NotTaken)),
            (Screen::Fetching, shown("review"), None),
            (Screen::Fetching, home(Some(Notice::BillExpired)), Some(Cue::NotTaken)),
            (home(None), scan(None), None),
            (pin(3, open(None)), pin(4, open(None)), None),
            (pin(4, open(None)), pin(0, open(Some(2))), Some(Cue::WrongPin)),
            (pin(4, open(Some(2))), pin(0, open(Some(1))), Some(Cue::WrongPin)),
            (pin(0, open(Some(1))), pin(1, open(Some(1))), None),
            (pin(4, open(Some(1))), pin(0, wait(30_000)), Some(Cue::WrongPin)),
            (pin(0, wait(30_000)), pin(0, wait(29_000)), None),
            (pin(0, wait(10)), pin(0, open(Some(1))), None),
            (pin(4, open(Some(1))), pin(0, PinGate::Guardian), Some(Cue::WrongPin)),
            (pin(0, PinGate::Guardian), pin(0, open(None)), None),
            (pin(4, open(None)), Screen::Sending, None),
            (
                Screen::Recognise { notice: None },
                Screen::Recognise { notice: Some(Notice::NotRecognised) },
                Some(Cue::NotTaken),
            ),
            (Screen::Sending, waiting.clone(), Some(Cue::Sent)),
            (waiting.clone(), paying.clone(), Some(Cue::Nodded)),
            (paying.clone(), paying.clone(), None),
            (paying.clone(), ended(EndKind::Paid), Some(Cue::Paid)),
            (paying, ended(EndKind::Failed), Some(Cue::NotPaid)),
            (waiting.clone(), ended(EndKind::Refused), Some(Cue::Refused)),
            (waiting.clone(), ended(EndKind::Expired), Some(Cue::NotPaid)),
            (waiting, ended(EndKind::Cancelled), None),
            (ended(EndKind::Paid), ended(EndKind::Paid), None),
            (ended(EndKind::Paid), home(None), None),
            (shown("pairing"), home(None), Some(Cue::Paired)),
        ];
        for (before, after, expected) in table {
            let view = |screen: &Screen| View { screen: screen.clone(), online: true };
            assert_eq!(cue(&view(&before), &view(&after)), expected, "{before:?} → {after:?}");
        }
    }

    /// A cue is over before the next can matter, starts and ends with vibration, and no two tags are the same.
    #[test]
    fn cues_are_short_and_named() {
        for (index, cue) in Cue::ALL.iter().enumerate() {
            let pulses = cue.pulses();
            assert!(pulses.len() % 2 == 1 && pulses.iter().sum::<u16>() <= 600, "{cue:?}");
            assert!(Cue::ALL.iter().skip(index + 1).all(|other| other.tag() != cue.tag()), "{cue:?}");
        }
    }
}
