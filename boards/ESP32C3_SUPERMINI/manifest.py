"""What is frozen into MicroPython for ESP32-C3 SuperMini: all of the meter, and that it starts."""

include("$(BOARD_DIR)/../manifest.py", board="esp32c3_supermini", way="wifi")
module("main.py", base_path="$(BOARD_DIR)")
