"""Short codes of the registers on the wire and their OBIS names (IEC 62056-6-1)."""

IMPORT_WH = 1
EXPORT_WH = 2
IMPORT_VARH = 3
EXPORT_VARH = 4
IMPORT_ZONES_WH = (11, 12, 13, 14)  # zones T1 to T4
EXPORT_ZONES_WH = (21, 22, 23, 24)
DEMAND_W = 31  # highest mean import power over 15 minutes in this calendar month

NAMES = {
    IMPORT_WH: "1.8.0",
    EXPORT_WH: "2.8.0",
    IMPORT_VARH: "3.8.0",
    EXPORT_VARH: "4.8.0",
    11: "1.8.1",
    12: "1.8.2",
    13: "1.8.3",
    14: "1.8.4",
    21: "2.8.1",
    22: "2.8.2",
    23: "2.8.3",
    24: "2.8.4",
    DEMAND_W: "1.6.0",
}
CODES = {name: code for code, name in NAMES.items()}
