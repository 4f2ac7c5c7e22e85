-- The first schema: inbox of batches, readings with versions, points, invoices.

CREATE TABLE inbox (
    batch_id        INTEGER PRIMARY KEY,
    idempotency_key TEXT    NOT NULL UNIQUE,
    body_sha256     BLOB    NOT NULL,
    gateway_id      TEXT    NOT NULL,
    first_id        INTEGER NOT NULL,
    last_id         INTEGER NOT NULL,
    received_s      INTEGER NOT NULL,
    answer          BLOB    NOT NULL
) STRICT;

-- frame_order: key epoch (1 byte) and frame counter (8 bytes), big-endian, so that bytes compare
-- like the order in which the meter spoke.
CREATE TABLE readings (
    meter_id         TEXT    NOT NULL,
    obis             TEXT    NOT NULL,
    start_s          INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    capture_period_s INTEGER NOT NULL,
    energy_wh        INTEGER NOT NULL,
    quality          INTEGER NOT NULL,
    register_end_wh  INTEGER NOT NULL,
    frame_order      BLOB    NOT NULL,
    batch_id         INTEGER NOT NULL REFERENCES inbox (batch_id),
    PRIMARY KEY (meter_id, obis, start_s, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE points (
    ppe      TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    stored_s INTEGER NOT NULL,
    body     BLOB    NOT NULL,
    PRIMARY KEY (ppe, version)
) STRICT, WITHOUT ROWID;

-- Who measures what now; rewritten with the newest version of a point.
CREATE TABLE assignments (
    ppe      TEXT    NOT NULL,
    meter_id TEXT    NOT NULL,
    from_s   INTEGER NOT NULL,
    to_s     INTEGER,
    PRIMARY KEY (meter_id, from_s, ppe)
) STRICT, WITHOUT ROWID;

CREATE INDEX assignments_of_point ON assignments (ppe, from_s);

CREATE TABLE invoices (
    invoice_id    INTEGER PRIMARY KEY,
    number        TEXT    NOT NULL UNIQUE,
    ppe           TEXT    NOT NULL,
    start_day     TEXT    NOT NULL,
    end_day       TEXT    NOT NULL,
    point_version INTEGER NOT NULL,
    issued_s      INTEGER NOT NULL,
    body          BLOB    NOT NULL,
    UNIQUE (ppe, start_day, end_day)
) STRICT;

CREATE TRIGGER invoices_are_never_changed BEFORE UPDATE ON invoices
BEGIN
    SELECT RAISE(ABORT, 'an issued invoice is never changed');
END;

CREATE TRIGGER invoices_are_never_removed BEFORE DELETE ON invoices
BEGIN
    SELECT RAISE(ABORT, 'an issued invoice is never removed');
END;
