-- The second schema: what invoices are settled from, their corrections, the ledgers, market prices,
-- price lists, estimates of missing intervals, and the month close.

-- One row for each time that the account of a point was settled and something came of it. It pins
-- all inputs: rows with higher numbers were not known then, and rows never change.
CREATE TABLE settlings (
    settling_id   INTEGER PRIMARY KEY,
    ppe           TEXT    NOT NULL,
    settled_s     INTEGER NOT NULL,
    point_version INTEGER NOT NULL,
    batch_id      INTEGER NOT NULL,
    substitute_id INTEGER NOT NULL,
    import_id     INTEGER NOT NULL,
    rules         TEXT    NOT NULL
) STRICT;

CREATE INDEX settlings_of_point ON settlings (ppe, settling_id);

-- Null in both: issued by schema 1. Such an invoice has another form and is never settled again.
ALTER TABLE invoices ADD COLUMN known_on TEXT;
ALTER TABLE invoices ADD COLUMN settling_id INTEGER REFERENCES settlings (settling_id);

CREATE TABLE corrections (
    correction_id INTEGER PRIMARY KEY,
    number        TEXT    NOT NULL UNIQUE,
    invoice_id    INTEGER NOT NULL REFERENCES invoices (invoice_id),
    settling_id   INTEGER NOT NULL REFERENCES settlings (settling_id),
    reason        TEXT    NOT NULL,
    issued_s      INTEGER NOT NULL,
    body          BLOB    NOT NULL
) STRICT;

CREATE INDEX corrections_of_invoice ON corrections (invoice_id, correction_id);

-- `document` is the invoice or correction that shows the entry, '' when none does.
CREATE TABLE ledger (
    entry_id    INTEGER PRIMARY KEY,
    ppe         TEXT    NOT NULL,
    settling_id INTEGER NOT NULL REFERENCES settlings (settling_id),
    recorded_s  INTEGER NOT NULL,
    document    TEXT    NOT NULL,
    account     TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    lot         TEXT    NOT NULL,
    month       TEXT    NOT NULL,
    amount      INTEGER NOT NULL,
    zone        TEXT    NOT NULL,
    note        TEXT    NOT NULL
) STRICT;

CREATE INDEX ledger_of_point ON ledger (ppe, entry_id);
CREATE INDEX ledger_of_document ON ledger (document, entry_id);

-- A cache: may be emptied at any time. `fingerprint` says what the totals were made of.
CREATE TABLE totals (
    ppe         TEXT NOT NULL,
    start_day   TEXT NOT NULL,
    end_day     TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    body        BLOB NOT NULL,
    PRIMARY KEY (ppe, start_day, end_day)
) STRICT, WITHOUT ROWID;

CREATE TABLE imports (
    import_id  INTEGER PRIMARY KEY,
    kind       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    sha256     BLOB    NOT NULL,
    recorded_s INTEGER NOT NULL
) STRICT;

CREATE TABLE rcem (
    month        TEXT    NOT NULL,
    published_on TEXT    NOT NULL,
    pln_per_mwh  TEXT    NOT NULL,
    source       TEXT    NOT NULL,
    import_id    INTEGER NOT NULL REFERENCES imports (import_id),
    PRIMARY KEY (month, published_on)
) STRICT, WITHOUT ROWID;

CREATE TABLE rce (
    start_s    INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    gr_per_mwh INTEGER NOT NULL,
    import_id  INTEGER NOT NULL REFERENCES imports (import_id),
    PRIMARY KEY (start_s, version)
) STRICT, WITHOUT ROWID;

-- The newest list of a name counts.
CREATE TABLE price_lists (
    import_id  INTEGER PRIMARY KEY REFERENCES imports (import_id),
    table_name TEXT NOT NULL,
    suffix     TEXT NOT NULL,
    text       TEXT NOT NULL
) STRICT;

CREATE TABLE substitutes (
    substitute_id    INTEGER PRIMARY KEY,
    meter_id         TEXT    NOT NULL,
    obis             TEXT    NOT NULL,
    start_s          INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    capture_period_s INTEGER NOT NULL,
    energy_wh        INTEGER NOT NULL,
    quality          INTEGER NOT NULL,
    method           TEXT    NOT NULL,
    recorded_s       INTEGER NOT NULL,
    UNIQUE (meter_id, obis, start_s, version)
) STRICT;

-- What a task (a month close, a round of corrections) last made of each point; for people, nothing
-- is settled by it.
CREATE TABLE runs (
    run_id  INTEGER PRIMARY KEY,
    task    TEXT    NOT NULL,
    began_s INTEGER NOT NULL,
    ended_s INTEGER
) STRICT;

CREATE TABLE outcomes (
    task   TEXT    NOT NULL,
    ppe    TEXT    NOT NULL,
    run_id INTEGER NOT NULL REFERENCES runs (run_id),
    state  TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    detail TEXT    NOT NULL,
    PRIMARY KEY (task, ppe)
) STRICT, WITHOUT ROWID;

CREATE INDEX outcomes_of_run ON outcomes (run_id, state, reason, ppe);

CREATE TRIGGER settlings_are_never_changed BEFORE UPDATE ON settlings
BEGIN SELECT RAISE(ABORT, 'a settling is never changed'); END;
CREATE TRIGGER settlings_are_never_removed BEFORE DELETE ON settlings
BEGIN SELECT RAISE(ABORT, 'a settling is never removed'); END;

CREATE TRIGGER corrections_are_never_changed BEFORE UPDATE ON corrections
BEGIN SELECT RAISE(ABORT, 'an issued correction is never changed'); END;
CREATE TRIGGER corrections_are_never_removed BEFORE DELETE ON corrections
BEGIN SELECT RAISE(ABORT, 'an issued correction is never removed'); END;

CREATE TRIGGER ledger_is_never_changed BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'an entry of the ledger is never changed'); END;
CREATE TRIGGER ledger_is_never_removed BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'an entry of the ledger is never removed'); END;

CREATE TRIGGER imports_are_never_changed BEFORE UPDATE ON imports
BEGIN SELECT RAISE(ABORT, 'an import is never changed'); END;
CREATE TRIGGER imports_are_never_removed BEFORE DELETE ON imports
BEGIN SELECT RAISE(ABORT, 'an import is never removed'); END;

CREATE TRIGGER rcem_is_never_changed BEFORE UPDATE ON rcem
BEGIN SELECT RAISE(ABORT, 'a published price is never changed'); END;
CREATE TRIGGER rcem_is_never_removed BEFORE DELETE ON rcem
BEGIN SELECT RAISE(ABORT, 'a published price is never removed'); END;

CREATE TRIGGER rce_is_never_changed BEFORE UPDATE ON rce
BEGIN SELECT RAISE(ABORT, 'a published price is never changed'); END;
CREATE TRIGGER rce_is_never_removed BEFORE DELETE ON rce
BEGIN SELECT RAISE(ABORT, 'a published price is never removed'); END;

CREATE TRIGGER price_lists_are_never_changed BEFORE UPDATE ON price_lists
BEGIN SELECT RAISE(ABORT, 'a price list is never changed'); END;
CREATE TRIGGER price_lists_are_never_removed BEFORE DELETE ON price_lists
BEGIN SELECT RAISE(ABORT, 'a price list is never removed'); END;

CREATE TRIGGER substitutes_are_never_changed BEFORE UPDATE ON substitutes
BEGIN SELECT RAISE(ABORT, 'a substitute is never changed'); END;
CREATE TRIGGER substitutes_are_never_removed BEFORE DELETE ON substitutes
BEGIN SELECT RAISE(ABORT, 'a substitute is never removed'); END;
