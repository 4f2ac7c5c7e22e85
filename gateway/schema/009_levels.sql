-- Schema 9: how well a meter's key is protected from someone who has the meter.

-- As its chip's eFuses said when somebody recorded it (docs/security.md); NULL: nobody said.
ALTER TABLE meter ADD COLUMN security_level TEXT
    CHECK (security_level IN ('L0', 'L1', 'L2'));
