-- Version 10: phones that are woken by push messages.

-- The public key that the operator's push messages are signed with (RFC 8292): every phone's subscription is bound to it.
CREATE TABLE push_keys (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    key BLOB NOT NULL CHECK (length(key) = 65)
) STRICT;

-- Where a guardian's phone is reached (RFC 8030) and what a message to it is sealed with (RFC 8291). `subscription` is the digest of
-- the endpoint; `session` the one that subscribed it last: logging out of it ends the subscription, its expiry does not.
CREATE TABLE push_subscriptions (
    household BLOB NOT NULL,
    subscription BLOB NOT NULL UNIQUE CHECK (length(subscription) = 32),
    guardian BLOB NOT NULL,
    session BLOB NOT NULL CHECK (length(session) = 16),
    endpoint TEXT NOT NULL,
    key BLOB NOT NULL CHECK (length(key) = 65),
    auth BLOB NOT NULL CHECK (length(auth) = 16),
    language TEXT NOT NULL CHECK (language IN ('en', 'zh')),
    detail TEXT NOT NULL CHECK (detail IN ('plain', 'total', 'items')),
    at INTEGER NOT NULL,
    PRIMARY KEY (household, subscription),
    FOREIGN KEY (household, guardian) REFERENCES guardians (household, guardian)
) STRICT, WITHOUT ROWID;
CREATE INDEX push_subscriptions_of_session ON push_subscriptions (session);

-- What a phone is to be told: the household's event `seq`, once. Due at `next_at`: until then somebody is sending it, or it is not
-- worth trying again. NULL once it is over; the row stays a while, so that nobody queues the event again.
CREATE TABLE push_messages (
    household BLOB NOT NULL,
    subscription BLOB NOT NULL,
    seq INTEGER NOT NULL CHECK (seq >= 1),
    -- The order or watch that it is about: newer news of it take its place.
    about BLOB,
    tries INTEGER NOT NULL CHECK (tries >= 0),
    next_at INTEGER,
    expires INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (household, subscription, seq),
    FOREIGN KEY (household, subscription) REFERENCES push_subscriptions (household, subscription) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX push_messages_due ON push_messages (next_at) WHERE next_at IS NOT NULL;
