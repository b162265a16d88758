"""Border 6 of docs/architecture.md: no module-level state but constants and loggers.

The other borders are import-linter contracts (`make check`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO_ROOT = Path(__file__).resolve().parent.parent
# Calls whose result is a constant, a type or a logger.
HARMLESS_CALLS = {
    "attrgetter", "CFUNCTYPE", "compile", "cast", "c_char_p", "dedent", "encode", "Fraction",
    "frozenset", "getLogger", "get_args", "itemgetter", "MappingProxyType", "namedtuple",
    "NewType", "object", "Path", "POINTER", "sizeof", "sorted", "Struct", "tuple", "TypeVar",
}  # fmt: skip
MUTATING_METHODS = {
    "add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove",
    "setdefault", "sort", "update",
}  # fmt: skip


def module_level_names(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield what a module assigns at its top level."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value


def called_name(node: ast.expr) -> str:
    """Return the last part of what a call names: `re.compile(...)` is "compile"."""
    function = node.func if isinstance(node, ast.Call) else node
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def changed_in_place(node: ast.AST) -> ast.expr | None:
    """Return what a node changes: the `x` of `x.append(1)`, `x[1] = 2` and `del x[1]`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.value if node.func.attr in MUTATING_METHODS else None
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return node.value
    return None


def shadowed_names(tree: ast.Module) -> set[str]:
    """Return names that some function has as its own (an argument or a local variable)."""
    names = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            names |= {
                node.id
                for node in ast.walk(function)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }
    return names


def module_state(source: str) -> list[str]:
    """Return what breaks the border in a module's source, one line each."""
    tree = ast.parse(source)
    assigned = dict(module_level_names(tree))
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    problems = []
    for name, value in assigned.items():
        constant = name.strip("_").isupper() or name.startswith("__")
        call = called_name(value) if isinstance(value, ast.Call) else ""
        if call and not constant and call not in HARMLESS_CALLS | classes:
            problems.append(f"line {value.lineno}: {name} = {call}(...) is made at import")
    shared = set(assigned) - shadowed_names(tree)
    for node in ast.walk(tree):
        changed = changed_in_place(node)
        if isinstance(node, ast.Global):
            problems.append(f"line {node.lineno}: global {', '.join(node.names)}")
        elif isinstance(changed, ast.Name) and changed.id in shared:
            problems.append(f"line {changed.lineno}: {changed.id} of the module is changed")
    return problems


def modules() -> list[Path]:
    """Return every module of the program."""
    return sorted(p for folder in ("app", "models") for p in (REPO_ROOT / folder).rglob("*.py"))


def test_no_module_keeps_state() -> None:
    found = [
        f"{path.relative_to(REPO_ROOT)}, {problem}"
        for path in modules()
        for problem in module_state(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "current = Theme()",
        "CACHE = {}\ndef f(key):\n    CACHE[key] = 1",
        "SEEN = []\ndef f():\n    SEEN.append(1)",
        "ready = False\ndef f():\n    global ready\n    ready = True",
    ],
)
def test_state_is_seen(source: str) -> None:
    assert module_state(source)


@pytest.mark.parametrize(
    "source",
    [
        "import logging\nlogger = logging.getLogger(__name__)",
        "NAMES = {'a': 1}\ndef f(key):\n    return NAMES[key]",
        "import re\npattern = re.compile('x')",
        "items = ()\ndef f():\n    items = []\n    items.append(1)",
    ],
)
def test_constants_and_loggers_are_no_state(source: str) -> None:
    assert module_state(source) == []
