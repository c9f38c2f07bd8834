-- Version 8: the household's rules of deciding, the first of two nods, guardians who are away.

-- As the log says them, in JSON; NULL where nobody made any.
ALTER TABLE households ADD COLUMN house_rules TEXT;
-- Until when they are not asked.
ALTER TABLE guardians ADD COLUMN away_until INTEGER;
-- An approval that waits, or waited, for another guardian's, and whose it is.
ALTER TABLE orders ADD COLUMN first_nod INTEGER REFERENCES messages (id);
ALTER TABLE orders ADD COLUMN first_by BLOB CHECK ((first_by IS NULL) = (first_nod IS NULL));

-- As before, but `watch` may be the household's own id too: the sum of all its watches.
ALTER TABLE mandate_sums RENAME TO mandate_sums_before;
CREATE TABLE mandate_sums (
    household BLOB NOT NULL REFERENCES households (household),
    watch BLOB NOT NULL CHECK (length(watch) = 16),
    first INTEGER NOT NULL,
    period TEXT NOT NULL CHECK (period IN ('day', 'week', 'month')),
    spent INTEGER NOT NULL CHECK (spent >= 0),
    cap INTEGER,
    PRIMARY KEY (household, watch, first, period),
    CHECK (cap IS NULL OR spent <= cap)
) STRICT, WITHOUT ROWID;
INSERT INTO mandate_sums (household, watch, first, period, spent, cap)
    SELECT household, watch, first, period, spent, cap FROM mandate_sums_before;
DROP TABLE mandate_sums_before;
