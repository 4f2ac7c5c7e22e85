"""One seed is one history: days of many meters under faults, checked by an independent oracle."""
