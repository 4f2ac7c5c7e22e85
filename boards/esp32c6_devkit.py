"""ESP32-C6-DevKitC-1 as a meter that counts S0 or LED pulses."""

# Which pins, and why no others: GPIO 4, 5, 8, 9 and 15 decide at reset how the chip starts; 24 to
# 30 are the flash; 12 and 13 are USB, 16 and 17 the serial port; 0 to 6 are ADC1, left for current
# transformers.

from boards.parts import wifi_way
from boards.parts.esp32_board import Pins, run

CHIP = "esp32c6"
PINS = Pins((18, 19), 20, -1)  # S0+ of import, of export; mains detector; no tamper switch


def main(arguments: "list[str]") -> int:
    """Be a meter, as boards.start or a main.py of one's own calls it."""
    return run(PINS, CHIP, wifi_way, arguments)
