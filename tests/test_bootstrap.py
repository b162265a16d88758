"""Set-up: choices made from real folders and programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bootstrap
from helpers.bootstrap_parts import (
    AMX_MODULE,
    CLANG_18,
    GCC_12,
    GCC_13,
    LINUX,
    POSIX,
    REPO_ROOT,
    plan,
    write_headers,
    write_program,
)


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def fake_env(bin_dir: Path) -> dict[str, str]:
    return {"PATH": str(bin_dir), "CUDA_HOME": "/nowhere", "FATHOM_VULKAN_INCLUDE": "/nowhere"}


# --- the compiler and the key --------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize(
    ("macros", "compiler"),
    [
        (GCC_12, bootstrap.Compiler("gcc", 12, "gcc 12.2.0")),
        (GCC_13, bootstrap.Compiler("gcc", 13, "gcc 13.3.0")),
        (CLANG_18, bootstrap.Compiler("clang", 18, "clang Clang 18.1.8")),
    ],
)
def test_compiler_says_who_it_is(
    bin_dir: Path, fake_env: dict[str, str], macros: str, compiler: bootstrap.Compiler
) -> None:
    write_program(bin_dir, "g++", macros)
    assert bootstrap.find_compiler(fake_env) == compiler


@POSIX
def test_cxx_of_the_environment_wins(bin_dir: Path, fake_env: dict[str, str]) -> None:
    write_program(bin_dir, "g++", GCC_12)
    write_program(bin_dir, "g++-13", GCC_13)
    compiler = bootstrap.find_compiler({**fake_env, "CXX": "g++-13 -pipe"})
    assert compiler is not None
    assert compiler.major == 13


def test_no_compiler(fake_env: dict[str, str]) -> None:
    assert bootstrap.find_compiler(fake_env) is None


def test_key_changes_with_what_changes_the_wheel() -> None:
    gcc = bootstrap.Compiler("gcc", 13, "gcc 13.3.0")
    builds = [
        plan(gcc),
        plan(bootstrap.Compiler("gcc", 13, "gcc 13.4.0")),
        plan(bootstrap.Compiler("gcc", 12, "gcc 12.2.0")),
        plan(gcc, cmake_args=("-DGGML_CUDA=ON",)),
        plan(gcc, identity="vulkan 1.4.309"),
        bootstrap.plan_build(gcc, bootstrap.Backend("cpu"), {"FATHOM_CMAKE_ARGS": "-DX=1"}),
    ]
    keys = {build.key() for build in builds}
    assert len(keys) == len(builds)
    assert plan(gcc).key() == plan(gcc).key()
    assert all(key.startswith("0.3.36-cpu-") for key in keys)


@LINUX
def test_portable_build_of_every_cpu_variant_with_rpc() -> None:
    arguments = bootstrap.cpu_arguments(bootstrap.Compiler("gcc", 12, ""), "linux", "x86_64")
    assert "-DGGML_CPU_ALL_VARIANTS=ON" in arguments
    assert "-DGGML_BACKEND_DIR:STRING=llama_cpp/lib" in arguments
    assert "-DGGML_RPC=ON" in plan(bootstrap.Compiler("gcc", 12, "")).cmake_args


def test_arm_compiler_without_sme_builds_for_this_cpu() -> None:
    for old, new in ((("gcc", 12), ("gcc", 14)), (("clang", 17), ("clang", 18))):
        arguments = bootstrap.cpu_arguments(bootstrap.Compiler(*old, ""), "linux", "aarch64")
        assert "-DGGML_NATIVE=ON" in arguments
        arguments = bootstrap.cpu_arguments(bootstrap.Compiler(*new, ""), "linux", "aarch64")
        assert "-DGGML_CPU_ALL_VARIANTS=ON" in arguments


def test_mac_has_one_static_backend() -> None:
    clang = bootstrap.Compiler("clang", 15, "")
    assert bootstrap.cpu_arguments(clang, "darwin", "arm64") == ["-DGGML_NATIVE=OFF"]


def test_too_old_gcc_is_refused() -> None:
    with pytest.raises(bootstrap.BootstrapError, match="too old"):
        bootstrap.cpu_arguments(bootstrap.Compiler("gcc", 10, "gcc 10.2.1"), "linux", "x86_64")


@LINUX
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="AMX is of x86-64")
def test_amx_is_left_out_where_gcc_miscompiles_it() -> None:
    old = plan(bootstrap.Compiler("gcc", 12, "gcc 12.2.0"))
    assert old.dropped == (AMX_MODULE,)
    assert "-mno-amx-tile" in old.cflags
    assert "-mno-amx-tile" in old.cxxflags
    for compiler in (bootstrap.Compiler("gcc", 13, ""), bootstrap.Compiler("clang", 15, "")):
        assert plan(compiler).dropped == ()
        assert plan(compiler).cflags == ()


@LINUX
def test_what_is_built_does_not_tell_where(tmp_path: Path) -> None:
    compiler = bootstrap.find_compiler()
    assert compiler
    env = bootstrap.build_environment(plan(compiler), tmp_path, tmp_path / "bin/python")
    source = tmp_path / "source" / "named.cpp"
    source.parent.mkdir()
    source.write_text("extern const char *name;\nconst char *name = __FILE__;\n", encoding="utf-8")
    flags = [flag for flag in env["CXXFLAGS"].split() if flag.startswith("-f")]
    target = tmp_path / "named.o"
    subprocess.run(["c++", *flags, "-g", "-c", source, "-o", target], check=True)
    built = target.read_bytes()
    assert b"./source/named.cpp" in built
    assert os.fsencode(tmp_path / "source") not in built


# --- the backend ---------------------------------------------------------------------------------


@LINUX
def test_cpu_where_nothing_else_is(fake_env: dict[str, str]) -> None:
    assert bootstrap.choose_backend(fake_env).name == "cpu"


@POSIX
def test_cuda_needs_compiler_and_driver(bin_dir: Path, fake_env: dict[str, str]) -> None:
    write_program(bin_dir, "nvcc", "Cuda compilation tools, release 12.8, V12.8.93")
    write_program(bin_dir, "nvidia-smi", "9.0\n12.0\n9.0")
    backend = bootstrap.choose_backend(fake_env)
    assert backend.name == "cuda"
    assert "-DCMAKE_CUDA_ARCHITECTURES=120;90" in backend.cmake_args
    assert backend.identity == "nvcc release 12.8, V12.8.93"
    (bin_dir / "nvcc").unlink()
    with pytest.raises(bootstrap.BootstrapError, match="missing nvcc") as caught:
        bootstrap.choose_backend({**fake_env, "FATHOM_BACKEND": "cuda"})
    assert caught.value.exit_code == 2


@POSIX
def test_cuda_for_all_gpus_where_the_driver_does_not_answer(
    bin_dir: Path, fake_env: dict[str, str]
) -> None:
    write_program(bin_dir, "nvcc")
    write_program(bin_dir, "nvidia-smi", "NVIDIA-SMI has failed")
    arguments = bootstrap.probe_cuda(fake_env).cmake_args
    assert not any("ARCHITECTURES" in argument for argument in arguments)


@pytest.fixture
def vulkan_system(bin_dir: Path, tmp_path: Path) -> Path:
    """A system with everything that the Vulkan backend needs but new headers."""
    system = tmp_path / "usr"
    write_headers(system / "include", 3, 239)
    (system / "share/cmake/SPIRV-Headers").mkdir(parents=True)
    (system / "share/cmake/SPIRV-Headers/SPIRV-HeadersConfig.cmake").touch()
    (system / "lib/x86_64-linux-gnu").mkdir(parents=True)
    (system / "lib/x86_64-linux-gnu/libvulkan.so").touch()
    write_program(bin_dir, "glslc")
    return system


@POSIX
def test_vulkan_needs_new_headers(bin_dir: Path, vulkan_system: Path) -> None:
    backend = bootstrap.probe_vulkan({"PATH": str(bin_dir)}, vulkan_system)
    assert len(backend.missing) == 1
    assert "1.3.239" in backend.missing[0]
    assert "1.3.275" in backend.missing[0]


@POSIX
def test_vulkan_of_the_system(bin_dir: Path, vulkan_system: Path) -> None:
    write_headers(vulkan_system / "local/include", 3, 275)
    backend = bootstrap.probe_vulkan({"PATH": str(bin_dir)}, vulkan_system)
    assert backend.missing == ()
    assert backend.identity == "vulkan 1.3.275"
    assert backend.cxxflags == ()


@POSIX
def test_private_vulkan_headers(bin_dir: Path, vulkan_system: Path, tmp_path: Path) -> None:
    include = write_headers(tmp_path / "new/include", 4, 309)
    env = {"PATH": str(bin_dir), "FATHOM_VULKAN_INCLUDE": str(include)}
    backend = bootstrap.probe_vulkan(env, vulkan_system)
    assert backend.missing == ()
    assert backend.identity == "vulkan 1.4.309"
    assert f"-DVulkan_INCLUDE_DIR={include}" in backend.cmake_args
    spirv = vulkan_system / "share/cmake/SPIRV-Headers"
    assert f"-DSPIRV-Headers_DIR={spirv}" in backend.cmake_args
    assert backend.cxxflags == (f"-I{include}",)


def test_everything_vulkan_lacks_is_named(bin_dir: Path, tmp_path: Path) -> None:
    backend = bootstrap.probe_vulkan({"PATH": str(bin_dir)}, tmp_path)
    lacks = "; ".join(backend.missing)
    for word in ("glslc", "SPIRV-Headers", "loader", "Vulkan headers"):
        assert word in lacks


@pytest.mark.parametrize(
    "content", ["", "#define VK_HEADER_VERSION x", "#define VK_HEADER_VERSION 7\n", "\x00\xff"]
)
def test_header_that_names_no_version(tmp_path: Path, content: str) -> None:
    header = tmp_path / "vulkan_core.h"
    header.write_text(content)
    assert bootstrap.vulkan_header_version(header) is None


def test_metal_is_of_macos() -> None:
    assert bootstrap.probe_metal("linux").missing == ("macOS",)
    assert "-DGGML_METAL=ON" in bootstrap.probe_metal("darwin").cmake_args


@pytest.mark.parametrize(
    ("value", "words"),
    [("rocm", "choose one of: cpu, vulkan, cuda, metal"), ("metal", "missing macOS")],
)
@LINUX
def test_backend_that_cannot_be_is_one_clear_line(value: str, words: str) -> None:
    result = subprocess.run(
        [sys.executable, str(REPO_ROOT / "bootstrap.py")],
        env={**os.environ, "FATHOM_BACKEND": value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


# --- system packages -----------------------------------------------------------------------------


@LINUX
def test_missing_compiler_is_named_with_the_command(fake_env: dict[str, str]) -> None:
    missing = bootstrap.missing_packages(fake_env)
    assert missing["a C++ compiler"] == "g++"
    message = bootstrap.missing_message({"a C++ compiler": "g++", "x": "libegl1"}, has_apt=True)
    assert "sudo apt-get install -y g++ libegl1" in message
    message = bootstrap.missing_message({"libEGL.so.1": "libegl1"}, has_apt=False)
    assert "libEGL.so.1" in message
    assert "apt-get" not in message


@LINUX
def test_library_is_asked_of_the_loader() -> None:
    assert bootstrap.has_library("libc.so.6")
    assert not bootstrap.has_library("libnot-there.so.6")


@LINUX
def test_qt_finds_every_library_it_needs() -> None:
    """What the tables name is all that PySide6 needs beyond itself and the C++ runtime."""
    import PySide6

    qt = Path(PySide6.__file__).parent / "Qt"
    wanted = ["lib/libQt6Gui.so.6", "lib/libQt6Widgets.so.6", "lib/libQt6XcbQpa.so.6"]
    wanted += ["plugins/platforms/libqxcb.so", "plugins/platforms/libqwayland.so"]
    output = subprocess.run(
        ["/usr/bin/ldd", *(str(qt / name) for name in wanted)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    known = bootstrap.QT_LIBRARIES | bootstrap.QT_DISPLAY_LIBRARIES
    not_found = {line.split()[0] for line in output.splitlines() if "not found" in line}
    assert not_found <= set(known)


@POSIX
@LINUX
@pytest.mark.skipif(os.geteuid() != 0, reason="installing needs root")
def test_root_on_debian_installs_what_is_missing(
    bin_dir: Path, fake_env: dict[str, str], tmp_path: Path
) -> None:
    compiler = write_program(tmp_path, "c++", GCC_13)
    apt = bin_dir / "apt-get"
    apt.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n'
        f'[ "$1" = install ] && /bin/cp {compiler} {bin_dir}/c++\nexit 0\n'
    )
    apt.chmod(0o755)
    bootstrap.ensure_system_packages(fake_env, tmp_path / "log")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == "update"
    assert calls[1].startswith("install -y")
    assert calls[1].endswith("g++")
    assert bootstrap.find_compiler(fake_env) is not None


@POSIX
@LINUX
@pytest.mark.skipif(os.geteuid() != 0, reason="installing needs root")
def test_package_that_does_not_help_is_no_endless_loop(
    bin_dir: Path, fake_env: dict[str, str], tmp_path: Path
) -> None:
    write_program(bin_dir, "apt-get")
    with pytest.raises(bootstrap.BootstrapError, match=r"apt-get install -y g\+\+"):
        bootstrap.ensure_system_packages(fake_env, tmp_path / "log")
