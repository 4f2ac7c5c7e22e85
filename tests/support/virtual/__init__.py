"""A board that is not there: one flash file behind a fake ROM bootloader and the unix port."""
