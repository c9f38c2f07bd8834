-- Version 3: part payments, fees, refunds, pocket money, close-outs, and the books of merchants.
-- An account is one byte of kind and what the kind is of: 0 outside, 1 wallet and household, 2 merchant and its id, 3 fees,
-- 4 suspense, 5 rail and which one (a byte), 6 bank and merchant, 7 taken back by cards' banks.

ALTER TABLE households ADD COLUMN frozen INTEGER NOT NULL DEFAULT 0 CHECK (frozen IN (0, 1));
-- The transfer that its close-out was, or would have been: a household that has it is closed.
ALTER TABLE households ADD COLUMN close_out BLOB CHECK (close_out IS NULL OR length(close_out) = 16);

-- Basis points of each payment that the operator keeps.
ALTER TABLE merchants ADD COLUMN fee INTEGER NOT NULL DEFAULT 0 CHECK (fee BETWEEN 0 AND 1000);
ALTER TABLE merchants ADD COLUMN iban TEXT CHECK (iban IS NULL OR length(iban) BETWEEN 15 AND 34);
-- Number of payouts. Asking for one writes it first, so that two at once wait for each other.
ALTER TABLE merchants ADD COLUMN payouts INTEGER NOT NULL DEFAULT 0 CHECK (payouts >= 0);
-- Days (UTC, since 1970) before this one are closed.
ALTER TABLE merchants ADD COLUMN closed_until INTEGER NOT NULL DEFAULT 0 CHECK (closed_until >= 0);
CREATE INDEX merchants_to_close ON merchants (closed_until);
CREATE INDEX keys_of_merchant ON merchant_keys (merchant);

CREATE TABLE orders_new (
    no INTEGER PRIMARY KEY,
    household BLOB NOT NULL REFERENCES households (household),
    order_id BLOB NOT NULL CHECK (length(order_id) = 16),
    watch BLOB NOT NULL REFERENCES watches (watch),
    wearer BLOB NOT NULL CHECK (length(wearer) = 16),
    bill_no INTEGER NOT NULL REFERENCES bills (no),
    nonce BLOB NOT NULL CHECK (length(nonce) = 16),
    message INTEGER NOT NULL REFERENCES messages (id),
    received INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'approved', 'ended')),
    -- When the present state ends by itself, and when it or the bill does: NULL once ended.
    deadline INTEGER,
    due INTEGER,
    -- The decision's, else the bill's.
    total INTEGER NOT NULL CHECK (total > 0),
    struck TEXT NOT NULL,
    asks INTEGER NOT NULL CHECK (asks >= 0),
    requote INTEGER REFERENCES messages (id),
    requote_revision INTEGER CHECK (requote_revision >= 2),
    requote_total INTEGER CHECK (requote_total > 0),
    requote_struck TEXT,
    decision INTEGER REFERENCES messages (id),
    hold BLOB CHECK (length(hold) = 16),
    cancel INTEGER REFERENCES messages (id),
    payment INTEGER REFERENCES messages (id),
    outcome INTEGER REFERENCES messages (id),
    outcome_kind TEXT CHECK (outcome_kind IN ('paid', 'failed', 'refused', 'expired', 'cancelled')),
    outcome_reason TEXT CHECK (outcome_reason IN
        ('insufficient-balance', 'bill-already-paid', 'bill-cancelled', 'bill-expired', 'watch-removed',
         'household-frozen')),
    log_len INTEGER,
    result INTEGER REFERENCES messages (id),
    -- What went back: the sum of its refunds.
    refunded INTEGER NOT NULL DEFAULT 0,
    UNIQUE (household, order_id),
    UNIQUE (watch, nonce),
    FOREIGN KEY (household, hold) REFERENCES transfers (household, transfer),
    CHECK ((state = 'ended') = (outcome IS NOT NULL)),
    CHECK ((state = 'ended') = (outcome_kind IS NOT NULL)),
    CHECK ((state = 'ended') = (log_len IS NOT NULL)),
    CHECK ((state = 'ended') = (deadline IS NULL) AND (state = 'ended') = (due IS NULL)),
    CHECK (state <> 'waiting' OR (decision IS NULL AND hold IS NULL)),
    CHECK (state <> 'approved' OR (decision IS NOT NULL AND hold IS NOT NULL)),
    CHECK (hold IS NULL OR decision IS NOT NULL),
    CHECK (state = 'ended' OR (cancel IS NULL AND payment IS NULL AND result IS NULL)),
    CHECK ((outcome_kind IS NOT DISTINCT FROM 'failed') = (outcome_reason IS NOT NULL)),
    CHECK ((outcome_kind IS NOT DISTINCT FROM 'cancelled') = (cancel IS NOT NULL)),
    CHECK (outcome_kind IS DISTINCT FROM 'paid' OR (payment IS NOT NULL AND hold IS NOT NULL)),
    CHECK (payment IS NULL OR outcome_kind IN ('paid', 'failed')),
    CHECK ((requote IS NULL) = (requote_revision IS NULL)
        AND (requote IS NULL) = (requote_total IS NULL)
        AND (requote IS NULL) = (requote_struck IS NULL)),
    CHECK (refunded BETWEEN 0 AND total AND (refunded = 0 OR outcome_kind = 'paid'))
) STRICT;
INSERT INTO orders_new
    (no, household, order_id, watch, wearer, bill_no, nonce, message, received, state, deadline, due, total, struck, asks,
     requote, requote_revision, requote_total, requote_struck, decision, hold, cancel, payment, outcome, outcome_kind,
     outcome_reason, log_len, result)
SELECT no, household, order_id, watch, wearer, bill_no, nonce, message, received, state, deadline, due, total, struck, asks,
     requote, requote_revision, requote_total, requote_struck, decision, hold, cancel, payment, outcome, outcome_kind,
     outcome_reason, log_len, result
FROM orders;
DROP TABLE orders;
ALTER TABLE orders_new RENAME TO orders;
CREATE UNIQUE INDEX orders_open ON orders (watch) WHERE due IS NOT NULL;
CREATE INDEX orders_due ON orders (due) WHERE due IS NOT NULL;
CREATE INDEX orders_of_bill ON orders (bill_no);
CREATE INDEX orders_of_household ON orders (household);
CREATE INDEX orders_of_watch ON orders (watch);
CREATE TRIGGER orders_end BEFORE UPDATE ON orders
WHEN OLD.state = 'ended' AND (NEW.state <> 'ended' OR NEW.outcome <> OLD.outcome OR NEW.refunded < OLD.refunded
    OR (OLD.result IS NOT NULL AND NEW.result IS DISTINCT FROM OLD.result))
BEGIN SELECT RAISE (ABORT, 'an order ends once'); END;
CREATE TRIGGER orders_keep BEFORE DELETE ON orders BEGIN SELECT RAISE (ABORT, 'orders are kept'); END;

-- `direct` counts at once, `pending` when it is settled. A fee, a refund and a fee given back name what they are of.
CREATE TABLE transfers_new (
    household BLOB NOT NULL REFERENCES households (household),
    transfer BLOB NOT NULL CHECK (length(transfer) = 16),
    debit BLOB NOT NULL CHECK (length(debit) IN (1, 2, 17)),
    credit BLOB NOT NULL CHECK (length(credit) IN (1, 2, 17)),
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    kind TEXT NOT NULL CHECK (kind IN ('pending', 'direct')),
    order_no INTEGER REFERENCES orders (no),
    of_transfer BLOB CHECK (length(of_transfer) = 16),
    at INTEGER NOT NULL,
    PRIMARY KEY (household, transfer),
    FOREIGN KEY (household, of_transfer) REFERENCES transfers (household, transfer),
    CHECK (debit <> credit),
    CHECK (kind <> 'pending' OR (order_no IS NOT NULL AND of_transfer IS NULL)),
    CHECK (kind <> 'direct' OR (order_no IS NULL) = (of_transfer IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO transfers_new (household, transfer, debit, credit, amount, currency, kind, order_no, at)
SELECT household, transfer, debit, credit, amount, currency, kind, order_no, at FROM transfers;
DROP TABLE transfers;
ALTER TABLE transfers_new RENAME TO transfers;
-- What merchants and fees have of transfers that count at once, by time.
CREATE INDEX transfers_debited ON transfers (debit, at) WHERE of_transfer IS NOT NULL;
CREATE INDEX transfers_credited ON transfers (credit, at) WHERE of_transfer IS NOT NULL;
CREATE TRIGGER transfers_stay BEFORE UPDATE ON transfers BEGIN SELECT RAISE (ABORT, 'transfers is append-only'); END;
CREATE TRIGGER transfers_keep BEFORE DELETE ON transfers BEGIN SELECT RAISE (ABORT, 'transfers is append-only'); END;

-- `amount` of the transfer was posted, to its `credit`; the rest is released.
CREATE TABLE settlements_new (
    household BLOB NOT NULL,
    transfer BLOB NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('post', 'void')),
    amount INTEGER CHECK (amount > 0),
    credit BLOB CHECK (length(credit) IN (1, 2, 17)),
    at INTEGER NOT NULL,
    PRIMARY KEY (household, transfer),
    FOREIGN KEY (household, transfer) REFERENCES transfers (household, transfer),
    CHECK ((result = 'post') = (amount IS NOT NULL) AND (result = 'post') = (credit IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO settlements_new (household, transfer, result, amount, credit, at)
SELECT s.household, s.transfer, s.result, CASE s.result WHEN 'post' THEN t.amount END,
       CASE s.result WHEN 'post' THEN t.credit END, s.at
FROM settlements s JOIN transfers t ON t.household = s.household AND t.transfer = s.transfer;
DROP TABLE settlements;
ALTER TABLE settlements_new RENAME TO settlements;
CREATE INDEX settlements_credited ON settlements (credit, at) WHERE result = 'post';
CREATE TRIGGER settlements_stay BEFORE UPDATE ON settlements BEGIN SELECT RAISE (ABORT, 'settlements is append-only'); END;
CREATE TRIGGER settlements_keep BEFORE DELETE ON settlements BEGIN SELECT RAISE (ABORT, 'settlements is append-only'); END;

CREATE TABLE events_new (
    household BLOB NOT NULL REFERENCES households (household),
    audience TEXT NOT NULL CHECK (audience IN ('guardian', 'watch')),
    watch BLOB NOT NULL CHECK (length(watch) IN (0, 16)),
    seq INTEGER NOT NULL CHECK (seq >= 1),
    kind TEXT NOT NULL CHECK (kind IN
        ('log', 'pairing', 'order', 'requote', 'decision', 'outcome', 'result', 'refund', 'balance', 'pin')),
    order_id BLOB CHECK (length(order_id) = 16),
    pairing BLOB CHECK (length(pairing) = 16),
    log_seq INTEGER,
    pin_of BLOB CHECK (length(pin_of) = 16),
    at INTEGER NOT NULL,
    PRIMARY KEY (household, audience, watch, seq),
    CHECK ((kind IN ('order', 'requote', 'decision', 'outcome', 'result', 'refund')) = (order_id IS NOT NULL)),
    CHECK ((kind = 'pairing') = (pairing IS NOT NULL)),
    CHECK ((kind = 'log') = (log_seq IS NOT NULL)),
    CHECK ((kind = 'pin') = (pin_of IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO events_new (household, audience, watch, seq, kind, order_id, pairing, log_seq, pin_of, at)
SELECT household, audience, watch, seq, kind, order_id, pairing, log_seq, pin_of, at FROM events;
DROP TABLE events;
ALTER TABLE events_new RENAME TO events;
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE (ABORT, 'events is append-only'); END;
CREATE TRIGGER events_keep BEFORE DELETE ON events BEGIN SELECT RAISE (ABORT, 'events is append-only'); END;

-- Which refunds are of which order: transfers, or steps of a rail outside until that has answered. The reason is beside the
-- ledger, so that it can be erased.
CREATE TABLE refunds (
    household BLOB NOT NULL,
    order_id BLOB NOT NULL CHECK (length(order_id) = 16),
    refund BLOB NOT NULL,
    reason TEXT,
    PRIMARY KEY (household, order_id, refund),
    FOREIGN KEY (household, order_id) REFERENCES orders (household, order_id)
) STRICT, WITHOUT ROWID;

-- Pocket money: `paid` dues of it are over, counted from `first`.
CREATE TABLE schedules (
    household BLOB NOT NULL REFERENCES households (household),
    schedule BLOB NOT NULL CHECK (length(schedule) = 16),
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    every TEXT NOT NULL CHECK (every IN ('day', 'week', 'month')),
    first INTEGER NOT NULL,
    paid INTEGER NOT NULL CHECK (paid >= 0),
    next_due INTEGER,
    ended INTEGER,
    PRIMARY KEY (household, schedule),
    CHECK ((next_due IS NULL) = (ended IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX schedules_due ON schedules (next_due) WHERE next_due IS NOT NULL;

-- What moved on a merchant's day (UTC), and its balance at the end of it. Days on which nothing moved have no row.
CREATE TABLE closings (
    merchant BLOB NOT NULL REFERENCES merchants (merchant),
    day INTEGER NOT NULL CHECK (day >= 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    payments INTEGER NOT NULL CHECK (payments >= 0),
    refunds INTEGER NOT NULL CHECK (refunds >= 0),
    -- Less what was given back.
    fees INTEGER NOT NULL,
    -- Less what came back.
    payouts INTEGER NOT NULL,
    -- Taken back by cards' banks, less what came back.
    disputes INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    PRIMARY KEY (merchant, day, currency)
) STRICT, WITHOUT ROWID;

-- Movements of a merchant that no household has a part in. Append-only.
CREATE TABLE merchant_transfers (
    merchant BLOB NOT NULL REFERENCES merchants (merchant),
    transfer BLOB NOT NULL CHECK (length(transfer) = 16),
    debit BLOB NOT NULL CHECK (length(debit) IN (1, 2, 17)),
    credit BLOB NOT NULL CHECK (length(credit) IN (1, 2, 17)),
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    of_transfer BLOB CHECK (length(of_transfer) = 16),
    at INTEGER NOT NULL,
    PRIMARY KEY (merchant, transfer),
    FOREIGN KEY (merchant, of_transfer) REFERENCES merchant_transfers (merchant, transfer),
    CHECK (debit <> credit)
) STRICT, WITHOUT ROWID;
CREATE INDEX merchant_transfers_by_time ON merchant_transfers (merchant, at);

CREATE TABLE payouts (
    merchant BLOB NOT NULL,
    payout BLOB NOT NULL,
    number INTEGER NOT NULL CHECK (number >= 1),
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    iban TEXT NOT NULL CHECK (length(iban) BETWEEN 15 AND 34),
    state TEXT NOT NULL CHECK (state IN ('asked', 'sent', 'done', 'returned')),
    asked INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    PRIMARY KEY (merchant, payout),
    UNIQUE (merchant, number),
    FOREIGN KEY (merchant, payout) REFERENCES merchant_transfers (merchant, transfer)
) STRICT, WITHOUT ROWID;
CREATE INDEX payouts_to_send ON payouts (asked) WHERE state = 'asked';

CREATE TRIGGER refunds_keep BEFORE DELETE ON refunds BEGIN SELECT RAISE (ABORT, 'refunds is append-only'); END;
CREATE TRIGGER closings_stay BEFORE UPDATE ON closings BEGIN SELECT RAISE (ABORT, 'closings is append-only'); END;
CREATE TRIGGER closings_keep BEFORE DELETE ON closings BEGIN SELECT RAISE (ABORT, 'closings is append-only'); END;
CREATE TRIGGER merchant_transfers_stay BEFORE UPDATE ON merchant_transfers BEGIN SELECT RAISE (ABORT, 'merchant_transfers is append-only'); END;
CREATE TRIGGER merchant_transfers_keep BEFORE DELETE ON merchant_transfers BEGIN SELECT RAISE (ABORT, 'merchant_transfers is append-only'); END;
CREATE TRIGGER payouts_end BEFORE UPDATE ON payouts
WHEN OLD.state IN ('done', 'returned') OR NEW.amount <> OLD.amount OR NEW.iban <> OLD.iban
BEGIN SELECT RAISE (ABORT, 'a payout ends once'); END;
CREATE TRIGGER payouts_keep BEFORE DELETE ON payouts BEGIN SELECT RAISE (ABORT, 'payouts are kept'); END;
