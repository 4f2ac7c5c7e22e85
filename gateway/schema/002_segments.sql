-- Schema 2: the journal in segments, one for each group commit. Never edit: add a number.
-- The functions pack_rows and segment_crc are the store's own (gateway/upgrade.py).

CREATE TABLE segment (                -- append-only, but for whole segments that were delivered
    first_id INTEGER PRIMARY KEY,     -- frames are numbered without gaps: the next segment's is
    frames INTEGER NOT NULL CHECK (frames > 0), -- first_id + frames
    newest_s INTEGER NOT NULL,        -- when the latest of them was received
    crc INTEGER NOT NULL,             -- of first_id, frames and data
    data BLOB NOT NULL                -- gateway/segments.py
) STRICT;

INSERT INTO segment
SELECT first_id, frames, newest_s, segment_crc(first_id, frames, data), data
FROM (
    SELECT min(id) AS first_id, count(*) AS frames, max(received_s) AS newest_s,
        pack_rows(id, meter_id, key_epoch, frame_counter, received_s, message) AS data
    FROM journal GROUP BY (id - 1) / 1000
);

DROP TABLE journal;
