"""Repositories and their files as people write them. No Qt, no network here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

MAIN = "main"

_SUFFIX = ".gguf"
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPOSITORY = re.compile(rf"{_PART}/{_PART}")
_MAX_REVISION = 255
_COMMIT = re.compile(r"[0-9a-f]{40}")
# How the hub's pages and downloads call the part of an address before the revision.
_VIEWS = ("resolve", "blob", "tree", "raw")


@dataclass(frozen=True)
class RepositoryPlace:
    """A repository, or something in it.

    Attributes:
        repository: ``owner/name``.
        path: of a file or folder in it, empty for all of it.
        revision: branch, tag or commit.
    """

    repository: str
    path: str = ""
    revision: str = MAIN

    @property
    def is_file(self) -> bool:
        """Whether it is a GGUF file, by its name."""
        return self.path.lower().endswith(_SUFFIX)

    def text_of(self, path: str) -> str:
        """Return how a person writes a file of the same repository and revision."""
        at = "" if self.revision == MAIN else f"@{self.revision}"
        return f"{self.repository}/{path}{at}"


def parse_place(text: str) -> RepositoryPlace | None:
    """Take ``owner/name[/path][@revision]`` apart, None when it cannot be that.

    A revision may itself have slashes (``refs/pr/1``). A text with an ``@`` in a file name is not
    understood; the hub's web address of the file is.
    """
    body, at, revision = text.partition("@")
    if at and not _is_revision(revision):
        return None
    parts = body.split("/")
    if len(parts) < 2 or not _REPOSITORY.fullmatch("/".join(parts[:2])):
        return None
    path = "/".join(parts[2:])
    if len(parts) > 2 and not is_sound_path(path):
        return None
    return RepositoryPlace("/".join(parts[:2]), path, revision if at else MAIN)


def parse_hub_url(url: str, endpoint: str) -> RepositoryPlace | None:
    """Return what an address at the hub means, None when it is another address.

    Pages (``/blob/``, ``/tree/``) are understood like downloads (``/resolve/``).
    """
    try:
        given, hub = urlsplit(url), urlsplit(endpoint)
        is_elsewhere = given.port != hub.port
    except ValueError:
        return None
    if is_elsewhere or (given.hostname or "") not in _same_hosts(hub.hostname or ""):
        return None
    base = hub.path.rstrip("/") + "/"
    if not given.path.startswith(base):
        return None
    # Taken apart before it is unquoted: a revision may hold an escaped slash.
    parts = [unquote(part) for part in given.path[len(base) :].strip("/").split("/")]
    if not _REPOSITORY.fullmatch("/".join(parts[:2])):
        return None
    repository, rest = "/".join(parts[:2]), parts[2:]
    if not rest:
        return RepositoryPlace(repository)
    if len(rest) < 2 or rest[0] not in _VIEWS or not _is_revision(rest[1]):
        return None
    path = "/".join(rest[2:])
    if path and not is_sound_path(path):
        return None
    return RepositoryPlace(repository, path, rest[1])


def is_repository(text: str) -> bool:
    """Whether a text is ``owner/name``."""
    return _REPOSITORY.fullmatch(text) is not None


def is_web_address(url: str) -> bool:
    """Whether a text is the address of something on a web server."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_commit(revision: str) -> bool:
    """Whether a revision says exactly what it means."""
    return _COMMIT.fullmatch(revision) is not None


def is_sound_path(path: str) -> bool:
    """Whether a path can be one inside a repository."""
    parts = path.split("/")
    return all(part not in ("", ".", "..") for part in parts) and path.isprintable()


def quoted(path: str) -> str:
    """Return a path as it stands in an address."""
    return quote(path, safe="/")


def _is_revision(text: str) -> bool:
    return bool(text) and len(text) <= _MAX_REVISION and is_sound_path(text)


def _same_hosts(host: str) -> tuple[str, ...]:
    official = ("huggingface.co", "www.huggingface.co", "hf.co")
    return official if host in official else (host,)
