"""WT32-ETH01 as a meter on a cable that counts S0 or LED pulses."""

# Which pins, and why no others: the Ethernet PHY has 0 (its clock comes in there), 16 (switches the
# clock's oscillator on), 18, 19, 21, 22, 23, 25, 26 and 27; 2, 5, 12 and 15 decide at reset how the
# chip starts; 5 and 17 have the board's LEDs; 1 and 3 are the serial port; 35, 36 and 39 have no
# pull-up. There is no USB: docs/boards.md says how to flash it.

from boards.parts.esp32_board import Pins, run
from boards.parts.ethernet import Lan

CHIP = "esp32"
PINS = Pins((32, 33), 14, -1)  # S0+ of import, of export; mains detector; no tamper switch
LAN = Lan(mdc=23, mdio=18, power=16, phy_addr=1, ref_clk=0, clock_out=False)


def main(arguments: "list[str]") -> int:
    """Be a meter, as boards.start or a main.py of one's own calls it."""
    return run(PINS, CHIP, LAN, arguments)
