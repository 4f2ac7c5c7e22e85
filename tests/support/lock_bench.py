"""A chip on the table to be locked: eFuses in a file, and what would be written to its flash."""

from functools import cache
from pathlib import Path
from typing import Any

from host_tools.flash import Flashed
from host_tools.image import nvs
from host_tools.image.build import Image, build
from host_tools.levels import L0, L2, Level
from host_tools.locking.efuses import Efuses
from host_tools.locking.lockdown import Locked, lock_down
from tests.support.a_firmware import a_firmware, a_signed_firmware
from tests.support.an_image import SETTINGS, a_board, a_small_application, an_identity

METER_ID = an_identity().meter_id
REVISIONS = {"esp32": 301, "esp32s3": 2, "esp32c3": 4, "esp32c6": 1}
OPEN = Level(L0, ())


@cache
def an_image(chip: str, level: str, signing_key: Path) -> Image:
    secure = level == L2
    firmware = a_signed_firmware(chip, signing_key) if secure else a_firmware(chip)
    return build(
        a_board(chip), firmware, a_small_application(), SETTINGS, an_identity(),
        level=level, nvs_key=nvs.new_key() if secure else None,
    )  # fmt: skip


class Bench:
    """A chip on the table: eFuses in a file, and what was written to its flash."""

    def __init__(
        self, folder: Path, signing_key: Path, chip: str = "esp32", revision: int | None = None
    ) -> None:
        self.chip = chip
        self.keys = folder / "keys"
        self.file = folder / "efuses.bin"
        self.signing_key = signing_key
        self.flashed: list[tuple[Image, dict[str, Any]]] = []
        self.told: list[str] = []
        self.asked: list[str] = []
        Efuses.virtual(chip, self.file, revision or REVISIONS[chip])

    def efuses(self, _port: str = "") -> Efuses:
        return Efuses.virtual(self.chip, self.file)

    def write(self, _port: str, image: Image, **options: Any) -> Flashed:
        self.flashed.append((image, options))
        return Flashed(self.chip, b"", [], [], [], [], [])

    def lock(self, level: str, image: Image | None = None, **options: Any) -> Locked:
        defaults: dict[str, Any] = {
            "meter_id": METER_ID,
            "keys": self.keys,
            "confirm": self.confirm,
            "report": self.told.append,
            "signing_key": self.signing_key,
            "dry_run": False,
            "open_efuses": self.efuses,
            "write": self.write,
        }
        image = image or an_image(self.chip, level, self.signing_key)
        return lock_down("a port", level, image, **(defaults | options))

    def confirm(self, question: str) -> str:
        self.asked.append(question)
        return METER_ID.hex()

    def burned(self) -> bool:
        return Efuses.virtual(self.chip, self.file).is_used(
            "BLOCK1" if self.chip == "esp32" else "BLOCK_KEY0"
        )
