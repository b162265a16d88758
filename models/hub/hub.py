"""The hub as far as planning needs it: lists of files, and headers by range. No Qt here.

Weights are never fetched.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from models.errors import BadInputError, NetworkError, OfflineError
from models.gguf.http_source import HttpRangeSource
from models.hub.api import HubApi, RepositoryFiles
from models.hub.names import RepositoryPlace, is_commit, parse_hub_url, quoted
from models.hub.quants import RemoteFile
from models.hub.store import Entry, HeaderStore
from models.network.answers import Asked
from models.network.patience import Patience
from models.stopping import Stop, never

DEFAULT_ENDPOINT = "https://huggingface.co"

# Who may be shown a token: nobody else, whatever HF_ENDPOINT says.
_OFFICIAL_HOSTS = ("huggingface.co", "hf.co")
_STORE_FOLDER = "headers"
_YES = ("1", "on", "yes", "true")

_log = logging.getLogger(__name__)


class Hub:
    """One hub, asked as one user; every method may be called from any thread.

    Args:
        endpoint: address of the hub or of a mirror.
        token: who asks; None is nobody. Only ever sent to ``endpoint``.
        is_offline: nothing is sent at all; what was read before is still there.
        store: where what was read is kept, None keeps nothing.
        patience: limits of every request.

    Raises:
        BadInputError: the endpoint is no web address.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        token: str | None = None,
        is_offline: bool = False,
        store: HeaderStore | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._host = _host_of(self._endpoint)
        self._token = token
        self._patience = patience or Patience()
        self._api = HubApi(self._endpoint, token, self._patience)
        self.is_offline = is_offline
        self.store = store

    @property
    def endpoint(self) -> str:
        """The hub's address, without a slash at its end."""
        return self._endpoint

    @property
    def host(self) -> str:
        """The hub's name, as messages have it."""
        return self._host

    def place_of(self, url: str) -> RepositoryPlace | None:
        """Return what an address at this hub means, None when it is another address."""
        return parse_hub_url(url, self._endpoint)

    def files(self, place: RepositoryPlace, *, stop: Stop = never) -> RepositoryFiles:
        """Return all files of a repository, pinned to the commit that the revision means.

        What was listed before is used where the network cannot be.

        Raises:
            RemoteNotFoundError, AccessError: there is none, or not for this user.
            NetworkError: the hub gave no answer, or none that makes sense; ``OfflineError`` where
                it may not be asked.
            StoppedError: ``stop`` said so.
        """
        url = self._list_url(place)
        known = self._kept_files(place.repository, url)
        if known is not None and is_commit(place.revision):
            return known
        try:
            self._check_online(place.repository)
            asked = self._asked(place.text_of(place.path) if place.path else place.repository)
            found = self._api.files(place.repository, place.revision, asked=asked, stop=stop)
        except NetworkError as error:
            if known is None:
                raise
            _log.info("An older list of files is used: %s", error.one_line())
            return known
        self._keep_files(url, found)
        return found

    def file_url(self, repository: str, commit: str, path: str) -> str:
        """Return where a file of a repository can be read; it redirects to where it lies."""
        return f"{self._endpoint}/{repository}/resolve/{quote(commit, safe='')}/{quoted(path)}"

    def open_url(self, url: str, *, stop: Stop = never) -> HttpRangeSource:
        """Return a file behind any address, to be read by ranges; close it after use.

        The token is sent when the address begins with the hub's own.

        Raises:
            OfflineError: the network may not be used.
            BadInputError, RemoteNotFoundError, AccessError, NetworkError, StoppedError: as
                ``HttpRangeSource``.
        """
        self._check_online(unquote(urlsplit(url).path).rpartition("/")[2])
        place = self.place_of(url)
        if place is None or not url.startswith(f"{self._endpoint}/"):
            return HttpRangeSource(url, patience=self._patience, stop=stop)
        page = f"{self._endpoint}/{place.repository}"
        return HttpRangeSource(
            url,
            token=self._token,
            name=place.path.rpartition("/")[2],
            page=page,
            patience=self._patience,
            stop=stop,
        )

    def _asked(self, subject: str) -> Asked:
        repository = "/".join(subject.split("/")[:2])
        page = f"{self._endpoint}/{repository}"
        return Asked(subject, self._host, self._token is not None, page)

    def _check_online(self, subject: str) -> None:
        if self.is_offline:
            raise OfflineError(
                f"{subject} was not looked at before, and Fathom is set to work offline.",
                hint="Switch that off in the settings (or unset HF_HUB_OFFLINE).",
            )

    def _list_url(self, place: RepositoryPlace) -> str:
        revision = quote(place.revision, safe="")
        return f"{self._endpoint}/api/models/{place.repository}/revision/{revision}"

    def _kept_files(self, repository: str, url: str) -> RepositoryFiles | None:
        entry = self.store.get(url) if self.store else None
        if entry is None:
            return None
        try:
            files = tuple(RemoteFile(str(path), int(size)) for path, size in json.loads(entry.data))
        except (ValueError, TypeError):
            return None
        return RepositoryFiles(repository, entry.etag, files)

    def _keep_files(self, url: str, found: RepositoryFiles) -> None:
        if self.store is not None:
            data = json.dumps([[file.path, file.size_bytes] for file in found.files]).encode()
            self.store.put(Entry(url, found.commit, len(data), data))


def hub_of_user(environ: Mapping[str, str], *, cache_dir: Path, is_offline: bool = False) -> Hub:
    """Return the hub as the environment and the user's settings want it.

    ``HF_ENDPOINT`` names a mirror, ``HF_TOKEN`` is shown to Hugging Face itself and to no mirror,
    ``HF_HUB_OFFLINE`` switches the network off as the setting does.

    Raises:
        BadInputError: ``HF_ENDPOINT`` is no web address.
    """
    endpoint = environ.get("HF_ENDPOINT", "").strip() or DEFAULT_ENDPOINT
    is_official = _host_of(endpoint) in _OFFICIAL_HOSTS and endpoint.startswith("https:")
    token = environ.get("HF_TOKEN", "").strip() if is_official else ""
    offline = environ.get("HF_HUB_OFFLINE", "").strip().lower() in _YES
    return Hub(
        endpoint,
        token=token or None,
        is_offline=is_offline or offline,
        store=HeaderStore(cache_dir / _STORE_FOLDER),
    )


def _host_of(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        host = parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        host = None
    if not host:
        raise BadInputError(
            f'"{endpoint[:200]}" is not the address of a hub.',
            hint="HF_ENDPOINT should look like https://huggingface.co.",
        )
    return host
