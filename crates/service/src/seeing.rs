//! Looking back: days in a person's time zone, which orders fit words and kinds of shops, and all movements of a household's
//! money in a time. Reads what was verified when it came in; whoever shows an order to a guardian sends it whole, for their
//! phone to verify.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::civil;
use jiff::tz::TimeZone;
use nodpay_core::{
    Amount, Category, Day, HouseholdId, MerchantCertificate, Minor, OrderId, OutcomeKind, Timestamp, TransferId,
    WearerId,
};
use nodpay_protocol::{Verified, bill_said};
use nodpay_store::{
    BackKind, BackMove, Ending, HistoryAsked, HistoryRow, MAX_HISTORY_PAGE, MAX_LOOKED_AT, MAX_MOVES, Moves,
};

use crate::App;
use crate::problem::ApiError;
use crate::verified;

/// Longest name of a time zone; the IANA database's longest has 32 characters.
const MAX_ZONE_LEN: usize = 64;
/// Longest text to look for, in characters.
const MAX_SOUGHT_CHARS: usize = 60;
/// Orders read at once where words or kinds of shops are looked for.
const CHUNK: u32 = 200;

/// Whole days in a time zone.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) from: Timestamp,
    /// Not in it itself.
    pub(crate) to: Timestamp,
    pub(crate) zone: TimeZone,
}

impl Span {
    /// From the first day to the last one, both as in 2026-11-30; without one it is open. Without a zone days are UTC's.
    pub(crate) fn of_days(from: Option<&str>, to: Option<&str>, zone: Option<&str>) -> Result<Self, ApiError> {
        let zone = zone_named(zone)?;
        let day = |text: &str| text.parse::<Day>().map_err(|error| ApiError::Form(format!("{text} {error}")));
        let date = |day: Day| date_of(&day.to_string());
        let (first, last) = (from.map(day).transpose()?, to.map(day).transpose()?);
        if first.zip(last).is_some_and(|(first, last)| last < first) {
            return Err(ApiError::Form("the last day is before the first".to_owned()));
        }
        let from = first.map(|day| start_of(date(day)?, &zone)).transpose()?.unwrap_or(Day::MIN.start());
        let to = match last {
            Some(last) => start_of(after(date(last)?, jiff::Span::new().days(1))?, &zone)?,
            None => Day::MAX.start(),
        };
        Ok(Self { from, to, zone })
    }

    /// A month as in 2026-11, and its first day.
    pub(crate) fn of_month(month: &str, zone: Option<&str>) -> Result<(Self, civil::Date), ApiError> {
        let zone = zone_named(zone)?;
        let first = format!("{month}-01");
        first.parse::<Day>().map_err(|_| ApiError::NotFound)?;
        let first = date_of(&first)?;
        let (from, to) = (start_of(first, &zone)?, start_of(after(first, jiff::Span::new().months(1))?, &zone)?);
        Ok((Self { from, to, zone }, first))
    }

    /// The day that `at` is in.
    pub(crate) fn date(&self, at: Timestamp) -> civil::Date {
        self.zoned(at).date()
    }

    pub(crate) fn zoned(&self, at: Timestamp) -> jiff::Zoned {
        jiff::Timestamp::from_millisecond(at.unix_ms()).unwrap_or_default().to_zoned(self.zone.clone())
    }
}

/// By its name in the IANA database.
fn zone_named(name: Option<&str>) -> Result<TimeZone, ApiError> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    let sound = name.len() <= MAX_ZONE_LEN
        && name.chars().all(|one| one.is_ascii_alphanumeric() || "_+-/".contains(one))
        && !name.starts_with('/');
    let zone = sound.then(|| TimeZone::get(name).ok()).flatten();
    zone.ok_or_else(|| ApiError::TimeZone(name.chars().take(MAX_ZONE_LEN).collect()))
}

fn date_of(day: &str) -> Result<civil::Date, ApiError> {
    day.parse().map_err(|error: jiff::Error| ApiError::Form(error.to_string()))
}

fn after(date: civil::Date, span: jiff::Span) -> Result<civil::Date, ApiError> {
    date.checked_add(span).map_err(|error| ApiError::Form(error.to_string()))
}

fn start_of(date: civil::Date, zone: &TimeZone) -> Result<Timestamp, ApiError> {
    let start = date.to_zoned(zone.clone()).map_err(|error| ApiError::Form(error.to_string()))?;
    Ok(Timestamp::from_unix_ms(start.timestamp().as_millisecond()))
}

/// What is looked for beyond what the store finds by itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sought {
    words: Option<String>,
    category: Option<Category>,
}

impl Sought {
    pub(crate) fn new(words: Option<&str>, category: Option<Category>) -> Result<Self, ApiError> {
        let words = words.map(|words| words.trim().to_lowercase()).filter(|words| !words.is_empty());
        if words.as_ref().is_some_and(|words| words.chars().count() > MAX_SOUGHT_CHARS) {
            return Err(ApiError::Form(format!("text: at most {MAX_SOUGHT_CHARS} characters")));
        }
        Ok(Self { words, category })
    }

    const fn is_anything(&self) -> bool {
        self.words.is_none() && self.category.is_none()
    }

    /// Whether the shop is of the kind, and the words are in its name or an item's.
    fn fits(&self, app: &App, row: &HistoryRow) -> Result<bool, ApiError> {
        let shop = verified::certificate(app, &row.certificate)?;
        if self.category.is_some_and(|category| category != Category::of(shop.mcc)) {
            return Ok(false);
        }
        let Some(words) = &self.words else { return Ok(true) };
        let holds = |name: &str| name.to_lowercase().contains(words.as_str());
        if row.bill.is_cut() {
            return Ok(holds(shop.name.as_str()));
        }
        Ok(holds(shop.name.as_str()) || bill_said(&row.bill.wire)?.lines.iter().any(|line| holds(line.name.as_str())))
    }
}

/// Orders that fit, newest first, and where to go on.
pub(crate) struct Found {
    pub(crate) orders: Vec<OrderId>,
    pub(crate) next: Option<(OrderId, Timestamp)>,
}

/// Up to `wanted` orders from the one before `before`. What is looked at is bounded, so there may be fewer, and more to come.
pub(crate) async fn find(
    app: &App,
    household: HouseholdId,
    asked: &HistoryAsked,
    sought: &Sought,
    mut before: Option<OrderId>,
    wanted: u32,
) -> Result<Found, ApiError> {
    let limit = if sought.is_anything() { wanted } else { CHUNK };
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let mut orders = Vec::new();
    let mut looked_at = 0;
    loop {
        let page = app.store().history(household, asked.clone(), before, limit).await?;
        let full = u32::try_from(page.rows.len()).is_ok_and(|len| len == limit);
        looked_at += if full { limit } else { MAX_LOOKED_AT };
        for row in &page.rows {
            if sought.is_anything() || sought.fits(app, row)? {
                orders.push(row.order);
            }
            if orders.len() == wanted {
                return Ok(Found { orders, next: Some((row.order, row.received)) });
            }
        }
        if page.next.is_none() || looked_at >= MAX_LOOKED_AT {
            return Ok(Found { orders, next: page.next });
        }
        before = page.next.map(|(order, _)| order);
    }
}

/// A movement of a household's money.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    /// When the order came; of what is no order, when the money moved.
    pub(crate) at: Timestamp,
    /// When the money moved.
    pub(crate) posted: Timestamp,
    pub(crate) transfer: TransferId,
    /// Below zero where the household pays.
    pub(crate) amount: Amount,
    pub(crate) kind: MoveKind,
}

#[derive(Clone, Debug)]
pub(crate) enum MoveKind {
    Purchase(Box<Purchase>),
    /// From the shop or, where a payment was disputed, from the card's bank; or to the shop again.
    Back {
        kind: BackKind,
        shop: Arc<Verified<MerchantCertificate>>,
        wearer: WearerId,
        order: OrderId,
        reason: String,
        /// What a rail calls it.
        reference: String,
    },
    /// Into the wallet.
    PaidIn,
    /// Out of the wallet, to its family.
    PaidOut,
}

#[derive(Clone, Debug)]
pub(crate) struct Purchase {
    pub(crate) shop: Arc<Verified<MerchantCertificate>>,
    pub(crate) row: HistoryRow,
}

impl Purchase {
    /// What was bought, without what was struck; nothing where that is no longer kept.
    pub(crate) fn items(&self) -> Result<Vec<String>, ApiError> {
        if self.row.bill.is_cut() {
            return Ok(Vec::new());
        }
        let bill = bill_said(&self.row.bill.wire)?;
        let kept = bill.lines.iter().filter(|line| !self.row.struck.contains(&line.id));
        let text = |line: &nodpay_core::Line| match line.quantity {
            1 => line.name.as_str().to_owned(),
            quantity => format!("{quantity} × {}", line.name.as_str()),
        };
        Ok(kept.map(text).collect())
    }
}

/// All movements in a time, newest first, page by page; of one wearer's, or of the whole household's.
pub(crate) struct Walk {
    household: HouseholdId,
    asked: HistoryAsked,
    before: Option<OrderId>,
    /// What is no order, the oldest first.
    others: Vec<Move>,
    over: bool,
}

impl Walk {
    pub(crate) async fn new(
        app: &App,
        household: HouseholdId,
        span: &Span,
        wearer: Option<WearerId>,
    ) -> Result<Self, ApiError> {
        let Moves { refunds, disputes, wallet } = app.store().moves(household, span.from, span.to).await?;
        let most = usize::try_from(MAX_MOVES).unwrap_or(usize::MAX);
        if [refunds.len(), disputes.len(), wallet.len()].contains(&most) {
            return Err(ApiError::Form("too much happened in this time: ask for less of it".to_owned()));
        }
        let mut others = Vec::new();
        let backs = refunds.into_iter().chain(disputes);
        for back in backs.filter(|back| wearer.is_none_or(|wearer| wearer == back.wearer)) {
            let shop = verified::certificate(app, &back.certificate)?;
            let BackMove { kind, transfer, at, amount, reason, order, wearer, certificate: _, reference } = back;
            let reason = reason.map(|reason| reason.as_str().to_owned()).unwrap_or_default();
            let reference = reference.unwrap_or_default();
            let kind = MoveKind::Back { kind, shop, wearer, order, reason, reference };
            others.push(Move { at, posted: at, transfer, amount, kind });
        }
        // What is in the wallet is everybody's.
        for moved in wallet.into_iter().filter(|_| wearer.is_none()) {
            let kind = if moved.amount.units() < Minor::ZERO { MoveKind::PaidOut } else { MoveKind::PaidIn };
            others.push(Move { at: moved.at, posted: moved.at, transfer: moved.transfer, amount: moved.amount, kind });
        }
        others.sort_by_key(|moved| moved.at);
        let ending = Some(Ending::Ended(OutcomeKind::Paid));
        let asked = HistoryAsked { from: span.from, to: span.to, wearer, merchant: None, ending };
        Ok(Self { household, asked, before: None, others, over: false })
    }

    /// The next page; `None` at the end.
    pub(crate) async fn next(&mut self, app: &App) -> Result<Option<Vec<Move>>, ApiError> {
        if self.over {
            return Ok(None);
        }
        let page = app.store().history(self.household, self.asked.clone(), self.before, MAX_HISTORY_PAGE).await?;
        self.before = page.next.map(|(order, _)| order);
        self.over = page.next.is_none();
        let down_to = page.next.map_or(Timestamp::from_unix_ms(i64::MIN), |(_, at)| at);
        let mut moves = Vec::with_capacity(page.rows.len());
        for row in page.rows {
            moves.push(purchase(app, row)?);
        }
        while let Some(other) = self.others.pop_if(|other| other.at > down_to) {
            moves.push(other);
        }
        moves.sort_by_key(|moved| Reverse(moved.at));
        Ok(Some(moves))
    }
}

fn purchase(app: &App, row: HistoryRow) -> Result<Move, ApiError> {
    let shop = verified::certificate(app, &row.certificate)?;
    let (transfer, posted) = row
        .posted
        .ok_or_else(|| ApiError::Internal(format!("order {}: it is paid, but nothing was posted", row.order)))?;
    let nothing = Amount::new(Minor::ZERO, row.total.currency());
    let amount = nothing.minus(row.total).map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(Move { at: row.received, posted, transfer, amount, kind: MoveKind::Purchase(Box::new(Purchase { shop, row })) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let span = Span::of_days(Some("2026-03-29"), Some("2026-03-29"), Some("Europe/Berlin")).expect("a span");
        assert_eq!(span.from.unix_ms(), ms("2026-03-28T23:00:00Z"));
        assert_eq!(span.to.unix_ms(), ms("2026-03-29T22:00:00Z"), "the night that clocks go forward");
        let (span, first) = Span::of_month("2026-11", Some("Asia/Shanghai")).expect("a month");
        assert_eq!((span.from.unix_ms(), span.to.unix_ms()), (ms("2026-10-31T16:00:00Z"), ms("2026-11-30T16:00:00Z")));
        assert_eq!(first.to_string(), "2026-11-01");
        assert_eq!(span.date(span.from).to_string(), "2026-11-01");
        assert!(Span::of_days(None, None, None).is_ok_and(|span| span.from.unix_ms() == 0));
    }

    #[test]
    fn what_is_no_zone_or_no_day_is_said() {
        for zone in ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe/Berlin\0", &"A".repeat(65)] {
            assert!(matches!(Span::of_days(None, None, Some(zone)), Err(ApiError::TimeZone(_))), "{zone}");
        }
        for (from, to) in
            [(Some("2026-11-31"), None), (None, Some("yesterday")), (Some("2026-11-02"), Some("2026-11-01"))]
        {
            assert!(matches!(Span::of_days(from, to, None), Err(ApiError::Form(_))), "{from:?} {to:?}");
        }
        for month in ["2026", "2026-13", "2026-1", "2026-11-01", "-1-11"] {
            assert!(matches!(Span::of_month(month, None), Err(ApiError::NotFound)), "{month}");
        }
    }
}
