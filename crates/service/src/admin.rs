//! What the operator does from the command line: invitations, merchants, certificates, top-ups. Each is one call on the
//! store; none can change a household's keys.

use nodpay_core::{
    Amount, Country, Currency, HouseholdId, Mcc, MerchantCertificate, MerchantId, Text, Timestamp, TransferId,
};
use nodpay_protocol::{SignError, SoftwareKey, Verified};
use nodpay_store::{
    Balance, InvitationKind, MAX_MERCHANTS_PAGE, MerchantRow, Message, NewInvitation, NewMerchant, Store, StoreError,
    TopUp,
};

use crate::keys::{MerchantFacts, certify_merchant_key};
use crate::secrets::{RandomError, Token, random};

/// How long an invitation can be used.
pub const INVITATION_LIFE_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Why an operator's command was not done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The root key could not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The operating system has no random numbers.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// There is no key to certify.
    #[error("the till has not enrolled its key yet: open its link on the till first")]
    NotEnrolled,
}

/// A link that lets one person in, once. Its `Debug` shows the secret: print it only for that person.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The address with the token in its fragment, which browsers do not send.
    pub link: String,
    /// After this it is void.
    pub expires: Timestamp,
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Invitation(hidden, until {})", self.expires.unix_ms())
    }
}

/// A merchant to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerchantDetails {
    /// As people see it.
    pub name: Text<50>,
    /// Merchant category code.
    pub mcc: Mcc,
    /// As people see it.
    pub city: Text<30>,
    /// Where it is.
    pub country: Country,
    /// Of all its bills.
    pub currency: Currency,
}

/// A merchant that was added.
#[derive(Clone)]
pub struct AddedMerchant {
    /// Names it.
    pub merchant: MerchantId,
    /// For its server; shown once.
    pub api_key: String,
    /// For its till; shown once.
    pub till: Invitation,
}

impl std::fmt::Debug for AddedMerchant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AddedMerchant({}, secrets hidden)", self.merchant)
    }
}

/// Invites the first guardian of a new household: `{origin}/join#TOKEN`.
///
/// # Errors
/// When the store fails.
pub async fn invite_guardian(store: &Store, origin: &str, now: Timestamp) -> Result<Invitation, AdminError> {
    invite(store, InvitationKind::Guardian, &format!("{origin}/join"), now).await
}

/// Invites a merchant's till: `{origin}/till#TOKEN`.
///
/// # Errors
/// `MerchantUnknown`, or when the store fails.
pub async fn invite_till(
    store: &Store,
    origin: &str,
    merchant: MerchantId,
    now: Timestamp,
) -> Result<Invitation, AdminError> {
    invite(store, InvitationKind::Till(merchant), &format!("{origin}/till"), now).await
}

async fn invite(store: &Store, kind: InvitationKind, page: &str, now: Timestamp) -> Result<Invitation, AdminError> {
    let token = Token::new()?;
    let expires = now.plus_ms(INVITATION_LIFE_MS);
    store.create_invitation(NewInvitation { token: token.stored(), kind, expires }, now).await?;
    Ok(Invitation { link: format!("{page}#{}", token.to_text()), expires })
}

/// Adds a merchant with an API key and a till invitation.
///
/// # Errors
/// When the store fails.
pub async fn add_merchant(
    store: &Store,
    origin: &str,
    details: MerchantDetails,
    now: Timestamp,
) -> Result<AddedMerchant, AdminError> {
    let merchant = MerchantId::from_bytes(random()?);
    let api_key = Token::new()?;
    let new = NewMerchant {
        merchant,
        name: details.name,
        mcc: details.mcc,
        city: details.city,
        country: details.country,
        currency: details.currency,
        api_key: api_key.stored(),
    };
    store.add_merchant(new, now).await?;
    let till = invite_till(store, origin, merchant, now).await?;
    Ok(AddedMerchant { merchant, api_key: api_key.to_api_key(), till })
}

/// Signs the certificate of a merchant whose till has enrolled its key, and records it.
///
/// # Errors
/// `MerchantUnknown`, [`AdminError::NotEnrolled`], or when key or store fail.
pub async fn certify_merchant(
    store: &Store,
    root_key: &SoftwareKey,
    merchant: MerchantId,
    now: Timestamp,
) -> Result<Verified<MerchantCertificate>, AdminError> {
    let row = store.merchant(merchant).await?.ok_or(StoreError::MerchantUnknown)?;
    let key = row.key.ok_or(AdminError::NotEnrolled)?;
    let facts = MerchantFacts { name: row.name, mcc: row.mcc, city: row.city, country: row.country };
    let certificate = certify_merchant_key(root_key, merchant, facts, key, now)?;
    let message = Message { wire: certificate.wire().to_owned(), digest: certificate.digest() };
    store.set_merchant_certificate(merchant, key, message, now).await?;
    Ok(certificate)
}

/// All merchants, by id.
///
/// # Errors
/// When the store fails.
pub async fn merchants(store: &Store) -> Result<Vec<MerchantRow>, AdminError> {
    let mut all: Vec<MerchantRow> = Vec::new();
    loop {
        let page = store.merchants(all.last().map(|row| row.merchant), MAX_MERCHANTS_PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Pays into a household's wallet; gives the new balance.
///
/// # Errors
/// `HouseholdUnknown`, `CurrencyNotSupported`, `AmountNotPositive`, `BalanceTooLarge`, or when the store fails.
pub async fn top_up(
    store: &Store,
    household: HouseholdId,
    amount: Amount,
    now: Timestamp,
) -> Result<Balance, AdminError> {
    let transfer = TransferId::from_bytes(random()?);
    Ok(store.top_up(TopUp { household, transfer, amount }, now).await?)
}
