"""Checks what a server answered to a request for a range of bytes. No Qt, no network here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import FathomError, RemoteChangedError, ServerAnswerError
from models.network.answers import Asked

_RANGE = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_NO_RANGE = re.compile(r"bytes\s+\*/(\d{1,18})")


@dataclass(frozen=True)
class RangeAnswer:
    """Bytes from the first one asked for on, perhaps fewer, and the size of the whole file."""

    data: bytes
    total_bytes: int


def checked_range(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    first: int,
    last: int,
    asked: Asked,
    is_whole: bool,
) -> RangeAnswer | FathomError:
    """Return the bytes of an answer, or why it should be asked for again.

    Args:
        status: 200 (the whole file), 206 (a part of it) or 416 (no such part).
        headers: of the answer, the keys in lower case.
        body: as far as it came; of a 200 from byte 0 on.
        first, last: the bytes that were asked for.
        asked: who was asked for what.
        is_whole: whether the body came to its end or to the last byte wanted.

    Raises:
        ServerAnswerError: it is something else than the file.
        RemoteChangedError: the file has become shorter.
    """
    if headers.get("content-type", "").lower().startswith("text/html"):
        raise ServerAnswerError(
            f"{asked.host} answered with a web page instead of {asked.subject}.",
            hint="Perhaps the network wants a login first; open a web page in the browser.",
        )
    if headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise ServerAnswerError(f"{asked.host} sends {asked.subject} packed, against its request.")
    if status == 416:
        return _beyond_the_end(headers, first, asked)
    if status == 200:
        return _from_whole_file(headers, body, first, last, asked)
    return _from_part(headers, body, first, last, asked, is_whole=is_whole)


def _beyond_the_end(headers: Mapping[str, str], first: int, asked: Asked) -> RangeAnswer:
    match = _NO_RANGE.fullmatch(headers.get("content-range", "").strip())
    if first == 0 and (match is None or int(match[1]) == 0):
        return RangeAnswer(b"", 0)
    if match is not None and int(match[1]) <= first:
        raise RemoteChangedError(
            f"{asked.subject} has become shorter on {asked.host}.", hint="Open it again."
        )
    raise ServerAnswerError(
        f"{asked.host} does not give parts of {asked.subject} (HTTP 416).",
        details=f"asked from byte {first}, answered {headers.get('content-range', '')!r}",
    )


def _from_whole_file(
    headers: Mapping[str, str], body: bytes, first: int, last: int, asked: Asked
) -> RangeAnswer:
    length = headers.get("content-length", "").strip()
    if not length.isdecimal() or len(length) > 18:
        raise ServerAnswerError(
            f"{asked.host} does not say how large {asked.subject} is.",
            hint="Download the file, and open it from here.",
        )
    return RangeAnswer(body[first : last + 1], int(length))


def _from_part(
    headers: Mapping[str, str],
    body: bytes,
    first: int,
    last: int,
    asked: Asked,
    *,
    is_whole: bool,
) -> RangeAnswer | FathomError:
    given = headers.get("content-range", "").strip()
    match = _RANGE.fullmatch(given)
    if match is None or match[3] == "*":
        return _other_bytes(asked, given, first, last)
    start, end, total = int(match[1]), int(match[2]), int(match[3])
    if start != first or not start <= end <= min(last, total - 1):
        return _other_bytes(asked, given, first, last)
    if len(body) > end + 1 - start or (is_whole and len(body) < end + 1 - start):
        return _other_bytes(asked, f"{len(body):,} bytes as {given}", first, last)
    return RangeAnswer(body, total)


def _other_bytes(asked: Asked, given: str, first: int, last: int) -> ServerAnswerError:
    return ServerAnswerError(
        f"{asked.host} answers with other bytes of {asked.subject} than asked for.",
        hint="Try again; a proxy in between may be broken.",
        details=f"asked for bytes {first}-{last}, answered {given[:200]!r}",
    )
