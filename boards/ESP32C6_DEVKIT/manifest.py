"""What is frozen into MicroPython for ESP32-C6-DevKitC-1: all of the meter, and that it starts."""

include("$(BOARD_DIR)/../manifest.py", board="esp32c6_devkit", way="wifi")
module("main.py", base_path="$(BOARD_DIR)")
