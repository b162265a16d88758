"""From the hub's own lists to ours, and from ours to what is kept on disk and back. No Qt here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from models.hub.names import is_commit, is_repository, is_sound_path, is_web_address, quoted
from models.hub.pages import Gate, RepositoryPage, SearchHit
from models.hub.quants import RemoteFile
from models.transfer.remote import GIT_SHA1, SHA256

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

# Texts of strangers: names of licences and tags, cut so that no line of the window bursts.
_MAX_TEXT = 200
_MAX_TAGS = 100
_MAX_BASES = 20
_SHA256_HEX = re.compile(r"[0-9a-f]{64}")
_SHA1_HEX = re.compile(r"[0-9a-f]{40}")
_BASE_TAG = re.compile(r"base_model:(?:[a-z]+:)?([^:]+/[^:]+)")
_VERSION = 3


def page_of(repository: str, revision: str, endpoint: str, info: ModelInfo) -> RepositoryPage:
    """Return what ``model_info`` with ``files_metadata`` says.

    Raises:
        ValueError, TypeError, AttributeError: it is not the answer of a hub.
    """
    if not info.sha or not is_commit(str(info.sha)):
        raise ValueError("no commit")
    files = (_file_of(file) for file in info.siblings or ())
    card = vars(info.card_data) if info.card_data is not None else {}
    tags = tuple(_text(tag) for tag in (info.tags or ())[:_MAX_TAGS])
    return RepositoryPage(
        repository=repository,
        revision=revision,
        commit=str(info.sha),
        endpoint=endpoint,
        files=tuple(file for file in files if file is not None),
        gate=_gate_of(info.gated),
        licence=_licence_of(card, tags),
        licence_url=_licence_url(
            card.get("license_link"), f"{endpoint}/{repository}/blob/{info.sha}"
        ),
        downloads=_count(info.downloads),
        likes=_count(info.likes),
        updated_s=_seconds(info.last_modified),
        created_s=_seconds(info.created_at),
        base_models=_bases_of(card, tags),
        tags=tags,
        flagged=_flagged_of(info.security_repo_status),
    )


def hit_of(info: ModelInfo) -> SearchHit | None:
    """Return one entry of a list of models, None when it has no name that can be asked for."""
    if not is_repository(str(info.id)):
        return None
    gguf: Mapping[str, Any] = info.gguf if isinstance(info.gguf, dict) else {}
    return SearchHit(
        repository=str(info.id),
        downloads=_count(info.downloads),
        likes=_count(info.likes),
        updated_s=_seconds(info.last_modified),
        created_s=_seconds(info.created_at),
        gate=_gate_of(info.gated),
        architecture=_text(gguf.get("architecture", "")),
        parameters=_count(gguf.get("total")),
        n_ctx_train=_count(gguf.get("context_length")),
    )


def packed_page(page: RepositoryPage) -> bytes:
    """Return a page as it is kept."""
    data = {name: getattr(page, name) for name in _KEPT}
    data["files"] = [[file.path, file.size_bytes, file.digest] for file in page.files]
    return json.dumps({"version": _VERSION, "page": data}).encode()


def unpacked_page(data: bytes) -> RepositoryPage | None:
    """Return a page that was kept, None when it cannot be one."""
    try:
        outer = json.loads(data)
        if outer["version"] != _VERSION:
            return None
        kept: dict[str, Any] = outer["page"]
        files = tuple(RemoteFile(str(p), int(s), str(d)) for p, s, d in kept.pop("files"))
        page = RepositoryPage(**kept, files=files)
        return replace(
            page,
            gate=Gate(page.gate),
            base_models=tuple(page.base_models),
            tags=tuple(page.tags),
            flagged=tuple(page.flagged),
            is_from_store=True,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


_NOT_KEPT = ("files", "is_from_store", "is_readable", "access_note")
_KEPT = tuple(item.name for item in fields(RepositoryPage) if item.name not in _NOT_KEPT)


def _file_of(sibling: RepoSibling) -> RemoteFile | None:
    path, size_bytes = str(sibling.rfilename), int(sibling.size or 0)
    if not is_sound_path(path) or size_bytes < 0:
        return None
    return RemoteFile(path, size_bytes, _digest_of(sibling))


def _digest_of(sibling: RepoSibling) -> str:
    """Return the content's digest: git's own name for a large file is that of a pointer to it."""
    if sibling.lfs is not None:
        digest = str(sibling.lfs.sha256).lower()
        return f"{SHA256}:{digest}" if _SHA256_HEX.fullmatch(digest) else ""
    digest = str(sibling.blob_id or "").lower()
    return f"{GIT_SHA1}:{digest}" if _SHA1_HEX.fullmatch(digest) else ""


def _gate_of(gated: object) -> Gate:
    if gated == Gate.MANUAL.value:
        return Gate.MANUAL
    return Gate.AUTOMATIC if gated else Gate.OPEN


def _licence_of(card: Mapping[str, Any], tags: tuple[str, ...]) -> str:
    # A licence of its own is called "other" and has its name beside it.
    for key in ("license_name", "license"):
        value = card.get(key)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, str) and value:
            return _text(value)
    return next((tag.partition(":")[2] for tag in tags if tag.startswith("license:")), "")


def _bases_of(card: Mapping[str, Any], tags: tuple[str, ...]) -> tuple[str, ...]:
    given = card.get("base_model") or []
    named = [given] if isinstance(given, str) else list(given)
    named += [match[1] for match in map(_BASE_TAG.fullmatch, tags) if match]
    sound = (str(name) for name in named if is_repository(str(name)))
    return tuple(dict.fromkeys(sound))[:_MAX_BASES]


def _flagged_of(status: object) -> tuple[str, ...]:
    """Return the files that a scanner of the hub warns of; other hubs may say anything here."""
    issues = status.get("filesWithIssues") if isinstance(status, dict) else None
    paths = (issue.get("path") for issue in issues or () if isinstance(issue, dict))
    return tuple(path for path in paths if isinstance(path, str) and is_sound_path(path))


def _licence_url(value: object, files_url: str) -> str:
    """Return where a licence stands: the card gives an address or a file of the repository."""
    text = value if isinstance(value, str) and len(value) <= _MAX_TEXT else ""
    if is_web_address(text):
        return quote(text, safe="/:?#[]@!$&'()*+,;=%~")
    return f"{files_url}/{quoted(text)}" if text and ":" not in text and is_sound_path(text) else ""


def _text(value: object) -> str:
    return "".join(c for c in str(value or "") if c.isprintable())[:_MAX_TEXT]


def _count(value: object) -> int:
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0


def _seconds(moment: datetime | None) -> float | None:
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
