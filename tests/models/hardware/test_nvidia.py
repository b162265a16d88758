"""NVIDIA GPUs: without a driver, and through a small NVML library built for the test."""

from __future__ import annotations

import ctypes.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.machine_tree import add_card
from models.hardware.nvidia import NvidiaReader
from models.hardware.sampler import HardwareSampler

FAKE_NVML = Path(__file__).resolve().parents[2] / "helpers/fake_nvml.c"
READ = """
import dataclasses, json
from models.hardware.nvidia import NvidiaReader
reader = NvidiaReader()
gpus = [dataclasses.asdict(gpu) for gpu in reader.read()]
reader.close()
print(json.dumps({"gpus": gpus, "problem": reader.problem, "after": len(reader.read())}))
"""

no_driver = pytest.mark.skipif(
    ctypes.util.find_library("nvidia-ml") is not None, reason="this machine has an NVIDIA driver"
)


@pytest.fixture(scope="module")
def nvml_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a libnvidia-ml.so.1 that has two boards."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler on Linux")
    folder = tmp_path_factory.mktemp("nvml")
    library = folder / "libnvidia-ml.so.1"
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, FAKE_NVML]
    subprocess.run(command, check=True)
    return folder


@no_driver
def test_no_driver_is_a_normal_outcome() -> None:
    reader = NvidiaReader()
    assert reader.read() == ()
    assert reader.problem
    assert reader.read() == ()
    reader.close()


@no_driver
def test_a_card_without_a_driver_is_told(tmp_path: Path) -> None:
    ids = ("0x10de", "0x2684", "0xa1")
    add_card(tmp_path, 0, "nouveau", ids=ids, slot="0000:01:00.0", files={})
    with HardwareSampler(tmp_path) as sampler:
        snapshot = sampler.sample()
    assert snapshot.gpus == ()
    assert len(snapshot.notes) == 1
    assert "NVIDIA" in snapshot.notes[0]


def test_importing_the_reader_does_not_import_nvml() -> None:
    code = "import sys, models.hardware.sampler; print('pynvml' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert answer.stdout.strip() == b"False"


def test_two_boards(nvml_folder: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", READ],
        env={**os.environ, "LD_LIBRARY_PATH": str(nvml_folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    data = json.loads(answer.stdout)
    assert data["problem"] == ""
    assert data["after"] == 0
    full, unified = data["gpus"]
    assert full["name"] == "NVIDIA Test 24"
    assert full["bus_id"] == "00000000:01:00.0"
    assert (full["total_bytes"], full["used_bytes"]) == (24 << 30, 1 << 30)
    assert (full["load_percent"], full["temperature_c"], full["power_w"]) == (37.0, 61.0, 141.5)
    assert full["sources"]["power_w"] == "nvmlDeviceGetPowerUsage"
    assert full["source"] == "NVML (nvidia-ml-py)"
    assert unified["index"] == 1
    assert unified["total_bytes"] is None
    assert unified["load_percent"] is None
    assert unified["power_w"] is None
    assert unified["temperature_c"] == 0.0
    assert unified["sources"].keys() == {"temperature_c"}
