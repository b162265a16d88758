"""What lies in the frozen program's folder: everything once, nothing too much, all links end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.packaging.contents import SYSTEM_LIBRARIES, linked
from app.packaging.sizes import sizes
from helpers.frozen_program import FrozenProgram
from models.library.demo import _FILE as DEMO_FILE

ROOT = Path(__file__).parents[2]
# Without CUDA and without the demo checkpoint.
LARGEST_BYTES = 350_000_000
GLIBC = re.compile(r"(?:ld-linux.*|lib(?:c|m|dl|rt|pthread|resolv|util|crypt))\.so\.\d")
NAME = re.compile(r"^([a-z0-9_.-]+)==", re.MULTILINE | re.IGNORECASE)


def locked(lock: str) -> set[str]:
    """Return the packages that a lock names, as metadata folders spell them."""
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    return {re.sub(r"[-_.]+", "_", name).lower() for name in NAME.findall(text)}


def files(program: FrozenProgram) -> list[Path]:
    """Return all files, links left out."""
    return [path for path in program.folder.rglob("*") if path.is_file() and not path.is_symlink()]


def is_elf(path: Path) -> bool:
    """Tell whether a file is a program or library of Linux."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def test_size(frozen: FrozenProgram) -> None:
    counted = sizes(frozen.folder)
    assert counted["demo checkpoint"] in (0, 98_362_432)
    assert sum(counted.values()) - counted["demo checkpoint"] < LARGEST_BYTES
    assert counted["rest"] == 0


def test_packages_are_the_programs_own(frozen: FrozenProgram) -> None:
    """Each with its metadata, in the version of the lock; nothing of the tools and tests."""
    folders = [path.name.removesuffix(".dist-info") for path in frozen.inside.glob("*.dist-info")]
    inside = {re.sub(r"[-_.]+", "_", name.rpartition("-")[0]).lower() for name in folders}
    assert inside <= locked("app.lock") | locked("engine.lock")
    assert {"pyside6_essentials", "huggingface_hub", "keyring", "secretstorage"} <= inside
    assert not inside & {"numpy", "pytest", "gguf", "pyinstaller", "setuptools"}


@pytest.mark.parametrize("stem", ["libllama", "libggml", "libggml-base", "libggml-rpc"])
def test_each_library_of_llama_cpp_is_there_once(frozen: FrozenProgram, stem: str) -> None:
    pattern = re.compile(rf"{re.escape(stem)}\.so[.\d]*")
    found = [path for path in frozen.folder.rglob("*.so*") if pattern.fullmatch(path.name)]
    assert len(found) == 1, found
    assert found[0].parent == frozen.inside / "llama_cpp" / "lib"


def test_modules_for_old_and_new_processors(frozen: FrozenProgram) -> None:
    folder = frozen.inside / "llama_cpp" / "lib"
    names = {path.name for path in folder.glob("libggml-cpu-*.so")}
    variants = {"x64", "sse42", "sandybridge", "haswell", "skylakex", "icelake", "alderlake"}
    assert {f"libggml-cpu-{variant}.so" for variant in variants} <= names


def test_resources(frozen: FrozenProgram) -> None:
    """Whatever lies in resources/ here lies there, byte for byte."""
    ours = [path for path in (ROOT / "resources").rglob("*") if path.is_file()]
    for path in ours:
        copy = frozen.inside / path.relative_to(ROOT)
        assert copy.read_bytes() == path.read_bytes(), copy
    extra = {path.name for path in (frozen.inside / "resources").rglob("*") if path.is_file()}
    assert extra - {path.name for path in ours} <= {DEMO_FILE}


def test_every_linked_library_is_inside_or_of_the_system(frozen: FrozenProgram) -> None:
    inside = {path.name for path in frozen.folder.rglob("*.so*")}
    missing = {
        (path.name, name)
        for path in files(frozen)
        if is_elf(path)
        for name in linked(str(path))
        if name not in inside and name not in SYSTEM_LIBRARIES and not GLIBC.fullmatch(name)
    }
    assert missing == set()


def test_qt_plugins(frozen: FrozenProgram) -> None:
    """Two kinds of display and none, SVG icons, typing in other scripts, the system's dialogs."""
    folder = frozen.inside / "PySide6" / "Qt" / "plugins"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.so")}
    assert found >= {
        *(f"platforms/libq{name}.so" for name in ("xcb", "wayland", "offscreen", "minimal")),
        *("iconengines/libqsvgicon.so", "imageformats/libqsvg.so"),
        "platforminputcontexts/libcomposeplatforminputcontextplugin.so",
        "platforminputcontexts/libibusplatforminputcontextplugin.so",
        "platformthemes/libqxdgdesktopportal.so",
        "wayland-shell-integration/libxdg-shell.so",
    }
    assert len(found) < 20, found


def test_links_end_inside(frozen: FrozenProgram) -> None:
    root = frozen.folder.resolve()
    for path in frozen.folder.rglob("*"):
        if path.is_symlink():
            assert path.exists(), path
            assert path.resolve().is_relative_to(root), path
