"""ESP32-S3-DevKitC-1 as a meter that counts S0 or LED pulses."""

# Which pins, and why no others: GPIO 0, 3, 45 and 46 decide at reset how the chip starts; 26 to 32
# are the flash, 33 to 37 the octal PSRAM of the modules with R8 in their name; 19 and 20 are USB,
# 43 and 44 the serial port; 48 (38 from version 1.1 on) has the RGB LED; 1 to 10 are ADC1, left for
# current transformers.

from boards.parts import wifi_way
from boards.parts.esp32_board import Pins, run

CHIP = "esp32s3"
PINS = Pins((17, 18), 21, -1)  # S0+ of import, of export; mains detector; no tamper switch


def main(arguments: "list[str]") -> int:
    """Be a meter, as boards.start or a main.py of one's own calls it."""
    return run(PINS, CHIP, wifi_way, arguments)
