//! A merchant's own program: its key, its bills, its requotes.

use nodpay_core::{
    Adjustment, Bill, BillId, Currency, Digest, Line, LineId, MAX_MINOR, MerchantId, Minor, Nonce, Reduction,
    Timestamp, V1,
};
use nodpay_protocol::{Kind, Signer as _, SoftwareKey, Verified, sign, sign_request};
use serde_json::{Value, json};

use super::{Client, Result, Sse, now, random, random_key};

/// Bills of this program live a quarter of an hour.
const BILL_LIFE_MS: i64 = 15 * 60 * 1000;

/// What is sold.
#[derive(Clone, Debug)]
pub struct Basket {
    pub lines: Vec<Line>,
    pub adjustments: Vec<Adjustment>,
    pub reduction: Reduction,
}

/// A bill the service has taken.
#[derive(Clone, Debug)]
pub struct PostedBill {
    pub bill: Verified<Bill>,
    /// What the till's QR code says.
    pub code: String,
}

/// An enrolled merchant.
#[derive(Debug)]
pub struct Merchant {
    client: Client,
    key: SoftwareKey,
    merchant: MerchantId,
    certificate: Digest,
    currency: Currency,
}

impl Merchant {
    /// Makes a key and enrols it with a till invitation. The service must hold the root key, so that the certificate
    /// is there at once.
    pub fn enrol(client: &Client, invitation: &str) -> Result<Self> {
        const PATH: &str = "/api/merchant/enrol";
        let key = random_key()?;
        let proof = sign_request("POST", PATH, now(), Nonce::from_bytes(random()?), &key)?;
        let body = json!({ "invitation": invitation, "key": key.public_key(), "proof": proof });
        let (cookie, _) = client.post_for_cookie(PATH, &body)?;
        let client = client.clone().with_credential("cookie", cookie.ok_or("the enrolment set no session")?);
        let about = client.get("/api/merchant")?;
        let certificate = about["certificate"].as_str().ok_or("the merchant has no certificate yet")?;
        let root = client.get("/api/service")?["root"].as_str().ok_or("no root key")?.parse()?;
        let certificate = nodpay_protocol::verify_merchant_certificate(certificate, &root)?;
        let currency = Currency::from_code(about["currency"].as_str().ok_or("no currency")?)?;
        Ok(Self { client, key, merchant: certificate.merchant, certificate: certificate.digest(), currency })
    }

    #[must_use]
    pub const fn id(&self) -> MerchantId {
        self.merchant
    }

    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// A signed bill over `basket`, not yet posted.
    pub fn make_bill(&self, basket: Basket, issued: Timestamp) -> Result<Verified<Bill>> {
        let mut bill = Bill {
            v: V1,
            bill: BillId::from_bytes(random()?),
            revision: 1,
            replaces: None,
            merchant: self.merchant,
            certificate: self.certificate,
            currency: self.currency,
            lines: basket.lines,
            adjustments: basket.adjustments,
            total: Minor::ZERO,
            reduction: basket.reduction,
            issued,
            valid_until: issued.plus_ms(BILL_LIFE_MS),
            nonce: Nonce::from_bytes(random()?),
            code: None,
        };
        retotal(&mut bill)?;
        Ok(sign(Kind::Bill, bill, &self.key)?)
    }

    /// Makes, signs and posts a bill.
    pub fn charge(&self, basket: Basket) -> Result<PostedBill> {
        let bill = self.make_bill(basket, now())?;
        let answer = self.client.post_jose("/api/merchant/bills", bill.wire())?;
        let code = answer["code"].as_str().ok_or("the service gave no code")?.to_owned();
        Ok(PostedBill { bill, code })
    }

    pub fn bill_status(&self, bill: BillId) -> Result<Value> {
        self.client.get(&format!("/api/merchant/bills/{bill}"))
    }

    pub fn cancel(&self, bill: BillId) -> Result<Value> {
        self.client.post(&format!("/api/merchant/bills/{bill}/cancel"), &json!({}))
    }

    pub fn events(&self) -> Result<Sse> {
        self.client.events("/api/merchant/events", None)
    }

    /// Answers a requote ask (the data of a `requote` event) by signing the bill without the struck lines.
    pub fn requote(&self, original: &Verified<Bill>, ask: &Value) -> Result<Verified<Bill>> {
        let struck: Vec<LineId> = serde_json::from_value(ask["struck"].clone())?;
        let mut bill = Bill::clone(original);
        bill.revision = serde_json::from_value(ask["revision"].clone())?;
        bill.replaces = Some(original.digest());
        bill.lines.retain(|line| !struck.contains(&line.id));
        retotal(&mut bill)?;
        let requote = sign(Kind::Bill, bill, &self.key)?;
        self.client.post(&requote_path(ask)?, &json!({ "bill": requote.wire() }))?;
        Ok(requote)
    }

    /// Answers a requote ask with no and a reason.
    pub fn refuse_requote(&self, ask: &Value, reason: &str) -> Result<()> {
        self.client.post(&requote_path(ask)?, &json!({ "refused": reason })).map(|_| ())
    }
}

fn requote_path(ask: &Value) -> Result<String> {
    Ok(format!("/api/merchant/requotes/{}", ask["ask"].as_str().ok_or("no ask id")?))
}

fn retotal(bill: &mut Bill) -> Result<()> {
    let lines = bill.lines.iter().map(|line| line.amount);
    bill.total = Minor::sum(lines.chain(bill.adjustments.iter().map(|adjustment| adjustment.amount)))?;
    if bill.total.get() > MAX_MINOR { Err("the bill is too large".into()) } else { Ok(()) }
}
