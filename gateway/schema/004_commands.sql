-- Schema 4: commands to meters, their bundles and schedules.

CREATE TABLE bundle (                 -- several commands that one act queued
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    on_failure TEXT NOT NULL CHECK (on_failure IN ('stop', 'go_on')), -- for each meter by itself
    actor TEXT NOT NULL,
    queued_s INTEGER NOT NULL
) STRICT;

CREATE TABLE command (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which commands are sent
    meter_id BLOB NOT NULL CHECK (length(meter_id) = 8),
    command_id INTEGER NOT NULL CHECK (command_id BETWEEN 1 AND 4294967295),
    code INTEGER NOT NULL,
    args BLOB NOT NULL,               -- CBOR, without the secret
    wrapped BLOB,                     -- the secret, last argument, wrapped under the master key
    secret_bytes INTEGER,             -- its length
    state TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'done', 'refused', 'failed',
        'unsupported', 'expired', 'cancelled')),
    queued_s INTEGER NOT NULL,
    not_before_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    sent_s INTEGER,                   -- the last time
    ended_s INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    result_code INTEGER,              -- as the meter answered
    detail BLOB,                      -- of the result, or why it ended without one
    actor TEXT NOT NULL,
    bundle_id INTEGER REFERENCES bundle (id),
    origin TEXT NOT NULL,             -- the part that queued it; empty for a person
    retried_as INTEGER,               -- the command that stands for this one since
    UNIQUE (meter_id, command_id)
) STRICT;
CREATE INDEX command_open ON command (meter_id, id) WHERE state IN ('queued', 'sent');
CREATE INDEX command_expiry ON command (expires_s) WHERE state IN ('queued', 'sent');
CREATE INDEX command_ended ON command (ended_s) WHERE ended_s IS NOT NULL;
CREATE INDEX command_piece ON command (ended_s) WHERE ended_s IS NOT NULL AND code = 8;
CREATE INDEX command_bundle ON command (bundle_id) WHERE bundle_id IS NOT NULL;

CREATE TABLE command_number (         -- ids are unique for a meter's life, pruned ones included
    meter_id BLOB PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE schedule (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    code INTEGER NOT NULL,
    args BLOB NOT NULL,               -- CBOR
    meters TEXT NOT NULL,             -- JSON: meter ids in hex; empty for every meter
    every_s INTEGER CHECK (every_s > 0),
    daily_s INTEGER CHECK (daily_s BETWEEN 0 AND 86399), -- seconds after midnight UTC
    jitter_s INTEGER NOT NULL,        -- commands of one round are spread over so long
    next_s INTEGER NOT NULL,          -- when the next round begins
    round_s INTEGER,                  -- when the round under way began
    reached BLOB,                     -- the last meter that has its command of this round
    actor TEXT NOT NULL,
    added_s INTEGER NOT NULL,
    CHECK ((every_s IS NULL) <> (daily_s IS NULL))
) STRICT;

CREATE TABLE backfill (               -- intervals that are missing, and were asked for or will be
    meter_id BLOB NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('gap', 'given_up')), -- later ones came; or settled unseen
    found_s INTEGER NOT NULL,
    asked INTEGER NOT NULL DEFAULT 0, -- how many times
    next_s INTEGER NOT NULL,          -- not asked for again before
    row_id INTEGER,                   -- of the command that asks for it now
    state TEXT NOT NULL CHECK (state IN ('open', 'filled', 'lost')),
    ended_s INTEGER,
    PRIMARY KEY (meter_id, first)
) STRICT, WITHOUT ROWID;
CREATE INDEX backfill_open ON backfill (next_s) WHERE state = 'open';
