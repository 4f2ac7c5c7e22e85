"""Writes what a file calls by a name of its own once, and never changes, where it is used.

For shrink.py: a name at the top of a file costs room where it is set and where it is looked up.
Numbers are written in every place already; a text, or a tuple of texts and numbers, in one at most.
"""

import ast
from collections import Counter
from collections.abc import Iterable


def inline_once(tree: ast.Module, elsewhere: Iterable[str]) -> None:
    """Do so, but for the names that other files or strings may reach."""
    stored, loaded = Counter[str](), Counter[str]()
    said = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (loaded if isinstance(node.ctx, ast.Load) else stored)[node.id] += 1
        elif isinstance(node, ast.arg):
            stored[node.arg] += 1
        elif isinstance(node, ast.Global | ast.Nonlocal):
            stored.update(node.names)
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and _is_constant(node.value):
            name = node.targets[0].id if isinstance(node.targets[0], ast.Name) else ""
            if stored[name] == loaded[name] == 1 and name not in {*elsewhere, *said}:
                found[name] = node.value
    _Inlined(found).visit(tree)


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple):
        return all(_is_constant(element) for element in node.elts)
    if isinstance(node, ast.UnaryOp):
        return _is_constant(node.operand)
    return isinstance(node, ast.Constant)


class _Inlined(ast.NodeTransformer):
    def __init__(self, found: dict[str, ast.expr]) -> None:
        self._found = found

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id in self._found:
            return ast.Pass()
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._found.get(node.id, node)
