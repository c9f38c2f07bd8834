-- Version 6: guardians come and go, invite each other, recover, and freeze the household.

-- When they answer orders, when they sign entries, until when. The founders' are there from the beginning.
ALTER TABLE guardians ADD COLUMN joins INTEGER NOT NULL DEFAULT 0;
ALTER TABLE guardians ADD COLUMN counts_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE guardians ADD COLUMN leaves INTEGER;

-- A guardian's freeze; the operator's is `frozen`.
ALTER TABLE households ADD COLUMN frozen_by BLOB CHECK (length(frozen_by) = 16);
ALTER TABLE households ADD COLUMN frozen_at INTEGER CHECK ((frozen_at IS NULL) = (frozen_by IS NULL));

-- Invitations of further guardians.
CREATE TABLE joins (
    pairing BLOB PRIMARY KEY CHECK (length(pairing) = 16),
    household BLOB NOT NULL REFERENCES households (household),
    expires INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'claimed', 'done', 'closed')),
    guardian BLOB CHECK (length(guardian) = 16),
    name TEXT,
    salt BLOB CHECK (length(salt) = 16),
    claim INTEGER REFERENCES messages (id),
    CHECK ((guardian IS NULL) = (claim IS NULL) AND (name IS NULL) = (claim IS NULL) AND (salt IS NULL) = (claim IS NULL)),
    CHECK (state <> 'open' OR claim IS NULL),
    CHECK (state NOT IN ('claimed', 'done') OR claim IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX joins_of_guardian ON joins (household, guardian);

-- Recovery keys that can still be used. A household is found by them.
CREATE TABLE recovery_keys (
    household BLOB NOT NULL REFERENCES households (household),
    key BLOB NOT NULL CHECK (length(key) = 65),
    at INTEGER NOT NULL,
    PRIMARY KEY (household, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX recovery_keys_by_key ON recovery_keys (key);
