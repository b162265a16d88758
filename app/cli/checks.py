"""Checks of the installation that need no engine: Python, packages, Qt, folders. No Qt here."""

from __future__ import annotations

import getpass
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.processor import missing_for_qt, too_old
from models.addons.advice import has_own_cuda, wants_cuda
from models.errors import FathomError
from models.hardware.readouts import GpuReadout, HardwareSnapshot
from models.paths import Paths
from models.runtime.command import engine_environment, program_command
from models.runtime.protocol import AddonState
from models.settings import Settings
from models.units import format_bytes
from models.updates.platforms import platform_name

WANTS_CUDA = "This machine has an NVIDIA GPU. The CUDA add-on is the fastest way to use it."

OK, WARN, FAIL = "ok", "warn", "fail"

# Distribution, the versions it must be in (see pyproject.toml for the reasons).
_PACKAGES = (
    ("PySide6-Essentials", (6, 10), (6, 12)),
    ("llama-cpp-python", (0, 3, 36), (0, 3, 37)),
    ("huggingface-hub", (2, 4), (3,)),
    ("httpx2", (2, 16), (3,)),
    ("psutil", (7, 2), (8,)),
    ("Jinja2", (3, 1, 6), (4,)),
    ("nvidia-ml-py", (13,), (14,)),
    ("tomli-w", (1, 2), (2,)),
)
_MIN_PYTHON = (3, 11)
_QT_LIMIT_S = 30.0
_LITTLE_DISK_BYTES = 10_000_000_000
_NO_DISK_BYTES = 200_000_000
_LITTLE_RAM_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Check:
    """One line of the report: what was looked at, how it stands, and why."""

    name: str
    status: str
    text: str


def without_names(text: str) -> str:
    """Return the text without the home folder and the user's name in paths."""
    home = str(Path.home())
    if len(home) > 1:
        text = text.replace(home, "~")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        return text
    return re.sub(rf"(?<=[/\\]){re.escape(user)}(?=[/\\\s]|$)", "USER", text) if user else text


def check_python() -> Check:
    """Whether this Python is new enough."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    status = OK if sys.version_info >= _MIN_PYTHON else FAIL
    return Check("Python", status, version if status == OK else f"{version}, 3.11 is needed")


def check_packages() -> Check:
    """Whether every package is there, in a version that Fathom was made for."""
    found, wrong = [], []
    for name, low, high in _PACKAGES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        found.append(f"{name} {version}")
        if not low <= _numbers(version) < high:
            wanted = ".".join(str(part) for part in low)
            wrong.append(f"{name} {version} is another version than Fathom needs ({wanted})")
    if wrong:
        return Check("packages", FAIL, "; ".join(wrong))
    return Check("packages", OK, ", ".join(found))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def check_library() -> Check:
    """Whether llama.cpp's libraries lie where the engine child looks for them."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        return Check("llama.cpp", FAIL, "llama-cpp-python is not installed")
    folder = Path(next(iter(spec.submodule_search_locations))) / "lib"
    names = sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []
    if not any(re.match(r"(lib)?llama\.", name) for name in names):
        return Check("llama.cpp", FAIL, f"no llama library in {folder}")
    modules = {
        match[1]
        for name in names
        if (match := re.match(r"(?:lib)?ggml-([a-z0-9_-]+)\.(?:so|dll|dylib)", name))
    }
    variants = sorted(name.removeprefix("cpu-") for name in modules if name.startswith("cpu-"))
    others = sorted(name for name in modules if not name.startswith("cpu") and name != "base")
    cpus = f"CPU variants {', '.join(variants)}" if variants else "built for one kind of CPU"
    return Check("llama.cpp", OK, f"{cpus}; other backends: {', '.join(others) or 'none'}")


def check_addons(states: Sequence[AddonState], gpus: Sequence[GpuReadout]) -> Check:
    """Whether every add-on that is there is used, and whether one would help."""
    if not states:
        wanted = wants_cuda(gpus, (), platform_name(), has_own=has_own_cuda())
        return Check("add-ons", OK, f"none. {WANTS_CUDA}" if wanted else "none")
    used = [f"{state.name} {state.version} is used" for state in states if not state.problem]
    others = [f"{state.name}: {state.problem}" for state in states if state.problem]
    return Check("add-ons", WARN if others else OK, " ".join([*others, *used]))


def check_folders(paths: Paths) -> Check:
    """Whether Fathom can write where it keeps its things."""
    try:
        paths.create()
        for folder in (paths.config_dir, paths.data_dir, paths.cache_dir, paths.log_dir):
            with tempfile.TemporaryFile(dir=folder):
                pass
    except FathomError as error:
        return Check("folders", FAIL, error.one_line())
    except OSError as error:
        return Check("folders", FAIL, f"{error.filename} cannot be written ({error.strerror})")
    return Check("folders", OK, f"{paths.data_dir} and the others can be written")


def check_disk(paths: Paths) -> Check:
    """How much room there is for checkpoints."""
    folder = paths.models_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        return Check("disk", WARN, f"free room is unknown ({error.strerror})")
    text = f"{format_bytes(free_bytes)} free for checkpoints"
    if free_bytes < _NO_DISK_BYTES:
        return Check("disk", FAIL, f"{text}, conversations may not be saved")
    if free_bytes < _LITTLE_DISK_BYTES:
        return Check("disk", WARN, f"{text}, most DeepSeek checkpoints need more")
    return Check("disk", OK, text)


def check_settings(settings: Settings) -> Check:
    """Whether the settings file can be used."""
    try:
        warnings = settings.load()
    except FathomError as error:
        return Check("settings", FAIL, error.one_line())
    if warnings:
        return Check("settings", WARN, " ".join(warnings))
    return Check("settings", OK, "read" if settings.path.exists() else "all defaults")


def check_machine(snapshot: HardwareSnapshot) -> list[Check]:
    """What the drivers say about GPUs, and whether there is RAM."""
    gpus = [f"{gpu.name} ({gpu.driver})" for gpu in snapshot.gpus]
    gpu_check = Check("GPU", OK, ", ".join(gpus) or "no driver reports one, the CPU does the work")
    if snapshot.notes:
        gpu_check = Check("GPU", WARN, " ".join(snapshot.notes))
    ram = snapshot.ram
    text = f"{format_bytes(ram.available_bytes)} of {format_bytes(ram.total_bytes)} available"
    status = OK if ram.available_bytes >= _LITTLE_RAM_BYTES else WARN
    return [gpu_check, Check("memory", status, f"{text} ({ram.source})")]


def check_qt() -> list[Check]:
    """Whether Qt can paint, and open a window where there is a display; in child processes."""
    checks = [_run_qt("Qt", {"QT_QPA_PLATFORM": "offscreen"})]
    if checks[0].status != OK:
        return checks
    if sys.platform == "linux" and not _has_display():
        checks.append(Check("display", OK, "none here; the window would be painted offscreen"))
    else:
        checks.append(_run_qt("display", {}))
    return checks


def _has_display() -> bool:
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _run_qt(name: str, variables: dict[str, str]) -> Check:
    try:
        answer = subprocess.run(
            program_command("check-qt"),
            env=engine_environment(variables),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_QT_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name, FAIL, f"Qt cannot be tried ({type(error).__name__})")
    if answer.returncode != 0:
        if missing := missing_for_qt():
            return Check(name, FAIL, too_old(missing))
        words = " ".join(answer.stderr.split())[-300:] or f"exit code {answer.returncode}"
        return Check(name, FAIL, f"Qt does not work: {words}")
    try:
        # The last line: what a plugin prints comes before.
        found = json.loads(answer.stdout.splitlines()[-1])
        return Check(name, OK, f"Qt {found['qt']} on the platform {found['platform']}")
    except (IndexError, KeyError, TypeError, ValueError):
        return Check(name, FAIL, f"Qt cannot be tried: it answers {answer.stdout[-200:]!r}")
