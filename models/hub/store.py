"""Keeps what was read from the hub, so that it is there without a network. No Qt here.

A cache: anything in it may vanish, and whatever cannot be read back byte for byte is as good as
not there. It holds headers and lists of files, never weights.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from models.private_files import make_private_folder
from models.whole_files import write_whole

LIMIT_BYTES = 256 * 1024 * 1024

_VERSION = 1
_SUFFIX = ".entry"
# Above any real entry's first line; a longer one is somebody else's file.
_MAX_LABEL_BYTES = 16 * 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """Something that was read.

    Attributes:
        url: where it came from.
        etag: what tells this content from others at the same address; may be empty.
        size_bytes: of the whole that ``data`` is the start of.
        data: the bytes that are kept.
    """

    url: str
    etag: str
    size_bytes: int
    data: bytes


class HeaderStore:
    """A folder of entries, one for each address; every method may be called from any thread."""

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes

    def get(self, url: str, *, etag: str | None = None) -> Entry | None:
        """Return what is kept of an address, None when there is nothing sound.

        Args:
            url: the address.
            etag: when given, the content must have been this one.
        """
        path = self._path(url)
        try:
            raw = path.read_bytes()
            # The least recently used entries are the first to go.
            os.utime(path)
        except OSError:
            return None
        entry = _unpacked(raw)
        if entry is None or entry.url != url:
            _log.info("An entry of the header cache is damaged and is left out")
            return None
        return entry if etag in (None, entry.etag) else None

    def put(self, entry: Entry) -> None:
        """Keep an entry instead of the one from the same address; a full disk is no error."""
        path = self._path(entry.url)
        try:
            make_private_folder(self._folder)
            write_whole(path, _packed(entry))
            self._make_room(path)
        except OSError as error:
            _log.info("Nothing is kept in the header cache: %s", error)

    def _path(self, url: str) -> Path:
        return self._folder / (hashlib.sha256(url.encode()).hexdigest()[:40] + _SUFFIX)

    def _make_room(self, newest: Path) -> None:
        files = [(path, path.stat()) for path in self._folder.iterdir() if path.is_file()]
        files.sort(key=lambda file: (file[0] == newest, file[1].st_mtime))
        total_bytes = sum(status.st_size for _, status in files)
        for path, status in files:
            if total_bytes <= self._limit_bytes:
                return
            path.unlink(missing_ok=True)
            total_bytes -= status.st_size


def _packed(entry: Entry) -> bytes:
    label = {
        "version": _VERSION,
        "url": entry.url,
        "etag": entry.etag,
        "size_bytes": entry.size_bytes,
        "sha256": hashlib.sha256(entry.data).hexdigest(),
    }
    return json.dumps(label).encode() + b"\n" + entry.data


def _unpacked(raw: bytes) -> Entry | None:
    end = raw.find(b"\n", 0, _MAX_LABEL_BYTES)
    try:
        label = json.loads(raw[: max(end, 0)])
        data = raw[end + 1 :]
        sound = label["version"] == _VERSION
        if not sound or label["sha256"] != hashlib.sha256(data).hexdigest():
            return None
        return Entry(str(label["url"]), str(label["etag"]), int(label["size_bytes"]), data)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
