"""Writing answers: to pipes and to real (pseudo) terminals."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from app.cli.terminal import AnswerWriter, ProgressLine, is_terminal, without_controls

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")


class Terminal:
    """The reader's end of a pseudo terminal, and a stream into it."""

    def __init__(self, reader_fd: int, stream: TextIO) -> None:
        self._reader_fd = reader_fd
        self.stream = stream

    def shown(self) -> str:
        """What was written, with the terminal's own line ends undone."""
        self.stream.write("\x00")
        self.stream.flush()
        data = b""
        while b"\x00" not in data:
            data += os.read(self._reader_fd, 4096)
        return data.partition(b"\x00")[0].decode().replace("\r\n", "\n")


@contextmanager
def open_terminal() -> Iterator[Terminal]:
    import pty

    reader_fd, writer_fd = pty.openpty()
    try:
        with os.fdopen(writer_fd, "w", encoding="utf-8") as stream:
            yield Terminal(reader_fd, stream)
    finally:
        os.close(reader_fd)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm")
    with open_terminal() as opened:
        yield opened


def test_a_pipe_gets_the_answer_as_it_is_and_no_reasoning() -> None:
    out, err = io.StringIO(), io.StringIO()
    writer = AnswerWriter(out, err, quiet=False)
    writer.write("", "Hm, the sky.")
    writer.write("Blue.\x1b[31m", "")
    writer.finish()
    assert out.getvalue() == "Blue.\x1b[31m\n"
    assert err.getvalue() == ""
    assert (writer.text, writer.reasoning) == ("Blue.\x1b[31m", "Hm, the sky.")


def test_a_terminal_shows_the_reasoning_dimmed(terminal: Terminal) -> None:
    writer = AnswerWriter(terminal.stream, io.StringIO(), quiet=False)
    writer.write("", "Hm, ")
    writer.write("", "the sky.")
    writer.write("Blue.", "")
    writer.finish()
    assert terminal.shown() == "\x1b[2mHm, the sky.\x1b[22m\n\nBlue.\n"


def test_reasoning_goes_to_the_error_terminal_when_the_answer_goes_to_a_pipe(
    terminal: Terminal,
) -> None:
    out = io.StringIO()
    writer = AnswerWriter(out, terminal.stream, quiet=False)
    writer.write("", "Hm.\n")
    writer.write("Blue.\n", "")
    writer.finish()
    assert out.getvalue() == "Blue.\n"
    assert terminal.shown() == "\x1b[2mHm.\n\x1b[22m\n"


def test_a_terminal_without_escapes_gets_none(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    writer = AnswerWriter(terminal.stream, io.StringIO(), quiet=False)
    writer.write("", "Hm.")
    writer.write("Blue.", "")
    writer.finish()
    line = ProgressLine(terminal.stream)
    line.show("Loading")
    line.clear()
    assert terminal.shown() == "Hm.\n\nBlue.\n"


def test_reasoning_that_never_ends_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    writer = AnswerWriter(terminal.stream, io.StringIO(), quiet=False)
    writer.write("", "Hm")
    writer.finish()
    assert terminal.shown() == "\x1b[2mHm\x1b[22m\n\n"


def test_an_answer_cannot_steer_the_terminal(terminal: Terminal) -> None:
    writer = AnswerWriter(terminal.stream, io.StringIO(), quiet=False)
    writer.write("a\x1b]0;title\x07b\tc\x9b31m", "")
    writer.finish()
    assert terminal.shown().split() == ["a]0;titleb", "c31m"]


def test_quiet_keeps_everything_and_writes_nothing() -> None:
    out, err = io.StringIO(), io.StringIO()
    writer = AnswerWriter(out, err, quiet=True)
    writer.write("Blue.", "Hm.")
    writer.finish()
    assert (out.getvalue(), err.getvalue(), writer.text) == ("", "", "Blue.")


def test_no_answer_is_no_empty_line() -> None:
    out = io.StringIO()
    AnswerWriter(out, io.StringIO(), quiet=False).finish()
    assert out.getvalue() == ""


def test_progress_writes_over_its_line_and_goes(terminal: Terminal) -> None:
    line = ProgressLine(terminal.stream)
    line.show("10 %")
    line.show("10 %")
    line.show("20 %")
    line.clear()
    line.clear()
    assert terminal.shown() == "\r\x1b[2K10 %\r\x1b[2K20 %\r\x1b[2K"


def test_progress_is_silent_in_a_pipe() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    line.show("10 %")
    line.clear()
    assert stream.getvalue() == ""


def test_a_closed_stream_is_no_terminal() -> None:
    stream = io.StringIO()
    stream.close()
    assert is_terminal(stream) is False


def test_controls_are_taken_out_and_text_stays() -> None:
    assert without_controls("a\r\nb\tü 漢 😀\x00\x7f") == "a\nb\tü 漢 😀"


def test_a_progress_line_never_needs_a_second_one(terminal: Terminal) -> None:
    import termios

    termios.tcsetwinsize(terminal.stream.fileno(), (24, 30))
    line = ProgressLine(terminal.stream)
    line.show("why it waits, in many more words than fit")
    shown = terminal.shown().removeprefix("\r\x1b[2K")
    assert shown == "why it waits, in many more w\u2026"
