-- Version 12: guardians fill the wallet from a card.

-- The card that may be charged for a household's wallet, as JSON.
CREATE TABLE top_up_cards (
    household BLOB PRIMARY KEY REFERENCES households (household),
    payer TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a card top-up, from the guardian's signature on; it is in the books once it is `done`. `payer` is the card as it was then,
-- `known_as` what the rail calls the charge. Due at `next_at`: until then somebody is asking, or it is not worth asking again. NULL once
-- it is over. `dispute` is how the card holder's dispute of it stands.
CREATE TABLE card_top_ups (
    household BLOB NOT NULL REFERENCES households (household),
    transfer BLOB NOT NULL UNIQUE CHECK (length(transfer) = 16),
    guardian BLOB NOT NULL CHECK (length(guardian) = 16),
    message INTEGER NOT NULL REFERENCES messages (id),
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    payer TEXT NOT NULL,
    known_as TEXT,
    action_url TEXT,
    state TEXT NOT NULL CHECK (state IN ('asked', 'unknown', 'pending', 'action', 'done', 'declined')),
    decline TEXT,
    tries INTEGER NOT NULL CHECK (tries >= 0),
    -- Somebody is asking, until `next_at`.
    claimed INTEGER NOT NULL CHECK (claimed IN (0, 1)),
    next_at INTEGER,
    at INTEGER NOT NULL,
    dispute TEXT CHECK (dispute IN ('open', 'taken', 'won', 'lost')),
    PRIMARY KEY (household, transfer),
    CHECK ((state IN ('done', 'declined')) = (next_at IS NULL)),
    CHECK ((state = 'declined') = (decline IS NOT NULL)),
    CHECK ((state = 'action') = (action_url IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX card_top_ups_due ON card_top_ups (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX card_top_ups_by_time ON card_top_ups (household, at);
CREATE INDEX card_top_ups_known ON card_top_ups (known_as) WHERE known_as IS NOT NULL;
CREATE TRIGGER card_top_ups_end BEFORE UPDATE ON card_top_ups
WHEN NEW.transfer <> OLD.transfer OR NEW.amount <> OLD.amount OR (OLD.next_at IS NULL AND NEW.state <> OLD.state)
BEGIN SELECT RAISE (ABORT, 'a card top-up ends once'); END;
CREATE TRIGGER card_top_ups_keep BEFORE DELETE ON card_top_ups BEGIN SELECT RAISE (ABORT, 'card top-ups are kept'); END;
