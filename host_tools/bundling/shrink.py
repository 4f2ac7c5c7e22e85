"""Leaves out of a device's source what no device runs: host branches, named numbers, dead names.

On all files of a bundle at once, and nothing of it changes what the meter does: `if TYPE_CHECKING:`
and what is tried with a host's library goes; a whole number with a NAME is written where it is
used, in other files too, as MicroPython's own const() does inside one file; errors of wire/ keep
their names and lose their texts, which a meter never tells; functions, classes and values at the
top of a file that nothing names any more go, and imports of what went, and methods that nothing of
ours names and no library knows; then short_names.py gives what is left short names. The fields of a
namedtuple become one text, which takes less room than a tuple of them.
"""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple, TypeGuard

from host_tools.bundling.dead_names import Uncalled, defines, drop_dead, live_names, uses
from host_tools.bundling.inline import inline_once
from host_tools.bundling.library_names import LIBRARY_NAMES
from host_tools.bundling.short_names import (
    FIXED,
    Names,
    Trees,
    fields,
    names,
    shared_names,
    shorten,
)

HOST_MODULES = {"cbor2", "cryptography", "wire.unpack"}  # tried first where there is a host
ERRORS = "wire/errors.py"
ROOTS = {"main", "__init__"}
_NUMBER_NAME = re.compile(r"_?[A-Z][A-Z0-9_]*$")

Numbers = dict[str, dict[str, int]]  # by module, such as wire.frame


class Shrunk(NamedTuple):
    """What a device gets, and how to read it."""

    sources: dict[str, str]  # by path
    names: Names  # the name in our source -> the name on the device


def shrunk(sources: dict[str, str], kept: tuple[str, ...] = (), outside: str = "") -> Shrunk:
    """The same files, smaller; of the `kept` ones every function, class, value and name stays.

    outside: the source of what the bundle talks to by name and does not hold: its names stay, too.
    """
    trees = {path: _Folded().visit(ast.parse(source)) for path, source in sources.items()}
    numbers: Numbers = {}
    for path in _in_order_of_imports(trees):
        numbers[_module(path)] = named_numbers(trees[path], numbers)
    for path, tree in trees.items():
        known = numbers[_module(path)]
        _Inlined(known, _modules_by_name(tree, numbers), numbers).visit(tree)
        if path.startswith("wire/"):
            _Untold(_classes(trees.get(ERRORS))).visit(tree)
    roots = {name for path in kept for node in trees[path].body if (name := defines(node))}
    live = live_names(trees, ROOTS | roots)
    reached = {name for tree in trees.values() for name in _reached(tree, numbers)}
    stays = {name for path in kept for name in names(trees[path])}
    stays |= set(shared_names(ast.parse(outside))) | FIXED
    for path, tree in trees.items():
        theirs = {name for module, name in reached if module == _module(path)}
        drop_dead(tree, live, theirs)
        inline_once(tree, theirs | stays)
    called = {name for tree in trees.values() for name in uses(tree)} | stays | LIBRARY_NAMES
    for tree in trees.values():
        Uncalled(called).visit(tree)
    short = shorten(trees, stays)
    for tree in trees.values():
        _Joined().visit(tree)
    written = {path: ast.unparse(ast.fix_missing_locations(t)) for path, t in trees.items()}
    return Shrunk(written, short)


def is_of_a_host(node: ast.Try) -> bool:
    """Whether a host's library is tried there; a device takes what is done without it."""
    tried = set(_imports(node.body))
    return bool(HOST_MODULES & (tried | {name.split(".")[0] for name in tried}))


class _Folded(ast.NodeTransformer):
    """Takes the branches that a device takes; it has no annotations."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.orelse or ast.Pass() if ast.unparse(node.test) == "TYPE_CHECKING" else node

    def visit_Try(self, node: ast.Try) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.handlers[0].body if is_of_a_host(node) else node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if node.value is None:
            return ast.Pass()
        return ast.Assign([node.target], node.value)


class _Inlined(ast.NodeTransformer):
    """Writes numbers for their names, and leaves out what gave them the names."""

    def __init__(self, known: dict[str, int], modules: dict[str, str], numbers: Numbers) -> None:
        self._known = known
        self._modules = modules
        self._numbers = numbers

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        theirs = self._numbers.get(node.module or "", {})
        node.names = [alias for alias in node.names if alias.name not in theirs]
        return node if node.names else ast.Pass()

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        target = node.targets[0]
        return ast.Pass() if isinstance(target, ast.Name) and target.id in self._known else node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and node.id in self._known:
            return ast.Constant(self._known[node.id])
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id in self._modules:
            theirs = self._numbers[self._modules[node.value.id]]
            return ast.Constant(theirs[node.attr]) if node.attr in theirs else node
        return node


def named_numbers(tree: ast.Module, numbers: Numbers) -> dict[str, int]:
    """The names in a file that are one whole number for good, its own and imported ones."""
    stored = [node.id for node in ast.walk(tree) if _stores(node)]
    stored += [node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)]
    found = _imported_numbers(tree, numbers)
    for node in tree.body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        name = node.targets[0].id
        if len(node.targets) == 1 and _NUMBER_NAME.match(name) and stored.count(name) == 1:
            value = _whole_number(node.value, found)
            if value is not None:
                found[name] = value
    return found


def _whole_number(node: ast.expr, known: dict[str, int]) -> int | None:
    """Its value when it is made of whole numbers and operators only."""
    for part in ast.walk(node):
        constant = isinstance(part, ast.Constant) and type(part.value) is int
        name = isinstance(part, ast.Name) and part.id in known
        operation = isinstance(part, ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop)
        if not (constant or name or operation or isinstance(part, ast.Load)):
            return None
    # Nothing but the whole numbers and operators of our own source gets here.
    value = eval(compile(ast.Expression(node), "", "eval"), {}, dict(known))  # noqa: S307
    return value if type(value) is int else None


def _stores(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _imports(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module or ""
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _imported_numbers(tree: ast.Module, numbers: Numbers) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            theirs = numbers.get(node.module or "", {})
            for alias in node.names:
                if alias.name in theirs:
                    found[alias.asname or alias.name] = theirs[alias.name]
    return found


def _modules_by_name(tree: ast.Module, numbers: Numbers) -> dict[str, str]:
    """The name a file has for a module of ours -> that module."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                if module in numbers:
                    found[alias.asname or alias.name] = module
    return found


def _in_order_of_imports(trees: Trees) -> list[str]:
    """Paths so that what a file imports comes before it; a circle is cut anywhere."""
    paths = {_module(path): path for path in trees}
    order: list[str] = []
    begun: set[str] = set()

    def visit(path: str) -> None:
        if path not in begun:
            begun.add(path)
            for name in _imports(trees[path].body):
                if name in paths:
                    visit(paths[name])
            order.append(path)

    for path in trees:
        visit(path)
    return order


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _reached(tree: ast.Module, numbers: Numbers) -> Iterator[tuple[str, str]]:
    """What a file has of others, as (module, name)."""
    modules = _modules_by_name(tree, numbers)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield modules.get(node.value.id, ""), node.attr


# ------------------------------------------------------------------ texts


class _Joined(ast.NodeTransformer):
    """namedtuple("Pair", ("a", "b")) becomes namedtuple("Pair", "a b")."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        found = [str(constant.value) for constant in fields(node)][1:]
        if found:
            node.args[1] = ast.Constant(" ".join(found))
        return node


class _Untold(ast.NodeTransformer):
    """Raises the same errors without their texts."""

    def __init__(self, errors: set[str]) -> None:
        self._errors = errors

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) in self._errors:
            node.exc = node.exc.func
        return node


def _classes(tree: ast.Module | None) -> set[str]:
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef)} if tree else set()
