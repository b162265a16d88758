"""The addresses of web pages that a person allows to use the server. No Qt here."""

from __future__ import annotations

from models.api.admission import normal_origin
from models.errors import ServerAddressError

_HINT = "Write it as the browser does, such as https://chat.example.org or http://localhost:3000."


def read_origin(text: str) -> str:
    """Return the address of a web page as browsers send it.

    Raises:
        ServerAddressError: it is none, or one that would let in more than one page.
    """
    origin = text.strip().removesuffix("/")
    if "*" in origin:
        raise ServerAddressError("Only single pages can be allowed, not all of a kind.", hint=_HINT)
    if origin.lower() == "null":
        raise ServerAddressError(
            "null cannot be allowed: every file and every sandboxed page calls itself that.",
            hint=_HINT,
        )
    normal = normal_origin(origin)
    if not normal:
        shown = origin[:80].encode("unicode_escape").decode("ascii")
        raise ServerAddressError(f'"{shown}" is no address of a web page.', hint=_hint(origin))
    return normal


def _hint(origin: str) -> str:
    """Return what to write instead, where that is plain from what was written."""
    if normal_origin(f"http://{origin}"):
        return f"Put http:// or https:// before it: http://{origin.lower()} for example."
    site = normal_origin("/".join(origin.split("/")[:3]).partition("?")[0].partition("#")[0])
    # Browsers say where a page is from, and not which one it is.
    return f"Leave out what follows the name: {site}" if site else _HINT
