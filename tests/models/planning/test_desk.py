"""One planner for many threads; smaller plans; a machine with what is loaded given back."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from helpers.gated_planning import GIB, GatedPlanning, described_machine
from helpers.tiny_gguf import TinyModel, write_text, write_tiny
from models.errors import EngineBusyError, NotGgufError
from models.planner.machine import Gpu, GpuKind, Machine
from models.planner.plan import CPU, Plan
from models.planner.wishes import Wishes
from models.planning.desk import PlannedLoad, PlanningDesk, like, still_fits
from models.planning.machine_reader import (
    MachineReader,
    with_devices_given_back,
    with_host_given_back,
)
from models.planning.open_checkpoint import OpenCheckpoint
from models.planning.smaller import is_smaller, next_smaller
from models.runtime.command import engine_command
from models.runtime.protocol import Device, DeviceList, DeviceMemory
from models.runtime.supervisor import EngineSupervisor
from models.stopping import never


def card(index: int = 0, *, total: int = 12 * GIB, free: int = 8 * GIB) -> Gpu:
    return Gpu(f"CUDA{index}", "A card", GpuKind.CUDA, total, free, 400e9, 30e12)


@pytest.fixture
def gates(tmp_path: Path) -> GatedPlanning:
    return GatedPlanning(tmp_path / "work", described_machine(card()))


@pytest.fixture
def checkpoint_file(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.gguf", TinyModel(architecture="deepseek2"))


def planned(desk: PlanningDesk, path: Path, wishes: Wishes = Wishes()) -> PlannedLoad:  # noqa: B008
    return desk.plan_load(path, wishes)


# --- the desk -----------------------------------------------------------------------------------


def test_many_threads_get_one_service(gates: GatedPlanning) -> None:
    made: list[GatedPlanning] = []

    def make() -> GatedPlanning:
        made.append(gates)
        return gates

    desk = PlanningDesk(make)
    threads = [threading.Thread(target=desk.prepare) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_checkpoint_is_opened_again_only_when_its_file_changed(
    gates: GatedPlanning, checkpoint_file: Path
) -> None:
    desk = PlanningDesk(lambda: gates)
    first = desk.open(str(checkpoint_file), never)
    assert desk.open(str(checkpoint_file), never) is first
    assert gates.count("open") == 1
    write_tiny(checkpoint_file, TinyModel(architecture="qwen2", n_layer=2))
    second = desk.open(str(checkpoint_file), never)
    assert second.shape.architecture == "qwen2"
    write_text(checkpoint_file)
    with pytest.raises(NotGgufError):
        desk.open(str(checkpoint_file), never)


def test_what_real_runs_have_shown_changes_the_predicted_speed(
    gates: GatedPlanning, checkpoint_file: Path
) -> None:
    asked: list[tuple[Machine, Plan]] = []

    def correct(machine: Machine, _checkpoint: OpenCheckpoint, plan: Plan) -> Machine:
        asked.append((machine, plan))
        return dataclasses.replace(machine, decode_correction=0.5)

    plain = planned(PlanningDesk(lambda: gates), checkpoint_file)
    slower = planned(PlanningDesk(lambda: gates, correct=correct), checkpoint_file)
    assert slower.machine.decode_correction == 0.5
    assert slower.plan.speed.decode.mid == pytest.approx(plain.plan.speed.decode.mid / 2, rel=0.01)
    assert len(asked) == 1


def test_a_plan_fits_until_half_of_what_it_leaves_free_is_gone(
    gates: GatedPlanning, checkpoint_file: Path
) -> None:
    load = planned(PlanningDesk(lambda: gates), checkpoint_file)
    device = load.plan.memory.devices[0]
    assert (device.name, device.used_bytes > 0) == ("CUDA0", True)
    margin = device.free_bytes - device.budget_bytes
    enough = device.used_bytes + margin // 2
    assert still_fits(load.plan, described_machine(card(free=enough)))
    assert not still_fits(load.plan, described_machine(card(free=enough - 1)))
    assert not still_fits(load.plan, described_machine(card(), ram_bytes=1 << 20))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (described_machine(card(free=8 * GIB - (100 << 20))), True),
        (described_machine(card(free=8 * GIB - (200 << 20))), False),
        (described_machine(card(free=8 * GIB + (200 << 20))), False),
        (described_machine(), False),
        (described_machine(card(), card(1)), False),
        (described_machine(card(), ram_bytes=33 * GIB), False),
        (dataclasses.replace(described_machine(card()), decode_correction=0.9), False),
    ],
)
def test_a_machine_is_what_it_was_until_more_than_comes_and_goes_is_gone(
    now: Machine, expected: bool
) -> None:
    assert like(described_machine(card()), now) == expected


# --- the next smaller plan ----------------------------------------------------------------------


def test_less_of_the_gpu_comes_before_less_context(
    gates: GatedPlanning, checkpoint_file: Path
) -> None:
    desk = PlanningDesk(lambda: gates)
    failed = planned(desk, checkpoint_file, Wishes(n_ctx=2048))
    smaller = next_smaller(desk, failed, context_first=False, stop=never)
    assert smaller is not failed
    assert is_smaller(smaller.plan, failed.plan)
    assert smaller.plan.settings.n_ctx == 2048
    assert set(smaller.wishes.gpu_share) == {"CUDA0"}
    again = next_smaller(desk, smaller, context_first=False, stop=never)
    assert again is smaller or is_smaller(again.plan, smaller.plan)


def test_a_context_that_was_refused_is_halved_first(
    gates: GatedPlanning, checkpoint_file: Path
) -> None:
    desk = PlanningDesk(lambda: gates)
    failed = planned(desk, checkpoint_file, Wishes(n_ctx=2048))
    smaller = next_smaller(desk, failed, context_first=True, stop=never)
    assert smaller.wishes.n_ctx == 1024
    assert smaller.wishes.gpu_share == {}


def test_without_a_gpu_the_context_shrinks(tmp_path: Path, checkpoint_file: Path) -> None:
    gates = GatedPlanning(tmp_path / "work", described_machine())
    desk = PlanningDesk(lambda: gates)
    failed = planned(desk, checkpoint_file)
    smaller = next_smaller(desk, failed, context_first=False, stop=never)
    assert smaller.plan.settings.n_ctx == failed.plan.settings.n_ctx // 2
    smallest = failed
    while (smaller := next_smaller(desk, smallest, context_first=False, stop=never)) != smallest:
        smallest = smaller
    assert smallest.plan.settings.n_ctx == 256


def test_the_search_can_be_stopped(gates: GatedPlanning, checkpoint_file: Path) -> None:
    desk = PlanningDesk(lambda: gates)
    failed = planned(desk, checkpoint_file)
    before = gates.count("plan")
    assert next_smaller(desk, failed, context_first=False, stop=lambda: True) is failed
    assert gates.count("plan") == before


# --- this machine -------------------------------------------------------------------------------

HELD = (
    DeviceMemory("CUDA0", "gpu", 5 * GIB, GIB, GIB),
    DeviceMemory(CPU, "cpu", 9 * GIB, GIB, GIB, 1024),
)


def test_what_the_loaded_checkpoint_holds_counts_as_free() -> None:
    device = Device("CUDA0", "A card", "gpu", "CUDA", 12 * GIB, 2 * GIB)
    other = dataclasses.replace(device, name="CUDA1")
    found = with_devices_given_back(DeviceList((device, other), (), (), ""), HELD)
    assert [device.free_bytes for device in found.devices] == [9 * GIB, 2 * GIB]
    # Never more than there is, whatever the driver says.
    full = dataclasses.replace(device, free_bytes=11 * GIB)
    found = with_devices_given_back(DeviceList((full,), (), (), ""), HELD)
    assert found.devices[0].free_bytes == 12 * GIB
    machine = described_machine(ram_bytes=32 * GIB)
    given = with_host_given_back(machine, HELD)
    assert given.ram.available_bytes == machine.ram.available_bytes + 2 * GIB + 1024


@pytest.mark.model
def test_the_engine_is_asked_and_after_the_end_not_any_more() -> None:
    seen: list[DeviceList] = []

    def describe(found: DeviceList, _path: Path | None) -> Machine:
        seen.append(found)
        return described_machine()

    supervisor = EngineSupervisor(engine_command(), listener=lambda _notice: None)
    reader = MachineReader(supervisor, held=tuple, describe=describe)
    try:
        assert reader.read(None) == described_machine()
        assert any(device.kind == "cpu" for device in seen[0].devices)
        assert seen[0].cpu_features
        reader.close()
        supervisor.stop()
        with pytest.raises(EngineBusyError):
            reader.read(None)
        assert supervisor.pid is None
    finally:
        supervisor.stop()
