"""Set-up: choices made from real folders and programs, wheels, stamps, and whole runs of it."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
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


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def fake_env(bin_dir: Path) -> dict[str, str]:
    return {"PATH": str(bin_dir), "CUDA_HOME": "/nowhere", "FATHOM_VULKAN_INCLUDE": "/nowhere"}


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


def plan(compiler: bootstrap.Compiler, **changes: object) -> bootstrap.Build:
    backend = bootstrap.Backend("cpu", **changes)  # type: ignore[arg-type]
    return bootstrap.plan_build(compiler, backend, {})


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


# --- the wheel -----------------------------------------------------------------------------------


def test_repacked_wheel_has_one_copy_and_a_right_record(tmp_path: Path) -> None:
    files = wheel_files()
    source = write_wheel(tmp_path / "source.whl", files)
    target = tmp_path / "target.whl"
    bootstrap.repack_wheel(source, target, (AMX_MODULE,))
    assert bootstrap.wheel_problem(target) is None
    with zipfile.ZipFile(target) as wheel:
        names = set(wheel.namelist())
        assert wheel.testzip() is None
    assert names == {name for name in files if name.startswith(("llama_cpp", DIST_INFO))} - {
        AMX_MODULE
    } | {f"{DIST_INFO}/RECORD"}


def test_repack_refuses_a_wheel_without_what_it_must_drop(tmp_path: Path) -> None:
    files = wheel_files()
    del files[AMX_MODULE]
    source = write_wheel(tmp_path / "source.whl", files)
    with pytest.raises(bootstrap.BootstrapError, match="sapphirerapids"):
        bootstrap.repack_wheel(source, tmp_path / "target.whl", (AMX_MODULE,))


def test_damage_to_a_wheel_is_seen(tmp_path: Path) -> None:
    whole = write_wheel(tmp_path / "whole.whl", wheel_files())
    cut = tmp_path / "cut.whl"
    cut.write_bytes(whole.read_bytes()[:-40])
    assert bootstrap.wheel_problem(cut) is not None
    flipped = tmp_path / "flipped.whl"
    flipped.write_bytes(whole.read_bytes().replace(b"fast", b"slow"))
    assert bootstrap.wheel_problem(flipped) is not None
    more = tmp_path / "more.whl"
    shutil.copy(whole, more)
    with zipfile.ZipFile(more, "a") as wheel:
        wheel.writestr("llama_cpp/extra.py", "")
    assert bootstrap.wheel_problem(more) == "RECORD names other files than there are"
    assert bootstrap.wheel_problem(tmp_path / "absent.whl") is not None


@pytest.mark.parametrize(
    ("dropped", "words"), [("libllama", "no llama library"), ("ggml-cpu", "no CPU backend")]
)
def test_wheel_without_an_engine_is_refused(tmp_path: Path, dropped: str, words: str) -> None:
    files = {name: data for name, data in wheel_files().items() if dropped not in name}
    problem = bootstrap.wheel_problem(write_wheel(tmp_path / "w.whl", files))
    assert problem is not None
    assert words in problem


def test_damaged_wheel_in_the_cache_is_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = plan(bootstrap.Compiler("gcc", 13, "gcc 13.3.0"))
    built = write_wheel(tmp_path / WHEEL_NAME, wheel_files())
    wheel = bootstrap.store_wheel(built, build, tmp_path / "cache")
    assert bootstrap.ensure_wheel(build, tmp_path / "cache", tmp_path / "log") == wheel
    wheel.write_bytes(b"PK")
    assert bootstrap.cached_wheel(build, tmp_path / "cache") is None
    assert not wheel.exists()
    assert "damaged" in capsys.readouterr().out


def test_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if sys.platform == "linux":
        env = {"XDG_CACHE_HOME": str(tmp_path)}
        assert bootstrap.cache_dir(env) == tmp_path / "fathom/wheels"
    assert REPO_ROOT not in bootstrap.cache_dir({}).parents


# --- commands ------------------------------------------------------------------------------------


def test_progress_of_a_build_is_read_from_ninja(capsys: pytest.CaptureFixture[str]) -> None:
    progress = bootstrap.Progress("Building")
    progress.line("  [12/390] /usr/bin/c++ -O3 -c x.cpp")
    progress.line("in between [99/100]")
    progress.report()
    progress.report(force=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Building ..."
    assert lines[1].split() == ["0:00", "Building", "[12/390]"]
    assert len(lines) == 2


def test_failed_command_shows_its_last_lines(tmp_path: Path) -> None:
    program = "print('first'); print('last words'); raise SystemExit(3)"
    with pytest.raises(bootstrap.BootstrapError) as caught:
        bootstrap.run_logged("Trying", [sys.executable, "-c", program], tmp_path / "log")
    assert "exit code 3" in str(caught.value)
    assert "last words" in str(caught.value)
    assert str(tmp_path / "log") in str(caught.value)
    assert "first" in (tmp_path / "log").read_text()


def test_lack_of_memory_is_explained(tmp_path: Path) -> None:
    program = "print('c++: fatal error: Killed signal terminated program'); raise SystemExit(1)"
    with pytest.raises(bootstrap.BootstrapError, match="CMAKE_BUILD_PARALLEL_LEVEL=1"):
        bootstrap.run_logged("Trying", [sys.executable, "-c", program], tmp_path / "log")


def test_second_holder_of_the_lock_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock_file = tmp_path / "lock"
    entered = threading.Event()

    def wait_for_it() -> None:
        with bootstrap.exclusive(lock_file, "Waiting"):
            entered.set()

    with bootstrap.exclusive(lock_file, "Waiting"):
        other = threading.Thread(target=wait_for_it)
        other.start()
        assert not entered.wait(0.5)
    assert entered.wait(10)
    other.join()
    assert "Waiting ..." in capsys.readouterr().out


# --- whole runs ----------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout: the real bootstrap.py, empty locks, packages of one line, a ready wheel."""
    folder = tmp_path / "check out"
    (folder / "requirements").mkdir(parents=True)
    shutil.copy(REPO_ROOT / "bootstrap.py", folder)
    for name in (*bootstrap.APP_LOCKS, "build.lock"):
        (folder / "requirements" / name).write_text("# nothing\n")
    shutil.copy(REPO_ROOT / "requirements/engine.lock", folder / "requirements")
    for package in ("app", "models", "PySide6"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").touch()
    (folder / "PySide6/QtWidgets.py").touch()
    (folder / "app/__main__.py").write_text("import sys\nprint('fathom', *sys.argv[1:])\n")
    return folder


@pytest.fixture
def ready_wheel(tmp_path: Path) -> bootstrap.Build:
    """The wheel of this machine's build, in small, in the cache of this test's user."""
    compiler = bootstrap.find_compiler()
    assert compiler is not None
    build = bootstrap.plan_build(compiler, bootstrap.Backend("cpu"), {})
    built = write_wheel(tmp_path / WHEEL_NAME, wheel_files())
    bootstrap.store_wheel(built, build, bootstrap.cache_dir())
    return build


@pytest.fixture
def run_env(private_home: Path) -> dict[str, str]:
    unwanted = {"PYTHONPATH", "DISPLAY", "WAYLAND_DISPLAY"}
    env = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**env, "FATHOM_BACKEND": "cpu"}


def run_bootstrap(
    checkout: Path, env: dict[str, str], *more: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "bootstrap.py"), *more]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def interrupt_bootstrap(checkout: Path, env: dict[str, str], how: signal.Signals) -> int:
    """Send a signal while .venv is being created; return the exit code."""
    command = [sys.executable, str(checkout / "bootstrap.py")]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any("Creating .venv" in line for line in process.stdout)
        process.send_signal(how)
        process.communicate()
        return process.returncode


def is_trusted(checkout: Path) -> bool:
    return (checkout / ".venv" / bootstrap.STAMP_NAME).exists()


@LINUX
def test_set_up_ends_in_a_working_command(
    checkout: Path, ready_wheel: bootstrap.Build, run_env: dict[str, str], tmp_path: Path
) -> None:
    first = run_bootstrap(checkout, run_env)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Set-up finished" in first.stdout
    stamp = json.loads((checkout / ".venv" / bootstrap.STAMP_NAME).read_text())
    assert stamp["wheel"] == ready_wheel.key()

    foreign = tmp_path / "foreign"
    (foreign / "app").mkdir(parents=True)
    (foreign / "app/__main__.py").write_text("print('the wrong app')\n")
    launched = subprocess.run(
        [str(checkout / ".venv/bin/fathom"), "devices", "a b"],
        cwd=foreign,
        env=run_env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert launched.stdout == "fathom devices a b\n"

    second = run_bootstrap(checkout, run_env)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")

    # A changed lock makes everything anew, and an interruption leaves nothing to be trusted.
    (checkout / "requirements/dev.lock").write_text("# something else\n")
    assert interrupt_bootstrap(checkout, run_env, signal.SIGTERM) == 130
    assert not is_trusted(checkout)


@LINUX
def test_a_release_is_made_elsewhere_and_without_the_tests(
    checkout: Path, ready_wheel: bootstrap.Build, run_env: dict[str, str]
) -> None:
    # No installation of it could succeed.
    (checkout / "requirements/dev.lock").write_text("no-such-package==0\n")
    release = checkout / "build/release"
    done = run_bootstrap(checkout, run_env, "--release", str(release))
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((release / bootstrap.STAMP_NAME).read_text())["wheel"] == ready_wheel.key()
    assert not (checkout / ".venv").exists()
    again = run_bootstrap(checkout, run_env, "--release", str(release))
    assert (again.returncode, again.stdout) == (0, "")


@LINUX
def test_killed_and_failed_set_ups_are_not_trusted(
    checkout: Path, ready_wheel: bootstrap.Build, run_env: dict[str, str]
) -> None:
    assert interrupt_bootstrap(checkout, run_env, signal.SIGKILL) == -signal.SIGKILL
    assert not is_trusted(checkout)

    broken = checkout / "PySide6/QtWidgets.py"
    broken.write_text("raise ImportError('libEGL.so.1 is missing')\n")
    result = run_bootstrap(checkout, run_env)
    assert result.returncode == 1
    assert "libEGL.so.1 is missing" in result.stderr
    assert not is_trusted(checkout)


@LINUX
def test_only_a_finished_environment_with_the_same_stamp_is_current(tmp_path: Path) -> None:
    stamp = bootstrap.expected_stamp(plan(bootstrap.Compiler("gcc", 13, "gcc 13.3.0")))
    other = bootstrap.expected_stamp(plan(bootstrap.Compiler("gcc", 12, "gcc 12.2.0")))
    assert not bootstrap.is_current(tmp_path, stamp)
    (tmp_path / f"{bootstrap.STAMP_NAME}.unfinished").write_text(json.dumps(stamp))
    assert not bootstrap.is_current(tmp_path, stamp)
    bootstrap.write_stamp(tmp_path, stamp)
    assert bootstrap.is_current(tmp_path, stamp)
    assert not bootstrap.is_current(tmp_path, other)
    (tmp_path / bootstrap.STAMP_NAME).write_text("{")
    assert not bootstrap.is_current(tmp_path, stamp)
