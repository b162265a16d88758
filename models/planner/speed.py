"""Tokens per second as a range, and what limits them. Pure, no Qt here.

The model is docs/planner_speed.md. A pass is cut into shares of resources that work one after
the other; each share is an amount over a rate, and each rate is a range (models/planner/rates.py).
All shares at their slowest give the low end, all at their fastest the high end.

Resources, as ``bound_by`` names them:

* ``ram_bandwidth``: the CPU reads weights or KV cache from RAM.
* ``cpu_compute``: the CPU's kernels themselves.
* ``gpu_bandwidth:DEVICE``, ``gpu_compute:DEVICE``: the same on a device (``gpu_bandwidth:CUDA0``).
* ``pcie``: weights in RAM are copied to the GPU for a batch (op_offload).
* ``disk``: weights that RAM does not hold.
* ``network``: activations to RPC hosts and back.
* ``fixed``: starts of kernels, waits between devices, sampling.
"""

from __future__ import annotations

from models.planner.inventory import Inventory
from models.planner.machine import Gpu, GpuKind, Machine
from models.planner.page_cache import read_amplification, uniform_hit_ratio, useful_share
from models.planner.placement import Placement
from models.planner.plan import CPU, Memory, PlanSettings, Speed, SpeedRange
from models.planner.rates import Rate, Rates
from models.planner.work import (
    AttentionWork,
    Pile,
    Steps,
    attention_of,
    piles_of,
    steps_of,
    touched_share,
    weights_of,
)

RAM, CPU_COMPUTE, PCIE = "ram_bandwidth", "cpu_compute", "pcie"
DISK, NETWORK, FIXED = "disk", "network", "fixed"
GPU_BANDWIDTH, GPU_COMPUTE = "gpu_bandwidth", "gpu_compute"

# GGML_OP_OFFLOAD_MIN_BATCH (ggml-cuda.cu:5651): smaller batches are computed where weights lie.
_OFFLOAD_MIN_BATCH = 32
# Seconds as "rates" per piece: fast, likely, slow. A layer's kernels on a GPU (some 20 starts, with
# CUDA graphs fewer), its barriers on a CPU (measured: 0.11 ms with two threads), one change of
# device with its wait, and what a token takes beside all that.
_GPU_LAYER_S = (15e-6, 40e-6, 110e-6)
_CPU_LAYER_S = (30e-6, 100e-6, 260e-6)
_SPLIT_S = (12e-6, 40e-6, 130e-6)
_TOKEN_S = (0.1e-3, 0.4e-3, 1.5e-3)
_MEASURED_SPREAD = (0.8, 1.0, 1.3)
# A prompt reads the file from its start to its end, over and over; the page cache keeps what was
# read last, which is what is needed last. Likely, half of what is held is of use.
_CYCLIC_HIT = (0.0, 0.5, 1.0)
# At best, routing is skewed and more is found than the uniform share (0.5 becomes 0.66).
_SKEW_EXPONENT = 0.6
_RPC_ROUND_TRIPS = 2.0
_ACTIVATION_BYTES = 4.0
# After real runs of the same checkpoint with a like placement the range is this narrow.
_CORRECTED_LOW, _CORRECTED_HIGH = 0.8, 1.2


def forecast(
    inventory: Inventory,
    machine: Machine,
    settings: PlanSettings,
    placement: Placement,
    memory: Memory,
    *,
    n_past: int = 0,
    n_prompt: int = 0,
) -> Speed:
    """Predict the speed of decode and prefill.

    Args:
        inventory: the checkpoint's weights.
        machine: what it runs on.
        settings: how it is loaded.
        placement: where ``place`` puts the weights under these settings.
        memory: the account of them; its host figures say what RAM cannot hold.
        n_past: tokens already in the KV cache.
        n_prompt: length of the prompt, 0: at least one physical batch.
    """
    found = _Passes(inventory, machine, settings, placement, memory)
    decode, prefill = found.decode(n_past), found.prefill(n_past, n_prompt)
    return Speed(
        decode=decode.tok_s(machine.decode_correction),
        prefill=prefill.tok_s(machine.prefill_correction),
        bound_by=decode.longest(),
        prefill_bound_by=prefill.longest(),
        decode_parts_s=decode.parts(),
        prefill_parts_s=prefill.parts(),
    )


class _Clock:
    """Seconds by resource, each fast, likely and slow; ``n_tokens`` are computed in them."""

    def __init__(self, n_tokens: int) -> None:
        self._n_tokens = n_tokens
        self._parts: dict[str, tuple[float, float, float]] = {}

    def spend(self, resource: str, fast_s: float, mid_s: float, slow_s: float) -> None:
        """Add some seconds."""
        if slow_s > 0.0:
            fast, mid, slow = self._parts.get(resource, (0.0, 0.0, 0.0))
            self._parts[resource] = (fast + fast_s, mid + mid_s, slow + slow_s)

    def work(self, resource: str, amount: float, rate: Rate) -> None:
        """Add the time of an amount at a rate."""
        self.spend(resource, amount / rate.high, amount / rate.mid, amount / rate.low)

    def longer(self, first: tuple[str, float, Rate], second: tuple[str, float, Rate]) -> None:
        """Add the longer of two kinds of work that go on at once, under the name of the longer."""
        a, b = first[1] / first[2].mid, second[1] / second[2].mid
        one, other = (first, second) if a >= b else (second, first)
        self.spend(
            one[0],
            max(one[1] / one[2].high, other[1] / other[2].high),
            max(a, b),
            max(one[1] / one[2].low, other[1] / other[2].low),
        )

    def tok_s(self, correction: float) -> SpeedRange:
        """Return tokens per second, corrected by what real runs have shown."""
        fast, mid, slow = (
            max(sum(part[end] for part in self._parts.values()), 1e-9) for end in range(3)
        )
        low, likely, high = (self._n_tokens / seconds for seconds in (slow, mid, fast))
        if correction != 1.0:
            likely *= correction
            low = max(min(low * correction, likely), likely * _CORRECTED_LOW)
            high = min(max(high * correction, likely), likely * _CORRECTED_HIGH)
        return SpeedRange(low, likely, high)

    def longest(self) -> str:
        """Return the resource that likely takes most."""
        return max(self._parts, key=lambda name: self._parts[name][1], default=FIXED)

    def parts(self) -> tuple[tuple[str, float], ...]:
        """Return likely seconds per token by resource, the longest first."""
        shares = [(name, part[1] / self._n_tokens) for name, part in self._parts.items()]
        return tuple(sorted(shares, key=lambda share: -share[1]))


class _Passes:
    """One pass through the model: of a token in decode, of a physical batch in prefill."""

    def __init__(
        self,
        inventory: Inventory,
        machine: Machine,
        settings: PlanSettings,
        placement: Placement,
        memory: Memory,
    ) -> None:
        self._inventory = inventory
        self._settings = settings
        self._placement = placement
        self._memory = memory
        self._rates = Rates(machine, settings)
        self._piles = piles_of(weights_of(inventory, placement))
        self._read_ahead_bytes = machine.disk.read_ahead_bytes
        self._gpus = {gpu.device: gpu for gpu in machine.gpus}

    # --- decode ---------------------------------------------------------------------------------

    def decode(self, n_past: int) -> _Clock:
        """Return the time of one token."""
        clock = _Clock(1)
        for pile in self._piles:
            gpu = self._gpus.get(pile.device)
            if gpu is not None:
                name = f"{GPU_BANDWIDTH}:{gpu.device}"
                clock.work(name, pile.decode_bytes, self._rates.gpu_memory(gpu))
            else:
                rate, by_ram = self._rates.cpu_decode(pile.type_name, pile.buffer)
                clock.work(RAM if by_ram else CPU_COMPUTE, pile.decode_bytes, rate)
        for attention in attention_of(self._inventory, self._settings, self._placement, n_past):
            self._attend(clock, attention, 1)
        self._read_in_decode(clock)
        self._steps(clock, steps_of(self._inventory, self._placement), 1)
        return clock

    def _attend(self, clock: _Clock, work: AttentionWork, n_tokens: int) -> None:
        gpu, rates = self._gpus.get(work.device), self._rates
        flop = work.flop * n_tokens
        if gpu is None:
            clock.longer(
                (RAM, work.kv_bytes, rates.ram), (CPU_COMPUTE, flop, rates.cpu_attention())
            )
        else:
            clock.longer(
                (f"{GPU_BANDWIDTH}:{gpu.device}", work.kv_bytes, rates.gpu_memory(gpu)),
                (f"{GPU_COMPUTE}:{gpu.device}", flop, rates.gpu_prefill(gpu, attention=True)),
            )

    def _steps(self, clock: _Clock, steps: Steps, n_tokens: int) -> None:
        for device, count in steps.layers.items():
            if device != CPU:
                clock.spend(FIXED, *(count * each for each in _GPU_LAYER_S))
            elif self._rates.layer_s is None:
                clock.spend(FIXED, *(count * each for each in _CPU_LAYER_S))
            else:
                each_s = count * self._rates.layer_s
                clock.spend(FIXED, *(each_s * spread for spread in _MEASURED_SPREAD))
        fixed_s = self._rates.fixed_s
        if fixed_s is None:
            clock.spend(FIXED, *_TOKEN_S)
        else:
            clock.spend(FIXED, *(fixed_s * spread for spread in _MEASURED_SPREAD))
        # The way from the embedding to the first device and back is part of every token.
        clock.spend(FIXED, *(max(0, steps.splits - 2) * each for each in _SPLIT_S))
        for device, hops in steps.hops.items():
            gpu = self._gpus.get(device)
            if gpu is not None and gpu.kind is GpuKind.RPC:
                latency_s = hops * _RPC_ROUND_TRIPS * self._rates.latency_s(gpu)
                clock.spend(NETWORK, latency_s, latency_s, 2 * latency_s)
                row_bytes = _ACTIVATION_BYTES * self._inventory.shape.n_embd
                clock.work(NETWORK, hops * row_bytes * n_tokens, self._rates.link(gpu, pinned=True))

    # --- the disk -------------------------------------------------------------------------------

    def _mapped(self) -> list[Pile]:
        """Return the weights that are used in the file's pages."""
        if not self._placement.maps_file or self._memory.host.disk_bytes <= 0:
            return []
        return [pile for pile in self._piles if pile.buffer == CPU]

    def _read_in_decode(self, clock: _Clock) -> None:
        mapped = self._mapped()
        if not mapped:
            return
        host, disk = self._memory.host, self._rates.disk()
        cached = float(host.page_cache_bytes - host.disk_bytes)
        always = sum(pile.size_bytes for pile in mapped if not pile.is_expert)
        experts = [pile for pile in mapped if pile.is_expert]
        # Read for every token in the same order: what does not fit is never found again.
        clock.work(DISK, max(0.0, always - cached), disk)
        hit = uniform_hit_ratio(cached - always, sum(pile.size_bytes for pile in experts))
        for pile in experts:
            wanted = pile.decode_bytes
            more = read_amplification(pile.size_bytes / pile.n_slices, self._read_ahead_bytes)
            found = hit * useful_share(more) if hit < 1.0 else 1.0
            clock.spend(
                DISK,
                wanted * (1.0 - found**_SKEW_EXPONENT) * min(more, 1.2) / disk.high,
                wanted * (1.0 - found) * more / disk.mid,
                wanted * (1.0 - found) * more / disk.low,
            )

    def _read_in_prefill(self, clock: _Clock, n_tokens: int) -> None:
        mapped = self._mapped()
        if not mapped:
            return
        host, disk = self._memory.host, self._rates.disk()
        total = sum(pile.size_bytes for pile in mapped)
        held = uniform_hit_ratio(host.page_cache_bytes - host.disk_bytes, total)
        wanted = sum(
            pile.size_bytes * touched_share(pile.share_per_token, n_tokens) for pile in mapped
        )
        slow, mid, fast = (wanted * (1.0 - held * useful) for useful in _CYCLIC_HIT)
        clock.spend(DISK, fast / disk.high, mid / disk.mid, slow / disk.low)

    # --- prefill --------------------------------------------------------------------------------

    def prefill(self, n_past: int, n_prompt: int) -> _Clock:
        """Return the time of one physical batch."""
        n_tokens = max(
            1, min(self._settings.n_ubatch, self._settings.n_batch, self._settings.n_ctx)
        )
        if n_prompt:
            n_tokens = min(n_tokens, n_prompt)
        clock = _Clock(n_tokens)
        stage = self._staging_gpu(n_tokens)
        for pile in self._piles:
            gpu = self._gpus.get(pile.device)
            n_bytes = pile.size_bytes * touched_share(pile.share_per_token, n_tokens)
            if gpu is None and stage is not None and _is_staged(pile):
                # Whole experts are copied, those that the batch uses.
                link = self._rates.link(stage, pinned=pile.buffer != CPU)
                clock.work(PCIE, n_bytes, link)
                gpu = stage
            if gpu is not None:
                self._on_gpu(clock, pile, n_bytes, gpu, n_tokens)
            else:
                self._on_cpu(clock, pile, n_bytes, n_tokens)
        # On average half of the batch's own tokens come before a token.
        seen = n_past + n_tokens / 2
        for attention in attention_of(self._inventory, self._settings, self._placement, seen):
            self._attend(clock, attention, n_tokens)
        self._read_in_prefill(clock, n_tokens)
        steps = steps_of(self._inventory, self._placement, experts_offloaded=stage is not None)
        self._steps(clock, steps, n_tokens)
        return clock

    def _staging_gpu(self, n_tokens: int) -> Gpu | None:
        """Return the GPU that computes with weights in RAM (ggml-backend.cpp:969), if one does."""
        if not self._settings.op_offload or n_tokens < _OFFLOAD_MIN_BATCH:
            return None
        devices = (self._gpus.get(name) for name in self._settings.devices)
        # ggml-rpc.cpp has no offload_op.
        return next((gpu for gpu in devices if gpu and gpu.kind is not GpuKind.RPC), None)

    def _on_gpu(self, clock: _Clock, pile: Pile, n_bytes: float, gpu: Gpu, n_tokens: int) -> None:
        compute = self._rates.gpu_prefill(gpu, experts=pile.is_expert)
        clock.longer(
            (f"{GPU_BANDWIDTH}:{gpu.device}", n_bytes, self._rates.gpu_memory(gpu)),
            (f"{GPU_COMPUTE}:{gpu.device}", pile.prefill_flop * n_tokens, compute),
        )

    def _on_cpu(self, clock: _Clock, pile: Pile, n_bytes: float, n_tokens: int) -> None:
        compute = self._rates.cpu_prefill(pile.type_name, pile.buffer, experts=pile.is_expert)
        clock.longer(
            (RAM, n_bytes, self._rates.ram),
            (CPU_COMPUTE, pile.prefill_flop * n_tokens, compute),
        )


def _is_staged(pile: Pile) -> bool:
    """Whether a buffer is plain host memory: repacked weights stay with the CPU."""
    return pile.flop > 0 and (pile.buffer == CPU or pile.buffer.endswith("_Host"))
