"""The fields of a signed manifest, each looked at before it is taken. No Qt here.

A list of updates (models/updates/manifest.py) and an add-on (models/addons/manifest.py) say
different things; what a name, a digest, a size or a version may be is the same for both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import FathomError
from models.updates.version import version_of

# Names that every system takes, and that no shell, page or person misreads.
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,118}[A-Za-z0-9]")
SHA256 = re.compile(r"[0-9a-f]{64}")
PLATFORM = re.compile(r"[a-z0-9]{1,16}-[a-z0-9_]{1,16}")


@dataclass(frozen=True)
class Fields:
    """A JSON object; every method raises what ``refused`` makes.

    Attributes:
        data: the object.
        refused: the error of a sentence that says what is wrong, and of details.
    """

    data: Mapping[str, Any]
    refused: Callable[[str, str], FathomError]

    def check_kind(self, product: str, number: int, otherwise: str) -> None:
        """Refuse what is of another product, which ``otherwise`` says, or of another format."""
        if self.data.get("product") != product:
            raise self.refused(otherwise, repr(self.data.get("product"))[:100])
        if self.data.get("format") != number:
            what = "It is written for another version of Fathom."
            raise self.refused(what, repr(self.data.get("format"))[:40])

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        """Return a text that has a form."""
        value = self.data.get(key)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self.senseless(key)
        return value

    def version(self, key: str) -> str:
        """Return a version, as it is written."""
        value = self.data.get(key)
        if not isinstance(value, str) or version_of(value) is None:
            raise self.senseless(key)
        return value

    def files(self, most: int) -> tuple[Fields, ...]:
        """Return what is listed as ``files``: at least one, and at most so many."""
        listed = self.data.get("files")
        if not isinstance(listed, list) or not 0 < len(listed) <= most:
            raise self.refused("It lists no files, or too many.", "")
        for file in listed:
            if not isinstance(file, dict):
                raise self.refused("One of its files makes no sense.", repr(file)[:100])
        return tuple(Fields(file, self.refused) for file in listed)

    def size_bytes(self) -> int:
        """Return a file's size, whatever it is; never below 0."""
        size_bytes = self.data.get("size_bytes")
        if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or size_bytes < 0:
            raise self.refused("One of its files has no size.", repr(size_bytes)[:100])
        return size_bytes

    def senseless(self, key: str) -> FathomError:
        """Return the error of a field that is none."""
        return self.refused("It makes no sense.", f"{key}: {self.data.get(key)!r}"[:200])
