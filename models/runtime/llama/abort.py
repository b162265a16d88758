"""Stops a running computation from another thread, at no cost while nobody asks. No Qt here."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from models.runtime.llama.bindings import LlamaLibrary


class LoadCancelledError(Exception):
    """A load stopped because it was asked to; an outcome, never shown as an error."""


class AbortFlag:
    """A flag that llama.cpp's abort callback reads between graph nodes.

    The callback runs after every node, some thousand times a token. A Python callback there costs
    up to a microsecond each and has to take the interpreter lock. libc's ``strlen`` has the shape
    of an abort callback (takes a pointer, returns a number whose lowest byte is read as bool): on
    an empty string it says "go on", on a string of one character "stop". Setting the flag is then
    one byte written by any thread.
    """

    def __init__(self) -> None:
        self._text = ctypes.create_string_buffer(2)
        libc = ctypes.CDLL("msvcrt") if sys.platform == "win32" else ctypes.CDLL(None)
        self._strlen = ctypes.cast(libc.strlen, ctypes.c_void_p)

    def set(self) -> None:
        """Ask the computation to stop."""
        self._text[0] = b"x"

    def clear(self) -> None:
        """Allow computations again."""
        self._text[0] = b"\0"

    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        return self._text[0] != b"\0"

    def refuse_load(self) -> None:
        """Raise ``LoadCancelledError`` when a stop was asked for."""
        if self.is_set():
            raise LoadCancelledError

    def install(self, library: LlamaLibrary, parameters: Any) -> None:
        """Put the flag into context parameters; it must outlive the context."""
        callback_type = library.api.ggml_abort_callback
        parameters.abort_callback = ctypes.cast(self._strlen, callback_type)
        parameters.abort_callback_data = ctypes.addressof(self._text)
