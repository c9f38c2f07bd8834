-- Version 8: the household's rules of deciding, the first of two nods, guardians who are away.

-- As the log says them, in JSON; NULL where nobody made any. The sums of all watches together lie in `mandate_sums` under the
-- household's own id.
ALTER TABLE households ADD COLUMN house_rules TEXT;
-- Until when they are not asked.
ALTER TABLE guardians ADD COLUMN away_until INTEGER;
-- An approval that waits, or waited, for another guardian's, and whose it is.
ALTER TABLE orders ADD COLUMN first_nod INTEGER REFERENCES messages (id);
ALTER TABLE orders ADD COLUMN first_by BLOB CHECK ((first_by IS NULL) = (first_nod IS NULL));
