"""How well a meter is locked, and what its gateway knows of it: doctor and the admin interface."""

from typing import Any

import pytest
from esptool.targets import CHIP_DEFS

from host_tools.checks import line, security
from host_tools.checks.case import Asked, Case, facts_of
from host_tools.device import Device
from host_tools.pairing.errors import GatewayRefused, GatewayUnreachable
from tests.support.a_diagnosis import expect, expect_good
from tests.support.a_doctored_board import (
    DoctoredBoard,
    a_case,
    an_identity,
)

HEX_ID = an_identity().hex_id
NOW_S = 1_700_000_000


# ------------------------------------------------------------ locks


class Gateway:
    """Shows one meter, or raises."""

    def __init__(self, row: Any) -> None:
        self.row = row

    def show(self, hex_id: str) -> Any:
        assert hex_id == HEX_ID
        if isinstance(self.row, Exception):
            raise self.row
        return self.row


def with_fuses(board: DoctoredBoard, chip: str, *values: int) -> None:
    """Encryption, secure boot, closed cable; where they share a register, all of it."""
    registers: dict[str, int] = {}
    for (register, _), value in zip(security.FUSES[chip], values, strict=True):
        registers[str(register)] = registers.get(str(register), 0) | value
    board.set(registers=registers)


@pytest.mark.parametrize("name", ["esp32_devkit", "esp32s3_devkit", "esp32c3_supermini",
                                  "esp32c6_devkit"])  # fmt: skip
def test_the_level_is_read_from_the_fuses_of_every_chip(
    board: DoctoredBoard, device: Device, name: str
) -> None:
    device.write_file("/board.txt", f"boards.{name}\n".encode())
    facts = facts_of(device)
    assert facts.profile is not None
    chip = facts.profile.chip
    (_, crypt), (_, boot), (_, cable) = security.FUSES[chip]
    one, two = crypt & -crypt, crypt & -crypt | (crypt & -crypt) << 1
    others = 0xFFFFFFFF & ~(crypt | boot | cable)
    for values, level in (
        ((0, 0, 0), "L0"),
        ((others, others, others), "L0"),
        ((two, 0, 0), "L0"),  # switched off again, while that could be done
        ((one, 0, 0), "L1"),
        ((one | others, boot | others, cable | others), "L2"),
    ):
        with_fuses(board, chip, *values)
        expect_good(security.security(Case(device, facts, Asked())), level)
    for values, level in (((0, boot, 0), "L0"), ((one, boot, 0), "L1"), ((one, 0, cable), "L1")):
        with_fuses(board, chip, *values)
        found = security.security(Case(device, facts, Asked()))
        expect(found, "bad", "half_locked", level, "without")


def test_the_registers_of_the_fuses_are_esptool_s() -> None:
    for chip, fuses in security.FUSES.items():
        its = CHIP_DEFS[chip]
        crypt = (its.EFUSE_SPI_BOOT_CRYPT_CNT_REG, its.EFUSE_SPI_BOOT_CRYPT_CNT_MASK)
        cable = (
            its.EFUSE_DIS_DOWNLOAD_MANUAL_ENCRYPT_REG,
            its.EFUSE_DIS_DOWNLOAD_MANUAL_ENCRYPT,
        )
        if chip == "esp32":
            boot = (
                its.EFUSE_RD_ABS_DONE_REG,
                its.EFUSE_RD_ABS_DONE_0_MASK | its.EFUSE_RD_ABS_DONE_1_MASK,
            )
        else:
            boot = (its.EFUSE_SECURE_BOOT_EN_REG, its.EFUSE_SECURE_BOOT_EN_MASK)
        assert tuple(fuses) == (crypt, boot, cable)


@pytest.mark.parametrize(("asked", "verdict"), [("", "good"), ("L0", "good"), ("L1", "bad")])
def test_a_level_below_what_was_asked_for_is_bad(device: Device, asked: str, verdict: str) -> None:
    found = security.security(a_case(device, asked=Asked(level=asked)))
    assert (found.verdict, found.values["level"]) == (verdict, "L0")


@pytest.mark.parametrize(
    ("row", "verdict", "words"),
    [
        ({"state": "active"}, "good", "this gateway's admin interface records no level"),
        ({"security_level": None}, "good", "none at the gateway"),
        ({"security_level": "L0"}, "good", "L0 at the gateway"),
        ({"security_level": "L1"}, "bad", "L1 at the gateway"),
        ({"security_level": "L2"}, "bad", "L2 at the gateway"),
        (None, "good", "does not know the meter"),
        (GatewayUnreachable("away; wait"), "good", "does not say"),
        (GatewayRefused(403, "forbidden", "no"), "good", "does not say"),
    ],
)
def test_what_the_gateway_records_of_the_level(
    device: Device, row: Any, verdict: str, words: str
) -> None:
    found = security.security(a_case(device, gateway=Gateway(row)))
    assert found.verdict == verdict
    assert words in found.measured


def test_a_computer_has_no_fuses(device: Device) -> None:
    device.write_file("/board.txt", b"boards.unix\n")
    expect(security.security(a_case(device)), "unknown", "no_fuses")


# ------------------------------------------------------------ the gateway's view


@pytest.mark.parametrize(
    ("row", "verdict", "cause"),
    [
        ({"state": "active", "key_epochs": [3], "refused": {}}, "good", ""),
        ({"state": "active", "key_epochs": [3, 4], "refused": {"bad_tag": 2}}, "good", ""),
        ({"state": "active", "key_epochs": [4], "refused": {}}, "good", ""),
        ({"state": "active", "key_epochs": [2], "refused": {}}, "bad", "other_epoch"),
        ({"state": "revoked", "key_epochs": [3], "refused": {}}, "bad", "not_let_in"),
        ({"state": "decommissioned", "key_epochs": [], "refused": {}}, "bad", "not_let_in"),
        (None, "bad", "not_registered"),
        (GatewayUnreachable("away; wait"), "unknown", "admin_away"),
        (GatewayRefused(401, "unauthorized", "no"), "unknown", "admin_refused"),
    ],
)
def test_what_the_gateway_knows(device: Device, row: Any, verdict: str, cause: str) -> None:
    found = line.registered(a_case(device, gateway=Gateway(row)))
    assert (found.verdict, found.cause) == (verdict, cause), found


def test_the_gateway_is_not_asked_without_need(board: DoctoredBoard, device: Device) -> None:
    expect(line.registered(a_case(device)), "unknown", "no_admin")
    board.put_identity(None)
    expect(line.registered(a_case(device, gateway=Gateway(None))), "unknown", "no_meter")
