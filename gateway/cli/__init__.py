"""The gateway's command line: one file for each noun."""
