//! The device key in a file: for the simulator, and for devices without a secure element.
//!
//! The secret scalar under AES-256-GCM, mode 0600. The encryption key is derived (HKDF-SHA256) from a secret in another
//! file: one that the platform provides, or `device-secret` beside it. Beside it, it only keeps a copy of the one file from
//! being enough; whoever reads the whole folder has the key.
//!
//! Layout: 12 bytes [`HEADER`], 12 bytes nonce, 32 bytes scalar encrypted, 16 bytes tag. The header is authenticated too.
//! A file of 32 bytes is the older form, the scalar as it is: it is read and written anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nodpay_core::PublicKey;
use nodpay_protocol::{SignError, Signer, SoftwareKey};
use nodpay_watch::{KeyStore, KeyStoreError};
use ring::{aead, hkdf};
use zeroize::Zeroizing;

use crate::storage::Storage;
use crate::{KeyError, in_words, private, random};

const FILE: &str = "key";
const SECRET_FILE: &str = "device-secret";
const HEADER: &[u8; 12] = b"nodpay-key/1";
const NONCE_LEN: usize = aead::NONCE_LEN;
const SCALAR_LEN: usize = 32;
const FILE_LEN: usize = HEADER.len() + NONCE_LEN + SCALAR_LEN + aead::MAX_TAG_LEN;
/// Of the secret that the encryption key comes from, in bytes.
const MIN_SECRET_LEN: usize = 16;
const MAX_SECRET_LEN: usize = 4096;
/// Of the one made here.
const OWN_SECRET_LEN: usize = 32;

/// Why the file is no key.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Neither form, or no scalar in it.
    #[error("{0} is not a device key")]
    Malformed(PathBuf),
    /// Another secret, or changed bytes.
    #[error("{key} was encrypted under another secret than {secret}, or was changed")]
    Sealed {
        /// The file.
        key: PathBuf,
        /// Where the secret was read.
        secret: PathBuf,
    },
}

/// See the module.
#[derive(Debug)]
pub struct FileKeys {
    storage: Arc<Storage>,
    secret: PathBuf,
    key: SoftwareKey,
}

impl FileKeys {
    /// Reads the key, or makes the first one. `secret` is the file to encrypt under; without it one is made in the folder.
    pub fn open(storage: Arc<Storage>, secret: Option<PathBuf>) -> Result<Self, KeyError> {
        let path = storage.path(FILE);
        let found = private::read(&path, FILE_LEN)?;
        let sealed = found.as_ref().is_some_and(|bytes| bytes.len() == FILE_LEN);
        let own_secret = storage.path(SECRET_FILE);
        // A key that is already encrypted is so under a secret that was lost: a new one would not open it.
        if secret.is_none() && !sealed && private::read(&own_secret, MAX_SECRET_LEN)?.is_none() {
            storage.replace(SECRET_FILE, random::<OWN_SECRET_LEN>().map_err(KeyError::Random)?.as_slice())?;
        }
        let secret = secret.unwrap_or(own_secret);
        let Some(bytes) = found else {
            let key = draw()?;
            store(&storage, &secret, &key)?;
            return Ok(Self { storage, secret, key });
        };
        let scalar = match <&[u8; SCALAR_LEN]>::try_from(bytes.as_slice()) {
            Ok(plain) if !plain.starts_with(HEADER) => Zeroizing::new(*plain),
            Ok(_) | Err(_) => unseal(bytes, &secret, &path)?,
        };
        let key = SoftwareKey::from_secret(&scalar).ok_or(FileError::Malformed(path))?;
        if !sealed {
            store(&storage, &secret, &key)?;
        }
        Ok(Self { storage, secret, key })
    }
}

/// The scalar out of a whole file.
fn unseal(mut bytes: Zeroizing<Vec<u8>>, secret: &Path, path: &Path) -> Result<Zeroizing<[u8; SCALAR_LEN]>, KeyError> {
    let malformed = || FileError::Malformed(path.to_owned());
    let (header, rest) = bytes.split_first_chunk_mut::<{ HEADER.len() }>().ok_or_else(malformed)?;
    let (nonce, sealed) = rest.split_first_chunk_mut::<NONCE_LEN>().ok_or_else(malformed)?;
    if header != HEADER {
        return Err(malformed().into());
    }
    let cipher = cipher(secret)?;
    let opened = cipher.open_in_place(aead::Nonce::assume_unique_for_key(*nonce), aead::Aad::from(HEADER), sealed);
    let opened = opened.map_err(|_| FileError::Sealed { key: path.to_owned(), secret: secret.to_owned() })?;
    let scalar = <&[u8; SCALAR_LEN]>::try_from(&*opened).map_err(|_| malformed())?;
    Ok(Zeroizing::new(*scalar))
}

/// Durable when it returns.
fn store(storage: &Storage, secret: &Path, key: &SoftwareKey) -> Result<(), KeyError> {
    let nonce = *random::<NONCE_LEN>().map_err(KeyError::Random)?;
    let mut scalar = key.secret();
    let tag = cipher(secret)?
        .seal_in_place_separate_tag(
            aead::Nonce::assume_unique_for_key(nonce),
            aead::Aad::from(HEADER),
            scalar.as_mut_slice(),
        )
        .map_err(|_| FileError::Malformed(storage.path(FILE)))?;
    let file = [HEADER.as_slice(), &nonce, scalar.as_slice(), tag.as_ref()].concat();
    Ok(storage.replace(FILE, &file)?)
}

/// The secret is read each time, so that it is not in memory meanwhile.
fn cipher(secret: &Path) -> Result<aead::LessSafeKey, KeyError> {
    let bytes = private::require(secret, MIN_SECRET_LEN, MAX_SECRET_LEN)?;
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&bytes);
    let unfit = |_| private::PrivateFileError::Unfit(secret.to_owned());
    let okm = derived.expand(&[HEADER], &aead::AES_256_GCM).map_err(unfit)?;
    Ok(aead::LessSafeKey::new(okm.into()))
}

fn draw() -> Result<SoftwareKey, KeyError> {
    loop {
        let scalar = random().map_err(KeyError::Random)?;
        // All but about one in 2^32 are.
        if let Some(key) = SoftwareKey::from_secret(&scalar) {
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
        store(&self.storage, &self.secret, &key).map_err(|error| KeyStoreError(in_words(&error)))?;
        self.key = key;
        Ok(self.key.public_key())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::private::PrivateFileError;

    fn storage(folder: &Path) -> Arc<Storage> {
        Arc::new(Storage::open(folder).expect("opens"))
    }

    fn open(storage: &Arc<Storage>) -> Result<FileKeys, KeyError> {
        FileKeys::open(Arc::clone(storage), None)
    }

    fn write_private(path: &Path, bytes: &[u8]) {
        std::fs::write(path, bytes).expect("writes");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("closes");
    }

    #[test]
    fn a_key_outlives_the_program_until_it_is_renewed() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = storage(folder.path());
        let mut keys = open(&storage).expect("draws");
        let first = keys.public_key();
        assert_eq!(open(&storage).expect("reads").public_key(), first);
        let second = keys.renew(&[7; 32]).expect("renews");
        assert_ne!(first, second);
        assert_eq!(open(&storage).expect("reads").public_key(), second);
        assert!(keys.renew(&[0; 32]).is_err(), "zero is no scalar");
        assert_eq!(keys.public_key(), second);
        assert!(!format!("{keys:?}").contains("0707"));
        // What was there before is a folder's worth of bytes; the scalar is in none of them.
        for entry in std::fs::read_dir(folder.path()).expect("a folder") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("reads");
            assert!(!bytes.windows(8).any(|window| window == [7; 8]));
        }
    }

    #[test]
    fn a_plain_key_of_the_older_form_becomes_encrypted_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = storage(folder.path());
        let path = storage.path(FILE);
        write_private(&path, &[9; 32]);
        let public = SoftwareKey::from_secret(&[9; 32]).expect("a scalar").public_key();
        assert_eq!(open(&storage).expect("reads").public_key(), public);
        let file = std::fs::read(&path).expect("reads");
        assert_eq!(file.len(), FILE_LEN);
        assert_eq!(open(&storage).expect("reads").public_key(), public);
        assert_eq!(std::fs::read(&path).expect("reads"), file, "written once");
        write_private(&path, &[0; 32]);
        assert!(matches!(open(&storage), Err(KeyError::File(FileError::Malformed(_)))));
    }

    #[test]
    fn one_file_without_the_other_is_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = storage(folder.path());
        let public = open(&storage).expect("draws").public_key();
        let secret = std::fs::read(storage.path(SECRET_FILE)).expect("reads");
        assert_eq!(secret.len(), OWN_SECRET_LEN);
        std::fs::remove_file(storage.path(SECRET_FILE)).expect("removes");
        assert!(matches!(open(&storage), Err(KeyError::Private(PrivateFileError::Io { .. }))));
        assert!(!storage.path(SECRET_FILE).exists(), "none is made for a key that needs another");
        write_private(&storage.path(SECRET_FILE), &[1; OWN_SECRET_LEN]);
        assert!(matches!(open(&storage), Err(KeyError::File(FileError::Sealed { .. }))));
        write_private(&storage.path(SECRET_FILE), &secret);
        assert_eq!(open(&storage).expect("reads").public_key(), public);
    }

    #[test]
    fn every_changed_or_missing_byte_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = storage(folder.path());
        drop(open(&storage).expect("draws"));
        let path = storage.path(FILE);
        let file = std::fs::read(&path).expect("reads");
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            write_private(&path, &changed);
            assert!(matches!(open(&storage), Err(KeyError::File(_))), "byte {at}");
            write_private(&path, &file[..at]);
            assert!(matches!(open(&storage), Err(KeyError::File(_))), "{at} bytes");
        }
        write_private(&path, &[file.as_slice(), &[0]].concat());
        assert!(matches!(open(&storage), Err(KeyError::Private(PrivateFileError::Unfit(_)))));
    }

    #[test]
    fn files_that_others_may_read_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = storage(folder.path());
        drop(open(&storage).expect("draws"));
        for name in [FILE, SECRET_FILE] {
            let mode = |mode| std::fs::set_permissions(storage.path(name), std::fs::Permissions::from_mode(mode));
            mode(0o644).expect("opens up");
            assert!(matches!(open(&storage), Err(KeyError::Private(PrivateFileError::Exposed(_)))), "{name}");
            mode(0o600).expect("closes");
            assert!(open(&storage).is_ok());
        }
    }

    #[test]
    fn a_secret_of_the_platform_is_used_and_never_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = storage(&folder.path().join("watch"));
        let secret = folder.path().join("credential");
        let open = || FileKeys::open(Arc::clone(&storage), Some(secret.clone()));
        assert!(matches!(open(), Err(KeyError::Private(PrivateFileError::Io { .. }))));
        write_private(&secret, &[5; MIN_SECRET_LEN - 1]);
        assert!(matches!(open(), Err(KeyError::Private(PrivateFileError::Unfit(_)))));
        write_private(&secret, &[5; MIN_SECRET_LEN]);
        let mut keys = open().expect("draws");
        assert!(!storage.path(SECRET_FILE).exists());
        let public = keys.public_key();
        assert_eq!(open().expect("reads").public_key(), public);
        // Gone while the watch runs: the old key goes on signing, a new one is refused.
        std::fs::remove_file(&secret).expect("removes");
        assert!(keys.renew(&[7; 32]).is_err());
        assert_eq!(keys.public_key(), public);
        assert!(keys.sign(b"nod").is_ok());
    }
}
