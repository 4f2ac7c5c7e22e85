"""Speed, measured: ratios against peers within one run."""
