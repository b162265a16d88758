"""Makes huggingface_hub send its requests through our own clients. No Qt here.

It has one HTTP client for the whole process, without time limits, and tries again by itself with
pauses that nobody can end. Here every hub has a client of its own, a request can be left at any
moment, and a failure comes out at once: whoever asked decides about trying again.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from models.errors import FathomError, RemoteNotFoundError, ServerAnswerError
from models.gguf.http_source import http_failure, open_client
from models.network.answers import Asked, error_of_answer, may_pass
from models.network.calls import CallThread, Line, call_stoppably
from models.network.patience import Patience
from models.stopping import Stop

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi

_T = TypeVar("_T")

# A list of some 50,000 files; no repository of checkpoints has a hundredth of that.
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
_MAX_REDIRECTS = 5
# What zlib makes of one piece from the socket stays within 70 MB; of others that is not known.
_KNOWN_CODINGS = ("", "identity", "gzip")
# What is not true of the body any more once it was read.
_PACKED = ("content-encoding", "content-length", "transfer-encoding")

_PREPARING = threading.Lock()


class _FailedRequestError(Exception):
    """A request got no answer; not an error of the HTTP library, which would be tried again."""

    def __init__(self, error: httpx2.HTTPError) -> None:
        super().__init__(str(error))
        self.error = error


class _OddAnswerError(ValueError):
    """An answer that no hub would give; the text says in what way."""


# What comes of reading an answer that is not a hub's: also nested so deep that json gives up.
_NO_ANSWERS = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
)


class _PassingAnswerError(Exception):
    """The server is busy or has a problem of its own."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers


class HubClient:
    """Sends what huggingface_hub asks one hub; may be used by several threads."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._client: httpx2.Client | None = None

    def call(
        self, call: Callable[[], _T], *, asked: Asked, stop: Stop, deadline: float
    ) -> _T | FathomError:
        """Run a call of huggingface_hub once; an error that may pass is returned.

        Args:
            call: uses huggingface_hub; runs in a thread of its own.
            asked: what is asked for, for messages.
            stop: asked all the time.
            deadline: on the clock of ``time.monotonic``.

        Raises:
            RemoteNotFoundError, AccessError, RateLimitedError, NetworkError: what will not pass.
            StoppedError: ``stop`` said so.
        """
        prepare_library()
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        try:
            return call_stoppably(
                call,
                line=_ClientLine(self),
                stop=stop,
                deadline=deadline,
                too_slow=f"{asked.host} sends too slowly.",
            )
        except _FailedRequestError as failed:
            return http_failure(failed.error, asked.host)
        except _PassingAnswerError as passing:
            return error_of_answer(passing.status, passing.headers, asked)
        except HfHubHTTPError as error:
            raise error_of_answer(
                error.response.status_code, _lower(error.response), asked
            ) from error
        except HFValidationError as error:
            raise _no_name(error, asked) from error
        # The library follows some redirects itself: in circles, or to what is no address.
        except (httpx2.TooManyRedirects, httpx2.InvalidURL, *_NO_ANSWERS) as error:
            raise _no_hub(error, asked) from error

    def send(self, line: Line, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request whose connections ``line`` is told of."""
        import httpx2

        limits = self._patience
        timeout = httpx2.Timeout(limits.silence_s, connect=limits.connect_s)
        # Some calls say that they have no time limit at all.
        request.extensions["timeout"] = timeout.as_dict()
        request.extensions["trace"] = line.trace
        try:
            response = self._opened(timeout).send(request, **{**options, "stream": True})
            with contextlib.closing(response):
                if may_pass(response.status_code):
                    raise _PassingAnswerError(response.status_code, _lower(response))
                return _whole(response)
        except httpx2.TooManyRedirects:
            raise
        except httpx2.HTTPError as error:
            raise _FailedRequestError(error) from error

    def _opened(self, timeout: httpx2.Timeout) -> httpx2.Client:
        with self._lock:
            if self._client is None:
                # A new connection for each request: only of new ones it is known what to shut down.
                self._client = open_client(timeout, keeps_connections=False)
                self._client.follow_redirects = True
                self._client.max_redirects = _MAX_REDIRECTS
                self._client.event_hooks = {"response": [_check_redirect]}
            return self._client


class _ClientLine(Line):
    """The line of a call that huggingface_hub makes, and the client it goes through."""

    def __init__(self, client: HubClient) -> None:
        super().__init__()
        self.client = client


def open_api(endpoint: str, token: str | None, version: str) -> HfApi:
    """Return huggingface_hub's API for one hub and user; importing it takes a while."""
    prepare_library()
    from huggingface_hub import HfApi

    return HfApi(
        endpoint=endpoint,
        token=token or False,
        library_name="fathom",
        library_version=version,
    )


def prepare_library() -> None:
    """Import huggingface_hub the way it should be, once in a process."""
    with _PREPARING:
        _prepare()


@functools.cache
def _prepare() -> None:
    # It would otherwise tell a server of its own, before the first request, who calls. Read while
    # it is imported.
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import httpx2
    from huggingface_hub import set_client_factory

    class Dispatcher(httpx2.Client):
        """The process's one client: hands every request to the client of its call."""

        def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            thread = threading.current_thread()
            line = thread.line if isinstance(thread, CallThread) else None
            if not isinstance(line, _ClientLine):
                raise TypeError("huggingface_hub is only used through HubClient.call")
            return line.client.send(line, request, **options)

    # It sends nothing itself, and looks at no proxies and certificates.
    set_client_factory(lambda: Dispatcher(transport=httpx2.BaseTransport(), trust_env=False))


def _whole(response: httpx2.Response) -> httpx2.Response:
    """Return an answer with its body read, as far as a hub's answers go.

    Raises:
        ValueError: it is longer, or packed in a way that nobody asked for.
    """
    import httpx2

    if response.request.method == "HEAD":
        response.read()
        return response
    coding = response.headers.get("content-encoding", "").lower()
    if coding not in _KNOWN_CODINGS:
        raise _OddAnswerError(f"It is packed as {coding[:40]}.")
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > _MAX_ANSWER_BYTES:
            raise _OddAnswerError(f"It is longer than {_MAX_ANSWER_BYTES:,} bytes.")
    headers = [(key, value) for key, value in response.headers.multi_items() if key not in _PACKED]
    return httpx2.Response(
        response.status_code, headers=headers, content=bytes(body), request=response.request
    )


def _check_redirect(response: httpx2.Response) -> None:
    """Refuse to be led from an encrypted address to one that is not.

    Raises:
        ValueError: the answer leads there.
    """
    if response.has_redirect_location and response.request.url.scheme == "https":
        target = response.request.url.join(response.headers["location"])
        if target.scheme != "https":
            raise _OddAnswerError(f"It leads to {target.host} without encryption.")


def _no_name(error: Exception, asked: Asked) -> FathomError:
    # Such as a name with two dashes in a row; nothing was sent.
    return RemoteNotFoundError(
        f"{asked.subject} cannot be a repository of {asked.host}.",
        hint="Check the spelling.",
        details=str(error)[:300],
    )


def _no_hub(error: Exception, asked: Asked) -> FathomError:
    # Whatever stands in an answer that is not the hub's: a login page, another API.
    return ServerAnswerError(
        f"{asked.host} does not answer like a hub.",
        hint="Check the mirror's address in the settings (or HF_ENDPOINT); perhaps the network "
        "wants a login first.",
        details=f"{type(error).__name__}: {str(error)[:300]}",
    )


def _lower(response: httpx2.Response) -> dict[str, str]:
    return {key.lower(): value for key, value in response.headers.items()}
