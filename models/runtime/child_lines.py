"""A child's side of the JSON lines: requests as they come, whole events as they go. No Qt here."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import BinaryIO

from models.errors import EngineProtocolError, FathomError
from models.runtime.protocol import MAX_LINE_BYTES, Json, Request, decode_line, encode_line


def read_lines(requests: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines until the parent is gone; half a line or an endless one is the end, too."""
    while (line := requests.readline(MAX_LINE_BYTES + 1)).endswith(b"\n"):
        yield line


def read_until_gone(take: Callable[[bytes], None]) -> None:
    """Hand lines of standard input to ``take`` in a thread of its own; the process ends with them.

    For a child that owns nothing: when its parent is gone nothing is left to be put in order, and
    the main thread may be in the midst of something that takes for ever.
    """

    def read() -> None:
        for line in read_lines(sys.stdin.buffer):
            take(line)
        os._exit(0)

    threading.Thread(target=read, name="requests", daemon=True).start()


def exit_soon(grace_s: float) -> None:
    """End the process in ``grace_s``, for the case that something hangs by then."""
    timer = threading.Timer(grace_s, os._exit, (0,))
    timer.daemon = True
    timer.start()


def parse_request(line: bytes) -> Request:
    """Return the request of a line.

    Raises:
        EngineProtocolError: it is none.
    """
    fields = decode_line(line)
    request_id, op = fields.pop("id", None), fields.pop("op", None)
    if not isinstance(request_id, int) or not isinstance(op, str):
        raise EngineProtocolError("A request needs an id and an op.")
    return Request(request_id, op, fields)


def write_all(fd: int, data: bytes) -> None:
    """Write all of it; waits for as long as the parent does not read.

    Raises:
        BrokenPipeError: the parent is gone.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def write_event(fd: int, event: Json) -> None:
    """Write one event; waits and raises as ``write_all``."""
    write_all(fd, encode_line(event))


def own_error(error: Exception, who: str, bug: type[FathomError]) -> FathomError:
    """Return what a request ended in as an error that can be told; a bug is one, too.

    Args:
        error: what was raised.
        who: works here, at the begin of a sentence.
        bug: the class of an error that nobody expected.
    """
    if isinstance(error, FathomError):
        return error
    return bug(
        f"{who} met an error in its own code.",
        hint="Please report it with the details.",
        details="".join(traceback.format_exception(error)),
    )


def error_event(error: FathomError) -> Json:
    """Return the event of a request that failed, without its id."""
    return {"event": "error", **error.to_json()}
