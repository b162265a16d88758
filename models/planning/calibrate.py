"""Measures this machine with llama.cpp's own kernels, in under a minute. No Qt here.

Two replicas of different depth give the time of a layer without everything that a token costs once
(models/gguf/replica.py); bytes over time is then the rate of the layer's types. With a checkpoint
the replicas are its own; without one a plain model is made in each of the types that DeepSeek
checkpoints come in. Measured as a checkpoint would be loaded: repacked only where there is no GPU.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

from models.errors import StoppedError
from models.gguf.header import read_header
from models.gguf.header_file import HeaderFile
from models.gguf.replica import Replica, plain_replica, replica_of, write_replica
from models.gguf.shape import ModelShape
from models.gguf.shape_reader import read_shape
from models.gguf.source import FileSource
from models.planner.inventory import Inventory
from models.planner.machine import Calibration, Machine
from models.planner.placement import place
from models.planner.plan import CPU, PlanSettings
from models.planner.rates import guess_decode, guess_prefill, rate_key
from models.planner.work import weights_of
from models.runtime.protocol import Benched, BenchRequest, BenchResult, LoadSettings, Streams
from models.stopping import Stop, never

_T = TypeVar("_T")

# The types of DeepSeek checkpoints, the ones that matter most first: time may not suffice for all.
STANDARD_TYPES = (
    "Q4_K", "Q8_0", "Q6_K", "MXFP4", "Q5_K", "IQ4_XS", "IQ2_XXS", "IQ1_S", "Q3_K", "Q2_K",
    "IQ3_XXS", "IQ1_M", "Q4_0", "Q5_0", "F16",
)  # fmt: skip
LIMIT_S = 55.0
_N_EMBD, _N_FF = 2048, 5632
_TINY = (256, 512)
_TINY_LAYERS = (4, 16)
_SHALLOW, _DEEP = 2, 4
_N_CTX = 1024
_PROMPT, _ANSWER = 64, 12
_CACHES = 4
_MOST_CACHE_BYTES = 256 << 20
_GPU_DEPTHS = (4, 12)
# A kernel start that the forecast adds for each layer by itself.
_GPU_LAYER_S = 40e-6
_LEAST_GROWTH = 0.3


class Engine(Protocol):
    """The engine child as the calibration uses it; ``None`` means that it was stopped."""

    def load(self, path: Path, settings: LoadSettings) -> bool | None:
        """Load a checkpoint."""

    def bench(self, request: BenchRequest) -> Benched | None:
        """Measure it."""

    def streams(self, path: Path) -> Streams | None:
        """Measure RAM, disk and links."""


@dataclass(frozen=True)
class CalibrationProgress:
    """How far a calibration is; ``eta_s`` is what is left of its time limit at most."""

    text: str
    steps_done: int
    steps_total: int
    elapsed_s: float
    eta_s: float


@dataclass(frozen=True)
class _Times:
    """Seconds of a token in decode, and of the whole prompt."""

    decode_s: float
    prefill_s: float


@dataclass(frozen=True)
class _Work:
    """A replica's cost: by rate key, bytes of a token in decode and operations of a prompt."""

    decode_bytes: dict[str, float]
    prefill_flop: dict[str, float]
    n_layer: int


class Calibrator:
    """One calibration.

    Args:
        engine: measures.
        machine: this machine; its GPUs are measured, too.
        work_dir: where replicas are written, one at a time; removed when done.
        cache_bytes: of the CPU's last cache; replicas are larger.
        report: told before every step.
        stop: asked before every step.
        limit_s: no step is begun after it.
    """

    def __init__(
        self,
        engine: Engine,
        machine: Machine,
        *,
        work_dir: Path,
        cache_bytes: int,
        report: Callable[[CalibrationProgress], None],
        stop: Stop = never,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._engine = engine
        self._machine = machine
        self._work_dir = work_dir
        self._cache_bytes = min(cache_bytes, _MOST_CACHE_BYTES)
        self._report = report
        self._stop = stop
        self._limit_s = limit_s
        self._start_s = time.monotonic()
        self._done = self._total = 0
        self._n_threads = machine.cpu.cores

    def run(
        self,
        files: Sequence[HeaderFile] = (),
        shape: ModelShape | None = None,
        types: Sequence[str] = STANDARD_TYPES,
    ) -> Calibration:
        """Measure with a checkpoint's replicas, or with the standard set.

        Raises:
            StoppedError: it was stopped.
            FathomError: the engine failed.
            OSError: a replica cannot be written.
        """
        self._total = 3 + len(self._machine.gpus) * 2 + (2 if shape else 2 * len(types))
        streams = self._streams(files)
        rates = self._of_checkpoint(files, shape) if shape else self._of_types(types)
        gpu_decode, gpu_prefill = self._of_gpus()
        return dataclasses.replace(
            rates,
            measured_on=datetime.now(UTC).isoformat(timespec="seconds"),
            n_threads=self._n_threads,
            ram_bytes_s=streams.ram_bytes_s,
            disk_bytes_s=streams.disk_bytes_s,
            pcie_bytes_s=min((link.bytes_s for link in streams.links), default=None),
            gpu_decode_bytes_s=gpu_decode,
            gpu_prefill_flop_s=gpu_prefill,
        )

    # --- what is measured -----------------------------------------------------------------------

    def _streams(self, files: Sequence[HeaderFile]) -> Streams:
        self._begin("memory and disk")
        path = next((file.path for file in files if file.path is not None), None)
        if path is not None:
            return _given(self._engine.streams(path))
        path = self._work_dir / "stream.bin"
        try:
            write_replica(plain_replica("Q8_0", n_layer=2, n_embd=_N_EMBD, n_ff=_N_FF), path)
            return _given(self._engine.streams(path))
        finally:
            path.unlink(missing_ok=True)

    def _of_types(self, types: Sequence[str]) -> Calibration:
        layer_s, fixed_s = self._overhead()
        decode: dict[str, float] = {}
        prefill: dict[str, float] = {}
        for type_name in types:
            if decode and self._is_over():
                break
            few, many = self._depths(type_name)
            shallow, deep = (
                self._measured(
                    plain_replica(type_name, n_layer=n_layer, n_embd=_N_EMBD, n_ff=_N_FF),
                    f"{type_name}, {n_layer} layers",
                )
                for n_layer in (few, many)
            )
            layers = many - few
            (work_shallow, times_shallow), (work_deep, times_deep) = shallow, deep
            key = rate_key(type_name, CPU)
            key = next((k for k in work_deep.decode_bytes if k.startswith(type_name)), key)
            n_bytes = work_deep.decode_bytes[key] - work_shallow.decode_bytes[key]
            flop = work_deep.prefill_flop[key] - work_shallow.prefill_flop[key]
            grown = _grown(times_deep.decode_s, times_shallow.decode_s, few / many)
            decode[key] = n_bytes / max(grown - layers * layer_s, grown / 2)
            prefill[key] = flop / _grown(times_deep.prefill_s, times_shallow.prefill_s, few / many)
        return Calibration(
            cpu_decode_bytes_s=decode,
            cpu_prefill_flop_s=prefill,
            cpu_fixed_s=fixed_s,
            cpu_layer_s=layer_s,
        )

    def _depths(self, type_name: str) -> tuple[int, int]:
        """Return two depths, larger where the CPU's cache is: weights have to come from RAM."""
        size = plain_replica(type_name, n_layer=1, n_embd=_N_EMBD, n_ff=_N_FF).size_bytes
        enough = -(-self._cache_bytes * 2 // (size * _SHALLOW))
        # Many cores have large caches and are fast; a few would take too long.
        times = max(1, min(enough, self._machine.cpu.cores // 8))
        return _SHALLOW * times, _DEEP * times

    def _overhead(self) -> tuple[float, float]:
        """Return seconds that a layer and a token take beside their weights."""
        n_embd, n_ff = _TINY
        times = [
            self._measured(
                plain_replica("Q8_0", n_layer=n_layer, n_embd=n_embd, n_ff=n_ff),
                f"starts of kernels, {n_layer} layers",
            )[1].decode_s
            for n_layer in _TINY_LAYERS
        ]
        few, many = _TINY_LAYERS
        layer_s = _grown(times[1], times[0], 0.5 * (1 + few / many)) / (many - few)
        return layer_s, max(0.0, times[0] - few * layer_s)

    def _of_checkpoint(self, files: Sequence[HeaderFile], shape: ModelShape) -> Calibration:
        """Return rates that reproduce the checkpoint's own layers; their sums are exact."""
        shallow, deep = (
            self._measured(
                replica_of(
                    files, shape, n_body=n_body, expert_bytes=self._cache_bytes * _CACHES // 2
                ),
                f"{n_body} layers of {shape.name}",
            )
            for n_body in (_SHALLOW, _DEEP)
        )
        (work_shallow, times_shallow), (work_deep, times_deep) = shallow, deep
        share = work_shallow.n_layer / work_deep.n_layer
        decode_s = _grown(times_deep.decode_s, times_shallow.decode_s, share)
        prefill_s = _grown(times_deep.prefill_s, times_shallow.prefill_s, share)
        decode = _fitted(work_shallow.decode_bytes, work_deep.decode_bytes, decode_s, guess_decode)
        prefill = _fitted(
            work_shallow.prefill_flop, work_deep.prefill_flop, prefill_s, guess_prefill
        )
        weights_s = sum(n / decode[key] for key, n in work_shallow.decode_bytes.items())
        return Calibration(
            cpu_decode_bytes_s=decode,
            cpu_prefill_flop_s=prefill,
            cpu_fixed_s=max(0.0, times_shallow.decode_s - weights_s),
        )

    def _of_gpus(self) -> tuple[dict[str, float], dict[str, float]]:
        decode: dict[str, float] = {}
        prefill: dict[str, float] = {}
        for gpu in self._machine.gpus:
            if self._is_over():
                break
            few, many = _GPU_DEPTHS
            replicas = [
                plain_replica("Q4_K", n_layer=n_layer, n_embd=2 * _N_EMBD, n_ff=2 * _N_FF)
                for n_layer in (few, many)
            ]
            if 2 * replicas[1].size_bytes > gpu.free_bytes:
                continue
            (shallow, fast), (deep, slow) = (
                self._measured(replica, f"{gpu.name}, {len(replica.layers)} layers", gpu.device)
                for replica in replicas
            )
            grown = _grown(slow.decode_s, fast.decode_s, few / many)
            grown = max(grown - (many - few) * _GPU_LAYER_S, grown / 2)
            n_bytes = sum(deep.decode_bytes.values()) - sum(shallow.decode_bytes.values())
            flop = sum(deep.prefill_flop.values()) - sum(shallow.prefill_flop.values())
            decode[gpu.device] = n_bytes / grown
            prefill[gpu.device] = flop / _grown(slow.prefill_s, fast.prefill_s, few / many)
        return decode, prefill

    # --- how ------------------------------------------------------------------------------------

    def _measured(self, replica: Replica, text: str, device: str = "") -> tuple[_Work, _Times]:
        """Write a replica, load and measure it, and say what it costs."""
        self._begin(text)
        path = self._work_dir / "replica.gguf"
        how = self._settings(device)
        prompt = 512 if device else _PROMPT
        try:
            write_replica(replica, path, stop=self._stop)
            shape = _shape_of(path)
            _given(self._engine.load(path, how))
            left_s = max(1.0, self._limit_s - (time.monotonic() - self._start_s))
            benched = _given(
                self._engine.bench(
                    BenchRequest(
                        prompt_tokens=prompt,
                        answer_tokens=_ANSWER,
                        repeats=3,
                        limit_s=min(2.0, left_s / 4),
                    )
                )
            )
        finally:
            path.unlink(missing_ok=True)
        self._n_threads = benched.n_threads
        return self._work(shape, how, prompt), _best(benched.results[0])

    def _settings(self, device: str) -> LoadSettings:
        devices = (device,) if device else ()
        return LoadSettings(
            n_ctx=_N_CTX,
            n_threads=self._machine.cpu.cores,
            devices=devices,
            flash_attn="on",
            use_extra_bufts=not self._machine.gpus,
        )

    def _work(self, shape: ModelShape, how: LoadSettings, n_prompt: int) -> _Work:
        inventory = Inventory(shape)
        settings = PlanSettings(
            n_ctx=_N_CTX,
            devices=how.devices or (),
            n_gpu_layers=shape.n_layer_all + 1 if how.devices else 0,
            use_extra_bufts=how.use_extra_bufts,
        )
        decode: dict[str, float] = {}
        prefill: dict[str, float] = {}
        for weights in weights_of(inventory, place(inventory, self._machine, settings)):
            kind = weights.kind
            key = rate_key(kind.type_name, weights.buffer)
            decode[key] = decode.get(key, 0.0) + kind.decode_bytes * weights.count
            flop = kind.prefill_flop * weights.count * n_prompt
            prefill[key] = prefill.get(key, 0.0) + flop
        return _Work(decode, prefill, shape.n_layer)

    def _begin(self, text: str) -> None:
        if self._stop():
            raise StoppedError
        elapsed_s = time.monotonic() - self._start_s
        by_steps_s = elapsed_s / self._done * (self._total - self._done) if self._done else 60.0
        eta_s = max(0.0, min(by_steps_s, self._limit_s - elapsed_s))
        self._report(CalibrationProgress(text, self._done, self._total, elapsed_s, eta_s))
        self._done += 1

    def _is_over(self) -> bool:
        return time.monotonic() - self._start_s > self._limit_s


def _given(value: _T | None) -> _T:
    if value is None:
        raise StoppedError
    return value


def _best(result: BenchResult) -> _Times:
    """Return the fastest repeat: what disturbs a run only ever makes it slower."""
    return _Times(min(result.decode_s), min(result.prefill_s))


def _grown(deep_s: float, shallow_s: float, share: float) -> float:
    """Return how much longer the deep replica took.

    A disturbed run may say that more layers are faster; then the deep one's own share counts.
    """
    grown = deep_s - shallow_s
    by_depth = deep_s * (1.0 - share)
    return grown if grown > by_depth * _LEAST_GROWTH else by_depth


def _fitted(
    shallow: Mapping[str, float],
    deep: Mapping[str, float],
    grown_s: float,
    guess: Callable[[str, str], float],
) -> dict[str, float]:
    """Return rates that give the measured time; between types they keep the guessed ratios."""
    rates = {}
    for key in deep:
        name, _, buffer = key.partition("@")
        rates[key] = guess(name, buffer or CPU)
    guessed_s = sum((n - shallow.get(key, 0.0)) / rates[key] for key, n in deep.items())
    if guessed_s <= 0:
        return {}
    return {key: rate * guessed_s / grown_s for key, rate in rates.items()}


def _shape_of(path: Path) -> ModelShape:
    with FileSource(path) as source:
        return read_shape([read_header(path)], [source])
