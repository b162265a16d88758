from __future__ import annotations

import pytest

from models.errors import (
    AccessError,
    AccessPendingError,
    LicenceNotAcceptedError,
    LoginNeededError,
    RateLimitedError,
    RemoteNotFoundError,
    ServerAnswerError,
    ServerError,
    TokenInvalidError,
)
from models.network.answers import Asked, error_of_answer, may_pass

ANYBODY = Asked("owner/model", "hub.test", page="https://hub.test/owner/model")
SOMEBODY = Asked("owner/model", "hub.test", has_token=True, page="https://hub.test/owner/model")
GATED = {"x-error-code": "GatedRepo"}
INVALID = {"x-error-message": "Invalid credentials in Authorization header"}

# The cases that were measured at the hub (401 and 403 mean different things by header and token).
CASES = [
    (401, GATED, ANYBODY, LoginNeededError, "HF_TOKEN"),
    (403, GATED, SOMEBODY, LicenceNotAcceptedError, "Accept its terms at https://hub.test"),
    (
        403,
        GATED | {"x-error-message": "awaiting a review"},
        SOMEBODY,
        AccessPendingError,
        "Wait for its publisher at https://hub.test",
    ),
    (401, INVALID, SOMEBODY, TokenInvalidError, "HF_TOKEN"),
    (401, {"x-error-code": "RepoNotFound"}, ANYBODY, RemoteNotFoundError, "no repository"),
    (404, {"x-error-code": "RepoNotFound"}, SOMEBODY, RemoteNotFoundError, "private"),
    (404, {"x-error-code": "RevisionNotFound"}, ANYBODY, RemoteNotFoundError, "no such revision"),
    (404, {"x-error-code": "EntryNotFound"}, ANYBODY, RemoteNotFoundError, "no file"),
    (404, {}, ANYBODY, RemoteNotFoundError, "nothing at"),
    (410, {}, ANYBODY, RemoteNotFoundError, "nothing at"),
    (401, {}, ANYBODY, LoginNeededError, "logged in"),
    (401, {}, Asked("owner/model", "mirror.test", takes_token=False), LoginNeededError, "mirror"),
    (403, {}, ANYBODY, AccessError, "does not let"),
    (429, {}, ANYBODY, RateLimitedError, "in a few minutes"),
    (429, {"retry-after": "7"}, ANYBODY, RateLimitedError, "in 7 s"),
    (500, {}, ANYBODY, ServerError, "HTTP 500"),
    (503, {}, ANYBODY, ServerError, "HTTP 503"),
    (400, {}, ANYBODY, ServerAnswerError, "HTTP 400"),
]


@pytest.mark.parametrize(("status", "headers", "asked", "kind", "words"), CASES)
def test_every_refusal_has_its_own_class_and_words(status, headers, asked, kind, words):
    error = error_of_answer(status, headers, asked)
    assert type(error) is kind
    assert words in error.one_line()
    assert f"HTTP {status}" in error.details


def test_how_long_to_wait_is_the_servers_word():
    assert error_of_answer(429, {"retry-after": "7"}, ANYBODY).retry_after_s == 7.0
    window = {"ratelimit": '"api";r=0;t=55'}
    assert error_of_answer(429, window, ANYBODY).retry_after_s == 55.0
    assert error_of_answer(429, {"retry-after": "Wed, 21 Oct"}, ANYBODY).retry_after_s is None


def test_what_a_stranger_writes_into_a_header_stays_short():
    error = error_of_answer(400, {"x-error-message": "x" * 10_000}, ANYBODY)
    assert len(error.details) < 1000


def test_only_a_busy_or_broken_server_is_asked_again():
    assert [s for s in (400, 401, 403, 404, 408, 410, 416, 429, 500, 503) if may_pass(s)] == [
        408, 429, 500, 503,
    ]  # fmt: skip
