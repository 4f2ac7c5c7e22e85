"""What locks a chip, step by step, with what each step means: nothing of it can be undone.

The order and the names are Espressif's (docs/en/security/security-features-enablement-workflows).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from host_tools.levels import L2
from host_tools.locking.efuses import Efuses

KEY, DIGEST, BURN, CLOSE = "key", "digest", "burn", "close"
XTS, DIGEST_0 = "XTS_AES_128_KEY", "SECURE_BOOT_DIGEST0"
SECURE_BOOT_FROM = MappingProxyType({"esp32": 300, "esp32s3": 0, "esp32c3": 3, "esp32c6": 0})
_NOTHING: Mapping[str, int] = MappingProxyType({})


class Step(NamedTuple):
    """One thing that is burned."""

    name: str
    kind: str
    meaning: str
    values: Mapping[str, int] = _NOTHING  # of BURN
    field: str = ""  # of CLOSE

    def __str__(self) -> str:
        return f"{self.name}: {self.meaning}"


def steps(chip: str, level: str) -> tuple[Step, ...]:
    """All steps to this level, in their order."""
    classic = chip == "esp32"
    first = (_KEY, *(_ESP32_ENCRYPTION if classic else ()))
    if level != L2:
        return (*first, _counter(classic, 1, "can be reversed a few times with the key file"))
    jtag_and_cable = _ESP32_CLOSING if classic else _closing(chip)
    return (
        *first,
        _counter(classic, 127 if classic else 7, "for good: only this key's program starts"),
        *jtag_and_cable,
        _DIGEST,
        *(() if classic else (_REVOKE,)),
        _signed(classic),
        Step(
            "read protection", CLOSE, "no key block can be made unreadable any more, which would "
            "make secure boot fail", field="RD_DIS",
        ),
        _loader(classic),
    )  # fmt: skip


def burned(efuses: Efuses, step: Step) -> bool:
    """Says whether a step was done on this chip, by whomever."""
    if step.kind == KEY:
        return efuses.is_used("BLOCK1") if _classic(efuses) else bool(efuses.block_for(XTS))
    if step.kind == DIGEST:
        return efuses.is_used("BLOCK2") if _classic(efuses) else bool(efuses.block_for(DIGEST_0))
    if step.kind == CLOSE:
        return not efuses.is_writeable(step.field)
    return all(efuses.value(name) == value for name, value in step.values.items())


def begun(efuses: Efuses, step: Step) -> bool:
    """Says whether anything of a step was burned: a chip that is not as it left the factory."""
    if step.kind in (KEY, DIGEST):
        return burned(efuses, step)
    if step.kind == CLOSE:
        return not efuses.is_writeable(step.field)
    return any(efuses.value(name) for name in step.values)


def _classic(efuses: Efuses) -> bool:
    return efuses.chip == "esp32"


def _counter(classic: bool, value: int, how: str) -> Step:
    name = "FLASH_CRYPT_CNT" if classic else "SPI_BOOT_CRYPT_CNT"
    return Step(
        "flash encryption", BURN, f"the chip deciphers its flash from now on; {how}", {name: value}
    )


def _signed(classic: bool) -> Step:
    name = "ABS_DONE_1" if classic else "SECURE_BOOT_EN"
    meaning = "only programs signed with this key start; lose the key, and no other ever does"
    return Step("secure boot", BURN, meaning, {name: 1})


def _loader(classic: bool) -> Step:
    name = "UART_DOWNLOAD_DIS" if classic else "DIS_DOWNLOAD_MODE"
    meaning = "the cable is dead: nothing is flashed or read over it any more, by anyone"
    return Step("bootloader", BURN, meaning, {name: 1})


def _closing(chip: str) -> tuple[Step, ...]:
    caches = {"DIS_DOWNLOAD_ICACHE": 1} | ({"DIS_DOWNLOAD_DCACHE": 1} if chip == "esp32s3" else {})
    return (
        Step(
            "cable", BURN, "nothing is enciphered or read in clear over the cable any more",
            {"DIS_DOWNLOAD_MANUAL_ENCRYPT": 1, "DIS_DIRECT_BOOT": 1, **caches},
        ),
        Step(
            "debugger", BURN, "JTAG is off for good",
            {"DIS_PAD_JTAG": 1, "DIS_USB_JTAG": 1, "SOFT_DIS_JTAG": 7},
        ),
        Step("locks", CLOSE, "the locks above cannot be changed any more", field="DIS_ICACHE"),
    )  # fmt: skip


_KEY = Step("key", KEY, "this chip gets a flash key of its own, which nobody reads out of it again")
_DIGEST = Step("signing key", DIGEST, "the chip knows whose programs it may start")
_REVOKE = Step(
    "other signing keys", BURN, "no second or third signing key can be added",
    {"SECURE_BOOT_KEY_REVOKE1": 1, "SECURE_BOOT_KEY_REVOKE2": 1},
)  # fmt: skip
_ESP32_ENCRYPTION = (
    Step("cipher", BURN, "every bit of an address changes the cipher", {"FLASH_CRYPT_CONFIG": 0xF}),
)
_ESP32_CLOSING = (
    Step(
        "cable", BURN, "nothing is enciphered or read in clear over the cable any more",
        {"DISABLE_DL_ENCRYPT": 1, "DISABLE_DL_DECRYPT": 1, "DISABLE_DL_CACHE": 1},
    ),
    Step("debugger", BURN, "JTAG is off for good", {"JTAG_DISABLE": 1}),
    Step("locks", CLOSE, "the locks above cannot be changed any more", field="DIS_CACHE"),
)  # fmt: skip
