"""What Fathom is made of, and the bill of it."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path

import pytest

from helpers.fathom_process import assert_one_clear_line, fathom, one_object
from models.errors import BadInputError, InstallationError, StoppedError
from models.parts.parts import DIRECT, LICENCES_DIR, Part, key_of, parts_of_program, read_text
from models.parts.sbom import bill_of_materials
from models.version import VERSION

REPO_ROOT = Path(__file__).resolve().parents[3]
# Without a file of their own in their packages; their licence is named all the same.
WITHOUT_TEXT = {
    "PySide6_Essentials",
    "shiboken6",
    "nvidia-ml-py",
    "tomli_w",
    "llama_cpp_python",
    "latex2mathml",
}


def test_direct_parts_are_those_of_the_project() -> None:
    project = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["project"]
    asked = {key_of(re.split(r"[<>=!~;\[ ]", one)[0]) for one in project["dependencies"]}
    assert {key_of(name) for name in DIRECT} == asked


def test_every_part_has_a_licence_and_nearly_all_its_text() -> None:
    parts = parts_of_program()
    assert (parts[0].name, parts[0].version) == ("Fathom", VERSION)
    names = {part.name for part in parts}
    assert {"Qt", "llama.cpp", "Python", "Inter", "PySide6_Essentials", "cryptography"} <= names
    assert not {"pytest", "mypy", "pip"} & names, "a tool of the tests is no part"
    for part in parts:
        assert part.licence
        assert part.licence != "as its text says", part.name
        for name in part.texts:
            assert len(read_text(part, name)) > 100
    assert {part.name for part in parts if not part.texts} <= WITHOUT_TEXT


def test_libraries_that_were_frozen_along_are_parts_of_that_program_only(tmp_path: Path) -> None:
    here = {part.name for part in parts_of_program()}
    assert not {"GLib", "libgomp", "OpenSSL"} & here
    for name in ("libglib-2.0.so.0", "libgomp.so.1"):
        (tmp_path / name).touch()
    frozen = {part.name: part for part in parts_of_program(tmp_path)}
    assert frozen.keys() - here == {"GLib", "libgomp"}
    for name in ("GLib", "libgomp"):
        texts = "".join(read_text(frozen[name], text) for text in frozen[name].texts)
        assert "GENERAL PUBLIC LICENSE" in texts


def test_every_text_belongs_to_a_part_and_a_missing_one_is_told() -> None:
    listed = json.loads((LICENCES_DIR / "parts.json").read_text())
    kept = {path.relative_to(LICENCES_DIR).as_posix() for path in LICENCES_DIR.rglob("*.txt")}
    assert {name for one in listed for name in one["texts"]} == kept
    assert all(one["texts"] for one in listed)
    part = parts_of_program()[-1]
    for name in ("nothing.txt", "../../../../etc/passwd"):
        with pytest.raises(InstallationError):
            read_text(part, name)


def test_the_bill_has_every_part_once_and_leads_nowhere_else() -> None:
    parts = parts_of_program()
    bill = bill_of_materials(parts)
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    refs = [bill["metadata"]["component"]["bom-ref"], *(c["bom-ref"] for c in bill["components"])]
    assert len(refs) == len(set(refs)) == len(parts)
    assert [one["ref"] for one in bill["dependencies"]] == refs
    assert {ref for one in bill["dependencies"] for ref in one["dependsOn"]} <= set(refs)
    below = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    # Everything can be got to from the program.
    reached, wanted = set[str](), [refs[0]]
    while wanted:
        ref = wanted.pop()
        if ref not in reached:
            reached.add(ref)
            wanted += below[ref]
    assert reached == set(refs)


def test_licences_are_written_as_cyclonedx_wants_them() -> None:
    wanted = {
        "MIT": {"license": {"id": "MIT"}},
        "LGPL-3.0-only": {"license": {"id": "LGPL-3.0-only"}},
        "MIT OR Apache-2.0": {"expression": "MIT OR Apache-2.0"},
        "Something Else": {"license": {"name": "Something Else"}},
        "GPL-3.0-only WITH GCC-exception-3.1": {
            "expression": "GPL-3.0-only WITH GCC-exception-3.1"
        },
    }
    for licence, written in wanted.items():
        program = Part("Fathom", "1.0", licence, "pkg:generic/fathom@1.0", what="application")
        component = bill_of_materials([program])["metadata"]["component"]
        assert component["licenses"] == [written]


def test_the_same_build_has_the_same_bill_and_every_file_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.so").write_bytes(b"code")
    (tmp_path / "link").symlink_to("a/b.so")
    program = parts_of_program()[:1]
    bill = bill_of_materials(program, folder=tmp_path)
    assert bill == bill_of_materials(program, folder=tmp_path)
    (file,) = bill["components"]
    content = hashlib.sha256(b"code").hexdigest()
    assert (file["name"], file["hashes"]) == ("a/b.so", [{"alg": "SHA-256", "content": content}])
    (tmp_path / "a" / "b.so").write_bytes(b"Code")
    changed = bill_of_materials(program, folder=tmp_path)
    assert changed["serialNumber"] != bill["serialNumber"]
    with pytest.raises(StoppedError):
        bill_of_materials(program, folder=tmp_path, stop=lambda: True)
    with pytest.raises(BadInputError):
        bill_of_materials(program, folder=tmp_path / "none")


def test_the_verb(base_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "fathom").write_bytes(b"program")
    done = fathom("sbom", "--json", "--folder", tmp_path / "build", "--basedir", base_dir)
    assert (done.returncode, done.stderr) == (0, "")
    bill = json.loads(done.stdout)
    assert [c["name"] for c in bill["components"] if c["type"] == "file"] == ["fathom"]
    plain = fathom("sbom", "--basedir", base_dir)
    assert "LGPL-3.0-only" in plain.stdout
    missing = fathom("sbom", "--json", "--folder", tmp_path / "no", "--basedir", base_dir)
    assert missing.returncode == 2
    assert one_object(missing.stdout)["error"]["code"] == "bad_input"
    words = fathom("sbom", "--folder", tmp_path / "no", "--basedir", base_dir)
    assert "--json" in assert_one_clear_line(words, code=2)
