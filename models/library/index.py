"""What the library remembers between two looks at the disk: a small file. No Qt here.

The files on disk are the truth. Remembered is only what they cannot tell: which checkpoints were
on a drive that is absent now, when one was loaded and when it was verified. Losing the file loses
that and nothing else.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from models.errors import FathomError
from models.private_files import make_private_folder
from models.transfer.disk import translated, write_whole
from models.transfer.record import LATEST_S

VERSION = 1
MAX_FILE_BYTES = 50_000_000
# Of checkpoints that are gone the times are kept for a while: a drive may come back.
MAX_STAMPS = 1_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stamps:
    """When something happened to a checkpoint, on the clock of ``time.time``."""

    used_s: float | None = None
    verified_s: float | None = None


@dataclass(frozen=True)
class Remembered:
    """A checkpoint as it was when its drive was there.

    Attributes:
        root: the folder of the library it was found below.
        mount: the folder through which its drive was reached; empty when that was not known.
        files: all its files that were there, the first one first.
    """

    root: Path
    mount: str
    name: str
    title: str
    files: tuple[Path, ...]
    size_bytes: int
    shards: int = 1
    missing: int = 0
    quant: str = ""
    source: str = "added"
    repository: str = ""
    commit: str = ""

    @property
    def path(self) -> Path:
        """Its first file."""
        return self.files[0]


@dataclass(frozen=True)
class _Content:
    checkpoints: tuple[Remembered, ...] = ()
    stamps: Mapping[str, Stamps] = field(default_factory=dict)


class LibraryIndex:
    """The file; every method may be called from any thread, and several programs may use it.

    A change reads the file again first when another program has written it. When it cannot be
    written (a full disk), what it should hold is kept as long as the program runs.

    Args:
        path: of the file; None keeps everything in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._content = _Content()
        self._read_of: tuple[int, int, int] | None = None

    def checkpoints(self) -> tuple[Remembered, ...]:
        """Return the checkpoints that were found last."""
        with self._lock:
            return self._current().checkpoints

    def stamps(self) -> Mapping[str, Stamps]:
        """Return what is known of each checkpoint by the path of its first file."""
        with self._lock:
            return self._current().stamps

    def remember(self, checkpoints: Sequence[Remembered]) -> None:
        """Replace the checkpoints."""
        self._change(lambda old: replace(old, checkpoints=tuple(checkpoints)))

    def forget(self, path: Path) -> None:
        """Forget a checkpoint and all that is known of it."""

        def without(old: _Content) -> _Content:
            stamps = {key: value for key, value in old.stamps.items() if key != str(path)}
            kept = tuple(item for item in old.checkpoints if item.path != path)
            return _Content(kept, stamps)

        self._change(without)

    def stamp(
        self, path: Path, *, used_s: float | None = None, verified_s: float | None = None
    ) -> None:
        """Note when the checkpoint was used or verified; None leaves what is known."""

        def stamped(old: _Content) -> _Content:
            stamps = dict(old.stamps)
            # Taken out first: the newest stands last, and the oldest are dropped.
            known = stamps.pop(str(path), Stamps())
            stamps[str(path)] = Stamps(
                known.used_s if used_s is None else used_s,
                known.verified_s if verified_s is None else verified_s,
            )
            return replace(old, stamps=dict(list(stamps.items())[-MAX_STAMPS:]))

        self._change(stamped)

    def _change(self, change: Callable[[_Content], _Content]) -> None:
        with self._lock:
            old = self._current()
            new = change(old)
            if new != old:
                self._content = new
                self._save()

    def _current(self) -> _Content:
        """Return what the file holds, read again when it is another one than before."""
        identity = _file_identity(self._path)
        if self._path is not None and identity is not None and identity != self._read_of:
            self._content = _read(self._path)
            self._read_of = identity
        return self._content

    def _save(self) -> None:
        if self._path is None:
            return
        # Pure ASCII: names that are no sound Unicode come back as they were.
        text = json.dumps(_to_json(self._content), indent=1)
        try:
            with translated(self._path):
                make_private_folder(self._path.parent)
            write_whole(self._path, text.encode("ascii"))
        except FathomError as error:
            _log.info("What the library remembers cannot be written: %s", error.one_line())
            return
        self._read_of = _file_identity(self._path)


def _file_identity(path: Path | None) -> tuple[int, int, int] | None:
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None


def _read(path: Path) -> _Content:
    """Return what the file holds, nothing when it is damaged or of a newer version."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES)
        document = json.loads(raw)
        if not isinstance(document, dict) or document.get("version") != VERSION:
            raise ValueError("not a file of this version")
    except (OSError, ValueError, RecursionError) as error:
        _log.info("What the library remembered cannot be read: %s", error)
        return _Content()
    checkpoints = document.get("checkpoints")
    stamps = document.get("stamps")
    remembered = (_remembered(item) for item in _list(checkpoints))
    return _Content(
        tuple(item for item in remembered if item is not None),
        {
            str(path): Stamps(_time(item.get("used_s")), _time(item.get("verified_s")))
            for path, item in (stamps if isinstance(stamps, dict) else {}).items()
            if isinstance(item, dict)
        },
    )


def _to_json(content: _Content) -> dict[str, Any]:
    return {
        "version": VERSION,
        "checkpoints": [
            {
                **vars(item),
                "root": str(item.root),
                "files": [str(path) for path in item.files],
            }
            for item in content.checkpoints
        ],
        "stamps": {path: vars(stamps) for path, stamps in content.stamps.items()},
    }


def _remembered(item: Any) -> Remembered | None:
    """Return a checkpoint as it was written down, None when it makes no sense."""
    try:
        files = tuple(Path(str(path)) for path in item["files"])
        found = Remembered(
            root=Path(str(item["root"])),
            mount=str(item["mount"]),
            name=str(item["name"]),
            title=str(item["title"]),
            files=files,
            size_bytes=int(item["size_bytes"]),
            shards=int(item["shards"]),
            missing=int(item["missing"]),
            quant=str(item["quant"]),
            source=str(item["source"]),
            repository=str(item["repository"]),
            commit=str(item["commit"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return found if files and all(path.is_absolute() for path in files) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _time(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < LATEST_S else None
