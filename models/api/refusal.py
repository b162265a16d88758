"""A request that gets no answer, and how that is said in OpenAI's words. No Qt here."""

from __future__ import annotations

import json
from dataclasses import dataclass

from models.api.protocol import Failed
from models.errors import FathomError

_SHOWN_LENGTH = 200
_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@dataclass(frozen=True)
class Refusal:
    """What a client is told in place of an answer.

    Attributes:
        status: HTTP's.
        code: stable name, for programs.
        message: one or two plain sentences, for people.
        param: the field of the request that is meant.
        headers: what the answer has besides those that every answer has.
        reason: of ``TurnedAway``; empty: the parent is not told.
        shown: of ``TurnedAway``.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    shown: str = ""

    def body(self) -> bytes:
        """Return the JSON that OpenAI's clients expect."""
        kind = _KINDS.get(self.status)
        if kind is None:
            kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {
            "message": self.message,
            "type": kind,
            "code": self.code,
            "param": self.param,
        }
        return json.dumps({"error": error}, ensure_ascii=False).encode()


class RefusedRequestError(FathomError):
    """Leads out of the work on a request to the one place that answers with the refusal."""

    code = "request_refused"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def refusal_of(failed: Failed) -> Refusal:
    """Return what a client is told when the parent has no answer."""
    headers: tuple[tuple[str, str], ...] = ()
    if failed.retry_after_s > 0:
        headers = (("Retry-After", str(failed.retry_after_s)),)
    elif failed.status >= 500 or failed.status == 429:
        # OpenAI's own libraries ask again by themselves, unless they are told that it is of no use:
        # https://github.com/openai/openai-python/blob/main/src/openai/_base_client.py
        headers = (("x-should-retry", "false"),)
    message = f"{failed.message} {failed.hint}".strip()
    # What the parent says is trusted, yet a status outside HTTP's would end in half an answer.
    status = failed.status if 400 <= failed.status <= 599 else 500
    return Refusal(status, failed.code, message, headers=headers)


def printable(value: bytes | str) -> str:
    """Return what a stranger sent, for people's eyes: printable ASCII, of bounded length."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return "".join(c if " " <= c <= "~" else "?" for c in text[:_SHOWN_LENGTH])
