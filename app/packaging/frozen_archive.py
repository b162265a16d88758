"""What a frozen executable holds: PyInstaller's archive, and the modules inside; for ``compare``.

PyInstaller is not imported (it is a tool of the build, and reads files only). The layout is that of
its version 6: https://pyinstaller.org/en/stable/advanced-topics.html. Archives are those of one's
own builds: a module table is read with marshal, which is not made for strangers' files.
"""

from __future__ import annotations

import marshal
import struct
import zlib

_COOKIE = struct.Struct("!8sIIII64s")
_COOKIE_MAGIC = b"MEI\014\013\012\013\016"
_ENTRY = struct.Struct("!IIIIBc")
_MODULES_MAGIC = b"PYZ\0"
# After it: Python's own magic, then where the table is.
_MODULES_TABLE_AT = 8
START = "(start)"


def members(data: bytes) -> dict[str, bytes]:
    """Return what a frozen executable holds, its start program among it as ``START``.

    Raises:
        ValueError: there is no such archive in it, or a damaged one.
    """
    at = data.rfind(_COOKIE_MAGIC)
    if at < 0:
        raise ValueError("no frozen executable")
    try:
        _, length, table_at, table_length, _, _ = _COOKIE.unpack_from(data, at)
        begin = at + _COOKIE.size - length
        found = {START: data[:begin] + data[at + _COOKIE.size :]}
        place, end = begin + table_at, begin + table_at + table_length
        while place < end:
            step, offset, packed, _, is_packed, kind = _ENTRY.unpack_from(data, place)
            name = data[place + _ENTRY.size : place + step].rstrip(b"\0").decode()
            content = data[begin + offset :][:packed]
            found[f"{kind.decode()}:{name}"] = zlib.decompress(content) if is_packed else content
            place += step
    except (struct.error, zlib.error, UnicodeDecodeError) as error:
        raise ValueError("a damaged frozen executable") from error
    return found


def modules(data: bytes) -> dict[str, bytes]:
    """Return the modules (compiled, not packed) of an archive of modules.

    Raises:
        ValueError: it is none, or a damaged one.
    """
    if not data.startswith(_MODULES_MAGIC):
        raise ValueError("no archive of modules")
    try:
        (table_at,) = struct.unpack_from("!I", data, _MODULES_TABLE_AT)
        table = marshal.loads(data[table_at:])
        packed = {name: data[at : at + length] for name, (_, at, length) in table}
        # A package without code of its own is in the table only.
        return {name: zlib.decompress(one) if one else b"" for name, one in packed.items()}
    except (struct.error, zlib.error, EOFError, TypeError, ValueError) as error:
        raise ValueError("a damaged archive of modules") from error
