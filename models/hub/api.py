"""The one place that calls huggingface_hub: lists, pages, who asks, where files lie. No Qt here.

Its habits are kept away from (measured, see ``models.hub.client``): it sends whatever token it
finds unless told not to, asks a server of its own who calls, waits for ever for an answer, and
reads its environment while it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from models.errors import FathomError
from models.hub.client import HubClient, open_api
from models.hub.listing import hit_of, page_of
from models.hub.pages import RepositoryPage, SearchHit, SortBy
from models.hub.quants import RemoteFile
from models.network.answers import Asked
from models.network.patience import Attempts, Patience
from models.stopping import Stop
from models.version import VERSION

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ExpandModelProperty_T

_T = TypeVar("_T")

# Lists are some 100 KB at most; the whole of one is waited for that long.
_LIST_BYTES = 256 * 1024
_SMALL_BYTES = 4096
_GGUF = "gguf"
_HIT_KEYS: tuple[ExpandModelProperty_T, ...] = (
    "createdAt",
    "downloads",
    "gated",
    "gguf",
    "lastModified",
    "likes",
)


@dataclass(frozen=True)
class RepositoryFiles:
    """What a repository holds at one commit."""

    repository: str
    commit: str
    files: tuple[RemoteFile, ...]


@dataclass(frozen=True)
class FoundFile:
    """What the hub says about one file; ``location`` may be at another server."""

    location: str
    etag: str
    size_bytes: int | None
    commit: str


class HubApi:
    """Asks one hub as one user; every method may be called from any thread.

    Every method raises, besides what it names:
        RemoteNotFoundError, AccessError: there is no such thing, or not for this user.
        NetworkError: the hub gave no answer, or none that makes sense.
        StoppedError: ``stop`` said so.
    """

    def __init__(self, endpoint: str, token: str | None, patience: Patience) -> None:
        self._endpoint = endpoint
        self._token = token
        self._patience = patience
        self._client = HubClient(patience)
        self._api: HfApi | None = None

    def page(self, repository: str, revision: str, *, asked: Asked, stop: Stop) -> RepositoryPage:
        """Return a repository at the commit that the revision means now."""

        def call() -> RepositoryPage:
            info = self._opened().model_info(
                repository,
                revision=revision,
                files_metadata=True,
                securityStatus=True,
                token=self._token or False,
            )
            return page_of(repository, revision, self._endpoint, info)

        return self._ask(call, _LIST_BYTES, asked=asked, stop=stop)

    def search(
        self,
        words: str,
        *,
        author: str,
        sort: SortBy,
        limit: int,
        gguf_only: bool,
        asked: Asked,
        stop: Stop,
    ) -> tuple[SearchHit, ...]:
        """Return the repositories that a search finds, the first ones by ``sort``."""

        def call() -> tuple[SearchHit, ...]:
            found = self._opened().list_models(
                search=words or None,
                author=author or None,
                filter=_GGUF if gguf_only else None,
                sort=sort.value,
                limit=limit,
                expand=list(_HIT_KEYS),
                token=self._token or False,
            )
            hits = (hit_of(info) for info in found)
            return tuple(hit for hit in hits if hit is not None)

        return self._ask(call, _LIST_BYTES, asked=asked, stop=stop)

    def check_access(self, repository: str, *, asked: Asked, stop: Stop) -> None:
        """Raise ``AccessError`` when this user may not read the files of a repository."""

        def call() -> None:
            self._opened().auth_check(repository, token=self._token or False)

        self._ask(call, _SMALL_BYTES, asked=asked, stop=stop)

    def user_name(self, *, asked: Asked, stop: Stop) -> str:
        """Return the name of the user whom the token belongs to; there must be a token."""

        def call() -> str:
            return str(self._opened().whoami(token=self._token)["name"])

        return self._ask(call, _SMALL_BYTES, asked=asked, stop=stop)

    def locate(self, url: str, *, asked: Asked, stop: Stop) -> FoundFile:
        """Return where the file behind a ``/resolve/`` address of this hub lies now."""

        def call() -> FoundFile:
            found = self._opened().get_hf_file_metadata(
                url=url, token=self._token or False, timeout=self._patience.silence_s
            )
            return FoundFile(found.location, found.etag or "", found.size, found.commit_hash or "")

        return self._ask(call, _SMALL_BYTES, asked=asked, stop=stop)

    def _ask(self, call: Callable[[], _T], size_bytes: int, *, asked: Asked, stop: Stop) -> _T:
        """Call until there is an answer or patience ends."""
        attempts = Attempts(self._patience, size_bytes, stop)
        while True:
            outcome = self._client.call(call, asked=asked, stop=stop, deadline=attempts.deadline)
            if not isinstance(outcome, FathomError):
                return outcome
            attempts.failed(outcome)

    def _opened(self) -> HfApi:
        if self._api is None:
            self._api = open_api(self._endpoint, self._token, VERSION)
        return self._api
