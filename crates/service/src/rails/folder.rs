//! Where bank files are handed over. The operator's bank client takes what lies in `out` and puts the bank's answers into `in`;
//! nothing here is deleted:
//!
//! ```text
//! out/ID.xml          a file for the bank, complete; the client moves it away
//! written/ID.xml      our copy of it
//! written/TRANSFER    which file a transfer is in
//! in/*.xml            the bank's status reports
//! read/…, unread/…    reports that were understood, or not
//! lock                locked by the process that uses the folder
//! ```
//!
//! A transfer goes into one file. The order of writing makes a file known before it is handed over, so that after a crash at any
//! moment either nobody has it or [`BankFolder::file_of`] knows it; what was half handed over is handed over again, the same
//! bytes under the same message id, which a bank refuses as a duplicate. One process uses a folder at a time.

use std::fs::{File, TryLockError};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nodpay_core::{Decline, Movement, Rail, RailAnswer, RailKind, RailReply, RailStep, TransferId};

use super::bank::{Collection, MAX_REPORT_LEN, Report};
use super::hex;

/// Reports that one round reads.
const MAX_REPORTS: usize = 100;

/// The folder, with what this process does in it at a time.
#[derive(Debug)]
pub struct BankFolder {
    root: PathBuf,
    busy: Mutex<()>,
    #[expect(dead_code, reason = "held for its end")]
    lock: File,
}

impl BankFolder {
    /// Makes what is missing of it.
    ///
    /// # Errors
    /// When it cannot be made or written, or another process has it open.
    pub fn open(root: &Path) -> Result<Self> {
        for name in ["out", "written", "in", "read", "unread"] {
            std::fs::create_dir_all(root.join(name))?;
        }
        let lock = File::create(root.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::new(ErrorKind::ResourceBusy, "another process uses this folder"),
            TryLockError::Error(error) => error,
        })?;
        let folder = Self { root: root.to_owned(), busy: Mutex::new(()), lock };
        folder.finish()?;
        Ok(folder)
    }

    /// Hands over in one file what of it was not handed over before.
    ///
    /// # Errors
    /// Of the file system; asking again completes it.
    pub fn hand_over(&self, collection: &Collection) -> Result<()> {
        let _busy = self.busy.lock().map_err(|_| Error::other("the folder's last user panicked"))?;
        self.finish()?;
        let mut collection = collection.clone();
        collection.instructions.retain(|instruction| self.file_of(instruction.transfer).is_none());
        if collection.instructions.is_empty() {
            return Ok(());
        }
        let id = hex(collection.id);
        for instruction in &collection.instructions {
            self.write(&format!("written/{}", hex(instruction.transfer)), id.as_bytes())?;
        }
        self.write(&format!("written/{id}.xml.new"), collection.to_xml().as_bytes())?;
        self.give(&id)
    }

    /// Completes what was interrupted.
    fn finish(&self) -> Result<()> {
        for entry in std::fs::read_dir(self.root.join("written"))? {
            let name = entry?.file_name();
            if let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".xml.new")) {
                self.give(id)?;
            }
        }
        Ok(())
    }

    fn give(&self, id: &str) -> Result<()> {
        let (new, copy) = (format!("written/{id}.xml.new"), format!("written/{id}.xml"));
        let xml = std::fs::read(self.root.join(&new))?;
        self.write(&format!("out/{id}.xml"), &xml)?;
        std::fs::rename(self.root.join(new), self.root.join(copy))
    }

    /// Whole or not at all, also after a power cut.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.join(name);
        let folder = path.parent().unwrap_or(&self.root);
        // A bank's client takes `*.xml`; this it does not see.
        let temporary = folder.join(format!(".{}", path.file_name().and_then(|name| name.to_str()).unwrap_or("file")));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        File::open(folder)?.sync_all()
    }

    /// The id of the file that the transfer was handed over in.
    fn file_of(&self, transfer: TransferId) -> Option<String> {
        let id = std::fs::read_to_string(self.root.join("written").join(hex(transfer))).ok()?;
        self.root.join("written").join(format!("{id}.xml")).exists().then_some(id)
    }

    /// Whether the transfer was handed over by this folder.
    pub(crate) fn knows(&self, transfer: TransferId) -> bool {
        self.file_of(transfer).is_some() || self.said(transfer).is_some()
    }

    /// What the bank said last of a transfer; its last final word where it has said one. It may take one back: what was paid is
    /// sent back by the payee's bank.
    pub(crate) fn said(&self, transfer: TransferId) -> Option<RailAnswer> {
        let mut last = None;
        for number in 0.. {
            let text = std::fs::read_to_string(self.said_path(transfer, number)).ok();
            let Some(answer) = text.and_then(|text| from_text(&text)) else { break };
            if is_final(&answer) || !last.as_ref().is_some_and(is_final) {
                last = Some(answer);
            }
        }
        last
    }

    fn said_path(&self, transfer: TransferId, number: u32) -> PathBuf {
        self.root.join("read").join(format!("{}.{number}", hex(transfer)))
    }

    /// Reads what the bank has answered, the oldest first, and gives, for each report, the transfers that there is news of. Until a
    /// report is [filed away](Self::file_away) it comes again.
    ///
    /// # Errors
    /// Of the file system. A report that is none is moved to `unread`, and logged.
    pub fn read_reports(&self) -> Result<Vec<(PathBuf, Vec<TransferId>)>> {
        let _busy = self.busy.lock().map_err(|_| Error::other("the folder's last user panicked"))?;
        let mut reports = Vec::new();
        for entry in std::fs::read_dir(self.root.join("in"))? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "xml") {
                reports.push((entry.metadata()?.modified()?, path));
            }
        }
        reports.sort();
        let mut news = Vec::new();
        for (_, path) in reports.into_iter().take(MAX_REPORTS) {
            match self.read_report(&path) {
                Ok(transfers) => news.push((path, transfers)),
                Err(error) => {
                    tracing::error!(report = %path.display(), %error, "a bank's report was not understood");
                    std::fs::rename(&path, self.root.join("unread").join(path.file_name().unwrap_or_default()))?;
                }
            }
        }
        Ok(news)
    }

    /// What a report says was taken in.
    ///
    /// # Errors
    /// Of the file system.
    pub fn file_away(&self, report: &Path) -> Result<()> {
        std::fs::rename(report, self.root.join("read").join(report.file_name().unwrap_or_default()))
    }

    fn read_report(&self, path: &Path) -> Result<Vec<TransferId>> {
        if std::fs::metadata(path)?.len() > u64::try_from(MAX_REPORT_LEN).unwrap_or(u64::MAX) {
            return Err(Error::new(ErrorKind::InvalidData, "it is too large"));
        }
        let invalid = |error: String| Error::new(ErrorKind::InvalidData, error);
        let report = Report::read(&std::fs::read(path)?).map_err(|error| invalid(error.to_string()))?;
        let copy = self.root.join("written").join(format!("{}.xml", hex(report.collection)));
        let ours = std::fs::read_to_string(copy).map_err(|_| invalid("it is about no file of ours".to_owned()))?;
        let answers = report.answers_to(&ours).map_err(|error| invalid(error.to_string()))?;
        for (transfer, answer) in &answers {
            let number = (0..).find(|number| !self.said_path(*transfer, *number).exists()).unwrap_or(u32::MAX);
            let name = format!("read/{}.{number}", hex(*transfer));
            self.write(&name, to_text(answer).as_bytes())?;
        }
        Ok(answers.into_keys().collect())
    }
}

const fn is_final(answer: &RailAnswer) -> bool {
    matches!(answer, RailAnswer::Done | RailAnswer::Declined(_))
}

fn to_text(answer: &RailAnswer) -> String {
    match answer {
        RailAnswer::Done => "done".to_owned(),
        RailAnswer::Declined(decline) => format!("declined {}", decline.as_str()),
        RailAnswer::Pending => "pending".to_owned(),
        RailAnswer::ActionNeeded(_) | RailAnswer::Unknown => "unknown".to_owned(),
    }
}

fn from_text(text: &str) -> Option<RailAnswer> {
    match text.split_once(' ') {
        Some(("declined", why)) => Decline::from_text(why).map(RailAnswer::Declined),
        Some(_) => None,
        None => match text {
            "done" => Some(RailAnswer::Done),
            "pending" => Some(RailAnswer::Pending),
            "unknown" => Some(RailAnswer::Unknown),
            _ => None,
        },
    }
}

/// One transfer by bank. Speaks [`Rail`] for it; the reference it gives is the id of the file that the transfer is in.
#[derive(Clone, Debug)]
pub struct BankTransfer<'a> {
    /// Where files lie.
    pub folder: &'a BankFolder,
    /// The file that the transfer goes with, where it is in none yet.
    pub collection: &'a Collection,
}

impl Rail for BankTransfer<'_> {
    type Answered = std::future::Ready<RailReply>;

    const KIND: RailKind = RailKind::Bank;

    fn hold(self, _: Movement) -> Self::Answered {
        not_possible()
    }

    fn post(self, movement: Movement) -> Self::Answered {
        let answer = if self.folder.file_of(movement.transfer).is_some() {
            RailAnswer::Pending
        } else {
            match self.folder.hand_over(self.collection) {
                Ok(()) if self.folder.file_of(movement.transfer).is_some() => RailAnswer::Pending,
                // The payee has no account any more.
                Ok(()) => RailAnswer::Declined(Decline::Payee),
                Err(error) => {
                    tracing::error!(%error, "a file for the bank was not written");
                    RailAnswer::Unknown
                }
            }
        };
        std::future::ready(RailReply { answer, reference: self.folder.file_of(movement.transfer) })
    }

    fn void(self, _: Movement) -> Self::Answered {
        not_possible()
    }

    fn refund(self, _: Movement) -> Self::Answered {
        not_possible()
    }

    fn status(self, _: RailStep, movement: Movement) -> Self::Answered {
        let reference = self.folder.file_of(movement.transfer);
        let answer = match self.folder.said(movement.transfer) {
            // The bank has it, whatever that word means.
            Some(RailAnswer::Unknown) => RailAnswer::Pending,
            Some(said) => said,
            None if reference.is_some() => RailAnswer::Pending,
            None => RailAnswer::Unknown,
        };
        std::future::ready(RailReply { answer, reference })
    }
}

fn not_possible() -> std::future::Ready<RailReply> {
    std::future::ready(RailAnswer::Declined(Decline::NotPossible).into())
}
