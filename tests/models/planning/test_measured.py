"""Planned beside measured, and the file that keeps it."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.planner.plan import (
    CPU,
    DevicePlan,
    HostPlan,
    Memory,
    Plan,
    PlanSettings,
    Profile,
    Speed,
    SpeedRange,
    Tier,
)
from models.planning import measured as measured_module
from models.planning.measured import (
    DeviceDifference,
    MeasuredStore,
    PartBytes,
    compare,
    measured_load,
)
from models.runtime.protocol import DeviceMemory, Loaded, LoadSettings, ModelInfo

RATE = SpeedRange(1.0, 2.0, 3.0)


def device(name: str, weights: int, kv: int, compute: int, output: int = 0) -> DevicePlan:
    return DevicePlan(
        name=name,
        kind="cpu" if name == CPU else "cuda",
        description="",
        attention_bytes=weights,
        dense_bytes=0,
        shared_bytes=0,
        routed_bytes=0,
        kv_bytes=kv,
        compute_bytes=compute,
        output_bytes=output,
        total_bytes=1 << 40,
        free_bytes=1 << 40,
        budget_bytes=1 << 40,
    )


def plan_of(*devices: DevicePlan) -> Plan:
    return Plan(
        fits=True,
        tier=Tier.EXACT,
        profile=Profile.BALANCED,
        settings=PlanSettings(n_ctx=512),
        memory=Memory((), devices, HostPlan(0, 0, 0, 0, 0)),
        speed=Speed(RATE, RATE, "ram_bandwidth", "cpu_compute"),
        fixed=(),
        explanation=(),
        warnings=(),
        llama_cpp_flags=(),
        alternatives=(),
    )


PLAN = plan_of(device("CUDA0", 100, 20, 30), device(CPU, 400, 0, 7, 8), device("CUDA1", 0, 0, 0))
FOUND = (
    DeviceMemory(CPU, "cpu", 400, 0, 9, 8),
    DeviceMemory("CUDA0", "gpu", 100, 20, 33),
    DeviceMemory("Vulkan9", "gpu", 5, 0, 0),
)


def loaded(*devices: DeviceMemory) -> Loaded:
    info = ModelInfo("/m.gguf", "M", "deepseek2", 1, 2, 3, 4, 5, "checkpoint", "Q8_0")
    return Loaded(info, devices, LoadSettings(), (), 1.5)


def test_devices_stand_side_by_side_the_cpu_last() -> None:
    found = compare(PLAN, FOUND)
    assert [one.name for one in found] == ["CUDA0", "Vulkan9", CPU]
    assert [one.difference_bytes for one in found] == [3, 5, 2]
    assert found[0] == DeviceDifference(
        "CUDA0", PartBytes(100, 20, 30, 0), PartBytes(100, 20, 33, 0)
    )
    assert found[1].planned == PartBytes()


def test_what_was_planned_and_is_not_there_is_a_difference_too() -> None:
    (only,) = compare(plan_of(device("CUDA0", 10, 0, 0)), ())
    assert only.difference_bytes == -10


def test_a_load_is_kept_with_its_settings_and_its_date(tmp_path: Path) -> None:
    store = MeasuredStore(tmp_path / "measured.jsonl")
    record = measured_load(PLAN, loaded(*FOUND), at=datetime(2026, 3, 1, tzinfo=UTC))
    store.append(record)
    store.append(dataclasses.replace(record, checkpoint="Other"))
    first, second = MeasuredStore(tmp_path / "measured.jsonl").records()
    assert second.checkpoint == "Other"
    assert first.at == "2026-03-01T00:00:00+00:00"
    assert first.devices == compare(PLAN, FOUND)
    assert first.settings["n_ctx"] == 512
    assert (first.tier, first.source, first.elapsed_s) == ("exact", "llama.cpp", 1.5)


def test_damaged_lines_and_those_of_other_versions_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "measured.jsonl"
    store = MeasuredStore(file)
    record = measured_load(PLAN, loaded(*FOUND))
    store.append(record)
    good = file.read_text(encoding="utf-8")
    other = json.dumps(json.loads(good) | {"version": 99})
    bad = ['{"version": 1}', "nonsense", "[" * 5000, "null", other, '{"version": 1, "devices": 3}']
    file.write_text("\n".join([*bad, good]), encoding="utf-8")
    assert len(store.records()) == 1
    store.append(record)
    assert len(store.records()) == 2


def test_the_file_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured_module, "MAX_RECORDS", 3)
    store = MeasuredStore(tmp_path / "measured.jsonl")
    for number in range(5):
        record = measured_load(PLAN, loaded(*FOUND))
        store.append(dataclasses.replace(record, checkpoint=str(number)))
    assert [record.checkpoint for record in store.records()] == ["2", "3", "4"]


def test_a_folder_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    store = MeasuredStore(tmp_path / "gone" / "measured.jsonl")
    store.append(measured_load(PLAN, loaded(*FOUND)))
    assert store.records() == ()
