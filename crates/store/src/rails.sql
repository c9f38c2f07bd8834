-- Version 4: rails outside of our own ledger. An order waits for their answers: `holding` before it is approved, `paying` before
-- it is paid.

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
    state TEXT NOT NULL CHECK (state IN ('waiting', 'holding', 'approved', 'paying', 'ended')),
    -- When the present state ends by itself: NULL once it is paying.
    deadline INTEGER,
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
         'household-frozen', 'payment-declined')),
    log_len INTEGER,
    result INTEGER REFERENCES messages (id),
    -- What went back: the sum of its refunds.
    refunded INTEGER NOT NULL DEFAULT 0,
    -- The household's when the order came.
    rail TEXT NOT NULL DEFAULT 'wallet' CHECK (rail IN ('wallet', 'stripe', 'bank')),
    UNIQUE (household, order_id),
    UNIQUE (watch, nonce),
    FOREIGN KEY (household, hold) REFERENCES transfers (household, transfer),
    CHECK ((state = 'ended') = (outcome IS NOT NULL)),
    CHECK ((state = 'ended') = (outcome_kind IS NOT NULL)),
    CHECK ((state = 'ended') = (log_len IS NOT NULL)),
    CHECK ((state IN ('paying', 'ended')) = (deadline IS NULL)),
    CHECK (state <> 'waiting' OR (decision IS NULL AND hold IS NULL)),
    CHECK (state NOT IN ('holding', 'approved', 'paying') OR (decision IS NOT NULL AND hold IS NOT NULL)),
    CHECK ((state <> 'holding' AND state <> 'paying') OR rail <> 'wallet'),
    CHECK (hold IS NULL OR decision IS NOT NULL),
    CHECK (state = 'ended' OR (cancel IS NULL AND result IS NULL AND (state = 'paying') = (payment IS NOT NULL))),
    CHECK ((outcome_kind IS NOT DISTINCT FROM 'failed') = (outcome_reason IS NOT NULL)),
    CHECK ((outcome_kind IS NOT DISTINCT FROM 'cancelled') = (cancel IS NOT NULL)),
    CHECK (outcome_kind IS DISTINCT FROM 'paid' OR (payment IS NOT NULL AND hold IS NOT NULL)),
    CHECK (payment IS NULL OR state = 'paying' OR outcome_kind IN ('paid', 'failed')),
    CHECK ((requote IS NULL) = (requote_revision IS NULL)
        AND (requote IS NULL) = (requote_total IS NULL)
        AND (requote IS NULL) = (requote_struck IS NULL)),
    CHECK (refunded BETWEEN 0 AND total AND (refunded = 0 OR outcome_kind = 'paid'))
) STRICT;
INSERT INTO orders_new
    (no, household, order_id, watch, wearer, bill_no, nonce, message, received, state, deadline, total, struck, asks,
     requote, requote_revision, requote_total, requote_struck, decision, hold, cancel, payment, outcome, outcome_kind,
     outcome_reason, log_len, result, refunded)
SELECT no, household, order_id, watch, wearer, bill_no, nonce, message, received, state, deadline, total, struck, asks,
     requote, requote_revision, requote_total, requote_struck, decision, hold, cancel, payment, outcome, outcome_kind,
     outcome_reason, log_len, result, refunded
FROM orders;
-- The order of each watch that ends by itself, and when it or its bill does.
CREATE TABLE open_orders (
    watch BLOB PRIMARY KEY REFERENCES watches (watch),
    order_no INTEGER NOT NULL REFERENCES orders (no),
    due INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO open_orders (watch, order_no, due) SELECT watch, no, due FROM orders WHERE due IS NOT NULL;
CREATE INDEX open_orders_due ON open_orders (due, order_no);
DROP TABLE orders;
ALTER TABLE orders_new RENAME TO orders;
CREATE INDEX orders_of_bill ON orders (bill_no);
CREATE INDEX orders_of_household ON orders (household);
CREATE INDEX orders_of_watch ON orders (watch);
CREATE TRIGGER orders_end BEFORE UPDATE ON orders
WHEN OLD.state = 'ended' AND (NEW.state <> 'ended' OR NEW.outcome <> OLD.outcome OR NEW.refunded < OLD.refunded
    OR (OLD.result IS NOT NULL AND NEW.result IS DISTINCT FROM OLD.result))
BEGIN SELECT RAISE (ABORT, 'an order ends once'); END;
CREATE TRIGGER orders_keep BEFORE DELETE ON orders BEGIN SELECT RAISE (ABORT, 'orders are kept'); END;


-- Whom a rail outside takes a household's money from, as JSON; a household without a row pays with its wallet.
CREATE TABLE household_rails (
    household BLOB PRIMARY KEY REFERENCES households (household),
    rail TEXT NOT NULL CHECK (rail IN ('stripe', 'bank')),
    payer TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row an order on a rail outside, from its approval on: who pays, as it was then, and what the rail calls the payment.
CREATE TABLE rail_payments (
    household BLOB NOT NULL,
    order_id BLOB NOT NULL CHECK (length(order_id) = 16),
    payer TEXT NOT NULL,
    known_as TEXT,
    -- Where the guardian confirms.
    action_url TEXT,
    PRIMARY KEY (household, order_id),
    FOREIGN KEY (household, order_id) REFERENCES orders (household, order_id)
) STRICT, WITHOUT ROWID;

-- What a rail outside is to do, once each; an order may have several refunds. `transfer` is what the rail knows the step by and
-- never changes. Due at `next_at`: until then somebody is asking, or it is not worth asking again. NULL once it is over: `done`, `declined`, or `dropped` for a hold
-- that nobody wants any more (its `void` answers for it).
CREATE TABLE rail_steps (
    household BLOB NOT NULL,
    order_id BLOB NOT NULL,
    step TEXT NOT NULL CHECK (step IN ('hold', 'post', 'void', 'refund')),
    rail TEXT NOT NULL CHECK (rail IN ('stripe', 'bank')),
    transfer BLOB NOT NULL CHECK (length(transfer) = 16),
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    state TEXT NOT NULL
        CHECK (state IN ('asked', 'unknown', 'pending', 'action', 'done', 'declined', 'dropped')),
    decline TEXT,
    tries INTEGER NOT NULL CHECK (tries >= 0),
    -- Somebody is asking, until `next_at`.
    claimed INTEGER NOT NULL CHECK (claimed IN (0, 1)),
    next_at INTEGER,
    at INTEGER NOT NULL,
    PRIMARY KEY (household, order_id, step, transfer),
    UNIQUE (transfer, step),
    FOREIGN KEY (household, order_id) REFERENCES rail_payments (household, order_id),
    CHECK ((state IN ('done', 'declined', 'dropped')) = (next_at IS NULL)),
    CHECK ((state = 'declined') = (decline IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX rail_steps_once ON rail_steps (household, order_id, step) WHERE step <> 'refund';
CREATE INDEX rail_steps_due ON rail_steps (rail, next_at) WHERE next_at IS NOT NULL;
CREATE TRIGGER rail_steps_end BEFORE UPDATE ON rail_steps
WHEN OLD.next_at IS NULL OR NEW.transfer <> OLD.transfer OR NEW.amount <> OLD.amount
BEGIN SELECT RAISE (ABORT, 'a step of a rail ends once'); END;
CREATE TRIGGER rail_steps_keep BEFORE DELETE ON rail_steps BEGIN SELECT RAISE (ABORT, 'rail_steps are kept'); END;
-- Payments that the card's bank takes back, one row a dispute: `open` while it only asks, `taken` while it has the money, then
-- `won` (the merchant has it again) or `lost`. The books know it by `transfer`, the rail by `known_as`.
CREATE TABLE disputes (
    transfer BLOB PRIMARY KEY CHECK (length(transfer) = 16),
    household BLOB NOT NULL,
    order_id BLOB NOT NULL,
    known_as TEXT NOT NULL UNIQUE,
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    state TEXT NOT NULL CHECK (state IN ('open', 'taken', 'won', 'lost')),
    opened INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    FOREIGN KEY (household, order_id) REFERENCES rail_payments (household, order_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX disputes_of_order ON disputes (household, order_id);
CREATE INDEX rail_payments_known ON rail_payments (known_as) WHERE known_as IS NOT NULL;
CREATE TRIGGER disputes_end BEFORE UPDATE ON disputes
WHEN OLD.state IN ('won', 'lost') OR NEW.amount <> OLD.amount OR NEW.transfer <> OLD.transfer
BEGIN SELECT RAISE (ABORT, 'a dispute ends once'); END;
CREATE TRIGGER disputes_keep BEFORE DELETE ON disputes BEGIN SELECT RAISE (ABORT, 'disputes are kept'); END;
-- The bank's answers name a payout alone.
CREATE INDEX payouts_by_id ON payouts (payout);
