"""Why two files differ that are no archives, in words; for ``compare``."""

from __future__ import annotations

import json
import marshal
import re
import types
from collections.abc import Iterator

# An absolute path: the folder of a build, a home folder, where Python lies.
_PATH = re.compile(rb"/[\w.+@-]+(?:/[\w.+@ -]+)+")
_MOST_PATHS = 2
_LONGEST_PATH = 90


def why(place: str, first: bytes, second: bytes) -> str:
    """Return what differs; ``place`` tells what kind of file it is."""
    if (codes := _codes(first, second)) is not None:
        return _why_code(*codes)
    if place.endswith(".json") and _without_order(first) == _without_order(second) is not None:
        return "says the same in another order or layout"
    if sorted(first.splitlines()) == sorted(second.splitlines()):
        return "has the same lines in another order"
    return _where(first, second) + _paths(first, second)


def _where(first: bytes, second: bytes) -> str:
    shorter = min(len(first), len(second))
    at = next((n for n in range(shorter) if first[n] != second[n]), shorter)
    sizes = "" if len(first) == len(second) else f", {len(first):,} and {len(second):,} bytes"
    if b"\0" in first or b"\0" in second:
        return f"differs from byte {at:,} on{sizes}"
    line = first[:at].count(b"\n") + 1
    return f"differs from line {line:,} on{sizes}"


def _paths(first: bytes, second: bytes) -> str:
    left, right = set(_PATH.findall(first)), set(_PATH.findall(second))
    told = [_some(left - right), _some(right - left)]
    return f" (paths: {' and '.join(filter(None, told))})" if any(told) else ""


def _some(paths: set[bytes]) -> str:
    chosen = sorted(paths)[:_MOST_PATHS]
    return ", ".join(path.decode("utf-8", "replace")[:_LONGEST_PATH] for path in chosen)


def _without_order(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _codes(first: bytes, second: bytes) -> tuple[types.CodeType, types.CodeType] | None:
    """Return both as compiled Python, or None when they are something else."""
    left, right = _code(first), _code(second)
    return (left, right) if left is not None and right is not None else None


def _code(data: bytes) -> types.CodeType | None:
    for begin in (0, 16):
        # A .pyc begins with 16 bytes: Python's magic, and what the source was like.
        try:
            found = marshal.loads(data[begin:])
        except (ValueError, EOFError, TypeError):
            continue
        if isinstance(found, types.CodeType):
            return found
    return None


def _why_code(left: types.CodeType, right: types.CodeType) -> str:
    if left.co_filename != right.co_filename:
        return f"is compiled under other names: {left.co_filename} and {right.co_filename}"
    for one, other in zip(_all(left), _all(right), strict=False):
        if one.co_code != other.co_code or one.co_names != other.co_names:
            return f"is other code, from {one.co_qualname} on (line {one.co_firstlineno})"
        if _constants(one) != _constants(other):
            return f"has other constants in {one.co_qualname} (line {one.co_firstlineno})"
    return "is the same code, stored in another way (sharing of constants, times)"


def _all(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _all(constant)


def _constants(code: types.CodeType) -> list[str]:
    """Return a function's constants as text: sets in order, code by its name."""
    return [
        one.co_qualname
        if isinstance(one, types.CodeType)
        else repr(sorted(one, key=repr))
        if isinstance(one, frozenset)
        else repr(one)
        for one in code.co_consts
    ]
