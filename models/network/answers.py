"""What an HTTP status means in words, the hub's own error codes included. No Qt here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import (
    AccessError,
    AccessPendingError,
    FathomError,
    LicenceNotAcceptedError,
    LoginNeededError,
    RateLimitedError,
    RemoteNotFoundError,
    ServerAnswerError,
    ServerError,
    TokenInvalidError,
)

# The hub names what it means in these headers; the status alone is ambiguous.
CODE_HEADER = "x-error-code"
MESSAGE_HEADER = "x-error-message"
_GATED = "GatedRepo"
_NOT_FOUND = {
    "RepoNotFound": "There is no repository for {subject}, or it is private.",
    "RevisionNotFound": "There is no such revision of {subject}.",
    "EntryNotFound": "There is no file {subject}.",
}
_PENDING = "awaiting"
_SECONDS = re.compile(r"([0-9]{1,6})")
# "api";r=0;t=55: nothing left, anew in 55 s (draft-ietf-httpapi-ratelimit-headers).
_WINDOW = re.compile(r";\s*t\s*=\s*([0-9]{1,6})")
_MAX_DETAILS = 500


@dataclass(frozen=True)
class Asked:
    """Who was asked for what.

    Attributes:
        subject: what was asked for, as it stands in messages.
        host: who was asked.
        has_token: whether the request said who asks.
        page: where a person can ask for access; may be empty.
        takes_token: whether a token would be shown to it: a mirror never is.
    """

    subject: str
    host: str
    has_token: bool = False
    page: str = ""
    takes_token: bool = True


def may_pass(status: int) -> bool:
    """Whether asking again makes sense: the server is busy or has a problem of its own."""
    return status in (408, 429) or status >= 500


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return when to ask again by the server's own word; the keys are lower-case."""
    # The header may also hold a date, which no hub sends; this one names its window instead.
    after = _SECONDS.fullmatch(headers.get("retry-after", "").strip())
    after = after or _WINDOW.search(headers.get("ratelimit", ""))
    return float(after[1]) if after else None


def error_of_answer(status: int, headers: Mapping[str, str], asked: Asked) -> FathomError:
    """Return the error that a failing answer means; the keys of ``headers`` are lower-case."""
    code = headers.get(CODE_HEADER, "")
    words = headers.get(MESSAGE_HEADER, "")[:_MAX_DETAILS]
    details = " ".join(f"HTTP {status} {code} {words}".split())
    if status == 429:
        return _rate_limited(headers, asked, details)
    if status in (404, 410) or code in _NOT_FOUND:
        message = _NOT_FOUND.get(code, "There is nothing at {subject}.")
        return RemoteNotFoundError(
            f"{message.format(subject=asked.subject)} ({asked.host})",
            hint="Check the spelling; a private repository needs a token.",
            details=details,
        )
    if status in (401, 403, 407) or code == _GATED:
        return _access_error(status, code, words, asked, details)
    if may_pass(status):
        return ServerError(
            f"{asked.host} has a problem (HTTP {status}).", hint="Try later.", details=details
        )
    return ServerAnswerError(
        f"{asked.host} refuses to give {asked.subject} (HTTP {status}).", details=details
    )


def _rate_limited(headers: Mapping[str, str], asked: Asked, details: str) -> RateLimitedError:
    after_s = retry_after_s(headers)
    when = "in a few minutes" if after_s is None else f"in {after_s:.0f} s"
    hint = f"Try again {when}."
    if not asked.has_token:
        hint += " Users with a token may ask more often."
    return RateLimitedError(
        f"{asked.host} was asked too often from here.",
        hint=hint,
        details=details,
        retry_after_s=after_s,
    )


def _access_error(status: int, code: str, words: str, asked: Asked, details: str) -> AccessError:
    where = f" at {asked.page}" if asked.page else ""
    if code == _GATED and asked.has_token:
        return _not_granted(where, words, asked, details)
    if status == 401 and asked.has_token:
        return TokenInvalidError(
            f"{asked.host} does not know the token.",
            hint="Make a new one that may read, and give it in the settings (or in HF_TOKEN).",
            details=details,
        )
    if status == 401 or code == _GATED:
        hint = f"Accept its terms{where}, and give a token in the settings (or in HF_TOKEN)."
        if not asked.takes_token:
            hint = (
                "A mirror is never shown a token; ask Hugging Face itself (leave the mirror in the "
                "settings empty, and unset HF_ENDPOINT)."
            )
        return LoginNeededError(
            f"{asked.subject} is only given to users who are logged in, if it is there at all.",
            hint=hint,
            details=details,
        )
    return AccessError(
        f"{asked.host} does not let Fathom read {asked.subject} (HTTP {status}).", details=details
    )


def _not_granted(where: str, words: str, asked: Asked, details: str) -> AccessError:
    """Return why a user who is known may not read a gated repository."""
    if _PENDING in words.lower():
        return AccessPendingError(
            f"Access to {asked.subject} was asked for and is not given yet.",
            hint=f"Wait for its publisher{where}, then try again.",
            details=details,
        )
    return LicenceNotAcceptedError(
        f"{asked.subject} may only be read by users whom its publisher gave access.",
        hint=f"Accept its terms{where}, with the account that the token belongs to.",
        details=details,
    )
