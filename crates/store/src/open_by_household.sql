-- Version 15: open orders and asks say their household, by which a distributed database cuts.

CREATE TABLE open_orders_new (
    household BLOB NOT NULL REFERENCES households (household),
    watch BLOB PRIMARY KEY REFERENCES watches (watch),
    order_no INTEGER NOT NULL REFERENCES orders (no),
    due INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO open_orders_new (household, watch, order_no, due)
SELECT o.household, p.watch, p.order_no, p.due FROM open_orders p JOIN orders o ON o.no = p.order_no;
DROP TABLE open_orders;
ALTER TABLE open_orders_new RENAME TO open_orders;
CREATE INDEX open_orders_due ON open_orders (due, order_no);

CREATE TABLE requote_asks_new (
    household BLOB NOT NULL REFERENCES households (household),
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
INSERT INTO requote_asks_new
    (household, ask, order_no, bill_no, revision, struck, deadline, state, reason, answer)
SELECT o.household, a.ask, a.order_no, a.bill_no, a.revision, a.struck, a.deadline, a.state, a.reason, a.answer
FROM requote_asks a JOIN orders o ON o.no = a.order_no;
DROP TABLE requote_asks;
ALTER TABLE requote_asks_new RENAME TO requote_asks;
CREATE UNIQUE INDEX asks_of_order ON requote_asks (order_no, revision);
CREATE INDEX asks_due ON requote_asks (deadline) WHERE state = 'asked';
