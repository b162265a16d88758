"""``fathom devices``: the table and the JSON object."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import psutil
import pytest

from app.cli.devices import _gpu_rows, ask_devices, to_json
from helpers.fathom_process import fathom, one_object
from models.errors import StoppedError
from models.hardware.readouts import CpuReadout, GpuReadout, HardwareSnapshot, RamReadout
from models.runtime.protocol import Cancelled

if TYPE_CHECKING:
    from app.cli.session import EngineConversation

KEYS = ["version", "backend", "devices", "addons", "gpus", "memory", "cpu", "notes", "error"]


@pytest.mark.model
def test_json_has_the_documented_keys_and_a_source_for_everything(base_dir: Path) -> None:
    done = fathom("devices", "--json", "--basedir", base_dir)
    assert (done.returncode, done.stderr) == (0, "")
    data = one_object(done.stdout)
    assert list(data) == KEYS
    assert data["error"] is None
    assert data["backend"]["engine"] == "llama.cpp"
    assert data["backend"]["version"]
    assert "CPU" in data["backend"]["backends"]
    assert data["devices"]
    for part in (data["backend"], data["memory"], *data["devices"], *data["gpus"]):
        assert part["source"]
    assert data["memory"]["total_bytes"] <= psutil.virtual_memory().total
    for figure in ("physical_cores", "logical_cores", "name", "features", "load_percent"):
        assert data["cpu"]["sources"][figure]
    assert data["cpu"]["engine_features"]
    assert 0 <= data["cpu"]["load_percent"] <= 100


@pytest.mark.model
def test_the_table_has_a_source_on_every_first_line(base_dir: Path) -> None:
    done = fathom("devices", "--basedir", base_dir, env={"COLUMNS": "100"})
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["source"]
    column = lines[0].index("source")
    labelled = [line for line in lines[1:] if line[:9].strip() and not line.startswith("note")]
    assert {line.split()[0] for line in labelled} >= {"engine", "device", "memory", "CPU", "cores"}
    assert all(line[column:].strip() for line in labelled)


def snapshot(*gpus: GpuReadout) -> HardwareSnapshot:
    ram = RamReadout(100, 40, 60, "psutil")
    cpu = CpuReadout(None, 4, 8, "CPU", ("avx2",), "psutil")
    return HardwareSnapshot(gpus, ram, cpu, taken_at=1.0, notes=("A note.",))


APU = GpuReadout(
    name="AMD Radeon 780M",
    vendor="AMD",
    index=0,
    total_bytes=512_000_000,
    used_bytes=100_000_000,
    load_percent=12.4,
    temperature_c=None,
    power_w=9.6,
    source="sysfs mem_info_vram_total",
    driver="amdgpu",
    integrated=True,
    shared_total_bytes=15_000_000_000,
    shared_used_bytes=2_000_000_000,
    sources={
        "load_percent": "sysfs gpu_busy_percent",
        "power_w": "hwmon power1_average",
        "shared_total_bytes": "sysfs mem_info_gtt_total",
    },
)


def test_own_memory_and_shared_ram_of_a_gpu_are_two_rows() -> None:
    assert _gpu_rows(APU) == [
        ("GPU 0", "AMD Radeon 780M", "amdgpu"),
        ("  own memory", "512 MB, 100 MB used", "sysfs mem_info_vram_total"),
        ("  shared RAM", "15.0 GB, 2.00 GB used", "sysfs mem_info_gtt_total"),
        ("  load", "12 %", "sysfs gpu_busy_percent"),
        ("  power", "10 W", "hwmon power1_average"),
    ]


def test_without_an_engine_the_readouts_are_still_there() -> None:
    data = to_json(None, snapshot(APU))
    assert data["backend"] is None
    assert data["devices"] == []
    assert data["gpus"][0]["shared_total_bytes"] == 15_000_000_000
    assert data["notes"] == ["A note."]


def test_ctrl_c_before_the_list_came_is_no_bug() -> None:
    class Interrupted:
        """A conversation whose question was cancelled."""

        supervisor = SimpleNamespace(start=lambda: None, request_devices=lambda _hosts: 1)

        def last(self, _request_id: int, *, limit_s: float | None = None) -> SimpleNamespace:
            assert limit_s
            return SimpleNamespace(body=Cancelled(None))

    with pytest.raises(StoppedError):
        ask_devices(cast("EngineConversation", Interrupted()))
