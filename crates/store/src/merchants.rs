//! Merchants, their keys, certificates and goods, and bills before and beside their orders.

use nodpay_core::{
    BillId, Country, Digest, HouseholdId, LineId, Mcc, MerchantId, Minor, OrderId, OrderState, PublicKey, Timestamp,
    TransferId,
};

use crate::db::{Cells, Db, insert_message, many, one, params, put_numbered, run, run_one};
use crate::events::tell_merchant;
use crate::orders::StateColumns;
use crate::tx::{Fault, Tx};
use crate::{
    BillOrder, BillRow, BillState, Good, InvitationKind, MAX_GOODS, MAX_MERCHANTS_PAGE, MerchantEvent, MerchantRow,
    Message, NewBill, NewMerchant, StoreError, TokenHash, access,
};

pub(crate) fn add(tx: &mut Tx<'_>, new: &NewMerchant, now: Timestamp) -> Result<(), Fault> {
    let of_key = by_api_key(tx.db, new.api_key)?.map(|row| row.merchant);
    if let Some(row) = merchant(tx.db, new.merchant)? {
        let same = of_key == Some(new.merchant)
            && row.name == new.name
            && row.mcc == new.mcc
            && row.city == new.city
            && row.country == new.country
            && row.currency == new.currency;
        return if same { Ok(()) } else { Err(StoreError::MerchantExists.into()) };
    }
    if of_key.is_some() {
        return Err(StoreError::MerchantExists.into());
    }
    run_one(
        tx.db,
        "merchants",
        new.merchant,
        "INSERT INTO merchants (merchant, name, mcc, city, country, currency, goods)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, '[]')",
        params![
            new.merchant.as_bytes(),
            new.name.as_str(),
            new.mcc.to_string(),
            new.city.as_str(),
            new.country.to_string(),
            new.currency.code(),
        ],
    )?;
    run_one(
        tx.db,
        "merchant_keys",
        new.merchant,
        "INSERT INTO merchant_keys (api_key, merchant, created) VALUES (?1, ?2, ?3)",
        params![new.api_key.0, new.merchant.as_bytes(), now.unix_ms()],
    )?;
    Ok(())
}

/// Completed by a condition.
macro_rules! select_merchant {
    ($rest:literal) => {
        concat!(
            "SELECT s.merchant, s.name, s.mcc, s.city, s.country, s.currency, s.key, m.wire, m.digest, s.goods
             FROM merchants s LEFT JOIN certificates c ON c.digest = s.certificate
             LEFT JOIN messages m ON m.id = c.message ",
            $rest
        )
    };
}

fn build_merchant(cells: &Cells<'_>) -> Result<MerchantRow, StoreError> {
    let (merchant, name) = (cells.id()?, cells.text()?);
    let mcc = Mcc::from_digits(&cells.string()?).ok_or_else(|| cells.wrong("mcc: is not four digits"))?;
    let city = cells.text()?;
    let country =
        Country::from_code(&cells.string()?).ok_or_else(|| cells.wrong("country: is not two capital letters"))?;
    Ok(MerchantRow {
        merchant,
        name,
        mcc,
        city,
        country,
        currency: cells.currency()?,
        key: cells.opt_id()?,
        certificate: cells.opt_message()?,
        goods: cells.json()?,
    })
}

pub(crate) fn merchant(db: Db<'_>, merchant: MerchantId) -> Result<Option<MerchantRow>, StoreError> {
    let sql = select_merchant!("WHERE s.merchant = ?1");
    one(db, "merchants", merchant, sql, params![merchant.as_bytes()], build_merchant)
}

/// The merchant, whose key and certificate nobody else changes until the transaction ends. Payments do not write here.
fn lock(db: Db<'_>, id: MerchantId) -> Result<Option<MerchantRow>, StoreError> {
    let sql = "SELECT 1 FROM merchants WHERE merchant = ?1 FOR UPDATE";
    one(db, "merchants", id, sql, params![id.as_bytes()], |cells| cells.int())?;
    merchant(db, id)
}

pub(crate) fn by_api_key(db: Db<'_>, api_key: TokenHash) -> Result<Option<MerchantRow>, StoreError> {
    let sql = select_merchant!("JOIN merchant_keys k ON k.merchant = s.merchant WHERE k.api_key = ?1");
    one(db, "merchants", "(by API key)", sql, params![api_key.0], build_merchant)
}

pub(crate) fn list(db: Db<'_>, after: Option<MerchantId>, limit: u32) -> Result<Vec<MerchantRow>, StoreError> {
    let sql = select_merchant!("WHERE s.merchant > ?1 ORDER BY s.merchant LIMIT ?2");
    let after: &[u8] = after.as_ref().map_or(&[], |after| after.as_bytes());
    many(db, "merchants", "(list)", sql, params![after, limit.min(MAX_MERCHANTS_PAGE)], build_merchant)
}

pub(crate) fn enrol_till(
    tx: &mut Tx<'_>,
    invitation: TokenHash,
    key: &PublicKey,
    now: Timestamp,
) -> Result<MerchantId, Fault> {
    let (kind, used) = access::invitation_ever(tx.db, invitation, now)?;
    let InvitationKind::Till(id) = kind else {
        return Err(StoreError::InvitationUnknown.into());
    };
    let row = lock(tx.db, id)?.ok_or(StoreError::MerchantUnknown)?;
    if used {
        return if row.key == Some(*key) { Ok(id) } else { Err(StoreError::InvitationUsed.into()) };
    }
    access::use_invitation(tx, invitation, now)?;
    if row.key != Some(*key) {
        run_one(
            tx.db,
            "merchants",
            id,
            "UPDATE merchants SET key = ?2, certificate = NULL WHERE merchant = ?1",
            params![id.as_bytes(), key.as_bytes()],
        )?;
    }
    Ok(id)
}

pub(crate) fn set_certificate(
    tx: &mut Tx<'_>,
    id: MerchantId,
    key: &PublicKey,
    certificate: &Message,
    now: Timestamp,
) -> Result<(), Fault> {
    let row = lock(tx.db, id)?.ok_or(StoreError::MerchantUnknown)?;
    if row.key != Some(*key) {
        return Err(StoreError::CertificateMismatch.into());
    }
    let known = one(
        tx.db,
        "certificates",
        certificate.digest,
        "SELECT merchant, key FROM certificates WHERE digest = ?1",
        params![certificate.digest.as_bytes()],
        |cells| Ok((cells.id::<MerchantId>()?, cells.id::<PublicKey>()?)),
    )?;
    match known {
        Some(known) if known != (id, *key) => return Err(StoreError::CertificateMismatch.into()),
        Some(_) => {}
        None => {
            let message = insert_message(tx.db, id.as_bytes(), certificate)?;
            run_one(
                tx.db,
                "certificates",
                certificate.digest,
                "INSERT INTO certificates (digest, merchant, key, message, at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![certificate.digest.as_bytes(), id.as_bytes(), key.as_bytes(), message, now.unix_ms()],
            )?;
        }
    }
    run_one(
        tx.db,
        "merchants",
        id,
        "UPDATE merchants SET certificate = ?2 WHERE merchant = ?1",
        params![id.as_bytes(), certificate.digest.as_bytes()],
    )?;
    Ok(())
}

pub(crate) fn set_goods(tx: &mut Tx<'_>, id: MerchantId, goods: &[Good]) -> Result<(), Fault> {
    if goods.len() > MAX_GOODS {
        return Err(StoreError::TooManyGoods.into());
    }
    let json = serde_json::to_string(goods).map_err(|error| StoreError::Database(error.to_string()))?;
    let changed = run(tx.db, "UPDATE merchants SET goods = ?2 WHERE merchant = ?1", params![id.as_bytes(), json])?;
    if changed == 1 { Ok(()) } else { Err(StoreError::MerchantUnknown.into()) }
}

pub(crate) fn create_bill(tx: &mut Tx<'_>, new: &NewBill, now: Timestamp) -> Result<BillRow, Fault> {
    let asked = &new.bill;
    if let Some(row) = bill(tx.db, asked.bill)? {
        let same = row.message.digest == new.message.digest;
        return if same { Ok(row) } else { Err(StoreError::BillExists.into()) };
    }
    if asked.revision != 1 {
        return Err(StoreError::NotFirstRevision.into());
    }
    let owner = merchant(tx.db, asked.merchant)?.ok_or(StoreError::MerchantUnknown)?;
    if asked.currency != owner.currency {
        return Err(StoreError::CurrencyNotSupported.into());
    }
    let certificate = one(
        tx.db,
        "certificates",
        asked.certificate,
        "SELECT m.wire, m.digest FROM certificates c JOIN messages m ON m.id = c.message
         WHERE c.digest = ?1 AND c.merchant = ?2",
        params![asked.certificate.as_bytes(), asked.merchant.as_bytes()],
        |cells| cells.message(),
    )?
    .ok_or(StoreError::CertificateUnknown)?;
    let deadline = now.plus_ms(asked.valid_until.ms_since(asked.issued));
    let message = insert_message(tx.db, asked.merchant.as_bytes(), &new.message)?;
    let number = tx.db.next_number("bills")?;
    put_numbered(
        tx.db,
        "bills",
        number,
        "INSERT INTO bills
         (no, bill, digest, merchant, certificate, message, total, currency, deadline, state, scanned, watch)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'open', 0, ?10)",
        params![
            number,
            asked.bill.as_bytes(),
            new.message.digest.as_bytes(),
            asked.merchant.as_bytes(),
            asked.certificate.as_bytes(),
            message,
            asked.total.get(),
            asked.currency.code(),
            deadline.unix_ms(),
            new.watch.as_ref().map(|watch| watch.as_bytes()),
        ],
    )?;
    if new.watch.is_none() {
        tell_merchant(tx, asked.merchant, MerchantEvent::Bill(asked.bill), now)?;
    }
    Ok(BillRow {
        bill: asked.bill,
        merchant: asked.merchant,
        certificate,
        message: new.message.clone(),
        watch: new.watch,
        total: asked.total(),
        deadline,
        scanned: false,
        state: BillState::Open,
        latest: None,
    })
}

/// Completed by a condition on `b`.
macro_rules! select_bill {
    ($condition:literal) => {
        concat!(
            "SELECT b.no, b.bill, b.merchant, c.wire, b.certificate, m.wire, b.digest, b.watch, b.total, b.currency,
                    b.deadline, b.scanned, b.state, b.consumed_by, o.household, o.order_id
             FROM bills b JOIN messages m ON m.id = b.message
             JOIN certificates r ON r.digest = b.certificate JOIN messages c ON c.id = r.message
             LEFT JOIN orders o ON o.no = b.consumed_by WHERE ",
            $condition
        )
    };
}

/// The row, its key, and the key of the order that paid it.
fn build_bill(cells: &Cells<'_>) -> Result<(BillRow, i64, Option<i64>), StoreError> {
    let no = cells.int()?;
    let row = BillRow {
        bill: cells.id()?,
        merchant: cells.id()?,
        certificate: cells.message()?,
        message: cells.message()?,
        watch: cells.opt_id()?,
        total: cells.amount()?,
        deadline: cells.time()?,
        scanned: cells.flag()?,
        state: BillState::Open,
        latest: None,
    };
    let (state, by) = (cells.string()?, cells.opt_int()?);
    let paid_by: (Option<HouseholdId>, Option<OrderId>) = (cells.opt_id()?, cells.opt_id()?);
    let state = bill_state(&state, paid_by).ok_or_else(|| cells.wrong("state and order do not fit"))?;
    Ok((BillRow { state, ..row }, no, by))
}

pub(crate) fn bill_state(state: &str, by: (Option<HouseholdId>, Option<OrderId>)) -> Option<BillState> {
    match (state, by) {
        ("open", (None, None)) => Some(BillState::Open),
        ("consumed", (Some(household), Some(order))) => Some(BillState::Consumed(household, order)),
        ("cancelled", (None, None)) => Some(BillState::Cancelled),
        _ => None,
    }
}

pub(crate) fn bill(db: Db<'_>, bill: BillId) -> Result<Option<BillRow>, StoreError> {
    let found = one(db, "bills", bill, select_bill!("b.bill = ?1"), params![bill.as_bytes()], build_bill)?;
    found.map(|found| with_latest(db, found)).transpose()
}

pub(crate) fn bill_by_digest(db: Db<'_>, digest: Digest) -> Result<Option<BillRow>, StoreError> {
    let found = one(db, "bills", digest, select_bill!("b.digest = ?1"), params![digest.as_bytes()], build_bill)?;
    found.map(|found| with_latest(db, found)).transpose()
}

fn with_latest(db: Db<'_>, (row, no, consumed_by): (BillRow, i64, Option<i64>)) -> Result<BillRow, StoreError> {
    let latest = one(
        db,
        "orders",
        row.bill,
        "SELECT o.state, o.deadline, o.hold, o.outcome_kind, d.digest, o.total, o.struck, o.requote_total,
                o.requote_struck
         FROM orders o LEFT JOIN messages d ON d.id = o.decision
         WHERE o.no = coalesce(?2, (SELECT max(no) FROM orders WHERE bill_no = ?1))",
        params![no, consumed_by],
        |cells| build_bill_order(cells, &row),
    )?;
    Ok(BillRow { latest, ..row })
}

fn build_bill_order(cells: &Cells<'_>, bill: &BillRow) -> Result<BillOrder, StoreError> {
    let (state, deadline): (String, Option<Timestamp>) = (cells.string()?, cells.opt_time()?);
    let (hold, kind): (Option<TransferId>, Option<String>) = (cells.opt_id()?, cells.opt_string()?);
    let (decision, total, struck): (Option<Digest>, Minor, Vec<LineId>) =
        (cells.opt_id()?, cells.minor()?, cells.json()?);
    let requote: (Option<Minor>, Option<Vec<LineId>>) = (cells.opt_minor()?, cells.opt_json()?);
    let total_of = |minor| nodpay_core::Amount::new(minor, bill.total.currency());
    let columns =
        StateColumns { state: &state, deadline, decision, hold, total: total_of(total), outcome: kind.as_deref() };
    let state = OrderState::try_from(&columns).map_err(|why| cells.wrong(why))?;
    let (total, struck, requoted) = match (decision, requote) {
        (None, (Some(total), Some(struck))) => (total, struck, true),
        (_, (requoted, _)) => (total, struck, requoted.is_some()),
    };
    Ok(BillOrder { state, total: total_of(total), struck, requoted })
}

/// The bill that an order names, without its orders, and its key.
pub(crate) fn bill_of_order(db: Db<'_>, digest: Digest) -> Result<Option<(BillRow, i64)>, StoreError> {
    let found = one(db, "bills", digest, select_bill!("b.digest = ?1"), params![digest.as_bytes()], build_bill)?;
    Ok(found.map(|(row, no, _)| (row, no)))
}

pub(crate) fn mark_scanned(tx: &mut Tx<'_>, id: BillId, now: Timestamp) -> Result<(), Fault> {
    let row = bill(tx.db, id)?.ok_or(StoreError::BillUnknown)?;
    if row.scanned {
        return Ok(());
    }
    run_one(tx.db, "bills", id, "UPDATE bills SET scanned = 1 WHERE bill = ?1", params![id.as_bytes()])?;
    Ok(tell_merchant(tx, row.merchant, MerchantEvent::Bill(id), now)?)
}
