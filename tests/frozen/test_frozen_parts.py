"""What the frozen program says it is made of: every file, every library, with its licence."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from helpers.frozen_program import FrozenProgram
from models.parts.sbom import PART

ROOT = Path(__file__).parents[2]
LICENCES = ROOT / "resources" / "licences"
# Packages that bring no text; the part with their texts.
TOLD_ELSEWHERE = {
    "PySide6_Essentials": "Qt",
    "shiboken6": "Qt",
    "llama_cpp_python": "llama.cpp",
}


@cache
def bill_of(program: Path) -> dict[str, Any]:
    """Return the program's own bill of materials."""
    frozen = FrozenProgram(program)
    found: dict[str, Any] = json.loads(frozen.output("sbom", "--json", "--folder", program))
    return found


@pytest.fixture
def bill(frozen: FrozenProgram) -> dict[str, Any]:
    return bill_of(frozen.folder)


def parts(bill: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the components that are no files, by their references."""
    listed = [bill["metadata"]["component"], *bill["components"]]
    return {one["bom-ref"]: one for one in listed if one["type"] != "file"}


def owners(bill: dict[str, Any]) -> dict[str, str]:
    """Return the name of the part of each file."""
    named = {ref: one["name"] for ref, one in parts(bill).items()}
    files = (one for one in bill["components"] if one["type"] == "file")
    return {
        one["name"]: next(
            (named[p["value"]] for p in one.get("properties", ()) if p["name"] == PART), ""
        )
        for one in files
    }


def test_every_file_is_in_the_bill_with_its_digest_and_part(
    frozen: FrozenProgram, bill: dict[str, Any]
) -> None:
    digests = {
        one["name"]: one["hashes"][0]["content"]
        for one in bill["components"]
        if one["type"] == "file"
    }
    there = [p for p in frozen.folder.rglob("*") if p.is_file() and not p.is_symlink()]
    assert digests.keys() == {path.relative_to(frozen.folder).as_posix() for path in there}
    # The smallest are enough to show that the digests are those of the files.
    for path in sorted(there, key=lambda path: path.stat().st_size)[:20]:
        name = path.relative_to(frozen.folder).as_posix()
        assert digests[name] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [name for name, part in owners(bill).items() if not part] == []


def test_every_library_has_the_licence_of_its_part(
    frozen: FrozenProgram, bill: dict[str, Any]
) -> None:
    listed = {one["name"]: one for one in json.loads((LICENCES / "parts.json").read_text())}
    for place, owner in owners(bill).items():
        path = frozen.folder / place
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        part = TOLD_ELSEWHERE.get(owner, owner)
        if part in listed:
            texts = [frozen.inside / "resources/licences" / name for name in listed[part]["texts"]]
        else:
            stem = part.lower().replace("-", "_")
            (metadata,) = frozen.inside.glob(f"{stem}-*.dist-info")
            texts = [text for text in metadata.rglob("*") if "LICENSE" in text.name.upper()]
        assert texts, (place, part)
        assert all(text.stat().st_size > 100 for text in texts), (place, part)


def test_libraries_of_the_system_tell_their_versions(bill: dict[str, Any]) -> None:
    """What somebody has to know when a hole in OpenSSL becomes known."""
    found = {one["name"]: one for one in parts(bill).values()}
    assert found["OpenSSL"]["version"].startswith("3.")
    unknown = {name for name, one in found.items() if one["type"] == "library"} - {
        name for name, one in found.items() if one.get("version")
    }
    # Qt's wheel brings it and says no version of it.
    assert unknown <= {"ICU"}


def test_nothing_tells_where_it_was_built(frozen: FrozenProgram) -> None:
    """Neither the builder's home folder nor how the packages were installed there."""
    assert list(frozen.inside.glob("*.dist-info/RECORD")) == []
    assert list(frozen.inside.glob("*.dist-info/direct_url.json")) == []
    here = str(ROOT).encode()
    for path in frozen.folder.rglob("*"):
        if path.is_file() and path.suffix in (".json", "", ".txt", ".toml"):
            assert here not in path.read_bytes(), path


def test_everybody_may_read_it(frozen: FrozenProgram) -> None:
    for path in (frozen.folder, *frozen.folder.rglob("*")):
        if not path.is_symlink():
            wanted = 0o555 if path.is_dir() or path == frozen.file else 0o444
            assert path.stat().st_mode & wanted == wanted, path
