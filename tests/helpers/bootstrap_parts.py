"""What tests of the set-up are made of: programs, headers and wheels that are written down."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from pathlib import Path

import pytest

import bootstrap

REPO_ROOT = Path(bootstrap.__file__).parent
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="runs shell scripts")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="knows Linux libraries")
GCC_12 = '#define __GNUC__ 12\n#define __VERSION__ "12.2.0"'
GCC_13 = '#define __GNUC__ 13\n#define __VERSION__ "13.3.0"'
CLANG_18 = (
    "#define __GNUC__ 4\n#define __clang__ 1\n#define __clang_major__ 18\n"
    '#define __VERSION__ "Clang 18.1.8"'
)
AMX_MODULE = bootstrap.BROKEN_AMX_MODULE
DIST_INFO = "llama_cpp_python-0.3.36.dist-info"
WHEEL_NAME = "llama_cpp_python-0.3.36-py3-none-any.whl"


def write_program(folder: Path, name: str, text: str = "") -> Path:
    """Write a shell script that prints a text."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{text}\nEND\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def write_headers(folder: Path, minor: int, patch: int) -> Path:
    """Write a vulkan_core.h as Khronos does."""
    header = folder / "vulkan/vulkan_core.h"
    header.parent.mkdir(parents=True)
    header.write_text(
        "#define VK_HEADER_VERSION_UNRELATED 1\n"
        f"// Version of this file\n#define VK_HEADER_VERSION {patch}\n\n"
        "// Complete version of this file\n"
        "#define VK_HEADER_VERSION_COMPLETE "
        f"VK_MAKE_API_VERSION(0, 1, {minor}, VK_HEADER_VERSION)\n"
    )
    return folder


def write_wheel(path: Path, files: dict[str, bytes]) -> Path:
    """Write a wheel with a RECORD."""
    record = f"{DIST_INFO}/RECORD"
    rows = [(name, bootstrap.record_hash(data), len(data)) for name, data in files.items()]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*rows, (record, "", "")])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
        wheel.writestr(record, text.getvalue())
    return path


def wheel_files() -> dict[str, bytes]:
    """Return what a built wheel holds, in small."""
    return {
        "llama_cpp/__init__.py": b'__version__ = "0.3.36"\n',
        "llama_cpp/lib/libllama.so": b"llama",
        "llama_cpp/lib/libggml-cpu-haswell.so": b"fast",
        AMX_MODULE: b"broken",
        "lib/libllama.so": b"llama",
        "lib/cmake/llama/llama-config.cmake": b"# cmake",
        "include/llama.h": b"// header",
        f"{DIST_INFO}/METADATA": b"Metadata-Version: 2.1\nName: llama_cpp_python\nVersion: 0.3.36",
        f"{DIST_INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-any\n",
    }


def plan(compiler: bootstrap.Compiler, **changes: object) -> bootstrap.Build:
    """Return the build that is planned with a compiler."""
    backend = bootstrap.Backend("cpu", **changes)  # type: ignore[arg-type]
    return bootstrap.plan_build(compiler, backend, {})
