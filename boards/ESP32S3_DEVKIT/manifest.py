"""What is frozen into MicroPython for ESP32-S3-DevKitC-1: all of the meter, and that it starts."""

include("$(BOARD_DIR)/../manifest.py", board="esp32s3_devkit", way="wifi")
module("main.py", base_path="$(BOARD_DIR)")
