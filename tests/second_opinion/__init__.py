"""A second opinion on settlement: told again from the domain alone, sharing no code with it."""
