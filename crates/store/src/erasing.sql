-- Version 11: households that are erased, and orders whose messages are no longer kept.

-- From when the household may be erased, as its log says. When it was: then this row is all that is left of it beside the books.
ALTER TABLE households ADD COLUMN erase_from INTEGER;
ALTER TABLE households ADD COLUMN erased INTEGER CHECK (erased IS NULL OR (erase_from IS NULL AND posted = 0));
CREATE INDEX households_to_erase ON households (erase_from) WHERE erase_from IS NOT NULL;
CREATE INDEX pairings_of_household ON pairings (household);
-- Bills that watches made of printed codes.
CREATE INDEX bills_of_watch ON bills (watch) WHERE watch IS NOT NULL;

-- The messages of all orders up to this number have been looked at, and deleted where they were old enough.
CREATE TABLE retention (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    cut_to INTEGER NOT NULL CHECK (cut_to >= 0)
) STRICT;
INSERT INTO retention VALUES (1, 0);

-- What was signed is never changed; it may be deleted, and then its digest stays.
DROP TRIGGER messages_stay;
CREATE TRIGGER messages_stay BEFORE UPDATE ON messages
WHEN NEW.wire <> '' OR NEW.id <> OLD.id OR NEW.owner <> OLD.owner OR NEW.digest <> OLD.digest
BEGIN SELECT RAISE (ABORT, 'messages is append-only'); END;
-- These go with their household.
DROP TRIGGER log_keeps;
CREATE TRIGGER log_keeps BEFORE DELETE ON log_entries
WHEN NOT EXISTS (SELECT 1 FROM households WHERE household = OLD.household AND erased IS NOT NULL)
BEGIN SELECT RAISE (ABORT, 'log_entries is append-only'); END;
DROP TRIGGER events_keep;
CREATE TRIGGER events_keep BEFORE DELETE ON events
WHEN NOT EXISTS (SELECT 1 FROM households WHERE household = OLD.household AND erased IS NOT NULL)
BEGIN SELECT RAISE (ABORT, 'events is append-only'); END;
