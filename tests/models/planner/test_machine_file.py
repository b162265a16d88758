"""Machine files: what they mean, and what is refused by its key's name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import BadInputError
from models.planner.machine import Calibration, GpuKind
from models.planner.machine_file import machine_from_json, machine_to_json

_MACHINES = Path(__file__).resolve().parents[3] / "benchmarks" / "machines"
_FILES = sorted(_MACHINES.glob("*.json"))
_GPU = {
    "name": "RTX 3090",
    "kind": "cuda",
    "total_bytes": 24 * 2**30,
    "free_bytes": 23 * 2**30,
    "bandwidth_bytes_s": 936e9,
}
_MACHINE = {
    "gpus": [_GPU],
    "ram": {"total_bytes": 64e9, "available_bytes": 60e9, "bandwidth_bytes_s": 51.2e9},
    "disk": {"read_bytes_s": 7e9},
    "pcie_bytes_s": 25e9,
    "cpu": {"cores": 8, "features": ["AVX2"]},
}


def _text(**changes: Any) -> str:
    return json.dumps({**_MACHINE, **changes})


def test_every_key_of_the_issue() -> None:
    machine = machine_from_json(_text())
    (gpu,) = machine.gpus
    assert (gpu.device, gpu.name, gpu.kind) == ("CUDA0", "RTX 3090", GpuKind.CUDA)
    assert (gpu.total_bytes, gpu.free_bytes) == (24 * 2**30, 23 * 2**30)
    assert gpu.bandwidth_bytes_s == 936e9
    assert machine.ram.total_bytes == 64_000_000_000
    assert machine.ram.available_bytes == 60_000_000_000
    assert machine.ram.bandwidth_bytes_s == 51.2e9
    assert machine.disk.read_bytes_s == 7e9
    assert machine.pcie_bytes_s == 25e9
    assert (machine.cpu.cores, machine.cpu.features) == (8, ("AVX2",))
    assert machine.is_described


def test_devices_are_named_as_ggml_names_them_and_rpc_hosts_come_first() -> None:
    kinds = ["cuda", "rpc", "cuda", "rocm", "vulkan", "metal", "sycl", "rpc"]
    machine = machine_from_json(_text(gpus=[{**_GPU, "kind": kind} for kind in kinds]))
    names = [gpu.device for gpu in machine.gpus]
    assert names == ["RPC0", "RPC1", "CUDA0", "CUDA1", "ROCm0", "Vulkan0", "MTL0", "SYCL0"]


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_the_described_machines_can_be_read_and_written(path: Path) -> None:
    machine = machine_from_json(path.read_text(encoding="utf-8"))
    assert machine_from_json(machine_to_json(machine)) == machine


def test_the_described_machines_span_from_a_laptop_to_a_server() -> None:
    assert {"laptop-8gb", "server-4gpu-512gb"} <= {path.stem for path in _FILES}


def test_a_calibration_survives() -> None:
    calibration = Calibration(
        measured_on="2026-10-01",
        n_threads=8,
        cpu_decode_bytes_s={"Q4_K": 3e9},
        cpu_prefill_flop_s={"Q4_K": 2e11},
        cpu_fixed_s=0.001,
        gpu_decode_bytes_s={"CUDA0": 6e11},
        disk_bytes_s=2e9,
    )
    machine = dataclasses.replace(machine_from_json(_text()), calibration=calibration)
    assert machine_from_json(machine_to_json(machine)).calibration == calibration


def test_null_is_as_good_as_absent() -> None:
    machine = machine_from_json(_text(pcie_bytes_s=None, gpus=[{**_GPU, "driver_bytes": None}]))
    assert machine.pcie_bytes_s is None
    assert machine.gpus[0].driver_bytes is None


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"ram": None}, "ram"),
        ({"ram": {}}, "ram.total_bytes"),
        ({"ram": {"total_bytes": -1}}, "ram.total_bytes"),
        ({"ram": {"total_bytes": "64 GB"}}, "ram.total_bytes"),
        ({"ram": {"total_bytes": 8e9, "available_bytes": 9e9}}, "ram.available_bytes"),
        ({"ram": {"total_bytes": 8e9, "speed": 1}}, "ram.speed"),
        ({"gpus": {}}, "gpus"),
        ({"gpus": [7]}, "gpus[0]"),
        ({"gpus": [{**_GPU, "kind": "opencl"}]}, "gpus[0].kind"),
        ({"gpus": [{**_GPU, "free_bytes": 2**40}]}, "gpus[0].free_bytes"),
        ({"gpus": [_GPU, {**_GPU, "device": "CUDA0"}]}, "gpus[1].device"),
        ({"gpus": [_GPU] * 65}, "gpus"),
        ({"gpus": [{**_GPU, "bandwidth_bytes_s": 0}]}, "gpus[0].bandwidth_bytes_s"),
        ({"gpus": [{**_GPU, "is_unified": 1}]}, "gpus[0].is_unified"),
        ({"disk": {"read_bytes_s": 10**400}}, "disk.read_bytes_s"),
        ({"cpu": {"cores": 0}}, "cpu.cores"),
        ({"cpu": {"cores": True}}, "cpu.cores"),
        ({"cpu": {"cores": 4, "features": "AVX2"}}, "cpu.features"),
        ({"bandwidths": 1}, "bandwidths"),
        ({"calibration": {"cpu_decode_bytes_s": {"Q4_K": -1}}}, "cpu_decode_bytes_s.Q4_K"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(BadInputError) as caught:
        machine_from_json(_text(**changes))
    assert f'{key}"' in caught.value.message


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"ram": NaN}', '"machine"'])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        machine_from_json(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(key=st.sampled_from([*_MACHINE, "calibration"]), value=_JSON)
def test_any_value_of_a_key_is_read_or_refused(key: str, value: object) -> None:
    try:
        machine = machine_from_json(_text(**{key: value}))
    except BadInputError:
        return
    assert machine.ram.total_bytes > 0
