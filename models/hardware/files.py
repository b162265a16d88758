"""Small reads of kernel files that may be missing, forbidden or odd. No Qt here."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str | None:
    """Return the file's text without surrounding space, None when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_int(path: Path) -> int | None:
    """Return the file's first word as a number (decimal or 0x), None when it is none."""
    text = read_text(path)
    if not text:
        return None
    try:
        return int(text.split()[0], 0)
    except ValueError:
        return None


def read_bytes(path: Path, count: int) -> bytes:
    """Return up to ``count`` bytes, empty when the file cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


def link_name(path: Path) -> str:
    """Return the last part of where a symbolic link points, empty when it is none."""
    try:
        return path.readlink().name
    except OSError:
        return ""


def children(folder: Path) -> list[Path]:
    """Return the folder's entries by name, none when it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
