#!/usr/bin/env python3
"""Creates .venv with everything Fathom needs, building llama.cpp for this machine.

Standard library only: it runs before anything is installed. `make run` and `make test` call it
first; when nothing has changed it ends in a moment. docs/building.md describes what it does.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import csv
import ctypes
import hashlib
import io
import json
import os
import platform
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn

ROOT = Path(__file__).resolve().parent
# Raised when this program makes .venv or the wheel differently, so that old ones are not trusted.
VENV_RECIPE = 1
# 2: what is built does not tell where (-ffile-prefix-map, an unpacked folder of a fixed name).
WHEEL_RECIPE = 2
STAMP_NAME = "fathom-stamp.json"
APP_LOCKS = ("app.lock", "dev.lock", "demo.lock")
# What is frozen into a release was made without anything of the tests.
RELEASE_LOCKS = ("app.lock", "demo.lock")
REPORT_INTERVAL_S = 10.0
MIN_VULKAN_HEADERS = (1, 3, 275)
MIN_GCC = 11
BACKENDS = ("cpu", "vulkan", "cuda", "metal")
BROKEN_AMX_MODULE = "llama_cpp/lib/libggml-cpu-sapphirerapids.so"
# The wheel carries a second copy of its libraries (and headers) outside the package.
DROPPED_FOLDERS = ("lib/", "include/", "bin/", "share/")
WINDOWS = sys.platform == "win32"

# What PySide6's libraries and plugins name as NEEDED and do not bring along (readelf -d), with the
# Debian package of each. The first group is loaded by every window, also by an offscreen one.
QT_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11.so.6": "libx11-6",
    "libbrotlidec.so.1": "libbrotli1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libz.so.1": "zlib1g",
    "libzstd.so.1": "libzstd1",
}
QT_DISPLAY_LIBRARIES = {
    "libX11-xcb.so.1": "libx11-xcb1",
    "libwayland-client.so.0": "libwayland-client0",
    "libwayland-cursor.so.0": "libwayland-cursor0",
    "libwayland-egl.so.1": "libwayland-egl1",
    "libxcb.so.1": "libxcb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-glx.so.0": "libxcb-glx0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}


class BootstrapError(Exception):
    """Set-up cannot go on; the message says why and what to do."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


def fail(message: str, exit_code: int = 1) -> NoReturn:
    """Stop with one message."""
    raise BootstrapError(message, exit_code)


# --- commands, with progress ---------------------------------------------------------------------


class Progress:
    """Says every few seconds how long a step has been running and how far it is."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._started = time.monotonic()
        self._reported = self._started
        self._position = ""
        say(f"{title} ...")

    def elapsed(self) -> str:
        """Return the time since the start as m:ss."""
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        return f"{minutes}:{seconds:02d}"

    def line(self, line: str) -> None:
        """Take one line of the command's output: ninja's [n/m] or pip's current package."""
        match = re.search(r"^\s*\[(\d+)/(\d+)\]", line) or re.search(
            r"^\s*(?:Collecting|Downloading|Installing|Get:\d+|Setting up) .{1,50}", line
        )
        if match:
            self._position = match.group(0).strip()

    def report(self, *, force: bool = False) -> None:
        """Print a line when the last one is old enough."""
        now = time.monotonic()
        if force or now - self._reported >= REPORT_INTERVAL_S:
            self._reported = now
            say(f"  {self.elapsed()}  {self._title} {self._position}".rstrip())


def _read_lines(pipe: IO[str], log: IO[str], lines: queue.SimpleQueue[str | None]) -> None:
    for line in pipe:
        log.write(line)
        log.flush()
        lines.put(line.rstrip())
    lines.put(None)


def stop_process_group(process: subprocess.Popen[str]) -> None:
    """End a command and everything that it started."""
    if WINDOWS:
        process.kill()
        process.wait()
        return
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
            return


def run_logged(
    title: str, command: Sequence[object], log_file: Path, env: Mapping[str, str] | None = None
) -> None:
    """Run a command; its output goes to the log, a line of progress to the user.

    Raises BootstrapError with the last lines of the output when it fails.
    """
    progress = Progress(title)
    tail: list[str] = []
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    arguments = [str(part) for part in command]
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("a", encoding="utf-8") as log:
        log.write(f"\n$ {shlex.join(arguments)}\n")
        with subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=env,
            start_new_session=not WINDOWS,
        ) as process:
            assert process.stdout is not None
            reader = threading.Thread(target=_read_lines, args=(process.stdout, log, lines))
            reader.start()
            try:
                _follow(lines, progress, tail)
                returncode = process.wait()
            except BaseException:
                stop_process_group(process)
                raise
            finally:
                reader.join()
    if returncode != 0:
        _explain_failure(title, returncode, tail, log_file)
    say(f"  {progress.elapsed()}  done")


def _follow(lines: queue.SimpleQueue[str | None], progress: Progress, tail: list[str]) -> None:
    while True:
        try:
            line = lines.get(timeout=1.0)
        except queue.Empty:
            progress.report()
            continue
        if line is None:
            return
        if line.strip():
            tail.append(line)
            del tail[:-25]
        progress.line(line)
        progress.report()


def _explain_failure(title: str, returncode: int, tail: list[str], log_file: Path) -> NoReturn:
    text = "\n".join(f"    {line[:300]}" for line in tail)
    hint = ""
    if re.search(r"Killed|out of memory|cannot allocate", text, re.IGNORECASE):
        hint = "\nThe memory ran out: try again with CMAKE_BUILD_PARALLEL_LEVEL=1 in front."
    elif re.search(r"NewConnectionError|name resolution|Could not fetch URL", text):
        hint = "\nThe package index cannot be reached: check the network and try again."
    fail(
        f"{title}: failed with exit code {returncode}. The last lines:\n{text}\n"
        f"The full log: {log_file}{hint}"
    )


def capture(command: Sequence[str], stdin: str = "") -> str | None:
    """Return what a short command prints on stdout, or None when it cannot be run or fails."""
    try:
        result = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout


@contextlib.contextmanager
def exclusive(lock_file: Path, busy: str) -> Iterator[None]:
    """Hold a lock file; the system lets go of it when the process ends, however it ends."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("a+") as handle:
        if not _try_lock(handle):
            progress = Progress(busy)
            while not _try_lock(handle):
                time.sleep(0.2)
                progress.report()
        yield


def _try_lock(handle: IO[str]) -> bool:
    try:
        if WINDOWS:
            import msvcrt

            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


# --- the machine: compiler, libraries, backend ---------------------------------------------------


@dataclass(frozen=True)
class Compiler:
    """The C++ compiler CMake will take: family (gcc, clang, msvc), major version, full identity."""

    family: str
    major: int
    identity: str


def find_compiler(env: Mapping[str, str] = os.environ) -> Compiler | None:
    """Ask the compiler who it is; None when there is none."""
    if WINDOWS:
        banner = capture(["cl"]) or "found by CMake"
        return Compiler("msvc", 0, f"msvc {banner.splitlines()[0]}")
    for candidate in [env["CXX"]] if env.get("CXX") else ["c++", "g++", "clang++"]:
        program, *arguments = shlex.split(candidate)
        path = shutil.which(program, path=env.get("PATH"))
        macros = path and capture([path, *arguments, "-dM", "-E", "-x", "c++", "-"])
        if macros:
            defined = dict(re.findall(r"^#define (\w+) (.*)$", macros, re.MULTILINE))
            family = "clang" if "__clang__" in defined else "gcc"
            major = int(defined["__clang_major__" if family == "clang" else "__GNUC__"])
            version = defined.get("__VERSION__", str(major)).strip('"')
            return Compiler(family, major, f"{family} {version}")
    return None


def has_library(soname: str) -> bool:
    """Tell whether the loader finds a shared library."""
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True


def missing_packages(
    env: Mapping[str, str] = os.environ, *, display_too: bool = True
) -> dict[str, str]:
    """Return what the system lacks: what it is, and the Debian package that brings it."""
    missing: dict[str, str] = {}
    if find_compiler(env) is None:
        missing["a C++ compiler"] = "g++"
    if capture([sys.executable, "-c", "import ensurepip, venv"]) is None:
        missing["Python's venv and ensurepip"] = (
            f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        )
    return missing | missing_libraries(display_too=display_too)


def missing_libraries(*, display_too: bool) -> dict[str, str]:
    """Return the libraries that Qt needs and the loader does not find, with their packages."""
    if sys.platform != "linux":
        return {}
    libraries = QT_LIBRARIES | (QT_DISPLAY_LIBRARIES if display_too else {})
    return {name: package for name, package in libraries.items() if not has_library(name)}


def has_display(env: Mapping[str, str]) -> bool:
    """Tell whether windows can be shown (elsewhere than on Linux they always can)."""
    return bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))


def ensure_system_packages(env: Mapping[str, str], log_file: Path) -> None:
    """Install what is missing where that is possible, else name the command that does."""
    apt = shutil.which("apt-get", path=env.get("PATH"))
    as_root = not WINDOWS and os.geteuid() == 0
    everything = has_display(env) or (as_root and apt is not None)
    missing = missing_packages(env, display_too=everything)
    if not missing:
        return
    if not (as_root and apt):
        fail(missing_message(missing, has_apt=apt is not None))
    packages = sorted(set(missing.values()))
    quiet = {**env, "DEBIAN_FRONTEND": "noninteractive"}
    say(f"Missing system packages: {' '.join(packages)}")
    # A stale list of one source is no reason to stop: the installation tells.
    with contextlib.suppress(BootstrapError):
        run_logged("Reading the package lists", [apt, "update"], log_file, quiet)
    install = [apt, "install", "-y", "--no-install-recommends", *packages]
    run_logged("Installing system packages", install, log_file, quiet)
    still = missing_packages(env)
    if still:
        fail(missing_message(still, has_apt=True))


def missing_message(missing: Mapping[str, str], *, has_apt: bool) -> str:
    """Say what is missing and the exact command to install it."""
    names = ", ".join(missing)
    if has_apt:
        packages = " ".join(sorted(set(missing.values())))
        return f"Missing: {names}.\nInstall with:\n  sudo apt-get install -y {packages}"
    if sys.platform == "darwin":
        return f"Missing: {names}.\nInstall with:\n  xcode-select --install"
    return f"Missing: {names}.\nInstall them with this system's package manager."


@dataclass(frozen=True)
class Backend:
    """A llama.cpp backend on this machine; it can be built when nothing is missing."""

    name: str
    missing: tuple[str, ...] = ()
    cmake_args: tuple[str, ...] = ()
    cxxflags: tuple[str, ...] = ()
    identity: str = ""


def probe_cuda(env: Mapping[str, str]) -> Backend:
    """Look for the CUDA compiler and a driver."""
    homes = [env[name] for name in ("CUDA_HOME", "CUDA_PATH") if env.get(name)]
    folders = [str(Path(home, "bin")) for home in homes or ["/usr/local/cuda"]]
    search_path = os.pathsep.join([env.get("PATH", ""), *folders])
    nvcc = shutil.which("nvcc", path=search_path)
    smi = shutil.which("nvidia-smi", path=env.get("PATH"))
    missing = []
    if nvcc is None:
        missing.append("nvcc (the CUDA toolkit)")
    if smi is None and not has_library("nvcuda.dll" if WINDOWS else "libcuda.so.1"):
        missing.append("an NVIDIA driver")
    if missing or nvcc is None:
        return Backend("cuda", tuple(missing))
    arguments = ["-DGGML_CUDA=ON", f"-DCMAKE_CUDA_COMPILER={nvcc}"]
    # Code for the GPUs of this machine only: for all of them the build takes many times longer.
    query = [smi or "nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    capabilities = set(re.findall(r"^(\d+)\.(\d+)\s*$", capture(query) or "", re.MULTILINE))
    if capabilities:
        names = ";".join(sorted(major + minor for major, minor in capabilities))
        arguments.append(f"-DCMAKE_CUDA_ARCHITECTURES={names}")
    release = re.search(r"release [\d.]+.*", capture([nvcc, "--version"]) or "")
    identity = f"nvcc {release.group(0) if release else nvcc}"
    return Backend("cuda", cmake_args=tuple(arguments), identity=identity)


def vulkan_header_version(core_header: Path) -> tuple[int, int, int] | None:
    """Return the version that vulkan_core.h declares, None when it cannot be read."""
    try:
        text = core_header.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    patch = re.search(r"#define\s+VK_HEADER_VERSION\s+(\d+)", text)
    complete = re.search(
        r"#define\s+VK_HEADER_VERSION_COMPLETE\s+VK_MAKE_\w+\((?:\s*\d+\s*,)?\s*(\d+)\s*,\s*(\d+)\s*,",
        text,
    )
    if not patch or not complete:
        return None
    return int(complete.group(1)), int(complete.group(2)), int(patch.group(1))


def find_in(prefixes: Sequence[Path], patterns: Sequence[str]) -> Path | None:
    """Return the first existing file that matches, prefix by prefix."""
    found = (path for prefix in prefixes for pattern in patterns for path in prefix.glob(pattern))
    return next((path for path in found if path.exists()), None)


def probe_vulkan(env: Mapping[str, str], system: Path = Path("/usr")) -> Backend:
    """Look for glslc, the loader, SPIRV-Headers, and Vulkan headers that are new enough.

    FATHOM_VULKAN_INCLUDE names a private include folder with newer headers; what is not beside
    it is taken from the system.
    """
    private = env.get("FATHOM_VULKAN_INCLUDE")
    own = [Path(path) for path in (private and Path(private).parent, env.get("VULKAN_SDK")) if path]
    prefixes = [*own, system / "local", system]
    headers = ("include/vulkan/vulkan_core.h", "Include/vulkan/vulkan_core.h")
    header = find_in(own[:1] if private else prefixes, headers)
    spirv = find_in(prefixes, [f"{d}/cmake/SPIRV-Headers/*Config.cmake" for d in ("share", "lib*")])
    loader = find_in(prefixes, ("lib*/libvulkan.so", "lib/*/libvulkan.so", "Lib/vulkan-1.lib"))
    version = vulkan_header_version(header) if header else None
    missing = []
    if shutil.which("glslc", path=env.get("PATH")) is None:
        missing.append("glslc (Debian: glslc)")
    if spirv is None:
        missing.append("SPIRV-Headers (Debian: spirv-headers)")
    if loader is None:
        missing.append("the Vulkan loader (Debian: libvulkan-dev)")
    if version is None:
        missing.append("Vulkan headers (Debian: libvulkan-dev)")
    elif version < MIN_VULKAN_HEADERS:
        found, needed = (".".join(map(str, v)) for v in (version, MIN_VULKAN_HEADERS))
        missing.append(f"newer Vulkan headers ({header} has {found}, {needed} is needed)")
    if missing or header is None or spirv is None or version is None:
        return Backend("vulkan", tuple(missing))
    include = header.parent.parent
    arguments, flags = ["-DGGML_VULKAN=ON", f"-DSPIRV-Headers_DIR={spirv.parent}"], []
    if private:
        arguments.append(f"-DVulkan_INCLUDE_DIR={include}")
        flags.append(f"-I{include}")
    identity = "vulkan " + ".".join(map(str, version))
    return Backend("vulkan", (), tuple(arguments), tuple(flags), identity)


def probe_metal(platform_name: str = sys.platform) -> Backend:
    """Metal is there on every Mac that can run Qt 6."""
    if platform_name != "darwin":
        return Backend("metal", ("macOS",))
    return Backend("metal", cmake_args=("-DGGML_METAL=ON", "-DGGML_METAL_EMBED_LIBRARY=ON"))


def choose_backend(env: Mapping[str, str] = os.environ) -> Backend:
    """Take FATHOM_BACKEND, else the first backend that can be built here."""
    wanted = env.get("FATHOM_BACKEND", "").strip().lower()
    if wanted and wanted not in BACKENDS:
        names = ", ".join(BACKENDS)
        fail(f"FATHOM_BACKEND={wanted} is no backend; choose one of: {names}.", exit_code=2)
    probes: dict[str, Callable[[], Backend]] = {
        "cuda": lambda: probe_cuda(env),
        "metal": probe_metal,
        "vulkan": lambda: probe_vulkan(env),
        "cpu": lambda: Backend("cpu"),
    }
    if wanted:
        backend = probes[wanted]()
        if backend.missing:
            lacks = "; ".join(backend.missing)
            fail(f"FATHOM_BACKEND={wanted} cannot be built here: missing {lacks}.", exit_code=2)
        return backend
    return next(found for found in (probe() for probe in probes.values()) if not found.missing)


# --- the wheel of llama-cpp-python ---------------------------------------------------------------


@dataclass(frozen=True)
class Build:
    """Everything that decides what the wheel contains."""

    version: str
    sdist_sha256: str
    backend: str
    cmake_args: tuple[str, ...]
    cflags: tuple[str, ...]
    cxxflags: tuple[str, ...]
    compiler: str
    dropped: tuple[str, ...] = field(default=())
    machine: str = field(default_factory=platform.machine)
    recipe: int = WHEEL_RECIPE

    def key(self) -> str:
        """Return the name of the wheel's folder in the cache."""
        digest = hashlib.sha256(json.dumps(self.__dict__, sort_keys=True).encode()).hexdigest()
        return f"{self.version}-{self.backend}-{digest[:16]}"


def read_engine_lock(path: Path) -> tuple[str, str]:
    """Return version and SHA-256 of the llama-cpp-python sdist."""
    text = path.read_text(encoding="utf-8")
    version = re.search(r"^llama-cpp-python==(\S+)", text, re.MULTILINE)
    digest = re.search(r"--hash=sha256:([0-9a-f]{64})", text)
    if not version or not digest:
        fail(f"{path} names no version and hash of llama-cpp-python.")
    return version.group(1), digest.group(1)


def cpu_arguments(compiler: Compiler, system: str, machine: str) -> list[str]:
    """Return the CMake switches of the CPU backend: one build for every CPU where that works."""
    if system == "darwin":
        # Every Apple CPU has what the baseline needs, and older versions of Xcode cannot compile
        # the variant for the newest: one static backend, no modules.
        return ["-DGGML_NATIVE=OFF"]
    modules = ["-DGGML_NATIVE=OFF", "-DGGML_BACKEND_DL=ON", "-DGGML_CPU_ALL_VARIANTS=ON"]
    folder = "-DGGML_BACKEND_DIR:STRING=llama_cpp/lib"
    if machine in ("aarch64", "arm64"):
        # Older compilers do not know SME, which two of the variants need.
        if compiler.major < {"gcc": 14, "clang": 18}.get(compiler.family, 0):
            return ["-DGGML_NATIVE=ON", "-DGGML_BACKEND_DL=ON", folder]
    elif compiler.family == "gcc" and compiler.major < MIN_GCC:
        fail(f"{compiler.identity} is too old: g++ {MIN_GCC} or newer is needed.")
    return [*modules, folder]


def plan_build(compiler: Compiler, backend: Backend, env: Mapping[str, str]) -> Build:
    """Put together how llama-cpp-python is built on this machine."""
    version, digest = read_engine_lock(ROOT / "requirements/engine.lock")
    machine = platform.machine()
    arguments = cpu_arguments(compiler, sys.platform, machine)
    arguments += ["-DGGML_RPC=ON", "-DLLAVA_BUILD=OFF", *backend.cmake_args]
    arguments += shlex.split(env.get("FATHOM_CMAKE_ARGS", ""))
    flags: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    if compiler.family == "gcc" and compiler.major < 13 and machine in ("x86_64", "AMD64"):
        # WORKAROUND: GCC 12 drops the stores that fill the AMX tile configuration, and the first
        # decode dies (measured, docs/building.md).
        flags = ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16")
        dropped = (BROKEN_AMX_MODULE,)
    identity = compiler.identity
    if "-DGGML_NATIVE=ON" in arguments:
        identity += f" for {cpu_features()}"
    if backend.identity:
        identity += f", {backend.identity}"
    cxxflags = (*flags, *backend.cxxflags)
    return Build(
        version, digest, backend.name, tuple(arguments), flags, cxxflags, identity, dropped
    )


def cpu_features() -> str:
    """Identify this CPU, for a build that fits no other."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        wanted = ("Features", "CPU part", "CPU implementer")
        return "; ".join(sorted({line for line in lines if line.startswith(wanted)}))
    return platform.processor()


def cache_dir(env: Mapping[str, str] = os.environ) -> Path:
    """Return the user's cache folder for built wheels."""
    if WINDOWS:
        base = Path(env.get("LOCALAPPDATA", Path.home() / "AppData/Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        base = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "fathom/wheels"


def cached_wheel(build: Build, cache: Path) -> Path | None:
    """Return the wheel of this build when it is in the cache and whole."""
    for wheel in sorted((cache / build.key()).glob("llama_cpp_python-*.whl")):
        problem = wheel_problem(wheel)
        if problem is None:
            return wheel
        say(f"The cached wheel is damaged ({problem}); it is built again.")
        wheel.unlink()
    return None


def ensure_wheel(build: Build, cache: Path, log_file: Path) -> Path:
    """Return the cached wheel; build it first when there is none."""
    wheel = cached_wheel(build, cache)
    if wheel:
        return wheel
    lock_file = cache / f"{build.key()}.lock"
    with exclusive(lock_file, "Waiting for another build of the same wheel"):
        wheel = cached_wheel(build, cache)
        if wheel:
            return wheel
        work = cache / f"{build.key()}.building"
        shutil.rmtree(work, ignore_errors=True)
        try:
            built = build_wheel(build, work, log_file)
            return store_wheel(built, build, cache)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def store_wheel(built: Path, build: Build, cache: Path) -> Path:
    """Repack a built wheel and move it into the cache in one step."""
    folder = cache / build.key()
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{built.name}.unfinished"
    repack_wheel(built, unfinished, build.dropped)
    problem = wheel_problem(unfinished)
    if problem:
        fail(f"The built wheel cannot be used: {problem}.")
    described = json.dumps(build.__dict__, indent=2)
    (folder / "build.json").write_text(f"{described}\n", encoding="utf-8")
    return unfinished.replace(folder / built.name)


def build_wheel(build: Build, work: Path, log_file: Path) -> Path:
    """Download the source (checked against the lock) and build it with locked tools."""
    (work / "tmp").mkdir(parents=True)
    tools = make_venv(work / "tools", log_file, "Preparing the build tools")
    pip_install(tools, ["build.lock"], log_file, "Installing cmake and ninja")
    env = build_environment(build, work, tools)
    source = fetch_source(build, work, log_file, tools, env)
    # Without pip's cache: it would hand out a wheel built with other flags.
    wheel = [tools, "-m", "pip", "wheel", "-v", "--no-cache-dir", "--no-build-isolation"]
    command = [*wheel, "--no-deps", "-C", f"build-dir={work / 'build'}", "-w", work / "wheel"]
    say(f"Building llama.cpp once for this machine ({build.backend}); this takes minutes.")
    run_logged(f"Building llama.cpp ({build.backend})", [*command, source], log_file, env)
    return next((work / "wheel").glob("*.whl"))


def fetch_source(
    build: Build, work: Path, log_file: Path, tools: Path, env: Mapping[str, str]
) -> Path:
    """Download llama-cpp-python's source, compare it with the lock, and return its folder.

    It is unpacked here because pip takes a folder with another name every time, and the names of
    source files end up in what is built.
    """
    lock = ROOT / "requirements/engine.lock"
    download = [tools, "-m", "pip", "download", "--no-build-isolation", "--no-deps"]
    download += ["--require-hashes", "--no-binary", ":all:", "-r", lock, "-d", work / "sdist"]
    run_logged(f"Downloading llama.cpp ({build.version})", download, log_file, env)
    sdist = next((work / "sdist").glob("*.tar.gz"))
    if hashlib.sha256(sdist.read_bytes()).hexdigest() != build.sdist_sha256:
        fail(f"{sdist.name} is not the file that {lock.name} names.")
    with tarfile.open(sdist) as archive:
        archive.extractall(work / "source", filter="data")
    return next((work / "source").iterdir())


def build_environment(build: Build, work: Path, tools: Path) -> dict[str, str]:
    """Return the environment of the build: our flags and nobody else's."""
    env = clean_environment()
    env["PATH"] = os.pathsep.join([str(tools.parent), env.get("PATH", "")])
    env["CMAKE_ARGS"] = shlex.join(build.cmake_args)
    # ggml's assertions carry the names of the source files: without the folder, which would tell
    # where this was built and make every build another one.
    places = () if WINDOWS else (f"-ffile-prefix-map={work}=.",)
    env["CFLAGS"] = shlex.join([*build.cflags, *places])
    env["CXXFLAGS"] = shlex.join([*build.cxxflags, *places])
    env["TMPDIR"] = str(work / "tmp")
    env.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(parallel_jobs()))
    return env


def parallel_jobs() -> int:
    """Return one job per CPU, and no more than the memory carries (1.2 GB each)."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with contextlib.suppress(OSError):
        meminfo = Path("/proc/meminfo").read_text(encoding="utf-8")
        available = re.search(r"MemAvailable:\s+(\d+) kB", meminfo)
        if available:
            return max(1, min(cpus or 1, int(available.group(1)) // 1_200_000))
    return cpus or 1


def record_hash(data: bytes) -> str:
    """Return the hash of a file as RECORD writes it."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"


def repack_wheel(source: Path, target: Path, dropped: Sequence[str] = ()) -> None:
    """Copy a wheel without the second copy of its libraries and without `dropped`.

    RECORD is written anew. Raises BootstrapError when a name in `dropped` is not there: then the
    wheel is not what it was taken for.
    """
    with zipfile.ZipFile(source) as old:
        names = [info for info in old.infolist() if not info.is_dir()]
        absent = set(dropped) - {info.filename for info in names}
        if absent:
            fail(f"{source.name} has no {', '.join(sorted(absent))}.")
        rows: list[tuple[str, str, int | str]] = []
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
            for info in names:
                name = info.filename
                if name.lower().startswith(DROPPED_FOLDERS) or name in dropped:
                    continue
                if name.endswith(".dist-info/RECORD"):
                    record = name
                    continue
                data = old.read(info)
                new.writestr(info, data, zipfile.ZIP_DEFLATED)
                rows.append((name, record_hash(data), len(data)))
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([*rows, (record, "", "")])
            new.writestr(record, text.getvalue())


def wheel_problem(wheel: Path) -> str | None:
    """Compare a wheel with its RECORD and with what Fathom opens; None when all is well."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
            record = next((n for n in names if n.endswith(".dist-info/RECORD")), None)
            if record is None:
                return "no RECORD"
            rows = list(csv.reader(io.StringIO(archive.read(record).decode())))
            if {row[0] for row in rows} != names:
                return "RECORD names other files than there are"
            for name, digest, _ in rows:
                if name != record and record_hash(archive.read(name)) != digest:
                    return f"{name} is damaged"
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        return str(error)
    if not any(re.match(r"llama_cpp/lib/(lib)?llama\.(so|dylib|dll)$", name) for name in names):
        return "no llama library in llama_cpp/lib"
    if not any(re.match(r"llama_cpp/lib/(lib)?ggml-cpu", name) for name in names):
        return "no CPU backend in llama_cpp/lib"
    return None


# --- the virtual environment ---------------------------------------------------------------------


def clean_environment() -> dict[str, str]:
    """Return the environment without what would send pip's installation somewhere else."""
    unwanted = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PYTHONPATH"}
    env = {name: value for name, value in os.environ.items() if name not in unwanted}
    return env | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def make_venv(folder: Path, log_file: Path, title: str) -> Path:
    """Create an empty virtual environment and return its Python."""
    # Not the Python of an activated .venv, which is about to be removed.
    python = getattr(sys, "_base_executable", sys.executable)
    run_logged(title, [python, "-m", "venv", "--clear", folder], log_file)
    return folder / ("Scripts/python.exe" if WINDOWS else "bin/python")


def pip_install(python: Path, locks: Sequence[str], log_file: Path, title: str) -> None:
    """Install exactly what the locks name, checked by hash."""
    command = [python, "-m", "pip", "install", "--require-hashes", "--no-deps"]
    for lock in locks:
        command += ["-r", ROOT / "requirements" / lock]
    run_logged(title, command, log_file, clean_environment())


def write_launcher(venv: Path) -> None:
    """Make `app` and `models` importable in the environment and `fathom` a command of it."""
    variables = {"base": str(venv), "platbase": str(venv)}
    site_packages = Path(sysconfig.get_path("purelib", "venv", variables))
    (site_packages / "fathom.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    if WINDOWS:
        launcher = venv / "Scripts/fathom.cmd"
        text = '@set PYTHONSAFEPATH=1\n@"%~dp0python.exe" -m app %*\n'
        launcher.write_text(text, encoding="utf-8")
        return
    launcher = venv / "bin/fathom"
    python = shlex.quote(str(venv / "bin/python"))
    # Without the current folder in the path: it may have an `app` of its own.
    text = f'#!/bin/sh\nexport PYTHONSAFEPATH=1\nexec {python} -m app "$@"\n'
    launcher.write_text(text, encoding="utf-8")
    launcher.chmod(0o755)


def expected_stamp(build: Build) -> dict[str, object]:
    """Return what the environment depends on; when it changes, the environment is made anew."""
    locks = {
        name: hashlib.sha256((ROOT / "requirements" / name).read_bytes()).hexdigest()
        for name in (*APP_LOCKS, "build.lock", "engine.lock")
    }
    return {
        "recipe": VENV_RECIPE,
        "python": f"{sys.version} {sys.base_prefix}",
        "checkout": str(ROOT),
        "wheel": build.key(),
        "locks": locks,
    }


def is_current(venv: Path, stamp: Mapping[str, object]) -> bool:
    """Tell whether the environment was finished with exactly this stamp."""
    try:
        return bool(json.loads((venv / STAMP_NAME).read_text(encoding="utf-8")) == stamp)
    except (OSError, ValueError):
        return False


def write_stamp(venv: Path, stamp: Mapping[str, object]) -> None:
    """Declare the environment finished; nothing may come after this."""
    unfinished = venv / f"{STAMP_NAME}.unfinished"
    unfinished.write_text(json.dumps(stamp, indent=2), encoding="utf-8")
    unfinished.replace(venv / STAMP_NAME)


def fill_venv(
    venv: Path,
    wheel: Path,
    stamp: Mapping[str, object],
    log_file: Path,
    locks: Sequence[str] = APP_LOCKS,
) -> None:
    """Create the environment; the stamp is removed first and written last."""
    (venv / STAMP_NAME).unlink(missing_ok=True)
    python = make_venv(venv, log_file, f"Creating {venv.name}")
    pip_install(python, locks, log_file, "Installing the dependencies")
    install = [python, "-m", "pip", "install", "--no-deps", "--no-index", wheel]
    run_logged("Installing llama.cpp", install, log_file, clean_environment())
    write_launcher(venv)
    check = "import llama_cpp, app, models; from PySide6 import QtWidgets"
    run_logged("Checking what was installed", [python, "-c", check], log_file, clean_environment())
    write_stamp(venv, stamp)


# --- main ----------------------------------------------------------------------------------------


def set_up(env: Mapping[str, str], log_file: Path, release: Path | None = None) -> None:
    """Bring .venv up to date, or the environment ``release`` without anything of the tests."""
    backend = choose_backend(env)
    venv = release or ROOT / ".venv"
    if is_ready(backend, env, venv):
        return
    with exclusive(ROOT / "build/bootstrap.lock", "Waiting for another set-up of this checkout"):
        if is_ready(backend, env, venv):
            return
        started = time.monotonic()
        log_file.unlink(missing_ok=True)
        ensure_system_packages(env, log_file)
        compiler = find_compiler(env) or fail("The C++ compiler does not work: try c++ --version.")
        build = plan_build(compiler, backend, env)
        say(f"Setting Fathom up: llama.cpp backend {build.backend}, {build.compiler}.")
        wheel = ensure_wheel(build, cache_dir(env), log_file)
        locks = RELEASE_LOCKS if release else APP_LOCKS
        fill_venv(venv, wheel, expected_stamp(build), log_file, locks)
        minutes, seconds = divmod(int(time.monotonic() - started), 60)
        say(f"Set-up finished in {minutes}:{seconds:02d}.")


def is_ready(backend: Backend, env: Mapping[str, str], venv: Path) -> bool:
    """Tell whether there is nothing to do."""
    compiler = find_compiler(env)
    if compiler is None or missing_libraries(display_too=has_display(env)):
        return False
    return is_current(venv, expected_stamp(plan_build(compiler, backend, env)))


def show(env: Mapping[str, str]) -> None:
    """Print what would be built, and change nothing."""
    compiler = find_compiler(env)
    described: dict[str, object] = {"missing": missing_packages(env), "compiler": None}
    if compiler:
        build = plan_build(compiler, choose_backend(env), env)
        wheel = cached_wheel(build, cache_dir(env))
        described |= build.__dict__ | {"key": build.key(), "wheel": str(wheel) if wheel else None}
    print(json.dumps(described, indent=2))


def _interrupt(_signal_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Set up, or say in one place why that is impossible."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--show", action="store_true", help="print the plan as JSON and stop")
    parser.add_argument(
        "--release",
        metavar="FOLDER",
        type=Path,
        help="set up FOLDER for freezing a release, without anything of the tests, not .venv",
    )
    options = parser.parse_args(arguments)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)
    try:
        if options.show:
            show(os.environ)
        else:
            release = options.release.resolve() if options.release else None
            set_up(os.environ, ROOT / "build/bootstrap.log", release)
    except BootstrapError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted. The next run starts where nothing is half-done.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  (said here before anything else goes wrong)
        sys.exit(f"Fathom needs Python 3.11 or newer; this is {platform.python_version()}.")
    sys.exit(main())
