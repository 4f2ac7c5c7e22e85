"""Reads source text and names what the house's manners refuse: size, words, secrets, hosts, paths.

Each check takes a path relative to the repository and its text, and returns findings as sentences.
"""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import pairwise

FILE_LINES_MAX = 350
FUNCTION_LINES_MAX = 70
TOP_LEVEL = (
    "firmware/*", "gateway/*", "host_tools/*", "boards/*", "tests/*", "wire/*", "settlement/*",
    "docs/*", "bench/*", ".ci/run", "Makefile", "README.md", "CHANGELOG.md", "LICENSE",
    "pyproject.toml", "requirements.lock", "requirements-dev.lock", ".gitignore",
)  # fmt: skip
# Put together from pieces, so that this file does not name what it refuses.
HOSTS = re.compile(
    "|".join(
        re.escape(".".join(pieces))
        for pieces in (
            ("pypi", "org"), ("pythonhosted", "org"), ("anaconda", "org"), ("conda-forge", "org"),
            ("githubusercontent", "com"), ("ghcr", "io"), ("docker", "io"), ("npmjs", "org"),
            ("debian", "org"), ("piwheels", "org"), ("quay", "io"), ("proxy", "golang", "org"),
        )
    ),
    re.IGNORECASE,
)  # fmt: skip
MACHINE_PATHS = re.compile(
    r"\.\./" + r"shared\b|(?<![\w.~:-])/(?:work|root|home|Users)/\w|/tmp" + r"/(?:x|contract)/"
)
SECRETS = {
    "meter_key", "frame_key", "master_key", "password", "token", "secret", "credential",
    "private_key", "authorization",
}  # fmt: skip
LOUD = re.compile(
    r"^(print|repr|(self\.)?_?(log|logger|logging)\.\w+|subprocess\.\w+|asyncio\.create_subprocess\w*"
    r"|\w*(Error|Refused|Failed|Missing|Exception))$"
)
COSE_NAME = "COSE_ENCRYPT0"  # RFC 9052 calls it so; not ours to rename
HUSHED = {"len", "type", "bool", "isinstance", "sha256", "hashlib.sha256"}


def strays(path: str) -> list[str]:
    """Finds a file at a place the house does not have."""
    known = any(fnmatch(path, pattern) for pattern in TOP_LEVEL)
    return [] if known else [f"{path}: the top level has no such place (docs/decisions says which)"]


def too_long(path: str, source: str) -> list[str]:
    """Finds files and functions that no longer fit a reader."""
    lines = source.count("\n")
    findings = [f"{path}: {lines} lines, over {FILE_LINES_MAX}"] if lines > FILE_LINES_MAX else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                findings.append(f"{path}:{node.lineno} {node.name} has {length} lines")
    return findings


def unexplained(path: str, source: str) -> list[str]:
    """Finds a Python file whose first line does not say what it is for."""
    first = source.partition("\n")[0]
    said = first.startswith('"""') and len(first) > 10
    return [] if said else [f"{path}: the first line does not say what the file is for"]


def hosts_and_machine_paths(path: str, text: str) -> list[str]:
    """Finds names of package indexes and file hosts, and paths of one person's machine."""
    return [
        f"{path}:{text.count(chr(10), 0, found.start()) + 1} names {found.group()}"
        for pattern in (HOSTS, MACHINE_PATHS)
        for found in pattern.finditer(text)
    ]


def told_secrets(path: str, source: str) -> list[str]:
    """Finds a secret handed to a log, a print, an exception or another program's arguments."""
    findings = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and LOUD.match(ast.unparse(node.func)):
            for value in [*node.args, *(keyword.value for keyword in node.keywords)]:
                findings += [
                    f"{path}:{node.lineno} tells {name} to {ast.unparse(node.func)}"
                    for name in secrets_in(value)
                ]
    return list(dict.fromkeys(findings))


def secrets_in(node: ast.AST) -> Iterator[str]:
    """Yields the names of secrets whose value an expression shows."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in HUSHED:
        return
    name = ""
    if isinstance(node, ast.Name):
        name = node.id
    elif isinstance(node, ast.Attribute):
        name = node.attr
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        name = str(node.slice.value)
    if any(name.lower() == secret or name.lower().endswith("_" + secret) for secret in SECRETS):
        yield name
    for child in ast.iter_child_nodes(node):
        yield from secrets_in(child)


def refused_words(glossary: str) -> set[str]:
    """Returns what the glossary's tables refuse in names: words in `backticks`, last column."""
    words = set()
    for row in glossary.splitlines():
        if row.startswith("|"):
            words |= set(re.findall(r"`(\w+)`", row.strip("| ").rpartition("|")[2]))
    return words


def wrong_words(path: str, source: str, refused: set[str]) -> list[str]:
    """Finds names we give to things (not those of others we call) that use a refused word."""
    findings = []
    for node in ast.walk(ast.parse(source)):
        name = ""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            name = node.attr
        for word in sorted(refused & set(words_of(name))):
            findings.append(f"{path}: {name} says {word}: see docs/glossary.md")
    return list(dict.fromkeys(findings))


def words_of(name: str) -> list[str]:
    """Returns the words of a snake_case or CamelCase name, in lower case, also joined in pairs."""
    name = name.upper().replace(COSE_NAME, "") if COSE_NAME in name.upper() else name
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]
    return words + [f"{a}_{b}" for a, b in pairwise(words)]
