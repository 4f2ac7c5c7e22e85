"""The register path has no float: a float32 meter under-bills 0.89 % in a million pulses."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INTEGER_FILES = (
    "registers.py",
    "load_profile.py",
    "journal.py",
    "metering.py",
    "saved_state.py",
    "keystore.py",
    "dating.py",
    "clock.py",
    "tariff.py",
    "local_time.py",
    "demand.py",
)
MISSING_ON_MICROPYTHON = {
    "typing",
    "dataclasses",
    "enum",
    "decimal",
    "hmac",
    "contextlib",
    "functools",
    "__future__",
}


def float_uses(source: str) -> list[str]:
    """Where a source could make a float: `/`, a float literal, float() or round()."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"line {node.lineno}: /")
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(f"line {node.lineno}: {node.value}")
        if isinstance(node, ast.Name) and node.id in ("float", "round", "math"):
            found.append(f"line {node.lineno}: {node.id}")
    return found


def device_only_faults(source: str) -> list[str]:
    """What stock MicroPython 1.23 cannot run, outside `if TYPE_CHECKING`."""
    tree = ast.parse(source)
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [name for name in names if name.split(".")[0] in MISSING_ON_MICROPYTHON]
        if isinstance(node, ast.Match):
            found.append("match")
        if isinstance(node, ast.arguments) and node.posonlyargs:
            found.append("positional-only")
    return found


@pytest.mark.parametrize("name", INTEGER_FILES)
def test_the_register_path_is_integer_only(name: str) -> None:
    assert float_uses((ROOT / "firmware" / name).read_text()) == []


@pytest.mark.parametrize(
    "source", ["a / b", "x /= 2", "x = 0.5", "float(x)", "round(x)", "math.floor(x)"]
)
def test_the_float_check_finds_a_float(source: str) -> None:
    assert float_uses(source)


def test_the_float_check_allows_whole_division() -> None:
    assert float_uses("a // b % c") == []


@pytest.mark.parametrize("path", sorted((ROOT / "firmware").glob("*.py")), ids=lambda p: p.name)
def test_the_firmware_uses_only_what_the_device_has(path: Path) -> None:
    assert device_only_faults(path.read_text()) == []


@pytest.mark.parametrize(
    "source", ["import enum", "from typing import Any", "def f(a, /): ...", "match x:\n case 1: 1"]
)
def test_the_device_check_finds_what_the_device_lacks(source: str) -> None:
    assert device_only_faults(source)


def test_the_device_check_allows_types_for_the_reader() -> None:
    assert device_only_faults("if TYPE_CHECKING:\n from typing import Any") == []
