"""How the engine child ended, in words: what happened and what to try. No Qt here."""

from __future__ import annotations

import enum
import signal
import sys
from dataclasses import dataclass

from models.errors import EngineCrashedError, EngineError, OutOfMemoryError


class EndKind(enum.Enum):
    """What an end means for the caller."""

    NATIVE_CRASH = "native crash"
    OUT_OF_MEMORY = "out of memory"
    ENDED_FROM_OUTSIDE = "ended from outside"
    EXITED = "exited"


# Signals that native code raises itself; docs/protocol.md, "The parent's ladder".
_CRASH_SIGNALS = {
    "SIGSEGV": "it used memory that is not its own",
    "SIGILL": "it met an instruction that this processor does not have",
    "SIGABRT": "it found an error in itself and gave up",
    "SIGBUS": "it read memory that could not be delivered",
    "SIGFPE": "a calculation failed",
}

# https://learn.microsoft.com/windows/win32/debug/getexceptioncode and ntstatus.h
_CRASH_STATUS = {
    0xC0000005: ("STATUS_ACCESS_VIOLATION", _CRASH_SIGNALS["SIGSEGV"]),
    0xC0000006: ("STATUS_IN_PAGE_ERROR", _CRASH_SIGNALS["SIGBUS"]),
    0xC000001D: ("STATUS_ILLEGAL_INSTRUCTION", _CRASH_SIGNALS["SIGILL"]),
    0xC0000094: ("STATUS_INTEGER_DIVIDE_BY_ZERO", _CRASH_SIGNALS["SIGFPE"]),
    0xC00000FD: ("STATUS_STACK_OVERFLOW", "its stack ran over"),
    0xC0000374: ("STATUS_HEAP_CORRUPTION", "its memory was damaged"),
    0xC0000409: ("STATUS_STACK_BUFFER_OVERRUN", _CRASH_SIGNALS["SIGABRT"]),
}
_MEMORY_STATUS = {
    0xC0000017: "STATUS_NO_MEMORY",
    0xC000012D: "STATUS_COMMITMENT_LIMIT",
}
_LOADER_STATUS = {
    0xC0000135: "a DLL is missing",
    0xC0000139: "a DLL is of the wrong version",
    0xC0000142: "a DLL could not be initialised",
    0xC000007B: "a DLL is made for another kind of processor",
}
_CTRL_C_STATUS = 0xC000013A
# abort() in Microsoft's C runtime; a Python program does not exit with 3 by itself.
_WINDOWS_ABORT_CODE = 3

# llama.cpp aborts when a backend cannot allocate; these are the words of ggml-cuda.cu,
# ggml-vulkan.cpp and the C++ runtime just before.
_MEMORY_WORDS = (
    "out of memory",
    "std::bad_alloc",
    "ErrorOutOfDeviceMemory",
    "ErrorOutOfHostMemory",
)
# A backtrace may follow them; older lines may be about an allocation that had a way out.
_MEMORY_WORDS_LINES = 40

_HINTS = {
    EndKind.NATIVE_CRASH: (
        "Load the checkpoint again, with a smaller context if it happens again. "
        "The details belong in a bug report."
    ),
    EndKind.OUT_OF_MEMORY: (
        "Close other programs, or choose a smaller context or a smaller quantization."
    ),
    EndKind.ENDED_FROM_OUTSIDE: "Load the checkpoint again.",
    EndKind.EXITED: "Run `fathom doctor` to check the installation; the details say more.",
}
_ILLEGAL_INSTRUCTION_HINT = "It was built for another processor; docs/building.md has the remedy."


@dataclass(frozen=True)
class Outcome:
    """How a child ended.

    Attributes:
        verb: what it did, as in "The engine crashed".
        reason: why, as a clause of its own; may be empty.
        sign: what the system said: a signal, an exit code.
    """

    kind: EndKind
    verb: str
    reason: str
    sign: str
    hint: str

    @property
    def is_native_crash(self) -> bool:
        """Whether safe mode may help."""
        return self.kind is EndKind.NATIVE_CRASH

    def sentence(self, doing: str = "") -> str:
        """Return one sentence for the user.

        Args:
            doing: what the child was at, as in "while it loaded the checkpoint".
        """
        start = " ".join(filter(None, ["The engine", self.verb, doing]))
        reason = f": {self.reason}" if self.reason else ""
        return f"{start}{reason} ({self.sign})."

    def error(self, doing: str, stderr_tail: str) -> EngineError:
        """Return what the user is told; the child's last words are the details."""
        cls = OutOfMemoryError if self.kind is EndKind.OUT_OF_MEMORY else EngineCrashedError
        return cls(self.sentence(doing), hint=self.hint, details=stderr_tail)


def describe_end(
    returncode: int | None, stderr_tail: str = "", *, platform: str = sys.platform
) -> Outcome:
    """Put the end of a child that nobody had asked to end into words.

    Args:
        returncode: as ``subprocess`` has it: negative for a signal; None when it is unknown.
        stderr_tail: the child's last words; they tell an abort for memory from other aborts.
        platform: ``sys.platform`` of the machine the child ran on.
    """
    if returncode is None:
        return _outcome(EndKind.EXITED, "ended", sign="nobody knows how")
    if platform == "win32":
        return _describe_windows(returncode & 0xFFFFFFFF, stderr_tail)
    if returncode < 0:
        return _describe_signal(-returncode, stderr_tail)
    return _describe_exit(returncode)


def speaks_of_memory(stderr_tail: str) -> bool:
    """Return whether the last lines of a child that aborted say that memory ran out."""
    last_lines = "\n".join(stderr_tail.splitlines()[-_MEMORY_WORDS_LINES:])
    return any(words in last_lines for words in _MEMORY_WORDS)


def _outcome(kind: EndKind, verb: str, *, sign: str, reason: str = "", hint: str = "") -> Outcome:
    return Outcome(kind, verb, reason, sign, hint or _HINTS[kind])


def _describe_exit(code: int) -> Outcome:
    verb = "failed" if code else "ended without being asked to"
    return _outcome(EndKind.EXITED, verb, sign=f"exit code {code}")


def _describe_crash(sign: str, reason: str, stderr_tail: str) -> Outcome:
    if speaks_of_memory(stderr_tail):
        return _outcome(EndKind.OUT_OF_MEMORY, "ran out of memory", sign=sign)
    hint = _ILLEGAL_INSTRUCTION_HINT if reason == _CRASH_SIGNALS["SIGILL"] else ""
    return _outcome(EndKind.NATIVE_CRASH, "crashed", sign=sign, reason=reason, hint=hint)


def _describe_signal(number: int, stderr_tail: str) -> Outcome:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if name in _CRASH_SIGNALS:
        return _describe_crash(name, _CRASH_SIGNALS[name], stderr_tail)
    if name == "SIGKILL":
        # The kernel's out-of-memory killer leaves no other trace in the parent.
        reason = "most likely because memory ran out"
        return _outcome(EndKind.OUT_OF_MEMORY, "was killed by the system", sign=name, reason=reason)
    return _outcome(EndKind.ENDED_FROM_OUTSIDE, "was ended by another program", sign=name)


def _describe_windows(code: int, stderr_tail: str) -> Outcome:
    sign = f"0x{code:08X}"
    if code in _CRASH_STATUS:
        name, reason = _CRASH_STATUS[code]
        return _describe_crash(f"{name}, {sign}", reason, stderr_tail)
    if code == _WINDOWS_ABORT_CODE:
        return _describe_crash("abort", _CRASH_SIGNALS["SIGABRT"], stderr_tail)
    if code in _MEMORY_STATUS:
        sign = f"{_MEMORY_STATUS[code]}, {sign}"
        return _outcome(EndKind.OUT_OF_MEMORY, "ran out of memory", sign=sign)
    if code in _LOADER_STATUS:
        return _outcome(EndKind.EXITED, "could not run", sign=sign, reason=_LOADER_STATUS[code])
    if code == _CTRL_C_STATUS:
        return _outcome(EndKind.ENDED_FROM_OUTSIDE, "was interrupted", sign=sign)
    if code >= 0x80000000:
        return _outcome(EndKind.EXITED, "failed", sign=f"exit code {sign}")
    return _describe_exit(code)
