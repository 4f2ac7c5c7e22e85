"""What `doctor` looks at once it can talk to a board: a check each, with a verdict and one step."""
