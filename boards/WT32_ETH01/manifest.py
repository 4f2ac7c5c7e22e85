"""What is frozen into MicroPython for WT32-ETH01: all of the meter, and that it starts."""

include("$(BOARD_DIR)/../manifest.py", board="wt32_eth01", way="ethernet")
module("main.py", base_path="$(BOARD_DIR)")
