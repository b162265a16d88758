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
        raise ServerAddressError(f'"{shown}" is no address of a web page.', hint=_HINT)
    return normal
