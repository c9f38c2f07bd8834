//! The service's keys on disk.
//!
//! The root key is the operator's: it certifies merchants and the outcome key, and may lie somewhere else than on this
//! host. The outcome key is always here: it signs how each order ended. Each is one file of JSON, mode 0600, made once
//! by [`init_keys`] and never overwritten. Secrets never reach a log.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nodpay_core::{
    Bytes, Digest, MerchantCertificate, MerchantId, Outcome, OutcomeCertificate, PublicKey, Timestamp, V1,
};
use nodpay_protocol::{
    Kind, SignError, Signer as _, SoftwareKey, Verified, VerifyError, sign, verify_outcome_certificate,
};
use nodpay_store::{Message, OutcomeSigner};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secrets::{RandomError, random};
use nodpay_store::recent::Recent;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How long a merchant certificate is good.
pub const MERCHANT_CERTIFICATE_LIFE_MS: i64 = 365 * DAY_MS;
/// How long an outcome certificate is good.
pub const OUTCOME_CERTIFICATE_LIFE_MS: i64 = 2 * 365 * DAY_MS;
/// Certificates begin this long before they were made: tills' clocks are not exact.
const BACKDATED_MS: i64 = DAY_MS;

/// Outcomes whose certificate is remembered.
const MAX_CERTIFIED: usize = 16_384;

/// Longest key file, in bytes.
const MAX_KEY_FILE_LEN: u64 = 16_384;

/// Why keys cannot be used. `Display` is one plain sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Reading or writing failed.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Keys are made once.
    #[error("{0} is there already: keys are never overwritten")]
    Exists(PathBuf),
    /// Others on this host could read the secret.
    #[error("{0} can be read by others: chmod 600 it")]
    Permissions(PathBuf),
    /// Not what `admin init` writes.
    #[error("{0} is not a Nodpay key file")]
    Form(PathBuf),
    /// The outcome key's certificate was made by another root or for another key.
    #[error("the outcome key's certificate does not fit: {0}")]
    Certificate(#[from] VerifyError),
    /// The root key file is of another root than the outcome key.
    #[error("{0} is not the root that certified the outcome key")]
    OtherRoot(PathBuf),
    /// The outcome key's certificate is over or not begun.
    #[error("the outcome key's certificate is not valid now: `nodpay admin rotate-outcome-key` makes a new one")]
    CertificateTime,
    /// A key could not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The operating system has no random numbers.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// The files [`init_keys`] makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFiles {
    /// The root key: move it to a safe place when tills are enrolled.
    pub root_key: PathBuf,
    /// The outcome key with its certificate.
    pub outcome_key: PathBuf,
    /// The key that signs push messages; made when the service first starts.
    pub push_key: PathBuf,
}

impl KeyFiles {
    /// The names in `folder`.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        let file = |name| folder.join(name);
        Self { root_key: file("root.key"), outcome_key: file("outcome.key"), push_key: file("push.key") }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootFile {
    #[serde(rename = "nodpay-root-key")]
    v: V1,
    secret: Secret,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeFile {
    #[serde(rename = "nodpay-outcome-key")]
    v: V1,
    secret: Secret,
    root: PublicKey,
    certificate: String,
}

impl OutcomeFile {
    fn new(
        key: &SoftwareKey,
        root: PublicKey,
        certificate: &Verified<OutcomeCertificate>,
        path: &Path,
    ) -> Result<Self, KeyError> {
        let secret = Secret::of(key).ok_or_else(|| KeyError::Form(path.to_owned()))?;
        Ok(Self { v: V1, secret, root, certificate: certificate.wire().to_owned() })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PushFile {
    #[serde(rename = "nodpay-push-key")]
    v: V1,
    secret: Secret,
}

/// A P-256 scalar on its way to or from a file; no `Debug`, so that none can be printed.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Secret(Bytes<32, 32>);

impl Secret {
    fn of(key: &SoftwareKey) -> Option<Self> {
        Bytes::try_from(key.secret().to_vec()).ok().map(Self)
    }

    fn key(&self) -> Option<SoftwareKey> {
        let secret = Zeroizing::new(<[u8; 32]>::try_from(self.0.as_bytes()).ok()?);
        SoftwareKey::from_secret(&secret)
    }
}

/// Makes a root key and an outcome key certified by it, as two new files in `folder`, which is made if need be.
///
/// # Errors
/// When a file is there already or cannot be written.
pub fn init_keys(folder: &Path, now: Timestamp) -> Result<KeyFiles, KeyError> {
    let files = KeyFiles::in_folder(folder);
    let in_folder = |error| KeyError::File { path: folder.to_owned(), error };
    std::fs::create_dir_all(folder).map_err(in_folder)?;
    for path in [&files.root_key, &files.outcome_key] {
        if path.exists() {
            return Err(KeyError::Exists(path.clone()));
        }
    }
    let keys = ServiceKeys::generate(now)?;
    let form = |path: &PathBuf| KeyError::Form(path.clone());
    if let Some(root) = &keys.root_key {
        let secret = Secret::of(root).ok_or_else(|| form(&files.root_key))?;
        write_new(&files.root_key, &RootFile { v: V1, secret })?;
    }
    let outcome = OutcomeFile::new(&keys.outcome_key, keys.root, &keys.outcome_certificate, &files.outcome_key)?;
    write_new(&files.outcome_key, &outcome)?;
    Ok(files)
}

/// A new outcome key that waits for [`NewOutcomeKey::install`].
#[derive(Debug)]
pub struct NewOutcomeKey {
    /// Where it will be.
    path: PathBuf,
    /// Where it is.
    written: PathBuf,
    /// The root's word on it.
    pub certificate: Verified<OutcomeCertificate>,
}

/// Makes an outcome key certified by the root key in `root_key`, and writes it beside the present one in `outcome_key`. The
/// certificate must be in the database before [`NewOutcomeKey::install`] puts the key into place.
///
/// # Errors
/// When a key cannot be read or written, or the root is another one than the present outcome key's.
pub fn renew_outcome_key(outcome_key: &Path, root_key: &Path, now: Timestamp) -> Result<NewOutcomeKey, KeyError> {
    let present: OutcomeFile = read(outcome_key)?;
    let root = load_root_key(root_key)?;
    if root.public_key() != present.root {
        return Err(KeyError::OtherRoot(root_key.to_owned()));
    }
    let key = random_key()?;
    let certificate = certify_outcome_key(&root, key.public_key(), now)?;
    let written = outcome_key.with_extension("new");
    match std::fs::remove_file(&written) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(KeyError::File { path: written, error });
        }
        // Left by an attempt that was cut short: its key has signed nothing.
        Ok(()) | Err(_) => {}
    }
    write_new(&written, &OutcomeFile::new(&key, present.root, &certificate, &written)?)?;
    Ok(NewOutcomeKey { path: outcome_key.to_owned(), written, certificate })
}

impl NewOutcomeKey {
    /// Puts it into the present key's place, whose secret is then gone. The service takes it up at its next start.
    ///
    /// # Errors
    /// When the files cannot be changed.
    pub fn install(self) -> Result<(), KeyError> {
        let failed = |error| KeyError::File { path: self.path.clone(), error };
        std::fs::rename(&self.written, &self.path).map_err(failed)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

/// Reads a root key file.
///
/// # Errors
/// When it cannot be read, others can read it too, or it is not one.
pub fn load_root_key(path: &Path) -> Result<SoftwareKey, KeyError> {
    let file: RootFile = read(path)?;
    file.secret.key().ok_or_else(|| KeyError::Form(path.to_owned()))
}

/// Reads the key that signs push messages; `None` where there is none yet.
///
/// # Errors
/// When it is there and cannot be read, others can read it too, or it is not one.
pub(crate) fn load_push_key(path: &Path) -> Result<Option<SoftwareKey>, KeyError> {
    match read::<PushFile>(path) {
        Ok(file) => file.secret.key().map(Some).ok_or_else(|| KeyError::Form(path.to_owned())),
        Err(KeyError::File { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the key that signs push messages, as a new file.
///
/// # Errors
/// When the file is there or cannot be written.
pub fn make_push_key(path: &Path) -> Result<SoftwareKey, KeyError> {
    let key = random_key()?;
    let secret = Secret::of(&key).ok_or_else(|| KeyError::Form(path.to_owned()))?;
    write_new(path, &PushFile { v: V1, secret })?;
    Ok(key)
}

/// The keys a running service holds.
#[derive(Clone)]
pub struct ServiceKeys {
    root: PublicKey,
    root_key: Option<Arc<SoftwareKey>>,
    outcome_key: Arc<SoftwareKey>,
    outcome_certificate: Arc<Verified<OutcomeCertificate>>,
    /// Under which certificate an outcome verifies, by the outcome's digest.
    certified: Arc<Recent<Digest, Arc<Verified<OutcomeCertificate>>>>,
}

impl std::fmt::Debug for ServiceKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServiceKeys(root {}, secrets hidden)", self.root)
    }
}

impl ServiceKeys {
    /// From the files of [`init_keys`]; without `root_key` tills wait for `admin certify`.
    ///
    /// # Errors
    /// When a file is unreadable, readable by others, not a key file, or the two do not belong together.
    pub fn load(outcome_key: &Path, root_key: Option<&Path>, now: Timestamp) -> Result<Self, KeyError> {
        let keys = Self::load_even_if_over(outcome_key, root_key)?;
        let certificate = &keys.outcome_certificate;
        if now < certificate.not_before || now >= certificate.not_after {
            return Err(KeyError::CertificateTime);
        }
        Ok(keys)
    }

    /// [`ServiceKeys::load`] whatever the time is: to replace an outcome key whose certificate is over.
    ///
    /// # Errors
    /// As [`ServiceKeys::load`].
    pub fn load_even_if_over(outcome_key: &Path, root_key: Option<&Path>) -> Result<Self, KeyError> {
        let file: OutcomeFile = read(outcome_key)?;
        let outcome = file.secret.key().ok_or_else(|| KeyError::Form(outcome_key.to_owned()))?;
        let root = match root_key {
            Some(path) => {
                let key = load_root_key(path)?;
                if key.public_key() != file.root {
                    return Err(KeyError::OtherRoot(path.to_owned()));
                }
                Some(key)
            }
            None => None,
        };
        Self::new(file.root, root, outcome, &file.certificate)
    }

    /// From keys in memory.
    ///
    /// # Errors
    /// When `certificate` is not `root`'s, or not for `outcome_key`.
    pub fn new(
        root: PublicKey,
        root_key: Option<SoftwareKey>,
        outcome_key: SoftwareKey,
        certificate: &str,
    ) -> Result<Self, KeyError> {
        let certificate = verify_outcome_certificate(certificate, &root)?;
        if certificate.key != outcome_key.public_key() {
            return Err(VerifyError::Signature.into());
        }
        Ok(Self {
            root,
            root_key: root_key.map(Arc::new),
            outcome_key: Arc::new(outcome_key),
            outcome_certificate: Arc::new(certificate),
            certified: Arc::new(Recent::new(MAX_CERTIFIED)),
        })
    }

    /// New random keys, in memory only.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn generate(now: Timestamp) -> Result<Self, KeyError> {
        let (root, outcome) = (random_key()?, random_key()?);
        let certificate = certify_outcome_key(&root, outcome.public_key(), now)?;
        Self::new(root.public_key(), Some(root), outcome, certificate.wire())
    }

    /// The root's public key.
    #[must_use]
    pub const fn root(&self) -> PublicKey {
        self.root
    }

    /// The root key itself, where this host holds it.
    #[must_use]
    pub fn root_key(&self) -> Option<&SoftwareKey> {
        self.root_key.as_deref()
    }

    /// The certificate that names the present outcome key.
    #[must_use]
    pub fn outcome_certificate(&self) -> &Verified<OutcomeCertificate> {
        &self.outcome_certificate
    }

    pub(crate) fn present_certificate(&self) -> Arc<Verified<OutcomeCertificate>> {
        Arc::clone(&self.outcome_certificate)
    }

    /// Under which certificate an outcome verifies, by what this process has seen so far.
    pub(crate) fn certified(&self) -> &Recent<Digest, Arc<Verified<OutcomeCertificate>>> {
        &self.certified
    }

    /// What the store calls inside the transaction that ends an order.
    #[must_use]
    pub fn outcome_signer(&self) -> OutcomeSigner {
        let key = Arc::clone(&self.outcome_key);
        let (certificate, certified) = (Arc::clone(&self.outcome_certificate), Arc::clone(&self.certified));
        Arc::new(move |outcome: Outcome| {
            let kind = outcome.outcome;
            let signed = sign(Kind::Outcome, outcome, &*key).map_err(|error| error.to_string())?;
            // A transaction that is tried again signs the same words again.
            if certified.get(signed.digest()).is_none() {
                certified.insert(signed.digest(), Arc::clone(&certificate));
                crate::metrics::order_ended(kind);
            }
            Ok(Message { wire: signed.wire().to_owned(), digest: signed.digest() })
        })
    }
}

/// A new random key.
///
/// # Errors
/// When there are no random numbers.
pub fn random_key() -> Result<SoftwareKey, RandomError> {
    loop {
        let secret = Zeroizing::new(random::<32>()?);
        // One draw in 2^32 is outside 1..n.
        if let Some(key) = SoftwareKey::from_secret(&secret) {
            return Ok(key);
        }
    }
}

/// The root's word that `key` signs outcomes.
///
/// # Errors
/// When the root key cannot sign.
pub fn certify_outcome_key(
    root: &SoftwareKey,
    key: PublicKey,
    now: Timestamp,
) -> Result<Verified<OutcomeCertificate>, SignError> {
    let certificate = OutcomeCertificate {
        v: V1,
        key,
        not_before: now.plus_ms(-BACKDATED_MS),
        not_after: now.plus_ms(OUTCOME_CERTIFICATE_LIFE_MS),
    };
    sign(Kind::OutcomeCertificate, certificate, root)
}

/// The root's word on whose `key` this is.
pub(crate) fn certify_merchant_key(
    root: &SoftwareKey,
    merchant: MerchantId,
    who: MerchantFacts,
    key: PublicKey,
    now: Timestamp,
) -> Result<Verified<MerchantCertificate>, SignError> {
    let certificate = MerchantCertificate {
        v: V1,
        merchant,
        name: who.name,
        mcc: who.mcc,
        city: who.city,
        country: who.country,
        key,
        not_before: now.plus_ms(-BACKDATED_MS),
        not_after: now.plus_ms(MERCHANT_CERTIFICATE_LIFE_MS),
    };
    sign(Kind::MerchantCertificate, certificate, root)
}

/// What a merchant certificate says about a merchant.
#[derive(Clone, Debug)]
pub(crate) struct MerchantFacts {
    pub(crate) name: nodpay_core::Text<50>,
    pub(crate) mcc: nodpay_core::Mcc,
    pub(crate) city: nodpay_core::Text<30>,
    pub(crate) country: nodpay_core::Country,
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, KeyError> {
    let failed = |error| KeyError::File { path: path.to_owned(), error };
    let file = std::fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Permissions(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_KEY_FILE_LEN).read_to_string(&mut text).map_err(failed)?;
    serde_json::from_str(&text).map_err(|_| KeyError::Form(path.to_owned()))
}

fn write_new(path: &Path, content: &impl Serialize) -> Result<(), KeyError> {
    let failed = |error| KeyError::File { path: path.to_owned(), error };
    let mut text = Zeroizing::new(serde_json::to_string(content).map_err(|_| KeyError::Form(path.to_owned()))?);
    text.push('\n');
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| match error.kind() == std::io::ErrorKind::AlreadyExists {
        true => KeyError::Exists(path.to_owned()),
        false => failed(error),
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

    #[test]
    fn keys_are_made_once_and_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = init_keys(folder.path(), NOW).expect("new keys");
        assert!(matches!(init_keys(folder.path(), NOW), Err(KeyError::Exists(_))));
        let keys = ServiceKeys::load(&files.outcome_key, Some(&files.root_key), NOW).expect("reads");
        assert_eq!(keys.root_key().map(|key| key.public_key()), Some(keys.root()));
        let without = ServiceKeys::load(&files.outcome_key, None, NOW).expect("reads");
        assert_eq!(without.root(), keys.root());
        assert!(without.root_key().is_none());
        let late = NOW.plus_ms(OUTCOME_CERTIFICATE_LIFE_MS);
        assert!(matches!(ServiceKeys::load(&files.outcome_key, None, late), Err(KeyError::CertificateTime)));
    }

    #[test]
    fn an_outcome_key_is_renewed_under_its_root_alone() {
        let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let files = init_keys(one.path(), NOW).expect("new keys");
        let foreign = init_keys(other.path(), NOW).expect("new keys");
        let refused = renew_outcome_key(&files.outcome_key, &foreign.root_key, NOW);
        assert!(matches!(refused, Err(KeyError::OtherRoot(_))));

        let before = ServiceKeys::load(&files.outcome_key, None, NOW).expect("reads");
        let late = NOW.plus_ms(OUTCOME_CERTIFICATE_LIFE_MS);
        drop(renew_outcome_key(&files.outcome_key, &files.root_key, late).expect("cut short"));
        let new = renew_outcome_key(&files.outcome_key, &files.root_key, late).expect("a new key");
        let unchanged = ServiceKeys::load(&files.outcome_key, None, NOW).expect("reads");
        assert_eq!(unchanged.outcome_certificate(), before.outcome_certificate());
        let certificate = new.certificate.clone();
        new.install().expect("installed");
        let after = ServiceKeys::load(&files.outcome_key, None, late).expect("reads");
        assert_eq!((after.root(), after.outcome_certificate()), (before.root(), &certificate));
        assert_ne!(certificate.key, before.outcome_certificate().key);
    }

    #[test]
    fn keys_that_others_could_read_or_that_do_not_fit_are_refused() {
        let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let files = init_keys(one.path(), NOW).expect("new keys");
        let foreign = init_keys(other.path(), NOW).expect("new keys");
        let mixed = ServiceKeys::load(&files.outcome_key, Some(&foreign.root_key), NOW);
        assert!(matches!(mixed, Err(KeyError::OtherRoot(_))));
        let swapped = ServiceKeys::load(&files.root_key, None, NOW);
        assert!(matches!(swapped, Err(KeyError::Form(_))));
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&files.outcome_key, open).expect("chmod");
        let readable = ServiceKeys::load(&files.outcome_key, None, NOW);
        assert!(matches!(readable, Err(KeyError::Permissions(_))));
    }
}
