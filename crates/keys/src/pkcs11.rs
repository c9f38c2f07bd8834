//! The device key on a PKCS#11 token: made there, sensitive, not extractable; only digests go in and signatures come out.
//!
//! The token's PIN is read from its file at each login and not kept. A lost session is opened again once per operation; a
//! token that has one try of its PIN left is left alone, so that a wrong PIN file never blocks it.
//!
//! The file `key.pkcs11` names the key in use and those to be removed, by `CKA_ID`. Making a key: name it as one to be
//! removed, make it, exchange the names, remove the old one. So a power cut leaves one key in use, and what else was made is
//! removed when the store is next opened.
//!
//! Never does: find a key by its label alone, or remove one that this file does not name.

use std::cell::RefCell;
use std::sync::Arc;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;
use nodpay_core::PublicKey;
use nodpay_protocol::{SignError, Signer, sha256};
use nodpay_watch::{KeyStore, KeyStoreError};

use crate::storage::{Storage, StorageError};
use crate::{KeyError, Pkcs11Config, in_words, private, random, verified};

const FILE: &str = "key.pkcs11";
const ID_LEN: usize = 16;
/// Longest PIN taken, in bytes. Tokens allow less.
const MAX_PIN_LEN: usize = 255;
/// DER of the object identifier of P-256 (RFC 5480 section 2.1.1.1).
const P256_OID: [u8; 10] = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
/// DER of an octet string with an uncompressed point in it: tag and length.
const POINT_HEAD: [u8; 2] = [0x04, 0x41];

/// Why the token gives no key.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs11Error {
    /// The library or the token said no.
    #[error("the PKCS#11 token failed")]
    Token(#[from] Error),
    /// None fits the configuration.
    #[error("there is no PKCS#11 token as configured")]
    NoToken,
    /// More than one does.
    #[error("{0} PKCS#11 tokens are as configured: name one by token, serial or slot-id")]
    ManyTokens(usize),
    /// Another wrong try would block it.
    #[error("the token allows one more try of its PIN, or none: log in to it by hand with the right one first")]
    FinalTry,
    /// `key.pkcs11` names one that is not there.
    #[error("the token has no key {0}")]
    NoKey(String),
    /// Keys of the watch must be made on the token and stay there.
    #[error("the token would give the key {0} away, or was given it")]
    NotSealed(String),
    /// Not on P-256.
    #[error("the key {0} of the token is not on P-256")]
    NotP256(String),
    /// `key.pkcs11` is not ours.
    #[error("key.pkcs11 is not a list of keys")]
    Malformed,
}

/// See the module.
#[derive(Debug)]
pub struct Pkcs11Keys {
    config: Pkcs11Config,
    storage: Arc<Storage>,
    module: Pkcs11,
    names: Names,
    current: Current,
    login: RefCell<Option<Login>>,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    id: KeyId,
    public: PublicKey,
}

/// Good until the token is pulled or the library loses it.
#[derive(Debug)]
struct Login {
    session: Session,
    /// The private key in use.
    key: ObjectHandle,
}

impl Pkcs11Keys {
    /// Finds the token, logs in and takes up the key; makes the first one. Removes what a power cut left.
    pub fn open(config: Pkcs11Config, storage: Arc<Storage>) -> Result<Self, KeyError> {
        let module = Pkcs11::new(&config.module).map_err(Pkcs11Error::Token)?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // By another user of the same library in this process.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(Pkcs11Error::Token(error).into()),
        }
        let session = log_in(&module, &config)?;
        let mut names = Names::read(&storage)?;
        let (current, key) = match names.current {
            Some(id) => {
                let found = (Current { id, public: public_key(&session, &id)? }, private_key(&session, &id)?);
                names.sweep(&session, &storage);
                found
            }
            None => make(&session, &config.object, &mut names, &storage)?,
        };
        let login = RefCell::new(Some(Login { session, key }));
        Ok(Self { config, storage, module, names, current, login })
    }

    /// Works with the session that is known. Where that fails it is dropped, and a new one is tried, once.
    fn logged_in<T>(&self, mut work: impl FnMut(&mut Login) -> Result<T, KeyError>) -> Result<T, KeyError> {
        let known = self.login.borrow_mut().take();
        if let Some(mut login) = known
            && let Ok(done) = work(&mut login)
        {
            *self.login.borrow_mut() = Some(login);
            return Ok(done);
        }
        let session = log_in(&self.module, &self.config)?;
        let key = private_key(&session, &self.current.id)?;
        let mut login = Login { session, key };
        let done = work(&mut login)?;
        *self.login.borrow_mut() = Some(login);
        Ok(done)
    }
}

impl Signer for Pkcs11Keys {
    fn public_key(&self) -> PublicKey {
        self.current.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let digest = sha256(message);
        let signature = self.logged_in(|login| {
            Ok(login.session.sign(&Mechanism::Ecdsa, login.key, &digest).map_err(Pkcs11Error::Token)?)
        });
        let signature = signature.map_err(|error| SignError(in_words(&error)))?;
        let signature = signature.try_into().map_err(|_| SignError("its signature is not 64 bytes long".to_owned()))?;
        verified(&self.current.public, message, signature)
    }
}

impl KeyStore for Pkcs11Keys {
    fn renew(&mut self, _secret: &[u8; 32]) -> Result<PublicKey, KeyStoreError> {
        let mut names = self.names.clone();
        let made = self.logged_in(|login| {
            let (made, key) = make(&login.session, &self.config.object, &mut names, &self.storage)?;
            login.key = key;
            Ok(made)
        });
        self.names = names;
        self.current = made.map_err(|error| KeyStoreError(in_words(&error)))?;
        Ok(self.current.public)
    }
}

fn log_in(module: &Pkcs11, config: &Pkcs11Config) -> Result<Session, KeyError> {
    let slot = find_slot(module, config)?;
    let session = module.open_rw_session(slot).map_err(Pkcs11Error::Token)?;
    let token = module.get_token_info(slot).map_err(Pkcs11Error::Token)?;
    if token.user_pin_final_try() || token.user_pin_locked() {
        return Err(Pkcs11Error::FinalTry.into());
    }
    let mut pin = private::require_line(&config.pin_source, MAX_PIN_LEN)?;
    // Moved, not copied: the library's own wrapper wipes it.
    let pin = RawAuthPin::new(Box::new(std::mem::take(&mut *pin)));
    match session.login_with_raw(UserType::User, &pin) {
        // Logins are the process's: another session of it may have done it.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(error) => Err(Pkcs11Error::Token(error).into()),
    }
}

fn find_slot(module: &Pkcs11, config: &Pkcs11Config) -> Result<Slot, Pkcs11Error> {
    let mut found = Vec::new();
    for slot in module.get_slots_with_token()? {
        let token = module.get_token_info(slot)?;
        let fits = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is.trim_end());
        let fits = token.token_initialized()
            && config.slot_id.is_none_or(|wanted| wanted == slot.id())
            && fits(&config.token, token.label())
            && fits(&config.serial, token.serial_number())
            && fits(&config.manufacturer, token.manufacturer_id())
            && fits(&config.model, token.model());
        if fits {
            found.push(slot);
        }
    }
    match found.as_slice() {
        [slot] => Ok(*slot),
        [] => Err(Pkcs11Error::NoToken),
        several => Err(Pkcs11Error::ManyTokens(several.len())),
    }
}

/// A new key in place of the current one, as the module says.
fn make(
    session: &Session,
    label: &str,
    names: &mut Names,
    storage: &Storage,
) -> Result<(Current, ObjectHandle), KeyError> {
    let id = KeyId(*random().map_err(KeyError::Random)?);
    let announced = Names { current: names.current, unused: [names.unused.as_slice(), &[id]].concat() };
    announced.write(storage)?;
    *names = announced;
    let made = match generate(session, label, &id) {
        Ok(made) => made,
        Err(error) => {
            names.sweep(session, storage);
            return Err(error.into());
        }
    };
    let unused = names.unused.iter().filter(|name| **name != id).chain(&names.current).copied().collect();
    let exchanged = Names { current: Some(id), unused };
    exchanged.write(storage)?;
    *names = exchanged;
    names.sweep(session, storage);
    Ok(made)
}

fn generate(session: &Session, label: &str, id: &KeyId) -> Result<(Current, ObjectHandle), Pkcs11Error> {
    let named = |more: &[Attribute]| {
        let mut template =
            vec![Attribute::Token(true), Attribute::Label(label.as_bytes().to_vec()), Attribute::Id(id.0.to_vec())];
        template.extend_from_slice(more);
        template
    };
    let public = named(&[Attribute::EcParams(P256_OID.to_vec()), Attribute::Verify(true), Attribute::Private(false)]);
    let private = named(&[
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Derive(false),
    ]);
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?;
    Ok((Current { id: *id, public: public_key(session, id)? }, private_key(session, id)?))
}

fn find(session: &Session, class: ObjectClass, id: &KeyId) -> Result<Option<ObjectHandle>, Pkcs11Error> {
    let template = [Attribute::Class(class), Attribute::Token(true), Attribute::Id(id.0.to_vec())];
    Ok(session.find_objects(&template)?.into_iter().next())
}

/// The private key, if it is one that was made on the token and cannot leave it.
fn private_key(session: &Session, id: &KeyId) -> Result<ObjectHandle, Pkcs11Error> {
    let key = find(session, ObjectClass::PRIVATE_KEY, id)?.ok_or_else(|| Pkcs11Error::NoKey(id.to_string()))?;
    let asked = [AttributeType::AlwaysSensitive, AttributeType::NeverExtractable, AttributeType::Local];
    let sealed = [Attribute::AlwaysSensitive(true), Attribute::NeverExtractable(true), Attribute::Local(true)];
    let is = session.get_attributes(key, &asked)?;
    if sealed.iter().all(|wanted| is.contains(wanted)) { Ok(key) } else { Err(Pkcs11Error::NotSealed(id.to_string())) }
}

fn public_key(session: &Session, id: &KeyId) -> Result<PublicKey, Pkcs11Error> {
    let key = find(session, ObjectClass::PUBLIC_KEY, id)?.ok_or_else(|| Pkcs11Error::NoKey(id.to_string()))?;
    let attributes = session.get_attributes(key, &[AttributeType::EcPoint])?;
    let Some(Attribute::EcPoint(point)) = attributes.first() else { return Err(Pkcs11Error::NoKey(id.to_string())) };
    // The standard wants the octet string; older tokens give the point as it is.
    let point = point.strip_prefix(&POINT_HEAD).unwrap_or(point);
    PublicKey::try_from(point).map_err(|_| Pkcs11Error::NotP256(id.to_string()))
}

fn remove(session: &Session, id: &KeyId) -> Result<(), Pkcs11Error> {
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        if let Some(object) = find(session, class, id)? {
            session.destroy_object(object)?;
        }
    }
    Ok(())
}

/// What `CKA_ID` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KeyId([u8; ID_LEN]);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl KeyId {
    fn parse(text: &str) -> Option<Self> {
        let mut id = [0; ID_LEN];
        if text.len() != 2 * ID_LEN || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let digits = text.as_bytes().chunks_exact(2);
        for (to, digits) in id.iter_mut().zip(digits) {
            *to = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(id))
    }
}

/// `key.pkcs11`: one line each, `current ID` or `unused ID`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    current: Option<KeyId>,
    unused: Vec<KeyId>,
}

impl Names {
    fn read(storage: &Storage) -> Result<Self, KeyError> {
        let Some(bytes) = storage.read(FILE)? else { return Ok(Self::default()) };
        let text = String::from_utf8(bytes).map_err(|_| Pkcs11Error::Malformed)?;
        Ok(Self::parse(&text).ok_or(Pkcs11Error::Malformed)?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut names = Self::default();
        for line in text.lines() {
            match line.split_once(' ')? {
                ("current", id) if names.current.is_none() => names.current = Some(KeyId::parse(id)?),
                ("unused", id) => names.unused.push(KeyId::parse(id)?),
                _ => return None,
            }
        }
        Some(names)
    }

    fn to_text(&self) -> String {
        let current = self.current.iter().map(|id| format!("current {id}\n"));
        current.chain(self.unused.iter().map(|id| format!("unused {id}\n"))).collect()
    }

    fn write(&self, storage: &Storage) -> Result<(), StorageError> {
        storage.replace(FILE, self.to_text().as_bytes())
    }

    /// Removes what is not used. What cannot be removed now stays on the list for the next time: the key in use works.
    fn sweep(&mut self, session: &Session, storage: &Storage) {
        let unused = self.unused.iter().filter(|id| remove(session, id).is_err()).copied().collect();
        let swept = Self { current: self.current, unused };
        if swept != *self && swept.write(storage).is_ok() {
            *self = swept;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_keys_reads_back_and_nothing_else_does() {
        let names =
            Names { current: Some(KeyId([0xA5; ID_LEN])), unused: vec![KeyId([1; ID_LEN]), KeyId([2; ID_LEN])] };
        assert_eq!(Names::parse(&names.to_text()), Some(names.clone()));
        assert_eq!(Names::parse(""), Some(Names::default()));
        let id = names.unused[0];
        let twice = format!("current {id}\ncurrent {id}\n");
        for text in ["current", "current 01", "lost 01010101010101010101010101010101", "\n", twice.as_str()] {
            assert_eq!(Names::parse(text), None, "{text:?}");
        }
        assert_eq!(Names::parse("unused +1010101010101010101010101010101"), None);
    }
}
