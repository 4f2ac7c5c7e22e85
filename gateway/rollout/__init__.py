"""Updates for meters, in waves that stop when meters fail."""
