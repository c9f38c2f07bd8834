-- Version 9: sessions whose token changes. Whoever was signed in signs in again.

DROP TABLE sessions;
CREATE TABLE sessions (
    session BLOB PRIMARY KEY CHECK (length(session) = 16),
    token BLOB NOT NULL UNIQUE CHECK (length(token) = 32),
    -- Since when the token is this one, and the one before it: NULL where there was none. That one is good until
    -- `earlier_until`, or until the newer one was shown where that is NULL.
    rotated INTEGER NOT NULL,
    earlier BLOB UNIQUE CHECK (length(earlier) = 32),
    earlier_until INTEGER,
    kind TEXT NOT NULL CHECK (kind IN ('guardian', 'till')),
    household BLOB,
    guardian BLOB,
    merchant BLOB REFERENCES merchants (merchant),
    device TEXT NOT NULL,
    created INTEGER NOT NULL,
    -- When it was last seen to be used, to the time between two tokens.
    seen INTEGER NOT NULL,
    -- Without a use, and at the latest.
    expires INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    FOREIGN KEY (household, guardian) REFERENCES guardians (household, guardian),
    CHECK ((kind = 'guardian') = (household IS NOT NULL) AND (kind = 'guardian') = (guardian IS NOT NULL)),
    CHECK ((kind = 'till') = (merchant IS NOT NULL)),
    CHECK (earlier IS NOT NULL OR earlier_until IS NULL),
    CHECK (expires <= ends)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_end ON sessions (expires);
CREATE INDEX sessions_of_guardian ON sessions (household, guardian);
