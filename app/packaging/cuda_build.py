"""Builds llama.cpp's CUDA module and puts what it needs beside it, for the CUDA add-on.

    python -m app.packaging.cuda_build FOLDER [--architectures "86-real;89-real"]

NVIDIA's compiler and libraries come from Python's package index, by the hashes of
``requirements/cuda.lock``: neither a toolkit nor a GPU nor a driver need be there. Only the module
is built, from the same source and by the same compiler as the program's other libraries; what it
computes with (libggml-base) is the program's own. ``FATHOM_CMAKE_ARGS`` is added to CMake's
switches.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import bootstrap

# GPUs from Turing (GTX 16, RTX 20) on, which is all that CUDA 13 builds for: machine code for the
# cards that people have, and code that the driver translates for the others. It is what
# llama.cpp's own build chooses where no GPU is found (ggml-cuda/CMakeLists.txt), without the two
# for data centres and DGX Spark.
ARCHITECTURES = "75-virtual;80-virtual;86-real;89-real;120a-real"
# Opened by the name under which the module asks for them.
LIBRARIES = ("libcublas.so", "libcublasLt.so", "libcudart.so")
SHIPPED_PACKAGES = ("nvidia_cublas", "nvidia_cuda_runtime")
# What the module calls of the driver (ggml-cuda.cu, with virtual memory management).
DRIVER_FUNCTIONS = (
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuGetErrorString",
    "cuMemAddressFree",
    "cuMemAddressReserve",
    "cuMemCreate",
    "cuMemGetAllocationGranularity",
    "cuMemMap",
    "cuMemRelease",
    "cuMemSetAccess",
    "cuMemUnmap",
)
SWITCHES = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DGGML_BACKEND_DL=ON",
    "-DGGML_NATIVE=OFF",
    "-DGGML_CUDA=ON",
    "-DLLAMA_BUILD_COMMON=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_TOOLS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
    # Found beside the module.
    "-DCMAKE_BUILD_RPATH=$ORIGIN",
    "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    "-DCMAKE_INSTALL_RPATH=$ORIGIN",
)


@dataclass(frozen=True)
class Workshop:
    """Where the module is built, and with what.

    Attributes:
        folder: everything that is made on the way.
        tools: the Python of the locked build tools.
        env: their environment.
    """

    folder: Path
    log_file: Path
    tools: Path
    env: Mapping[str, str]

    def run(self, title: str, *command: object) -> None:
        """Run one step; what it prints goes to the log."""
        bootstrap.run_logged(title, command, self.log_file, self.env)


def make_toolkit(shop: Workshop) -> Path:
    """Install NVIDIA's packages and return the folder that stands for a toolkit."""
    target = shop.folder / "nvidia"
    install = [shop.tools, "-m", "pip", "install", "--require-hashes", "--no-deps"]
    lock = bootstrap.ROOT / "requirements/cuda.lock"
    shop.run("Installing CUDA", *install, "--target", target, "-r", lock)
    toolkit = next((target / "nvidia").glob("cu[0-9]*"))
    complete_toolkit(shop, toolkit)
    return toolkit


def complete_toolkit(shop: Workshop, toolkit: Path) -> None:
    """Add what CMake expects and the packages lack.

    These are development links, and a stand-in for the driver, whose library exists only where
    there is a GPU.
    """
    libraries = toolkit / "lib"
    for path in sorted(libraries.glob("lib*.so.*")):
        link = path.with_name(re.sub(r"\.so\..*", ".so", path.name))
        if not link.exists():
            link.symlink_to(path.name)
    (toolkit / "lib64").symlink_to("lib")
    make_driver_stub(shop, libraries / "stubs")


def make_driver_stub(shop: Workshop, folder: Path) -> None:
    """Write a library that stands in for the driver's while the module is linked."""
    folder.mkdir()
    source = shop.folder / "driver.c"
    source.write_text("".join(f"void {name}(void) {{}}\n" for name in DRIVER_FUNCTIONS), "utf-8")
    compiler = shutil.which("cc") or shutil.which("gcc") or "cc"
    command = [compiler, "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", source]
    shop.run("Making a stand-in for the driver", *command, "-o", folder / "libcuda.so")


def build_module(shop: Workshop, source: Path, toolkit: Path, architectures: str) -> Path:
    """Build libggml-cuda.so of llama.cpp's source and return it."""
    target = shop.folder / "build"
    configure: list[object] = ["cmake", "-S", source / "vendor/llama.cpp", "-B", target]
    configure += ["-G", "Ninja", *SWITCHES]
    configure += [f"-DCMAKE_CUDA_COMPILER={toolkit / 'bin/nvcc'}", f"-DCUDAToolkit_ROOT={toolkit}"]
    configure += [f"-DCMAKE_CUDA_FLAGS=-Xcompiler=-ffile-prefix-map={shop.folder}=."]
    configure += [f"-DCMAKE_CUDA_ARCHITECTURES={architectures}"]
    configure += shlex.split(shop.env.get("FATHOM_CMAKE_ARGS", ""))
    shop.run("Configuring llama.cpp for CUDA", *configure)
    command = ["cmake", "--build", target, "--target", "ggml-cuda"]
    shop.run("Building the CUDA module", *command, "-j", bootstrap.parallel_jobs())
    return next(target.rglob("libggml-cuda.so"))


def collect(module: Path, toolkit: Path, target: Path, described: Mapping[str, object]) -> None:
    """Copy the module, NVIDIA's libraries and their licences into ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(module, target / module.name)
    for name in LIBRARIES:
        found = sorted((toolkit / "lib").glob(f"{name}.*"))
        shutil.copy(found[0], target / found[0].name)
    for metadata in sorted(toolkit.parent.parent.glob("*.dist-info")):
        package = metadata.name.partition("-")[0]
        if package in SHIPPED_PACKAGES:
            for licence in sorted(metadata.rglob("License*")):
                shutil.copy(licence, target / f"{package}-licence.txt")
    build_file = target / "build.json"
    build_file.write_text(f"{json.dumps(described, indent=2)}\n", encoding="utf-8")


def build(target: Path, architectures: str) -> None:
    """Do everything: tools, source, toolkit, module, add-on folder.

    Raises:
        BootstrapError: a step failed; its message names the log.
    """
    started_s = time.monotonic()
    work, log_file = bootstrap.ROOT / "build/cuda", bootstrap.ROOT / "build/cuda.log"
    shutil.rmtree(work, ignore_errors=True)
    (work / "tmp").mkdir(parents=True)
    log_file.unlink(missing_ok=True)
    compiler = bootstrap.find_compiler() or bootstrap.fail("There is no C++ compiler.")
    plan = bootstrap.plan_build(compiler, bootstrap.Backend("cuda"), os.environ)
    tools = bootstrap.make_venv(work / "tools", log_file, "Preparing the build tools")
    bootstrap.pip_install(tools, ["build.lock"], log_file, "Installing cmake and ninja")
    shop = Workshop(work, log_file, tools, bootstrap.build_environment(plan, work, tools))
    source = bootstrap.fetch_source(plan, work, log_file, tools, shop.env)
    toolkit = make_toolkit(shop)
    module = build_module(shop, source, toolkit, architectures)
    described = {
        "llama_cpp_python": plan.version,
        "compiler": compiler.identity,
        "architectures": architectures,
        "cuda": nvcc_release(toolkit),
    }
    collect(module, toolkit, target, described)
    minutes = (time.monotonic() - started_s) / 60
    bootstrap.say(f"The CUDA module is in {target} ({minutes:.0f} min).")


def nvcc_release(toolkit: Path) -> str:
    """Return the version that the toolkit's compiler says of itself, such as ``13.0``."""
    text = bootstrap.capture([str(toolkit / "bin/nvcc"), "--version"]) or ""
    release = re.search(r"release (\d+\.\d+)", text)
    return release.group(1) if release else "unknown"


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, or say in one place why that is impossible."""
    parser = argparse.ArgumentParser(description="Builds llama.cpp's CUDA module.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--architectures", default=ARCHITECTURES)
    options = parser.parse_args(arguments)
    try:
        build(options.folder.resolve(), options.architectures)
    except bootstrap.BootstrapError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
