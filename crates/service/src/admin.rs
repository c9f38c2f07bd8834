//! What the operator does from the command line: invitations, merchants, certificates, money. Each is one call on the
//! store; none can change a household's keys.

use std::path::Path;

use nodpay_core::{
    Amount, BillId, CodeText, Country, Currency, Digest, HouseholdId, Mcc, MerchantCertificate, MerchantId, Minor,
    OutcomeCertificate, ScheduleId, Text, Timestamp, TransferId,
};
use nodpay_protocol::code::{self, CodeError};
use nodpay_protocol::{SignError, Signer as _, SoftwareKey, Verified};
use nodpay_store::{
    InvitationKind, MAX_MERCHANTS_PAGE, MerchantRow, NewCode, NewInvitation, NewMerchant, Refund, RefundRow, Store,
    StoreError,
};

use crate::api::compose::message;
use crate::keys::{KeyError, MerchantFacts, certify_merchant_key, make_push_key, renew_outcome_key};
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
    /// A key file cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// There is no key to certify.
    #[error("the till has not enrolled its key yet: open its link on the till first")]
    NotEnrolled,
    /// The text is no payment code, or our own cannot be written.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The code cannot be registered; why.
    #[error("this code cannot be registered: {0}")]
    NotRegistrable(&'static str),
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
    store.set_merchant_certificate(merchant, key, message(&certificate), now).await?;
    Ok(certificate)
}

/// Replaces the outcome key in the file `outcome_key` by a new one certified by the root key in `root_key`. Both certificates are in
/// the database before the new key can sign, so every replica and every watch finds the one an outcome verifies under.
///
/// # Errors
/// When key or store fail.
pub async fn rotate_outcome_key(
    store: &Store,
    present: &Verified<OutcomeCertificate>,
    outcome_key: &Path,
    root_key: &Path,
    now: Timestamp,
) -> Result<Verified<OutcomeCertificate>, AdminError> {
    let new = renew_outcome_key(outcome_key, root_key, now)?;
    for certificate in [present, &new.certificate] {
        store.keep_outcome_certificate(message(certificate), now).await?;
    }
    let certificate = new.certificate.clone();
    new.install()?;
    Ok(certificate)
}

/// Replaces the key that signs push messages, and forgets all phones, which subscribed with the one before. Interrupted, it is done
/// again.
///
/// # Errors
/// When key or store fail.
pub async fn renew_push_key(store: &Store, push_key: &Path) -> Result<(), AdminError> {
    match std::fs::remove_file(push_key) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(KeyError::File { path: push_key.to_owned(), error }.into());
        }
        Ok(()) | Err(_) => {}
    }
    let key = make_push_key(push_key)?;
    Ok(store.renew_push_key(key.public_key()).await?)
}

/// Registers a printed code that a merchant has already, of whatever open scheme: whoever scans it here pays this merchant.
/// Gives the name by which to remove it. The account in an EPC code becomes the merchant's, if it has none: banks pay it there.
///
/// # Errors
/// A text that is no such code, [`AdminError::NotRegistrable`], `MerchantUnknown`, `CodeTaken`, `TooManyCodes`, or when the
/// store fails.
pub async fn add_code(store: &Store, merchant: MerchantId, text: &str, now: Timestamp) -> Result<Digest, AdminError> {
    let row = store.merchant(merchant).await?.ok_or(StoreError::MerchantUnknown)?;
    let code = code::parse(text)?;
    let refused = |why| Err(AdminError::NotRegistrable(why));
    let Some(payee) = code::payee_of(text) else {
        return refused("it names no payee, or asks for a tip or fee");
    };
    if code.shop.is_some_and(|shop| shop != *merchant.as_bytes()) {
        return refused("it is the code that another shop of this service prints");
    }
    if code.currency != Some(row.currency.code()) {
        return refused("it is in another currency than the merchant's");
    }
    let Ok(text) = CodeText::new(text) else {
        return refused("it holds hidden characters");
    };
    store.add_code(NewCode { payee, merchant, text }, now).await?;
    if let (Some(account), None) = (code.account, row.iban) {
        store.set_iban(merchant, Some(account)).await?;
    }
    Ok(payee)
}

/// Registers and gives the text of a code for the shop to print; without an amount the child types it.
///
/// # Errors
/// Those of [`add_code`], and an amount or name that does not fit into a code.
pub async fn make_code(
    store: &Store,
    merchant: MerchantId,
    amount: Option<Minor>,
    now: Timestamp,
) -> Result<String, AdminError> {
    let row = store.merchant(merchant).await?.ok_or(StoreError::MerchantUnknown)?;
    let text = code::write_shop_code(&code::ShopCode {
        shop: *merchant.as_bytes(),
        mcc: &row.mcc.to_string(),
        currency: row.currency.code(),
        amount_minor: amount.map(Minor::get),
        country: &row.country.to_string(),
        name: row.name.as_str(),
        city: row.city.as_str(),
    })?;
    add_code(store, merchant, &text, now).await?;
    Ok(text)
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

/// Makes a further API key of a merchant's: the text is shown once.
///
/// # Errors
/// `MerchantUnknown`, `TooManyApiKeys`, or when the store fails.
pub async fn new_api_key(store: &Store, merchant: MerchantId, now: Timestamp) -> Result<String, AdminError> {
    let api_key = Token::new()?;
    store.add_api_key(merchant, api_key.stored(), now).await?;
    Ok(api_key.to_api_key())
}

/// A new id, for what the operator moves: given again, it is the same movement.
///
/// # Errors
/// When the operating system has no random numbers.
pub fn new_transfer() -> Result<TransferId, AdminError> {
    Ok(TransferId::from_bytes(random()?))
}

/// A new id for pocket money.
///
/// # Errors
/// When the operating system has no random numbers.
pub fn new_schedule() -> Result<ScheduleId, AdminError> {
    Ok(ScheduleId::from_bytes(random()?))
}

/// Gives back what was paid for a bill, for its merchant.
///
/// # Errors
/// Those of [`Store::refund`].
pub async fn refund(
    store: &Store,
    bill: BillId,
    (refund, amount): (TransferId, Amount),
    reason: Option<Text<60>>,
    now: Timestamp,
) -> Result<RefundRow, AdminError> {
    let merchant = store.bill(bill).await?.ok_or(StoreError::BillUnknown)?.merchant;
    Ok(store.refund(Refund { merchant, bill, refund, amount, reason }, now).await?)
}

/// A household by its id, or by the reference that a guardian wrote on a transfer.
///
/// # Errors
/// When it is neither, or nobody's.
pub async fn household_named(store: &Store, text: &str) -> Result<HouseholdId, StoreError> {
    let range = match text.parse::<HouseholdId>() {
        Ok(id) => Some((id, id)),
        Err(_) => crate::reference::range(text),
    };
    let (first, last) = range.ok_or(StoreError::HouseholdUnknown)?;
    store.household_between(first, last).await?.ok_or(StoreError::HouseholdUnknown)
}
