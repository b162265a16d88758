"""Who is let in: pure functions over the head of a request. No Qt here.

Every web page that a browser on this machine shows can send requests to this machine. What holds
them off, each by itself: the name they think they talk to (``Host``: a page whose own name was
made to lead here), the page they come from (``Origin``, ``Sec-Fetch-Site``), a key that no page
knows, and a content type that no form can send (docs/security.md, section 7).
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field

from models.api.refusal import Refusal, RefusedRequestError, printable

# What a browser says of requests of its own user, and of pages of the very server that is asked.
# There is no such page: every answer is JSON that must not be taken for anything else.
_HARMLESS_FETCH_SITES = (b"none", b"same-origin")
# Also programs that are web pages inside: app://obsidian.md, chrome-extension://abc.
_ORIGIN = re.compile(
    r"(?!(?:file|ftp|wss?):)[a-z][a-z0-9+.-]{1,30}://(?:[a-z0-9._-]{1,255}|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
)
_LARGEST_PORT = 65_535
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_ASKED_HEADERS = ("accept", "authorization", "content-type")
# What OpenAI's library for web pages adds to every request.
_ASKED_PREFIX = "x-stainless-"
_MAX_ASKED_HEADERS = 40
_PREFLIGHT_S = "600"
MAX_HEAD_BYTES = 32 * 1024
_KEY_HINT = "It is on Fathom's page Server; 'fathom serve --print-key' prints it."


@dataclass(frozen=True)
class Head:
    """A request before its body.

    Attributes:
        path: without the query, escapes resolved.
        headers: names in lower case, in the order they came.
    """

    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    http_version: str = "1.1"

    def values(self, name: bytes) -> list[bytes]:
        """Return all values that a header was sent with."""
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True)
class Door:
    """What a request has to show.

    Attributes:
        port: the one that the socket is bound to.
        allowed_origins: web pages that may ask, normal as ``normal_origin`` makes them.
    """

    port: int
    key: str = field(repr=False)
    allowed_origins: frozenset[str] = frozenset()


def normal_origin(text: str) -> str:
    """Return the address of a web page as browsers send it; empty when it is none.

    ``null`` is none: every sandboxed frame and every file has it.
    """
    origin = text.lower()
    # Letters that only become ASCII when they are made small (the Kelvin sign) are no way in.
    if not text.isascii() or not (found := _ORIGIN.fullmatch(origin)):
        return ""
    if int(found["port"] or 0) > _LARGEST_PORT:
        return ""
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition(":")[0], "-"))


def check_head(head: Head) -> None:
    """Refuse a head that is too large, or whose length can be read in two ways (RFC 9112, 6.1).

    Raises:
        RefusedRequestError: 400 or 431.
    """
    size_bytes = len(head.path) + sum(len(name) + len(value) for name, value in head.headers)
    if size_bytes > MAX_HEAD_BYTES:
        raise _refused(431, "too_large", "The headers are too large.", reason="too_large")
    chunked = head.values(b"transfer-encoding")
    if chunked and (head.values(b"content-length") or head.http_version != "1.1"):
        raise _refused(400, "bad_request", "The request says its length in two ways.")


def check_host(door: Door, head: Head) -> None:
    """Refuse what thinks that it talks to somebody else: a page by way of DNS rebinding.

    Raises:
        RefusedRequestError: 400 or 403.
    """
    hosts = head.values(b"host")
    if len(hosts) != 1:
        raise _refused(400, "bad_host", "There must be one Host header.", reason="host")
    named = hosts[0].lower()
    names = [b"localhost", b"127.0.0.1", b"[::1]"]
    known = {name + b":%d" % door.port for name in names}
    if door.port == 80:
        known.update(names)
    if named not in known:
        raise _refused(
            403,
            "bad_host",
            f"This server answers to localhost:{door.port} and 127.0.0.1:{door.port} only.",
            reason="host",
            shown=printable(hosts[0]),
        )


def check_origin(door: Door, head: Head) -> str:
    """Refuse web pages that the user did not allow by name.

    Returns:
        The page's origin as it was sent; empty when no page asks.

    Raises:
        RefusedRequestError: 403.
    """
    origins = head.values(b"origin")
    if len(origins) == 1:
        sent = origins[0].decode("latin-1")
        if normal_origin(sent) in door.allowed_origins - {""}:
            return sent
    sites = head.values(b"sec-fetch-site")
    if not origins and all(site.lower() in _HARMLESS_FETCH_SITES for site in sites):
        return ""
    raise _refused(
        403,
        "origin_not_allowed",
        "Web pages may use this server only when they were allowed by name in Fathom.",
        reason="origin",
        shown=printable(b", ".join(origins or [b"(a page that does not say which)"])),
    )


def cors_headers(origin: str) -> list[tuple[str, str]]:
    """Return what lets an allowed page read the answer; nothing for everybody else."""
    return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")] if origin else []


def preflight_headers(head: Head, origin: str) -> list[tuple[str, str]]:
    """Return the answer to a browser that asks whether an allowed page may ask.

    Raises:
        RefusedRequestError: 403: it is no page that asks.
    """
    if not origin:
        raise _refused(403, "origin_not_allowed", "There is nothing to ask about.", reason="origin")
    asked = b",".join(head.values(b"access-control-request-headers")).decode("latin-1").lower()
    names = {name.strip() for name in asked.split(",")[:_MAX_ASKED_HEADERS]}
    allowed = {name for name in names if _is_allowed_header(name)} | set(_ASKED_HEADERS)
    headers = [
        ("Access-Control-Allow-Methods", "GET, POST"),
        ("Access-Control-Allow-Headers", ", ".join(sorted(allowed))),
        ("Access-Control-Max-Age", _PREFLIGHT_S),
    ]
    if head.values(b"access-control-request-private-network") == [b"true"]:
        headers.append(("Access-Control-Allow-Private-Network", "true"))
    return headers


def check_key(door: Door, head: Head) -> None:
    """Refuse who does not show the key; how long that takes does not tell how much of it is right.

    Raises:
        RefusedRequestError: 401.
    """
    sent = head.values(b"authorization")
    scheme, _, key = (sent[0] if len(sent) == 1 else b"").partition(b" ")
    if scheme.lower() == b"bearer" and hmac.compare_digest(key.strip(b" "), door.key.encode()):
        return
    words = "The key is wrong." if sent else "There is no key."
    raise _refused(
        401,
        "invalid_api_key",
        f"{words} Send it as 'Authorization: Bearer KEY'. {_KEY_HINT}",
        headers=(("WWW-Authenticate", "Bearer"),),
        reason="key",
    )


def check_content_type(head: Head) -> None:
    """Refuse a body that a form of a web page could have sent.

    Raises:
        RefusedRequestError: 415.
    """
    sent = head.values(b"content-type")
    kind, *parameters = sent[0].lower().split(b";") if len(sent) == 1 else [b""]
    charsets = {part.strip().replace(b'"', b"") for part in parameters} - {b""}
    is_json = kind.strip() == b"application/json" and charsets <= {b"charset=utf-8"}
    if is_json and not head.values(b"content-encoding"):
        return
    raise _refused(
        415,
        "unsupported_media_type",
        "A question has to be sent as 'Content-Type: application/json', not compressed.",
        reason="content_type",
        shown=printable(b", ".join(sent)),
    )


def _is_allowed_header(name: str) -> bool:
    return name.startswith(_ASKED_PREFIX) and re.fullmatch(r"[a-z0-9-]{1,60}", name) is not None


def _refused(
    status: int,
    code: str,
    message: str,
    *,
    headers: tuple[tuple[str, str], ...] = (),
    reason: str = "",
    shown: str = "",
) -> RefusedRequestError:
    return RefusedRequestError(
        Refusal(status, code, message, headers=headers, reason=reason, shown=shown)
    )
