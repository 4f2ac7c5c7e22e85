"""Reads the tests' source and names those that promise less than they say.

Each check takes a path relative to the repository and its text, and returns findings as sentences.
"""

import ast

PROVING = ("assert", "check", "expect", "must", "refus", "raises", "fail")


def proves_nothing(path: str, source: str) -> list[str]:
    """Finds tests that assert nothing, themselves or through a helper of their file."""
    tree = ast.parse(source)
    functions = {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return [
        f"{path}:{node.lineno} {name} asserts nothing"
        for name, node in functions.items()
        if name.startswith("test_") and not proves(node, functions, set())
    ]


def proves(
    node: ast.AST, functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef], seen: set[str]
) -> bool:
    """Says whether a function can fail: an assert, a raise, or a call to something that proves."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assert | ast.Raise):
            return True
        if isinstance(inner, ast.Call):
            name = ast.unparse(inner.func).rpartition(".")[2]
            if name.lstrip("_").startswith(PROVING):
                return True
            if name in functions and name not in seen:
                seen.add(name)
                if proves(functions[name], functions, seen):
                    return True
    return False


def excuses(path: str, source: str) -> list[str]:
    """Finds skips and expected failures: a test that does not run is a promise nobody keeps."""
    findings = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in ("skip", "skipif", "xfail"):
            findings.append(f"{path}:{node.lineno} uses {ast.unparse(node)}")
        if isinstance(node, ast.Attribute) and node.attr in ("importorskip", "SkipTest"):
            findings.append(f"{path}:{node.lineno} uses {ast.unparse(node)}")
    return findings


def swallowed(path: str, source: str) -> list[str]:
    """Finds `except Exception` (or broader) that answers nothing: pass, continue or `...` alone."""
    findings = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        broad = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
        if broad and all(ast.unparse(line) in ("pass", "continue", "...") for line in node.body):
            findings.append(f"{path}:{node.lineno} swallows every error")
    return findings
