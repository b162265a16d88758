"""Reads Hugging Face's cache without its library: layout only, nothing is written. No Qt here.

``models--owner--name/snapshots/COMMIT/PATH`` are links to ``blobs/ETAG``, and since
huggingface-hub 1.29 these may be links themselves, into a store that all repositories share
(``blobs/XX/XET_HASH`` beside the repositories). The ETag of a file in LFS or Xet is the SHA-256 of
its content, so the name of the *first* link's target is the digest; the second one's is not.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from models.library.scan import FoundCheckpoint, Scan

_FOLDER = re.compile(r"models--(?P<owner>[^/\\]+?)--(?P<name>[^/\\]+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_REPOSITORIES = 5_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedCheckpoint:
    """A checkpoint in the cache, and what it is of."""

    found: FoundCheckpoint
    repository: str
    commit: str


def scan_hugging_face(cache: Path) -> list[CachedCheckpoint]:
    """Return the checkpoints of all repositories; one that two commits share is of the newer."""
    checkpoints: list[CachedCheckpoint] = []
    for folder in _children(cache)[:_MAX_REPOSITORIES]:
        match = _FOLDER.fullmatch(folder.name)
        if match is not None:
            checkpoints += _of_repository(folder, f"{match['owner']}/{match['name']}")
    return checkpoints


def digest_of_cached(path: Path) -> str:
    """Return the SHA-256 (hex) that the cache's layout promises of a file, empty if none.

    ``path`` is one below ``snapshots``; nothing is read but its link.
    """
    if "snapshots" not in path.parts:
        return ""
    try:
        target = path.readlink()
    except OSError:
        return ""
    is_blob = target.parent.name == "blobs" and _SHA256.fullmatch(target.name)
    return target.name if is_blob else ""


def _of_repository(folder: Path, repository: str) -> list[CachedCheckpoint]:
    checkpoints: list[CachedCheckpoint] = []
    seen: set[tuple[int, int]] = set()
    for commit in _commits(folder):
        # A scan each: commits share most files, and a set of shards must not look incomplete
        # because another commit has one of them too.
        for found in Scan().run(folder / "snapshots" / commit):
            if found.identities <= seen:
                continue
            seen |= found.identities
            checkpoints.append(CachedCheckpoint(found, repository, commit))
    return checkpoints


def _commits(folder: Path) -> list[str]:
    """Return the commits in the cache, those first that a branch points to."""
    named = set()
    for ref in _children(folder / "refs"):
        try:
            named.add(ref.read_text(encoding="ascii", errors="replace")[:40])
        except OSError as error:
            _log.debug("A branch of the cache cannot be read: %s", error)
    commits = [path.name for path in _children(folder / "snapshots")]
    sound = [commit for commit in commits if _COMMIT.fullmatch(commit)]
    return sorted(sound, key=lambda commit: (commit not in named, commit))


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        _log.debug("A folder of the cache cannot be read: %s", error)
        return []
