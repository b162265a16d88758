"""What the hub says about repositories: plain data. No Qt, no network here."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from models.hub.quants import RemoteFile


class Gate(enum.StrEnum):
    """Whether everybody may read a repository."""

    OPEN = "open"
    # Given to everybody who accepts the terms.
    AUTOMATIC = "auto"
    # Given by the publisher, one by one.
    MANUAL = "manual"


class SortBy(enum.StrEnum):
    """How search results are ordered; the values are the hub's own words."""

    DOWNLOADS = "downloads"
    LIKES = "likes"
    UPDATED = "last_modified"
    CREATED = "created_at"
    TRENDING = "trending_score"


@dataclass(frozen=True)
class SearchHit:
    """One repository that a search found.

    Attributes:
        repository: ``owner/name``.
        downloads: in the last 30 days, by the hub's count.
        updated_s, created_s: on the clock of ``time.time``; None when the hub does not say.
        architecture, parameters, n_ctx_train: of one file of it, by the hub's own reading; empty
            and 0 when it does not say.
    """

    repository: str
    downloads: int = 0
    likes: int = 0
    updated_s: float | None = None
    created_s: float | None = None
    gate: Gate = Gate.OPEN
    architecture: str = ""
    parameters: int = 0
    n_ctx_train: int = 0

    @property
    def publisher(self) -> str:
        """Who it belongs to."""
        return self.repository.partition("/")[0]


@dataclass(frozen=True)
class RepositoryPage:
    """A repository at one commit.

    Attributes:
        revision: as it was asked for; ``commit`` is what it means now.
        endpoint: who said so, without a slash at its end.
        licence: its short name by the model card; may be empty.
        base_models: what it was made from, ``owner/name`` each.
        is_readable: whether this user may fetch its files, as far as that is known.
        flagged: files that the hub's own scanners warn of; empty also where it does not say.
        access_note: why not and what to do about it; empty when they may be fetched.
        is_from_store: read before and kept, because the hub cannot be asked now.
    """

    repository: str
    revision: str
    commit: str
    endpoint: str
    files: tuple[RemoteFile, ...]
    gate: Gate = Gate.OPEN
    licence: str = ""
    licence_url: str = ""
    downloads: int = 0
    likes: int = 0
    updated_s: float | None = None
    created_s: float | None = None
    base_models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    is_readable: bool = True
    is_from_store: bool = False
    access_note: str = ""
    flagged: tuple[str, ...] = ()

    @property
    def publisher(self) -> str:
        """Who it belongs to."""
        return self.repository.partition("/")[0]
