//! Time bounded without a clock.

/// Counted work, none left by default: one unit is about one look-up in the picture.
#[derive(Default)]
pub(super) struct Work {
    left: u32,
}

impl Work {
    pub(super) fn new(units: u32) -> Self {
        Self { left: units }
    }

    pub(super) fn grant(&mut self, units: u32) {
        self.left = self.left.saturating_add(units);
    }

    /// Spends it, or all that is left. False when nothing is left then.
    pub(super) fn drain(&mut self, units: usize) -> bool {
        self.left = self.left.saturating_sub(u32::try_from(units).unwrap_or(u32::MAX));
        self.left > 0
    }

    /// False, and nothing spent, when not enough is left.
    pub(super) fn spend(&mut self, units: usize) -> bool {
        let left = u32::try_from(units).ok().and_then(|units| self.left.checked_sub(units));
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}
