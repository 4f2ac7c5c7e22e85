"""Drops what nothing of a bundle names any more: functions, classes, values, methods, imports."""

import ast

from host_tools.bundling.short_names import Trees


def live_names(trees: Trees, roots: set[str]) -> set[str]:
    """Every name that is used, from what runs at import and the roots on; in whichever file."""
    waiting: dict[str, list[set[str]]] = {}  # uses of a definition, until its name is live
    todo: list[set[str]] = [set(roots)]
    for tree in trees.values():
        for node in tree.body:
            name = defines(node)
            if name is None:
                todo.append(uses(node))
            else:
                waiting.setdefault(name, []).append(uses(node))
    live: set[str] = set()
    while todo:
        for name in todo.pop() - live:
            live.add(name)
            todo += waiting.pop(name, [])
    return live


def defines(node: ast.stmt) -> str | None:
    """The one name that a statement without any other effect defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return None if node.decorator_list else node.name
    if isinstance(node, ast.AugAssign) or (isinstance(node, ast.Assign) and len(node.targets) == 1):
        target = node.target if isinstance(node, ast.AugAssign) else node.targets[0]
        calls = [part.func for part in ast.walk(node.value) if isinstance(part, ast.Call)]
        if isinstance(target, ast.Name) and all(ast.unparse(f) == "namedtuple" for f in calls):
            return target.id
    return None


def uses(node: ast.AST) -> set[str]:
    """Names, attributes, words in strings, and what is imported as something else."""
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Store):
            found.add(part.id)
        elif isinstance(part, ast.Attribute):
            found.add(part.attr)
        elif isinstance(part, ast.ImportFrom):
            found |= {alias.name for alias in part.names if alias.asname}
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            found |= {part.value} if part.value.isidentifier() else set()
    return found


def drop_dead(tree: ast.Module, live: set[str], reached: set[str]) -> None:
    """Leaves out what is not live, and imports of what neither this file uses nor another has
    from it."""
    tree.body = [node for node in tree.body if defines(node) is None or defines(node) in live]
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | reached
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            node.names = [alias for alias in node.names if (alias.asname or alias.name) in used]
    _Emptied().visit(tree)


class _Emptied(ast.NodeTransformer):
    """An import of nothing is left out; a body never stays empty."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        return node if node.names else ast.Pass()


class Uncalled(ast.NodeTransformer):
    """Methods that nobody can call are left out; Python itself calls those with underscores."""

    def __init__(self, called: set[str]) -> None:
        self._called = called

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        node.body = [
            part
            for part in node.body
            if not isinstance(part, functions) or part.name[:2] == "__" or part.name in self._called
        ] or [ast.Pass()]
        return self.generic_visit(node)
