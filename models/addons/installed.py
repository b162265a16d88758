"""Which add-ons there are, and whether each may be loaded. No Qt here.

An add-on is a folder ``addons/NAME`` beside the program or among the user's data. What lies there
is loaded into the engine child, so nobody else may be able to write there: a link, another owner
and write permission for others are refused. Digests are compared when an add-on is added, not at
every start: they would take seconds, and who can change these files can change the program.
"""

from __future__ import annotations

import errno
import importlib.metadata
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.addons.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    AddonManifest,
    Host,
    is_signed,
    misfit,
    read_manifest,
)
from models.errors import AddonError
from models.updates.platforms import platform_name

FOLDER_NAME = "addons"
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_ROOT_UID = 0


@dataclass(frozen=True)
class Addon:
    """A folder that is, or looks like, an add-on.

    Attributes:
        manifest: None where it cannot be read.
        problem: why it is not to be loaded, one sentence; empty when it may be.
        comes_with_program: whether it lies beside the program, where only its installer removes it.
    """

    folder: Path
    manifest: AddonManifest | None
    problem: str
    comes_with_program: bool = False

    @property
    def name(self) -> str:
        """What it is called."""
        return self.folder.name

    @property
    def title(self) -> str:
        """What it is, for people."""
        return self.manifest.title if self.manifest else self.folder.name


def program_addons() -> Path | None:
    """Return the folder of add-ons beside a frozen program; None where it is not frozen."""
    if not getattr(sys, "frozen", False):
        return None
    return Path(sys.executable).resolve().parent / FOLDER_NAME


def host_here(ggml: str = "") -> Host:
    """Return what an add-on has to fit on this machine."""
    try:
        llama_cpp = importlib.metadata.version("llama-cpp-python").partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        llama_cpp = ""
    return Host(platform_name(), llama_cpp, ggml)


def find_addons(
    user_folder: Path | None, host: Host, *, program_folder: Path | None = None
) -> tuple[Addon, ...]:
    """Return all add-ons, those beside the program first; nothing of them is loaded.

    Args:
        user_folder: ``addons`` among the user's data.
        host: what they have to fit.
        program_folder: ``addons`` beside the program.
    """
    found: list[Addon] = []
    for folder, comes_with_program in ((program_folder, True), (user_folder, False)):
        if folder is not None:
            found += _look_into(folder, host, comes_with_program=comes_with_program)
    return tuple(found)


def signed_by(addon: Addon, keys: Sequence[bytes]) -> bool:
    """Tell whether an add-on's manifest is signed by one of the keys."""
    try:
        return is_signed(_manifest_bytes(addon.folder), keys)
    except (OSError, AddonError):
        return False


def _look_into(folder: Path, host: Host, *, comes_with_program: bool) -> list[Addon]:
    owners = _owners(comes_with_program=comes_with_program)
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    except OSError:
        return []
    whole = _openness(folder, owners)
    return [
        _look_at(folder / name, host, owners, whole, comes_with_program=comes_with_program)
        for name in names
        if (folder / name).is_dir()
    ]


def _look_at(
    folder: Path, host: Host, owners: frozenset[int], whole: str, *, comes_with_program: bool
) -> Addon:
    manifest: AddonManifest | None = None
    problem = whole or _openness(folder, owners)
    if problem:
        # Nothing in it is worth a look: what others put there could keep whoever reads it.
        return Addon(folder, None, problem, comes_with_program)
    try:
        manifest = read_manifest(_manifest_bytes(folder))
        if manifest.name != folder.name:
            problem = problem or f"Its folder has to be called {manifest.name}."
        problem = problem or misfit(manifest, host) or _damage(folder, manifest, owners)
    except AddonError as error:
        problem = problem or error.message
    except OSError as error:
        problem = problem or f"Its {MANIFEST_NAME} cannot be read ({error.strerror})."
    return Addon(folder, manifest, problem, comes_with_program)


def _manifest_bytes(folder: Path) -> bytes:
    with open(folder / MANIFEST_NAME, "rb", opener=_open_file) as file:
        return file.read(MAX_MANIFEST_BYTES + 1)


def _open_file(path: str, flags: int) -> int:
    """Open a file; a pipe in its place, which nobody may ever write to, is an OSError."""
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "It is no plain file", path)
    return handle


def _damage(folder: Path, manifest: AddonManifest, owners: frozenset[int]) -> str:
    """Return what is wrong with its files: one that is missing, of another size, or not its own."""
    problem = _openness(folder / MANIFEST_NAME, owners)
    for file in manifest.files:
        path = folder / file.name
        try:
            found = path.lstat()
        except OSError:
            return problem or f"Its file {file.name} is missing. Add it again."
        problem = problem or _openness(path, owners)
        if not problem and (not stat.S_ISREG(found.st_mode) or found.st_size != file.size_bytes):
            problem = f"Its file {file.name} is not what it was. Add it again."
    return problem


def _owners(*, comes_with_program: bool) -> frozenset[int]:
    """Return whose files may be loaded: the system's, the user's, and the program's owner's."""
    if sys.platform == "win32":
        return frozenset()
    owners = {_ROOT_UID, os.geteuid()}
    if comes_with_program:
        owners.add(Path(sys.executable).stat().st_uid)
    return frozenset(owners)


def _openness(path: Path, owners: frozenset[int]) -> str:
    """Return who else could put something there, in a sentence; empty when nobody can."""
    try:
        found = path.lstat()
    except OSError as error:
        return f"{path} cannot be looked at ({error.strerror})."
    if stat.S_ISLNK(found.st_mode):
        return f"{path} is a link."
    # On Windows a user's folders are private by what they inherit, and modes say nothing.
    if sys.platform == "win32":
        return ""
    if found.st_uid not in owners:
        return f"{path} belongs to another user."
    if found.st_mode & _WRITABLE_BY_OTHERS:
        return f'Others may write to {path}. Close it with "chmod -R go-w".'
    return ""
