"""Takes the builder's own folders out of where libraries of Linux look for what they link.

Python from source writes its installation's folder into libpython and its extension modules. On
another machine that folder is nobody's, or somebody's who should not decide what Fathom loads.
The parts of the ELF format that are needed: https://refspecs.linuxfoundation.org/elf/elf.pdf
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_MAGIC_64_LITTLE = b"\x7fELF\x02\x01"
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 0, 5, 15, 29
_ENTRY = struct.Struct("<qQ")
_SEGMENT = struct.Struct("<II6Q")


def run_paths(content: bytes) -> list[str]:
    """Return the folders that a file names itself, in their order; none for what is no ELF."""
    entries = [entry for _, entry in _dynamic(content)]
    table = next((_place(content, value) for tag, value in entries if tag == _DT_STRTAB), 0)
    texts = [
        content[table + value : content.index(b"\0", table + value)].decode()
        for tag, value in entries
        if tag in (_DT_RPATH, _DT_RUNPATH)
    ]
    return [folder for text in texts for folder in text.split(":")]


def without_run_paths(content: bytes) -> bytes:
    """Return a file that names no folder itself: the entries behind move up, nothing else moves."""
    found = list(_dynamic(content))
    kept = [entry for _, entry in found if entry[0] not in (_DT_RPATH, _DT_RUNPATH)]
    kept += [(_DT_NULL, 0)] * (len(found) - len(kept))
    changed = bytearray(content)
    for (offset, _), entry in zip(found, kept, strict=True):
        _ENTRY.pack_into(changed, offset, *entry)
    return bytes(changed)


def is_foreign(folder: str) -> bool:
    """Tell whether a folder is neither the library's own nor reached from there."""
    return folder.split("/", maxsplit=1)[0] not in ("$ORIGIN", "${ORIGIN}")


def drop_foreign(file: Path) -> None:
    """Let a file that names a foreign folder name none at all.

    Files of Python name no others; one that needs some of its own would not load, and the tests of
    the frozen program would say so.
    """
    content = file.read_bytes()
    if any(is_foreign(folder) for folder in run_paths(content)):
        file.write_bytes(without_run_paths(content))


def _segments(content: bytes) -> Iterator[tuple[int, ...]]:
    if not content.startswith(_MAGIC_64_LITTLE):
        return
    (start,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    for number in range(count):
        yield _SEGMENT.unpack_from(content, start + number * size)


def _dynamic(content: bytes) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield offset and content of each entry of the dynamic section, the first end included."""
    for kind, _, offset, _, _, size, _, _ in _segments(content):
        if kind == _PT_DYNAMIC:
            for at in range(offset, offset + size, _ENTRY.size):
                tag, value = _ENTRY.unpack_from(content, at)
                yield at, (tag, value)
                if tag == _DT_NULL:
                    return


def _place(content: bytes, address: int) -> int:
    """Return where in the file lies what is loaded to an address.

    Raises:
        ValueError: nothing of the file is.
    """
    for kind, _, offset, virtual, _, size, _, _ in _segments(content):
        if kind == _PT_LOAD and virtual <= address < virtual + size:
            return offset + address - virtual
    raise ValueError(f"nothing of the file is loaded to {address:#x}")
