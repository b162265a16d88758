"""What goes into the frozen program and what stays out; called by build.spec.

PyInstaller collects what may be needed: every plugin of Qt, every library that any of them links,
several copies of llama.cpp's. Each rule here says what is not needed and why. PyInstaller is not
imported: the rules can be tested without it.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from app.packaging.run_paths import drop_foreign

# A row of PyInstaller's tables: name in the program's folder, file here, kind.
Row = tuple[str, str, str]
# The kind of a link; its "file here" is where it leads.
LINK = "SYMLINK"

# Libraries that must be the system's own, on Linux, with the reason. All but the first two are
# there wherever a window can be shown; docs/packaging.md has the packages that bring them.
SYSTEM_LIBRARIES = {
    "libstdc++.so.6": "GPU drivers are loaded into the engine child and may be newer than ours",
    "libgcc_s.so.1": "goes with libstdc++",
    "libX11.so.6": "talks to the system's X server and shares state with its GL driver",
    "libX11-xcb.so.1": "goes with libX11",
    "libXau.so.6": "goes with libxcb",
    "libXdmcp.so.6": "goes with libxcb",
    "libxcb.so.1": "shares connections with the system's GL driver",
    "libxcb-glx.so.0": "goes with libxcb",
    "libfontconfig.so.1": "reads the system's configuration, which may be newer than ours",
    "libfreetype.so.6": "goes with fontconfig",
    "libdbus-1.so.3": "talks to the system's bus",
    "libdrm.so.2": "talks to the system's GPU driver",
    "libgbm.so.1": "talks to the system's GPU driver",
    "libEGL.so.1": "is the system's GPU driver",
    "libGL.so.1": "is the system's GPU driver",
    "libwayland-client.so.0": "shares state with the system's GPU driver",
    "libwayland-cursor.so.0": "goes with libwayland-client",
    "libwayland-egl.so.1": "shares state with the system's GPU driver",
    "libvulkan.so.1": "finds the system's GPU drivers",
}

# Qt's plugins that are used. Everything is painted by the CPU, pictures are SVG or PNG.
QT_PLUGINS = re.compile(
    r"""(?x) /plugins/ (?:
      platforms/ (?:lib)?q (?:xcb|wayland|offscreen|minimal|windows|cocoa)\b
    | platforminputcontexts/ lib (?:compose|ibus)
    | platformthemes/ libqxdgdesktopportal
    | wayland-shell-integration/ lib (?:xdg-shell|qt-shell)
    | wayland-decoration-client/ lib (?:adwaita|bradient)
    | wayland-graphics-integration-client/ libqt-plugin-wayland-egl
    | iconengines/ | imageformats/ (?:lib)?q (?:svg|ico)\b | styles/
    )"""
)
# Python modules of Qt that nothing imports; PyInstaller follows the type hints of the others.
QT_MODULES_LEFT_OUT = re.compile(r"^PySide6/Qt(?:Network|OpenGL\w*|Qml|Quick\w*)\.")
# Of Qt for Windows: a GL of 20 MB for machines without one, while everything is painted by the
# CPU; and what no library or plugin that stays links (objdump -p, 6.11.3).
WINDOWS_LIBRARIES_LEFT_OUT = {"opengl32sw.dll", "Qt6Network.dll"}
# What PyInstaller runs before the program, on Linux, and what is wrong with it.
HOOKS_LEFT_OUT = {
    "pyi_rth_pyside6": "loads QtCore into every child, and QT_PLUGIN_PATH would reach other "
    "programs; PySide6 from a wheel finds its plugins by itself",
    "pyi_rth_multiprocessing": "is for programs that use multiprocessing",
    "pyi_rth_cryptography_openssl": "is for builds that do not carry OpenSSL inside",
}
# How a package came to be installed where the program was frozen: not so where it runs, and it
# names folders of that machine.
_INSTALLATION = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
_LLAMA = re.compile(r"^(?:lib)?(?P<stem>llama|ggml[a-z0-9_-]*)\.(?P<ending>.*(?:so|dylib|dll).*)$")
# libllama and the modules link ggml by these names; another name would be another copy of it.
_LINKED = ("ggml", "ggml-base")


def llama_libraries(folder: Path) -> list[Path]:
    """Return one file of each of llama.cpp's libraries, under the name by which it is opened.

    A wheel has no symbolic links: ``libggml.so``, ``.so.0`` and ``.so.0.25.3`` are three files.
    """
    files = {path.name: path for path in sorted(folder.iterdir())}
    stems = {match["stem"] for name in files if (match := _LLAMA.match(name))}
    return [files[_llama_name(stem, files)] for stem in sorted(stems)]


def _llama_name(stem: str, files: Mapping[str, Path]) -> str:
    plain = (f"lib{stem}.so", f"lib{stem}.dylib", f"{stem}.dll", f"lib{stem}.dll")
    linked = (f"lib{stem}.so.0", f"lib{stem}.0.dylib")
    names = (*linked, *plain) if stem in _LINKED else (*plain, *linked)
    return next(name for name in names if name in files)


def program_modules(root: Path, packages: Iterable[str]) -> list[str]:
    """Return every module of the program: some are imported by name only.

    This package itself is only used while the program is frozen.
    """
    own = Path(__file__).parent.name
    files = sorted(
        path
        for package in packages
        for path in (root / package).rglob("*.py")
        if own not in path.relative_to(root).parts
    )
    names = (".".join(path.relative_to(root).with_suffix("").parts) for path in files)
    return [name.removesuffix(".__init__") for name in names]


def is_wanted(name: str) -> bool:
    """Tell whether a file belongs into the program; ``name`` is its place there."""
    place = PurePosixPath(name.replace("\\", "/"))
    text = f"/{place}"
    if len(place.parts) == 1 and (place.name in SYSTEM_LIBRARIES or _LLAMA.match(place.name)):
        # llama.cpp's libraries lie in llama_cpp/lib; one beside it would be a second copy.
        return False
    if place.name in WINDOWS_LIBRARIES_LEFT_OUT:
        return False
    if place.parent.suffix == ".dist-info" and place.name in _INSTALLATION:
        return False
    if "/plugins/" in text and "PySide6" in place.parts:
        return bool(QT_PLUGINS.search(text))
    if "PySide6" in place.parts and "translations" in place.parts:
        # Fathom speaks English only; its own words would not change with Qt's.
        return False
    return not QT_MODULES_LEFT_OUT.match(str(place))


def linked(file: str) -> set[str]:
    """Return the names of the libraries that a file of Linux links itself (not theirs in turn)."""
    found = subprocess.run(["readelf", "-d", file], capture_output=True, text=True, check=True)
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", found.stdout))


def without_orphans(
    rows: Iterable[Row], needed_by: Callable[[str], set[str]] = linked
) -> list[Row]:
    """Return the rows without shared libraries that nothing links any more.

    Args:
        rows: all binaries of the program.
        needed_by: names of the libraries that a file links.
    """
    kept = list(rows)
    needs = {source: needed_by(source) for _, source, kind in kept if kind != LINK}
    while True:
        wanted = {name for _, source, kind in kept if kind != LINK for name in needs[source]}
        left = [row for row in kept if not _is_orphan(row[0], wanted)]
        if len(left) == len(kept):
            return kept
        kept = left


def _is_orphan(name: str, wanted: set[str]) -> bool:
    place = PurePosixPath(name)
    is_library = re.match(r"lib.+\.so\.\d", place.name) and "llama_cpp" not in place.parts
    # The program's own start opens libpython by its name.
    return bool(is_library) and not place.name.startswith("libpython") and place.name not in wanted


def without_dangling(rows: Iterable[Row], places: set[str]) -> list[Row]:
    """Return the rows without links to files that stay out; ``places`` are those inside."""
    return [row for row in rows if row[2] != LINK or _target(row) in places]


def _target(row: Row) -> str:
    return posixpath.normpath(str(PurePosixPath(row[0]).parent / row[1]))


def stripped(rows: Iterable[Row], folder: Path) -> list[Row]:
    """Return the rows with Python's own libraries and extension modules freed of what is not used.

    That is debug symbols, which Python from source comes with (17 of libpython's 23 MB), and the
    builder's folders, where libraries would be looked for. Qt's and llama.cpp's files have neither.
    The files here stay as they are; the smaller copies are made in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    strip = shutil.which("strip")
    return [_stripped(row, strip, folder) for row in rows]


def _stripped(row: Row, strip: str | None, folder: Path) -> Row:
    name, source, kind = row
    place = PurePosixPath(name)
    if place.parts[0] in ("PySide6", "shiboken6", "llama_cpp") or place.name.startswith("libQt6"):
        return row
    if not (place.name.startswith("libpython") or kind == "EXTENSION"):
        return row
    target = folder / name.replace("/", "-")
    if strip is None:
        shutil.copyfile(source, target)
    else:
        subprocess.run([strip, "--strip-unneeded", "-o", target, source], check=True)
    drop_foreign(target)
    return name, str(target), kind


def distributions(modules: Iterable[str], owners: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the installed packages that the modules come from, sorted.

    Args:
        owners: top-level module -> packages (``importlib.metadata.packages_distributions``).
    """
    tops = {module.partition(".")[0] for module in modules}
    found = {owner for top in tops for owner in owners.get(top, ())}
    return sorted(found, key=str.lower)
