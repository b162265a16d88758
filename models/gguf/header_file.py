"""A checkpoint's files as far as they are here: whole, or their headers only. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HeaderFile:
    """One GGUF file; ``path`` when it lies on this machine, else ``header`` holds its start.

    Attributes:
        name: file name without folder, as llama.cpp's naming of shards needs it.
        size_bytes: of the whole file.
        header: the bytes up to the tensor data, empty when ``path`` is given.
    """

    name: str
    size_bytes: int
    path: Path | None = None
    header: bytes = b""
