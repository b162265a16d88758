"""What somebody decided about checkpoints that deserve a look, kept in a small file. No Qt here."""

from __future__ import annotations

import enum
import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.checks.findings import CheckFindings
from models.private_files import make_private_folder
from models.whole_files import write_whole

_VERSION = 1
# The oldest go first; nobody has so many checkpoints.
_MAX_KEPT = 2000

_log = logging.getLogger(__name__)


class Choice(enum.StrEnum):
    """Which chat template is used: the checkpoint's own, or the known one of its family."""

    OWN = "own"
    KNOWN = "known"


@dataclass(frozen=True)
class FileStamp:
    """What tells a file from another one at the same place."""

    path: str
    size_bytes: int
    changed_ns: int


def stamp_of(path: Path) -> FileStamp | None:
    """Return the stamp of a file; None when it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return FileStamp(str(path), stat.st_size, stat.st_mtime_ns)


class Decisions:
    """Choices by template, and files in which nothing needs one. May be used from any thread.

    What cannot be read is begun anew, what cannot be written is kept for this run: at worst the
    same question is asked again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._choices: dict[str, str] = {}
        self._clear: dict[str, list[int]] = {}
        self._is_read = False

    def choice(self, findings: CheckFindings) -> Choice | None:
        """Return what was decided, None when nothing was."""
        with self._lock:
            self._read()
            found = self._choices.get(_key(findings))
        return Choice(found) if found in tuple(Choice) else None

    def decide(self, findings: CheckFindings, choice: Choice) -> None:
        """Remember what was decided: of this template, wherever else it is."""
        with self._lock:
            self._read()
            self._choices.pop(_key(findings), None)
            self._choices[_key(findings)] = choice.value
            self._write()

    def is_clear(self, stamp: FileStamp) -> bool:
        """Whether this file, unchanged since, was looked at and needs no decision."""
        with self._lock:
            self._read()
            return self._clear.get(stamp.path) == [stamp.size_bytes, stamp.changed_ns]

    def note_clear(self, stamp: FileStamp) -> None:
        """Remember that a file needs no decision."""
        with self._lock:
            self._read()
            self._clear.pop(stamp.path, None)
            self._clear[stamp.path] = [stamp.size_bytes, stamp.changed_ns]
            self._write()

    def _read(self) -> None:
        if self._is_read:
            return
        self._is_read = True
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            _log.info("Decisions about checkpoints are begun anew: %s", error)
            return
        if not isinstance(data, dict) or data.get("version") != _VERSION:
            return
        self._choices = _texts(data.get("choices"))
        clear = data.get("clear")
        if isinstance(clear, dict):
            self._clear = {path: stamp for path, stamp in clear.items() if isinstance(stamp, list)}

    def _write(self) -> None:
        self._choices = _newest(self._choices)
        self._clear = _newest(self._clear)
        data = {"version": _VERSION, "choices": self._choices, "clear": self._clear}
        try:
            make_private_folder(self._path.parent)
            write_whole(self._path, json.dumps(data).encode())
        except OSError as error:
            _log.info("Decisions about checkpoints are not kept: %s", error)


def _key(findings: CheckFindings) -> str:
    return findings.template_sha256 or f"file:{findings.path}"


def _texts(data: Any) -> dict[str, str]:
    if not isinstance(data, dict):
        return {}
    return {str(key): str(value) for key, value in data.items()}


def _newest(entries: Mapping[str, Any]) -> dict[str, Any]:
    return dict(list(entries.items())[-_MAX_KEPT:])
