"""Which meters are ours, and how they move from one gateway to another."""
