"""Short codes of the registers on the wire and their OBIS names (IEC 62056-6-1)."""

IMPORT_WH = 1
EXPORT_WH = 2

NAMES = {IMPORT_WH: "1.8.0", EXPORT_WH: "2.8.0"}
CODES = {"1.8.0": IMPORT_WH, "2.8.0": EXPORT_WH}
