"""The rules for what goes into the frozen program, and what its first step does."""

from __future__ import annotations

import ast
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.packaging import contents
from app.packaging.sizes import main, part_of

HOOK = Path(contents.__file__).with_name("environment_hook.py")
REPOSITORY = HOOK.parents[2]
LINUX_WHEEL = [
    *("libggml-base.so", "libggml-base.so.0", "libggml-base.so.0.25.3", "libggml-cpu-x64.so"),
    *("libggml-rpc.so", "libggml.so", "libggml.so.0"),
    *("libllama.so", "libllama.so.0", "libllama.so.0.5.0"),
]


@pytest.mark.parametrize(
    ("wheel", "chosen"),
    [
        (
            LINUX_WHEEL,
            "libggml.so.0 libggml-base.so.0 libggml-cpu-x64.so libggml-rpc.so libllama.so",
        ),
        (
            ["libggml.dylib", "libggml.0.dylib", "libllama.0.dylib", "libllama.dylib"],
            "libggml.0.dylib libllama.dylib",
        ),
        (["ggml.dll", "ggml-cpu-haswell.dll", "llama.dll", "llama.lib"], None),
    ],
)
def test_one_file_of_each_library(tmp_path: Path, wheel: list[str], chosen: str | None) -> None:
    for name in wheel:
        (tmp_path / name).touch()
    names = {path.name for path in contents.llama_libraries(tmp_path)}
    assert names == set((chosen or "ggml.dll ggml-cpu-haswell.dll llama.dll").split())


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("libggml.so.0", False),
        ("llama_cpp/lib/libggml.so.0", True),
        ("libstdc++.so.6", False),
        ("libxkbcommon.so.0", True),
        ("PySide6/Qt/plugins/platforms/libqxcb.so", True),
        ("PySide6\\plugins\\platforms\\qwindows.dll", True),
        ("PySide6/Qt/plugins/platforms/libqeglfs.so", False),
        ("PySide6/Qt/plugins/platforms/libqminimalegl.so", False),
        ("PySide6/Qt/plugins/platformthemes/libqgtk3.so", False),
        ("PySide6/Qt/plugins/imageformats/libqsvg.so", True),
        ("PySide6/Qt/plugins/imageformats/libqtiff.so", False),
        ("PySide6/Qt/plugins/tls/libqopensslbackend.so", False),
        ("PySide6/Qt/translations/qtbase_de.qm", False),
        ("PySide6/QtNetwork.abi3.so", False),
        ("PySide6/QtWidgets.abi3.so", True),
        ("resources/icons/fathom.svg", True),
        # How it was installed on the machine of the build, with that machine's folders.
        ("psutil-7.2.2.dist-info/RECORD", False),
        ("llama_cpp_python-0.3.36.dist-info/direct_url.json", False),
        ("psutil-7.2.2.dist-info/METADATA", True),
        ("keyring-25.7.0.dist-info/entry_points.txt", True),
        (r"PySide6\opengl32sw.dll", False),
        ("Qt6Network.dll", False),
        ("Qt6Widgets.dll", True),
    ],
)
def test_what_is_wanted(name: str, wanted: bool) -> None:
    assert contents.is_wanted(name) is wanted


def test_libraries_that_nothing_links_go_with_those_that_linked_them() -> None:
    needs = {"/app": {"liba.so.1"}, "/a": {"libb.so.1"}, "/b": set(), "/c": {"libd.so.1"}}
    rows = [
        ("x.abi3.so", "/app", "EXTENSION"),
        ("liba.so.1", "/a", "BINARY"),
        ("libb.so.1", "/b", "BINARY"),
        # Links the next, and nothing links it.
        ("libc.so.1", "/c", "BINARY"),
        ("libd.so.1", "/b", "BINARY"),
        ("libpython3.11.so.1.0", "/b", "BINARY"),
        ("llama_cpp/lib/libggml.so.0", "/b", "BINARY"),
        ("libb-link.so.1", "lib/gone.so.1", contents.LINK),
    ]
    kept = contents.without_orphans(rows, lambda file: needs.get(file, set()))
    names = [name for name, _, _ in kept]
    assert names == [
        "x.abi3.so", "liba.so.1", "libb.so.1", "libpython3.11.so.1.0", "llama_cpp/lib/libggml.so.0",
    ]  # fmt: skip


def test_links_to_what_stays_out_stay_out() -> None:
    rows = [
        ("top.so", "PySide6/Qt/lib/in.so", contents.LINK),
        ("folder/up.so", "../in.so", contents.LINK),
        ("gone.so", "PySide6/Qt/lib/out.so", contents.LINK),
        ("file.txt", "/somewhere", "DATA"),
    ]
    kept = contents.without_dangling(rows, {"PySide6/Qt/lib/in.so", "in.so"})
    assert [name for name, _, _ in kept] == ["top.so", "folder/up.so", "file.txt"]


def test_linked_reads_a_real_file() -> None:
    if sys.platform != "linux" or shutil.which("readelf") is None:
        pytest.skip("needs readelf")
    assert any(name.startswith("libc.so") for name in contents.linked("/bin/sh"))


def test_stripped_leaves_the_original_and_qt_alone(tmp_path: Path) -> None:
    if sys.platform != "linux" or shutil.which("cc") is None or shutil.which("strip") is None:
        pytest.skip("needs a compiler and strip")
    source = tmp_path / "x.c"
    source.write_text("int x(void) { return 1; }\n")
    library = tmp_path / "x.so"
    subprocess.run(["cc", "-g", "-shared", "-fPIC", "-o", library, source], check=True)
    before = library.read_bytes()
    names = ["python3.11/lib-dynload/x.so", "PySide6/x.so", "llama_cpp/lib/x.so"]
    rows = [(name, str(library), "EXTENSION") for name in names]
    done = contents.stripped(rows, tmp_path / "out")
    assert library.read_bytes() == before
    assert done[1:] == rows[1:]
    assert b".debug_info" in before
    assert b".debug_info" not in Path(done[0][1]).read_bytes()


def test_every_module_of_the_program_is_named() -> None:
    names = contents.program_modules(REPOSITORY, ["app", "models"])
    assert {"app", "app.cli.run", "models.runtime.worker", "models.transfer.worker"} <= set(names)
    assert not [name for name in names if name.startswith("app.packaging")]


def test_distributions_of_modules() -> None:
    owners = {"PySide6": ["PySide6_Essentials"], "yaml": ["PyYAML"], "pytest": ["pytest"]}
    modules = ["PySide6.QtCore", "yaml", "yaml.cyaml", "json"]
    assert contents.distributions(modules, owners) == ["PySide6_Essentials", "PyYAML"]


def run_hook(env: dict[str, str]) -> dict[str, str]:
    """Return the environment that a child of the frozen program would get."""
    code = "import os, runpy, sys; runpy.run_path(sys.argv[1]); print(dict(os.environ))"
    command = [sys.executable, "-c", code, HOOK]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    found: dict[str, str] = ast.literal_eval(done.stdout)
    return {name: value for name, value in found.items() if name != "LC_CTYPE"}


def test_other_programs_get_the_users_library_path() -> None:
    marks = {"_PYI_ARCHIVE_FILE": "/x/fathom", "_PYI_PARENT_PROCESS_LEVEL": "0", "KEPT": "1"}
    assert run_hook({"LD_LIBRARY_PATH": "/x/_internal", **marks}) == {"KEPT": "1"}
    had = {"LD_LIBRARY_PATH": "/x/_internal:/theirs", "LD_LIBRARY_PATH_ORIG": "/theirs"}
    assert run_hook(had) == {"LD_LIBRARY_PATH": "/theirs"}


def test_sizes_are_listed_by_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = tmp_path / "_internal" / "resources" / "demo" / "demo.gguf"
    demo.parent.mkdir(parents=True)
    demo.write_bytes(bytes(3_000_000))
    (tmp_path / "_internal" / "libQt6Core.so.6").write_bytes(bytes(1_000_000))
    (tmp_path / "_internal" / "link.so").symlink_to("libQt6Core.so.6")
    monkeypatch.setattr(sys, "argv", ["sizes", str(tmp_path)])
    assert main() == 0
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["3.0", "MB", "demo checkpoint"],
        ["1.0", "MB", "Qt and PySide6"],
        ["4.0", "MB", "in all, 1.0 without the demo"],
    ]
    assert part_of("somewhere/else.bin") == "rest"
    assert runpy.run_path(str(HOOK.with_name("sizes.py")))["part_of"]("fathom") != "rest"
