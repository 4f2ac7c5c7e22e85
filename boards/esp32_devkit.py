"""ESP32 development board (ESP32-WROOM-32) as a meter that counts S0 or LED pulses."""

# Which pins, and why no others: GPIO 34 to 39 have no pull-up; 0, 2, 5, 12 and 15 decide at reset
# how the chip starts; 6 to 11 are the flash, 16 and 17 the PSRAM of some modules, 1 and 3 the
# serial port; 32 to 39 are ADC1, left for current transformers (ADC2 does not work beside Wi-Fi).

from boards.parts import wifi_way
from boards.parts.esp32_board import Pins, run

CHIP = "esp32"
PINS = Pins(
    (25, 26),  # S0+ of import, of export; S0- to ground
    27,  # mains detector: low while there is mains
    -1,  # tamper switch to ground: 14 is free for it
)


def main(arguments: "list[str]") -> int:
    """Be a meter, as boards.start or a main.py of one's own calls it."""
    return run(PINS, CHIP, wifi_way, arguments)
