"""A virtual board for your own hands: `python -m tests.support.virtual FOLDER` prints its port.

Give that port to `make pair PORT=...` and to mpremote. esptool, and what uses it, reaches the reset
wires when it runs with the PYTHONPATH that is printed beside it.
"""

import argparse
import signal
from pathlib import Path

from tests.support.virtual import an_image, chips
from tests.support.virtual.virtual_board import VirtualBoard


def main() -> None:
    """Run the board until Ctrl-C; its flash stays in the folder."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.virtual", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--chip", choices=chips.CHIPS, default="esp32")
    parser.add_argument("--blank", action="store_true", help="erased flash; without it a meter")
    asked = parser.parse_args()
    is_new = not (asked.folder / "flash.bin").exists()
    board = VirtualBoard(asked.folder, asked.chip)
    if is_new and not asked.blank:
        an_image.flash(board, an_image.application())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with board:
        print(f"port {board.port}, PYTHONPATH={board.environment()['PYTHONPATH']}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopped; its flash stays in", asked.folder)


if __name__ == "__main__":
    main()
