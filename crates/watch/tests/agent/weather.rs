//! The network as it is on a watch: fine, gone, someone else's, or everything at once by a seed.

/// What the way to the service does with what is sent over it.
#[derive(Clone, Debug)]
pub(crate) enum Weather {
    Fine,
    /// No network.
    Out,
    /// Every request is answered, by somebody else.
    Portal(u16, &'static str),
    /// Whatever the dice say.
    Stormy(Dice),
}

/// What becomes of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The service never gets it.
    Lost,
    /// The service gets it, the watch no answer.
    AnswerLost,
    /// Somebody else answers.
    Portal(u16, &'static str),
    /// `twice`: the service gets it once more.
    Through { twice: bool },
}

/// As captive portals and proxies answer.
pub(crate) const PORTALS: [(u16, &str); 6] = [
    (200, "<html>Welcome to the station</html>"),
    (200, ""),
    (302, ""),
    (511, "<html>Log in</html>"),
    (502, "Bad Gateway"),
    (404, "<html>not here</html>"),
];

impl Weather {
    /// And after how many milliseconds something comes back.
    pub(crate) fn fate(&mut self) -> (Fate, i64) {
        match self {
            Self::Fine => (Fate::Through { twice: false }, 0),
            Self::Out => (Fate::Lost, 0),
            Self::Portal(status, body) => (Fate::Portal(*status, body), 0),
            Self::Stormy(dice) => {
                let fate = match dice.below(10) {
                    0 | 1 => Fate::Lost,
                    2 => Fate::AnswerLost,
                    3 => {
                        let (status, body) = PORTALS[dice.index(PORTALS.len())];
                        Fate::Portal(status, body)
                    }
                    4 => Fate::Through { twice: true },
                    _ => Fate::Through { twice: false },
                };
                let delay_ms = if dice.below(4) == 0 { dice.below(10_000) } else { 20 + dice.below(300) };
                (fate, delay_ms)
            }
        }
    }
}

/// Numbers that look like chance and are the same every time (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to but not including `end`.
    pub(crate) fn below(&mut self, end: u32) -> i64 {
        i64::try_from(self.next() % u64::from(end)).expect("small")
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u32::try_from(len).expect("few"))).expect("small")
    }
}
