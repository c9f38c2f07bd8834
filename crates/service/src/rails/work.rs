//! Does what the store wrote down for rails outside, and takes their answers in. What a replica claimed and did not finish is
//! claimed again, by whoever comes first.

use std::collections::BTreeMap;
use std::time::Duration;

use nodpay_core::{
    BankAccount, Currency, Movement, Payer, Rail, RailAnswer, RailKind, RailReply, RailStep, Timestamp, TransferId,
};
use nodpay_protocol::sha256;
use nodpay_store::{CardTopUpWork, PayoutRow, PayoutState, RailWork, StoreError};

use super::bank::{Collection, Instruction, MAX_TRANSFERS};
use super::folder::BankTransfer;
use super::hex;
use super::stripe::StripePayment;
use crate::App;

/// What another replica wrote down and did not live to do is found after this.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// After a failed round the next one waits this long.
const RETRY: Duration = Duration::from_secs(1);

/// Works until the service stops. Without a rail outside there is nothing to do.
pub(crate) async fn run(app: App) {
    if let Err(error) = look_for_sent(&app).await {
        tracing::error!(%error, "could not look for payouts that were sent");
    }
    while app.rails().kinds().next().is_some() {
        let next = match round(&app).await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "could not work on the rails");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        let due = async {
            match next {
                Some(next) => app.clock().sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = app.rails().wake.notified() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = app.stopped() => return,
        }
    }
}

async fn round(app: &App) -> Result<Option<Timestamp>, StoreError> {
    let mut earliest: Option<Timestamp> = None;
    for rail in app.rails().kinds() {
        if rail == RailKind::Bank {
            read_reports(app).await?;
        }
        let (work, next) = app.store().rail_work(rail, app.now()).await?;
        earliest = [earliest, next].into_iter().flatten().min();
        match rail {
            RailKind::Wallet => {}
            RailKind::Stripe => {
                for work in work {
                    // One that hangs does not keep the others.
                    tokio::spawn(by_card(app.clone(), work));
                }
                let (top_ups, next) = app.store().card_top_up_work(app.now()).await?;
                earliest = [earliest, next].into_iter().flatten().min();
                for work in top_ups {
                    tokio::spawn(fill_wallet(app.clone(), work));
                }
            }
            RailKind::Bank => by_bank(app, work).await?,
        }
    }
    Ok(earliest)
}

/// Where a bank sends the guardian back to.
fn page(app: &App, place: &str) -> String {
    let origin = app.config().origins.first().map_or("", String::as_str);
    format!("{origin}/app#/{place}")
}

async fn fill_wallet(app: App, work: CardTopUpWork) {
    let (Some(stripe), Payer::Stripe { customer, method }) = (&app.rails().stripe, &work.payer) else { return };
    let payment = StripePayment {
        stripe,
        customer,
        method,
        intent: work.known_as.as_deref(),
        hold: work.movement.transfer,
        return_url: &page(&app, "wallet"),
    };
    let reply = payment.charge(work.movement, work.asked_before, work.overdue).await;
    crate::metrics::rail_answer(RailKind::Stripe, "top-up", &reply.answer);
    // Where that fails the lease runs out, and it is asked again.
    if let Err(error) = app.store().card_top_up_answered(work.clone(), reply, app.now()).await {
        tracing::error!(%error, "a rail's answer to a top-up was not taken in");
    }
    app.rails().wake();
}

async fn by_card(app: App, work: RailWork) {
    let (Some(stripe), Payer::Stripe { customer, method }) = (&app.rails().stripe, &work.payer) else { return };
    let return_url = page(&app, &format!("order/{}", work.order));
    let payment = StripePayment {
        stripe,
        customer,
        method,
        intent: work.known_as.as_deref(),
        hold: work.hold,
        return_url: &return_url,
    };
    let reply = match known(&work, || payment.clone().status(work.step, work.movement)).await {
        Some(reply) => reply,
        None => asked(payment, work.step, work.movement).await,
    };
    take_in(&app, work.clone(), reply).await;
}

/// What is already known of a step that was asked for before.
async fn known<F: Future<Output = RailReply>>(work: &RailWork, status: impl FnOnce() -> F) -> Option<RailReply> {
    if !work.asked_before {
        return None;
    }
    Some(status().await).filter(|reply| reply.answer != RailAnswer::Unknown)
}

fn asked<R: Rail>(rail: R, step: RailStep, movement: Movement) -> R::Answered {
    match step {
        RailStep::Hold => rail.hold(movement),
        RailStep::Post => rail.post(movement),
        RailStep::Void => rail.void(movement),
        RailStep::Refund => rail.refund(movement),
    }
}

async fn take_in(app: &App, work: RailWork, reply: RailReply) {
    crate::metrics::rail_answer(work.payer.kind(), work.step.as_str(), &reply.answer);
    match app.store().rail_answered(work, reply, app.now()).await {
        Ok(Some(row)) => {
            if let Some(deadline) = row.state.deadline() {
                app.deadlines().expect(deadline);
            }
        }
        Ok(None) => {}
        // The lease runs out, and it is asked again.
        Err(error) => tracing::error!(%error, "a rail's answer was not taken in"),
    }
    app.rails().wake();
}

/// Transfers that were claimed together go to the bank in one file a currency.
async fn by_bank(app: &App, work: Vec<RailWork>) -> Result<(), StoreError> {
    let Some((folder, operator)) = &app.rails().bank else { return Ok(()) };
    let mut currencies: Vec<Currency> = work.iter().map(|work| work.movement.amount.currency()).collect();
    currencies.sort_by_key(|currency| currency.code());
    currencies.dedup();
    for currency in currencies {
        let own: Vec<&RailWork> = work.iter().filter(|work| work.movement.amount.currency() == currency).collect();
        // What went out by a file, of this folder or of one that is lost, goes out no more.
        let new = own.iter().filter(|work| work.known_as.is_none());
        let instructions = new.filter_map(|work| instruction(work)).collect();
        let collection = collection(operator, currency, instructions, app.now());
        for work in own {
            let transfer = BankTransfer { folder, collection: &collection };
            let status = known(work, || transfer.clone().status(work.step, work.movement)).await;
            let reply = match (status, &work.known_as) {
                (Some(reply), _) => reply,
                (None, Some(file)) => {
                    let transfer = hex(work.movement.transfer);
                    tracing::error!(%transfer, %file, "the bank has a transfer that its folder does not know: not sent again");
                    RailAnswer::Unknown.into()
                }
                (None, None) => asked(transfer, work.step, work.movement).await,
            };
            take_in(app, work.clone(), reply).await;
        }
    }
    pay_out(app, operator).await
}

fn instruction(work: &RailWork) -> Option<Instruction> {
    let (Payer::Bank(debtor), Some(creditor)) = (&work.payer, &work.payee) else { return None };
    Some(Instruction {
        transfer: work.movement.transfer,
        amount: work.movement.amount.units(),
        debtor: debtor.clone(),
        creditor: creditor.clone(),
        reference: format!("Nodpay {}", work.order),
    })
}

/// Its id comes from what is in it.
fn collection(
    operator: &BankAccount,
    currency: Currency,
    instructions: Vec<Instruction>,
    created: Timestamp,
) -> Collection {
    let ids: Vec<u8> = instructions.iter().flat_map(|payment| payment.transfer.as_bytes()).copied().collect();
    let mut id = [0; TransferId::LEN];
    id.iter_mut().zip(sha256(&ids)).for_each(|(to, from)| *to = from);
    let (id, initiator) = (TransferId::from_bytes(id), operator.name.clone());
    Collection { id, currency, created, initiator, instructions }
}

/// A payout that was sent by another folder than this one is not sent again, but nobody hears what the bank says of it.
async fn look_for_sent(app: &App) -> Result<(), StoreError> {
    let Some((folder, _)) = &app.rails().bank else { return Ok(()) };
    for payout in app.store().payouts_sent().await? {
        if !folder.knows(payout.payout) {
            tracing::error!(payout = %payout.payout, "the bank has a payout that its folder does not know: not sent again");
        }
    }
    Ok(())
}

/// What is under way stays so until the file is written, so nobody gives a merchant money back that a file still pays.
async fn pay_out(app: &App, operator: &BankAccount) -> Result<(), StoreError> {
    let Some((folder, _)) = &app.rails().bank else { return Ok(()) };
    let payouts = app.store().payouts_to_send().await?;
    let mut by_currency: BTreeMap<&'static str, Vec<PayoutRow>> = BTreeMap::new();
    for payout in payouts.into_iter().take(MAX_TRANSFERS) {
        let sending = app.store().payout_sending(payout.merchant, payout.payout, app.now()).await;
        if let Some(payout) = unless_over(payout.payout, sending)? {
            by_currency.entry(payout.amount.currency().code()).or_default().push(payout);
        }
    }
    for payouts in by_currency.into_values() {
        let Some(currency) = payouts.first().map(|payout| payout.amount.currency()) else { continue };
        let mut instructions = Vec::new();
        for payout in &payouts {
            let name = app.store().merchant(payout.merchant).await?.ok_or(StoreError::MerchantUnknown)?.name;
            instructions.push(Instruction {
                transfer: payout.payout,
                amount: payout.amount.units(),
                debtor: operator.clone(),
                creditor: BankAccount { name: name.as_str().to_owned(), iban: payout.iban.clone(), bic: None },
                reference: format!("Nodpay payout {}", payout.number),
            });
        }
        match folder.hand_over(&collection(operator, currency, instructions, app.now())) {
            Ok(()) => {
                for payout in payouts {
                    let sent = app.store().payout_sent(payout.merchant, payout.payout, app.now()).await;
                    unless_over(payout.payout, sent)?;
                }
            }
            Err(error) => tracing::error!(%error, "a file with payouts was not written"),
        }
    }
    Ok(())
}

/// A payout that is elsewhere than the bank or its folder says, by hand for one, is the operator's to look at; the others go on.
fn unless_over(payout: TransferId, step: Result<PayoutRow, StoreError>) -> Result<Option<PayoutRow>, StoreError> {
    match step {
        Ok(row) => Ok(Some(row)),
        Err(error @ StoreError::PayoutState(_)) => {
            tracing::error!(%payout, %error, "a payout does not follow the bank");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Takes in what the bank has answered.
async fn read_reports(app: &App) -> Result<(), StoreError> {
    let Some((folder, _)) = &app.rails().bank else { return Ok(()) };
    let reports = match folder.read_reports() {
        Ok(reports) => reports,
        Err(error) => {
            tracing::error!(%error, "the bank's reports cannot be read");
            return Ok(());
        }
    };
    for (report, transfers) in reports {
        for transfer in transfers {
            match app.store().payout_by_id(transfer).await? {
                Some(payout) => payout_answered(app, &payout, folder.said(transfer)).await?,
                None => {
                    app.store().wake_rail(transfer, app.now()).await?;
                }
            }
        }
        if let Err(error) = folder.file_away(&report) {
            tracing::error!(%error, "a bank's report cannot be filed away");
        }
    }
    Ok(())
}

async fn payout_answered(app: &App, payout: &PayoutRow, said: Option<RailAnswer>) -> Result<(), StoreError> {
    let (store, merchant, id, now) = (app.store(), payout.merchant, payout.payout, app.now());
    // The file went out, whatever was not written down of it.
    if matches!(payout.state, PayoutState::Asked | PayoutState::Sending) {
        unless_over(id, store.payout_sent(merchant, id, now).await)?;
    }
    match said {
        Some(RailAnswer::Done) => unless_over(id, store.payout_done(merchant, id, now).await)?,
        Some(RailAnswer::Declined(_)) => unless_over(id, store.payout_returned(merchant, id, now).await)?,
        Some(RailAnswer::ActionNeeded(_) | RailAnswer::Pending | RailAnswer::Unknown) | None => None,
    };
    Ok(())
}
