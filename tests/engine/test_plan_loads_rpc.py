"""What was planned is what is allocated, with the devices of other machines: RPC workers here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.engine_harness import Recorder
from helpers.engine_process import EngineProcess
from helpers.pairwise import Case, pairwise
from helpers.planned_load import (
    PlannedLoad,
    RealPlanner,
    measured_bytes,
    planned_bytes,
    wishes_of,
    without_compute,
)
from helpers.rpc_worker import RpcWorker
from helpers.tiny_gguf import TinyModel, write_tiny
from models.hardware.calibration_store import CalibrationStore
from models.hardware.machine import this_machine
from models.hub.hub import Hub
from models.library.library import Library
from models.planner.machine import Machine
from models.planner.plan import CPU, Override
from models.planner.wishes import Wishes
from models.planning.desk import PlanningDesk
from models.planning.machine_reader import MachineReader
from models.planning.open_checkpoint import OpenCheckpoint
from models.planning.service import Planning
from models.runtime.command import engine_command
from models.runtime.llama.rpc import greet
from models.runtime.protocol import Loaded
from models.runtime.supervisor import EngineSupervisor
from models.stopping import never

CHECKPOINTS = {
    "deepseek": TinyModel("deepseek"),
    "deepseek2": TinyModel("deepseek2"),
    "deepseek2-repacked": TinyModel("deepseek2", quantization="Q4_0"),
    "deepseek2-before-mla": TinyModel("deepseek2", mla=False),
    "deepseek2-mtp": TinyModel("deepseek2", mtp=True),
    "deepseek2-ocr": TinyModel("deepseek2-ocr"),
    "deepseek32": TinyModel("deepseek32"),
    "deepseek32-mtp": TinyModel("deepseek32", mtp=True),
    "deepseek4": TinyModel("deepseek4"),
    "llama": TinyModel("llama"),
    "qwen2": TinyModel("qwen2"),
    "qwen3": TinyModel("qwen3"),
}
# Of the formulas' compute buffers, for checkpoints this small.
COMPUTE_ERROR = 0.1
LIMIT_S = 120.0
ALL = 99
ALL_OF_THREE = 4
EXPERTS_IN_RAM = Override(r"\.ffn_(up|down|gate|gate_up)_(ch|)exps", CPU)
# Name -> layers on the worker (the output layer counts), and what lies elsewhere than its layer.
PLACEMENTS: dict[str, tuple[int, tuple[Override, ...]]] = {
    "all": (ALL, ()),
    "split by layers": (2, ()),
    "experts in RAM": (ALL, (EXPERTS_IN_RAM,)),
    "single tensors in RAM": (
        ALL,
        (
            Override(r"^blk\.1\.ffn_(gate|gate_up)(_exps)?\.", CPU),
            Override(r"^blk\.2\.ffn_down(_exps)?\.", CPU),
        ),
    ),
    "experts on the worker": (0, (Override(r"\.ffn_(up|down|gate)(_exps)?\.", "RPC0"),)),
    "the first pattern counts": (
        2,
        (Override(r"^blk\.[01]\.attn_output", "RPC0"), Override(r"\.attn_", CPU)),
    ),
}
AXES = {
    "checkpoint": tuple(CHECKPOINTS),
    "placement": tuple(PLACEMENTS),
    "n_ctx": (512, 1024),
    "n_ubatch": (64, 512),
    "kv": (("f16", "f16"), ("q8_0", "q8_0")),
    "flash_attn": ("auto", "on", "off"),
    "load_mode": ("mmap", "none"),
    "use_extra_bufts": (True, False),
    "op_offload": (True, False),
}


def may_be(case: Case) -> bool:
    return not (case["kv"][1] == "q8_0" and case["flash_attn"] == "off")


CASES = pairwise(AXES, allowed=may_be)


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    process = EngineProcess()
    try:
        assert process.next_event()["event"] == "hello"
        yield process
    finally:
        assert process.close() == 0


@pytest.fixture(scope="module")
def worker() -> Iterator[RpcWorker]:
    with RpcWorker() as process:
        yield process


def placed_wishes(case: Case, n_layer_all: int) -> Wishes:
    """Return wishes that leave nothing of a case to the planner."""
    n_gpu_layers, overrides = PLACEMENTS[case["placement"]]
    return dataclasses.replace(
        wishes_of(case),
        n_gpu_layers=min(n_gpu_layers, n_layer_all + 1),
        overrides=overrides,
        devices=("RPC0",),
    )


def assert_as_planned(done: PlannedLoad, case: Case) -> None:
    """Compare to the byte; only compute buffers of the formulas may be off."""
    assert done.exact.settings == done.fast.settings
    measured = done.measured
    assert planned_bytes(done.exact) == measured, case
    fast = planned_bytes(done.fast)
    assert without_compute(fast) == without_compute(measured), case
    for device, figures in fast.items():
        error = abs(figures.compute - measured[device].compute)
        assert error <= COMPUTE_ERROR * measured[device].compute, (case, device)


class CpuAnswers:
    """What a checkpoint answers on the CPU alone, loaded once for all settings that matter."""

    def __init__(self, planner: RealPlanner, checkpoint: OpenCheckpoint, machine: Machine) -> None:
        self._planner = planner
        self._checkpoint = checkpoint
        self._machine = machine
        self._known: dict[str, str] = {}

    def of(self, case: Case) -> set[str]:
        """Return the answer; two with ``auto``: whether the worker uses flash attention is open."""
        return {
            self._answer(
                Wishes(
                    n_ctx=512,
                    n_ubatch=case["n_ubatch"],
                    type_k=case["kv"][0],
                    type_v=case["kv"][1],
                    flash_attn=flash_attn,
                    devices=(),
                    use_extra_bufts=False,
                )
            )
            for flash_attn in ("on", "off")
            if case["flash_attn"] in (flash_attn, "auto")
            and may_be(case | {"flash_attn": flash_attn})
        }

    def _answer(self, wishes: Wishes) -> str:
        key = str(wishes)
        if key not in self._known:
            plan = self._planner.planning.plan(self._checkpoint, self._machine, wishes)
            self._known[key] = self._planner.load(self._checkpoint, self._machine, plan)[1]
        return self._known[key]


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_load_takes_what_was_planned(
    engine: EngineProcess, worker: RpcWorker, tmp_path: Path, name: str
) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", CHECKPOINTS[name])
    planner = RealPlanner(engine, tmp_path / "planning", (worker.endpoint,))
    checkpoint = planner.planning.open(str(path))
    machine = planner.planning.machine(path)
    answers = CpuAnswers(planner, checkpoint, machine)
    assert [(gpu.device, gpu.remote) for gpu in machine.gpus] == [("RPC0", "cpu")]
    with planner.oracle(checkpoint.files, machine) as oracle:
        for case in CASES:
            if case["checkpoint"] != name:
                continue
            wishes = placed_wishes(case, checkpoint.shape.n_layer_all)
            done = planner.run(checkpoint, machine, wishes, oracle)
            assert_as_planned(done, case)
            assert done.measured["RPC0"].weights > 0
            # Rearranged weights are multiplied in another order: the last digits differ.
            if "CPU_REPACK" not in {buffer.buffer for buffer in done.exact.memory.buffers}:
                assert done.text in answers.of(case), case
    assert engine.ask("unload")[-1]["event"] == "unloaded"


# --- which device is which ----------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [(), (EXPERTS_IN_RAM,)], ids=["pipeline", "one by one"])
def test_the_order_of_the_hosts_names_their_devices(
    engine: EngineProcess, tmp_path: Path, overrides: tuple[Override, ...]
) -> None:
    """Also in a child that has met them in another order."""
    path = write_tiny(tmp_path / "tiny.gguf", CHECKPOINTS["deepseek2"])
    with RpcWorker() as first, RpcWorker() as second:
        for hosts in ((first,), (second, first), (first, second)):
            endpoints = tuple(host.endpoint for host in hosts)
            planner = RealPlanner(engine, tmp_path / "planning", endpoints)
            checkpoint = planner.planning.open(str(path))
            machine = planner.planning.machine(path)
            names = [gpu.device for gpu in machine.gpus]
            assert names == [f"RPC{number}" for number in range(len(hosts))]
            assert tuple(gpu.endpoint for gpu in machine.gpus) == endpoints
            # Of two hosts the first gets one layer of four.
            wishes = Wishes(
                n_ctx=512,
                n_gpu_layers=ALL_OF_THREE,
                overrides=overrides,
                tensor_split=(1.0, 3.0)[-len(hosts) :],
            )
            with planner.oracle(checkpoint.files, machine) as oracle:
                done = planner.run(checkpoint, machine, wishes, oracle)
            assert set(done.measured) == {*names, CPU}
            if len(hosts) == 1:
                assert_as_planned(done, {"hosts": endpoints})
            else:
                assert_shared_as_planned(done, checkpoint.shape.n_embd)
        assert engine.ask("unload")[-1]["event"] == "unloaded"


def assert_shared_as_planned(done: PlannedLoad, n_embd: int) -> None:
    """Compare a load on several devices: exact but for the compute buffer of the last one.

    llama.cpp's dry run forgets where it pinned single operations (ggml_backend_sched_reserve_size
    resets the scheduler after the graph was built, ggml-backend.cpp:1982; a load does not). What
    then is copied from device to device differs by rows of a ubatch, in a pipeline four times.
    """
    planned, measured = planned_bytes(done.exact), done.measured
    assert without_compute(planned) == without_compute(measured)
    off = {name: planned[name].compute - measured[name].compute for name in measured}
    assert off["RPC0"] == off[CPU] == 0
    assert abs(off["RPC1"]) <= 4 * done.exact.settings.n_ubatch * n_embd * 4


def test_a_host_that_is_not_used_is_named_and_left_alone(
    engine: EngineProcess, worker: RpcWorker, tmp_path: Path
) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", CHECKPOINTS["deepseek2"])
    with RpcWorker() as other:
        planner = RealPlanner(engine, tmp_path / "planning", (other.endpoint, worker.endpoint))
        checkpoint = planner.planning.open(str(path))
        machine = planner.planning.machine(path)
        wishes = Wishes(n_ctx=512, devices=("RPC1",), n_gpu_layers=ALL_OF_THREE, overrides=())
        with planner.oracle(checkpoint.files, machine) as oracle:
            done = planner.run(checkpoint, machine, wishes, oracle)
        assert_as_planned(done, {"devices": "RPC1"})
        assert set(done.measured) == {"RPC1", CPU}
        greet(other.endpoint, LIMIT_S)  # it serves one program at a time, and it is free
        assert engine.ask("unload")[-1]["event"] == "unloaded"


def test_the_plan_of_the_window_loads_on_the_users_hosts(worker: RpcWorker, tmp_path: Path) -> None:
    """Through the supervisor, the reader of this machine and the desk, as the window does it."""
    path = write_tiny(tmp_path / "tiny.gguf", CHECKPOINTS["deepseek32"])
    supervisor = EngineSupervisor(engine_command(), listener=Recorder())
    reader = MachineReader(
        supervisor,
        held=tuple,
        describe=lambda found, file: this_machine(
            found, checkpoint_path=file, calibration_store=CalibrationStore(tmp_path)
        ),
        rpc_hosts=lambda: (worker.endpoint,),
    )
    desk = PlanningDesk(
        lambda: Planning(
            library=Library([], None),
            hub=Hub(is_offline=True),
            read_machine=reader.read,
            work_dir=tmp_path / "dry-runs",
        )
    )
    wishes = Wishes(n_ctx=512, n_gpu_layers=ALL_OF_THREE, overrides=(EXPERTS_IN_RAM,))
    try:
        planned = desk.plan_load(path, wishes)
        plan = desk.verify(planned.checkpoint, planned.machine, wishes, planned.plan, never)
        planned = dataclasses.replace(planned, plan=plan)
        settings = planned.load_settings()
        assert settings.rpc_hosts == (worker.endpoint,)
        request = supervisor.load(str(path), settings)
        loaded = supervisor.wait(request, LIMIT_S).body
    finally:
        supervisor.stop()
    assert isinstance(loaded, Loaded)
    assert measured_bytes(loaded.devices) == planned_bytes(plan)
    assert loaded.settings.devices == ("RPC0",)
