//! Everything that is kept of a household, as one ZIP file that is written while it is read: `docs/TAKE-OUT.md` says what is in it.
//!
//! Holds a few orders or one page of movements at a time, and of each file it wrote the name for the list at the end. A failure
//! breaks the stream off, and a ZIP file without its list at the end opens nowhere.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use futures_util::{Stream, stream};
use nodpay_core::{Day, HouseholdId, OrderId, OrderState, OutcomeKind, RailKind};
use nodpay_store::recent::lock;
use nodpay_store::{HouseholdRow, OrderRow, Place, SessionRow, StoreError, WalletMovement};
use serde_json::json;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::App;
use crate::api::compose::{GuardianOrder, named};
use crate::api::wallet::{CardTopUpView, MovementView};
use crate::problem::ApiError;
use crate::statement::quoted;
use crate::{evidence, households, verified};

/// The form of the archive.
const FORM: u32 = 1;
/// Orders that are held at once.
const ORDERS_AT_ONCE: u32 = 8;
/// Movements that are held at once.
const MOVEMENTS_AT_ONCE: u32 = 200;
const README: &str = include_str!("archive.txt");

/// Pieces of the file. The first error is its end.
pub(crate) fn stream(app: App, household: HouseholdId) -> impl Stream<Item = Result<Bytes, ApiError>> {
    let archive = Archive::new(app, household);
    stream::unfold(Some(archive), async |archive| {
        let mut archive = archive?;
        match archive.step().await {
            Ok(()) => {
                let piece = Ok(archive.written.take());
                Some((piece, (archive.next != Step::Over).then_some(archive)))
            }
            Err(error) => {
                error.log();
                Some((Err(error), None))
            }
        }
    })
}

/// What is written next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Head,
    Orders(Option<OrderId>),
    Statement(Form, Option<Place>),
    End,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Csv,
    Json,
}

struct Archive {
    app: App,
    household: HouseholdId,
    written: Written,
    zip: ZipWriter<StreamWriter<Written>>,
    options: SimpleFileOptions,
    next: Step,
}

impl Archive {
    fn new(app: App, household: HouseholdId) -> Self {
        let written = Written::default();
        let zip = ZipWriter::new_stream(written.clone());
        let today = Day::of(app.now()).to_string();
        let mut parts = today.split('-').map(|part| part.parse::<u16>().unwrap_or(1));
        let mut part = || parts.next().unwrap_or(1);
        let (year, month, day) = (part(), part(), part());
        let small = |number: u16| u8::try_from(number).unwrap_or(1);
        let date = DateTime::from_date_and_time(year, small(month), small(day), 0, 0, 0);
        // Signatures and digests pack badly.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(date.unwrap_or_default());
        Self { app, household, written, zip, options, next: Step::Head }
    }

    async fn step(&mut self) -> Result<(), ApiError> {
        self.next = match self.next {
            Step::Head => self.head().await?,
            Step::Orders(before) => self.orders(before).await?,
            Step::Statement(form, before) => self.statement(form, before).await?,
            Step::End => {
                self.end()?;
                Step::Over
            }
            Step::Over => Step::Over,
        };
        Ok(())
    }

    async fn head(&mut self) -> Result<Step, ApiError> {
        let store = self.app.store();
        let row = store.household(self.household).await?.ok_or(StoreError::HouseholdUnknown)?;
        let rulebook = store.rulebook(self.household).await?;
        let anchor = evidence::anchor(&rulebook, self.app.keys(), self.app.relying_party(), self.household);
        let anchor = anchor.map_err(ApiError::Internal)?;
        let log: Vec<String> = rulebook.log.into_iter().map(|entry| entry.wire).collect();
        let about = self.about(&row).await?;
        self.file("README.txt", README.as_bytes())?;
        self.file("household.json", about.as_bytes())?;
        self.file("log.json", text(&log)?.as_bytes())?;
        self.file("anchor.json", anchor.as_bytes())?;
        Ok(Step::Orders(None))
    }

    async fn about(&self, row: &HouseholdRow) -> Result<String, ApiError> {
        let store = self.app.store();
        let wearers: Vec<_> =
            row.wearers.iter().map(|(wearer, name)| json!({ "wearer": wearer, "name": name })).collect();
        let away: Vec<_> =
            row.away.iter().map(|(guardian, until)| json!({ "guardian": guardian, "until": until })).collect();
        let rail = store.payer(row.household).await?.map_or(RailKind::Wallet, |payer| payer.kind());
        let standing = store.schedules(row.household).await?.into_iter().map(|one| {
            let (every, next) = (one.every.as_str(), one.next_due);
            json!({ "schedule": one.schedule, "amount": one.amount, "every": every, "first": one.first, "next": next })
        });
        let standing: Vec<_> = standing.collect();
        let card_top_ups = store.card_top_ups(row.household).await?;
        let card_top_ups: Vec<_> = card_top_ups.into_iter().map(CardTopUpView::from).collect();
        let mut sessions = Vec::new();
        for member in households::book(&self.app, row.household).await?.members() {
            let guardian = member.guardian.guardian;
            let open = store.sessions(row.household, guardian, self.app.now()).await?.into_iter();
            // Without what names or opens one.
            sessions.extend(open.map(|session| {
                let SessionRow { device, created, seen, .. } = session;
                json!({ "guardian": guardian, "device": device, "since": created, "seen": seen })
            }));
        }
        text(&json!({
            "nodpay-archive": FORM,
            "taken": self.app.now(),
            "household": row.household,
            "currency": row.currency,
            "posted": row.wallet.posted(),
            "held": row.wallet.held(),
            "rail": rail.as_str(),
            "standing": standing,
            "card_top_ups": card_top_ups,
            "guardians": named(row),
            "wearers": wearers,
            "away": away,
            "sessions": sessions,
            "frozen": row.frozen || row.freeze.is_some(),
            "closed": row.closed,
        }))
    }

    async fn orders(&mut self, before: Option<OrderId>) -> Result<Step, ApiError> {
        let page = self.app.store().orders(self.household, before, ORDERS_AT_ONCE).await?;
        let Some(last) = page.last().map(|row| row.order) else { return Ok(Step::Statement(Form::Csv, None)) };
        for row in page {
            self.order(row).await?;
        }
        Ok(Step::Orders(Some(last)))
    }

    async fn order(&mut self, row: OrderRow) -> Result<(), ApiError> {
        let (order, day) = (row.order, Day::of(row.received));
        if row.is_cut() {
            let view = GuardianOrder::new(&self.app, row).await?;
            return self.file(&format!("orders/{day}-{order}.short.json"), text(&view)?.as_bytes());
        }
        if matches!(row.state, OrderState::Ended { outcome: OutcomeKind::Paid }) {
            self.came_back(&row).await?;
        }
        let Some(outcome) = row.outcome.as_ref() else {
            let view = GuardianOrder::new(&self.app, row).await?;
            return self.file(&format!("orders/{day}-{order}.open.json"), text(&view)?.as_bytes());
        };
        let certificate = verified::outcome_certificate(&self.app, &outcome.message).await?;
        let parts = self.app.store().evidence(self.household, order).await?;
        let evidence = evidence::assemble(parts, &certificate)?;
        let file = evidence.to_file().map_err(|error| ApiError::Internal(error.to_string()))?;
        self.file(&format!("orders/{day}-{order}.evidence.json"), file.as_bytes())
    }

    /// What of a purchase was given back, or asked back by the card's bank: the evidence ends with the payment.
    async fn came_back(&mut self, row: &OrderRow) -> Result<(), ApiError> {
        let store = self.app.store();
        let refunds = store.refunds(row.household, row.order).await?;
        let disputes = store.disputes(row.household, row.order).await?;
        if refunds.is_empty() && disputes.is_empty() {
            return Ok(());
        }
        let name = format!("orders/{}-{}.back.json", Day::of(row.received), row.order);
        self.file(&name, text(&json!({ "refunds": refunds, "disputes": disputes }))?.as_bytes())
    }

    /// One page of it; the file is begun with the first and ended with the last.
    async fn statement(&mut self, form: Form, before: Option<Place>) -> Result<Step, ApiError> {
        let page = self.app.store().wallet_page(self.household, before, MOVEMENTS_AT_ONCE).await?;
        let currency = page.balance.currency.code();
        let (name, head, tail) = match form {
            Form::Csv => ("statement.csv", "date,unix_ms,kind,amount,currency,shop,order,transfer,reason\r\n", ""),
            Form::Json => ("statement.json", "[", "\n]\n"),
        };
        let mut lines = String::new();
        if before.is_none() {
            self.zip.start_file(name, self.options).map_err(failed)?;
            lines.push_str(head);
        }
        for (index, movement) in page.movements.into_iter().enumerate() {
            match form {
                Form::Csv => lines.push_str(&csv_line(&movement, currency)),
                Form::Json => {
                    lines.push_str(if before.is_none() && index == 0 { "\n" } else { ",\n" });
                    lines.push_str(&text(&MovementView::from(movement))?);
                }
            }
        }
        if page.next.is_none() {
            lines.push_str(tail);
        }
        self.zip.write_all(lines.as_bytes()).map_err(failed)?;
        Ok(match (page.next, form) {
            (Some(next), _) => Step::Statement(form, Some(next)),
            (None, Form::Csv) => Step::Statement(Form::Json, None),
            (None, Form::Json) => Step::End,
        })
    }

    fn file(&mut self, name: &str, content: &[u8]) -> Result<(), ApiError> {
        self.zip.start_file(name, self.options).map_err(failed)?;
        self.zip.write_all(content).map_err(failed)
    }

    /// Writes the list of files.
    fn end(&mut self) -> Result<(), ApiError> {
        let done = std::mem::replace(&mut self.zip, ZipWriter::new_stream(Written::default()));
        done.finish().map(|_| ()).map_err(failed)
    }
}

/// Newest first, like the page.
fn csv_line(movement: &WalletMovement, currency: &str) -> String {
    let WalletMovement { at, transfer, kind, change, purchase, reason } = movement;
    let shop = purchase.as_ref().map(|purchase| quoted(purchase.shop.as_str())).unwrap_or_default();
    let order = purchase.as_ref().map(|purchase| purchase.order.to_string()).unwrap_or_default();
    let reason = reason.as_ref().map(|reason| quoted(reason.as_str())).unwrap_or_default();
    let (day, at, kind, change) = (Day::of(*at), at.unix_ms(), kind.as_str(), change.get());
    format!("{day},{at},{kind},{change},{currency},{shop},{order},{transfer},{reason}\r\n")
}

fn text<T: serde::Serialize>(value: &T) -> Result<String, ApiError> {
    serde_json::to_string(value).map_err(|error| ApiError::Internal(error.to_string()))
}

fn failed(error: impl std::fmt::Display) -> ApiError {
    ApiError::Internal(format!("an archive: {error}"))
}

/// What was written and not sent yet.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Bytes {
        std::mem::take(&mut *lock(&self.0)).into()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
