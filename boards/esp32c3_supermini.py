"""ESP32-C3 SuperMini as a meter for slow pulses: this chip has no pulse counter."""

# It counts by interrupt, which loses pulses when more than eight come while the program is busy
# (parts.irq_input): good for a display, not for settlement. GPIO 2, 8 and 9 decide at reset how the
# chip starts, 11 to 17 are the flash, 18 and 19 USB, 20 and 21 the serial port.

from boards.parts import wifi_way
from boards.parts.esp32_board import Pins, run

CHIP = "esp32c3"
PINS = Pins((3, 4), 5, -1)  # S0+ of import, of export; mains detector; no tamper switch


def main(arguments: "list[str]") -> int:
    """Be a meter, as boards.start or a main.py of one's own calls it."""
    return run(PINS, CHIP, wifi_way, arguments)
