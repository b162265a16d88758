"""Small JSON files that somebody else may have written, damaged or made hostile. No Qt here."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from models.errors import EngineProtocolError

T = TypeVar("T")


def read_small_json(path: Path, parse: Callable[[Any], T], *, limit_bytes: int) -> T | None:
    """Return what ``parse`` makes of a file; None when it is not there or makes no sense.

    Links are not followed, and nothing but a plain file is opened: a pipe would keep whoever reads
    it. ``parse`` may take what it is given for granted: whatever goes wrong
    on the way (fields that lack, are of another type, beyond all bounds) means that the file is
    none of ours.

    Args:
        limit_bytes: what is longer is not read.
    """
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit_bytes:
            return None
        return parse(json.loads(path.read_bytes()))
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        OverflowError,
        EngineProtocolError,
    ):
        return None
