-- Schema 3: the audit log, revoked and decommissioned meters.

CREATE TABLE audit (                  -- append-only; each row's hash covers the one before
    id INTEGER PRIMARY KEY,
    at_s INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,             -- JSON
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- A revoked meter keeps its keys and may not connect. A decommissioned one is a tombstone: its keys
-- are gone, its row stays, so that nobody takes its id again under an epoch that was used.
ALTER TABLE meter ADD COLUMN state TEXT NOT NULL DEFAULT 'active'
    CHECK (state IN ('active', 'revoked', 'decommissioned'));
ALTER TABLE meter ADD COLUMN highest_epoch INTEGER NOT NULL DEFAULT 0; -- ever used, retired or not
UPDATE meter SET highest_epoch =
    coalesce((SELECT max(key_epoch) FROM meter_key WHERE meter_key.meter_id = meter.meter_id), 0);
