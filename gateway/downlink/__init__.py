"""Commands to meters: queued, sent, repeated, answered; schedules, backfill, new keys."""
