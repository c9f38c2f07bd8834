//! The rails outside of our own ledger: cards by Stripe, bank transfers by ISO 20022 files. The words they share are
//! [`nodpay_core::Rail`]'s; the household's wallet speaks them inside the store's transactions.
//!
//! Owns: talking to them, and what their answers mean. Never does: decide what becomes of an order.

pub mod bank;
pub mod camt;
pub mod stripe;

pub mod folder;
mod work;

use std::fmt::Write as _;
use std::path::PathBuf;

use nodpay_core::{BankAccount, RailKind, TransferId};
use tokio::sync::Notify;

use self::folder::BankFolder;
use self::stripe::{CALL_TIME, STRIPE_API, Stripe, StripeError, StripeSecret};
pub(crate) use self::work::run;

/// Which rails a service has, and where their secrets and files lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RailFiles {
    /// A file with Stripe's secret key.
    pub stripe_key: Option<PathBuf>,
    /// A file with the secret that signs Stripe's events.
    pub stripe_webhook_secret: Option<PathBuf>,
    /// Another address than [`STRIPE_API`], for tests.
    pub stripe_api: Option<String>,
    /// Where files for the bank are handed over.
    pub bank_folder: Option<PathBuf>,
    /// The operator's own account, which payouts leave from and which starts all bank files.
    pub bank_account: Option<BankAccount>,
    /// How money gets into a wallet beside that: the operator's words to guardians.
    pub top_up_words: Option<String>,
}

/// Why a rail cannot be used. `Display` is one plain sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum RailError {
    /// Its key, secret or address.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// Its folder.
    #[error("{path}: {error}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Files for a bank name who sends them.
    #[error("a bank folder needs the operator's account: give bank-name and bank-iban")]
    NoAccount,
}

/// The rails of a running service.
#[derive(Debug, Default)]
pub struct Rails {
    stripe: Option<Stripe>,
    webhook_secret: Option<StripeSecret>,
    bank: Option<(BankFolder, BankAccount)>,
    wake: Notify,
}

impl Rails {
    /// # Errors
    /// When a file cannot be read or a folder not be made.
    pub fn open(files: &RailFiles) -> Result<Self, RailError> {
        let api = files.stripe_api.as_deref().unwrap_or(STRIPE_API);
        let stripe = match &files.stripe_key {
            Some(path) => Some(Stripe::new(api, &StripeSecret::read(path)?, CALL_TIME)?),
            None => None,
        };
        let webhook_secret = files.stripe_webhook_secret.as_deref().map(StripeSecret::read).transpose()?;
        let bank = match (&files.bank_folder, &files.bank_account) {
            (Some(path), Some(account)) => {
                let folder = BankFolder::open(path);
                Some((folder.map_err(|error| RailError::Folder { path: path.clone(), error })?, account.clone()))
            }
            (Some(_), None) => return Err(RailError::NoAccount),
            (None, _) => None,
        };
        Ok(Self { stripe, webhook_secret, bank, wake: Notify::new() })
    }

    /// Those outside that can be asked here.
    fn kinds(&self) -> impl Iterator<Item = RailKind> {
        let stripe = self.stripe.is_some().then_some(RailKind::Stripe);
        stripe.into_iter().chain(self.bank.is_some().then_some(RailKind::Bank))
    }

    pub(crate) const fn stripe(&self) -> Option<&Stripe> {
        self.stripe.as_ref()
    }

    pub(crate) const fn webhook_secret(&self) -> Option<&StripeSecret> {
        self.webhook_secret.as_ref()
    }

    /// There may be something to do.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }
}

/// A transfer's id as rails take it: 32 characters that no system changes or refuses.
fn hex(id: TransferId) -> String {
    id.as_bytes().iter().fold(String::new(), |mut text, byte| {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Exactly `N` bytes in hexadecimal digits.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
