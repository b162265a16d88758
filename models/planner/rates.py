"""How fast a machine's parts are for ggml: measured where they were, else guessed with a range.

Every rate is a range. Its ends are not extremes of what could be but what published and measured
runs have shown (docs/planner_speed.md); a measured rate has a narrow range. Pure, no Qt here.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.planner.known_devices import disk_bandwidth, gpu_rates, link_bandwidth, ram_bandwidth
from models.planner.machine import Calibration, Gpu, Machine
from models.planner.plan import CPU, PlanSettings


@dataclass(frozen=True, slots=True)
class Rate:
    """Units per second; ``low`` is the slowest that is likely."""

    low: float
    mid: float
    high: float

    def scaled(self, factor: float) -> Rate:
        """Return the range times a factor."""
        return Rate(self.low * factor, self.mid * factor, self.high * factor)

    def at_most(self, other: Rate) -> Rate:
        """Return the slower of two ranges, end by end."""
        return Rate(min(self.low, other.low), min(self.mid, other.mid), min(self.high, other.high))


@dataclass(frozen=True, slots=True)
class Band:
    """What to take a nominal rate times: slowest, likely, fastest."""

    low: float
    mid: float
    high: float

    def of(self, rate: float) -> Rate:
        """Return the range around a nominal rate."""
        return Rate(rate * self.low, rate * self.mid, rate * self.high)


# Measured figures: a second run of the same differs by so much.
MEASURED = Band(0.85, 1.0, 1.12)
MEASURED_PREFILL = Band(0.75, 1.0, 1.25)
# Taken over from the same type in its plain form, and from another type that was measured.
OTHER_BUFFER = Band(0.78, 1.0, 1.25)
RELATED = Band(0.65, 1.0, 1.4)
# Share of a GPU's nominal memory bandwidth that decode reaches (published: 0.63 to 0.7 on 3090 and
# 4090 with models of 5 to 40 GB; less on data centre parts).
_GPU_BANDWIDTH = Band(0.42, 0.65, 0.82)
_GPU_COMPUTE = Band(0.3, 0.6, 1.0)
# Groups of experts are small matrices.
_EXPERT_COMPUTE = 0.5
_ATTENTION_COMPUTE = 0.4
# Share of the RAM's nominal bandwidth (published runs on servers: 0.39 to 0.57).
_RAM_BANDWIDTH = Band(0.33, 0.52, 0.75)
# Desktops and laptops: two channels are filled by a few cores, which run at higher clocks.
_FEW_CORES = 16
_RAM_BANDWIDTH_FEW = Band(0.42, 0.68, 0.88)
_FEW_CORES_GAIN = 1.4
# What further sockets add: llama.cpp places no memory (0.17 of two sockets together, published).
_FURTHER_SOCKETS = Band(0.0, 0.25, 0.8)
_PINNED = Band(0.7, 0.88, 1.0)
# Copies from pages that are not pinned go through the driver's staging buffer.
_PAGEABLE = Band(0.2, 0.42, 0.8)
# Page faults do not keep a drive's queue full.
_DISK = Band(0.18, 0.4, 0.85)
_NETWORK = Band(0.5, 0.85, 1.0)
_THREAD_DECODE = Band(0.6, 1.0, 1.6)
_THREAD_PREFILL = Band(0.4, 1.0, 2.5)

# Weight bytes a second that one thread works off in decode, and operations a second in prefill,
# with AVX2, by type (measured on Xeons of 2.7 GHz: Q8_0 4.3-5.7 GiB/s, Q4_0 3 GiB/s; the others by
# their instruction counts in ggml/src/ggml-cpu/arch/x86/quants.c).
_GB, _GFLOP = 1e9, 1e9
_DECODE_BYTES_S = {
    "F32": 8.0, "F16": 6.5, "BF16": 6.5, "Q8_0": 5.0, "Q4_0": 3.2, "Q4_1": 3.3, "Q5_0": 2.6,
    "Q5_1": 2.7, "Q6_K": 3.0, "Q5_K": 2.8, "Q4_K": 3.0, "Q3_K": 2.2, "Q2_K": 2.2, "IQ4_NL": 2.8,
    "IQ4_XS": 2.8, "MXFP4": 2.8, "NVFP4": 2.4, "IQ3_S": 1.1, "IQ3_XXS": 1.1, "IQ2_S": 1.0,
    "IQ2_XS": 1.0, "IQ2_XXS": 1.0, "IQ1_S": 1.1, "IQ1_M": 0.8, "TQ1_0": 2.0, "TQ2_0": 2.5,
}  # fmt: skip
_PREFILL_FLOP_S = {
    "F32": 30.0, "F16": 35.0, "BF16": 35.0, "Q8_0": 45.0, "Q4_0": 40.0, "Q4_1": 35.0, "Q5_0": 30.0,
    "Q5_1": 28.0, "Q6_K": 24.0, "Q5_K": 22.0, "Q4_K": 26.0, "Q3_K": 20.0, "Q2_K": 22.0,
    "IQ4_NL": 26.0, "IQ4_XS": 24.0, "MXFP4": 24.0, "NVFP4": 20.0, "IQ3_S": 10.0, "IQ3_XXS": 10.0,
    "IQ2_S": 10.0, "IQ2_XS": 10.0, "IQ2_XXS": 10.0, "IQ1_S": 12.0, "IQ1_M": 9.0, "TQ1_0": 16.0,
    "TQ2_0": 20.0,
}  # fmt: skip
_OTHER_DECODE, _OTHER_PREFILL = 2.0, 15.0
# What a thread does more with further instructions, in decode and in prefill.
_FEATURE_GAIN = (
    (("AVX512_VNNI", "AVX512_VBMI"), 1.15, 1.4),
    (("AVX512",), 1.1, 1.25),
    (("AVX2",), 1.0, 1.0),
    (("MATMUL_INT8", "SVE"), 1.1, 1.4),
    (("DOTPROD",), 1.0, 1.0),
    (("NEON",), 0.8, 0.7),
    (("AVX",), 0.5, 0.4),
)
_NO_FEATURES = (1.0, 1.0)
# Repacked weights and AMX tiles are for prefill (measured for Q4_0 and Q4_K on AVX512: x1.5-2).
_REPACKED_PREFILL = {"CPU_REPACK": 1.7, "AMX": 5.0}
_EXPERTS_PREFILL_CPU = 0.7


class Rates:
    """A machine's rates under some settings."""

    def __init__(self, machine: Machine, settings: PlanSettings) -> None:
        self._machine = machine
        self._calibration = machine.calibration or Calibration()
        self._threads = settings.n_threads or machine.cpu.cores
        self._few_cores = machine.cpu.cores <= _FEW_CORES and machine.cpu.sockets == 1
        clock = _FEW_CORES_GAIN if self._few_cores else 1.0
        decode, prefill = _feature_gain(frozenset(machine.cpu.features))
        self._gain = (decode * clock, prefill * clock)
        self._gpu_rates: dict[tuple[str, float], Rate] = {}
        self.ram = self._ram()

    @property
    def is_calibrated(self) -> bool:
        """Whether this machine's CPU was measured."""
        return bool(self._calibration.cpu_decode_bytes_s)

    @property
    def layer_s(self) -> float | None:
        """Return the measured time of a CPU layer beside its weights, None when not measured."""
        return self._calibration.cpu_layer_s if self.is_calibrated else None

    @property
    def fixed_s(self) -> float | None:
        """Return the measured time of a token beside its layers, None when not measured."""
        return self._calibration.cpu_fixed_s if self.is_calibrated else None

    def _ram(self) -> Rate:
        measured, nominal = self._calibration.ram_bytes_s, self._machine.ram.bandwidth_bytes_s
        if measured is not None:
            return MEASURED.of(measured)
        if nominal is None:
            nominal, _known = ram_bandwidth(self._machine.cpu)
        if self._few_cores:
            return _RAM_BANDWIDTH_FEW.of(nominal)
        return self._ram_of_sockets(nominal)

    @property
    def _sockets(self) -> int:
        return self._machine.cpu.sockets

    def _ram_of_sockets(self, nominal: float) -> Rate:
        one, more = nominal / self._sockets, self._sockets - 1
        own, band = _RAM_BANDWIDTH.of(one), _FURTHER_SOCKETS
        return Rate(
            own.low * (1 + more * band.low),
            own.mid * (1 + more * band.mid),
            own.high * (1 + more * band.high),
        )

    def cpu_decode(self, type_name: str, buffer: str = CPU) -> tuple[Rate, bool]:
        """Return weight bytes a second in decode, and whether the RAM is what limits them."""
        measured = self._calibration.cpu_decode_bytes_s
        guess = guess_decode(type_name, buffer) * self._gain[0]
        if measured:
            rate = _from_measured(measured, type_name, buffer, MEASURED, guess_decode)
            rate = self._threads_scaled(rate, memory_bound=True)
            # Where a kernel gets within reach of the RAM, the RAM is what would have to be faster.
            near_ram = rate.mid > 0.7 * self.ram.mid
            return rate, near_ram
        kernel = _THREAD_DECODE.of(guess * self._threads)
        return kernel.at_most(self.ram), self.ram.mid <= kernel.mid

    def cpu_prefill(self, type_name: str, buffer: str, *, experts: bool) -> Rate:
        """Return operations a second of the CPU in prefill."""
        measured = self._calibration.cpu_prefill_flop_s
        if measured:
            rate = _from_measured(measured, type_name, buffer, MEASURED_PREFILL, guess_prefill)
            return self._threads_scaled(rate, memory_bound=False)
        guess = guess_prefill(type_name, buffer) * self._gain[1]
        guess *= _EXPERTS_PREFILL_CPU if experts else 1.0
        return _THREAD_PREFILL.of(guess * self._threads)

    def cpu_attention(self) -> Rate:
        """Return operations a second of the CPU in attention."""
        return self.cpu_prefill("F16", CPU, experts=False).scaled(_ATTENTION_COMPUTE)

    def _threads_scaled(self, rate: Rate, *, memory_bound: bool) -> Rate:
        """Return a measured rate for another number of threads."""
        share = self._threads / (self._calibration.n_threads or self._threads)
        if share == 1.0:
            return rate
        if share > 1.0:
            # More than the cores there are brings nothing for sure.
            return Rate(rate.low, rate.mid, rate.high * share)
        return Rate(
            rate.low * share,
            rate.mid * (share**0.5 if memory_bound else share),
            rate.high * (1.0 if memory_bound else share),
        )

    def gpu_memory(self, gpu: Gpu) -> Rate:
        """Return bytes a second that a GPU's kernels read."""
        known = self._gpu_rates.get((gpu.device, 0.0))
        if known is None:
            measured = self._calibration.gpu_decode_bytes_s.get(gpu.device)
            nominal = measured or gpu_rates(gpu).bandwidth_bytes_s
            known = (MEASURED if measured else _GPU_BANDWIDTH).of(nominal)
            self._gpu_rates[gpu.device, 0.0] = known
        return known

    def gpu_prefill(self, gpu: Gpu, *, experts: bool = False, attention: bool = False) -> Rate:
        """Return operations a second of a GPU in prefill."""
        factor = _EXPERT_COMPUTE if experts else _ATTENTION_COMPUTE if attention else 1.0
        known = self._gpu_rates.get((gpu.device, factor))
        if known is None:
            measured = self._calibration.gpu_prefill_flop_s.get(gpu.device)
            nominal = measured or gpu_rates(gpu).compute_flop_s
            known = (MEASURED_PREFILL if measured else _GPU_COMPUTE).of(nominal * factor)
            self._gpu_rates[gpu.device, factor] = known
        return known

    def link(self, gpu: Gpu, *, pinned: bool) -> Rate:
        """Return bytes a second between RAM and a GPU (PCIe, or the network of an RPC host)."""
        measured = self._calibration.pcie_bytes_s
        band = _PINNED if pinned else _PAGEABLE
        if gpu.kind.value == "rpc":
            return _NETWORK.of(link_bandwidth(gpu, None)[0])
        if measured is not None and gpu.link_bytes_s is None:
            return band.of(measured / _PINNED.mid)
        return band.of(link_bandwidth(gpu, self._machine.pcie_bytes_s)[0])

    def latency_s(self, gpu: Gpu) -> float:
        """Return one round trip to a GPU's machine in s, 0 inside one machine."""
        return link_bandwidth(gpu, None)[1]

    def disk(self) -> Rate:
        """Return bytes a second that page faults get from the disk."""
        measured = self._calibration.disk_bytes_s
        nominal = measured or self._machine.disk.read_bytes_s or disk_bandwidth()
        return _DISK.of(nominal)


def _feature_gain(features: frozenset[str]) -> tuple[float, float]:
    for names, decode, prefill in _FEATURE_GAIN:
        if features.issuperset(names):
            return decode, prefill
    return _NO_FEATURES


def rate_key(type_name: str, buffer: str) -> str:
    """Return the name of a measured rate: the type, with its buffer when it is repacked there."""
    return f"{type_name}@{buffer}" if buffer in _REPACKED_PREFILL else type_name


def guess_decode(type_name: str, _buffer: str = CPU) -> float:
    """Return weight bytes a second that one thread with AVX2 works off in decode."""
    return _DECODE_BYTES_S.get(type_name, _OTHER_DECODE) * _GB


def guess_prefill(type_name: str, buffer: str = CPU) -> float:
    """Return operations a second of one thread with AVX2 in prefill."""
    plain = _PREFILL_FLOP_S.get(type_name, _OTHER_PREFILL) * _GFLOP
    return plain * _REPACKED_PREFILL.get(buffer, 1.0)


def _from_measured(
    measured: Mapping[str, float],
    type_name: str,
    buffer: str,
    band: Band,
    guess: Callable[[str, str], float],
) -> Rate:
    """Return the rate of a type, from like ones where it was not measured itself."""
    key = rate_key(type_name, buffer)
    if key in measured:
        return band.of(measured[key])
    if type_name in measured:
        return OTHER_BUFFER.of(
            measured[type_name] * guess(type_name, buffer) / guess(type_name, CPU)
        )

    def against_guess(known: str) -> float:
        name, _, its_buffer = known.partition("@")
        return measured[known] / guess(name, its_buffer or CPU)

    repacked = [known for known in measured if known.partition("@")[0] == type_name]
    if repacked:
        return OTHER_BUFFER.of(against_guess(repacked[0]) * guess(type_name, buffer))
    return RELATED.of(statistics.median(map(against_guess, measured)) * guess(type_name, buffer))
