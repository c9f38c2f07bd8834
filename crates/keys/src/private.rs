//! Reading files that hold secrets: only those that nobody else could have read or changed.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Why a secret was not taken from a file.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// The operating system refused.
    #[error("{path} could not be read")]
    Io {
        /// Of this file.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// Its mode or owner lets others in.
    #[error("others may read or change {0}: it must have mode 0600 and belong to the user who runs the watch")]
    Exposed(PathBuf),
    /// A folder, a device, or longer than any secret.
    #[error("{0} is not a file with a secret")]
    Unfit(PathBuf),
}

/// The content, whole. `None` if there is no such file.
pub(crate) fn read(path: &Path, max_len: usize) -> Result<Option<Zeroizing<Vec<u8>>>, PrivateFileError> {
    let io = |source| PrivateFileError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    // Of the opened file: a check by path could be of another one.
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(PrivateFileError::Unfit(path.to_owned()));
    }
    if !is_private(&metadata, rustix::process::geteuid().as_raw()) {
        return Err(PrivateFileError::Exposed(path.to_owned()));
    }
    // One byte more than allowed, so that a longer file is seen; and never grown, so that no copy stays behind.
    let mut bytes = Zeroizing::new(vec![0; max_len + 1]);
    let mut file = file;
    let mut len = 0;
    while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io(error)),
        }
    }
    if len > max_len {
        return Err(PrivateFileError::Unfit(path.to_owned()));
    }
    bytes.truncate(len);
    Ok(Some(bytes))
}

/// As [`read`], of a file that must be there and hold `min_len` bytes.
pub(crate) fn require(path: &Path, min_len: usize, max_len: usize) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let missing = || PrivateFileError::Io { path: path.to_owned(), source: io::ErrorKind::NotFound.into() };
    let bytes = read(path, max_len)?.ok_or_else(missing)?;
    if bytes.len() < min_len { Err(PrivateFileError::Unfit(path.to_owned())) } else { Ok(bytes) }
}

/// As [`require`], without the newline that editors put at the end: for what people type.
#[cfg(any(feature = "pkcs11", feature = "tpm"))]
pub(crate) fn require_line(path: &Path, max_len: usize) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let mut bytes = require(path, 1, max_len)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.is_empty() { Err(PrivateFileError::Unfit(path.to_owned())) } else { Ok(bytes) }
}

/// Ours, and nobody else's; or root's, readable by one group at most: the service manager hands credentials out like that.
fn is_private(metadata: &Metadata, user: u32) -> bool {
    let mode = metadata.mode();
    if metadata.uid() == user { mode & 0o077 == 0 } else { metadata.uid() == 0 && mode & 0o027 == 0 }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_private_files_of_a_fitting_length_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        assert!(matches!(read(&path, 8), Ok(None)));
        assert!(matches!(require(&path, 1, 8), Err(PrivateFileError::Io { .. })));
        std::fs::write(&path, b"12345678").expect("writes");
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("sets");
        for open in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644] {
            mode(open);
            assert!(matches!(read(&path, 8), Err(PrivateFileError::Exposed(_))), "{open:o}");
        }
        for closed in [0o600, 0o400] {
            mode(closed);
            assert_eq!(read(&path, 8).expect("reads").expect("is there").as_slice(), b"12345678");
        }
        assert!(matches!(read(&path, 7), Err(PrivateFileError::Unfit(_))));
        assert!(matches!(require(&path, 9, 16), Err(PrivateFileError::Unfit(_))));
        assert!(matches!(read(folder.path(), 8), Err(PrivateFileError::Unfit(_))));
    }

    #[test]
    fn another_users_file_is_refused_and_roots_may_be_a_groups() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, b"1").expect("writes");
        let metadata = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("sets");
            std::fs::metadata(&path).expect("is there")
        };
        let owner = metadata(0o600).uid();
        assert!(is_private(&metadata(0o600), owner));
        // As another user sees it: root's file passes, anyone else's does not.
        assert_eq!(is_private(&metadata(0o440), owner + 1), owner == 0);
        assert!(!is_private(&metadata(0o460), owner + 1));
        assert!(!is_private(&metadata(0o444), owner + 1));
    }
}
