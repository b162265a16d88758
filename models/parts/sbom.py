"""A bill of materials: what is in a build, as CycloneDX 1.6 in JSON. No Qt here.

The format is https://cyclonedx.org/docs/1.6/json/. The same build gives the same text: there is no
time in it, and its serial number comes of its content.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.errors import BadInputError
from models.parts.parts import Part, key_of
from models.stopping import Stop, check_stop, never

# What SPDX expressions are written with (spdx.github.io/spdx-spec, annex D).
_EXPRESSION = re.compile(r"[A-Za-z0-9.+-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]+)*")
# Looks like an expression of one licence, and is none.
_SINGLE = re.compile(r"[A-Za-z0-9.+-]+-[0-9][A-Za-z0-9.+-]*|MIT|ISC|MIT-0|0BSD|Zlib")
_READ_BYTES = 1 << 20
# A file's property with the reference of the component that it is a piece of.
PART = "fathom:part"


def bill_of_materials(
    parts: Sequence[Part],
    *,
    folder: Path | None = None,
    owners: Mapping[str, str] | None = None,
    stop: Stop = never,
) -> dict[str, Any]:
    """Return the bill.

    Args:
        parts: the first one is the program itself.
        folder: of a build; every file in it is listed with its SHA-256.
        owners: place of a file in the folder -> name of the part that it belongs to; a name that
            no part has is left out.

    Raises:
        BadInputError: the folder is none.
        OSError: a file cannot be read.
        StoppedError: ``stop`` said so.
    """
    program, *others = parts
    refs = {key_of(part.name): part.purl for part in parts}
    known = {place: refs[key_of(n)] for place, n in (owners or {}).items() if key_of(n) in refs}
    files = _files(folder, known, stop) if folder is not None else []
    bill: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _component(program)},
        "components": [*map(_component, others), *files],
        "dependencies": _dependencies(program, others),
    }
    content = hashlib.sha256(json.dumps(bill, sort_keys=True).encode()).hexdigest()
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}"
    return bill


def _component(part: Part) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": part.what,
        "bom-ref": part.purl,
        "name": part.name,
        "licenses": _licences(part.licence),
        "purl": part.purl,
    }
    if part.version:
        component["version"] = part.version
    if part.note:
        component["description"] = part.note
    return component


def _licences(licence: str) -> list[dict[str, Any]]:
    if _SINGLE.fullmatch(licence):
        return [{"license": {"id": licence}}]
    if _EXPRESSION.fullmatch(licence) and " " in licence:
        return [{"expression": licence}]
    return [{"license": {"name": licence}}]


def _dependencies(program: Part, others: Sequence[Part]) -> list[dict[str, Any]]:
    refs = {key_of(part.name): part.purl for part in others}

    def below(part: Part) -> list[str]:
        return sorted({refs[key_of(name)] for name in part.needs if key_of(name) in refs})

    return [{"ref": part.purl, "dependsOn": below(part)} for part in (program, *others)]


def _files(folder: Path, owners: Mapping[str, str], stop: Stop) -> list[dict[str, Any]]:
    if not folder.is_dir():
        raise BadInputError(f"There is no folder {folder}.")
    listed = []
    for path in sorted(folder.rglob("*")):
        check_stop(stop)
        # A link has no content of its own.
        if not stat.S_ISREG(path.lstat().st_mode):
            continue
        name = path.relative_to(folder).as_posix()
        content = _digest(path)
        file: dict[str, Any] = {
            "type": "file",
            "bom-ref": f"file:{name}",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": content}],
        }
        if name in owners:
            file["properties"] = [{"name": PART, "value": owners[name]}]
        listed.append(file)
    return listed


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()
