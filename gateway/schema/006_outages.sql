-- Schema 6: events of meters, outages, notices, and how well meters communicate.

CREATE TABLE meter_event (            -- in the transaction that made the frame durable
    id INTEGER PRIMARY KEY,
    meter_id BLOB NOT NULL,
    number INTEGER NOT NULL,          -- the meter's own, for life; 0: it could not be stored
    code INTEGER NOT NULL,
    vals TEXT NOT NULL,               -- JSON array of integers, as wire/wire.cddl lists them
    at_s INTEGER NOT NULL,            -- 0: the meter did not know the time
    received_s INTEGER NOT NULL,
    verdict TEXT NOT NULL DEFAULT ''  -- implausible: kept, and no outage made of it
) STRICT;
-- A meter that lost its flash numbers from 1 again: the code and the values tell those apart.
CREATE UNIQUE INDEX meter_event_once ON meter_event (meter_id, number, code, vals)
    WHERE number > 0;
CREATE INDEX meter_event_of ON meter_event (meter_id, id);

CREATE TABLE event_cursor (           -- events up to here were judged and forwarded
    id INTEGER PRIMARY KEY CHECK (id = 1),
    event_id INTEGER NOT NULL
) STRICT;
INSERT INTO event_cursor VALUES (1, 0);

CREATE TABLE area_outage (
    id INTEGER PRIMARY KEY,
    area TEXT NOT NULL,
    opened_s INTEGER NOT NULL,
    began_s INTEGER NOT NULL,
    ended_s INTEGER,
    end_why TEXT NOT NULL DEFAULT '',
    told TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX area_outage_open ON area_outage (id) WHERE ended_s IS NULL;

CREATE TABLE outage (
    id INTEGER PRIMARY KEY,
    meter_id BLOB NOT NULL,
    area TEXT NOT NULL,
    cause TEXT NOT NULL CHECK (cause IN ('last_gasp', 'last_will', 'silence', 'meter')),
    opened_s INTEGER NOT NULL,        -- when the gateway knew of it
    began_s INTEGER NOT NULL,
    ended_s INTEGER,
    end_why TEXT NOT NULL DEFAULT '',
    said_by TEXT NOT NULL CHECK (said_by IN ('gateway', 'boot', 'meter')),
    number INTEGER,                   -- of the meter's event that is its truth
    area_outage_id INTEGER REFERENCES area_outage (id),
    told TEXT NOT NULL DEFAULT ''     -- how far notices went: '', opened, closed, planned
) STRICT;
CREATE INDEX outage_of ON outage (meter_id, began_s);
CREATE INDEX outage_group ON outage (area_outage_id) WHERE area_outage_id IS NOT NULL;
CREATE INDEX outage_open ON outage (id) WHERE ended_s IS NULL OR told = '';

CREATE TABLE area_meter (             -- a place by name; a meter is in one or in none
    meter_id BLOB PRIMARY KEY CHECK (length(meter_id) = 8),
    area TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE planned_outage (
    id INTEGER PRIMARY KEY,
    subject TEXT NOT NULL,            -- an area, a meter in hex, or *
    from_s INTEGER NOT NULL,
    to_s INTEGER NOT NULL CHECK (to_s > from_s),
    text TEXT NOT NULL
) STRICT;

CREATE TABLE notice (
    id INTEGER PRIMARY KEY,
    channel TEXT NOT NULL CHECK (channel IN ('webhook', 'mail', 'mqtt')),
    subject TEXT NOT NULL,            -- notices of one subject are sent in order
    notice_id TEXT NOT NULL,          -- the same in every attempt: receivers tell repeats by it
    body TEXT NOT NULL,               -- JSON
    created_s INTEGER NOT NULL,
    due_s INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'sent', 'refused', 'expired', 'displaced')),
    ended_s INTEGER,
    why TEXT NOT NULL DEFAULT '',     -- of the last attempt that failed
    UNIQUE (channel, notice_id)
) STRICT;
CREATE INDEX notice_waiting ON notice (channel, id) WHERE state = 'waiting';

CREATE TABLE quality_cursor (         -- journal rows up to here are in quality_day
    id INTEGER PRIMARY KEY CHECK (id = 1),
    journal_id INTEGER NOT NULL
) STRICT;
INSERT INTO quality_cursor VALUES (1, 0);

CREATE TABLE quality_meter (
    meter_id BLOB PRIMARY KEY,
    first_s INTEGER NOT NULL,         -- start of the earliest interval that ever came
    last_s INTEGER NOT NULL,          -- end of the latest
    capture_period_s INTEGER NOT NULL -- of the latest
) STRICT, WITHOUT ROWID;

CREATE TABLE quality_day (            -- one bit for each interval, by its place in the UTC day
    meter_id BLOB NOT NULL,
    day INTEGER NOT NULL,             -- days since 1970-01-01, UTC
    capture_period_s INTEGER NOT NULL,
    received BLOB NOT NULL,
    timely BLOB NOT NULL,
    measured BLOB NOT NULL,
    PRIMARY KEY (meter_id, day, capture_period_s)
) STRICT, WITHOUT ROWID;
