"""The law of the invoice, pure: no clock, no database, no network, no float."""

# Grows with every change by which the same inputs give another invoice or ledger.
RULES_VERSION = 2
