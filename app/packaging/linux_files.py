"""What every package for Linux is made of: the program, and the files by which desktops know it.

The places are freedesktop.org's (menus, types of files, icons, software centres) below ``usr``.
"""

from __future__ import annotations

import datetime
import gzip
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.packaging import icons
from models.version import VERSION

NAME = "fathom"
IDENTIFIER = "org.fathom.Fathom"
SUMMARY = "Run DeepSeek models on your own machine"
_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = _ROOT / "resources" / "linux"
_LIMIT_S = 60.0


def moment_s(environment: Mapping[str, str] = os.environ) -> int:
    """Return the moment that a build is said to be of, in seconds since 1970.

    https://reproducible-builds.org/specs/source-date-epoch/

    Raises:
        ValueError: SOURCE_DATE_EPOCH is not given, or no number.
    """
    text = environment.get("SOURCE_DATE_EPOCH", "")
    if not text.isdecimal():
        raise ValueError("SOURCE_DATE_EPOCH is not set: git log -1 --format=%ct gives it")
    return int(text)


def day(moment: int) -> str:
    """Return the day of a moment, in UTC, as ISO 8601."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).date().isoformat()


def copy_program(program: Path, target: Path) -> None:
    """Copy a frozen program; only what is run is executable, whatever the builder's umask."""
    shutil.copytree(program, target, symlinks=True)
    set_modes(target, executables=frozenset({target / NAME}))


def set_modes(tree: Path, executables: frozenset[Path]) -> None:
    """Give folders and executables 755, everything else 644."""
    tree.chmod(0o755)
    for path in tree.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path in executables else 0o644)


def set_times(tree: Path, moment: int) -> None:
    """Date everything in a tree to one moment."""
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (moment, moment), follow_symlinks=False)


def write_desktop_files(share: Path, moment: int) -> None:
    """Write the entry of menus, the type of GGUF files, the icons and a software centre's card.

    Args:
        share: ``usr/share`` of the package.
        moment: of the build, in seconds since 1970; its day is the release's.
    """
    _copy(_SOURCES / f"{IDENTIFIER}.desktop", share / "applications")
    types = _copy(_SOURCES / f"{IDENTIFIER}.mime.xml", share / "mime" / "packages")
    types.rename(types.with_name(f"{IDENTIFIER}.xml"))
    card = share / "metainfo" / f"{IDENTIFIER}.metainfo.xml"
    card.parent.mkdir(parents=True)
    card.write_text(_card(moment), encoding="utf-8")
    icons.write_theme(share / "icons" / "hicolor", IDENTIFIER)


def _copy(file: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(file, folder / file.name))


def _card(moment: int) -> str:
    text = (_SOURCES / f"{IDENTIFIER}.metainfo.xml.in").read_text(encoding="utf-8")
    kind = "stable" if re.fullmatch(r"[\d.]+", VERSION) else "development"
    values = {"VERSION": VERSION, "DATE": day(moment), "TYPE": kind}
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def told(program: Path, *words: str) -> str:
    """Return what a frozen program prints.

    Raises:
        subprocess.SubprocessError: it fails, or takes a minute.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [program / NAME, *words],
        env={**kept, "COLUMNS": "80", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=_LIMIT_S,
        check=True,
    )
    return done.stdout


def parts_inside(program: Path) -> list[tuple[str, str, str]]:
    """Return name, version and licence of each part, as the frozen program itself tells them.

    Raises:
        subprocess.SubprocessError: the program does not run here.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = json.loads(told(program, "sbom", "--json", "--basedir", folder))
    components: list[dict[str, Any]] = found["components"]
    return [(one["name"], one.get("version", ""), _licence(one)) for one in components]


def _licence(component: Mapping[str, Any]) -> str:
    names = [
        entry.get("expression") or entry["license"].get("id") or entry["license"]["name"]
        for entry in component.get("licenses", ())
    ]
    return ", ".join(names)


def manual_page(help_text: str, moment: int) -> bytes:
    """Return a manual page (compressed) that says what ``fathom --help`` says."""
    body = help_text.partition("\n\n")[2]
    # What begins with a dot or a quote would be taken for a request, a hyphen for a hyphen.
    escaped = body.replace("\\", "\\e").replace("-", "\\-")
    quoted = re.sub(r"(?m)^(['.])", r"\\&\1", escaped)
    page = (
        f'.TH FATHOM 1 "{day(moment)}" "Fathom {VERSION}" "User Commands"\n'
        f".SH NAME\nfathom \\- {SUMMARY[0].lower()}{SUMMARY[1:]}\n"
        ".SH SYNOPSIS\n.B fathom\n[\\fIFILE.gguf\\fR] [\\fIoptions\\fR]\n.br\n"
        ".B fathom\n\\fIVERB\\fR [\\fIoptions\\fR]\n"
        f".SH DESCRIPTION\n.nf\n{quoted}.fi\n"
    )
    return packed(page)


def packed(text: str) -> bytes:
    """Return a text as gzip without the moment of its packing."""
    return gzip.compress(text.encode(), mtime=0)
