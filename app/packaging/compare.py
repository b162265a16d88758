"""``python -m app.packaging.compare A B``: which files of two builds differ, and why.

Folders are compared file by file; archives (ZIP, wheels, tar, the frozen executable with the
modules inside) member by member, libraries section by section. Exit code 0 when nothing differs,
1 when something does, 2 when there is nothing to compare.
"""

from __future__ import annotations

import argparse
import io
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.packaging import elf, frozen_archive, reasons

# Deeper than any archive of ours is packed: the executable, its modules, one of them.
_DEEPEST = 4
_MOST_BYTES = 1 << 30
_Members = dict[str, bytes]


@dataclass(frozen=True, order=True)
class Difference:
    """One thing in which two builds differ.

    Attributes:
        place: the file, relative to the build; members of archives after ``!``.
        why: in words.
    """

    place: str
    why: str


def compare(first: Path, second: Path) -> list[Difference]:
    """Return what differs between two folders, or two files, in the order of its place.

    Raises:
        OSError: something cannot be read.
    """
    if first.is_dir() != second.is_dir():
        return [Difference(first.name, "is a folder in one and a file in the other")]
    if not first.is_dir():
        return sorted(_contents(first.name, first.read_bytes(), second.read_bytes()))
    return sorted(_folders(first, second))


def _folders(first: Path, second: Path) -> Iterator[Difference]:
    left, right = _files(first), _files(second)
    yield from _only(left, right)
    for name in left.keys() & right.keys():
        yield from _entries(name, left[name], right[name])


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}


def _only(left: Mapping[str, object], right: Mapping[str, object]) -> Iterator[Difference]:
    yield from (Difference(name, "is only in the first") for name in left.keys() - right.keys())
    yield from (Difference(name, "is only in the second") for name in right.keys() - left.keys())


def _entries(name: str, first: Path, second: Path) -> Iterator[Difference]:
    modes = first.lstat().st_mode, second.lstat().st_mode
    if stat.S_IFMT(modes[0]) != stat.S_IFMT(modes[1]):
        yield Difference(name, "is of another kind (file, folder or link)")
        return
    if first.is_symlink():
        if first.readlink() != second.readlink():
            yield Difference(name, f"leads to {first.readlink()} and to {second.readlink()}")
        return
    if stat.S_IMODE(modes[0]) != stat.S_IMODE(modes[1]):
        rights = " and ".join(oct(stat.S_IMODE(mode))[2:] for mode in modes)
        yield Difference(name, f"has other rights: {rights}")
    if first.is_file() and not _same(first, second):
        yield from _contents(name, first.read_bytes(), second.read_bytes())


def _same(first: Path, second: Path) -> bool:
    """Tell whether two files are equal, without holding both of them."""
    if first.stat().st_size != second.stat().st_size:
        return False
    with first.open("rb") as left, second.open("rb") as right:
        while piece := left.read(1 << 20):
            if piece != right.read(len(piece)):
                return False
    return True


def _contents(name: str, first: bytes, second: bytes, depth: int = 0) -> Iterator[Difference]:
    if first == second:
        return
    pair = _unpacked(first, second) if depth < _DEEPEST else None
    if pair is None:
        words = elf.why(first, second) or reasons.why(name, first, second)
        yield Difference(name, words)
        return
    yield from _archives(name, *pair, depth)


def _archives(name: str, left: _Members, right: _Members, depth: int) -> Iterator[Difference]:
    found = [Difference(f"{name}!{one.place}", one.why) for one in _only(left, right)]
    for member in left.keys() & right.keys():
        found += _contents(f"{name}!{member}", left[member], right[member], depth + 1)
    if not found and list(left) != list(right):
        found = [Difference(name, "holds the same in another order")]
    yield from found or [Difference(name, "holds the same; its times, modes or packing differ")]


def _unpacked(first: bytes, second: bytes) -> tuple[_Members, _Members] | None:
    """Return the members of both, or None when they are not archives of one kind."""
    for read in (frozen_archive.members, frozen_archive.modules, _zip, _tar):
        left, right = _tried(read, first), _tried(read, second)
        if left is not None and right is not None:
            return left, right
    return None


def _tried(read: Callable[[bytes], _Members], data: bytes) -> _Members | None:
    try:
        return read(data)
    except (ValueError, zipfile.BadZipFile, tarfile.TarError):
        return None


def _zip(data: bytes) -> _Members:
    if not data.startswith(b"PK\x03\x04"):
        raise ValueError("no ZIP archive")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
            raise ValueError("too much in it")
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def _tar(data: bytes) -> _Members:
    found: _Members = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for entry in archive:
            file = archive.extractfile(entry) if entry.isreg() else None
            found[entry.name] = file.read() if file else entry.linkname.encode()
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print the differences, one a line; see the module for the exit codes."""
    parser = argparse.ArgumentParser(prog="app.packaging.compare", allow_abbrev=False)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    options = parser.parse_args(argv)
    try:
        found = compare(options.first, options.second)
    except OSError as error:
        sys.stderr.write(f"These cannot be compared: {error}\n")
        return 2
    for one in found:
        sys.stdout.write(f"{one.place}: {one.why}\n")
    sys.stdout.write(f"{len(found)} differences\n" if found else "The same, byte for byte.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
