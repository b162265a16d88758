"""Which sections of two programs or libraries of Linux differ; for ``compare``."""

from __future__ import annotations

import struct
from collections.abc import Mapping

_MAGIC = b"\x7fELF\x02\x01"
_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
# Takes no room in the file: its size is that of memory.
_NOBITS = 8
# What is known to differ without a difference in the program, with its reason.
_KNOWN = {
    ".note.gnu.build-id": "a digest of the link's input",
    ".gnu_debuglink": "the name and digest of a file with debug symbols",
    ".comment": "the compilers' versions",
}


def sections(data: bytes) -> dict[str, bytes]:
    """Return the contents of a 64-bit little-endian file's sections, by name.

    Raises:
        ValueError: it is no such file, or a damaged one.
    """
    if not data.startswith(_MAGIC):
        raise ValueError("no 64-bit ELF file")
    try:
        header = _HEADER.unpack_from(data)
        table, size, count, names_at = header[5], header[10], header[11], header[12]
        rows = [_SECTION.unpack_from(data, table + at * size) for at in range(count)]
        names = data[rows[names_at][4] :][: rows[names_at][5]] if rows else b""
    except (struct.error, IndexError) as error:
        raise ValueError("a damaged ELF file") from error
    found: dict[str, bytes] = {}
    for row in rows:
        name = names[row[0] :].partition(b"\0")[0].decode("ascii", "replace")
        found[name] = b"" if row[1] == _NOBITS else data[row[4] :][: row[5]]
    return found


def why(first: bytes, second: bytes) -> str:
    """Return in words which sections differ; empty when these are not two ELF files."""
    try:
        left, right = sections(first), sections(second)
    except ValueError:
        return ""
    names = [name for name in (left.keys() | right.keys()) if left.get(name) != right.get(name)]
    if not names:
        return "differs outside its sections"
    return f"differs in {', '.join(_told(name, left, right) for name in sorted(names))}"


def _told(name: str, left: Mapping[str, bytes], right: Mapping[str, bytes]) -> str:
    if name in _KNOWN:
        return f"{name} ({_KNOWN[name]})"
    sizes = len(left.get(name, b"")), len(right.get(name, b""))
    return name if sizes[0] == sizes[1] else f"{name} ({sizes[0]:,} and {sizes[1]:,} bytes)"
