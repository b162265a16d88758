"""Add-ons for tests: modules compiled here, folders as they lie, archives as they come."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from models.addons.installed import host_here
from models.addons.manifest import CONTEXT, FORMAT, MANIFEST_NAME, PRODUCT
from models.updates.envelope import seal
from models.updates.platforms import platform_name

_SOURCE = Path(__file__).with_name("fake_backend.c")
GGML = "0.25.3"
MODULE = "libggml-cuda.so"


def compile_module(target: Path, *more: str, source: Path = _SOURCE, **defines: str | int) -> Path:
    """Compile a backend module that lists devices (fake_backend.c); skipped without a compiler.

    Args:
        target: the file to make.
        more: for the linker, or files to be linked.
        source: other C code.
        defines: macros; texts are quoted.
    """
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler on Linux")
    quoted = {
        key: f'"{value}"' if isinstance(value, str) else value for key, value in defines.items()
    }
    macros = [f"-D{key}={value}" for key, value in quoted.items()]
    target.parent.mkdir(parents=True, exist_ok=True)
    flags = ["-shared", "-fPIC", "-Wall", "-Werror"]
    subprocess.run([compiler, *flags, *macros, "-o", target, source, *more], check=True)
    return target


def payload(files: Mapping[str, bytes], **changed: Any) -> dict[str, Any]:
    """Return what a sound ``addon.json`` says of these files; the first one is the module."""
    listed = [
        {"name": name, "size_bytes": len(data), "sha256": sha256(data).hexdigest()}
        for name, data in files.items()
    ]
    return {
        "product": PRODUCT,
        "format": FORMAT,
        "name": "cuda",
        "title": "CUDA, for NVIDIA GPUs",
        "version": "0.1.0",
        "platform": platform_name(),
        "llama_cpp": host_here().llama_cpp,
        "ggml": GGML,
        "module": next(iter(files)),
        "cuda": "",
        "files": listed,
        **changed,
    }


def put_folder(folder: Path, module: Path, **changed: Any) -> Path:
    """Put an add-on where it is looked for, by hand: not signed."""
    said = payload({MODULE: module.read_bytes()}, **changed)
    place = folder / said["name"]
    place.mkdir(parents=True, mode=0o700)
    shutil.copyfile(module, place / MODULE)
    (place / MANIFEST_NAME).write_bytes(seal(said, CONTEXT, None))
    close(folder)
    return place


def close(folder: Path) -> None:
    """Take write permission from others, whatever the umask of the tests is."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


Member = tuple[str, bytes]


def members_of(manifest: bytes, files: Mapping[str, bytes], name: str = "cuda") -> list[Member]:
    """Return an archive's members as a sound one has them."""
    rest = [(f"{name}/{file}", data) for file, data in files.items()]
    return [(f"{name}/{MANIFEST_NAME}", manifest), *rest]


def pack(path: Path, members: Iterable[Member | tarfile.TarInfo]) -> Path:
    """Write an archive; a TarInfo without data is a link, a device or a folder."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            header = tarfile.TarInfo(member[0])
            header.size = len(member[1])
            tar.addfile(header, io.BytesIO(member[1]))
    return path


def signed_archive(
    path: Path, key: Ed25519PrivateKey, files: Mapping[str, bytes], **changed: Any
) -> Path:
    """Write a whole add-on as its makers do."""
    said = payload(files, **changed)
    return pack(path, members_of(seal(said, CONTEXT, key), files, said["name"]))


def engine_with(folder: Path) -> Sequence[str]:
    """Return the command of an engine child that looks for add-ons in a folder."""
    return [sys.executable, "-P", "-m", "app", "engine", "--addons", str(folder)]
