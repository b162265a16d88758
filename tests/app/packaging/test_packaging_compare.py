"""Two builds side by side: every difference is found, and told in words."""

from __future__ import annotations

import io
import marshal
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from app.packaging import elf, frozen_archive, reasons
from app.packaging.compare import compare, main


def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Return two folders."""
    folders = tmp_path / "one", tmp_path / "two"
    for folder in folders:
        folder.mkdir()
    return folders


def told(first: Path, second: Path) -> dict[str, str]:
    """Return what differs, by place."""
    return {one.place: one.why for one in compare(first, second)}


def compiled(text: str, name: str = "module.py") -> bytes:
    """Return a module as a frozen program keeps it."""
    return marshal.dumps(compile(text, name, "exec"))


def modules(entries: dict[str, bytes]) -> bytes:
    """Return an archive of modules in PyInstaller's layout."""
    body, table = b"", []
    for name, content in entries.items():
        packed = zlib.compress(content)
        table.append((name, (0, 17 + len(body), len(packed))))
        body += packed
    head = b"PYZ\0" + MAGIC_NUMBER + struct.pack("!I", 17 + len(body)) + bytes(5)
    return head + body + marshal.dumps(table)


def executable(start: bytes, archive: bytes) -> bytes:
    """Return a start program with an archive of modules behind it, in PyInstaller's layout."""
    packed, name = zlib.compress(archive), b"PYZ.pyz".ljust(16, b"\0")
    table = struct.pack("!IIIIBc", 18 + len(name), 0, len(packed), len(archive), 1, b"z") + name
    length = len(packed) + len(table) + 88
    cookie = struct.pack(
        "!8sIIII64s", b"MEI\014\013\012\013\016", length, len(packed), len(table), 311, b"python"
    )
    return start + packed + table + cookie


def test_what_is_the_same_differs_in_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = pair(tmp_path)
    for folder in (one, two):
        (folder / "file").write_bytes(b"text")
        (folder / "link").symlink_to("file")
    # Times are no part of what is installed.
    os.utime(two / "file", (0, 0))
    assert main([str(one), str(two)]) == 0
    assert "byte for byte" in capsys.readouterr().out


def test_places_kinds_links_and_rights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = pair(tmp_path)
    (one / "gone").touch()
    (two / "new").touch()
    (one / "kind").touch()
    (two / "kind").mkdir()
    (one / "link").symlink_to("a")
    (two / "link").symlink_to("b")
    for folder, mode in ((one, 0o644), (two, 0o600)):
        (folder / "rights").touch()
        (folder / "rights").chmod(mode)
    assert told(one, two) == {
        "gone": "is only in the first",
        "new": "is only in the second",
        "kind": "is of another kind (file, folder or link)",
        "link": "leads to a and to b",
        "rights": "has other rights: 644 and 600",
    }
    assert main([str(one), str(two)]) == 1
    assert capsys.readouterr().out.endswith("\n5 differences\n")
    assert main([str(one / "nothing"), str(two / "nothing")]) == 2


@pytest.mark.parametrize(
    ("name", "first", "second", "why"),
    [
        ("a.txt", b"1\n2\n", b"1\n3\n", "differs from line 2 on"),
        ("a.txt", b"1\n2\n", b"1\n2\n3\n", "differs from line 3 on, 4 and 6 bytes"),
        ("a.txt", b"1\n2\n", b"2\n1\n", "has the same lines in another order"),
        ("a.json", b'{"a":1,"b":2}', b'{"b":2,\n"a":1}', "says the same in another order"),
        ("a.bin", b"\0\1\2", b"\0\1\3", "differs from byte 2 on"),
        ("a.bin", b"\0/home/a/b\0", b"\0/root/a/b\0", "(paths: /home/a/b and /root/a/b)"),
    ],
)
def test_why_files_differ(name: str, first: bytes, second: bytes, why: str) -> None:
    assert why in reasons.why(name, first, second)


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (compiled("x = 1", "/a/m.py"), compiled("x = 1", "/b/m.py"), "names: /a/m.py and /b/m.py"),
        (compiled("def f(): return 1"), compiled("def f(): return 2"), "other constants in f"),
        (compiled("def f(): pass"), compiled("def f(): g()"), "other code, from f on"),
        (
            bytes(12) + struct.pack("<I", 1) + compiled("x = 1"),
            bytes(12) + struct.pack("<I", 2) + compiled("x = 1"),
            "the same code, stored in another way",
        ),
    ],
)
def test_why_compiled_modules_differ(first: bytes, second: bytes, why: str) -> None:
    assert why in reasons.why("m.pyc", first, second)


def test_archives_are_looked_into(tmp_path: Path) -> None:
    one, two = pair(tmp_path)
    for folder, text, order in ((one, "1", "ab"), (two, "2", "ba")):
        with zipfile.ZipFile(folder / "x.whl", "w") as archive:
            archive.writestr("same.txt", "same")
            archive.writestr("other.txt", text)
        with zipfile.ZipFile(folder / "order.zip", "w") as archive:
            for name in order:
                archive.writestr(zipfile.ZipInfo(name), name)
        with tarfile.open(folder / "times.tar", "w") as archive:
            entry = tarfile.TarInfo("file")
            entry.mtime = int(text)
            archive.addfile(entry, io.BytesIO())
    assert told(one, two) == {
        "x.whl!other.txt": "differs from line 1 on",
        "order.zip": "holds the same in another order",
        "times.tar": "holds the same; its times, modes or packing differ",
    }


def test_the_frozen_executable_is_looked_into(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    same = {"same": compiled("x = 1")}
    one.write_bytes(executable(b"start", modules({**same, "m": compiled("y = 1")})))
    two.write_bytes(executable(b"start", modules({**same, "m": compiled("y = 2")})))
    assert told(one, two) == {"one!z:PYZ.pyz!m": "has other constants in <module> (line 1)"}
    # Another start program, the same modules.
    two.write_bytes(executable(b"START", modules({**same, "m": compiled("y = 1")})))
    assert told(one, two) == {"one!(start)": "differs from line 1 on"}


def test_damaged_archives_are_refused_and_compared_as_bytes(tmp_path: Path) -> None:
    good = executable(b"start", modules({"m": compiled("y = 1")}))
    for data in (b"", b"nothing", good[:-40], good.replace(b"\x78\x9c", b"\x78\x00")):
        with pytest.raises(ValueError, match="frozen executable"):
            frozen_archive.members(data)
    for data in (b"", b"PYZ\0", b"PYZ\0" + bytes(40), modules({"m": b"code"})[:-3]):
        with pytest.raises(ValueError, match="archive of modules"):
            frozen_archive.modules(data)
    one, two = pair(tmp_path)
    (one / "x").write_bytes(b"PK\x03\x04 damaged")
    (two / "x").write_bytes(b"PK\x03\x04 otherwise")
    assert "differs from line 1 on" in told(one, two)["x"]


def test_sections_of_libraries(tmp_path: Path) -> None:
    """The same code linked under two build ids, and other code."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("needs a compiler of Linux")
    files = {}
    for name, value, build_id in (("a", 1, "0x01"), ("b", 1, "0x02"), ("c", 2, "0x01")):
        source, files[name] = tmp_path / "x.c", tmp_path / f"{name}.so"
        source.write_text(f"int x(void) {{ return {value}; }}\n")
        link = ("-shared", "-fPIC", f"-Wl,--build-id={build_id}", "-o", files[name], source)
        subprocess.run(["cc", *link], check=True)
    a, b, c = (file.read_bytes() for file in files.values())
    assert elf.why(a, b) == "differs in .note.gnu.build-id (a digest of the link's input)"
    assert elf.why(a, c) == "differs in .text"
    assert elf.why(a, b"text") == ""
    assert elf.why(a[:60], a) == ""
    with pytest.raises(ValueError, match="damaged"):
        elf.sections(a[:64])
