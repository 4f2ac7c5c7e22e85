"""Reads a module's source and names every import or call that breaks the house's arrows.

Each check takes a path relative to the repository (where a file lies decides what it may do) and
its source text, and returns findings as sentences; none means the file keeps to the rule.
"""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch

ARROWS = {
    "wire": {"wire"},
    "firmware": {"firmware", "wire"},
    "boards": {"boards", "firmware", "wire"},
    "gateway": {"gateway", "wire"},
    "settlement": {"settlement", "wire"},
    "host_tools": {"host_tools", "wire"},
}
ROOMS = {*ARROWS, "bench", "tests"}
HARDWARE = {"machine", "network", "esp", "esp32", "espnow"}
PURE = (
    "wire/*.py",
    "settlement/rules/*.py",
    "gateway/acceptance.py",
    "gateway/outages/outages.py",
    "gateway/outages/outage_records.py",
    "gateway/outages/area_outages.py",
    "gateway/outages/notice_text.py",
    "gateway/forwarding/attempts.py",
    "gateway/forwarding/readings.py",
    "gateway/rollout/pieces.py",
    "gateway/rollout/waves.py",
    "gateway/doors/limits.py",
    "gateway/window.py",
    "gateway/intervals.py",
    "gateway/mqtt/packets.py",
    "firmware/*.py",
)
WORLD_MODULES = {
    "sqlite3", "socket", "select", "ssl", "http", "urllib", "aiohttp", "httpx", "requests",
    "random", "secrets", "time", "subprocess", "threading", "tempfile",
}  # fmt: skip
WORLD_NAMES = {
    "os.environ", "os.getenv", "os.urandom", "os.getpid", "datetime.now", "datetime.utcnow",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today", "date.today",
    "uuid.uuid1", "uuid.uuid4",
}  # fmt: skip
IMPORTERS = {"__import__", "import_module", "importlib.import_module"}
RULES_MAY_IMPORT = {"settlement.rules", "settlement.tables"}
CONSTRUCTORS = {"service", "__main__"}
# Classes named after these modules hold a file, a socket or a task.
PARTS = {
    "broker",
    "downlink",
    "endpoint",
    "forwarder",
    "ingest",
    "journal",
    "outbox",
    "registry",
    "store",
}


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Yields (line, dotted name) of everything a module imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield node.lineno, base
            yield from ((node.lineno, f"{base}.{name.name}") for name in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in IMPORTERS:
            names = [name for name in node.args[:1] if isinstance(name, ast.Constant)]
            yield from ((node.lineno, str(name.value)) for name in names)


def broken_arrows(path: str, source: str) -> list[str]:
    """Finds imports from a floor this file may not see, and relative imports."""
    room = path.split("/")[0]
    findings = []
    for line, name in imports(source):
        top = name.split(".")[0]
        if name.startswith("."):
            findings.append(f"{path}:{line} imports {name} relatively: write the whole path")
        elif room in ARROWS and top in ROOMS and top not in ARROWS[room]:
            findings.append(f"{path}:{line} {room} imports {name}")
    return list(dict.fromkeys(findings))


def hardware_outside_boards(path: str, source: str) -> list[str]:
    """Finds imports of a chip's modules outside boards/."""
    if path.startswith(("boards/", "tests/")):
        return []
    return [
        f"{path}:{line} imports {name}: hardware names live in boards/"
        for line, name in imports(source)
        if name.split(".")[0] in HARDWARE
    ]


def world_in_pure_places(path: str, source: str) -> list[str]:
    """Finds clocks, chance, files, sockets and databases where only values may pass."""
    if not is_pure(path):
        return []
    findings = [
        f"{path}:{line} imports {name}: pass it in"
        for line, name in imports(source)
        if name.split(".")[0] in WORLD_MODULES or name in WORLD_NAMES
    ]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in WORLD_NAMES:
            findings.append(f"{path}:{node.lineno} uses {ast.unparse(node)}: pass it in")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("open", "input", "print"):
            findings.append(f"{path}:{node.lineno} calls {ast.unparse(node.func)}: pass it in")
    return list(dict.fromkeys(findings))


def is_pure(path: str) -> bool:
    """Says whether a file is one of those that never ask the world for anything."""
    return any(fnmatch(path, pattern) for pattern in PURE)


def impure_rules(path: str, source: str) -> list[str]:
    """Finds what law may not know: the rest of settlement, and floats."""
    if not path.startswith("settlement/rules/"):
        return []
    findings = [
        f"{path}:{line} rules import {name}"
        for line, name in imports(source)
        if name.startswith("settlement.") and not allowed_to_rules(name)
    ]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            findings.append(f"{path}:{node.lineno} holds the float {node.value}")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "float":
            findings.append(f"{path}:{node.lineno} makes a float")
    return findings


def allowed_to_rules(name: str) -> bool:
    """Says whether a module inside settlement is law or a table of law."""
    return any(name == room or name.startswith(room + ".") for room in RULES_MAY_IMPORT)


def stray_wiring(path: str, source: str) -> list[str]:
    """Finds construction outside service.py and __main__.py of gateway and settlement.

    Parts (journal.py: Journal) are handed in, so that a test can hand in a fake; and only __main__
    knows the service and the command line.
    """
    room, stem = path.split("/")[0], path.rpartition("/")[2].removesuffix(".py")
    if room not in ("gateway", "settlement") or stem in CONSTRUCTORS:
        return []
    findings, parts = [], set()
    for line, name in imports(source):
        if name.startswith((f"{room}.service", f"{room}.__main__")):
            findings.append(f"{path}:{line} imports {name}: only __main__ may")
        if name in ("sys.argv", "argparse"):
            findings.append(f"{path}:{line} imports {name}: only __main__ reads the command line")
        module, _, last = name.rpartition(".")
        named_after = module.rpartition(".")[2]
        if named_after in PARTS and last.lower() == named_after and last[:1].isupper():
            parts.add(last)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in parts:
            findings.append(f"{path}:{node.lineno} constructs {ast.unparse(node.func)}: pass it in")
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.argv":
            findings.append(f"{path}:{node.lineno} reads sys.argv: only __main__ may")
    return list(dict.fromkeys(findings))
