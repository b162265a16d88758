"""The one place that calls huggingface_hub, and translates what it raises. No Qt here.

Its habits are kept away from (measured, see the functions): it sends whatever token it finds
unless told not to, asks a server of its own who calls, waits for ever for an answer, and reads
its environment while it is imported.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.errors import FathomError, ServerAnswerError
from models.gguf.http_source import http_failure, open_client
from models.hub.names import is_commit, is_sound_path
from models.hub.quants import RemoteFile
from models.network.answers import Asked, error_of_answer, may_pass
from models.network.calls import CallThread, Line, call_stoppably
from models.network.patience import Attempts, Patience
from models.stopping import Stop
from models.version import VERSION

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import ModelInfo

# Lists of files are some 100 KB at most; the whole of one is waited for that long.
_LIST_BYTES = 256 * 1024


@dataclass(frozen=True)
class RepositoryFiles:
    """What a repository holds at one commit."""

    repository: str
    commit: str
    files: tuple[RemoteFile, ...]


class HubApi:
    """Asks one hub as one user."""

    def __init__(self, endpoint: str, token: str | None, patience: Patience) -> None:
        self._endpoint = endpoint
        self._token = token
        self._patience = patience
        self._api: HfApi | None = None

    def files(self, repository: str, revision: str, *, asked: Asked, stop: Stop) -> RepositoryFiles:
        """Return all files of a repository, and the commit that the revision means now.

        Raises:
            RemoteNotFoundError, AccessError: there is none, or not for this user.
            NetworkError: the hub gave no answer, or none that makes sense.
            StoppedError: ``stop`` said so.
        """
        attempts = Attempts(self._patience, _LIST_BYTES, stop)
        while True:
            outcome = self._ask(repository, revision, asked, attempts.deadline, stop)
            if isinstance(outcome, RepositoryFiles):
                return outcome
            attempts.failed(outcome)

    def _ask(
        self, repository: str, revision: str, asked: Asked, deadline: float, stop: Stop
    ) -> RepositoryFiles | FathomError:
        """Ask once; an error that may pass is returned, any other is raised."""
        api = self._opened()
        # After the client: only then is the library imported the way it should be.
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError

        def call() -> RepositoryFiles:
            info = api.model_info(
                repository,
                revision=revision,
                files_metadata=True,
                token=self._token or False,
                timeout=self._patience.silence_s,
            )
            return _files_of(repository, info)

        line = Line()
        too_slow = f"{asked.host} sends too slowly."
        try:
            return call_stoppably(call, line=line, stop=stop, deadline=deadline, too_slow=too_slow)
        except HfHubHTTPError as error:
            return _translated(error, asked)
        except httpx2.HTTPError as error:
            return http_failure(error, asked.host)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # Whatever stands in an answer that is not the hub's: a login page, another API.
            raise ServerAnswerError(
                f"{asked.host} does not answer like a hub.",
                hint="Check HF_ENDPOINT; perhaps the network wants a login first.",
                details=f"{type(error).__name__}: {str(error)[:300]}",
            ) from error

    def _opened(self) -> HfApi:
        if self._api is None:
            # It would otherwise tell a server of its own, before the first request, who calls.
            # Read while it is imported.
            os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
            from huggingface_hub import HfApi, set_client_factory

            timeout_s, connect_s = self._patience.silence_s, self._patience.connect_s
            set_client_factory(lambda: _client(timeout_s, connect_s))
            self._api = HfApi(
                endpoint=self._endpoint,
                token=self._token or False,
                library_name="fathom",
                library_version=VERSION,
            )
        return self._api


def _client(timeout_s: float, connect_s: float) -> httpx2.Client:
    """Return the client that huggingface_hub uses for everything from now on."""
    import httpx2

    def prepare(request: httpx2.Request) -> None:
        # Some of its calls say that they have no time limit at all.
        request.extensions["timeout"] = httpx2.Timeout(timeout_s, connect=connect_s).as_dict()
        thread = threading.current_thread()
        if isinstance(thread, CallThread):
            request.extensions["trace"] = thread.line.trace

    # A new connection for each request: only of new ones it is known what to shut down.
    client = open_client(httpx2.Timeout(timeout_s, connect=connect_s), keeps_connections=False)
    client.event_hooks = {"request": [prepare]}
    client.follow_redirects = True
    return client


def _files_of(repository: str, info: ModelInfo) -> RepositoryFiles:
    if not info.sha or not is_commit(str(info.sha)):
        raise ValueError("no commit")
    files = (RemoteFile(str(file.rfilename), int(file.size or 0)) for file in info.siblings or ())
    sound = tuple(file for file in files if is_sound_path(file.path) and file.size_bytes >= 0)
    return RepositoryFiles(repository, str(info.sha), sound)


def _translated(error: HfHubHTTPError, asked: Asked) -> FathomError:
    """Return Fathom's error for an answer of the hub; raise it when asking again is no use."""
    headers = {key.lower(): value for key, value in error.response.headers.items()}
    status = error.response.status_code
    translated = error_of_answer(status, headers, asked)
    if may_pass(status):
        return translated
    raise translated from error
