"""Gives the names of a bundle short ones: every .mpy carries the text of each name it mentions.

One name gets one other name in all files of the bundle, wherever it stands, so what agreed before
agrees after. A name stays when something that is not in the bundle may call it: what a library has
(library_names.py), any word of a string, a keyword of a call, a module, an error (a log tells its
name), a dunder. Arguments, which no other function sees, then get letters of their own.
The same sources always get the same names.
"""

import ast
import builtins
import keyword
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TypeGuard

from host_tools.bundling.library_names import LIBRARY_NAMES

FIXED = {"main", "VERSION"}  # the loader calls the one; a person looks for the other
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
FIELDS = ("id", "attr", "arg", "name", "asname")  # where an ast node has a name
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_PAIRS = [a + b for a in LETTERS for b in LETTERS]
_BY_COST = [*LETTERS, *(pair for pair in _PAIRS if not keyword.iskeyword(pair))]

Trees = dict[str, ast.Module]  # by path, such as wire/frame.py
Names = dict[str, str]  # by the name in the source


def shorten(trees: Trees, kept: set[str]) -> Names:
    """Rename in place; gives the new names of all but arguments: path:name for what a file has
    to itself."""
    stays = kept | FIXED | LIBRARY_NAMES | set(dir(builtins)) | errors(trees)
    for path, tree in trees.items():
        stays |= told(tree) | set(re.findall(r"\w+", path.removesuffix(".py")))
    short: Names = {}
    elsewhere = {name for tree in trees.values() for name in reached_from_elsewhere(tree)}
    for path, tree in trees.items():
        own = shorten_own(tree, stays | elsewhere)
        short.update({f"{path}:{name}": own[name] for name in own})
    shared = {name for tree in trees.values() for name in shared_names(tree)}
    files = Counter(name for tree in trees.values() for name in set(names(tree)))
    free = iter([n for n in _BY_COST if n not in files and n not in stays])
    for name in sorted(shared - stays, key=lambda name: (-files[name], name)):
        if len(name) > 2 and not name.startswith("__"):
            short[name] = next(free)
    for tree in trees.values():
        Renamed(short).visit(tree)
    called = {name for tree in trees.values() for name in keywords(tree)}
    for tree in trees.values():
        shorten_arguments(tree, called | kept | set(dir(builtins)) | {"self"})
    return short


def shared_names(tree: ast.AST) -> Iterator[str]:
    """Names that a file gives to functions, classes, attributes, fields and its own values."""
    outer = [*getattr(tree, "body", [])]
    for node in ast.walk(tree):
        if isinstance(node, _DEFINITIONS):
            yield node.name
            outer += node.body if isinstance(node, ast.ClassDef) else []
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.Global):
            yield from node.names
        yield from (str(constant.value) for constant in fields(node))
    for statement in outer:
        if not isinstance(statement, _DEFINITIONS):
            yield from (n.id for n in ast.walk(statement) if _stores(n))


def names(tree: ast.AST) -> Iterator[str]:
    """Every name in a tree, wherever it stands."""
    for node in ast.walk(tree):
        for field in FIELDS:
            name = getattr(node, field, None)
            if isinstance(name, str):
                yield name
        yield from (str(constant.value) for constant in fields(node))


def fields(node: ast.AST) -> Iterator[ast.Constant]:
    """The texts of a namedtuple("Name", ("field", ...)): names, and nothing that is told."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "namedtuple":
        given = [
            *node.args[:1],
            *(node.args[1].elts if isinstance(node.args[1], ast.Tuple) else []),
        ]
        yield from (part for part in given if isinstance(part, ast.Constant))


def told(tree: ast.AST) -> set[str]:
    """Words of strings, keywords of calls, and parts of modules' names.

    A docstring tells no name, nor does the text of an error: nothing looks anything up by them.
    """
    silent = {id(constant) for node in ast.walk(tree) for constant in fields(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            silent.add(id(node.value))
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            silent |= {id(part) for given in node.exc.args for part in ast.walk(given)}
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            words |= set() if id(node) in silent else set(re.findall(r"\w+", text))
        elif isinstance(node, ast.Import):
            words |= {part for alias in node.names for part in alias.name.split(".")}
        elif isinstance(node, ast.ImportFrom):
            words |= set((node.module or "").split("."))
    return words | keywords(tree)


def keywords(tree: ast.AST) -> set[str]:
    """The names by which calls give arguments."""
    return {node.arg or "" for node in ast.walk(tree) if isinstance(node, ast.keyword)}


def errors(trees: Trees) -> set[str]:
    """The classes of ours that are raised: built on an error of Python or on one of these."""
    found: set[str] = set()
    classes = [n for tree in trees.values() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    for _ in classes:  # until none is added, at the latest after as many rounds
        before = len(found)
        for node in classes:
            bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            if bases & found or any(_is_error(base) for base in bases):
                found.add(node.name)
        if len(found) == before:
            break
    return found


def _is_error(name: str) -> bool:
    base = getattr(builtins, name, None)
    return isinstance(base, type) and issubclass(base, BaseException)


def _stores(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)


class Renamed(ast.NodeTransformer):
    """Gives names their other ones, wherever they stand."""

    def __init__(self, short: Mapping[str, str]) -> None:
        self._short = short

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for constant in fields(node):
            constant.value = self._short.get(str(constant.value), str(constant.value))
        for field in FIELDS:
            name = getattr(node, field, None)
            if isinstance(name, str):
                setattr(node, field, self._short.get(name, name))
        if isinstance(node, ast.Global | ast.Nonlocal):
            node.names = [self._short.get(name, name) for name in node.names]
        return super().generic_visit(node)


def renamed(script: str, short: Mapping[str, str]) -> str:
    """A script that calls into a bundle, with the bundle's names."""
    return ast.unparse(Renamed(short).visit(ast.parse(script)))


# ------------------------------------------------------------------ names of one file


def reached_from_elsewhere(tree: ast.AST) -> Iterator[str]:
    """Names that a file reaches in others, as far as names tell: attributes and imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ClassDef):  # what a class has is an attribute
            yield from (n.name for n in node.body if isinstance(n, _DEFINITIONS))
            yield from (n.id for n in ast.walk(node) if _stores(n))
        yield from (str(constant.value) for constant in list(fields(node))[1:])


def shorten_own(tree: ast.Module, stays: set[str]) -> Names:
    """Rename what stands at the top of a file and is reached from no other: the same short names
    in every file, which a device then keeps once."""
    own: dict[str, None] = {}
    for node in tree.body:
        if isinstance(node, _DEFINITIONS):
            own[node.name] = None
        else:
            own.update((n.id, None) for n in ast.walk(node) if _stores(n))
    taken = set(names(tree)) | stays
    free = iter([name for name in _BY_COST if name not in taken])
    short = {name: next(free) for name in own if name not in stays and len(name) > 1}
    Renamed(short).visit(tree)
    return short


# ------------------------------------------------------------------ arguments


def shorten_arguments(tree: ast.Module, stays: set[str]) -> None:
    """Letters for arguments, the same ones in every function: a file then has few of them."""
    outside = {n.id for part in _outside(tree) for n in ast.walk(part) if isinstance(n, ast.Name)}
    outside |= set(shared_names(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            outside |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    for function in _outermost(tree):
        inside = list(ast.walk(function))
        arguments = dict.fromkeys(n.arg for n in inside if isinstance(n, ast.arg))
        taken = {n.id for n in inside if isinstance(n, ast.Name)} | set(arguments) | stays
        letters = iter([letter for letter in LETTERS if letter not in taken])
        letter_of = {n: next(letters) for n in arguments if n not in stays | outside and n[1:]}
        for part in inside:
            for field in ("id", "arg"):
                name = getattr(part, field, None)
                if name in letter_of and not isinstance(part, ast.keyword):
                    setattr(part, field, letter_of[name])
            if isinstance(part, ast.Nonlocal):
                part.names = [letter_of.get(name, name) for name in part.names]


def _outermost(tree: ast.Module) -> Iterator[ast.AST]:
    """Functions of the file and of its classes, without those inside of others."""
    waiting: list[ast.AST] = list(tree.body)
    for node in waiting:
        if isinstance(node, _FUNCTIONS):
            if not any(isinstance(part, ast.ClassDef) for part in ast.walk(node)):
                yield node
        else:
            waiting += ast.iter_child_nodes(node)


def _outside(tree: ast.Module) -> Iterator[ast.AST]:
    """What of a file is no function: names there are those of the file or of a class."""
    waiting: list[ast.AST] = list(tree.body)
    for node in waiting:
        if isinstance(node, _FUNCTIONS):
            yield from [*node.decorator_list, *node.args.defaults]
            yield from [default for default in node.args.kw_defaults if default]
        elif isinstance(node, ast.expr):
            yield node
        else:
            waiting += ast.iter_child_nodes(node)
