"""llama.cpp's log: passed on, and read for reasons. No Qt here."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from models.runtime.llama.bindings import LlamaLibrary

_LEVELS = {1: "debug", 2: "info", 3: "warning", 4: "error"}
_CONTINUATION = 5


class LogCapture:
    """Passes warnings and errors of llama.cpp's log on, and records all of it on demand.

    llama.cpp calls back from whichever thread logs, so everything is under one lock. The callback
    object is an attribute: ctypes would otherwise collect it and llama.cpp call freed memory.

    Args:
        library: the loaded library.
        sink: called with level (``warning`` or ``error``) and one line.
    """

    def __init__(self, library: LlamaLibrary, sink: Callable[[str, str], None]) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._recording: list[tuple[str, str]] | None = None
        self._level = "info"
        self._partial = ""
        self._callback = library.api.llama_log_callback(self._on_log)
        library.api.llama_log_set(self._callback, None)

    def _on_log(self, level: int, text: bytes, _user_data: Any) -> None:
        if level == 1:  # thousands of lines per graph; they cost more than they tell
            return
        passed_on: list[tuple[str, str]] = []
        with self._lock:
            if level != _CONTINUATION:
                self._level = _LEVELS.get(level, "info")
            *complete, self._partial = (self._partial + text.decode("utf-8", "replace")).split("\n")
            for line in filter(None, (part.rstrip() for part in complete)):
                entry = (self._level, line)
                if self._recording is not None:
                    self._recording.append(entry)
                if self._level in ("warning", "error"):
                    passed_on.append(entry)
        for entry_level, line in passed_on:
            self._sink(entry_level, line)

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[tuple[str, str]]]:
        """Collect (level, line) pairs logged inside the block."""
        lines: list[tuple[str, str]] = []
        with self._lock:
            self._recording = lines
        try:
            yield lines
        finally:
            with self._lock:
                self._recording = None
