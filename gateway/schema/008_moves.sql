-- Schema 8: shards given up to other gateways and taken over from them.

CREATE TABLE move (                   -- one hand-over of shards; the id stands in its file
    move_id BLOB PRIMARY KEY CHECK (length(move_id) = 16),
    way TEXT NOT NULL CHECK (way IN ('out', 'in')),
    shards TEXT NOT NULL,             -- two hex digits each, with commas
    other TEXT NOT NULL,              -- gateway_id of the other side
    state TEXT NOT NULL CHECK (state IN ('asked', 'given_up', 'forgotten', 'taken')),
    meters INTEGER NOT NULL,
    actor TEXT NOT NULL,
    asked_s INTEGER NOT NULL,
    done_s INTEGER                    -- given up or taken
) STRICT, WITHOUT ROWID;

CREATE TABLE shard (                  -- shards that ever moved; any other is as gateway.toml says
    shard TEXT PRIMARY KEY CHECK (length(shard) = 2),
    term INTEGER NOT NULL CHECK (term > 0), -- grows with each move: an old file is known by it
    away BLOB REFERENCES move (move_id)     -- the move that took it from here
) STRICT, WITHOUT ROWID;

CREATE TABLE moved_meter (            -- as it was when it was given up; gone once forgotten
    move_id BLOB NOT NULL REFERENCES move (move_id),
    meter_id BLOB NOT NULL,
    state BLOB NOT NULL,              -- gateway/shards/move_file.py: MeterState, without its keys
    PRIMARY KEY (move_id, meter_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE moved_key (              -- its keys, and the secrets of its commands
    move_id BLOB NOT NULL,
    meter_id BLOB NOT NULL,
    place INTEGER NOT NULL,
    bound INTEGER NOT NULL,           -- the key epoch, or what else is wrapped along
    wrapped BLOB NOT NULL,
    PRIMARY KEY (move_id, meter_id, place),
    FOREIGN KEY (move_id, meter_id) REFERENCES moved_meter (move_id, meter_id)
) STRICT, WITHOUT ROWID;
