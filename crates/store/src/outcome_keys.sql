-- Version 5: the root's word on each key that has ever signed outcomes here. Outcomes verify under one of them.

CREATE TABLE outcome_certificates (
    digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
    wire TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER outcome_certificates_stay BEFORE UPDATE ON outcome_certificates BEGIN SELECT RAISE (ABORT, 'outcome_certificates is append-only'); END;
CREATE TRIGGER outcome_certificates_keep BEFORE DELETE ON outcome_certificates BEGIN SELECT RAISE (ABORT, 'outcome_certificates is append-only'); END;
