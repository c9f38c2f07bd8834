-- Version 13: a payment touches fewer pages. A household's events lie in one row of numbers, whoever is told; which order paid a
-- bill is indexed for paid bills alone.

CREATE TABLE events_new (
    household BLOB NOT NULL REFERENCES households (household),
    seq INTEGER NOT NULL CHECK (seq >= 1),
    audience TEXT NOT NULL CHECK (audience IN ('guardian', 'watch')),
    -- Empty for guardians and for events to all watches of the household.
    watch BLOB NOT NULL CHECK (length(watch) IN (0, 16)),
    kind TEXT NOT NULL CHECK (kind IN
        ('log', 'pairing', 'order', 'requote', 'decision', 'outcome', 'result', 'refund', 'balance', 'pin')),
    order_id BLOB CHECK (length(order_id) = 16),
    pairing BLOB CHECK (length(pairing) = 16),
    log_seq INTEGER,
    pin_of BLOB CHECK (length(pin_of) = 16),
    at INTEGER NOT NULL,
    PRIMARY KEY (household, seq),
    CHECK ((kind IN ('order', 'requote', 'decision', 'outcome', 'result', 'refund')) = (order_id IS NOT NULL)),
    CHECK ((kind = 'pairing') = (pairing IS NOT NULL)),
    CHECK ((kind = 'log') = (log_seq IS NOT NULL)),
    CHECK ((kind = 'pin') = (pin_of IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO events_new (household, seq, audience, watch, kind, order_id, pairing, log_seq, pin_of, at)
SELECT household, seq, audience, watch, kind, order_id, pairing, log_seq, pin_of, at FROM events ORDER BY household, seq;
DROP TABLE events;
ALTER TABLE events_new RENAME TO events;
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE (ABORT, 'events is append-only'); END;
CREATE TRIGGER events_keep BEFORE DELETE ON events
WHEN NOT EXISTS (SELECT 1 FROM households WHERE household = OLD.household AND erased IS NOT NULL)
BEGIN SELECT RAISE (ABORT, 'events is append-only'); END;

CREATE TABLE bills_new (
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
    consumed_by INTEGER REFERENCES orders (no),
    scanned INTEGER NOT NULL CHECK (scanned IN (0, 1)),
    -- The watch that made the bill of a printed code; only it may order it. NULL for the merchant's own bills.
    watch BLOB REFERENCES watches (watch) CHECK (watch IS NULL OR length(watch) = 16),
    CHECK ((state = 'consumed') = (consumed_by IS NOT NULL))
) STRICT;
INSERT INTO bills_new
    (no, bill, digest, merchant, certificate, message, total, currency, deadline, state, consumed_by, scanned, watch)
SELECT no, bill, digest, merchant, certificate, message, total, currency, deadline, state, consumed_by, scanned, watch FROM bills;
DROP TABLE bills;
ALTER TABLE bills_new RENAME TO bills;
CREATE UNIQUE INDEX bills_paid ON bills (consumed_by) WHERE consumed_by IS NOT NULL;
CREATE INDEX bills_of_watch ON bills (watch) WHERE watch IS NOT NULL;
