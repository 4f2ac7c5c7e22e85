"""What is frozen into MicroPython for Olimex's ESP32-PoE: all of the meter, and that it starts."""

include("$(BOARD_DIR)/../manifest.py", board="olimex_esp32_poe", way="ethernet")
module("main.py", base_path="$(BOARD_DIR)")
