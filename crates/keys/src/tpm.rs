//! The device key in a TPM 2, and the PIN behind its dictionary-attack lock-out.
//!
//! The key is made in the TPM under the storage key, which the TPM derives anew from its own seed each time. The folder
//! holds the key as the TPM encrypted it for itself (`key.tpm`): replacing that file is renewing the key. The key has no
//! authorisation, because proofs are signed while nobody looks at the watch, and is exempt from the lock-out.
//!
//! The PIN is the authorisation of a sealed object (`pin.tpm`), never of a primary key: whoever may make primaries makes the
//! same one with another PIN. Its wrong tries are counted by the TPM: [`MAX_TRIES`], then one more every [`RECOVERY_S`].
//! They survive reboots and restored files. PIN and what is sealed travel in sessions salted with the storage key.
//!
//! Setting how tries are counted, and forgetting them, takes the TPM's lock-out authorisation. The maker of the watch may
//! have set it and name a file with it. If nobody has set one, the first PIN does: random, sealed by the TPM (`lockout.tpm`).
//! If somebody else has, their rules hold, a right PIN gives no tries back, and there is no unlocking but by time.
//!
//! Never does: keep the PIN or the lock-out authorisation in memory.

mod lockout;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use nodpay_core::PublicKey;
use nodpay_protocol::{SignError, Signer, sha256};
use nodpay_watch::{KeyStore, KeyStoreError, PinVault, VaultAnswer};
use tss_esapi::attributes::{ObjectAttributesBuilder, SessionAttributesBuilder};
use tss_esapi::constants::response_code::Tss2ResponseCodeKind;
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::constants::{CapabilityType, PropertyTag, SessionType};
use tss_esapi::handles::{AuthHandle, KeyHandle, ObjectHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    Auth, CapabilityData, Digest, EccPoint, EccScheme, HashScheme, HashcheckTicket, KeyedHashScheme, Private, Public,
    PublicBuilder, PublicEccParametersBuilder, PublicKeyedHashParameters, SensitiveData, Signature, SignatureScheme,
    SymmetricDefinition, SymmetricDefinitionObject,
};
use tss_esapi::traits::{Marshall as _, UnMarshall as _};
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;
use tss_esapi::{Context, TctiNameConf, WrapperErrorKind};
use zeroize::Zeroizing;

use crate::storage::{Storage, StorageError};
use crate::{KeyError, PrivateFileError, Tcti, TpmConfig, in_words, private, random, verified};

/// Wrong PINs before the lock, where the lock-out authorisation is ours.
pub const MAX_TRIES: u32 = 5;
/// Seconds until one try is given back, then.
pub const RECOVERY_S: u32 = 600;
/// Our own lock-out authorisation is random and never tried wrong; one that somebody tries wrong works after a restart.
const LOCKOUT_RECOVERY_S: u32 = 0;

const KEY_FILE: &str = "key.tpm";
const PIN_FILE: &str = "pin.tpm";
const LOCKOUT_FILE: &str = "lockout.tpm";
const HEADER: &[u8; 12] = b"nodpay-tpm/1";
/// A PIN's authorisation is hashed with this: TPMs drop zeros at the end of an authorisation.
const PIN_DOMAIN: &[u8] = b"nodpay/tpm-pin/1\0";
/// What is sealed under the PIN: nothing secret, only a sign that it is the PIN's object.
const PIN_SEALED: &[u8] = b"nodpay/tpm-pin/1";
/// Lock-out authorisation, in bytes: the longest that every TPM takes.
const LOCKOUT_AUTH_LEN: usize = 32;
/// `lockoutAuthSet` of TPMA_PERMANENT.
const LOCKOUT_AUTH_SET: u32 = 1 << 2;

/// Why the TPM gives no key or checks no PIN.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// The TPM or the library in front of it said no.
    #[error("the TPM failed: {0}")]
    Tpm(tss_esapi::Error),
    /// It was made by another TPM, or this one was cleared since.
    #[error("{0} is not of this TPM as it is now")]
    Foreign(&'static str),
    /// Not a file of ours.
    #[error("{0} is not what a TPM gave this watch")]
    Malformed(&'static str),
    /// The TPM made something else than it was asked for.
    #[error("the TPM gave something else than a P-256 key or signature")]
    NotP256,
    /// Nothing to check against.
    #[error("no PIN is set in the TPM")]
    NoPin,
    /// Somebody else's rules let a PIN be tried without end.
    #[error("the TPM's lock-out is switched off, and its authorisation is not this watch's: no PIN is safe there")]
    NoLockout,
    /// Only time unlocks.
    #[error("the TPM's lock-out authorisation is not this watch's")]
    NotOurs,
    /// Longer than a TPM takes.
    #[error("the lock-out authorisation is too long")]
    Auth,
    /// No connection of our own.
    #[error("the TPM could not be reached")]
    Channel(#[source] io::Error),
    /// A response code of part 2, section 6.6.
    #[error("the TPM refused a lock-out command: response code {0:#05x}")]
    Refused(u32),
    /// A file in the folder.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The file with the lock-out authorisation.
    #[error(transparent)]
    Private(#[from] PrivateFileError),
    /// The operating system gives none.
    #[error("there are no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Not its source: it repeats itself as its own source.
impl From<tss_esapi::Error> for TpmError {
    fn from(error: tss_esapi::Error) -> Self {
        Self::Tpm(error)
    }
}

/// See the module.
#[derive(Debug)]
pub struct TpmKeys {
    config: TpmConfig,
    storage: Arc<Storage>,
    key: Sealed,
    public: PublicKey,
    link: RefCell<Option<Link>>,
}

impl TpmKeys {
    /// Takes up the key, or makes the first one.
    pub fn open(config: TpmConfig, storage: Arc<Storage>) -> Result<Self, KeyError> {
        let known = Sealed::read(&storage, KEY_FILE)?;
        let mut link = Link::open(&config.tcti)?;
        let key = match known {
            Some(key) => key,
            None => {
                let key = link.make_key()?;
                key.write(&storage, KEY_FILE)?;
                key
            }
        };
        link.take_up(&key)?;
        let public = key.public_key()?;
        Ok(Self { config, storage, key, public, link: RefCell::new(Some(link)) })
    }

    /// Works with the connection that is known. Where that fails it is closed, and a new one is tried, once: a TPM that
    /// started again knows nothing of what was loaded.
    fn linked<T>(&self, mut work: impl FnMut(&mut Link) -> Result<T, TpmError>) -> Result<T, TpmError> {
        let known = self.link.borrow_mut().take();
        if let Some(mut link) = known
            && let Ok(done) = work(&mut link)
        {
            *self.link.borrow_mut() = Some(link);
            return Ok(done);
        }
        let mut link = Link::open(&self.config.tcti)?;
        link.take_up(&self.key)?;
        let done = work(&mut link)?;
        *self.link.borrow_mut() = Some(link);
        Ok(done)
    }

    fn try_sign(&self, message: &[u8]) -> Result<[u8; 64], TpmError> {
        let digest = sha256(message);
        self.linked(|link| link.sign(&digest))
    }

    fn try_renew(&mut self) -> Result<(), TpmError> {
        let (key, public) = self.linked(|link| {
            let key = link.make_key()?;
            let public = key.public_key()?;
            let old = link.key;
            link.take_up(&key)?;
            if let Err(error) = key.write(&self.storage, KEY_FILE) {
                // The old key stays the file's, so it stays ours.
                let new = std::mem::replace(&mut link.key, old);
                link.forget(new);
                return Err(error);
            }
            link.forget(old);
            Ok((key, public))
        })?;
        (self.key, self.public) = (key, public);
        Ok(())
    }

    fn try_set(&self, pin: &[u8]) -> Result<(), TpmError> {
        let auth = self.take_lockout()?;
        let sealed = self.linked(|link| link.seal(Some(pin_auth(pin)?), PIN_SEALED))?;
        if let Some(auth) = auth {
            self.reset(&auth)?;
        }
        // Last: on an error the old PIN is the one.
        sealed.write(&self.storage, PIN_FILE)
    }

    fn try_check(&self, pin: &[u8]) -> Result<VaultAnswer, TpmError> {
        let sealed = Sealed::read(&self.storage, PIN_FILE)?.ok_or(TpmError::NoPin)?;
        let (opened, count) = self.linked(|link| {
            let opened = link.unseal(&sealed, PIN_FILE, Some(pin_auth(pin)?));
            let opened = match opened {
                Ok(content) => Some(content.as_slice() == PIN_SEALED),
                Err(TpmError::Tpm(error)) if is_wrong_or_locked(error) => None,
                Err(error) => return Err(error),
            };
            Ok((opened, link.count()?))
        })?;
        match opened {
            Some(true) => {
                // A TPM gives no tries back for a right PIN. Where we cannot either, or not now, time does.
                if count.wrong > 0
                    && let Ok(Some(auth)) = self.lockout_auth()
                {
                    let _ = self.reset(&auth);
                }
                Ok(VaultAnswer::Right)
            }
            Some(false) => Err(TpmError::Malformed(PIN_FILE)),
            None => Ok(count.answer()),
        }
    }

    fn try_unlock(&self) -> Result<(), TpmError> {
        let auth = self.lockout_auth()?.ok_or(TpmError::NotOurs)?;
        self.reset(&auth)
    }

    fn reset(&self, auth: &[u8]) -> Result<(), TpmError> {
        self.close();
        lockout::reset(&self.config.tcti, auth)
    }

    /// For commands outside the library: it would hold the TPM.
    fn close(&self) {
        self.link.borrow_mut().take();
    }

    /// The TPM's lock-out authorisation, if we may use it.
    fn lockout_auth(&self) -> Result<Option<Zeroizing<Vec<u8>>>, TpmError> {
        if let Some(path) = &self.config.lockout {
            return Ok(Some(private::require_line(path, LOCKOUT_AUTH_LEN)?));
        }
        let Some(sealed) = Sealed::read(&self.storage, LOCKOUT_FILE)? else { return Ok(None) };
        self.linked(|link| link.unseal(&sealed, LOCKOUT_FILE, None)).map(Some)
    }

    /// Takes the lock-out authorisation, if nobody has it, and makes our rules the TPM's; or makes sure that whoever has it
    /// set some. Ours is durable before the TPM knows it, so that a power cut between the two loses nothing.
    fn take_lockout(&self) -> Result<Option<Zeroizing<Vec<u8>>>, TpmError> {
        let taken = self.linked(Link::lockout_auth_set)?;
        let mut auth = self.lockout_auth()?;
        if !taken {
            let auth = match &auth {
                Some(auth) => auth,
                None => {
                    let made = random::<LOCKOUT_AUTH_LEN>().map_err(TpmError::Random)?;
                    let sealed = self.linked(|link| link.seal(None, made.as_slice()))?;
                    sealed.write(&self.storage, LOCKOUT_FILE)?;
                    auth.insert(Zeroizing::new(made.to_vec()))
                }
            };
            self.linked(|link| link.set_lockout_auth(auth))?;
        }
        match &auth {
            Some(auth) => {
                self.close();
                let parameters = lockout::Parameters {
                    max_tries: MAX_TRIES,
                    recovery_s: RECOVERY_S,
                    lockout_recovery_s: LOCKOUT_RECOVERY_S,
                };
                lockout::set_parameters(&self.config.tcti, auth, parameters)?;
            }
            None if self.linked(Link::count)?.is_on() => {}
            None => return Err(TpmError::NoLockout),
        }
        Ok(auth)
    }
}

impl Signer for TpmKeys {
    fn public_key(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let signature = self.try_sign(message).map_err(|error| SignError(in_words(&error)))?;
        verified(&self.public, message, signature)
    }
}

impl KeyStore for TpmKeys {
    fn renew(&mut self, _secret: &[u8; 32]) -> Result<PublicKey, KeyStoreError> {
        self.try_renew().map_err(failed)?;
        Ok(self.public)
    }

    fn pin_vault(&mut self) -> Option<&mut dyn PinVault> {
        Some(self)
    }
}

impl PinVault for TpmKeys {
    fn set(&mut self, pin: &[u8]) -> Result<(), KeyStoreError> {
        self.try_set(pin).map_err(failed)
    }

    fn check(&mut self, pin: &[u8]) -> Result<VaultAnswer, KeyStoreError> {
        self.try_check(pin).map_err(failed)
    }

    fn unlock(&mut self) -> Result<(), KeyStoreError> {
        self.try_unlock().map_err(failed)
    }

    /// An empty file is no PIN.
    fn clear(&mut self) -> Result<(), KeyStoreError> {
        self.storage.replace(PIN_FILE, &[]).map_err(|error| failed(error.into()))
    }
}

fn failed(error: TpmError) -> KeyStoreError {
    KeyStoreError(in_words(&error))
}

fn pin_auth(pin: &[u8]) -> Result<Auth, TpmError> {
    let pin = Zeroizing::new([PIN_DOMAIN, pin].concat());
    Ok(Auth::try_from(Zeroizing::new(sha256(&pin)).to_vec())?)
}

fn is_wrong_or_locked(error: tss_esapi::Error) -> bool {
    let tss_esapi::Error::Tss2Error(code) = error else { return false };
    matches!(code.kind(), Some(Tss2ResponseCodeKind::AuthFail | Tss2ResponseCodeKind::Lockout))
}

/// The TPM's count of wrong tries.
#[derive(Clone, Copy, Debug)]
struct Count {
    wrong: u32,
    max: u32,
    /// Seconds until one is given back.
    interval_s: u32,
}

impl Count {
    fn is_on(self) -> bool {
        self.max > 0 && self.interval_s > 0
    }

    /// After a try that was wrong, or not allowed.
    fn answer(self) -> VaultAnswer {
        match self.max.saturating_sub(self.wrong) {
            0 => VaultAnswer::Locked { for_ms: Some(u64::from(self.interval_s) * 1000) },
            tries_left => VaultAnswer::Wrong { tries_left: Some(tries_left) },
        }
    }
}

/// An object as the TPM encrypted it for itself: [`HEADER`], length of the public part (2 bytes), public part, private part.
#[derive(Clone, Debug)]
struct Sealed {
    public: Public,
    private: Private,
}

impl Sealed {
    fn read(storage: &Storage, name: &'static str) -> Result<Option<Self>, TpmError> {
        let Some(bytes) = storage.read(name)?.filter(|bytes| !bytes.is_empty()) else { return Ok(None) };
        Self::parse(&bytes).map(Some).ok_or(TpmError::Malformed(name))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.strip_prefix(HEADER)?.split_first_chunk::<2>()?;
        let (public, private) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        Some(Self { public: Public::unmarshall(public).ok()?, private: private.to_vec().try_into().ok()? })
    }

    fn write(&self, storage: &Storage, name: &'static str) -> Result<(), TpmError> {
        let public = self.public.marshall()?;
        let len = u16::try_from(public.len()).map_err(|_| TpmError::Malformed(name))?.to_be_bytes();
        Ok(storage.replace(name, &[HEADER.as_slice(), &len, &public, self.private.value()].concat())?)
    }

    fn public_key(&self) -> Result<PublicKey, TpmError> {
        let Public::Ecc { unique, .. } = &self.public else { return Err(TpmError::NotP256) };
        let mut point = [4; 65];
        point.get_mut(1..33).and_then(|to| place(to, unique.x().value())).ok_or(TpmError::NotP256)?;
        point.get_mut(33..).and_then(|to| place(to, unique.y().value())).ok_or(TpmError::NotP256)?;
        PublicKey::try_from(point.as_slice()).map_err(|_| TpmError::NotP256)
    }
}

/// Right-aligns a number: TPMs may leave its leading zeros out.
fn place(to: &mut [u8], number: &[u8]) -> Option<()> {
    to.fill(0);
    let start = to.len().checked_sub(number.len())?;
    to.get_mut(start..)?.copy_from_slice(number);
    Some(())
}

/// A connection with the storage key, and the device key once taken up.
#[derive(Debug)]
struct Link {
    context: Context,
    parent: KeyHandle,
    key: Option<KeyHandle>,
}

impl Link {
    fn open(tcti: &Tcti) -> Result<Self, TpmError> {
        let name = match tcti {
            Tcti::Device(path) => format!("device:{}", path.display()),
            Tcti::Swtpm { host, port } => format!("swtpm:host={host},port={port}"),
        };
        let mut context = Context::new(name.parse::<TctiNameConf>()?)?;
        let template = storage_key_template()?;
        let parent = context.execute_with_nullauth_session(|context| {
            context.create_primary(Hierarchy::Owner, template, None, None, None, None)
        })?;
        Ok(Self { context, parent: parent.key_handle, key: None })
    }

    fn take_up(&mut self, key: &Sealed) -> Result<(), TpmError> {
        self.key = Some(self.load(key, KEY_FILE)?);
        Ok(())
    }

    fn forget(&mut self, key: Option<KeyHandle>) {
        if let Some(key) = key {
            // The TPM forgets it with the connection at the latest.
            let _ = self.context.flush_context(key.into());
        }
    }

    fn make_key(&mut self) -> Result<Sealed, TpmError> {
        let template = device_key_template()?;
        self.create(template, None, None)
    }

    fn seal(&mut self, auth: Option<Auth>, content: &[u8]) -> Result<Sealed, TpmError> {
        let content = SensitiveData::try_from(content.to_vec())?;
        self.create(sealed_template(auth.is_some())?, auth, Some(content))
    }

    fn create(
        &mut self,
        template: Public,
        auth: Option<Auth>,
        content: Option<SensitiveData>,
    ) -> Result<Sealed, TpmError> {
        let parent = self.parent;
        let made = self.salted(|context| context.create(parent, template, auth, content, None, None))?;
        Ok(Sealed { public: made.out_public, private: made.out_private })
    }

    fn load(&mut self, sealed: &Sealed, name: &'static str) -> Result<KeyHandle, TpmError> {
        let (parent, Sealed { public, private }) = (self.parent, sealed.clone());
        let loaded = self
            .context
            .execute_with_session(Some(AuthSession::Password), |context| context.load(parent, private, public));
        loaded.map_err(|error| match error {
            tss_esapi::Error::Tss2Error(code) if code.kind() == Some(Tss2ResponseCodeKind::Integrity) => {
                TpmError::Foreign(name)
            }
            tss_esapi::Error::Tss2Error(_) | tss_esapi::Error::WrapperError(_) => error.into(),
        })
    }

    fn unseal(
        &mut self,
        sealed: &Sealed,
        name: &'static str,
        auth: Option<Auth>,
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let object = ObjectHandle::from(self.load(sealed, name)?);
        let content = self.salted(|context| {
            context.tr_set_auth(object, auth.unwrap_or_default())?;
            context.unseal(object)
        });
        self.context.flush_context(object)?;
        Ok(Zeroizing::new(content?.value().to_vec()))
    }

    fn sign(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], TpmError> {
        let key = self.key.ok_or(TpmError::Foreign(KEY_FILE))?;
        let digest = Digest::try_from(digest.to_vec())?;
        let scheme = SignatureScheme::EcDsa { hash_scheme: HashScheme::new(HashingAlgorithm::Sha256) };
        // The key is not restricted: it signs digests that the TPM did not make.
        let no_ticket =
            TPMT_TK_HASHCHECK { tag: TPM2_ST_HASHCHECK, hierarchy: TPM2_RH_NULL, digest: Default::default() };
        let no_ticket = HashcheckTicket::try_from(no_ticket)?;
        let signature = self.context.execute_with_session(Some(AuthSession::Password), |context| {
            context.sign(key, digest, scheme, no_ticket)
        })?;
        let Signature::EcDsa(signature) = signature else { return Err(TpmError::NotP256) };
        let mut fixed = [0; 64];
        let (r, s) = fixed.split_at_mut(32);
        place(r, signature.signature_r().value()).ok_or(TpmError::NotP256)?;
        place(s, signature.signature_s().value()).ok_or(TpmError::NotP256)?;
        Ok(fixed)
    }

    fn set_lockout_auth(&mut self, auth: &[u8]) -> Result<(), TpmError> {
        let auth = Auth::try_from(auth.to_vec())?;
        self.salted(|context| context.hierarchy_change_auth(AuthHandle::Lockout, auth))
    }

    fn lockout_auth_set(&mut self) -> Result<bool, TpmError> {
        let [permanent] = self.properties([PropertyTag::Permanent])?;
        Ok(permanent & LOCKOUT_AUTH_SET != 0)
    }

    fn count(&mut self) -> Result<Count, TpmError> {
        let wanted = [PropertyTag::LockoutCounter, PropertyTag::MaxAuthFail, PropertyTag::LockoutInterval];
        let [wrong, max, interval_s] = self.properties(wanted)?;
        Ok(Count { wrong, max, interval_s })
    }

    /// Properties that follow one another. Always asked anew: the library's own function remembers them.
    fn properties<const COUNT: usize>(&mut self, wanted: [PropertyTag; COUNT]) -> Result<[u32; COUNT], TpmError> {
        let wrong = || tss_esapi::Error::WrapperError(WrapperErrorKind::WrongValueFromTpm);
        let first = wanted.first().copied().ok_or_else(wrong)?;
        let count = u32::try_from(COUNT).map_err(|_| wrong())?;
        let answer = self.context.execute_without_session(|context| {
            context.get_capability(CapabilityType::TpmProperties, first.into(), count)
        })?;
        let (CapabilityData::TpmProperties(found), _) = answer else { return Err(wrong().into()) };
        let mut values = [0; COUNT];
        for (value, tag) in values.iter_mut().zip(wanted) {
            *value = found.find(tag).ok_or_else(wrong)?.value();
        }
        Ok(values)
    }

    /// With a session that nobody between us and the TPM can read: salted with the storage key, both ways encrypted.
    fn salted<T>(&mut self, work: impl FnOnce(&mut Context) -> tss_esapi::Result<T>) -> Result<T, TpmError> {
        let wrong = || tss_esapi::Error::WrapperError(WrapperErrorKind::WrongValueFromTpm);
        let session = self.context.execute_without_session(|context| {
            context.start_auth_session(
                Some(self.parent),
                None,
                None,
                SessionType::Hmac,
                SymmetricDefinition::AES_128_CFB,
                HashingAlgorithm::Sha256,
            )
        })?;
        let session = session.ok_or_else(wrong)?;
        let (attributes, mask) = SessionAttributesBuilder::new().with_decrypt(true).with_encrypt(true).build();
        self.context.tr_sess_set_attributes(session, attributes, mask)?;
        let done = self.context.execute_with_session(Some(session), work);
        self.context.flush_context(SessionHandle::from(session).into())?;
        Ok(done?)
    }
}

/// The TCG's template of a P-256 storage key: always the same key, until the TPM is cleared.
fn storage_key_template() -> Result<Public, TpmError> {
    let attributes = bound().with_sensitive_data_origin(true).with_no_da(true).with_restricted(true).with_decrypt(true);
    let symmetric = SymmetricDefinitionObject::AES_128_CFB;
    ecc_template(attributes, PublicEccParametersBuilder::new_restricted_decryption_key(symmetric, EccCurve::NistP256))
}

/// Made in the TPM, bound to it, signs without authorisation and also while the PIN is locked.
fn device_key_template() -> Result<Public, TpmError> {
    let attributes = bound().with_sensitive_data_origin(true).with_no_da(true).with_sign_encrypt(true);
    let scheme = EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256));
    ecc_template(attributes, PublicEccParametersBuilder::new_unrestricted_signing_key(scheme, EccCurve::NistP256))
}

/// Wrong authorisations count for what has one; what has none is to be had also while the TPM is locked.
fn sealed_template(has_auth: bool) -> Result<Public, TpmError> {
    Ok(PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::KeyedHash)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(bound().with_no_da(!has_auth).build()?)
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
        .with_keyed_hash_unique_identifier(Digest::default())
        .build()?)
}

fn ecc_template(
    attributes: ObjectAttributesBuilder,
    parameters: PublicEccParametersBuilder,
) -> Result<Public, TpmError> {
    Ok(PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes.build()?)
        .with_ecc_parameters(parameters.build()?)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()?)
}

/// To this TPM and this parent, for good.
fn bound() -> ObjectAttributesBuilder {
    ObjectAttributesBuilder::new().with_fixed_tpm(true).with_fixed_parent(true).with_user_with_auth(true)
}
