//! The journal on disk, and the folder that is all a watch owns.
//!
//! Replacing a file is: write a new one beside it, fsync it, rename it, fsync the folder. So a power cut leaves the old
//! content or the new one, never half of it. One process at a time uses a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Files of a watch are nobody else's business.
const OWNER_ONLY: u32 = 0o600;
const OWNER_ONLY_FOLDER: u32 = 0o700;
/// Longest file read back, in bytes.
const MAX_FILE_LEN: u64 = 32 * 1024 * 1024;

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Two programs with one key and two journals would be two watches.
    #[error("another watch program uses {0}")]
    InUse(PathBuf),
    /// The operating system refused.
    #[error("{path} could not be {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With this.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// Not a file of ours.
    #[error("{0} is larger than anything a watch keeps")]
    TooLarge(PathBuf),
}

/// A folder that this process alone uses.
#[derive(Debug)]
pub struct Storage {
    folder: PathBuf,
    /// Held open: the lock is the process's as long as it lives.
    _lock: File,
}

impl Storage {
    /// Makes the folder if it is not there (mode 0700) and locks it.
    pub fn open(folder: &Path) -> Result<Self, StorageError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(OWNER_ONLY_FOLDER)
            .create(folder)
            .map_err(|source| StorageError::Io { what: "made", path: folder.to_owned(), source })?;
        let path = folder.join("lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(OWNER_ONLY).open(&path);
        let locked = opened.map_err(TryLockError::Error).and_then(|lock| lock.try_lock().map(|()| lock));
        match locked {
            Ok(lock) => Ok(Self { folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StorageError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => Err(StorageError::Io { what: "locked", path, source }),
        }
    }

    /// `None` if there is no such file yet.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.folder.join(name);
        let io = |source| StorageError::Io { what: "read", path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        if file.metadata().map_err(io)?.len() > MAX_FILE_LEN {
            return Err(StorageError::TooLarge(path));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_LEN).read_to_end(&mut bytes).map_err(io)?;
        Ok(Some(bytes))
    }

    /// Durable when it returns `Ok`; otherwise the old content is still there.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let path = self.folder.join(name);
        self.try_replace(&path, bytes).map_err(|source| StorageError::Io { what: "written", path, source })
    }

    fn try_replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let fresh = path.with_extension("new");
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(OWNER_ONLY).open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Whether this is the folder at `path`.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        real(path).is_some_and(|path| real(&self.folder) == Some(path))
    }

    /// Where a file of this name lies.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("watch");
        let storage = Storage::open(&data).expect("opens");
        assert_eq!(storage.read("journal.json").expect("reads"), None);
        storage.replace("journal.json", b"one").expect("writes");
        // A power cut between write and rename leaves such a file.
        std::fs::write(data.join("journal.new"), b"half").expect("writes");
        assert_eq!(storage.read("journal.json").expect("reads").as_deref(), Some(&b"one"[..]));
        storage.replace("journal.json", b"two").expect("writes over it");
        assert_eq!(storage.read("journal.json").expect("reads").as_deref(), Some(&b"two"[..]));
    }

    #[test]
    fn a_folder_has_one_user() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Storage::open(folder.path()).expect("opens");
        assert!(matches!(Storage::open(folder.path()), Err(StorageError::InUse(_))));
        drop(first);
        assert!(Storage::open(folder.path()).is_ok());
    }
}
