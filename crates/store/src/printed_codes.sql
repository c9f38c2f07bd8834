-- Version 2: codes that merchants print, and bills that watches make of them.

-- Whose a printed code is, by the digest of what it says about the payee. `text` is for the operator's eyes.
CREATE TABLE merchant_codes (
    payee BLOB PRIMARY KEY CHECK (length(payee) = 32),
    merchant BLOB NOT NULL REFERENCES merchants (merchant),
    text TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_of_merchant ON merchant_codes (merchant);

-- The watch that made the bill of a printed code; only it may order it. NULL for the merchant's own bills.
ALTER TABLE bills ADD COLUMN watch BLOB REFERENCES watches (watch) CHECK (watch IS NULL OR length(watch) = 16);
