"""``python -m app.packaging.addon FOLDER --name cuda ...``: packs a GPU add-on, and signs it.

    python -m app.packaging.addon build/addon-cuda --name cuda --title "CUDA, for NVIDIA GPUs" \\
        --cuda 13.0 --key KEY.pem --out dist

``FOLDER`` holds the backend's module (``libggml-cuda.so``), the libraries that it needs and their
licences, as ``app.packaging.cuda_build`` makes it. The archive has nothing else in it, and is the
same for the same folder. Without a key it is not signed: ``fathom addons add`` refuses it, and its
folder may be put there by hand. docs/addons.md has the format.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import hashlib
import importlib.util
import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.addons.installed import host_here
from models.addons.manifest import CONTEXT, FORMAT, MANIFEST_NAME, PRODUCT, read_payload
from models.errors import BadInputError, FathomError
from models.updates.envelope import seal
from models.updates.signing import load_key
from models.version import VERSION

_COMPRESSION = 6
_MODULE = re.compile(r"(?:lib)?ggml-[a-z0-9_]+\.(?:so|dylib|dll)")
# What a module may need beyond its own folder: the system's C and C++ libraries, the driver's, and
# what the engine has loaded before it.
_FROM_ELSEWHERE = re.compile(
    r"ld-linux.*|lib(?:c|m|dl|rt|pthread|stdc\+\+|gcc_s|gomp|cuda|vulkan|ggml-base)\.so\..*"
)


def describe(folder: Path, *, name: str, title: str, cuda: str) -> dict[str, Any]:
    """Return the payload of an add-on whose files lie in a folder, sizes and digests measured.

    Raises:
        BadInputError: the folder does not hold one module, or something needs a library that is
            not there.
        AddonError: Fathom would not take it.
        OSError: a file cannot be read.
    """
    files = sorted(path for path in folder.iterdir() if path.name != MANIFEST_NAME)
    modules = [path.name for path in files if _MODULE.fullmatch(path.name)]
    if len(modules) != 1:
        raise BadInputError(
            f"There has to be one module in {folder}.", details=f"{len(modules)}: {modules}"
        )
    check_links(files)
    host = host_here(ggml_version())
    payload = {
        "product": PRODUCT,
        "format": FORMAT,
        "name": name,
        "title": title,
        "version": VERSION,
        "platform": host.platform,
        "llama_cpp": host.llama_cpp,
        "ggml": host.ggml,
        "module": modules[0],
        "cuda": cuda,
        "files": [_measured(path) for path in files],
    }
    read_payload(payload)
    return payload


def ggml_version() -> str:
    """Return the version of ggml that this environment's llama.cpp carries.

    Raises:
        BadInputError: there is none.
    """
    spec = importlib.util.find_spec("llama_cpp")
    places = spec.submodule_search_locations if spec is not None else None
    patterns = ("libggml-base.so.0", "libggml-base.0.dylib", "ggml-base.dll")
    found = [Path(place, "lib", name) for place in places or () for name in patterns]
    library = next((path for path in found if path.is_file()), None)
    if library is None:
        raise BadInputError("llama.cpp is not installed here.")
    version = ctypes.CDLL(str(library)).ggml_version
    version.restype = ctypes.c_char_p
    return bytes(version()).decode()


def check_links(files: Sequence[Path]) -> None:
    """Refuse, on Linux, a library that needs another which is not there or would not be found.

    Raises:
        BadInputError: so it is; ``details`` has all of them.
    """
    inside = {path.name for path in files}
    problems: list[str] = []
    for path in files:
        if not re.search(r"\.so(\.|$)", path.name):
            continue
        read = subprocess.run(
            ["readelf", "-d", path], capture_output=True, text=True, check=True
        ).stdout
        needed = re.findall(r"\(NEEDED\).*\[(.+)\]", read)
        from_inside = [name for name in needed if name in inside]
        problems += [
            f"{path.name} needs {name}"
            for name in needed
            if name not in inside and not _FROM_ELSEWHERE.fullmatch(name)
        ]
        if from_inside and "[$ORIGIN" not in read:
            problems.append(f"{path.name} does not look for {from_inside[0]} beside itself")
    if problems:
        raise BadInputError(
            "The add-on is not whole.",
            hint="Put what is missing there, and give it a run path ($ORIGIN).",
            details="; ".join(problems),
        )


def pack(folder: Path, payload: dict[str, Any], manifest: bytes, target: Path) -> None:
    """Write the archive: the manifest first, the files in its order, nothing of this machine."""
    part = target.with_name(f".{target.name}.part")
    with (
        part.open("wb") as raw,
        # No name and no time: the same folder gives the same bytes.
        gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        name = payload["name"]
        tar.addfile(_header(f"{name}/{MANIFEST_NAME}", len(manifest)), io.BytesIO(manifest))
        for file in payload["files"]:
            with (folder / file["name"]).open("rb") as data:
                tar.addfile(_header(f"{name}/{file['name']}", file["size_bytes"]), data)
    part.replace(target)


def _header(name: str, size_bytes: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size = size_bytes
    header.mode = 0o644
    header.mtime = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    return header


def _measured(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "size_bytes": path.stat().st_size, "sha256": digest}


def main(argv: Sequence[str] | None = None) -> int:
    """Pack, and print where the archive lies; 2 when that cannot be done."""
    parser = argparse.ArgumentParser(prog="app.packaging.addon", allow_abbrev=False)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--title", required=True)
    parser.add_argument("--cuda", default="", help="lowest CUDA version the driver has to speak")
    parser.add_argument("--key", type=Path, help="private key (PEM); without it, not signed")
    parser.add_argument("--out", type=Path, default=Path("dist"))
    options = parser.parse_args(argv)
    try:
        key = load_key(options.key) if options.key is not None else None
        payload = describe(
            options.folder, name=options.name, title=options.title, cuda=options.cuda
        )
        options.out.mkdir(parents=True, exist_ok=True)
        target = options.out / f"fathom-addon-{options.name}-{VERSION}-{payload['platform']}.tar.gz"
        pack(options.folder, payload, seal(payload, CONTEXT, key), target)
    except FathomError as error:
        sys.stderr.write(f"{error.one_line()} {error.details}\n")
        return BadInputError.exit_code
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{target}{'' if key else ' (not signed)'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
