"""Which files of a release are for this machine, and which of them first. No Qt here."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.updates.manifest import ReleaseFile

_SYSTEMS = {"win32": "windows", "darwin": "macos"}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# Where dpkg keeps which files a package brought.
_DPKG_LIST = Path("/var/lib/dpkg/info/fathom.list")


def platform_name(system: str = sys.platform, machine: str = "") -> str:
    """Return what releases call this machine, such as ``linux-x86_64`` or ``macos-aarch64``."""
    machine = (machine or platform.machine()).lower()
    return f"{_SYSTEMS.get(system, system)}-{_MACHINES.get(machine, machine)}"


def installed_kind(environ: Mapping[str, str], dpkg_list: Path = _DPKG_LIST) -> str:
    """Return how this Fathom was installed, as ``ReleaseFile.kind``; empty when nobody knows."""
    if environ.get("APPIMAGE"):
        return "appimage"
    return "deb" if dpkg_list.is_file() else ""


def best_file(files: Sequence[ReleaseFile], kind: str) -> ReleaseFile | None:
    """Return the file of the kind that is installed, or else the makers' first one."""
    same = [file for file in files if file.kind == kind]
    return next(iter(same or files), None)
