"""A chip in its bootloader, and what of its flash must stay."""
