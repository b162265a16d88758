"""Which files make a release: their names, digests and description. Called by ``release``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from models.errors import BadInputError
from models.updates.platforms import platform_name
from models.version import VERSION

SUMS = "SHA256SUMS"
RELEASE = "release.json"
MANIFEST = "manifest.json"
# How long a manifest is believed: long enough for a quiet half-year, short enough that whoever
# holds the newer one back does not win much (docs/updates.md).
LIFE = timedelta(days=180)
# The oldest version that the installers of this one can be put over.
OLDEST_REPLACED = "0.1.0"
_MOST_NOTES_CHARS = 4000
_NOTES_CUT = "\n..."
# The preferred file of a platform first: one that runs everywhere there.
_KINDS = ("appimage", "exe", "dmg", "tar.gz", "deb")
_FORMS = (
    (re.compile(r"fathom_(?P<version>[\d.]+)_amd64\.deb"), "deb"),
    (re.compile(r"fathom-(?P<version>[\d.]+)-(?P<platform>linux-x86_64)\.AppImage"), "appimage"),
    (re.compile(r"fathom-(?P<version>[\d.]+)-(?P<platform>linux-x86_64)\.tar\.gz"), "tar.gz"),
    (re.compile(r"fathom-(?P<version>[\d.]+)-(?P<platform>windows-x86_64)\.exe"), "exe"),
    (re.compile(r"fathom-(?P<version>[\d.]+)-(?P<platform>macos-(?:aarch64|x86_64))\.dmg"), "dmg"),
)
# Published beside the installers, and not offered as an update.
_EXTRAS = (
    re.compile(r"fathom-(?P<version>[\d.]+)-[a-z0-9]+-[a-z0-9_]+\.cdx\.json"),
    re.compile(r"fathom-addon-[a-z0-9]+-(?P<version>[\d.]+)-[a-z0-9]+-[a-z0-9_]+\.tar\.gz"),
)


@dataclass(frozen=True)
class Published:
    """A file of a release.

    Attributes:
        platform: as ``models.updates`` calls it; empty for what is not installed by itself.
        kind: as in a manifest; empty for the same.
    """

    path: Path
    platform: str = ""
    kind: str = ""


def bill_name() -> str:
    """Return the name of this machine's bill of materials (CycloneDX's ending)."""
    return f"fathom-{VERSION}-{platform_name()}.cdx.json"


def find(folder: Path) -> list[Published]:
    """Return what is published of a folder's files, the preferred ones first.

    Raises:
        BadInputError: there are no installers, or a file has another name or version.
        OSError: the folder cannot be read.
    """
    files = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    return find_in(folder, (path.name for path in files if not path.name.startswith(".")))


def find_in(folder: Path, names: Iterable[str]) -> list[Published]:
    """Return what is published among files of these names; as ``find`` otherwise."""
    found = [_known(folder / name) for name in names]
    if not any(one.kind for one in found):
        raise BadInputError(f"There are no installers in {folder}.")
    return sorted(found, key=lambda one: (one.platform, _rank(one.kind), one.path.name))


def _rank(kind: str) -> int:
    return _KINDS.index(kind) if kind else len(_KINDS)


def _known(path: Path) -> Published:
    for form, kind in _FORMS:
        if match := form.fullmatch(path.name):
            _check_version(path, match["version"])
            return Published(path, match.groupdict().get("platform") or "linux-x86_64", kind)
    for form in _EXTRAS:
        if match := form.fullmatch(path.name):
            _check_version(path, match["version"])
            return Published(path)
    raise BadInputError(f"{path.name} is no file of a release.", hint="Remove it, or name it so.")


def _check_version(path: Path, version: str) -> None:
    if version != VERSION:
        raise BadInputError(f"{path.name} is of another version than {VERSION}.")


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sums(folder: Path, names: Iterable[str]) -> str:
    """Return the digests of files as ``sha256sum --check`` reads them."""
    return "".join(f"{digest(folder / name)}  {name}\n" for name in sorted(names))


def description(
    found: Sequence[Published], url: str, date: datetime, changelog: Path
) -> dict[str, Any]:
    """Return ``release.json``: a manifest's payload before its files are measured.

    Raises:
        OSError: the changelog cannot be read.
    """
    base = url.rstrip("/")
    downloads = [
        {
            "name": one.path.name,
            "platform": one.platform,
            "kind": one.kind,
            "url": f"{base}/{one.path.name}",
        }
        for one in found
        if one.kind
    ]
    return {
        "version": VERSION,
        "date": date.isoformat(),
        "expires": (date + LIFE).isoformat(),
        "minimum_version": OLDEST_REPLACED,
        "notes_url": base,
        "notes": notes(changelog.read_text(encoding="utf-8")),
        "downloads": downloads,
    }


def notes(changelog: str) -> str:
    """Return what the changelog says of this version; empty when it says nothing."""
    match = re.search(rf"^## {re.escape(VERSION)}(?: .*)?\n", changelog, re.M)
    if match is None:
        return ""
    text = changelog[match.end() :].partition("\n## ")[0].strip()
    if len(text) > _MOST_NOTES_CHARS:
        text = text[: _MOST_NOTES_CHARS - len(_NOTES_CUT)].rstrip() + _NOTES_CUT
    return text


def is_released(changelog: str) -> bool:
    """Tell whether the changelog's heading of this version carries a date."""
    return bool(re.search(rf"^## {re.escape(VERSION)} \(\d{{4}}-\d\d-\d\d\)$", changelog, re.M))
