//! Where a watch keeps its device key, each store behind `nodpay_watch::KeyStore`: an encrypted file, a PKCS#11 token, a
//! TPM 2. One line of configuration chooses ([`KeyConfig`]), [`open`] opens. Also the folder that holds what a watch keeps
//! ([`storage`]): a store puts its file or its references there.
//!
//! **Invariant:** a private key leaves its store never; the file's is in memory while it works.
//! **Invariant:** a key is made, then durable, then the old one goes: after a power cut one of the two works.
//! **Invariant:** hardware's signatures are verified before they are used.

mod config;
pub mod file;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
mod private;
pub mod storage;
#[cfg(feature = "tpm")]
pub mod tpm;

use std::sync::Arc;

use nodpay_watch::KeyStore;

pub use config::{ConfigError, KeyConfig, Pkcs11Config, Tcti, TpmConfig};
pub use private::PrivateFileError;

use crate::storage::{Storage, StorageError};

/// Why there is no key to work with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file of the store could not be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A file that should be this user's alone.
    #[error(transparent)]
    Private(#[from] PrivateFileError),
    /// The encrypted file.
    #[error(transparent)]
    File(#[from] file::FileError),
    /// The token.
    #[cfg(feature = "pkcs11")]
    #[error(transparent)]
    Pkcs11(#[from] pkcs11::Pkcs11Error),
    /// The TPM.
    #[cfg(feature = "tpm")]
    #[error(transparent)]
    Tpm(#[from] tpm::TpmError),
    /// Configured, but this program was built without it.
    #[error("this program cannot use {store} keys: build it with --features {feature}")]
    NotBuiltIn {
        /// As configured.
        store: &'static str,
        /// Of `nodpay-keys`, `nodpay-watch-app` and `nodpay`.
        feature: &'static str,
    },
    /// The operating system gives none.
    #[error("there are no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Opens the configured store; a first key is made where there is none. `data` is the watch's folder.
pub fn open(config: &KeyConfig, data: &Arc<Storage>) -> Result<Box<dyn KeyStore>, KeyError> {
    match config {
        KeyConfig::File { folder, secret } => {
            let storage = match folder {
                Some(folder) if !data.is_at(folder) => Arc::new(Storage::open(folder)?),
                Some(_) | None => Arc::clone(data),
            };
            Ok(Box::new(file::FileKeys::open(storage, secret.clone())?))
        }
        #[cfg(feature = "pkcs11")]
        KeyConfig::Pkcs11(config) => Ok(Box::new(pkcs11::Pkcs11Keys::open(config.clone(), Arc::clone(data))?)),
        #[cfg(not(feature = "pkcs11"))]
        KeyConfig::Pkcs11(_) => Err(KeyError::NotBuiltIn { store: "PKCS#11", feature: "pkcs11" }),
        #[cfg(feature = "tpm")]
        KeyConfig::Tpm(config) => Ok(Box::new(tpm::TpmKeys::open(config.clone(), Arc::clone(data))?)),
        #[cfg(not(feature = "tpm"))]
        KeyConfig::Tpm(_) => Err(KeyError::NotBuiltIn { store: "TPM", feature: "tpm" }),
    }
}

fn random<const LEN: usize>() -> Result<zeroize::Zeroizing<[u8; LEN]>, getrandom::Error> {
    let mut bytes = zeroize::Zeroizing::new([0; LEN]);
    getrandom::fill(bytes.as_mut_slice())?;
    Ok(bytes)
}

/// An error with its causes, for the errors of a store, which are words.
fn in_words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}"))
}

/// Whether hardware signed with the key it should: a fault or a changed token must not send bytes that nobody accepts.
#[cfg(any(feature = "pkcs11", feature = "tpm"))]
fn verified(
    public: &nodpay_core::PublicKey,
    message: &[u8],
    signature: [u8; 64],
) -> Result<[u8; 64], nodpay_protocol::SignError> {
    ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, public.as_bytes())
        .verify(message, &signature)
        .map(|()| signature)
        .map_err(|_| nodpay_protocol::SignError("its signature does not verify".to_owned()))
}

#[cfg(all(test, not(any(feature = "pkcs11", feature = "tpm"))))]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_not_built_in_names_its_feature() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = Arc::new(Storage::open(folder.path()).expect("opens"));
        for (line, feature) in
            [("pkcs11:token=a?module-path=m.so&pin-source=pin", "pkcs11"), ("tpm:device:/dev/tpmrm0", "tpm")]
        {
            let refused = open(&line.parse().expect("a line"), &data).err().expect("refused").to_string();
            assert!(refused.ends_with(&format!("build it with --features {feature}")), "{refused}");
        }
    }

    #[test]
    fn keys_may_lie_in_another_folder_or_by_name_in_the_same_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = Arc::new(Storage::open(&folder.path().join("watch")).expect("opens"));
        let config = |at: &str| KeyConfig::File { folder: Some(folder.path().join(at)), secret: None };
        let key = |config: &KeyConfig| open(config, &data).expect("opens").public_key();
        let here = key(&KeyConfig::default());
        assert_eq!(key(&config("watch/../watch")), here);
        assert_ne!(key(&config("elsewhere")), here);
        assert!(folder.path().join("elsewhere/key").exists());
    }
}
