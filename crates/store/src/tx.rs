//! What a writing request works with, and what becomes of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::announce::{Announcements, Told};
use crate::db::Db;
use crate::{OutcomeSigner, StoreError};

/// What every transaction of a store has.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    pub(crate) signer: &'a OutcomeSigner,
    /// What this process committed last.
    pub(crate) known: &'a Announcements,
}

/// A transaction, or a part of one that other requests share.
pub(crate) struct Tx<'a> {
    pub(crate) db: Db<'a>,
    pub(crate) signer: &'a OutcomeSigner,
    /// What this process committed last.
    pub(crate) known: &'a Announcements,
    /// What subscribers are told after the commit.
    pub(crate) told: Told,
}

impl<'a> Tx<'a> {
    /// Runs a part that may fail without taking the rest with it.
    pub(crate) fn nested<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.db.control("SAVEPOINT part")?;
        let before = std::mem::take(&mut self.told);
        let result = part(self).and_then(|value| Ok(self.db.flush().map(|()| value)?));
        let keep = match &result {
            Ok(_) => true,
            Err(fault) => fault.keep,
        };
        let part = std::mem::replace(&mut self.told, before);
        if keep {
            self.told.append(part);
        } else {
            self.db.undo_part()?;
        }
        self.db.control("RELEASE part")?;
        result
    }

    /// Runs one of many parts, whose error is the inner one. The outer one says that all of the transaction is gone, on a
    /// full disk for one.
    pub(crate) fn alone<T>(
        &mut self,
        part: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<Result<T, StoreError>, Fault> {
        match self.nested(part) {
            Ok(value) => Ok(Ok(value)),
            Err(fault) if self.db.is_lost() => Err(fault),
            Err(fault) => Ok(Err(fault.error)),
        }
    }

    /// Runs a whole request. Gives its answer, what subscribers are told, and whether its writes are to stay.
    pub(crate) fn run<T>(
        db: Db<'a>,
        Means { signer, known }: Means<'a>,
        request: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> (Result<T, StoreError>, Told, bool) {
        let mut tx = Self { db, signer, known, told: Told::default() };
        let result = catch_unwind(AssertUnwindSafe(|| request(&mut tx)))
            .unwrap_or_else(|_| Err(StoreError::incident("transaction", "-", "the code panicked").into()));
        match result {
            Ok(value) => (Ok(value), tx.told, true),
            Err(Fault { error, keep: true }) => (Err(error), tx.told, true),
            Err(Fault { error, keep: false }) => (Err(error), Told::default(), false),
        }
    }
}

/// An error, and whether what was written before it stays.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) error: StoreError,
    pub(crate) keep: bool,
}

impl Fault {
    /// The transaction did something else than it was asked for.
    pub(crate) const fn kept(error: StoreError) -> Self {
        Self { error, keep: true }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self { error, keep: false }
    }
}
