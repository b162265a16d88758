"""Reads forward through the start of a file, every length checked before use. No Qt here."""

from __future__ import annotations

import struct
from typing import NoReturn

from models.errors import CorruptGgufError, TruncatedGgufError
from models.gguf.source import ByteSource
from models.units import format_bytes

# Vocabulary and merges of the largest tokenizers take about 20 MB. The limit bounds time and
# memory: a sparse file of 400 GB full of zeros would otherwise be walked through to its end.
MAX_HEADER_BYTES = 64 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024

_U64 = struct.Struct("<Q")


class Cursor:
    """A position in a source, with a window of bytes read ahead.

    Every method raises ``TruncatedGgufError`` where the file ends too early and
    ``CorruptGgufError`` where a length or count cannot be true.
    """

    def __init__(self, source: ByteSource, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._source = source
        self._chunk_bytes = chunk_bytes
        self._window = b""
        self._window_start = 0
        self._at = 0

    @property
    def position(self) -> int:
        """The offset in the file of what is read next."""
        return self._window_start + self._at

    @property
    def remaining(self) -> int:
        """How many bytes of the file follow."""
        return self._source.size_bytes - self.position

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        self._fill(size)
        start = self._at
        self._at = start + size
        return self._window[start : self._at]

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        """Return the next values laid out as ``layout``."""
        return layout.unpack(self.take(layout.size))

    def u32(self) -> int:
        """Return the next 32-bit number."""
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        """Return the next 64-bit number."""
        return int.from_bytes(self.take(8), "little")

    def text(self, limit_bytes: int, what: str) -> str:
        """Return the next string; one above ``limit_bytes`` cannot be true."""
        offset = self.position
        size = self.u64()
        if size > limit_bytes:
            self.fail(f"{what} claims {size:,} bytes", offset)
        return self.take(size).decode("utf-8", errors="replace")

    def skip(self, size: int) -> None:
        """Go ``size`` bytes on without reading them."""
        self._move_to(self.position + size)

    def skip_strings(self, count: int) -> None:
        """Go over ``count`` strings, reading their lengths only."""
        # The hot loop: a vocabulary and its merges are 250,000 strings, so no method calls here.
        unpack_from = _U64.unpack_from
        window, at, last_start = self._window, self._at, len(self._window) - 8
        while count > 0:
            if at > last_start:
                self._move_to(self._window_start + at)
                self._fill(8)
                window, at, last_start = self._window, self._at, len(self._window) - 8
            at += 8 + unpack_from(window, at)[0]
            count -= 1
        self._move_to(self._window_start + at)

    def require(self, count: int, each_bytes: int, what: str) -> None:
        """Check that ``count`` things of at least ``each_bytes`` fit into what follows."""
        if count * each_bytes > self.remaining:
            self.beyond(self.position + count * each_bytes, f"the {count:,} {what}")

    def fail(self, what: str, offset: int) -> NoReturn:
        """Raise ``CorruptGgufError`` for what stands at ``offset``."""
        raise corrupt(self._source.name, what, offset)

    def _fill(self, size: int) -> None:
        if len(self._window) - self._at >= size:
            return
        position = self.position
        self._check(position + size)
        wanted = min(max(size, self._chunk_bytes), self._source.size_bytes - position)
        self._window = self._source.read_at(position, wanted)
        self._window_start = position
        self._at = 0
        if len(self._window) < size:
            self.beyond(position + size)

    def _move_to(self, position: int) -> None:
        self._check(position)
        if position <= self._window_start + len(self._window):
            self._at = position - self._window_start
        else:
            self._window, self._window_start, self._at = b"", position, 0

    def _check(self, end: int) -> None:
        if end > self._source.size_bytes or end > MAX_HEADER_BYTES:
            self.beyond(end)

    def beyond(self, end: int, what: str = "its header") -> NoReturn:
        """Raise for bytes up to ``end`` that are not there: cut off, or wrong numbers."""
        position, size_bytes = self.position, self._source.size_bytes
        if end > MAX_HEADER_BYTES:
            limit = format_bytes(MAX_HEADER_BYTES)
            self.fail(f"{what} would end beyond {limit}, as no real header does", position)
        raise TruncatedGgufError(
            f"{self._source.name} ends in the middle of its header: at least "
            f"{end - size_bytes:,} bytes are missing after {size_bytes:,}.",
            offset=position,
            hint="Download it again.",
        )


def corrupt(name: str, what: str, offset: int) -> CorruptGgufError:
    """Return the error for a header that contradicts itself at ``offset``."""
    return CorruptGgufError(
        f"{name} is damaged: {what} (at byte {offset:,}).",
        offset=offset,
        hint="Download it again.",
    )
