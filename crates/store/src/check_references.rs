//! Rows that name rows which are not there. PostgreSQL enforces none of these references, so that a payment reads and locks no row
//! that others name too; SQLite most of them, but not those of events. A part of [`crate::check`].

use nodpay_core::TransferId;

use crate::StoreError;
use crate::check::Report;
use crate::db::{Db, all};

/// What a column of a table names.
pub(crate) struct Reference {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    pub(crate) parent: &'static str,
    /// Ids of the rows, or of whom they belong to, that name nothing; as many as a check tells of.
    sql: &'static str,
}

/// `table.column` (or NULL) names the row `p` of the parent `where …`; `by` is what rows of the table are known by.
macro_rules! reference {
    ($table:literal . $column:literal by $by:literal, $parent:literal where $joined:literal) => {
        reference!($table . $column by $by, $parent where $joined, only "1 = 1")
    };
    ($table:literal . $column:literal by $by:literal, $parent:literal where $joined:literal, only $only:literal) => {
        Reference {
            table: $table,
            column: $column,
            parent: $parent,
            sql: concat!(
                "SELECT t.", $by, " FROM ", $table, " t WHERE t.", $column, " IS NOT NULL AND ", $only,
                " AND NOT EXISTS (SELECT 1 FROM ", $parent, " p WHERE ", $joined, ") LIMIT 1000"
            ),
        }
    };
}

pub(crate) const REFERENCES: &[Reference] = &[
    reference!("bills"."merchant" by "bill", "merchants" where "p.merchant = t.merchant"),
    reference!("bills"."certificate" by "bill", "certificates" where "p.digest = t.certificate"),
    reference!("bills"."message" by "bill", "messages" where "p.id = t.message"),
    reference!("bills"."consumed_by" by "bill", "orders" where "p.no = t.consumed_by"),
    reference!("bills"."watch" by "bill", "watches" where "p.watch = t.watch"),
    reference!("orders"."household" by "order_id", "households" where "p.household = t.household"),
    reference!("orders"."watch" by "order_id", "watches" where "p.watch = t.watch"),
    reference!(
        "orders"."wearer" by "order_id",
        "wearers" where "p.household = t.household AND p.wearer = t.wearer",
        // The orders of an erased household name nobody.
        only "EXISTS (SELECT 1 FROM households h WHERE h.household = t.household AND h.erased IS NULL)"
    ),
    reference!("orders"."bill_no" by "order_id", "bills" where "p.no = t.bill_no"),
    reference!("orders"."message" by "order_id", "messages" where "p.id = t.message"),
    reference!("orders"."requote" by "order_id", "messages" where "p.id = t.requote"),
    reference!("orders"."first_nod" by "order_id", "messages" where "p.id = t.first_nod"),
    reference!("orders"."decision" by "order_id", "messages" where "p.id = t.decision"),
    reference!("orders"."cancel" by "order_id", "messages" where "p.id = t.cancel"),
    reference!("orders"."payment" by "order_id", "messages" where "p.id = t.payment"),
    reference!("orders"."outcome" by "order_id", "messages" where "p.id = t.outcome"),
    reference!("orders"."result" by "order_id", "messages" where "p.id = t.result"),
    reference!("orders"."hold" by "order_id", "transfers" where "p.household = t.household AND p.transfer = t.hold"),
    reference!("open_orders"."watch" by "watch", "watches" where "p.watch = t.watch"),
    reference!(
        "open_orders"."order_no" by "watch",
        "orders" where "p.no = t.order_no AND p.household = t.household"
    ),
    reference!("open_orders"."household" by "watch", "households" where "p.household = t.household"),
    reference!("requote_asks"."household" by "ask", "households" where "p.household = t.household"),
    reference!("transfers"."household" by "transfer", "households" where "p.household = t.household"),
    reference!("transfers"."order_no" by "transfer", "orders" where "p.no = t.order_no"),
    reference!(
        "transfers"."of_transfer" by "transfer",
        "transfers" where "p.household = t.household AND p.transfer = t.of_transfer"
    ),
    reference!(
        "settlements"."transfer" by "transfer",
        "transfers" where "p.household = t.household AND p.transfer = t.transfer"
    ),
    reference!("mandate_sums"."household" by "household", "households" where "p.household = t.household"),
    reference!(
        "mandate_sums"."watch" by "household",
        "watches" where "p.household = t.household AND p.watch = t.watch",
        // The household's own id is for all its watches.
        only "t.watch <> t.household"
    ),
    reference!("events"."household" by "household", "households" where "p.household = t.household"),
    reference!(
        "events"."watch" by "household",
        "watches" where "p.household = t.household AND p.watch = t.watch",
        // Empty for guardians and for all watches.
        only "length(t.watch) > 0"
    ),
    reference!(
        "events"."order_id" by "household",
        "orders" where "p.household = t.household AND p.order_id = t.order_id"
    ),
    reference!(
        "events"."pairing" by "household",
        "pairings" where "p.household = t.household AND p.pairing = t.pairing",
        // Of a guardian, not of a watch.
        only "NOT EXISTS (SELECT 1 FROM joins j WHERE j.household = t.household AND j.pairing = t.pairing)"
    ),
    reference!(
        "events"."log_seq" by "household",
        "log_entries" where "p.household = t.household AND p.seq = t.log_seq"
    ),
    reference!(
        "events"."pin_of" by "household",
        "watches" where "p.household = t.household AND p.watch = t.pin_of"
    ),
    reference!("merchant_events"."merchant" by "merchant", "merchants" where "p.merchant = t.merchant"),
    reference!("merchant_events"."bill" by "merchant", "bills" where "p.bill = t.bill"),
    reference!(
        "merchant_events"."ask" by "merchant",
        "requote_asks" where "p.ask = t.ask",
        // What an erased household asked for went with it.
        only "NOT EXISTS (SELECT 1 FROM bills b JOIN orders o ON o.bill_no = b.no
                          JOIN households h ON h.household = o.household
                          WHERE b.bill = t.bill AND h.erased IS NOT NULL)"
    ),
];

pub(crate) fn check_references(db: Db<'_>, report: &mut Report) -> Result<(), StoreError> {
    for Reference { table, column, parent, sql } in REFERENCES {
        // All ids look alike.
        let rows = all(db, table, sql, |cells| cells.id::<TransferId>());
        for row in report.sort(rows)?.unwrap_or_default() {
            report.add(table, row, format!("its {column} names a row of {parent} that is not there"));
        }
    }
    Ok(())
}
