"""The parts of this program and their licences, as they are installed. No Qt here.

Packages tell of themselves in their metadata, which a frozen program brings along; the rest stands
in ``resources/licences/parts.json``.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.errors import InstallationError
from models.library.demo import find_demo
from models.parts.origins import read_origins
from models.version import VERSION

LICENCES_DIR = Path(__file__).resolve().parents[2] / "resources" / "licences"
# What Fathom itself asks for; a test compares it with pyproject.toml.
DIRECT = (
    "PySide6-Essentials",
    "llama-cpp-python",
    "huggingface-hub",
    "httpx2",
    "psutil",
    "jinja2",
    "nvidia-ml-py",
    "keyring",
    "Send2Trash",
    "cryptography",
    "ziamath",
    "latex2mathml",
    "uvicorn",
    "tomli-w",
)
_MAX_TEXT_CHARS = 200_000
_CLASSIFIER = "License :: OSI Approved :: "
# What classifiers call a licence, as SPDX does.
_SPDX = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "ISC License (ISCL)": "ISC",
}


@dataclass(frozen=True)
class Part:
    """Something that Fathom is made of.

    Attributes:
        version: empty where a part has none.
        licence: as an SPDX expression where it is known as one; never empty.
        purl: its package URL (https://github.com/package-url/purl-spec), version included.
        what: the kind of component, in CycloneDX's words.
        needs: names of parts that it asks for.
        texts: names of its licence's texts, for ``read_text``.
        note: what else is to be said; may be empty.
    """

    name: str
    version: str
    licence: str
    purl: str
    what: str = "library"
    needs: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    note: str = ""


def parts_of_program(bundle: Path | None = None) -> tuple[Part, ...]:
    """Return all parts: what is written down first, then packages by their names.

    Args:
        bundle: where a frozen program keeps its libraries; found by itself in one.

    Raises:
        InstallationError: the list of parts cannot be read.
    """
    packages = sorted(_packages(), key=lambda part: part.name.lower())
    program, *others = _written_down(bundle or bundle_folder())
    needs = (*(part.name for part in others), *DIRECT)
    return (replace(program, needs=needs), *others, *packages)


def read_text(part: Part, name: str) -> str:
    """Return one of a part's licence texts.

    Raises:
        InstallationError: it is not there.
    """
    try:
        if name in {path.relative_to(LICENCES_DIR).as_posix() for path in _own_texts()}:
            return (LICENCES_DIR / name).read_text(encoding="utf-8")
        text = importlib.metadata.distribution(part.name).read_text(name)
    except (OSError, UnicodeDecodeError, importlib.metadata.PackageNotFoundError) as error:
        raise _not_readable(name, str(error)) from error
    if text is None:
        raise _not_readable(name, part.name)
    return text[:_MAX_TEXT_CHARS]


def key_of(name: str) -> str:
    """Return a package's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def bundle_folder() -> Path | None:
    """Return where a frozen program keeps its files, None for one that is not frozen."""
    folder = getattr(sys, "_MEIPASS", None)
    return Path(folder) if folder else None


def _own_texts() -> Iterator[Path]:
    return LICENCES_DIR.rglob("*.txt")


def _is_here(one: Mapping[str, Any], bundle: Path | None) -> bool:
    """Tell whether a part is in this program: some come with certain builds only."""
    if one.get("is_demo"):
        return find_demo() is not None
    patterns = one.get("files", ())
    if not patterns:
        return True
    return bundle is not None and any(any(bundle.glob(pattern)) for pattern in patterns)


def _written_down(bundle: Path | None) -> Iterator[Part]:
    file = LICENCES_DIR / "parts.json"
    packages = read_origins(bundle).packages
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
        for one in listed:
            if not _is_here(one, bundle):
                continue
            version, purl = _version_of(one["name"], one["version_of"]), one["purl"]
            purl = f"{purl}@{version}" if version else purl
            if (package := packages.get(one["name"])) is not None:
                version, purl = package.version, package.purl
            yield Part(
                name=one["name"],
                version=version,
                licence=one["licence"],
                purl=purl,
                what=one["what"],
                texts=tuple(one["texts"]),
                note=one.get("note", ""),
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _not_readable(file.name, repr(error)) from error


def _version_of(name: str, source: str) -> str:
    if name == "Fathom":
        return VERSION
    if source == "python":
        return platform.python_version()
    try:
        return importlib.metadata.version(source) if source else ""
    except importlib.metadata.PackageNotFoundError:
        return ""


def _packages() -> Iterator[Part]:
    """Yield every package that Fathom needs here and that is there."""
    wanted, seen = list(DIRECT), set[str]()
    while wanted:
        name = wanted.pop()
        if key_of(name) in seen:
            continue
        seen.add(key_of(name))
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            # Not on this system, or left out of a frozen program because nothing uses it.
            continue
        needs = tuple(_needs(found))
        wanted += needs
        yield Part(
            name=found.name,
            version=found.version,
            licence=_licence(found.metadata),
            purl=f"pkg:pypi/{key_of(found.name)}@{found.version}",
            needs=needs,
            texts=tuple(_licence_files(found)),
        )


def _needs(found: importlib.metadata.Distribution) -> Iterator[str]:
    from packaging.requirements import InvalidRequirement, Requirement

    for text in found.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name


def _licence(metadata: Any) -> str:
    """Return a licence as an expression, or as its package words it."""
    expression = metadata.get("License-Expression") or ""
    if expression:
        return str(expression)
    words = str(metadata.get("License") or "").strip()
    if words and "\n" not in words and len(words) <= 100:
        return _SPDX.get(words, words)
    for classifier in metadata.get_all("Classifier") or ():
        if classifier.startswith(_CLASSIFIER):
            name = classifier.removeprefix(_CLASSIFIER)
            return str(_SPDX.get(name, name))
    return "as its text says"


def _licence_files(found: importlib.metadata.Distribution) -> Iterator[str]:
    """Yield the names that ``Distribution.read_text`` takes."""
    for name in found.metadata.get_all("License-File") or ():
        for place in (f"licenses/{name}", name):
            if ".." not in place and found.read_text(place) is not None:
                yield place
                break


def _not_readable(name: str, details: str) -> InstallationError:
    return InstallationError(
        f"The licence text {name} cannot be read.", hint="Install Fathom again.", details=details
    )
