-- Schema 1: meters, journal, replay windows, refusals, wills, outbox. Never edit: add 002.
-- Frame counters are unsigned 64-bit numbers kept as SQLite's signed ones (same bits).

CREATE TABLE secret_check (           -- a known value under the master key: finds a wrong key
    id INTEGER PRIMARY KEY CHECK (id = 1),
    wrapped BLOB NOT NULL
) STRICT;

CREATE TABLE meter (
    meter_id BLOB PRIMARY KEY CHECK (length(meter_id) = 8),
    password_hash BLOB NOT NULL CHECK (length(password_hash) = 32),
    added_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE meter_key (
    meter_id BLOB NOT NULL REFERENCES meter (meter_id),
    key_epoch INTEGER NOT NULL CHECK (key_epoch BETWEEN 0 AND 255),
    wrapped BLOB NOT NULL,            -- AES-KW, RFC 3394
    down_reserved INTEGER NOT NULL DEFAULT 0, -- down counters below this may have been used
    PRIMARY KEY (meter_id, key_epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE journal (                -- append-only; no index, because appends are the speed
    id INTEGER PRIMARY KEY,
    meter_id BLOB NOT NULL,
    key_epoch INTEGER NOT NULL,
    frame_counter INTEGER NOT NULL,
    received_s INTEGER NOT NULL,
    message BLOB NOT NULL
) STRICT;

CREATE TABLE checkpoint (             -- window and intervals below hold the journal up to here
    id INTEGER PRIMARY KEY CHECK (id = 1),
    journal_id INTEGER NOT NULL
) STRICT;
INSERT INTO checkpoint VALUES (1, 0);

CREATE TABLE window (
    meter_id BLOB NOT NULL,
    key_epoch INTEGER NOT NULL,
    highest BLOB NOT NULL CHECK (length(highest) = 8),
    bits BLOB NOT NULL CHECK (length(bits) = 8),
    PRIMARY KEY (meter_id, key_epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE interval (
    meter_id BLOB PRIMARY KEY,
    upto INTEGER NOT NULL,
    islands BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE refusal (                -- an empty meter_id stands for every unknown meter
    meter_id BLOB NOT NULL,
    reason TEXT NOT NULL,
    frames INTEGER NOT NULL,
    last_s INTEGER NOT NULL,
    PRIMARY KEY (meter_id, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE last_will (              -- the latest abnormal close of each meter
    meter_id BLOB PRIMARY KEY,
    closed_s INTEGER NOT NULL,
    why TEXT NOT NULL,
    message BLOB NOT NULL,
    times INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    first_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL UNIQUE,
    profiles INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('empty', 'frozen', 'delivered', 'parked')),
    idempotency_key TEXT,
    body BLOB,                        -- zstd; let go after delivery, kept when parked
    frozen_s INTEGER NOT NULL,
    ended_s INTEGER                   -- delivered or parked
) STRICT;
CREATE INDEX batch_frozen ON batch (id) WHERE state = 'frozen';

CREATE TABLE rejection (
    batch_id INTEGER NOT NULL REFERENCES batch (id),
    profile_index INTEGER NOT NULL,
    journal_id INTEGER NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (batch_id, profile_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE probe (filler BLOB) STRICT; -- written and emptied again to see whether space is back
