//! What every implementation of [`Store`] must do, written once. Each function takes a fresh or used store and panics
//! where it breaks the contract; [`crate::store_contract!`] makes a test of each. Messages are stand-ins here: the
//! store never looks inside.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Store, books};

mod access;
mod cast;
mod deciding;
pub(crate) mod erasing;
mod guardians;
mod ledger;
mod mandates;
mod money;
mod nods;
mod orders;
mod push;
mod races;
mod rails;
mod random;
mod requotes;
mod seeing;
mod topups;

pub use access::*;
pub use cast::{Family, Shop, outcome_of, outcome_signer, payment as payment_over};
pub use deciding::*;
pub use erasing::{a_household_is_erased, old_orders_lose_their_messages};
pub use guardians::*;
pub use ledger::*;
pub use mandates::*;
pub use money::*;
pub use nods::*;
pub use orders::*;
pub use push::*;
pub use races::*;
pub use rails::*;
pub use random::*;
pub use requotes::*;
pub use seeing::*;
pub use topups::*;

/// What takes longer never ends.
const PATIENCE: Duration = Duration::from_secs(300);

/// Fails a test that would wait for ever.
pub async fn in_time(test: impl Future<Output = ()>) {
    tokio::time::timeout(PATIENCE, test).await.expect("it ends in time");
}

/// Of each currency all accounts come to nothing: what one got another one gave.
pub async fn balanced(store: &Store) {
    let mut currencies = BTreeMap::new();
    for ((_, currency), (_, sum)) in store.view(books::sums).await.expect("a read") {
        *currencies.entry(currency).or_insert(0) += sum;
    }
    assert!(currencies.values().all(|sum| *sum == 0), "{currencies:?}");
}

/// Makes one test of each contract function; `$open` gives an empty store and something that keeps it alive.
#[macro_export]
macro_rules! store_contract {
    ($open:path) => {
        $crate::store_contract! { @each $open;
            founding_a_household
            appending_to_the_log
            a_removed_watch_ends_its_order
            pin_reports_and_their_answers
            pairing_a_watch
            invitations_and_tills
            sessions_and_logins
            sessions_change_their_token
            sessions_are_listed_and_ended
            merchants_and_their_goods
            bills
            printed_codes
            bills_of_printed_codes
            certificates_of_outcome_keys
            placing_an_order
            orders_that_cannot_be_placed
            a_whole_payment
            refusing
            cancelling
            expiring
            bills_that_go_away
            results
            pages_of_orders
            events_go_to_whom_they_concern
            pages_of_events_say_what_the_database_says
            topping_up
            not_enough_money
            a_part_of_a_bill_costs_that_part
            merchants_have_balances
            refunding
            refunds_at_once
            fees_are_taken_and_given_back
            freezing_a_household
            closing_a_household_out
            pocket_money_comes_by_itself
            wallets_have_statements
            statements_and_closings
            payouts_leave_once
            payouts_come_back
            payouts_at_once
            api_keys_come_and_go
            households_are_listed
            requoting
            asks_that_come_to_nothing
            a_hold_after_a_refusal
            a_hold_voided_twice
            two_commits_of_one_hold
            an_old_revision_approved
            two_decisions_at_once
            two_entries_at_once
            two_households_one_bill
            one_wallet_many_payments
            everything_crosses
            random_operations_follow_the_model
            a_rail_outside_holds_and_pays
            a_rail_that_declines
            a_rail_that_does_not_answer
            a_step_outlives_its_replica
            an_unanswered_hold_is_voided
            a_guardian_confirms
            a_bank_pays_the_merchant
            a_card_gets_its_money_back
            a_refund_that_a_rail_declines
            refunds_of_cards_at_once
            a_bank_takes_a_payment_back
            closing_out_waits_for_rails
            guardians_come_and_go
            two_guardians_at_once
            inviting_a_guardian
            recovery_keys_lead_to_their_household
            a_guardian_freezes_and_an_entry_unfreezes
            rules_decide_in_place_of_a_guardian
            a_proposed_rule_holds_once_it_is_seconded
            rules_know_their_watch_time_and_money
            caps_hold_whatever_comes_at_once
            phones_subscribe_and_leave
            pushes_are_queued_and_claimed_once
            the_first_push_key_stays
            two_guardians_nod
            a_requote_ends_the_first_nod
            nods_at_once
            rules_ask_where_two_must_nod
            a_household_has_caps
            household_caps_hold_whatever_comes_at_once
            a_guardian_is_away
            what_a_wearer_spent
            history_is_found
            history_comes_in_pages
            a_household_is_erased
            old_orders_lose_their_messages
            a_card_fills_the_wallet
            a_card_top_up_waits_for_its_answer
            card_top_ups_have_limits
            card_top_ups_at_once
            a_disputed_top_up_stops_the_next
        }
    };
    (@each $open:path; $($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let (store, _keep) = $open();
            $crate::contract::in_time($crate::contract::$name(&store)).await;
            assert_eq!(store.check().await, Ok(Vec::new()));
            $crate::contract::balanced(&store).await;
        }
    )*};
}
