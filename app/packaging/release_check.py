"""Whether a folder holds a release as it may be published: ``release verify``."""

from __future__ import annotations

import json
import re
from pathlib import Path

from app.packaging import published
from models.errors import BadInputError
from models.updates.keys import load_keys
from models.updates.manifest import Manifest, open_envelope
from models.version import VERSION

_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<name>[A-Za-z0-9][A-Za-z0-9._+-]*)")
# Not among the digests: what holds them, what they are made for, and what is signed by itself.
_UNLISTED = {published.SUMS, published.RELEASE, published.MANIFEST}


def verify(folder: Path, keys: Path | None = None) -> str:
    """Check a release's folder and return in words what was found.

    Args:
        keys: the file with the public keys; None for those that come with this Fathom.

    Raises:
        BadInputError: a file is missing, too much or changed, or something says another version.
        UpdateRefusedError: the manifest is not what Fathom would believe.
        OSError: something cannot be read.
    """
    if not (folder / published.SUMS).is_file():
        raise BadInputError(f"There is no release in {folder}.", details=published.SUMS)
    listed = _listed(folder / published.SUMS)
    there = {path.name for path in folder.iterdir()} - _UNLISTED
    if there != listed.keys():
        raise BadInputError(
            f"The files are not those of {published.SUMS}.",
            details=", ".join(sorted(there ^ listed.keys())),
        )
    for name, sha256 in listed.items():
        if published.digest(folder / name) != sha256:
            raise BadInputError(f"{name} is not the file that {published.SUMS} names.")
    found = published.find_in(folder, listed)
    bills = [one.path for one in found if one.path.name.endswith(".cdx.json")]
    for bill in bills:
        _check_bill(bill)
    signed = _signed(folder, keys, found)
    return f"{len(listed)} files are as listed, {len(bills)} with what is in them. {signed}"


def _listed(file: Path) -> dict[str, str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    matches = [_LINE.fullmatch(line) for line in lines]
    found = {match["name"]: match["sha256"] for match in matches if match}
    if len(found) != len(lines):
        raise BadInputError(f"{file.name} has lines that make no sense.")
    return found


def _check_bill(file: Path) -> None:
    try:
        bill = json.loads(file.read_text(encoding="utf-8"))
        program = bill["metadata"]["component"]
        kind, version = (bill["bomFormat"], bill["specVersion"]), program["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{file.name} is no bill of materials.", details=repr(error)) from error
    if kind != ("CycloneDX", "1.6") or version != VERSION:
        raise BadInputError(f"{file.name} is of something else.", details=f"{kind} {version}")


def _signed(folder: Path, keys: Path | None, found: list[published.Published]) -> str:
    file = folder / published.MANIFEST
    if not file.is_file():
        return "There is no manifest."
    manifest = open_envelope(file.read_bytes(), load_keys(keys))
    if manifest.version != VERSION:
        raise BadInputError(f"The manifest is of version {manifest.version}.")
    _check_files(manifest, [one.path for one in found if one.kind])
    return f"The manifest is signed, and good until {manifest.expires.date()}."


def _check_files(manifest: Manifest, paths: list[Path]) -> None:
    here = {path.name: (path.stat().st_size, published.digest(path)) for path in paths}
    said = {file.name: (file.size_bytes, file.sha256) for file in manifest.files}
    if here != said:
        names = {name for name in here.keys() | said.keys() if here.get(name) != said.get(name)}
        raise BadInputError("The manifest is of other files.", details=", ".join(sorted(names)))
