"""The hub as far as planning needs it: lists of files, and where they lie. No Qt here."""

from __future__ import annotations

DEFAULT_ENDPOINT = "https://huggingface.co"


class Hub:
    """One hub, for one user."""

    def __init__(self, endpoint: str = DEFAULT_ENDPOINT, *, token: str | None = None) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._token = token
