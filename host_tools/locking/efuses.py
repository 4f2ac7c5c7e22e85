"""The one adapter of espefuse: a chip's eFuses, real or in a file. What is burned stays burned."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import espefuse

from host_tools.closing import Closing
from host_tools.flashing.chip import errors, quiet
from host_tools.flashing.chip_errors import ChipError
from host_tools.image.published import CHIP_IDS

KEY_BLOCKS = tuple(f"BLOCK_KEY{number}" for number in range(5))  # the sixth takes no XTS key


class BurnFailed(ChipError):
    """An eFuse does not read as it was burned."""

    reason = "burn_failed"


class Efuses(Closing):
    """eFuses of one chip; `with Efuses.open(port) as efuses:`. Every method raises DeviceError.

    Each value is read back after it is burned. Keys come out of files and are never shown.
    """

    def __init__(self, commands: Any) -> None:
        self._commands = commands
        self.chip = str(commands.esp.CHIP_NAME).lower().replace("-", "")
        with quiet(), errors():
            self.revision = int(commands.esp.get_chip_revision())
        if self.chip not in CHIP_IDS:
            raise ChipError(f"no board of ours has an {self.chip}; see docs/boards.md")

    @classmethod
    def open(cls, port: str) -> Efuses:
        """Those of the chip on this port, which is brought into its bootloader."""
        with quiet(), errors():
            esp = espefuse.get_esp(port, before="default-reset")
            return cls(espefuse.init_commands(esp=esp, do_not_confirm=True))

    @classmethod
    def virtual(cls, chip: str, path: Path, revision: int | None = None) -> Efuses:
        """Those of a chip that is not there: kept in a file, burned as real ones are."""
        with quiet(), errors():
            options = {"chip": chip, "virt": True, "virt_efuse_file": str(path)}
            commands = espefuse.init_commands(do_not_confirm=True, **options)
            if revision is not None:
                commands.esp.set_chip_revision(revision)
                commands.esp.save_to_file()
            return cls(commands)

    def close(self) -> None:
        """Let go of the port."""
        with suppress(AttributeError, OSError):  # a virtual one has no port
            self._commands.esp._port.close()

    def restart(self) -> None:
        """Let the chip run its program again; what was burned counts from then on."""
        if hasattr(self._commands.esp, "hard_reset"):  # a virtual one has no wires
            with quiet(), errors():
                self._commands.esp.hard_reset()

    # ------------------------------------------------------------ read

    def value(self, name: str) -> int:
        """The number that a field holds."""
        with quiet(), errors():
            return int(self._field(name).get_raw())

    def is_used(self, block: str) -> bool:
        """Says whether a key block holds something, or can hold nothing any more."""
        field = self._field(block)
        with quiet(), errors():
            open_to_us = field.is_readable() and field.is_writeable()
            return not open_to_us or any(field.get_raw())

    def is_readable(self, name: str) -> bool:
        """Says whether programs, and we, can read it."""
        return bool(self._field(name).is_readable())

    def is_writeable(self, name: str) -> bool:
        """Says whether it can still be burned."""
        return bool(self._field(name).is_writeable())

    def block_for(self, purpose: str) -> str | None:
        """The key block that has this purpose already, or None."""
        for block in KEY_BLOCKS:
            with quiet(), errors():
                if self._field(f"KEY_PURPOSE_{block[-1]}").get() == purpose:
                    return block
        return None

    def free_block(self) -> str | None:
        """The first key block that is not used, or None."""
        return next((block for block in KEY_BLOCKS if not self.is_used(block)), None)

    @property
    def has_short_keys(self) -> bool:
        """Says whether an ESP32 was made with the 3/4 coding scheme: its keys have 192 bits."""
        return self.chip == "esp32" and bool(self._commands.efuses.coding_scheme)

    # ------------------------------------------------------------ burn

    def burn(self, values: Mapping[str, int]) -> None:
        """Burn these fields, and read them back."""
        with quiet(), errors():
            self._commands.burn_efuse(dict(values))
        for name, value in values.items():
            if self.is_readable(name) and self.value(name) != value:
                raise BurnFailed(f"{name} does not read as it was burned: use another board")

    def burn_key(self, block: str, path: Path, purpose: str | None) -> None:
        """Burn the key of a file for flash encryption; nobody reads it out again."""
        with quiet(), errors(), path.open("rb") as file:
            if purpose is None:
                self._commands.burn_key([block], [file])
            else:
                self._commands.burn_key([block], [file], [purpose])
        place = "BLOCK1" if purpose is None else block
        if self.is_readable(place) or self.is_writeable(place):
            raise BurnFailed(f"{place} is not closed after its key was burned: use another board")

    def burn_digest(self, path: Path, block: str | None, purpose: str | None) -> None:
        """Burn the digest of a signing key, which stays readable."""
        with quiet(), errors(), path.open("rb") as file:
            if block is None:
                self._commands.burn_key_digest(file)
            else:
                self._commands.burn_key_digest([block], [file], [purpose])

    def protect(self, name: str) -> None:
        """Close a field for burning, and those that share its lock."""
        with quiet(), errors():
            self._commands.write_protect_efuse([name])
        if self.is_writeable(name):
            raise BurnFailed(f"{name} is still open after it was closed: use another board")

    def _field(self, name: str) -> Any:
        return self._commands.efuses[name]
