"""What stands round the build of the CUDA module; the build itself takes an hour."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.packaging import cuda_build

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the add-on is built on Linux")
ROOT = Path(cuda_build.__file__).parents[2]


@pytest.fixture
def shop(tmp_path: Path) -> cuda_build.Workshop:
    return cuda_build.Workshop(tmp_path, tmp_path / "log", Path(sys.executable), os.environ)


@pytest.fixture
def toolkit(shop: cuda_build.Workshop) -> Path:
    """What pip leaves of NVIDIA's packages."""
    toolkit = shop.folder / "nvidia/nvidia/cu13"
    (toolkit / "lib").mkdir(parents=True)
    for name in ("libcublas.so.13", "libcublasLt.so.13", "libcudart.so.13", "libnvblas.so.13"):
        (toolkit / "lib" / name).write_text(name, encoding="utf-8")
    for package in ("nvidia_cublas", "nvidia_cuda_runtime", "nvidia_cuda_nvcc"):
        licences = shop.folder / "nvidia" / f"{package}-13.0.2.dist-info" / "licenses"
        licences.mkdir(parents=True)
        (licences / "License.txt").write_text(package, encoding="utf-8")
    return toolkit


def test_a_toolkit_has_the_names_that_a_linker_looks_for(
    shop: cuda_build.Workshop, toolkit: Path
) -> None:
    cuda_build.complete_toolkit(shop, toolkit)
    assert (toolkit / "lib64/libcublas.so").read_text(encoding="utf-8") == "libcublas.so.13"
    assert (toolkit / "lib/libcublasLt.so").resolve().name == "libcublasLt.so.13"
    stub = toolkit / "lib/stubs/libcuda.so"
    library = ctypes.CDLL(str(stub))
    assert all(hasattr(library, name) for name in cuda_build.DRIVER_FUNCTIONS)
    dynamic = subprocess.run(
        ["readelf", "-d", stub], capture_output=True, text=True, check=True
    ).stdout
    assert "[libcuda.so.1]" in dynamic


def test_the_add_on_holds_the_module_what_it_links_and_the_licences(
    shop: cuda_build.Workshop, toolkit: Path
) -> None:
    module = shop.folder / "libggml-cuda.so"
    module.write_text("module", encoding="utf-8")
    target = shop.folder / "add-on"
    cuda_build.collect(module, toolkit, target, {"cuda": "13.0"})
    assert {path.name for path in target.iterdir()} == {
        "libggml-cuda.so",
        "libcublas.so.13",
        "libcublasLt.so.13",
        "libcudart.so.13",
        "nvidia_cublas-licence.txt",
        "nvidia_cuda_runtime-licence.txt",
        "build.json",
    }
    assert json.loads((target / "build.json").read_text(encoding="utf-8")) == {"cuda": "13.0"}


def test_the_toolkit_is_of_one_release_and_has_hashes() -> None:
    text = (ROOT / "requirements/cuda.lock").read_text(encoding="utf-8")
    versions = dict(re.findall(r"^(nvidia-[a-z-]+)==([\d.]+)", text, re.MULTILINE))
    assert {"nvidia-cuda-nvcc", "nvidia-cublas", "nvidia-nvvm"} <= set(versions)
    assert {".".join(version.split(".")[:2]) for version in versions.values()} == {"13.0"}
    assert text.count("--hash=sha256:") >= len(versions)


def test_without_a_compiler_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cuda_build.bootstrap, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert cuda_build.main([str(tmp_path / "add-on")]) == 1
    assert "C++ compiler" in capsys.readouterr().err
    assert not shutil.which("c++")
