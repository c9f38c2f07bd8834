//! Keys: the host's own (a secure element, a key chain), and one in software for programs and tests.

use std::sync::Arc;

use nodpay_core::PublicKey;
use nodpay_protocol::{SignError, Signer};
use nodpay_watch::{KeyStore, KeyStoreError};

use crate::Failure;

/// A P-256 key of the host. It may be called from any thread.
#[uniffi::export(with_foreign)]
pub trait DeviceKey: Send + Sync {
    /// The uncompressed point, 65 bytes (SEC 1 section 2.3.3).
    fn public_key(&self) -> Vec<u8>;

    /// ES256 (RFC 7518 section 3.4): r ‖ s, 64 bytes.
    fn sign(&self, message: Vec<u8>) -> Result<Vec<u8>, Failure>;

    /// Makes a new key in place of the old one, durable before it returns; on an error the old key stays. A key in
    /// software may take `secret`, 32 fresh random bytes, as its scalar; hardware draws its own.
    fn renew(&self, secret: Vec<u8>) -> Result<(), Failure>;
}

/// A key in memory, for programs and tests. A phone or a watch keeps its key in hardware instead.
#[derive(Debug, uniffi::Object)]
pub struct SoftwareKey(pub(crate) nodpay_protocol::SoftwareKey);

#[uniffi::export]
impl SoftwareKey {
    /// `secret`: the scalar, 32 bytes.
    #[uniffi::constructor]
    pub fn from_secret(secret: Vec<u8>) -> Result<Arc<Self>, Failure> {
        let secret =
            <[u8; 32]>::try_from(secret).map_err(|_| Failure::malformed("the secret", "it is not 32 bytes"))?;
        let key = nodpay_protocol::SoftwareKey::from_secret(&secret);
        key.map(|key| Arc::new(Self(key))).ok_or_else(|| Failure::malformed("the secret", "it is not a scalar"))
    }

    /// The uncompressed point, 65 bytes.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        self.0.public_key().as_bytes().to_vec()
    }

    /// r ‖ s, 64 bytes.
    pub fn sign(&self, message: Vec<u8>) -> Result<Vec<u8>, Failure> {
        self.0.sign(&message).map(Vec::from).map_err(|error| Failure::Key { why: error.to_string() })
    }
}

/// A host's key as the agent takes it.
pub(crate) struct HostKeys {
    host: Arc<dyn DeviceKey>,
    key: PublicKey,
}

impl HostKeys {
    pub(crate) fn new(host: Arc<dyn DeviceKey>) -> Result<Self, Failure> {
        let key = point(&host.public_key())?;
        Ok(Self { host, key })
    }
}

fn point(bytes: &[u8]) -> Result<PublicKey, Failure> {
    PublicKey::try_from(bytes).map_err(|why| Failure::malformed("the public key", why))
}

impl Signer for HostKeys {
    fn public_key(&self) -> PublicKey {
        self.key
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let signature = self.host.sign(message.to_vec()).map_err(|error| SignError(error.to_string()))?;
        signature.try_into().map_err(|_| SignError("the host's signature is not 64 bytes".to_owned()))
    }
}

impl KeyStore for HostKeys {
    fn renew(&mut self, secret: &[u8; 32]) -> Result<PublicKey, KeyStoreError> {
        let failed = |error: Failure| KeyStoreError(error.to_string());
        self.host.renew(secret.to_vec()).map_err(failed)?;
        self.key = point(&self.host.public_key()).map_err(failed)?;
        Ok(self.key)
    }
}
