-- Schema 5: applications for meters and their roll-out in waves.

CREATE TABLE update_bundle (          -- an application as `update add` took it, every hash checked
    update_id INTEGER PRIMARY KEY CHECK (update_id BETWEEN 0 AND 4294967295),
    version TEXT NOT NULL,
    bytes INTEGER NOT NULL,           -- of all its files
    added_s INTEGER NOT NULL
) STRICT;

CREATE TABLE update_part (            -- what command 7 carries
    update_id INTEGER NOT NULL REFERENCES update_bundle (update_id),
    part INTEGER NOT NULL,
    rows BLOB NOT NULL,
    PRIMARY KEY (update_id, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE update_file (            -- what command 8 carries, piece by piece
    update_id INTEGER NOT NULL REFERENCES update_bundle (update_id),
    file INTEGER NOT NULL,            -- its place in the manifest, from 0
    path TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    content BLOB NOT NULL,
    UNIQUE (update_id, file)
) STRICT;

CREATE TABLE application (            -- what each meter runs, as it says itself
    meter_id BLOB PRIMARY KEY,
    version TEXT,                     -- of its latest status
    since_s INTEGER NOT NULL,         -- when it said so first
    event INTEGER NOT NULL DEFAULT 0  -- the highest number of its events about updates
) STRICT, WITHOUT ROWID;

CREATE TABLE rollout (
    id INTEGER PRIMARY KEY,
    update_id INTEGER NOT NULL REFERENCES update_bundle (update_id),
    version TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('draft', 'running', 'paused', 'done', 'stopped')), -- draft: its meters are being entered
    reason TEXT NOT NULL DEFAULT '',  -- why it was stopped
    wave INTEGER NOT NULL DEFAULT 0,  -- the one that runs, from 0
    stop_after TEXT NOT NULL,         -- failures: a number, or a share of the meters begun
    at_once INTEGER NOT NULL,         -- meters that are sent pieces at the same time
    soak_s INTEGER NOT NULL,
    confirm_s INTEGER NOT NULL,
    patience_s INTEGER NOT NULL,
    actor TEXT NOT NULL,
    started_s INTEGER NOT NULL,
    paused_s INTEGER,
    ended_s INTEGER
) STRICT;

CREATE TABLE rollout_wave (
    rollout_id INTEGER NOT NULL REFERENCES rollout (id),
    wave INTEGER NOT NULL,
    meters INTEGER NOT NULL,
    began_s INTEGER,
    settled_s INTEGER,                -- every meter of it has an outcome: it soaks from here
    PRIMARY KEY (rollout_id, wave)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollout_meter (
    rollout_id INTEGER NOT NULL REFERENCES rollout (id),
    meter_id BLOB NOT NULL,
    wave INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('waiting', 'sending', 'restarting', 'confirmed', 'failed', 'absent', 'stopped')),
    reason TEXT NOT NULL DEFAULT '',
    wanted TEXT NOT NULL DEFAULT 'part 0', -- the piece it asked for last, in its own words
    command INTEGER,                  -- the row of table command that is under way
    pieces INTEGER NOT NULL DEFAULT 0,
    hashes INTEGER NOT NULL DEFAULT 0,   -- times that it refused a file's hash
    flashes INTEGER NOT NULL DEFAULT 0,  -- times that its flash failed
    trials INTEGER NOT NULL DEFAULT 0,   -- times that it was still on trial
    said_confirmed INTEGER NOT NULL DEFAULT 0, -- since its restart: event 11 with value 2
    said_version INTEGER NOT NULL DEFAULT 0,   -- since its restart: a status with the version
    due_s INTEGER,                    -- restarting: fails without a confirmation by then
    changed_s INTEGER NOT NULL,
    PRIMARY KEY (rollout_id, meter_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollout_progress ON rollout_meter (rollout_id, state, wave);
CREATE INDEX rollout_of_meter ON rollout_meter (meter_id, rollout_id);
CREATE INDEX rollout_due ON rollout_meter (due_s) WHERE state = 'restarting';
-- A meter takes one update at a time. Those that wait in a roll-out that was stopped stay as they
-- are: a hundred thousand rows are not rewritten while frames wait.
CREATE UNIQUE INDEX rollout_busy ON rollout_meter (meter_id)
    WHERE state IN ('sending', 'restarting');
