"""What every child shares: lines in, events out, and the end with its input."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading

import pytest

from models.errors import EngineProtocolError, OracleError, StoppedError
from models.runtime.child_lines import (
    error_event,
    own_error,
    parse_request,
    read_lines,
    write_event,
)
from models.runtime.protocol import MAX_LINE_BYTES, Request, decode_line

_ENDS_WITH_ITS_INPUT = """
import threading
from models.runtime.child_lines import read_until_gone, write_event
read_until_gone(lambda line: write_event(1, {"got": line.decode()}))
threading.Event().wait()  # in the midst of something that takes for ever
"""


@pytest.mark.parametrize("end", [b"", b"half a line", b"x" * (MAX_LINE_BYTES + 1) + b"\nlate\n"])
def test_lines_end_with_what_is_none(end: bytes) -> None:
    assert list(read_lines(io.BytesIO(b"one\ntwo\n" + end))) == [b"one\n", b"two\n"]


def test_the_longest_line_is_one() -> None:
    longest = b"x" * MAX_LINE_BYTES + b"\n"
    assert [len(line) for line in read_lines(io.BytesIO(longest))] == [MAX_LINE_BYTES + 1]


def test_an_event_larger_than_the_pipe_arrives_whole() -> None:
    reader, writer = os.pipe()
    event = {"event": "large", "text": "ä" * 1_000_000}
    received: list[bytes] = []

    def read() -> None:
        with os.fdopen(reader, "rb") as stream:
            received.extend(stream)

    thread = threading.Thread(target=read)
    thread.start()
    write_event(writer, event)
    os.close(writer)
    thread.join(60)
    assert [decode_line(line) for line in received] == [event]


def test_a_request_has_an_id_and_an_op() -> None:
    line = b'{"op": "load", "id": 7, "path": "x"}\n'
    assert parse_request(line) == Request(7, "load", {"path": "x"})
    for nonsense in (b"{}", b'{"id": "7", "op": "load"}', b'{"id": 7, "op": 1}', b"[]", b"?"):
        with pytest.raises(EngineProtocolError):
            parse_request(nonsense)


def test_an_expected_error_is_told_as_it_is_and_a_bug_as_one() -> None:
    expected = StoppedError()
    assert own_error(expected, "The dry run", OracleError) is expected
    try:
        {}["nothing"]
    except KeyError as error:
        told = own_error(error, "The dry run", OracleError)
    assert isinstance(told, OracleError)
    assert told.message == "The dry run met an error in its own code."
    assert "KeyError: 'nothing'" in told.details
    assert error_event(told) == {"event": "error", **told.to_json()}


def test_a_child_ends_with_its_input_whatever_it_does() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ENDS_WITH_ITS_INPUT],
        input=b"one\ntwo\nhalf",
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == b""
    assert [decode_line(line)["got"] for line in done.stdout.splitlines()] == ["one\n", "two\n"]
