-- Version 14: a payout is `sending` before the bank has it, its id names one payout over all merchants, and what was done may come
-- back.

CREATE TABLE payouts_new (
    merchant BLOB NOT NULL,
    -- The bank's answers name a payout alone.
    payout BLOB NOT NULL UNIQUE,
    number INTEGER NOT NULL CHECK (number >= 1),
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    iban TEXT NOT NULL CHECK (length(iban) BETWEEN 15 AND 34),
    state TEXT NOT NULL CHECK (state IN ('asked', 'sending', 'sent', 'done', 'returned')),
    asked INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    PRIMARY KEY (merchant, payout),
    UNIQUE (merchant, number),
    FOREIGN KEY (merchant, payout) REFERENCES merchant_transfers (merchant, transfer)
) STRICT, WITHOUT ROWID;
INSERT INTO payouts_new (merchant, payout, number, amount, currency, iban, state, asked, changed)
SELECT merchant, payout, number, amount, currency, iban, state, asked, changed FROM payouts;
DROP TABLE payouts;
ALTER TABLE payouts_new RENAME TO payouts;
CREATE INDEX payouts_to_send ON payouts (asked) WHERE state IN ('asked', 'sending');
CREATE INDEX payouts_sent ON payouts (asked) WHERE state = 'sent';
CREATE TRIGGER payouts_end BEFORE UPDATE ON payouts
WHEN OLD.state = 'returned' OR (OLD.state = 'done' AND NEW.state <> 'returned')
    OR NEW.payout <> OLD.payout OR NEW.amount <> OLD.amount OR NEW.iban <> OLD.iban
BEGIN SELECT RAISE (ABORT, 'a payout ends once'); END;
CREATE TRIGGER payouts_keep BEFORE DELETE ON payouts BEGIN SELECT RAISE (ABORT, 'payouts are kept'); END;
