//! The device key in a file: for the simulator, and for devices without a secure element.
//!
//! 32 bytes, the secret scalar, mode 0600: a file that others may read is refused. Never in the journal, never in a log.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::rc::Rc;

use nodpay_core::PublicKey;
use nodpay_protocol::{SignError, Signer, SoftwareKey};
use nodpay_watch::{KeyStore, KeyStoreError};
use zeroize::Zeroizing;

use crate::storage::{Storage, StorageError};

const FILE: &str = "key";

/// Why there is no key to work with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Its mode lets others in.
    #[error("others may read {0}: it must have mode 0600")]
    Exposed(PathBuf),
    /// Not 32 bytes, or not a scalar.
    #[error("{0} is not a device key")]
    Malformed(PathBuf),
    /// The operating system gives none.
    #[error("there are no random numbers: {0}")]
    Random(getrandom::Error),
}

/// See the module.
#[derive(Debug)]
pub struct FileKeys {
    storage: Rc<Storage>,
    key: SoftwareKey,
}

impl FileKeys {
    /// Reads the key, or makes the first one.
    pub fn open(storage: Rc<Storage>) -> Result<Self, KeyError> {
        let path = storage.path(FILE);
        let Some(bytes) = storage.read(FILE)?.map(Zeroizing::new) else {
            let key = draw()?;
            storage.replace(FILE, key.secret().as_slice())?;
            return Ok(Self { storage, key });
        };
        let mode = std::fs::metadata(&path).map(|metadata| metadata.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o077 != 0) {
            return Err(KeyError::Exposed(path));
        }
        let secret = <&[u8; 32]>::try_from(bytes.as_slice()).ok();
        let key = secret.and_then(SoftwareKey::from_secret).ok_or(KeyError::Malformed(path))?;
        Ok(Self { storage, key })
    }
}

fn draw() -> Result<SoftwareKey, KeyError> {
    loop {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut_slice()).map_err(KeyError::Random)?;
        // All but about one in 2^32 are scalars.
        if let Some(key) = SoftwareKey::from_secret(&secret) {
            return Ok(key);
        }
    }
}

impl Signer for FileKeys {
    fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        self.key.sign(message)
    }
}

impl KeyStore for FileKeys {
    fn renew(&mut self, secret: &[u8; 32]) -> Result<PublicKey, KeyStoreError> {
        let key = SoftwareKey::from_secret(secret).ok_or_else(|| KeyStoreError("not a scalar".to_owned()))?;
        self.storage.replace(FILE, key.secret().as_slice()).map_err(|error| KeyStoreError(error.to_string()))?;
        self.key = key;
        Ok(self.key.public_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_outlives_the_program_until_it_is_renewed() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = Rc::new(Storage::open(folder.path()).expect("opens"));
        let mut keys = FileKeys::open(Rc::clone(&storage)).expect("draws");
        let first = keys.public_key();
        assert_eq!(FileKeys::open(Rc::clone(&storage)).expect("reads").public_key(), first);
        let second = keys.renew(&[7; 32]).expect("renews");
        assert_ne!(first, second);
        assert_eq!(FileKeys::open(Rc::clone(&storage)).expect("reads").public_key(), second);
        assert!(keys.renew(&[0; 32]).is_err(), "zero is no scalar");
        assert_eq!(keys.public_key(), second);
        assert!(!format!("{keys:?}").contains("0707"));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = Rc::new(Storage::open(folder.path()).expect("opens"));
        drop(FileKeys::open(Rc::clone(&storage)).expect("draws"));
        let path = storage.path(FILE);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("opens up");
        assert!(matches!(FileKeys::open(Rc::clone(&storage)), Err(KeyError::Exposed(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("closes");
        std::fs::write(&path, [1; 31]).expect("writes");
        assert!(matches!(FileKeys::open(storage), Err(KeyError::Malformed(_))));
    }
}
