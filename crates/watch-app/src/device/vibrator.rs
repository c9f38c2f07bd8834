//! A vibrator of the kernel's LED class, as `/sys/class/leds/vibrator`: milliseconds into `duration`, then `1` into
//! `activate`. Cues are played in a thread of their own, one after the other; of a rush only the first few.
//!
//! Not run where this was written: there was no such device; the tests write into a folder like it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use crate::feel::{Cue, Feel};

/// Cues that wait.
const QUEUE_LEN: usize = 2;

/// See the module.
pub(crate) struct Vibrator {
    queue: SyncSender<Cue>,
}

impl Vibrator {
    pub(crate) fn start(folder: PathBuf) -> io::Result<Self> {
        // A wrong folder is told at once, not at the first cue.
        std::fs::metadata(folder.join("activate"))?;
        let (queue, cues) = sync_channel(QUEUE_LEN);
        let play_all = move || {
            for cue in cues {
                if let Err(error) = play(&folder, cue, std::thread::sleep) {
                    eprintln!("nodpay-watch: vibrator: {error}");
                    return;
                }
            }
        };
        std::thread::Builder::new().name("vibrator".to_owned()).spawn(play_all)?;
        Ok(Self { queue })
    }
}

impl Feel for Vibrator {
    fn feel(&mut self, cue: Cue) -> io::Result<()> {
        // Full is fine: what is felt now is enough.
        let _ = self.queue.try_send(cue);
        Ok(())
    }
}

fn play(folder: &Path, cue: Cue, mut rest: impl FnMut(Duration)) -> io::Result<()> {
    for (index, &ms) in cue.pulses().iter().enumerate() {
        if index % 2 == 0 {
            std::fs::write(folder.join("duration"), ms.to_string())?;
            std::fs::write(folder.join("activate"), "1")?;
        }
        rest(Duration::from_millis(ms.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulses_are_written_one_after_the_other() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Vibrator::start(folder.path().to_owned()).is_err(), "no vibrator");
        let written = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let mut felt = Vec::new();
        let rest = |time: Duration| felt.push((written("duration"), written("activate"), time.as_millis()));
        play(folder.path(), Cue::Nodded, rest).expect("plays");
        let pulse = |ms: u128| ("40".to_owned(), "1".to_owned(), ms);
        assert_eq!(felt, [pulse(40), pulse(80), pulse(40)]);
    }
}
