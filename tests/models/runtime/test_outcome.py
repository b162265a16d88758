"""Every way to die has words, and each asks for the right reaction."""

from __future__ import annotations

import pytest

from models.errors import EngineCrashedError, OutOfMemoryError
from models.runtime.outcome import EndKind, describe_end, speaks_of_memory

CRASH, MEMORY = EndKind.NATIVE_CRASH, EndKind.OUT_OF_MEMORY
OUTSIDE, EXITED = EndKind.ENDED_FROM_OUTSIDE, EndKind.EXITED


@pytest.mark.parametrize(
    ("platform", "returncode", "kind", "words"),
    [
        ("linux", -11, CRASH, "crashed: it used memory that is not its own (SIGSEGV)."),
        ("linux", -6, CRASH, "crashed: it found an error in itself and gave up (SIGABRT)."),
        ("linux", -8, CRASH, "crashed: a calculation failed (SIGFPE)."),
        ("linux", -4, CRASH, "that this processor does not have (SIGILL)."),
        ("linux", -9, MEMORY, "was killed by the system: most likely because memory ran out"),
        ("linux", -15, OUTSIDE, "was ended by another program (SIGTERM)."),
        ("linux", -2, OUTSIDE, "was ended by another program (SIGINT)."),
        ("linux", -63, OUTSIDE, "(signal 63)."),
        ("linux", 0, EXITED, "ended without being asked to (exit code 0)."),
        ("linux", 3, EXITED, "failed (exit code 3)."),
        ("linux", None, EXITED, "ended (nobody knows how)."),
        ("win32", 0xC0000005, CRASH, "(STATUS_ACCESS_VIOLATION, 0xC0000005)."),
        ("win32", 0xC0000005 - 2**32, CRASH, "(STATUS_ACCESS_VIOLATION, 0xC0000005)."),
        ("win32", 0xC000001D, CRASH, "(STATUS_ILLEGAL_INSTRUCTION, 0xC000001D)."),
        ("win32", 0xC0000409, CRASH, "(STATUS_STACK_BUFFER_OVERRUN, 0xC0000409)."),
        ("win32", 0xC0000374, CRASH, "its memory was damaged"),
        ("win32", 3, CRASH, "(abort)."),
        ("win32", 0xC0000017, MEMORY, "ran out of memory (STATUS_NO_MEMORY, 0xC0000017)."),
        ("win32", 0xC0000135, EXITED, "could not run: a DLL is missing (0xC0000135)."),
        ("win32", 0xC000013A, OUTSIDE, "was interrupted (0xC000013A)."),
        ("win32", 0xC0001234, EXITED, "failed (exit code 0xC0001234)."),
        ("win32", 1, EXITED, "failed (exit code 1)."),
    ],
)
def test_words(platform, returncode, kind, words):
    if platform == "linux" and returncode in (-63,):
        pytest.importorskip("fcntl")
    outcome = describe_end(returncode, platform=platform)
    assert outcome.kind is kind
    assert words in outcome.sentence()
    assert outcome.hint
    assert outcome.is_native_crash == (kind is CRASH)


def test_sentence_with_what_it_was_doing():
    outcome = describe_end(-11, platform="linux")
    assert outcome.sentence("while it answered") == (
        "The engine crashed while it answered: it used memory that is not its own (SIGSEGV)."
    )


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_an_abort_for_memory_is_no_crash(platform):
    tail = "CUDA error: out of memory\n" + "[New LWP 17]\n" * 20
    outcome = describe_end(-6 if platform == "linux" else 3, tail, platform=platform)
    error = outcome.error("while it loaded the checkpoint", tail)
    assert isinstance(error, OutOfMemoryError)
    assert "ran out of memory while it loaded the checkpoint" in error.message
    assert error.details == tail
    assert "quantization" in error.hint


def test_an_old_line_about_memory_is_not_the_reason():
    tail = "failed to pin 3 MiB: out of memory\n" + "llama: fine\n" * 100
    assert not speaks_of_memory(tail)
    assert isinstance(describe_end(-6, tail, platform="linux").error("", tail), EngineCrashedError)


def test_an_illegal_instruction_has_a_hint_of_its_own():
    assert "another processor" in describe_end(-4, platform="linux").hint
