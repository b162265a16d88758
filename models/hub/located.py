"""Checks where the hub says a file is, and until when its address works. No Qt, no network here."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from models.errors import FathomError, RemoteChangedError, ServerAnswerError
from models.hub.api import FoundFile
from models.hub.names import is_web_address
from models.transfer.remote import SHA256, Location, RemoteObject

_SHA256_HEX = re.compile(r"[0-9a-f]{64}")
_SHA1_HEX = re.compile(r"[0-9a-f]{40}")


def checked_location(
    found: FoundFile, remote: RemoteObject, *, url: str, token: str | None, now_s: float
) -> Location:
    """Return where a file is, once what the hub says of it fits what is wanted.

    Args:
        found: the hub's word.
        remote: what is wanted.
        url: what the hub was asked.
        token: what it was asked with; goes on to ``url`` itself and to nobody else.
        now_s: on the clock of ``time.time``.

    Raises:
        RemoteChangedError: it is another file.
        ServerAnswerError: the answer is not a hub's, or leads to where nobody should go.
    """
    etag = found.etag.strip('"').lower()
    _check_identity(found, etag, remote)
    is_downgrade = url.startswith("https:") and not found.location.startswith("https:")
    if not is_web_address(found.location) or is_downgrade:
        raise _no_hub(remote, f"It leads to {found.location[:100]}.")
    is_at_hub = _origin(found.location) == _origin(url)
    headers = (("Authorization", f"Bearer {token}"),) if token and is_at_hub else ()
    size_bytes = remote.file.size_bytes if found.size_bytes is None else found.size_bytes
    expires_s = None if is_at_hub else expiry_of(found.location, now_s)
    return Location(found.location, etag, size_bytes, expires_s, headers)


def expiry_of(url: str, now_s: float) -> float | None:
    """Return when a signed address stops working, on the clock of ``time.time``.

    None when it does not say, or says something that has passed: this machine's clock is wrong
    then. A length (``X-Amz-Expires``) counts from when the address was signed, or from now on
    where that makes no sense by this machine's clock.
    """
    query = {key.lower(): values[-1] for key, values in parse_qs(urlsplit(url).query).items()}
    length_s = _number(query.get("x-amz-expires"))
    if length_s is not None:
        signed_s = _moment(query.get("x-amz-date", ""))
        is_recent = signed_s is not None and now_s - length_s < signed_s <= now_s
        return (signed_s if signed_s is not None and is_recent else now_s) + length_s
    ends_s = _number(query.get("expires")) or _moment(query.get("se", ""))
    return ends_s if ends_s is not None and ends_s > now_s else None


def _check_identity(found: FoundFile, etag: str, remote: RemoteObject) -> None:
    file = remote.file
    pattern = _SHA256_HEX if file.digest_kind == SHA256 else _SHA1_HEX
    has_digest = pattern.fullmatch(etag) is not None
    if not found.commit and not has_digest:
        # What a network that wants a login answers.
        raise _no_hub(remote, "It names neither a commit nor a digest.")
    if found.commit and found.commit != remote.commit:
        raise _changed(remote, f"commit {found.commit}")
    if has_digest and etag != file.digest_hex:
        raise _changed(remote, f"{file.digest_hex} became {etag}")
    if found.size_bytes not in (None, file.size_bytes):
        raise _changed(remote, f"{file.size_bytes:,} bytes became {found.size_bytes:,}")


def _changed(remote: RemoteObject, details: str) -> FathomError:
    return RemoteChangedError(
        f"{remote.file.path} of {remote.repository} is not the file that was listed.",
        hint="Look at the repository again and start anew.",
        details=details,
    )


def _no_hub(remote: RemoteObject, details: str) -> FathomError:
    host = urlsplit(remote.endpoint).hostname or remote.endpoint
    return ServerAnswerError(
        f"{host} does not answer like a hub.",
        hint="Perhaps the network wants a login first.",
        details=details,
    )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _moment(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
