"""The law of the invoice, pure: no clock, no database, no network, no float."""
