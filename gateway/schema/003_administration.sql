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
