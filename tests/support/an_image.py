"""Images of meters for tests: a board, its firmware, its settings, built as a user's are."""

import random
from dataclasses import dataclass
from functools import cache

from host_tools.bundle import Bundle, BundleFile, compile_bundle
from host_tools.image.build import Image, Settings, build
from host_tools.pairing.identity import Identity, fresh
from tests.support.a_firmware import FLASH_BYTES, OFFSETS, a_firmware

SETTINGS = Settings(
    {
        "gateway_host": "192.0.2.1",
        "gateway_port": 8883,
        "imp_per_kwh": 1000,
        "capture_period_s": 900,
        "wifi_name": "cellar",
        "wifi_password": "correct horse",
    }
)


@dataclass(frozen=True)
class ABoard:
    """As much of a board profile as an image needs."""

    name: str = "unix"
    chip: str = "esp32"
    flash_offset: int = 0x1000
    flash_bytes: int = FLASH_BYTES
    ethernet: bool = False


def a_board(chip: str = "esp32", name: str = "unix", flash_bytes: int = FLASH_BYTES) -> ABoard:
    return ABoard(name, chip, OFFSETS[chip], flash_bytes)


def an_identity(seed: int = 7, key_epoch: int = 1) -> Identity:
    return fresh(key_epoch=key_epoch, random=random.Random(seed).randbytes)


@cache
def an_application(board: str = "unix", version: str | None = None) -> Bundle:
    return compile_bundle(board, version)


def a_small_application(version: str = "1.2.3") -> Bundle:
    """Files where an application has them; they run nowhere, and cost nothing to make."""
    noise = random.Random(version)
    names = ("firmware/app.mpy", "wire/frame.mpy", "boards/unix.mpy")
    return Bundle(version, [BundleFile(name, noise.randbytes(5000)) for name in names])


@cache
def an_image(
    chip: str = "esp32", seed: int | None = 7, version: str | None = None, firmware_seed: int = 1
) -> Image:
    """An image for the unix port's board on this chip; seed None: without an identity.

    version: of the application that runs nowhere; None: the real one.
    """
    identity = None if seed is None else an_identity(seed)
    application = a_small_application(version) if version else an_application("unix")
    firmware = a_firmware(chip, seed=firmware_seed)
    return build(a_board(chip), firmware, application, SETTINGS, identity)
