//! A guardian's own program: a software passkey, the household log, decisions. It verifies what the phone page verifies
//! before it decides.

use nodpay_core::{
    Bill, CredentialId, Currency, Decision, Digest, EnrolledWatch, Entry, Guardian as Person, GuardianId, HouseholdId,
    LineId, LogEntry, MerchantCertificate, NEW_WATCH_COOLING_OFF_MS, NewWatchCap, Note, Order, PairingId, PersonName,
    PinCommand, PinConsent, PinReport, PublicKey, Salt, Text, V1, Verdict, WatchId, WearerId, newcomer_most,
};
use nodpay_protocol::{
    Anchor, AnchorGuardian, Assertion, AssertionKind, LogBook, PairingCode, PairingSecret, RelyingParty, Signer as _,
    SoftwareKey, Verified, check_digits, name_digest, verify_merchant_certificate, verify_order, verify_ordered_bill,
    verify_pairing_claim, verify_pin_report, verify_requote,
};
use serde_json::{Value, json};

use super::{Client, Result, Sse, now, random, random_key};

/// An approval is to be paid within five minutes.
const PAY_WITHIN_MS: i64 = 5 * 60 * 1000;
const PAIRING_LIFE_MS: i64 = 30 * 60 * 1000;
/// A new watch is kept short from when its entry is signed, which is a little later.
const SIGNING_MS: i64 = 60_000;

/// A guardian who is a program.
#[derive(Debug)]
pub struct Guardian {
    client: Client,
    key: SoftwareKey,
    person: Person,
    household: HouseholdId,
    root: PublicKey,
    /// The software key is marked as the demo's.
    demo: bool,
    book: LogBook,
    founding: Digest,
    currency: Currency,
}

/// An order the guardian has verified.
#[derive(Debug)]
pub struct OrderView {
    pub certificate: Verified<MerchantCertificate>,
    pub bill: Verified<Bill>,
    pub requote: Option<Verified<Bill>>,
    pub order: Verified<Order>,
}

/// What to answer.
#[derive(Clone, Debug)]
pub enum Approval {
    /// Approve without these lines.
    Without(Vec<LineId>),
    Refuse(Option<Note>),
}

impl Guardian {
    /// Founds a household with an invitation.
    pub fn found(client: &Client, invitation: &str, currency: Currency) -> Result<Self> {
        let service = client.get("/api/service")?;
        let rp = RelyingParty {
            rp_id: service["rp_id"].as_str().ok_or("no rp id")?.to_owned(),
            origins: serde_json::from_value(service["origins"].clone())?,
            demo_keys: service["demo"].as_bool().unwrap_or(false),
        };
        let demo = rp.demo_keys;
        let key = random_key()?;
        let name = PersonName { name: Text::new("妈妈")?, salt: Salt::from_bytes(random()?) };
        let person = Person {
            guardian: GuardianId::from_bytes(random()?),
            credential: CredentialId::try_from(random::<32>()?.to_vec())?,
            key: key.public_key(),
            backup_eligible: false,
            shown_payments: false,
            name: Some(name_digest(name.salt, name.name.as_str())),
        };
        let household = HouseholdId::from_bytes(random()?);
        let founding = LogEntry {
            v: V1,
            household,
            seq: 0,
            prev: None,
            guardian: person.guardian,
            at: now(),
            entry: Entry::Found(person.clone()),
        };
        let payload = serde_json::to_vec(&founding)?;
        let credential = person.credential.clone();
        let wire = Assertion::by_software_key(AssertionKind::Log, payload, credential, &key, &rp, demo)?.to_wire();
        let book = LogBook::found(&wire, None, rp)?;
        let body = json!({ "invitation": invitation, "entry": wire, "name": name, "currency": currency });
        let (cookie, _) = client.post_for_cookie("/api/guardian/found", &body)?;
        let client = client.clone().with_credential("cookie", cookie.ok_or("founding set no session")?);
        let root = service["root"].as_str().ok_or("no root key")?.parse()?;
        Ok(Self { client, key, person, household, root, demo, founding: book.head(), book, currency })
    }

    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    #[must_use]
    pub const fn household(&self) -> HouseholdId {
        self.household
    }

    /// All events from the first, then what happens.
    pub fn events(&self) -> Result<Sse> {
        self.client.events("/api/guardian/events", Some(0))
    }

    /// Opens a pairing: the text of the QR code, whose secret stays here.
    pub fn open_pairing(&self) -> Result<PairingCode> {
        let answer = self.client.post("/api/guardian/pairings", &json!({}))?;
        Ok(PairingCode {
            v: V1,
            service: self.client.base().to_owned(),
            pairing: answer["pairing"].as_str().ok_or("no pairing id")?.parse()?,
            household: self.household,
            founding: self.founding,
            root: self.root,
            rp_id: self.book.relying_party().rp_id.clone(),
            origins: self.book.relying_party().origins.clone(),
            expires: now().plus_ms(PAIRING_LIFE_MS),
            secret: PairingSecret::from_bytes(random()?),
        })
    }

    /// Checks the watch's claim and enrols it for a child of this name. Returns the digits both screens show.
    pub fn enrol(&mut self, code: &PairingCode, name: &str) -> Result<(WatchId, String)> {
        let answer = self.client.get(&format!("/api/guardian/pairings/{}", code.pairing))?;
        let key: PublicKey = answer["key"].as_str().ok_or("no watch has claimed the pairing")?.parse()?;
        let claim = verify_pairing_claim(answer["claim"].as_str().ok_or("no claim")?, &key)?;
        if claim.pairing != code.pairing || claim.household != self.household || !code.secret.is_proved_by(&claim) {
            return Err("the watch does not know the pairing secret".into());
        }
        let name = PersonName { name: Text::new(name)?, salt: Salt::from_bytes(random()?) };
        let watch = EnrolledWatch {
            watch: claim.watch,
            key,
            wearer: WearerId::from_bytes(random()?),
            wearer_name: name_digest(name.salt, name.name.as_str()),
            new_watch_cap: NewWatchCap {
                until: now().plus_ms(SIGNING_MS + NEW_WATCH_COOLING_OFF_MS),
                per_payment: newcomer_most(self.currency),
            },
        };
        self.log(Entry::EnrolWatch(watch), Some(&name), Some(code.pairing))?;
        Ok((claim.watch, check_digits(claim.digest())))
    }

    /// What each watch of the household says of its PIN, verified.
    pub fn pin_reports(&self) -> Result<Vec<Verified<PinReport>>> {
        let household = self.client.get("/api/guardian/household")?;
        let reports = household["pin_reports"].as_array().ok_or("no PIN reports")?;
        let verify = |view: &Value| {
            let watch = view["watch"].as_str().ok_or("no watch")?.parse()?;
            Ok(verify_pin_report(view["report"].as_str().ok_or("no report")?, &self.book, watch)?)
        };
        reports.iter().map(verify).collect()
    }

    /// Consents to what a watch asks.
    pub fn answer_pin(&mut self, report: &PinReport, command: PinConsent) -> Result<()> {
        let command = PinCommand { watch: report.watch, nonce: report.nonce, command };
        self.log(Entry::PinCommand(command), None, None)
    }

    pub fn remove_watch(&mut self, watch: WatchId) -> Result<()> {
        self.log(Entry::RemoveWatch(watch), None, None)
    }

    fn log(&mut self, entry: Entry, wearer: Option<&PersonName>, pairing: Option<PairingId>) -> Result<()> {
        let entry = LogEntry {
            v: V1,
            household: self.household,
            seq: self.book.next_seq(),
            prev: Some(self.book.head()),
            guardian: self.person.guardian,
            at: now(),
            entry,
        };
        let wire = self.sign(AssertionKind::Log, &entry)?;
        let mut body = json!({ "entry": wire });
        if let Some(wearer) = wearer {
            body["wearer"] = serde_json::to_value(wearer)?;
        }
        if let Some(pairing) = pairing {
            body["pairing"] = serde_json::to_value(pairing)?;
        }
        self.client.post("/api/guardian/log", &body)?;
        self.book.append(&wire)?;
        Ok(())
    }

    /// Reads an order and verifies merchant, bill, requote and watch.
    pub fn order(&self, order: &str) -> Result<OrderView> {
        let view = self.client.get(&format!("/api/guardian/orders/{order}"))?;
        let text = |name: &str| view[name].as_str().ok_or_else(|| format!("the order has no {name}"));
        let certificate = verify_merchant_certificate(text("certificate")?, &self.root)?;
        let wire = text("order")?;
        let bill_wire = text("bill")?;
        let by = |watch: &EnrolledWatch| {
            let bill = verify_ordered_bill(bill_wire, &certificate, &watch.key)?;
            verify_order(wire, &self.book, watch.watch, &bill).map(|order| (bill, order))
        };
        let found = self.book.watches().find_map(|watch| by(watch).ok());
        let (bill, order) = found.ok_or("no watch of this household signed the order")?;
        let requote = view["requote"].as_str().map(|wire| verify_requote(wire, &certificate, &bill)).transpose()?;
        Ok(OrderView { certificate, bill, requote, order })
    }

    /// Asks the merchant to requote without these lines.
    pub fn strike(&self, view: &OrderView, struck: &[LineId]) -> Result<Value> {
        let path = format!("/api/guardian/orders/{}/strike", view.order.order);
        self.client.post(&path, &json!({ "struck": struck }))
    }

    /// The decision, signed but not sent.
    pub fn sign_decision(&self, view: &OrderView, approval: &Approval) -> Result<String> {
        let requote = view.requote.as_ref();
        let current = requote.unwrap_or(&view.bill);
        let (verdict, struck, total, reason) = match approval {
            Approval::Without(struck) => {
                let terms = view.bill.terms(struck, requote.map(|requote| &**requote))?;
                (Verdict::Approve, struck.clone(), terms.total, None)
            }
            Approval::Refuse(reason) => (Verdict::Refuse, Vec::new(), current.total(), reason.clone()),
        };
        let at = now();
        let decision = Decision {
            v: V1,
            order: view.order.digest(),
            bill: current.digest(),
            struck,
            household: self.household,
            watch: view.order.watch,
            wearer: view.order.wearer,
            payee: view.certificate.digest(),
            total,
            verdict,
            first: None,
            guardian: self.person.guardian,
            credential: self.person.credential.clone(),
            log_head: self.book.head(),
            at,
            pay_by: at.plus_ms(PAY_WITHIN_MS),
            reason,
            suggest: None,
        };
        self.sign(AssertionKind::Decision, &decision)
    }

    pub fn send_decision(&self, view: &OrderView, wire: &str) -> Result<Value> {
        self.client.post_jose(&format!("/api/guardian/orders/{}/decision", view.order.order), wire)
    }

    pub fn decide(&self, view: &OrderView, approval: &Approval) -> Result<()> {
        self.send_decision(view, &self.sign_decision(view, approval)?).map(|_| ())
    }

    /// The evidence file of an ended order.
    pub fn evidence(&self, order: &str) -> Result<String> {
        self.client.get_text(&format!("/api/guardian/orders/{order}/evidence"))
    }

    /// What a checker needs to trust beforehand, from what this guardian holds itself.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        let rp = self.book.relying_party();
        let guardians = self.book.guardians().map(|guardian| AnchorGuardian {
            guardian: guardian.guardian,
            credential: guardian.credential.clone(),
            key: guardian.key,
        });
        Anchor {
            v: V1,
            household: self.household,
            root: self.root,
            rp_id: rp.rp_id.clone(),
            origins: rp.origins.clone(),
            guardians: guardians.collect(),
            demo_keys: self.demo,
        }
    }

    fn sign(&self, kind: AssertionKind, payload: &impl serde::Serialize) -> Result<String> {
        let payload = serde_json::to_vec(payload)?;
        let (credential, rp) = (self.person.credential.clone(), self.book.relying_party());
        Ok(Assertion::by_software_key(kind, payload, credential, &self.key, rp, self.demo)?.to_wire())
    }
}
