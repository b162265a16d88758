"""``python -m app.packaging.deb dist/fathom --out dist``: a package for Debian, Ubuntu and kin.

dpkg's own tools do the work: dpkg-shlibdeps finds out which packages the program needs, in which
versions, and dpkg-deb packs. There are no scripts that run at installation: menus, types of files
and icons are taken up by the triggers of the packages that look after them, and so are they
forgotten again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from app.packaging import linux_files
from app.packaging.linux_files import NAME, SUMMARY
from models.version import VERSION

ARCHITECTURE = "amd64"
# Whoever publishes packages puts their own here; "invalid" is a domain that nobody can have.
MAINTAINER = "Fathom contributors <contributors@fathom.invalid>"
_DESCRIPTION = """\
 Fathom finds, fetches and runs DeepSeek models and other GGUF checkpoints,
 in a window or on the command line. It says beforehand where a model would
 live on this machine and how fast it would be. Everything is computed here:
 no account, no telemetry, no network connection once a model is there.
"""
# What is needed and linked by nothing.
_NEEDED = ("xkb-data",)  # keyboard layouts: libxkbcommon inside reads the system's
_RECOMMENDED = (
    "ca-certificates",  # downloads; certificates are always the system's
    "xdg-utils",  # opens web pages and folders in the user's programs
)
_SUGGESTED = ("fonts-noto-cjk",)
# Modules that the engine leaves alone where their libraries are missing.
_OPTIONAL_MODULES = re.compile(r"libggml-(?:vulkan|cuda|hip|sycl)\.so")
# What lintian finds and is meant to be so; docs/packaging.md has the reasons.
_OVERRIDES = (
    "embedded-library",
    "hardening-no-pie",
    "library-not-linked-against-libc",
    "shared-library-lacks-prerequisites",
    "unstripped-binary-or-object",
)
_TOOLS = {"dpkg-deb": "dpkg", "dpkg-shlibdeps": "dpkg-dev"}
_BLOCK_BYTES = 1 << 20


def build(program: Path, out: Path, *, moment: int, compression: str = "xz") -> Path:
    """Pack a frozen program; return the package's path.

    Args:
        program: folder that ``make package`` made.
        out: folder for the package, made where it is missing.
        moment: of the build, in seconds since 1970; every file gets it.
        compression: as dpkg-deb's -Z; "none" is fast, for tests.

    Raises:
        OSError: files cannot be read or written.
        subprocess.SubprocessError: the program or one of dpkg's tools failed.
        ValueError: the folder holds no frozen program.
    """
    if not (program / NAME).is_file():
        raise ValueError(f"no frozen program in {program}: run 'make package' first")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fathom-deb-") as folder:
        tree = Path(folder) / "debian" / NAME
        _lay_out(program.resolve(), tree, moment)
        control = tree / "DEBIAN" / "control"
        control.parent.mkdir()
        control.write_text(_control(tree), encoding="utf-8")
        sums = control.with_name("md5sums")
        sums.write_text(_md5sums(tree), encoding="utf-8")
        linux_files.set_modes(tree, frozenset({tree / "usr" / "lib" / NAME / NAME}))
        linux_files.set_times(tree, moment)
        return _pack(tree, out / f"{NAME}_{VERSION}_{ARCHITECTURE}.deb", moment, compression)


def _lay_out(program: Path, tree: Path, moment: int) -> None:
    """Put every file where it will be installed."""
    usr = tree / "usr"
    linux_files.copy_program(program, usr / "lib" / NAME)
    command = usr / "bin" / NAME
    command.parent.mkdir(parents=True)
    command.symlink_to(f"../lib/{NAME}/{NAME}")
    share = usr / "share"
    linux_files.write_desktop_files(share, moment)
    page = linux_files.manual_page(linux_files.told(program, "--help"), moment)
    _write(share / "man" / "man1" / f"{NAME}.1.gz", page)
    documents = share / "doc" / NAME
    _write(documents / "copyright", _copyright(program).encode())
    _write(documents / "changelog.gz", linux_files.packed(_changelog(moment)))
    overrides = "".join(f"{NAME}: {tag}\n" for tag in _OVERRIDES)
    _write(share / "lintian" / "overrides" / NAME, overrides.encode())


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _copyright(program: Path) -> str:
    """Return Debian's file of licences: Fathom's own, and whose the parts are."""
    texts = f"/usr/lib/{NAME}/_internal/resources/licences"
    licence = (program / "_internal/resources/licences/fathom.txt").read_text(encoding="utf-8")
    lines = licence.partition("\n\n")[2].strip().splitlines()
    body = "".join(f" {line or '.'}\n" for line in lines)
    parts = "".join(
        f"  {' '.join(filter(None, (name, version)))}: {licence}\n"
        for name, version, licence in linux_files.parts_inside(program)
    )
    owner = next(line for line in lines if line.startswith("Copyright"))
    return (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "Upstream-Name: Fathom\n"
        "Comment: It holds the parts below. Their licences' texts lie in\n"
        f' {texts} and are shown in the window under About; "fathom sbom" lists them.\n'
        f" .\n{parts}\nFiles: *\n{owner.replace(' (c)', ':', 1)}\nLicense: Expat\n{body}"
    )


def _changelog(moment: int) -> str:
    day = subprocess.run(
        ["date", "--utc", "--rfc-email", f"--date=@{moment}"],
        env={"LC_ALL": "C", "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    return (
        f"{NAME} ({VERSION}) stable; urgency=medium\n\n"
        f"  * Fathom {VERSION}.\n\n -- {MAINTAINER}  {day}\n"
    )


def _control(tree: Path) -> str:
    depends, recommends = _needed_packages(tree)
    size_kib = sum(_kib(path) for path in tree.rglob("*"))
    return (
        f"Package: {NAME}\nVersion: {VERSION}\nArchitecture: {ARCHITECTURE}\n"
        f"Maintainer: {MAINTAINER}\nInstalled-Size: {size_kib}\n"
        f"Depends: {', '.join((*depends, *_NEEDED))}\n"
        f"Recommends: {', '.join((*recommends, *_RECOMMENDED))}\n"
        f"Suggests: {', '.join(_SUGGESTED)}\n"
        "Section: science\nPriority: optional\n"
        f"Description: {SUMMARY[0].lower()}{SUMMARY[1:]}\n{_DESCRIPTION}"
    )


def _kib(path: Path) -> int:
    # As Debian's policy counts: files in whole KiB, everything else as one.
    return -(-path.stat().st_size // 1024) if path.is_file() and not path.is_symlink() else 1


def _needed_packages(tree: Path) -> tuple[list[str], list[str]]:
    """Return the packages of what the files link: those needed, those used where they are there.

    dpkg-shlibdeps wants ``DEBIAN`` in the tree, and ``debian/control`` where it runs.
    """
    files = [path for path in sorted(tree.rglob("*")) if is_elf(path)]
    folders = sorted({path.parent for path in files if ".so" in path.name})
    optional = [path for path in files if _OPTIONAL_MODULES.fullmatch(path.name)]
    needed = [path for path in files if path not in optional]
    (tree.parent / "control").write_text(f"Source: {NAME}\n\nPackage: {NAME}\nArchitecture: any\n")
    command = ["dpkg-shlibdeps", "-O", "--warnings=0", f"-S{tree}"]
    # Libraries inside belong to no package, and are looked for where they will lie.
    command += ["--ignore-missing-info", *(f"-l/{path.relative_to(tree)}" for path in folders)]
    command += [*map(str, needed), *(f"-dRecommends\0{path}" for path in optional)]
    words = [word for part in command for word in part.split("\0")]
    done = subprocess.run(words, cwd=tree.parents[1], stdout=subprocess.PIPE, text=True, check=True)
    found = dict(re.findall(r"(?m)^shlibs:(\w+)=(.*)$", done.stdout))
    return _names(found.get("Depends", "")), _names(found.get("Recommends", ""))


def _names(field: str) -> list[str]:
    return field.split(", ") if field else []


def is_elf(path: Path) -> bool:
    """Tell whether a path is a program or library of Linux; links are neither."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _md5sums(tree: Path) -> str:
    files = sorted(p for p in tree.rglob("*") if p.is_file() and not p.is_symlink())
    inside = [(path, path.relative_to(tree)) for path in files]
    return "".join(
        f"{_md5(path)}  {name.as_posix()}\n" for path, name in inside if name.parts[0] != "DEBIAN"
    )


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _pack(tree: Path, target: Path, moment: int, compression: str) -> Path:
    command = ["dpkg-deb", "--root-owner-group", "--uniform-compression", f"-Z{compression}"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(moment)}
    subprocess.run(
        [*command, "--build", tree, target],
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return target


def main() -> int:
    """Build the package that the command line describes and print its path."""
    parser = argparse.ArgumentParser(prog="python -m app.packaging.deb", description=__doc__)
    parser.add_argument("program", type=Path, help="the frozen program's folder")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="where the package goes")
    parser.add_argument("--compression", choices=("xz", "zstd", "gzip", "none"), default="xz")
    options = parser.parse_args()
    missing = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if missing:
        sys.stderr.write(f"This needs Debian's tools: apt-get install {' '.join(missing)}\n")
        return 2
    try:
        moment = linux_files.moment_s()
        file = build(options.program, options.out, moment=moment, compression=options.compression)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{file} ({file.stat().st_size / 1e6:.1f} MB)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
