"""Which part each file of a frozen program belongs to, as its build wrote it down. No Qt here.

``app/packaging/origins.py`` writes the file: only where the program is frozen is it known which
package of the system a library came from, and in which version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from models.errors import InstallationError

ORIGINS = "origins.json"
# The name of the first part: Fathom itself.
PROGRAM = "Fathom"


@dataclass(frozen=True)
class Package:
    """What a system's package manager says of a part.

    Attributes:
        purl: its package URL, version included.
    """

    version: str
    purl: str


@dataclass(frozen=True)
class Origins:
    """Where the files of a build come from.

    Attributes:
        files: place in the program's folder of libraries -> name of its part.
        packages: name of a part -> the system's package that it was taken from.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, Package] = field(default_factory=dict)


def read_origins(bundle: Path | None) -> Origins:
    """Return what a frozen program's build wrote down; nothing for one that is not frozen.

    Raises:
        InstallationError: the file is damaged.
    """
    file = bundle / ORIGINS if bundle is not None else None
    if file is None or not file.is_file():
        return Origins()
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        packages = {name: Package(**one) for name, one in found["packages"].items()}
        return Origins(dict(found["files"]), packages)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InstallationError(
            "The list of this program's parts cannot be read.",
            hint="Install Fathom again.",
            details=f"{file.name}: {error!r}",
        ) from error


def owners_in(folder: Path, bundle: Path | None) -> dict[str, str]:
    """Return the part of each file of a build's folder, by its place there.

    Args:
        folder: of the whole program.
        bundle: where its libraries lie; nothing is known unless that is inside ``folder``.

    Raises:
        InstallationError: see ``read_origins``.
        OSError: the folder cannot be read.
    """
    if bundle is None or not bundle.resolve().is_relative_to(folder.resolve()):
        return {}
    inside = PurePosixPath(bundle.resolve().relative_to(folder.resolve()).as_posix())
    files = read_origins(bundle).files
    # What is beside the libraries is the program itself: its modules are inside the executable.
    own = {path.name: PROGRAM for path in folder.iterdir() if path.is_file()} if files else {}
    return {**own, **{str(inside / place): part for place, part in files.items()}}
