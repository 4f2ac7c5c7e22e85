"""What the unix port runs to be a virtual board: modules that a chip has, and its boot."""
