"""The fake hub's lists, in the words of the hub's API as huggingface_hub 2.4.0 asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from helpers.fake_hub_content import Content, digest_of, git_sha1, is_lfs

_SORTED_BY = {
    "downloads": "downloads",
    "likes": "likes",
    "lastModified": "last_modified",
    "createdAt": "created_at",
    "trendingScore": "trending",
}
# What a list has without being asked for (read in huggingface_hub's ModelInfo).
_PLAIN_KEYS = ("id", "downloads", "likes", "tags", "createdAt", "private")


@dataclass
class Facts:
    """What the hub says of a repository besides its files.

    Attributes:
        commit: what ``main`` means now.
        gate: ``auto`` or ``manual`` where access must be asked for.
        flagged: files that a scanner of the hub warns of.
        gguf: the hub's own reading of one GGUF file, such as ``{"architecture": "deepseek2"}``.
    """

    commit: str
    downloads: int = 0
    likes: int = 0
    trending: int = 0
    created_at: str = "2026-01-02T03:04:05.000Z"
    last_modified: str = "2026-02-03T04:05:06.000Z"
    gate: str = ""
    tags: list[str] = field(default_factory=list)
    card: dict[str, Any] = field(default_factory=dict)
    gguf: dict[str, Any] = field(default_factory=dict)
    base_models: list[str] = field(default_factory=list)
    flagged: list[str] = field(default_factory=list)


Files = Mapping[str, Content]


def model_json(
    repository: str,
    facts: Facts,
    files: Files,
    query: Mapping[str, Sequence[str]],
    *,
    commit: str,
    is_gated: bool,
    is_private: bool,
) -> dict[str, Any]:
    """Return a repository as ``/api/models/NAME/revision/REVISION`` does."""
    whole = _whole(repository, facts, files, is_gated=is_gated, is_private=is_private)
    whole["sha"] = commit
    has_sizes = query.get("blobs", [""])[0].lower() == "true"
    whole["siblings"] = [_sibling(path, files[path], has_sizes=has_sizes) for path in files]
    if query.get("securityStatus", [""])[0].lower() == "true":
        issues = [{"path": path, "level": "unsafe"} for path in facts.flagged]
        whole["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": issues}
    expanded = _expanded(query)
    if expanded:
        return {key: value for key, value in whole.items() if key in {"id", *expanded}}
    # These come only when they are asked for.
    return {key: value for key, value in whole.items() if key != "baseModels"}


def list_entry(
    repository: str, facts: Facts, files: Files, query: Mapping[str, Sequence[str]], **state: bool
) -> dict[str, Any]:
    """Return a repository as the list of models has it."""
    whole = _whole(repository, facts, files, **state) | {"sha": facts.commit}
    keys = _expanded(query) or _PLAIN_KEYS
    return {key: value for key, value in whole.items() if key in {"id", *keys}}


def tree_json(files: Files, folder: str) -> list[dict[str, Any]]:
    """Return all files below a folder as ``/tree/REVISION?recursive=true`` does."""
    below = f"{folder}/" if folder else ""
    return [
        {"type": "file", "path": path, "oid": git_sha1_of_list(path, content)}
        | _size_and_lfs(path, content)
        for path, content in files.items()
        if path.startswith(below)
    ]


def is_wanted(
    repository: str, facts: Facts, files: Files, query: Mapping[str, Sequence[str]]
) -> bool:
    """Whether a search finds a repository: every filter, and the words in its name."""
    owner, _, name = repository.partition("/")
    author = query.get("author", [""])[0]
    if author and author.lower() != owner.lower():
        return False
    tags = {*facts.tags, *(["gguf"] if any(p.endswith(".gguf") for p in files) else [])}
    if not set(query.get("filter", [])) <= tags:
        return False
    words = query.get("search", [""])[0].lower().split()
    return all(word in f"{owner}/{name}".lower() for word in words)


def sort_key(facts: Facts, query: Mapping[str, Sequence[str]]) -> Any:
    """Return what a list is sorted by, the largest first."""
    return getattr(facts, _SORTED_BY.get(query.get("sort", ["trendingScore"])[0], "trending"))


def git_sha1_of_list(path: str, content: Content) -> str:
    """Return the git name of a file, or of the pointer that stands in git for it."""
    if not is_lfs(path, content):
        return git_sha1(content)
    return digest_of(content)[:40]


def _expanded(query: Mapping[str, Sequence[str]]) -> list[str]:
    # Sent as expand=a&expand=b, and by some versions as expand[]=a.
    return [*query.get("expand", []), *query.get("expand[]", [])]


def _whole(
    repository: str, facts: Facts, files: Files, *, is_gated: bool, is_private: bool
) -> dict[str, Any]:
    has_gguf = any(path.endswith(".gguf") for path in files)
    return {
        "_id": "0123456789abcdef01234567",
        "id": repository,
        "modelId": repository,
        "author": repository.partition("/")[0],
        "private": is_private,
        "disabled": False,
        "gated": (facts.gate or "auto") if is_gated else False,
        "downloads": facts.downloads,
        "likes": facts.likes,
        "trendingScore": facts.trending,
        "createdAt": facts.created_at,
        "lastModified": facts.last_modified,
        "tags": [*facts.tags, *(["gguf"] if has_gguf else [])],
        "cardData": facts.card,
        "baseModels": {"models": [{"id": name} for name in facts.base_models]},
        **({"gguf": facts.gguf} if facts.gguf else {}),
    }


def _sibling(path: str, content: Content, *, has_sizes: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": path}
    if has_sizes:
        entry |= {"blobId": git_sha1_of_list(path, content), **_size_and_lfs(path, content)}
        if "lfs" in entry:
            entry["lfs"] = {**entry["lfs"], "sha256": entry["lfs"]["oid"]}
            del entry["lfs"]["oid"]
    return entry


def _size_and_lfs(path: str, content: Content) -> dict[str, Any]:
    entry: dict[str, Any] = {"size": content.size_bytes}
    if is_lfs(path, content):
        entry["lfs"] = {
            "oid": digest_of(content),
            "size": content.size_bytes,
            "pointerSize": 134,
        }
    return entry
