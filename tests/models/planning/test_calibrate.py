"""The calibration's arithmetic, on an engine whose speed is known; and on the real one."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.engine_process import ENGINE_COMMAND
from helpers.true_scale import true_scale
from models.errors import StoppedError
from models.gguf.header import read_header
from models.gguf.shape import ModelShape
from models.gguf.shape_reader import read_shape
from models.gguf.source import FileSource
from models.planner.account import account
from models.planner.inventory import Inventory
from models.planner.machine import Cpu, Disk, Gpu, GpuKind, Machine, Ram
from models.planner.placement import place
from models.planner.plan import CPU, PlanSettings
from models.planner.speed import forecast
from models.planner.work import weights_of
from models.planning.calibrate import CalibrationProgress, Calibrator
from models.runtime.protocol import (
    Benched,
    BenchRequest,
    BenchResult,
    LinkRate,
    Loaded,
    LoadSettings,
    Streams,
)
from models.runtime.supervisor import EngineSupervisor

_MACHINE = Machine((), Ram(64 * 2**30, 60 * 2**30), Disk(), Cpu(4, ("AVX2",)))
_GPU = Gpu("CUDA0", "A card", GpuKind.CUDA, 24 * 2**30, 23 * 2**30)
_LAYER_S, _FIXED_S = 0.0002, 0.003


class SimulatedEngine:
    """An engine that takes exactly as long as its rates say; it reads the real replica files."""

    def __init__(self, machine: Machine, rates: dict[str, tuple[float, float]]) -> None:
        self._machine = machine
        self._rates = rates
        self._shape: ModelShape | None = None
        self._device = ""
        self.loads = 0

    def load(self, path: Path, settings: LoadSettings) -> bool | None:
        with FileSource(path) as source:
            self._shape = read_shape([read_header(path)], [source])
        self._device = settings.devices[0] if settings.devices else ""
        self.loads += 1
        return True

    def bench(self, request: BenchRequest) -> Benched | None:
        assert self._shape is not None
        inventory = Inventory(self._shape)
        on_cpu = PlanSettings(n_ctx=1024, use_extra_bufts=False)
        decode_s = _FIXED_S + (0.0 if self._device else self._shape.n_layer * _LAYER_S)
        prefill_s = 0.01
        for weights in weights_of(inventory, place(inventory, self._machine, on_cpu)):
            kind = weights.kind
            read, compute = self._rates[self._device or kind.type_name]
            decode_s += kind.decode_bytes * weights.count / read
            prefill_s += kind.prefill_flop * weights.count * request.prompt_tokens / compute
        result = BenchResult(0, request.prompt_tokens, 8, (prefill_s,), (decode_s,), 1.0, 1.0)
        return Benched((result,), 4, 0.1)

    def streams(self, path: Path) -> Streams | None:
        links = tuple(LinkRate(gpu.device, 2.5e10) for gpu in self._machine.gpus)
        return Streams(4e10, 3e9 if path.stat().st_size > 10_000_000 else None, links)


def _calibrator(
    engine: SimulatedEngine, folder: Path, machine: Machine = _MACHINE, **options: float
) -> tuple[Calibrator, list[CalibrationProgress]]:
    steps: list[CalibrationProgress] = []
    made = Calibrator(
        engine,
        machine,
        work_dir=folder,
        cache_bytes=1 << 20,
        report=steps.append,
        limit_s=options.get("limit_s", 1000.0),
    )
    return made, steps


def test_the_rates_of_types_are_found_again(tmp_path: Path) -> None:
    rates = {
        "Q4_K": (9e9, 8e10),
        "Q8_0": (1.5e10, 1.2e11),
        "F16": (2e10, 1e11),
        "F32": (2e10, 1e11),
    }
    machine = dataclasses.replace(_MACHINE, cpu=Cpu(4, ()))
    calibrator, steps = _calibrator(SimulatedEngine(machine, rates), tmp_path, machine)
    found = calibrator.run(types=("Q4_K", "Q8_0"))
    for name in ("Q4_K", "Q8_0"):
        # What is left over are the norms, which are another type.
        assert found.cpu_decode_bytes_s[name] == pytest.approx(rates[name][0], rel=0.02)
        assert found.cpu_prefill_flop_s[name] == pytest.approx(rates[name][1], rel=0.02)
    assert found.cpu_layer_s == pytest.approx(_LAYER_S, rel=0.3)
    assert (found.ram_bytes_s, found.disk_bytes_s, found.pcie_bytes_s) == (4e10, 3e9, None)
    assert found.n_threads == 4
    assert found.measured_on.startswith("20")
    assert list(tmp_path.iterdir()) == []
    assert [step.steps_done for step in steps] == list(range(len(steps)))
    assert steps[-1].steps_done < steps[-1].steps_total


def test_the_layers_of_a_checkpoint_are_predicted_as_they_were_measured(tmp_path: Path) -> None:
    """Whatever the guessed ratios between types are, the sum over a layer is exact."""
    rates = dict.fromkeys(("Q4_K", "Q6_K", "Q8_0", "Q5_0", "F32"), (5e9, 6e10))
    checkpoint = true_scale("v2lite-q4km")
    machine = dataclasses.replace(_MACHINE, cpu=Cpu(4, ()))
    calibrator, _ = _calibrator(SimulatedEngine(machine, rates), tmp_path, machine)
    found = calibrator.run(checkpoint.files, checkpoint.shape)
    inventory, how = Inventory(checkpoint.shape), PlanSettings(n_ctx=1024, use_extra_bufts=False)
    weights = weights_of(inventory, place(inventory, machine, how))
    expected_s = sum(w.kind.decode_bytes * w.count / 5e9 for w in weights)
    expected_s += _FIXED_S + checkpoint.shape.n_layer * _LAYER_S
    placement = place(inventory, machine, how)
    memory = account(inventory, machine, how, placement=placement)
    calibrated = dataclasses.replace(machine, calibration=found)
    speed = forecast(inventory, calibrated, how, placement, memory)
    assert 1 / speed.decode.mid == pytest.approx(expected_s, rel=0.1)


def test_a_gpu_is_measured_beside_the_cpu(tmp_path: Path) -> None:
    machine = dataclasses.replace(_MACHINE, gpus=(_GPU,))
    rates = {"CUDA0": (5e11, 4e13), "Q8_0": (1e10, 1e11), "F16": (1e10, 1e11), "F32": (1e10, 1e11)}
    calibrator, _ = _calibrator(SimulatedEngine(machine, rates), tmp_path, machine)
    found = calibrator.run(types=("Q8_0",))
    assert found.gpu_decode_bytes_s["CUDA0"] > 5e11  # the start of a layer's kernels is taken off
    assert found.gpu_prefill_flop_s["CUDA0"] == pytest.approx(4e13, rel=0.02)
    assert found.pcie_bytes_s == 2.5e10


def test_when_time_is_up_the_first_types_have_been_measured(tmp_path: Path) -> None:
    rates = dict.fromkeys(("Q4_K", "Q8_0", "F16", "F32"), (1e10, 1e11))
    engine = SimulatedEngine(_MACHINE, rates)
    machine = dataclasses.replace(_MACHINE, cpu=Cpu(4, ()))
    calibrator, _ = _calibrator(engine, tmp_path, machine, limit_s=0.0)
    found = calibrator.run(types=("Q4_K", "Q8_0"))
    assert list(found.cpu_decode_bytes_s) == ["Q4_K"]


def test_a_stop_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    asked = iter([False] * 40)
    rates = dict.fromkeys(("Q8_0", "F16", "F32"), (1e10, 1e11))
    engine = SimulatedEngine(_MACHINE, rates)
    calibrator = Calibrator(
        engine,
        _MACHINE,
        work_dir=tmp_path,
        cache_bytes=1 << 20,
        report=lambda _: None,
        stop=lambda: next(asked, True),
    )
    with pytest.raises(StoppedError):
        calibrator.run(types=("Q8_0",))
    assert list(tmp_path.iterdir()) == []
    assert engine.loads < 4


class RealEngine:
    """A supervisor as the calibration uses it."""

    def __init__(self, supervisor: EngineSupervisor) -> None:
        self._supervisor = supervisor

    def load(self, path: Path, settings: LoadSettings) -> bool | None:
        body = self._supervisor.wait(self._supervisor.load(str(path), settings)).body
        return True if isinstance(body, Loaded) else None

    def bench(self, request: BenchRequest) -> Benched | None:
        body = self._supervisor.wait(self._supervisor.bench(request)).body
        return body if isinstance(body, Benched) else None

    def streams(self, path: Path) -> Streams | None:
        body = self._supervisor.wait(self._supervisor.measure_streams(str(path))).body
        return body if isinstance(body, Streams) else None


@pytest.fixture
def real_engine() -> Iterator[RealEngine]:
    quiet = threading.Event()
    supervisor = EngineSupervisor(ENGINE_COMMAND, listener=lambda _: quiet.set())
    try:
        yield RealEngine(supervisor)
    finally:
        supervisor.stop()


def test_the_real_engine_can_be_calibrated(real_engine: RealEngine, tmp_path: Path) -> None:
    machine = dataclasses.replace(_MACHINE, cpu=Cpu(1, ()))
    calibrator = Calibrator(
        real_engine,
        machine,
        work_dir=tmp_path,
        cache_bytes=1 << 20,
        report=lambda _: None,
        limit_s=0.0,
    )
    found = calibrator.run(types=("Q8_0",))
    assert found.n_threads == 1
    (rate,) = [value for key, value in found.cpu_decode_bytes_s.items() if key.startswith("Q8_0")]
    assert 1e7 < rate < 1e12
    assert found.cpu_fixed_s >= 0.0
    assert CPU not in found.gpu_decode_bytes_s
