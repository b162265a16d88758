"""The hub as Fathom uses it: search, pages, cards, lists, and where files lie. No Qt here.

Weights are never fetched here: ``models.transfer`` does, from where ``Hub.locate`` says.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from models.errors import (
    AccessError,
    BadInputError,
    LoginNeededError,
    NetworkError,
    OfflineError,
)
from models.gguf.http_source import HttpRangeSource
from models.hub.api import HubApi, RepositoryFiles
from models.hub.card_text import MAX_CARD_BYTES, card_text
from models.hub.listing import packed_page, unpacked_page
from models.hub.located import checked_location
from models.hub.names import RepositoryPlace, is_commit, parse_hub_url, quoted
from models.hub.pages import Gate, RepositoryPage, SearchHit, SortBy
from models.hub.store import Entry, HeaderStore
from models.network.answers import Asked
from models.network.patience import Patience
from models.stopping import Stop, never
from models.transfer.remote import Location, RemoteObject

DEFAULT_ENDPOINT = "https://huggingface.co"

# Who may be shown a token: nobody else, whatever HF_ENDPOINT says.
_OFFICIAL_HOSTS = ("huggingface.co", "hf.co")
_STORE_FOLDER = "headers"
_YES = ("1", "on", "yes", "true")
_CARD_NAMES = ("readme.md", "readme")

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
    def is_official(self) -> bool:
        """Whether it is Hugging Face itself and no mirror, and nobody can listen."""
        return is_official(self._endpoint)

    @property
    def host(self) -> str:
        """The hub's name, as messages have it."""
        return self._host

    def place_of(self, url: str) -> RepositoryPlace | None:
        """Return what an address at this hub means, None when it is another address."""
        return parse_hub_url(url, self._endpoint)

    def search(
        self,
        words: str,
        *,
        author: str = "",
        sort: SortBy = SortBy.DOWNLOADS,
        limit: int = 30,
        gguf_only: bool = True,
        stop: Stop = never,
    ) -> tuple[SearchHit, ...]:
        """Return the repositories that a search finds, the first ones by ``sort``.

        Args:
            words: what the name has; empty finds all.
            author: only of this publisher; empty for all.
            sort: the order.
            limit: at most so many.
            gguf_only: only repositories with GGUF files.
            stop: asked all the time.

        Raises:
            NetworkError: the hub gave no answer, or none that makes sense; ``OfflineError`` where
                it may not be asked.
            AccessError: the token is none.
            StoppedError: ``stop`` said so.
        """
        self._check_online("Searching needs the network")
        return self._api.search(
            " ".join(words.split()),
            author=author.strip(),
            sort=sort,
            limit=limit,
            gguf_only=gguf_only,
            asked=self._asked("the list of models"),
            stop=stop,
        )

    def page(self, place: RepositoryPlace, *, stop: Stop = never) -> RepositoryPage:
        """Return a repository at the commit that the revision means now.

        What was read before is used where the network cannot be (``is_from_store``).

        Raises:
            RemoteNotFoundError, AccessError: there is none, or not even its page for this user.
            NetworkError: the hub gave no answer, or none that makes sense; ``OfflineError`` where
                it may not be asked.
            StoppedError: ``stop`` said so.
        """
        known = self._kept_page(place)
        try:
            page = self._asked_page(place, stop)
        except NetworkError as error:
            if known is None:
                raise
            _log.info("An older page is used: %s", error.one_line())
            return known
        return self._with_access(page, stop)

    def files(self, place: RepositoryPlace, *, stop: Stop = never) -> RepositoryFiles:
        """Return all files of a repository, pinned to the commit that the revision means.

        What was listed before is used where the network cannot be, and always for a commit.

        Raises:
            RemoteNotFoundError, AccessError, NetworkError, StoppedError: as ``page``.
        """
        known = self._kept_page(place)
        if known is None or not is_commit(place.revision):
            try:
                known = self._asked_page(place, stop)
            except NetworkError as error:
                if known is None:
                    raise
                _log.info("An older list of files is used: %s", error.one_line())
        return RepositoryFiles(known.repository, known.commit, known.files)

    def card(self, page: RepositoryPage, *, stop: Stop = never) -> str:
        """Return the model card as Markdown, at most ``MAX_CARD_BYTES``; empty without one.

        The lines for machines at its start are cut off. It is the text of a stranger.

        Raises:
            RemoteNotFoundError, AccessError, NetworkError, StoppedError: as ``page``.
        """
        names = {file.path.lower(): file for file in page.files}
        found = next((names[name] for name in _CARD_NAMES if name in names), None)
        if found is None or not found.size_bytes:
            return ""
        url = self.file_url(page.repository, page.commit, found.path)
        known = self.store.get(url) if self.store else None
        if known is not None:
            return card_text(known.data)
        with self.open_url(url, stop=stop) as source:
            data = source.read_at(0, min(source.size_bytes, MAX_CARD_BYTES + 1))
            entry = Entry(url, source.etag, source.size_bytes, data)
        if self.store is not None:
            self.store.put(entry)
        return card_text(data)

    def locate(self, remote: RemoteObject, *, stop: Stop = never) -> Location:
        """Return where the bytes of a file are now; this makes a hub a ``Locator``.

        The token is only sent when ``remote.endpoint`` is this hub.

        Raises:
            AccessError, RemoteNotFoundError: not for this user, or no longer there.
            RemoteChangedError: it is not the file that ``remote`` means.
            NetworkError: no answer, or none that makes sense; ``OfflineError`` where it may not
                be asked.
            StoppedError: ``stop`` said so.
        """
        path = remote.file.path
        self._check_online(f"{path} was not fetched before")
        api, token = self._api, self._token
        asked = self._asked(f"{remote.repository}/{path}", repository=remote.repository)
        if remote.endpoint != self._endpoint:
            token = None
            api = HubApi(remote.endpoint, None, self._patience)
            asked = replace(asked, host=_host_of(remote.endpoint), has_token=False)
        commit = quote(remote.commit, safe="")
        url = f"{remote.endpoint}/{remote.repository}/resolve/{commit}/{quoted(path)}"
        found = api.locate(url, asked=asked, stop=stop)
        return checked_location(found, remote, url=url, token=token, now_s=time.time())

    def whoami(self, stop: Stop = never) -> str:
        """Return the name of the user whom the token belongs to.

        Raises:
            LoginNeededError: there is no token.
            TokenInvalidError: the hub does not know it.
            NetworkError, StoppedError: as ``page``.
        """
        self._check_online("Asking the hub who you are needs the network")
        if self._token is None:
            raise LoginNeededError("No token is given.", hint="Give one in the settings.")
        return self._api.user_name(asked=self._asked("the token's owner"), stop=stop)

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
        name = unquote(urlsplit(url).path).rpartition("/")[2]
        self._check_online(f"{name} was not looked at before")
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

    def _asked(self, subject: str, *, repository: str = "") -> Asked:
        page = f"{self._endpoint}/{repository}" if repository else ""
        takes_token = self._token is not None or self.is_official
        return Asked(subject, self._host, self._token is not None, page, takes_token)

    def _check_online(self, needed_for: str) -> None:
        if self.is_offline:
            raise OfflineError(
                f"{needed_for}, and Fathom is set to work offline.",
                hint="Switch that off in the settings (or unset HF_HUB_OFFLINE).",
            )

    def _asked_page(self, place: RepositoryPlace, stop: Stop) -> RepositoryPage:
        self._check_online(f"{place.repository} was not looked at before")
        subject = place.text_of(place.path) if place.path else place.repository
        asked = self._asked(subject, repository=place.repository)
        page = self._api.page(place.repository, place.revision, asked=asked, stop=stop)
        self._keep_page(page)
        return page

    def _with_access(self, page: RepositoryPage, stop: Stop) -> RepositoryPage:
        """Find out whether a gated repository's files are for this user: its page is for all."""
        if page.gate is Gate.OPEN:
            return page
        asked = self._asked(page.repository, repository=page.repository)
        try:
            self._api.check_access(page.repository, asked=asked, stop=stop)
        except AccessError as error:
            return replace(page, is_readable=False, access_note=error.one_line())
        except (NetworkError, BadInputError) as error:
            # A mirror may not know the question: then the download finds out.
            _log.info("Whether %s may be read is not known: %s", page.repository, error.one_line())
        return page

    def _list_url(self, repository: str, revision: str) -> str:
        return f"{self._endpoint}/api/models/{repository}/revision/{quote(revision, safe='')}"

    def _kept_page(self, place: RepositoryPlace) -> RepositoryPage | None:
        url = self._list_url(place.repository, place.revision)
        entry = self.store.get(url) if self.store else None
        return unpacked_page(entry.data) if entry else None

    def _keep_page(self, page: RepositoryPage) -> None:
        """Keep a page by what was asked for and by what that means now."""
        if self.store is None:
            return
        for revision in {page.revision, page.commit}:
            data = packed_page(replace(page, revision=revision))
            url = self._list_url(page.repository, revision)
            self.store.put(Entry(url, page.commit, len(data), data))


def hub_of_user(
    environ: Mapping[str, str],
    *,
    cache_dir: Path,
    is_offline: bool = False,
    endpoint: str = "",
    token: str = "",
) -> Hub:
    """Return the hub as the environment and the user's settings want it.

    Args:
        environ: ``HF_ENDPOINT`` names a mirror, ``HF_TOKEN`` who asks, ``HF_HUB_OFFLINE`` switches
            the network off as the setting does.
        cache_dir: where what was read is kept.
        is_offline: the setting ``hub.offline``.
        endpoint: the setting ``hub.endpoint``; goes before ``HF_ENDPOINT``.
        token: what the user gave Fathom; goes before ``HF_TOKEN``. Either is shown to Hugging
            Face itself and to no mirror.

    Raises:
        BadInputError: the mirror's address is none.
    """
    address = endpoint_of_user(environ, endpoint)
    who = token.strip() or environ.get("HF_TOKEN", "").strip()
    offline = environ.get("HF_HUB_OFFLINE", "").strip().lower() in _YES
    return Hub(
        address,
        token=who if who and is_official(address) else None,
        is_offline=is_offline or offline,
        store=HeaderStore(cache_dir / _STORE_FOLDER),
    )


def endpoint_of_user(environ: Mapping[str, str], endpoint: str = "") -> str:
    """Return the address of the hub that the settings, or else the environment, want.

    Raises:
        BadInputError: it is no web address.
    """
    address = endpoint.strip() or environ.get("HF_ENDPOINT", "").strip() or DEFAULT_ENDPOINT
    _host_of(address)
    return address.rstrip("/")


def is_official(endpoint: str) -> bool:
    """Whether an address is Hugging Face's own, and encrypted: only there a token is shown."""
    try:
        parts = urlsplit(endpoint)
        is_plain_port = parts.port in (None, 443)
    except ValueError:
        return False
    return parts.scheme == "https" and is_plain_port and parts.hostname in _OFFICIAL_HOSTS


def _host_of(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        host = parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        host = None
    if host and "@" in parts.netloc:
        # It would be written down with every download, where others may read it.
        raise BadInputError(
            f"The address of the mirror {host} has a name or password in it.",
            hint="Leave it out: a mirror is asked as nobody.",
        )
    if not host:
        raise BadInputError(
            f'"{endpoint[:200]}" is not the address of a hub.',
            hint="A mirror (in the settings, or in HF_ENDPOINT) looks like https://huggingface.co.",
        )
    return host
