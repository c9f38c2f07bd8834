//! The journal on disk, and the folder that is all a watch owns.
//!
//! Replacing a file is: write a new one beside it, fsync it, rename it, fsync the folder. So a power cut leaves the old
//! content or the new one, never half of it, and after `Ok` always the new one (`tests/power.rs` cuts the power at every
//! step). One process at a time uses a folder.

use std::fmt::Debug;
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

/// What a watch asks of a file system; names are those of files in its one folder. In tests one that loses power.
pub trait Disk: Debug + Send + Sync {
    /// `None` if there is no such file. At most `limit` bytes and one more, which tells that there are more.
    fn read(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>>;
    /// Makes a file that is not there yet. Nothing of it needs to outlive a power cut.
    fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// What was written to a file is durable.
    fn sync(&self, name: &str) -> io::Result<()>;
    /// In place of what was called `to`; at once, but not durable.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Also when there is no such file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Which files there are, and by which name, is durable.
    fn sync_folder(&self) -> io::Result<()>;
}

/// Files that this process alone uses.
#[derive(Debug)]
pub struct Storage {
    folder: PathBuf,
    disk: Box<dyn Disk>,
}

impl Storage {
    /// Makes the folder if it is not there (mode 0700) and locks it.
    pub fn open(folder: &Path) -> Result<Self, StorageError> {
        Ok(Self::on(Box::new(Folder::open(folder)?), folder))
    }

    /// On another disk; `folder` is for messages to people.
    #[must_use]
    pub fn on(disk: Box<dyn Disk>, folder: &Path) -> Self {
        Self { folder: folder.to_owned(), disk }
    }

    /// `None` if there is no such file yet.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.folder.join(name);
        match self.disk.read(name, MAX_FILE_LEN) {
            Ok(Some(bytes)) if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_FILE_LEN) => {
                Err(StorageError::TooLarge(path))
            }
            Ok(content) => Ok(content),
            Err(source) => Err(StorageError::Io { what: "read", path, source }),
        }
    }

    /// Durable when it returns `Ok`; otherwise the old content may still be there, or the new one already is.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let io = |source| StorageError::Io { what: "written", path: self.folder.join(name), source };
        self.try_replace(name, bytes).map_err(io)
    }

    fn try_replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let fresh = format!("{name}.new");
        self.disk.remove(&fresh)?;
        self.disk.write_new(&fresh, bytes)?;
        self.disk.sync(&fresh)?;
        self.disk.rename(&fresh, name)?;
        self.disk.sync_folder()
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

/// A folder of this machine.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Held open: the lock is the process's as long as it lives.
    _lock: File,
}

impl Folder {
    fn open(folder: &Path) -> Result<Self, StorageError> {
        let made = |source| StorageError::Io { what: "made", path: folder.to_owned(), source };
        let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.exists()).collect();
        std::fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY_FOLDER).create(folder).map_err(made)?;
        // A new folder outlives a power cut only once the one around it is durable.
        for parent in missing.into_iter().filter_map(Path::parent) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(made)?;
        }
        let path = folder.join("lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(OWNER_ONLY).open(&path);
        let locked = opened.map_err(TryLockError::Error).and_then(|lock| lock.try_lock().map(|()| lock));
        match locked {
            Ok(lock) => Ok(Self { path: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StorageError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => Err(StorageError::Io { what: "locked", path, source }),
        }
    }
}

fn unless_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

impl Disk for Folder {
    fn read(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path.join(name)) {
            Ok(file) => file,
            Err(error) => return unless_missing(error).map(|()| None),
        };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        OpenOptions::new().create_new(true).write(true).mode(OWNER_ONLY).open(path)?.write_all(bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.path.join(name))?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name)).or_else(unless_missing)
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
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
        std::fs::write(data.join("journal.json.new"), b"half").expect("writes");
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
