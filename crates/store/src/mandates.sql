-- Version 6: standing rules.

-- The newest version of each that was not ended, as the log says it.
CREATE TABLE mandates (
    household BLOB NOT NULL REFERENCES households (household),
    watch BLOB NOT NULL REFERENCES watches (watch),
    mandate BLOB NOT NULL CHECK (length(mandate) = 16),
    seq INTEGER NOT NULL CHECK (seq >= 1),
    entry INTEGER NOT NULL REFERENCES messages (id),
    rule TEXT NOT NULL,
    PRIMARY KEY (household, watch, mandate)
) STRICT, WITHOUT ROWID;

-- What a watch with rules has paid or is about to pay, by the first local day of the period, counted from 1970-01-01. `cap` is the
-- one under which a rule raised it last; NULL where a guardian's nod did.
CREATE TABLE mandate_sums (
    household BLOB NOT NULL REFERENCES households (household),
    watch BLOB NOT NULL REFERENCES watches (watch),
    first INTEGER NOT NULL,
    period TEXT NOT NULL CHECK (period IN ('day', 'week', 'month')),
    spent INTEGER NOT NULL CHECK (spent >= 0),
    cap INTEGER,
    PRIMARY KEY (household, watch, first, period),
    CHECK (cap IS NULL OR spent <= cap)
) STRICT, WITHOUT ROWID;

-- What the rules said when it came, and in which sums it counts; NULL where there was no rule. Where a rule approved or refused, its
-- log entry is the order's `decision`.
ALTER TABLE orders ADD COLUMN judged TEXT;
