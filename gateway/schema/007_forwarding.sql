-- Schema 7: parked profiles, and how far readings were published.

CREATE TABLE parked (                 -- what settlement did not take; a copy, since the journal is pruned
    journal_id INTEGER PRIMARY KEY,
    meter_id BLOB,                    -- NULL with all of the frame where schema 6 noted a rejection:
    key_epoch INTEGER,                -- then the journal still has it
    frame_counter BLOB,               -- 8 bytes, big-endian
    received_s INTEGER,
    message BLOB,
    code TEXT NOT NULL,               -- settlement's word, or http_400, http_413, http_422
    detail TEXT NOT NULL,
    parked_s INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('parked', 'retrying', 'delivered')),
    tries INTEGER NOT NULL DEFAULT 0, -- how often it was sent again; part of the key of each try
    idempotency_key TEXT,             -- of the try under way
    body BLOB                         -- of the try under way: a frozen batch of one profile
) STRICT;
CREATE INDEX parked_retrying ON parked (journal_id) WHERE state = 'retrying';

INSERT INTO parked (journal_id, code, detail, parked_s, state)
    SELECT journal_id, code, detail, coalesce(ended_s, 0), 'parked'
    FROM rejection JOIN batch ON batch.id = rejection.batch_id;
DROP TABLE rejection;

-- Batches that were parked whole are sent once more: what is good of them is taken now.
UPDATE batch SET state = 'frozen', ended_s = NULL WHERE state = 'parked' AND body IS NOT NULL;

CREATE TABLE publish_cursor (         -- journal rows up to here are with the broker
    id INTEGER PRIMARY KEY CHECK (id = 1),
    journal_id INTEGER NOT NULL
) STRICT;

CREATE TABLE availability (           -- what the broker keeps of each meter, as we published it
    meter_id BLOB PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('online', 'offline'))
) STRICT, WITHOUT ROWID;
