//! What a writing request works with, and what becomes of it.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::db::Db;
use crate::{OutcomeSigner, StoreError, Topic};

/// A transaction, or a part of one that other requests share.
pub(crate) struct Tx<'a> {
    pub(crate) db: Db<'a>,
    pub(crate) signer: &'a OutcomeSigner,
    topics: BTreeSet<Topic>,
}

impl<'a> Tx<'a> {
    /// Tells subscribers after the commit.
    pub(crate) fn touch(&mut self, topic: Topic) {
        self.topics.insert(topic);
    }

    /// Runs a part that may fail without taking the rest with it.
    pub(crate) fn nested<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.db.control("SAVEPOINT part")?;
        let result = part(self).and_then(|value| Ok(self.db.flush().map(|()| value)?));
        let keep = match &result {
            Ok(_) => true,
            Err(fault) => fault.keep,
        };
        if !keep {
            self.db.undo_part()?;
        }
        self.db.control("RELEASE part")?;
        result
    }

    /// Runs a whole request. Gives its answer, what to tell subscribers, and whether its writes are to stay.
    pub(crate) fn run<T>(
        db: Db<'a>,
        signer: &'a OutcomeSigner,
        request: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> (Result<T, StoreError>, BTreeSet<Topic>, bool) {
        let mut tx = Self { db, signer, topics: BTreeSet::new() };
        let result = catch_unwind(AssertUnwindSafe(|| request(&mut tx)))
            .unwrap_or_else(|_| Err(StoreError::incident("transaction", "-", "the code panicked").into()));
        match result {
            Ok(value) => (Ok(value), tx.topics, true),
            Err(Fault { error, keep: true }) => (Err(error), tx.topics, true),
            Err(Fault { error, keep: false }) => (Err(error), BTreeSet::new(), false),
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
