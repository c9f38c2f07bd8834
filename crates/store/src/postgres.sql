-- Version 1, for PostgreSQL; the same tables as schema.sql, which says what they are.
--
-- What a payment writes names rows of other tables without foreign keys: each would read, lock and rewrite the row
-- referred to, a busy merchant's among them. `nodpay admin check` looks for rows that are not there.

CREATE TABLE messages (
    id BIGINT PRIMARY KEY,
    owner BYTEA NOT NULL CHECK (octet_length(owner) = 16),
    digest BYTEA NOT NULL CHECK (octet_length(digest) = 32),
    wire TEXT NOT NULL
);
-- Programs take numbers in blocks of the increment.
CREATE SEQUENCE messages_no INCREMENT BY 1000;

-- Room in each page, so that a changed row stays in its page.
CREATE TABLE households (
    household BYTEA PRIMARY KEY CHECK (octet_length(household) = 16),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    head BYTEA NOT NULL CHECK (octet_length(head) = 32),
    next_seq BIGINT NOT NULL CHECK (next_seq >= 1),
    posted BIGINT NOT NULL,
    held BIGINT NOT NULL,
    last_event BIGINT NOT NULL CHECK (last_event >= 0),
    frozen SMALLINT NOT NULL DEFAULT 0 CHECK (frozen IN (0, 1)),
    close_out BYTEA CHECK (octet_length(close_out) = 16),
    frozen_by BYTEA CHECK (octet_length(frozen_by) = 16),
    frozen_at BIGINT,
    house_rules TEXT,
    erase_from BIGINT,
    erased BIGINT CHECK (erased IS NULL OR (erase_from IS NULL AND posted = 0)),
    CHECK (0 <= held AND held <= posted),
    CHECK ((frozen_at IS NULL) = (frozen_by IS NULL))
) WITH (fillfactor = 50);

CREATE INDEX households_to_erase ON households (erase_from) WHERE erase_from IS NOT NULL;

CREATE TABLE log_entries (
    household BYTEA NOT NULL REFERENCES households (household),
    seq BIGINT NOT NULL CHECK (seq >= 0),
    message BIGINT NOT NULL REFERENCES messages (id),
    at BIGINT NOT NULL,
    PRIMARY KEY (household, seq)
);

CREATE TABLE wearers (
    household BYTEA NOT NULL REFERENCES households (household),
    wearer BYTEA NOT NULL CHECK (octet_length(wearer) = 16),
    name TEXT NOT NULL,
    salt BYTEA NOT NULL CHECK (octet_length(salt) = 16),
    PRIMARY KEY (household, wearer)
);

CREATE TABLE guardians (
    household BYTEA NOT NULL REFERENCES households (household),
    guardian BYTEA NOT NULL CHECK (octet_length(guardian) = 16),
    credential BYTEA NOT NULL UNIQUE CHECK (octet_length(credential) BETWEEN 16 AND 1023),
    counter BIGINT NOT NULL CHECK (counter BETWEEN 0 AND 4294967295),
    name TEXT,
    salt BYTEA CHECK (octet_length(salt) = 16),
    joins BIGINT NOT NULL DEFAULT 0,
    counts_from BIGINT NOT NULL DEFAULT 0,
    leaves BIGINT,
    away_until BIGINT,
    PRIMARY KEY (household, guardian),
    CHECK ((name IS NULL) = (salt IS NULL))
) WITH (fillfactor = 70);

CREATE TABLE watches (
    watch BYTEA PRIMARY KEY CHECK (octet_length(watch) = 16),
    household BYTEA NOT NULL REFERENCES households (household),
    key BYTEA NOT NULL CHECK (octet_length(key) = 65),
    wearer BYTEA NOT NULL,
    wearer_name BYTEA NOT NULL CHECK (octet_length(wearer_name) = 32),
    cap_until BIGINT NOT NULL,
    cap_minor BIGINT NOT NULL,
    cap_currency TEXT NOT NULL CHECK (length(cap_currency) = 3),
    removed SMALLINT NOT NULL CHECK (removed IN (0, 1)),
    FOREIGN KEY (household, wearer) REFERENCES wearers (household, wearer)
);
CREATE INDEX watches_of_household ON watches (household);

CREATE TABLE pin_reports (
    household BYTEA NOT NULL REFERENCES households (household),
    watch BYTEA NOT NULL REFERENCES watches (watch),
    seq BIGINT NOT NULL CHECK (seq >= 1),
    message BIGINT NOT NULL REFERENCES messages (id),
    PRIMARY KEY (household, watch)
);

CREATE TABLE pairings (
    pairing BYTEA PRIMARY KEY CHECK (octet_length(pairing) = 16),
    household BYTEA NOT NULL REFERENCES households (household),
    expires BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'claimed', 'done', 'closed')),
    watch BYTEA CHECK (octet_length(watch) = 16),
    key BYTEA CHECK (octet_length(key) = 65),
    claim BIGINT REFERENCES messages (id),
    CHECK ((watch IS NULL) = (claim IS NULL) AND (key IS NULL) = (claim IS NULL)),
    CHECK (state <> 'open' OR claim IS NULL),
    CHECK (state NOT IN ('claimed', 'done') OR claim IS NOT NULL)
);
CREATE INDEX pairings_of_household ON pairings (household);
CREATE INDEX pairings_claimed ON pairings (watch) WHERE state = 'claimed';

CREATE TABLE joins (
    pairing BYTEA PRIMARY KEY CHECK (octet_length(pairing) = 16),
    household BYTEA NOT NULL REFERENCES households (household),
    expires BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'claimed', 'done', 'closed')),
    guardian BYTEA CHECK (octet_length(guardian) = 16),
    name TEXT,
    salt BYTEA CHECK (octet_length(salt) = 16),
    claim BIGINT REFERENCES messages (id),
    CHECK ((guardian IS NULL) = (claim IS NULL) AND (name IS NULL) = (claim IS NULL) AND (salt IS NULL) = (claim IS NULL)),
    CHECK (state <> 'open' OR claim IS NULL),
    CHECK (state NOT IN ('claimed', 'done') OR claim IS NOT NULL)
);
CREATE INDEX joins_of_guardian ON joins (household, guardian);

CREATE TABLE recovery_keys (
    household BYTEA NOT NULL REFERENCES households (household),
    key BYTEA NOT NULL CHECK (octet_length(key) = 65),
    at BIGINT NOT NULL,
    PRIMARY KEY (household, key)
);
CREATE INDEX recovery_keys_by_key ON recovery_keys (key);

CREATE TABLE merchants (
    merchant BYTEA PRIMARY KEY CHECK (octet_length(merchant) = 16),
    name TEXT NOT NULL,
    mcc TEXT NOT NULL CHECK (length(mcc) = 4),
    city TEXT NOT NULL,
    country TEXT NOT NULL CHECK (length(country) = 2),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    key BYTEA CHECK (octet_length(key) = 65),
    certificate BYTEA,
    goods TEXT NOT NULL,
    fee BIGINT NOT NULL DEFAULT 0 CHECK (fee BETWEEN 0 AND 1000),
    iban TEXT CHECK (length(iban) BETWEEN 15 AND 34),
    payouts BIGINT NOT NULL DEFAULT 0 CHECK (payouts >= 0),
    closed_until BIGINT NOT NULL DEFAULT 0 CHECK (closed_until >= 0),
    CHECK (certificate IS NULL OR key IS NOT NULL)
);

CREATE INDEX merchants_to_close ON merchants (closed_until);

CREATE TABLE invitations (
    token BYTEA PRIMARY KEY CHECK (octet_length(token) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('guardian', 'till')),
    merchant BYTEA REFERENCES merchants (merchant),
    expires BIGINT NOT NULL,
    used BIGINT,
    CHECK ((kind = 'till') = (merchant IS NOT NULL))
);

CREATE TABLE sessions (
    session BYTEA PRIMARY KEY CHECK (octet_length(session) = 16),
    token BYTEA NOT NULL UNIQUE CHECK (octet_length(token) = 32),
    rotated BIGINT NOT NULL,
    earlier BYTEA UNIQUE CHECK (octet_length(earlier) = 32),
    earlier_until BIGINT,
    kind TEXT NOT NULL CHECK (kind IN ('guardian', 'till')),
    household BYTEA,
    guardian BYTEA,
    merchant BYTEA REFERENCES merchants (merchant),
    device TEXT NOT NULL,
    created BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    FOREIGN KEY (household, guardian) REFERENCES guardians (household, guardian),
    CHECK ((kind = 'guardian') = (household IS NOT NULL) AND (kind = 'guardian') = (guardian IS NOT NULL)),
    CHECK ((kind = 'till') = (merchant IS NOT NULL)),
    CHECK (earlier IS NOT NULL OR earlier_until IS NULL),
    CHECK (expires <= ends)
);
CREATE INDEX sessions_by_end ON sessions (expires);
CREATE INDEX sessions_of_guardian ON sessions (household, guardian);

CREATE TABLE logins (
    challenge BYTEA PRIMARY KEY CHECK (octet_length(challenge) = 32),
    expires BIGINT NOT NULL
);
CREATE INDEX logins_by_end ON logins (expires);

CREATE TABLE certificates (
    digest BYTEA PRIMARY KEY CHECK (octet_length(digest) = 32),
    merchant BYTEA NOT NULL REFERENCES merchants (merchant),
    key BYTEA NOT NULL CHECK (octet_length(key) = 65),
    message BIGINT NOT NULL REFERENCES messages (id),
    at BIGINT NOT NULL
);
ALTER TABLE merchants ADD FOREIGN KEY (certificate) REFERENCES certificates (digest) DEFERRABLE;

CREATE TABLE merchant_keys (
    api_key BYTEA PRIMARY KEY CHECK (octet_length(api_key) = 32),
    merchant BYTEA NOT NULL REFERENCES merchants (merchant),
    created BIGINT NOT NULL
);
CREATE INDEX keys_of_merchant ON merchant_keys (merchant);

CREATE TABLE merchant_codes (
    payee BYTEA PRIMARY KEY CHECK (octet_length(payee) = 32),
    merchant BYTEA NOT NULL REFERENCES merchants (merchant),
    text TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX codes_of_merchant ON merchant_codes (merchant);

CREATE TABLE bills (
    no BIGINT PRIMARY KEY,
    bill BYTEA NOT NULL UNIQUE CHECK (octet_length(bill) = 16),
    digest BYTEA NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    merchant BYTEA NOT NULL,
    certificate BYTEA NOT NULL,
    message BIGINT NOT NULL,
    total BIGINT NOT NULL CHECK (total > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    deadline BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'consumed', 'cancelled')),
    consumed_by BIGINT,
    scanned SMALLINT NOT NULL CHECK (scanned IN (0, 1)),
    watch BYTEA CHECK (octet_length(watch) = 16),
    CHECK ((state = 'consumed') = (consumed_by IS NOT NULL))
) WITH (fillfactor = 80);
CREATE SEQUENCE bills_no INCREMENT BY 1000;
-- Bills that watches made of printed codes.
CREATE INDEX bills_of_watch ON bills (watch) WHERE watch IS NOT NULL;

CREATE TABLE orders (
    no BIGINT PRIMARY KEY,
    household BYTEA NOT NULL,
    order_id BYTEA NOT NULL CHECK (octet_length(order_id) = 16),
    watch BYTEA NOT NULL,
    wearer BYTEA NOT NULL CHECK (octet_length(wearer) = 16),
    bill_no BIGINT NOT NULL,
    nonce BYTEA NOT NULL CHECK (octet_length(nonce) = 16),
    message BIGINT NOT NULL,
    received BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'holding', 'approved', 'paying', 'ended')),
    deadline BIGINT,
    total BIGINT NOT NULL CHECK (total > 0),
    struck TEXT NOT NULL,
    asks BIGINT NOT NULL CHECK (asks >= 0),
    requote BIGINT,
    requote_revision BIGINT CHECK (requote_revision >= 2),
    requote_total BIGINT CHECK (requote_total > 0),
    requote_struck TEXT,
    decision BIGINT,
    hold BYTEA CHECK (octet_length(hold) = 16),
    cancel BIGINT,
    payment BIGINT,
    outcome BIGINT,
    outcome_kind TEXT CHECK (outcome_kind IN ('paid', 'failed', 'refused', 'expired', 'cancelled')),
    outcome_reason TEXT CHECK (outcome_reason IN
        ('insufficient-balance', 'bill-already-paid', 'bill-cancelled', 'bill-expired', 'watch-removed',
         'household-frozen', 'payment-declined')),
    log_len BIGINT,
    result BIGINT,
    refunded BIGINT NOT NULL DEFAULT 0,
    rail TEXT NOT NULL DEFAULT 'wallet' CHECK (rail IN ('wallet', 'stripe', 'bank')),
    judged TEXT,
    first_nod BIGINT,
    first_by BYTEA CHECK ((first_by IS NULL) = (first_nod IS NULL)),
    UNIQUE (household, order_id),
    UNIQUE (watch, nonce),
    CHECK ((state = 'ended') = (outcome IS NOT NULL)),
    CHECK ((state = 'ended') = (outcome_kind IS NOT NULL)),
    CHECK ((state = 'ended') = (log_len IS NOT NULL)),
    CHECK ((state IN ('paying', 'ended')) = (deadline IS NULL)),
    CHECK (state <> 'waiting' OR (decision IS NULL AND hold IS NULL)),
    CHECK (state NOT IN ('holding', 'approved', 'paying') OR (decision IS NOT NULL AND hold IS NOT NULL)),
    CHECK (state NOT IN ('holding', 'paying') OR rail <> 'wallet'),
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
) WITH (fillfactor = 50);
-- One at a time: the orders of a household are numbered in the order they came.
CREATE SEQUENCE orders_no;
CREATE INDEX orders_of_bill ON orders (bill_no, no);
-- All orders, but only for statements that say `no > 0`: looking for one order, a plan made while there were few must not
-- go through all of a household's or a watch's.
CREATE INDEX orders_of_household ON orders (household, no) WHERE no > 0;
CREATE INDEX orders_of_watch ON orders (watch, no) WHERE no > 0;

-- The order of each watch that ends by itself, and when. Apart from `orders`, whose indexes are over what never changes: so a
-- changed order stays in its page, and no index is written again.
CREATE TABLE open_orders (
    watch BYTEA PRIMARY KEY,
    order_no BIGINT NOT NULL,
    due BIGINT NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX open_orders_due ON open_orders (due, order_no);

CREATE TABLE requote_asks (
    ask BYTEA PRIMARY KEY CHECK (octet_length(ask) = 16),
    order_no BIGINT NOT NULL REFERENCES orders (no),
    bill_no BIGINT NOT NULL REFERENCES bills (no),
    revision BIGINT NOT NULL CHECK (revision >= 2),
    struck TEXT NOT NULL,
    deadline BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('asked', 'answered', 'refused', 'timed-out')),
    reason TEXT,
    answer BIGINT REFERENCES messages (id),
    UNIQUE (bill_no, revision),
    CHECK ((state = 'answered') = (answer IS NOT NULL)),
    CHECK ((state = 'refused') = (reason IS NOT NULL))
);
CREATE UNIQUE INDEX asks_of_order ON requote_asks (order_no, revision);
CREATE INDEX asks_due ON requote_asks (deadline) WHERE state = 'asked';

CREATE TABLE transfers (
    household BYTEA NOT NULL,
    transfer BYTEA NOT NULL CHECK (octet_length(transfer) = 16),
    debit BYTEA NOT NULL CHECK (octet_length(debit) IN (1, 2, 17)),
    credit BYTEA NOT NULL CHECK (octet_length(credit) IN (1, 2, 17)),
    amount BIGINT NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    kind TEXT NOT NULL CHECK (kind IN ('pending', 'direct')),
    order_no BIGINT,
    of_transfer BYTEA CHECK (octet_length(of_transfer) = 16),
    at BIGINT NOT NULL,
    PRIMARY KEY (household, transfer),
    CHECK (debit <> credit),
    CHECK (kind <> 'pending' OR (order_no IS NOT NULL AND of_transfer IS NULL)),
    CHECK (kind <> 'direct' OR (order_no IS NULL) = (of_transfer IS NULL))
);
CREATE INDEX transfers_debited ON transfers (debit, at) WHERE of_transfer IS NOT NULL;
CREATE INDEX transfers_credited ON transfers (credit, at) WHERE of_transfer IS NOT NULL;

CREATE TABLE settlements (
    household BYTEA NOT NULL,
    transfer BYTEA NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('post', 'void')),
    amount BIGINT CHECK (amount > 0),
    credit BYTEA CHECK (octet_length(credit) IN (1, 2, 17)),
    at BIGINT NOT NULL,
    PRIMARY KEY (household, transfer),
    CHECK ((result = 'post') = (amount IS NOT NULL) AND (result = 'post') = (credit IS NOT NULL))
);
CREATE INDEX settlements_credited ON settlements (credit, at) WHERE result = 'post';

CREATE TABLE events (
    household BYTEA NOT NULL,
    seq BIGINT NOT NULL CHECK (seq >= 1),
    audience TEXT NOT NULL CHECK (audience IN ('guardian', 'watch')),
    watch BYTEA NOT NULL CHECK (octet_length(watch) IN (0, 16)),
    kind TEXT NOT NULL
        CHECK (kind IN ('log', 'pairing', 'order', 'requote', 'decision', 'outcome', 'result', 'refund', 'balance', 'pin')),
    order_id BYTEA CHECK (octet_length(order_id) = 16),
    pairing BYTEA CHECK (octet_length(pairing) = 16),
    log_seq BIGINT,
    pin_of BYTEA CHECK (octet_length(pin_of) = 16),
    at BIGINT NOT NULL,
    PRIMARY KEY (household, seq),
    CHECK ((kind IN ('order', 'requote', 'decision', 'outcome', 'result', 'refund')) = (order_id IS NOT NULL)),
    CHECK ((kind = 'pairing') = (pairing IS NOT NULL)),
    CHECK ((kind = 'log') = (log_seq IS NOT NULL)),
    CHECK ((kind = 'pin') = (pin_of IS NOT NULL))
);

-- Merchants' events are numbered by their transaction: 2^10 numbers each, in the order of transaction ids. Whoever reads
-- up to the oldest transaction that still runs (`merchant_events_end`) misses nothing, and no row is shared. A database
-- restored from a backup begins above the numbers it brings along.
CREATE SEQUENCE merchant_events_no MINVALUE 0 START 0 CACHE 32;
CREATE TABLE merchant_events_base (base BIGINT NOT NULL);
INSERT INTO merchant_events_base VALUES (0);
-- PL/pgSQL keeps its plan; a function of plain SQL would be planned anew by each statement.
CREATE FUNCTION merchant_events_next() RETURNS BIGINT VOLATILE LANGUAGE plpgsql AS $$ BEGIN
    RETURN (SELECT base FROM merchant_events_base)
        + pg_current_xact_id()::text::bigint * 1024 + nextval('merchant_events_no') % 1024;
END $$;
CREATE FUNCTION merchant_events_end() RETURNS BIGINT STABLE LANGUAGE sql AS
    'SELECT base + pg_snapshot_xmin(pg_current_snapshot())::text::bigint * 1024 FROM merchant_events_base';
CREATE TABLE merchant_events (
    seq BIGINT PRIMARY KEY DEFAULT merchant_events_next(),
    merchant BYTEA NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('bill', 'requote')),
    bill BYTEA NOT NULL CHECK (octet_length(bill) = 16),
    ask BYTEA CHECK (octet_length(ask) = 16),
    at BIGINT NOT NULL,
    CHECK ((kind = 'requote') = (ask IS NOT NULL))
);
CREATE INDEX events_of_merchant ON merchant_events (merchant, seq);

-- Which refunds are of which order: transfers, or steps of a rail outside until that has answered. The reason is beside the
-- ledger, so that it can be erased.
CREATE TABLE refunds (
    household BYTEA NOT NULL,
    order_id BYTEA NOT NULL CHECK (octet_length(order_id) = 16),
    refund BYTEA NOT NULL,
    reason TEXT,
    PRIMARY KEY (household, order_id, refund),
    FOREIGN KEY (household, order_id) REFERENCES orders (household, order_id)
);

-- Pocket money: `paid` dues of it are over, counted from `first`.
CREATE TABLE schedules (
    household BYTEA NOT NULL REFERENCES households (household),
    schedule BYTEA NOT NULL CHECK (octet_length(schedule) = 16),
    amount BIGINT NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (octet_length(currency) = 3),
    every TEXT NOT NULL CHECK (every IN ('day', 'week', 'month')),
    first BIGINT NOT NULL,
    paid BIGINT NOT NULL CHECK (paid >= 0),
    next_due BIGINT,
    ended BIGINT,
    PRIMARY KEY (household, schedule),
    CHECK ((next_due IS NULL) = (ended IS NOT NULL))
);
CREATE INDEX schedules_due ON schedules (next_due) WHERE next_due IS NOT NULL;

-- What moved on a merchant's day (UTC), and its balance at the end of it. Days on which nothing moved have no row.
CREATE TABLE closings (
    merchant BYTEA NOT NULL REFERENCES merchants (merchant),
    day BIGINT NOT NULL CHECK (day >= 0),
    currency TEXT NOT NULL CHECK (octet_length(currency) = 3),
    payments BIGINT NOT NULL CHECK (payments >= 0),
    refunds BIGINT NOT NULL CHECK (refunds >= 0),
    -- Less what was given back.
    fees BIGINT NOT NULL,
    -- Less what came back.
    payouts BIGINT NOT NULL,
    -- Taken back by cards' banks, less what came back.
    disputes BIGINT NOT NULL,
    balance BIGINT NOT NULL,
    PRIMARY KEY (merchant, day, currency)
);

-- Movements of a merchant that no household has a part in. Append-only.
CREATE TABLE merchant_transfers (
    merchant BYTEA NOT NULL REFERENCES merchants (merchant),
    transfer BYTEA NOT NULL CHECK (octet_length(transfer) = 16),
    debit BYTEA NOT NULL CHECK (octet_length(debit) IN (1, 2, 17)),
    credit BYTEA NOT NULL CHECK (octet_length(credit) IN (1, 2, 17)),
    amount BIGINT NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (octet_length(currency) = 3),
    of_transfer BYTEA CHECK (octet_length(of_transfer) = 16),
    at BIGINT NOT NULL,
    PRIMARY KEY (merchant, transfer),
    FOREIGN KEY (merchant, of_transfer) REFERENCES merchant_transfers (merchant, transfer),
    CHECK (debit <> credit)
);
CREATE INDEX merchant_transfers_by_time ON merchant_transfers (merchant, at);

CREATE TABLE payouts (
    merchant BYTEA NOT NULL,
    -- The bank's answers name a payout alone.
    payout BYTEA NOT NULL UNIQUE,
    number BIGINT NOT NULL CHECK (number >= 1),
    amount BIGINT NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (octet_length(currency) = 3),
    iban TEXT NOT NULL CHECK (length(iban) BETWEEN 15 AND 34),
    state TEXT NOT NULL CHECK (state IN ('asked', 'sending', 'sent', 'done', 'returned')),
    asked BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    PRIMARY KEY (merchant, payout),
    UNIQUE (merchant, number),
    FOREIGN KEY (merchant, payout) REFERENCES merchant_transfers (merchant, transfer)
);
CREATE INDEX payouts_to_send ON payouts (asked) WHERE state IN ('asked', 'sending');
CREATE INDEX payouts_sent ON payouts (asked) WHERE state = 'sent';

-- Whom a rail outside takes a household's money from, as JSON; a household without a row pays with its wallet.
CREATE TABLE household_rails (
    household BYTEA PRIMARY KEY REFERENCES households (household),
    rail TEXT NOT NULL CHECK (rail IN ('stripe', 'bank')),
    payer TEXT NOT NULL
);

-- One row an order on a rail outside, from its approval on: who pays, as it was then, and what the rail calls the payment.
CREATE TABLE rail_payments (
    household BYTEA NOT NULL,
    order_id BYTEA NOT NULL CHECK (octet_length(order_id) = 16),
    payer TEXT NOT NULL,
    known_as TEXT,
    -- Where the guardian confirms.
    action_url TEXT,
    PRIMARY KEY (household, order_id),
    FOREIGN KEY (household, order_id) REFERENCES orders (household, order_id)
);

-- What a rail outside is to do, once each; an order may have several refunds. `transfer` is what the rail knows the step by and
-- never changes. Due at `next_at`: until then somebody is asking, or it is not worth asking again. NULL once it is over: `done`, `declined`, or `dropped` for a hold
-- that nobody wants any more (its `void` answers for it).
CREATE TABLE rail_steps (
    household BYTEA NOT NULL,
    order_id BYTEA NOT NULL,
    step TEXT NOT NULL CHECK (step IN ('hold', 'post', 'void', 'refund')),
    rail TEXT NOT NULL CHECK (rail IN ('stripe', 'bank')),
    transfer BYTEA NOT NULL CHECK (octet_length(transfer) = 16),
    amount BIGINT NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (octet_length(currency) = 3),
    state TEXT NOT NULL
        CHECK (state IN ('asked', 'unknown', 'pending', 'action', 'done', 'declined', 'dropped')),
    decline TEXT,
    tries BIGINT NOT NULL CHECK (tries >= 0),
    -- Somebody is asking, until `next_at`.
    claimed SMALLINT NOT NULL CHECK (claimed IN (0, 1)),
    next_at BIGINT,
    at BIGINT NOT NULL,
    PRIMARY KEY (household, order_id, step, transfer),
    UNIQUE (transfer, step),
    FOREIGN KEY (household, order_id) REFERENCES rail_payments (household, order_id),
    CHECK ((state IN ('done', 'declined', 'dropped')) = (next_at IS NULL)),
    CHECK ((state = 'declined') = (decline IS NOT NULL))
);
CREATE UNIQUE INDEX rail_steps_once ON rail_steps (household, order_id, step) WHERE step <> 'refund';
CREATE INDEX rail_steps_due ON rail_steps (rail, next_at) WHERE next_at IS NOT NULL;
-- Payments that the card's bank takes back, one row a dispute: `open` while it only asks, `taken` while it has the money, then
-- `won` (the merchant has it again) or `lost`. The books know it by `transfer`, the rail by `known_as`.
CREATE TABLE disputes (
    transfer BYTEA PRIMARY KEY CHECK (octet_length(transfer) = 16),
    household BYTEA NOT NULL,
    order_id BYTEA NOT NULL,
    known_as TEXT NOT NULL UNIQUE,
    amount BIGINT NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (octet_length(currency) = 3),
    state TEXT NOT NULL CHECK (state IN ('open', 'taken', 'won', 'lost')),
    opened BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    FOREIGN KEY (household, order_id) REFERENCES rail_payments (household, order_id)
);
CREATE INDEX disputes_of_order ON disputes (household, order_id);
CREATE INDEX rail_payments_known ON rail_payments (known_as) WHERE known_as IS NOT NULL;

-- The root's word on each key that has ever signed outcomes here.
CREATE TABLE outcome_certificates (
    digest BYTEA PRIMARY KEY CHECK (octet_length(digest) = 32),
    wire TEXT NOT NULL,
    at BIGINT NOT NULL
);

CREATE TABLE mandates (
    household BYTEA NOT NULL REFERENCES households (household),
    watch BYTEA NOT NULL REFERENCES watches (watch),
    mandate BYTEA NOT NULL CHECK (octet_length(mandate) = 16),
    seq BIGINT NOT NULL CHECK (seq >= 1),
    entry BIGINT NOT NULL REFERENCES messages (id),
    rule TEXT NOT NULL,
    PRIMARY KEY (household, watch, mandate)
);

CREATE TABLE mandate_sums (
    household BYTEA NOT NULL,
    watch BYTEA NOT NULL,
    first BIGINT NOT NULL,
    period TEXT NOT NULL CHECK (period IN ('day', 'week', 'month')),
    spent BIGINT NOT NULL CHECK (spent >= 0),
    cap BIGINT,
    PRIMARY KEY (household, watch, first, period),
    CHECK (cap IS NULL OR spent <= cap)
) WITH (fillfactor = 50);

-- The card that may be charged for a household's wallet, as JSON.
CREATE TABLE top_up_cards (
    household BYTEA PRIMARY KEY REFERENCES households (household),
    payer TEXT NOT NULL
);

-- One row a card top-up, from the guardian's signature on; it is in the books once it is `done`.
CREATE TABLE card_top_ups (
    household BYTEA NOT NULL REFERENCES households (household),
    transfer BYTEA NOT NULL UNIQUE CHECK (octet_length(transfer) = 16),
    guardian BYTEA NOT NULL CHECK (octet_length(guardian) = 16),
    message BIGINT NOT NULL REFERENCES messages (id),
    amount BIGINT NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    payer TEXT NOT NULL,
    known_as TEXT,
    action_url TEXT,
    state TEXT NOT NULL CHECK (state IN ('asked', 'unknown', 'pending', 'action', 'done', 'declined')),
    decline TEXT,
    tries BIGINT NOT NULL CHECK (tries >= 0),
    claimed SMALLINT NOT NULL CHECK (claimed IN (0, 1)),
    next_at BIGINT,
    at BIGINT NOT NULL,
    dispute TEXT CHECK (dispute IN ('open', 'taken', 'won', 'lost')),
    PRIMARY KEY (household, transfer),
    CHECK ((state IN ('done', 'declined')) = (next_at IS NULL)),
    CHECK ((state = 'declined') = (decline IS NOT NULL)),
    CHECK ((state = 'action') = (action_url IS NOT NULL))
);
CREATE INDEX card_top_ups_due ON card_top_ups (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX card_top_ups_by_time ON card_top_ups (household, at);
CREATE INDEX card_top_ups_known ON card_top_ups (known_as) WHERE known_as IS NOT NULL;

-- The public key that the operator's push messages are signed with (RFC 8292): every phone's subscription is bound to it.
CREATE TABLE push_keys (
    number BIGINT PRIMARY KEY CHECK (number = 1),
    key BYTEA NOT NULL CHECK (octet_length(key) = 65)
);

-- Where a guardian's phone is reached (RFC 8030) and what a message to it is sealed with (RFC 8291). `subscription` is the digest of
-- the endpoint; `session` the one that subscribed it last: logging out of it ends the subscription, its expiry does not.
CREATE TABLE push_subscriptions (
    household BYTEA NOT NULL,
    subscription BYTEA NOT NULL UNIQUE CHECK (octet_length(subscription) = 32),
    guardian BYTEA NOT NULL,
    session BYTEA NOT NULL CHECK (octet_length(session) = 16),
    endpoint TEXT NOT NULL,
    key BYTEA NOT NULL CHECK (octet_length(key) = 65),
    auth BYTEA NOT NULL CHECK (octet_length(auth) = 16),
    language TEXT NOT NULL CHECK (language IN ('en', 'zh')),
    detail TEXT NOT NULL CHECK (detail IN ('plain', 'total', 'items')),
    at BIGINT NOT NULL,
    PRIMARY KEY (household, subscription),
    FOREIGN KEY (household, guardian) REFERENCES guardians (household, guardian)
);
CREATE INDEX push_subscriptions_of_session ON push_subscriptions (session);

-- What a phone is to be told: the household's event `seq`, once. Due at `next_at`: until then somebody is sending it, or it is not
-- worth trying again. NULL once it is over; the row stays a while, so that nobody queues the event again.
CREATE TABLE push_messages (
    household BYTEA NOT NULL,
    subscription BYTEA NOT NULL,
    seq BIGINT NOT NULL CHECK (seq >= 1),
    -- The order or watch that it is about: newer news of it take its place.
    about BYTEA,
    tries BIGINT NOT NULL CHECK (tries >= 0),
    next_at BIGINT,
    expires BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (household, subscription, seq),
    FOREIGN KEY (household, subscription) REFERENCES push_subscriptions (household, subscription) ON DELETE CASCADE
);
CREATE INDEX push_messages_due ON push_messages (next_at) WHERE next_at IS NOT NULL;

-- The messages of all orders up to this number have been looked at, and deleted where they were old enough.
CREATE TABLE retention (
    number BIGINT PRIMARY KEY CHECK (number = 1),
    cut_to BIGINT NOT NULL CHECK (cut_to >= 0)
);
INSERT INTO retention VALUES (1, 0);

CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$;
-- What was signed is never changed; it may be deleted, and then its digest stays.
CREATE TRIGGER stays BEFORE UPDATE ON messages FOR EACH ROW
    WHEN (NEW.wire <> '' OR NEW.id <> OLD.id OR NEW.owner <> OLD.owner OR NEW.digest <> OLD.digest)
    EXECUTE FUNCTION append_only();
CREATE TRIGGER keep BEFORE DELETE ON messages FOR EACH ROW EXECUTE FUNCTION append_only();
-- These go with their household.
CREATE FUNCTION goes_with_household() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT 1 FROM households WHERE household = OLD.household AND erased IS NOT NULL) THEN RETURN OLD; END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER stays BEFORE UPDATE ON log_entries FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER keep BEFORE DELETE ON log_entries FOR EACH ROW EXECUTE FUNCTION goes_with_household();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON certificates FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON transfers FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON settlements FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER stays BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER keep BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION goes_with_household();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON merchant_events FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON closings FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON merchant_transfers FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER stays BEFORE DELETE ON refunds FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON outcome_certificates FOR EACH ROW EXECUTE FUNCTION append_only();

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0]; END $$;
CREATE TRIGGER rise BEFORE UPDATE ON pin_reports FOR EACH ROW WHEN (NEW.seq <= OLD.seq)
    EXECUTE FUNCTION refuse('a PIN report is newer than the last');
CREATE TRIGGER end_once BEFORE UPDATE ON orders FOR EACH ROW
    WHEN (OLD.state = 'ended' AND (NEW.state <> 'ended' OR NEW.outcome <> OLD.outcome OR NEW.refunded < OLD.refunded
          OR (OLD.result IS NOT NULL AND NEW.result IS DISTINCT FROM OLD.result)))
    EXECUTE FUNCTION refuse('an order ends once');
CREATE TRIGGER keep BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION refuse('orders are kept');
CREATE TRIGGER keep BEFORE DELETE ON payouts FOR EACH ROW EXECUTE FUNCTION refuse('payouts are kept');
CREATE TRIGGER end_once BEFORE UPDATE ON payouts FOR EACH ROW
    WHEN (OLD.state = 'returned' OR (OLD.state = 'done' AND NEW.state <> 'returned')
          OR NEW.payout <> OLD.payout OR NEW.amount <> OLD.amount OR NEW.iban <> OLD.iban)
    EXECUTE FUNCTION refuse('a payout ends once');
CREATE TRIGGER keep BEFORE DELETE ON disputes FOR EACH ROW EXECUTE FUNCTION refuse('disputes are kept');
CREATE TRIGGER end_once BEFORE UPDATE ON disputes FOR EACH ROW
    WHEN (OLD.state IN ('won', 'lost') OR NEW.amount <> OLD.amount OR NEW.transfer <> OLD.transfer)
    EXECUTE FUNCTION refuse('a dispute ends once');
CREATE TRIGGER keep BEFORE DELETE ON rail_steps FOR EACH ROW EXECUTE FUNCTION refuse('rail_steps are kept');
CREATE TRIGGER end_once BEFORE UPDATE ON rail_steps FOR EACH ROW
    WHEN (OLD.next_at IS NULL OR NEW.transfer <> OLD.transfer OR NEW.amount <> OLD.amount)
    EXECUTE FUNCTION refuse('a step of a rail ends once');
CREATE TRIGGER keep BEFORE DELETE ON card_top_ups FOR EACH ROW EXECUTE FUNCTION refuse('card top-ups are kept');
CREATE TRIGGER end_once BEFORE UPDATE ON card_top_ups FOR EACH ROW
    WHEN (NEW.transfer <> OLD.transfer OR NEW.amount <> OLD.amount OR (OLD.next_at IS NULL AND NEW.state <> OLD.state))
    EXECUTE FUNCTION refuse('a card top-up ends once');
