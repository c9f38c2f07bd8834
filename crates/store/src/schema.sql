-- Version 1. Ids and digests are BLOBs, amounts whole minor units, times unix milliseconds.
-- Integer keys (messages.id, bills.no, orders.no) are this database's own and never leave it.

-- Every signed message, as received. Append-only.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    -- The household's or merchant's id.
    owner BLOB NOT NULL CHECK (length(owner) = 16),
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    wire TEXT NOT NULL
) STRICT;

-- One row a household, its wallet and its event counter in it: one lock, one read, one write a transaction.
CREATE TABLE households (
    household BLOB PRIMARY KEY CHECK (length(household) = 16),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    head BLOB NOT NULL CHECK (length(head) = 32),
    next_seq INTEGER NOT NULL CHECK (next_seq >= 1),
    posted INTEGER NOT NULL,
    held INTEGER NOT NULL,
    last_event INTEGER NOT NULL CHECK (last_event >= 0),
    CHECK (0 <= held AND held <= posted)
) STRICT, WITHOUT ROWID;

-- Append-only.
CREATE TABLE log_entries (
    household BLOB NOT NULL REFERENCES households (household),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    message INTEGER NOT NULL REFERENCES messages (id),
    at INTEGER NOT NULL,
    PRIMARY KEY (household, seq)
) STRICT, WITHOUT ROWID;

-- Beside the log, so that a name can be erased.
CREATE TABLE wearers (
    household BLOB NOT NULL REFERENCES households (household),
    wearer BLOB NOT NULL CHECK (length(wearer) = 16),
    name TEXT NOT NULL,
    salt BLOB NOT NULL CHECK (length(salt) = 16),
    PRIMARY KEY (household, wearer)
) STRICT, WITHOUT ROWID;

CREATE TABLE guardians (
    household BLOB NOT NULL REFERENCES households (household),
    guardian BLOB NOT NULL CHECK (length(guardian) = 16),
    credential BLOB NOT NULL UNIQUE CHECK (length(credential) BETWEEN 16 AND 1023),
    counter INTEGER NOT NULL CHECK (counter BETWEEN 0 AND 4294967295),
    name TEXT,
    salt BLOB CHECK (length(salt) = 16),
    PRIMARY KEY (household, guardian),
    CHECK ((name IS NULL) = (salt IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE watches (
    watch BLOB PRIMARY KEY CHECK (length(watch) = 16),
    household BLOB NOT NULL REFERENCES households (household),
    key BLOB NOT NULL CHECK (length(key) = 65),
    wearer BLOB NOT NULL,
    wearer_name BLOB NOT NULL CHECK (length(wearer_name) = 32),
    cap_until INTEGER NOT NULL,
    cap_minor INTEGER NOT NULL,
    cap_currency TEXT NOT NULL CHECK (length(cap_currency) = 3),
    removed INTEGER NOT NULL CHECK (removed IN (0, 1)),
    FOREIGN KEY (household, wearer) REFERENCES wearers (household, wearer)
) STRICT, WITHOUT ROWID;
CREATE INDEX watches_of_household ON watches (household);

-- The newest report of each watch on its PIN.
CREATE TABLE pin_reports (
    household BLOB NOT NULL REFERENCES households (household),
    watch BLOB NOT NULL REFERENCES watches (watch),
    seq INTEGER NOT NULL CHECK (seq >= 1),
    message INTEGER NOT NULL REFERENCES messages (id),
    PRIMARY KEY (household, watch)
) STRICT, WITHOUT ROWID;

CREATE TABLE pairings (
    pairing BLOB PRIMARY KEY CHECK (length(pairing) = 16),
    household BLOB NOT NULL REFERENCES households (household),
    expires INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'claimed', 'done', 'closed')),
    watch BLOB CHECK (length(watch) = 16),
    key BLOB CHECK (length(key) = 65),
    claim INTEGER REFERENCES messages (id),
    CHECK ((watch IS NULL) = (claim IS NULL) AND (key IS NULL) = (claim IS NULL)),
    CHECK (state <> 'open' OR claim IS NULL),
    CHECK (state NOT IN ('claimed', 'done') OR claim IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX pairings_claimed ON pairings (watch) WHERE state = 'claimed';

CREATE TABLE invitations (
    token BLOB PRIMARY KEY CHECK (length(token) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('guardian', 'till')),
    merchant BLOB REFERENCES merchants (merchant),
    expires INTEGER NOT NULL,
    used INTEGER,
    CHECK ((kind = 'till') = (merchant IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    token BLOB PRIMARY KEY CHECK (length(token) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('guardian', 'till')),
    household BLOB,
    guardian BLOB,
    merchant BLOB REFERENCES merchants (merchant),
    expires INTEGER NOT NULL,
    FOREIGN KEY (household, guardian) REFERENCES guardians (household, guardian),
    CHECK ((kind = 'guardian') = (household IS NOT NULL) AND (kind = 'guardian') = (guardian IS NOT NULL)),
    CHECK ((kind = 'till') = (merchant IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_end ON sessions (expires);

CREATE TABLE logins (
    challenge BLOB PRIMARY KEY CHECK (length(challenge) = 32),
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX logins_by_end ON logins (expires);

-- Nothing in here changes with a payment.
CREATE TABLE merchants (
    merchant BLOB PRIMARY KEY CHECK (length(merchant) = 16),
    name TEXT NOT NULL,
    mcc TEXT NOT NULL CHECK (length(mcc) = 4),
    city TEXT NOT NULL,
    country TEXT NOT NULL CHECK (length(country) = 2),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    key BLOB CHECK (length(key) = 65),
    certificate BLOB REFERENCES certificates (digest),
    goods TEXT NOT NULL,
    CHECK (certificate IS NULL OR key IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- Append-only: bills name them for ever.
CREATE TABLE certificates (
    digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
    merchant BLOB NOT NULL REFERENCES merchants (merchant),
    key BLOB NOT NULL CHECK (length(key) = 65),
    message INTEGER NOT NULL REFERENCES messages (id),
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE merchant_keys (
    api_key BLOB PRIMARY KEY CHECK (length(api_key) = 32),
    merchant BLOB NOT NULL REFERENCES merchants (merchant),
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE bills (
    no INTEGER PRIMARY KEY,
    bill BLOB NOT NULL UNIQUE CHECK (length(bill) = 16),
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    merchant BLOB NOT NULL REFERENCES merchants (merchant),
    certificate BLOB NOT NULL REFERENCES certificates (digest),
    message INTEGER NOT NULL REFERENCES messages (id),
    total INTEGER NOT NULL CHECK (total > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    deadline INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'consumed', 'cancelled')),
    consumed_by INTEGER UNIQUE REFERENCES orders (no),
    scanned INTEGER NOT NULL CHECK (scanned IN (0, 1)),
    CHECK ((state = 'consumed') = (consumed_by IS NOT NULL))
) STRICT;

CREATE TABLE orders (
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
        ('insufficient-balance', 'bill-already-paid', 'bill-cancelled', 'bill-expired', 'watch-removed')),
    log_len INTEGER,
    result INTEGER REFERENCES messages (id),
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
    CHECK ((outcome_kind IS 'failed') = (outcome_reason IS NOT NULL)),
    CHECK ((outcome_kind IS 'cancelled') = (cancel IS NOT NULL)),
    CHECK (outcome_kind IS NOT 'paid' OR (payment IS NOT NULL AND hold IS NOT NULL)),
    CHECK (payment IS NULL OR outcome_kind IN ('paid', 'failed')),
    CHECK ((requote IS NULL) = (requote_revision IS NULL)
        AND (requote IS NULL) = (requote_total IS NULL)
        AND (requote IS NULL) = (requote_struck IS NULL))
) STRICT;
-- One open order a watch.
CREATE UNIQUE INDEX orders_open ON orders (watch) WHERE due IS NOT NULL;
CREATE INDEX orders_due ON orders (due) WHERE due IS NOT NULL;
CREATE INDEX orders_of_bill ON orders (bill_no);
-- These two end in `no`, as every index does: newest first without sorting.
CREATE INDEX orders_of_household ON orders (household);
CREATE INDEX orders_of_watch ON orders (watch);

CREATE TABLE requote_asks (
    ask BLOB PRIMARY KEY CHECK (length(ask) = 16),
    order_no INTEGER NOT NULL REFERENCES orders (no),
    bill_no INTEGER NOT NULL REFERENCES bills (no),
    revision INTEGER NOT NULL CHECK (revision >= 2),
    struck TEXT NOT NULL,
    deadline INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('asked', 'answered', 'refused', 'timed-out')),
    reason TEXT,
    answer INTEGER REFERENCES messages (id),
    UNIQUE (bill_no, revision),
    CHECK ((state = 'answered') = (answer IS NOT NULL)),
    CHECK ((state = 'refused') = (reason IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX asks_of_order ON requote_asks (order_no, revision);
CREATE INDEX asks_due ON requote_asks (deadline) WHERE state = 'asked';

-- Double entry, append-only. An account is one byte of kind (0 outside, 1 wallet, 2 merchant) and its owner's id.
-- `direct` counts at once, `pending` when it is settled.
CREATE TABLE transfers (
    household BLOB NOT NULL REFERENCES households (household),
    transfer BLOB NOT NULL CHECK (length(transfer) = 16),
    debit BLOB NOT NULL CHECK (length(debit) IN (1, 17)),
    credit BLOB NOT NULL CHECK (length(credit) IN (1, 17)),
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    kind TEXT NOT NULL CHECK (kind IN ('pending', 'direct')),
    order_no INTEGER REFERENCES orders (no),
    at INTEGER NOT NULL,
    PRIMARY KEY (household, transfer),
    CHECK (debit <> credit),
    CHECK ((kind = 'pending') = (order_no IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX transfers_of_merchant ON transfers (credit) WHERE order_no IS NOT NULL;

-- What became of a pending transfer, once. Append-only.
CREATE TABLE settlements (
    household BLOB NOT NULL,
    transfer BLOB NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('post', 'void')),
    at INTEGER NOT NULL,
    PRIMARY KEY (household, transfer),
    FOREIGN KEY (household, transfer) REFERENCES transfers (household, transfer)
) STRICT, WITHOUT ROWID;

-- Append-only. `watch` is empty for guardians and for events to all watches of the household.
CREATE TABLE events (
    household BLOB NOT NULL REFERENCES households (household),
    audience TEXT NOT NULL CHECK (audience IN ('guardian', 'watch')),
    watch BLOB NOT NULL CHECK (length(watch) IN (0, 16)),
    seq INTEGER NOT NULL CHECK (seq >= 1),
    kind TEXT NOT NULL
        CHECK (kind IN ('log', 'pairing', 'order', 'requote', 'decision', 'outcome', 'result', 'balance', 'pin')),
    order_id BLOB CHECK (length(order_id) = 16),
    pairing BLOB CHECK (length(pairing) = 16),
    log_seq INTEGER,
    pin_of BLOB CHECK (length(pin_of) = 16),
    at INTEGER NOT NULL,
    PRIMARY KEY (household, audience, watch, seq),
    CHECK ((kind IN ('order', 'requote', 'decision', 'outcome', 'result')) = (order_id IS NOT NULL)),
    CHECK ((kind = 'pairing') = (pairing IS NOT NULL)),
    CHECK ((kind = 'log') = (log_seq IS NOT NULL)),
    CHECK ((kind = 'pin') = (pin_of IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Append-only. Numbered over all merchants: no row of a busy merchant is written twice.
CREATE TABLE merchant_events (
    seq INTEGER PRIMARY KEY,
    merchant BLOB NOT NULL REFERENCES merchants (merchant),
    kind TEXT NOT NULL CHECK (kind IN ('bill', 'requote')),
    bill BLOB NOT NULL CHECK (length(bill) = 16),
    ask BLOB CHECK (length(ask) = 16),
    at INTEGER NOT NULL,
    CHECK ((kind = 'requote') = (ask IS NOT NULL))
) STRICT;
CREATE INDEX events_of_merchant ON merchant_events (merchant);

CREATE TRIGGER messages_stay BEFORE UPDATE ON messages BEGIN SELECT RAISE (ABORT, 'messages is append-only'); END;
CREATE TRIGGER messages_keep BEFORE DELETE ON messages BEGIN SELECT RAISE (ABORT, 'messages is append-only'); END;
CREATE TRIGGER log_stays BEFORE UPDATE ON log_entries BEGIN SELECT RAISE (ABORT, 'log_entries is append-only'); END;
CREATE TRIGGER log_keeps BEFORE DELETE ON log_entries BEGIN SELECT RAISE (ABORT, 'log_entries is append-only'); END;
CREATE TRIGGER certificates_stay BEFORE UPDATE ON certificates BEGIN SELECT RAISE (ABORT, 'certificates is append-only'); END;
CREATE TRIGGER certificates_keep BEFORE DELETE ON certificates BEGIN SELECT RAISE (ABORT, 'certificates is append-only'); END;
CREATE TRIGGER transfers_stay BEFORE UPDATE ON transfers BEGIN SELECT RAISE (ABORT, 'transfers is append-only'); END;
CREATE TRIGGER transfers_keep BEFORE DELETE ON transfers BEGIN SELECT RAISE (ABORT, 'transfers is append-only'); END;
CREATE TRIGGER settlements_stay BEFORE UPDATE ON settlements BEGIN SELECT RAISE (ABORT, 'settlements is append-only'); END;
CREATE TRIGGER settlements_keep BEFORE DELETE ON settlements BEGIN SELECT RAISE (ABORT, 'settlements is append-only'); END;
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE (ABORT, 'events is append-only'); END;
CREATE TRIGGER events_keep BEFORE DELETE ON events BEGIN SELECT RAISE (ABORT, 'events is append-only'); END;
CREATE TRIGGER merchant_events_stay BEFORE UPDATE ON merchant_events BEGIN SELECT RAISE (ABORT, 'merchant_events is append-only'); END;
CREATE TRIGGER merchant_events_keep BEFORE DELETE ON merchant_events BEGIN SELECT RAISE (ABORT, 'merchant_events is append-only'); END;
CREATE TRIGGER pin_reports_rise BEFORE UPDATE ON pin_reports WHEN NEW.seq <= OLD.seq BEGIN SELECT RAISE (ABORT, 'a PIN report is newer than the last'); END;
-- An order's end is final.
CREATE TRIGGER orders_end BEFORE UPDATE ON orders
WHEN OLD.state = 'ended' AND (NEW.state <> 'ended' OR NEW.outcome <> OLD.outcome OR (OLD.result IS NOT NULL AND NEW.result IS NOT OLD.result))
BEGIN SELECT RAISE (ABORT, 'an order ends once'); END;
CREATE TRIGGER orders_keep BEFORE DELETE ON orders BEGIN SELECT RAISE (ABORT, 'orders are kept'); END;
