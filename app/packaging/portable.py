"""``python -m app.packaging.portable dist/fathom --out dist``: what runs without being installed.

Without ``--runtime`` that is an archive to unpack anywhere. With it, it is an AppImage: one file,
whose first part is AppImage's own program that mounts the rest of the file and starts what is in
there (https://github.com/AppImage/AppImageSpec). That program is not made here: it is the one that
AppImage's makers publish, and no other is taken.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from app.packaging import linux_files
from app.packaging.linux_files import IDENTIFIER, NAME
from models.version import VERSION

# https://github.com/AppImage/type2-runtime/releases/download/20251108/runtime-x86_64
RUNTIME_SHA256 = "2fca8b443c92510f1483a883f60061ad09b46b978b2631c807cd873a47ec260d"
_STEM = f"{NAME}-{VERSION}-linux-x86_64"
_README = f"""\
Fathom {VERSION} for Linux on x86-64, glibc 2.35 or newer. Nothing has to be installed:

    ./fathom                                         opens the window
    ./fathom doctor                                  says whether everything works
    ./fathom run demo --prompt "Why is the sea salty?"

To have the command everywhere:  ln -s "$PWD/fathom" ~/.local/bin/fathom
To have it in the menu, and .gguf files open in it, after that:

    cp -r share/. ~/.local/share/
    update-mime-database ~/.local/share/mime; update-desktop-database ~/.local/share/applications

To remove it: delete this folder, that link, and the files named {IDENTIFIER}.* below
~/.local/share. What you made lies in ~/.local/share/fathom and ~/.config/fathom.
"""


def archive(program: Path, out: Path, *, moment: int) -> Path:
    """Pack a frozen program to be unpacked anywhere; return the archive's path.

    Args:
        program: folder that ``make package`` made.
        out: folder for the archive, made where it is missing.
        moment: of the build, in seconds since 1970; every file gets it.

    Raises:
        OSError: files cannot be read or written.
        ValueError: the folder holds no frozen program.
    """
    return _packed(program, out, moment, _lay_out_archive, _tar)


def appimage(program: Path, out: Path, runtime: Path, *, moment: int) -> Path:
    """Pack a frozen program into one file that can be run; return its path.

    Args:
        program: folder that ``make package`` made.
        out: folder for the file, made where it is missing.
        runtime: AppImage's program for the beginning of the file.
        moment: of the build, in seconds since 1970; every file gets it.

    Raises:
        OSError: files cannot be read or written.
        subprocess.SubprocessError: mksquashfs failed.
        ValueError: the folder holds no frozen program, or the runtime is another one.
    """
    beginning = runtime.read_bytes()
    if hashlib.sha256(beginning).hexdigest() != RUNTIME_SHA256:
        raise ValueError(f"{runtime} is not the runtime that this version of Fathom is made with")
    return one_file(program, out, beginning, moment=moment)


def one_file(program: Path, out: Path, beginning: bytes, *, moment: int) -> Path:
    """As ``appimage``, with any beginning."""

    def pack(tree: Path, target: Path, moment: int) -> Path:
        return _squash(tree, target, moment, beginning)

    return _packed(program, out, moment, lay_out_appdir, pack)


def _packed(
    program: Path,
    out: Path,
    moment: int,
    lay_out: Callable[[Path, Path, int], None],
    pack: Callable[[Path, Path, int], Path],
) -> Path:
    if not (program / NAME).is_file():
        raise ValueError(f"no frozen program in {program}: run 'make package' first")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fathom-portable-") as folder:
        tree = Path(folder) / f"{NAME}-{VERSION}"
        lay_out(program.resolve(), tree, moment)
        linux_files.set_times(tree, moment)
        return pack(tree, out / _STEM, moment)


def _lay_out_archive(program: Path, tree: Path, moment: int) -> None:
    linux_files.copy_program(program, tree)
    linux_files.write_desktop_files(tree / "share", moment)
    (tree / "README.txt").write_text(_README, encoding="utf-8")
    linux_files.set_modes(tree, frozenset({tree / NAME}))


def lay_out_appdir(program: Path, tree: Path, moment: int) -> None:
    """Lay a frozen program out as AppImages are: start, entry and icon lie on top."""
    usr = tree / "usr"
    linux_files.copy_program(program, usr / "lib" / NAME)
    (usr / "bin").mkdir()
    (usr / "bin" / NAME).symlink_to(f"../lib/{NAME}/{NAME}")
    # The program finds its parts from where it really lies; no script has to prepare anything.
    (tree / "AppRun").symlink_to(f"usr/lib/{NAME}/{NAME}")
    share = usr / "share"
    linux_files.write_desktop_files(share, moment)
    entry = share / "applications" / f"{IDENTIFIER}.desktop"
    (tree / entry.name).symlink_to(entry.relative_to(tree))
    icon = share / "icons" / "hicolor" / "256x256" / "apps" / f"{IDENTIFIER}.png"
    (tree / icon.name).symlink_to(icon.relative_to(tree))
    (tree / ".DirIcon").symlink_to(icon.name)
    linux_files.set_modes(tree, frozenset({usr / "lib" / NAME / NAME}))


def _tar(tree: Path, stem: Path, moment: int) -> Path:
    target = stem.with_name(f"{stem.name}.tar.gz")
    paths = [tree, *sorted(tree.rglob("*"))]
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=moment) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in paths:
            name = path.relative_to(tree.parent).as_posix()
            tar.add(path, name, recursive=False, filter=_owned_by_root)
    return target


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _squash(tree: Path, stem: Path, moment: int, beginning: bytes) -> Path:
    target = stem.with_name(f"{stem.name}.AppImage")
    image = tree.parent / "image"
    command = [
        "mksquashfs",
        str(tree),
        str(image),
        "-root-owned",
        "-noappend",
        "-no-xattrs",
        "-quiet",
    ]
    command += ["-no-progress", "-comp", "zstd", "-Xcompression-level", "15"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(moment)}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    with target.open("wb") as file, image.open("rb") as rest:
        file.write(beginning)
        shutil.copyfileobj(rest, file, 1 << 20)
    target.chmod(0o755)
    return target


def main() -> int:
    """Make what the command line describes and print its path."""
    parser = argparse.ArgumentParser(prog="python -m app.packaging.portable", description=__doc__)
    parser.add_argument("program", type=Path, help="the frozen program's folder")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="where it goes")
    parser.add_argument(
        "--runtime", type=Path, help="AppImage's runtime-x86_64: make an AppImage, not an archive"
    )
    options = parser.parse_args()
    if options.runtime and shutil.which("mksquashfs") is None:
        sys.stderr.write("This needs mksquashfs: apt-get install squashfs-tools\n")
        return 2
    try:
        moment = linux_files.moment_s()
        if options.runtime:
            file = appimage(options.program, options.out, options.runtime, moment=moment)
        else:
            file = archive(options.program, options.out, moment=moment)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{file} ({file.stat().st_size / 1e6:.1f} MB)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
