"""Olimex ESP32-PoE and ESP32-PoE-ISO as a meter on a cable that counts S0 or LED pulses."""

# Which pins, and why no others: the Ethernet PHY has 12 (its power), 17 (its clock, which the chip
# gives), 18, 19, 21, 22, 23, 25, 26 and 27; 0, 2, 5 and 15 decide at reset how the chip starts, and
# 2, 14 and 15 are the SD card's; 34 has the button, 35 the battery, 39 the supply's voltage; 1 and
# 3 are the serial port. The module with PSRAM (-WROVER) has its clock elsewhere and is not meant.

from boards.parts.esp32_board import Pins, run
from boards.parts.ethernet import Lan

CHIP = "esp32"
PINS = Pins((32, 33), 4, -1)  # S0+ of import, of export; mains detector; no tamper switch
LAN = Lan(mdc=23, mdio=18, power=12, phy_addr=0, ref_clk=17, clock_out=True)


def main(arguments: "list[str]") -> int:
    """Be a meter, as boards.start or a main.py of one's own calls it."""
    return run(PINS, CHIP, LAN, arguments)
