"""What a manifest of a release says, and whether it may be believed. No Qt here.

A manifest comes in an envelope (models/updates/envelope.py). Nothing in a payload is looked at
before its signature was found good. The format is written down in docs/updates.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from models.errors import UpdateRefusedError
from models.updates.envelope import json_object, read_envelope
from models.updates.fields import FILE_NAME, PLATFORM, SHA256, Fields

PRODUCT = "fathom"
FORMAT = 1
# Signed before the payload: a signature for something else is none for a manifest.
CONTEXT = b"fathom update manifest 1\n"
MAX_ENVELOPE_BYTES = 256 * 1024
MAX_FILE_BYTES = 4 * 1024**3
MAX_FILES = 64
# Longer promises are not believed: what was stolen must run out.
LONGEST_LIFE = timedelta(days=400)

_MAX_NOTES_CHARS = 4000
_KIND = re.compile(r"[a-z0-9.]{1,16}")


@dataclass(frozen=True)
class ReleaseFile:
    """One file of a release.

    Attributes:
        platform: such as ``linux-x86_64``; see ``models/updates/platforms.py``.
        kind: how it is installed: ``deb``, ``appimage``, ``tar.gz``, ``exe``, ``dmg``.
        name: the file's name, good on every system.
        url: where its bytes are; always https.
        sha256: 64 hex digits.
    """

    platform: str
    kind: str
    name: str
    url: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A release, by its makers' word.

    Attributes:
        version: such as ``1.4.2``.
        date: when it was signed.
        expires: when it is not to be believed any more; always with a time zone.
        minimum_version: the oldest version whose users can install it over what they have.
        notes_url: a page for people; always https.
        notes: the short of it, plain text; may be empty.
    """

    version: str
    date: datetime
    expires: datetime
    minimum_version: str
    notes_url: str
    notes: str
    files: tuple[ReleaseFile, ...]

    def files_for(self, platform: str) -> tuple[ReleaseFile, ...]:
        """Return the files for a platform, in the makers' order."""
        return tuple(file for file in self.files if file.platform == platform)


def open_envelope(data: bytes, keys: Sequence[bytes]) -> Manifest:
    """Return what a signed manifest says.

    Args:
        keys: public keys, 32 bytes each; one of them must have signed.

    Raises:
        UpdateRefusedError: it is no envelope, its signature is not good, or what was signed makes
            no sense; ``details`` has more.
    """
    if len(data) > MAX_ENVELOPE_BYTES:
        raise _refused("It is longer than a list of updates can be.", f"{len(data):,} bytes")
    try:
        envelope = read_envelope(data)
    except ValueError as error:
        raise _refused("It is not a signed list of updates.", str(error)[:200]) from error
    if not envelope.is_signed(CONTEXT, keys):
        raise UpdateRefusedError(
            "What came is not signed by the makers of Fathom.",
            hint="Somebody may have changed it. Check the address in the settings.",
            details=f"{len(keys)} keys tried",
        )
    return read_payload(_object(envelope.payload.encode()))


def read_payload(data: Mapping[str, Any]) -> Manifest:
    """Return a payload whose signature was good as a manifest.

    Raises:
        UpdateRefusedError: it is of another product or format, or makes no sense.
    """
    fields = Fields(data, _refused)
    fields.check_kind(PRODUCT, FORMAT, "It is a list of another program.")
    manifest = Manifest(
        version=fields.version("version"),
        date=_moment(fields, "date"),
        expires=_moment(fields, "expires"),
        minimum_version=fields.version("minimum_version"),
        notes_url=_address(fields, "notes_url"),
        notes=_text(fields, "notes", _MAX_NOTES_CHARS),
        files=tuple(_file(file) for file in fields.files(MAX_FILES)),
    )
    if not timedelta() < manifest.expires - manifest.date <= LONGEST_LIFE:
        raise _refused("It expires before it was made, or too late.", "date, expires")
    return manifest


def _file(fields: Fields) -> ReleaseFile:
    size_bytes = fields.size_bytes()
    if not 0 < size_bytes <= MAX_FILE_BYTES:
        raise _refused("One of its files has a size that cannot be.", f"{size_bytes:,} bytes"[:100])
    return ReleaseFile(
        platform=fields.matching("platform", PLATFORM),
        kind=fields.matching("kind", _KIND),
        name=fields.matching("name", FILE_NAME),
        url=_address(fields, "url"),
        size_bytes=size_bytes,
        sha256=fields.matching("sha256", SHA256),
    )


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        return json_object(data)
    except ValueError as error:
        raise _refused("It is not a list of updates.", str(error)[:200]) from error


def _text(fields: Fields, key: str, longest: int) -> str:
    value = fields.data.get(key, "")
    if not isinstance(value, str) or len(value) > longest:
        raise _refused("It makes no sense.", key)
    return value


def _moment(fields: Fields, key: str) -> datetime:
    value = fields.data.get(key)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise fields.senseless(key)
    return moment


def _address(fields: Fields, key: str) -> str:
    value = _text(fields, key, 1000)
    if not is_https(value):
        raise _refused("It leads to an address without encryption.", f"{key}: {value!r}"[:200])
    return value


def is_https(address: str) -> bool:
    """Tell whether this is a whole address of the encrypted web."""
    try:
        parts = urlsplit(address)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_clean = address.isascii() and not any(sign <= " " for sign in address)
    return is_clean and has_port and parts.scheme == "https" and bool(parts.hostname)


def _refused(what: str, details: str = "") -> UpdateRefusedError:
    return UpdateRefusedError(
        f"The list of updates cannot be used. {what}",
        hint="Check the address in the settings, or look for a new version on its page.",
        details=details,
    )
