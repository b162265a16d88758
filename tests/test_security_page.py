"""docs/security.md names its proofs: they exist. And what no module of Fathom may contain."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO_ROOT = Path(__file__).resolve().parent.parent
PAGE = REPO_ROOT / "docs" / "security.md"
TEST_NAME = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
# Each of them runs what it reads, or comes with what does.
RUNNING_READERS = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "torch"}
RUNNING_CALLS = {"eval", "exec", "compile", "__import__"}
# They compare builds of one's own, on the builder's machine; app/packaging is in no program.
NEVER_SHIPPED = {"app/packaging/frozen_archive.py", "app/packaging/reasons.py"}


def modules() -> list[Path]:
    return sorted(p for package in ("app", "models") for p in (REPO_ROOT / package).rglob("*.py"))


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def called_builtins(tree: ast.Module) -> set[str]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {node.func.id for node in calls if isinstance(node.func, ast.Name)} & RUNNING_CALLS


def test_every_proof_that_the_page_names_is_a_test() -> None:
    named = TEST_NAME.findall(PAGE.read_text(encoding="utf-8"))
    assert len(named) > 40
    missing = []
    for file, name in named:
        path = REPO_ROOT / file
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        if name not in functions:
            missing.append(f"{file}::{name}")
    assert missing == []


def test_every_threat_has_its_proof() -> None:
    """A section that says what Fathom does says also which test shows it."""
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]
    threats = [text for text in sections if re.match(r"\d+\. ", text)]
    assert len(threats) >= 8
    assert [text.splitlines()[0] for text in threats if not TEST_NAME.search(text)] == []


def test_nothing_that_is_read_is_run() -> None:
    found = []
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        words = set(imports(tree)) & RUNNING_READERS | called_builtins(tree)
        if path.relative_to(REPO_ROOT).as_posix() in NEVER_SHIPPED:
            words -= {"marshal"}
        found += [f"{path.relative_to(REPO_ROOT)}: {word}" for word in sorted(words)]
    assert found == []


def test_every_package_is_locked_by_its_hashes() -> None:
    locks = sorted((REPO_ROOT / "requirements").glob("*.lock"))
    assert len(locks) >= 5
    for lock in locks:
        text = lock.read_text().replace("\\\n", " ")
        entries = [line for line in text.splitlines() if line.strip()]
        assert entries
        for entry in entries:
            assert re.match(r"[\w.-]+==[\w.]+ .*--hash=sha256:[0-9a-f]{64}", entry), (lock, entry)


@pytest.mark.parametrize(
    ("source", "word"),
    [("import pickle", "pickle"), ("from torch.nn import Linear", "torch"), ("eval('1')", "eval")],
)
def test_what_would_run_is_seen(source: str, word: str) -> None:
    tree = ast.parse(source)
    assert word in set(imports(tree)) | called_builtins(tree)
