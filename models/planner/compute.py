"""How large llama.cpp's compute buffers get: an estimate for every slider, without llama.cpp.

Pure, no Qt here. llama.cpp reserves them by building the graph of one full ubatch
(src/llama-context.cpp:613, ``sched_reserve``), cutting it into splits over the devices
(ggml/src/ggml-backend.cpp:992) and walking it with a best-fit allocator
(ggml/src/ggml-alloc.c:760). What comes out is no sum of a few tensors: it depends on the order in
which they come and go, on copies of weights and caches that lie elsewhere, on constants that are
placed first. So the same walk is done here, over a graph with a few layers of every kind instead
of sixty; it is worked out once for a placement and sized for every context and ubatch.

Not copied faithfully: of blocks alike a few stand for all, with the largest weight of each name;
routing is simplified. What that costs, by ``benchmarks/compute_error.py --machines 12 --cases 8``
(seed 77, CUDA and RPC, contexts up to a million tokens, experts and single tensors anywhere): 98 %
of 2,500 devices are met to a MiB; of what a device holds the estimate is off by 0.00 % in the
median and in 9 of 10 cases. Worst under: 64 MiB for Llama and the distills, 8 MiB for V2-Lite and
V3, 128 MiB for V4, 408 MiB for V3.2; in RAM 32 MiB. ``ERROR_BOUND`` is what a plan must leave free.
Not measured exactly: Metal and Vulkan, which reorder their graphs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from models.gguf.shape import AttentionKind, ModelShape
from models.planner.buffer_rules import buffer_rule, host_buffer_of, is_pinned
from models.planner.compute_allocator import Step, peak_bytes
from models.planner.compute_compressed import Fused
from models.planner.compute_devices import gpu_traits
from models.planner.compute_graph import Size
from models.planner.compute_layers import (
    GraphSettings,
    LayerPlace,
    PlacedWeight,
    UnknownGraphError,
)
from models.planner.compute_model import (
    Blueprint,
    attends_in_place,
    build_graph,
    fused_ops,
    symbol_values,
)
from models.planner.compute_schedule import Backends, schedule
from models.planner.inventory import Inventory, is_quantized
from models.planner.machine import Machine
from models.planner.placement import Placement
from models.planner.plan import CPU, PlanSettings

_OFFLOAD_ROWS = 32


@dataclass(frozen=True)
class ErrorBound:
    """By how much an estimate may lie under llama.cpp's own account: what a plan leaves free.

    Attributes:
        gpu_bytes: of a GPU; ``ram_bytes`` and ``ram_share`` (of all it holds): of RAM.
    """

    gpu_bytes: int
    ram_bytes: int
    ram_share: float

    def allowed_bytes(self, total_bytes: int, *, is_gpu: bool) -> int:
        """Return the bound for a device that holds ``total_bytes``."""
        return self.gpu_bytes if is_gpu else self.ram_bytes + int(self.ram_share * total_bytes)


ERROR_BOUND = ErrorBound(1024 * 2**20, 256 * 2**20, 0.05)

# Walks that are remembered for a checkpoint: enough for a search around a plan.
_MOST_KNOWN = 256
# How many of the blocks that are alike are walked: after three the allocator repeats itself.
_KEPT_BLOCKS = 3
# With an indexer every block has constants of its own (compute_attention.top_k_mask).
_KEPT_INDEXED_BLOCKS = 6
_KEPT_PAIRS = 3
# A row of blocks that is repeated: (kind, device, buffers) of each, and how often.
_Stretch = tuple[tuple[tuple[object, ...], ...], int]


@dataclass(frozen=True)
class _SizedProgram:
    """Steps of one buffer with its size formulas: (factor, index of a product) sums."""

    buffer: str
    align_bytes: int
    steps: tuple[Step, ...]
    n_slots: int
    sizes: tuple[tuple[tuple[int, int], ...], ...]

    def bytes_for(self, products: Sequence[int]) -> int:
        align = self.align_bytes
        sizes = []
        for terms in self.sizes:
            size = 0
            for factor, index in terms:
                part = factor * products[index]
                size += part + -part % align
            sizes.append(size)
        return peak_bytes(self.steps, self.n_slots, sizes)


@dataclass(frozen=True)
class _Reserve:
    """Everything that depends on the placement only: programs, and the products they need."""

    programs: tuple[_SizedProgram, ...]
    products: tuple[tuple[str, ...], ...]

    def bytes_for(self, values: Mapping[str, int]) -> dict[str, int]:
        numbers = []
        for symbols in self.products:
            number = 1
            for symbol in symbols:
                number *= values[symbol]
            numbers.append(number)
        return {program.buffer: program.bytes_for(numbers) for program in self.programs}


def compute_bytes(
    inventory: Inventory, machine: Machine, settings: PlanSettings, placement: Placement
) -> Mapping[str, int]:
    """Return the compute buffers in bytes: by GPU name, and ``CPU`` or its pinned buffer type.

    Args:
        inventory: the checkpoint's weights; walks are remembered there.
        machine: the devices.
        settings: what llama.cpp is given.
        placement: of these settings.

    Raises:
        UnknownGraphError: a weight is missing that every graph known here has.
    """
    values = symbol_values(inventory.shape, settings)
    key = _Structure.of(inventory, machine, settings, placement, values)
    known = inventory.remember(("compute",), dict[_Structure, _Reserve | None])
    if key not in known:
        while len(known) >= _MOST_KNOWN:
            known.pop(next(iter(known)))
        try:
            work = _Work(inventory, machine, settings, placement)
            known[key] = _reserve(work, key.stretches, values)
        except UnknownGraphError:
            known[key] = None
    reserve = known[key]
    if reserve is None:
        raise UnknownGraphError(inventory.shape.architecture)
    return reserve.bytes_for(values)


@dataclass(frozen=True)
class _Structure:
    """What a walk depends on; equal structures share it."""

    stretches: tuple[_Stretch, ...]
    output: tuple[str, ...]
    devices: tuple[tuple[object, ...], ...]
    flags: tuple[object, ...]

    @staticmethod
    def of(
        inventory: Inventory,
        machine: Machine,
        settings: PlanSettings,
        placement: Placement,
        values: Mapping[str, int],
    ) -> _Structure:
        kinds = tuple((g.device, g.kind, g.is_unified, g.remote) for g in machine.gpus)
        rows = min(values["tokens"], _OFFLOAD_ROWS), min(values["outputs"], _OFFLOAD_ROWS)
        flags = (
            settings.flash_attn,
            settings.type_k,
            settings.type_v,
            settings.op_offload,
            settings.offload_kqv,
            settings.n_gpu_layers > inventory.shape.n_layer_all,
            bool(settings.overrides),
            settings.devices,
            rows,
        )
        return _Structure(
            stretches=_stretches(inventory, placement),
            output=(*_outside(inventory, placement), placement.output_device),
            devices=kinds,
            flags=flags,
        )


def _getters(inventory: Inventory) -> tuple[tuple[Callable[..., object], object], ...]:
    """Return, per block, what takes its buffers out of a placement, and what kind it is."""

    def look() -> tuple[tuple[Callable[..., object], object], ...]:
        shape = inventory.shape
        indexes: list[list[int]] = [[] for _ in range(shape.n_layer_all)]
        for index, tensor in enumerate(shape.tensors):
            if tensor.layer is not None and tensor.layer < shape.n_layer:
                indexes[tensor.layer].append(index)
        found: list[tuple[Callable[..., object], object]] = []
        for layer, own in enumerate(indexes[: shape.n_layer]):
            names = tuple(_short_name(shape.tensors[index].name) for index in own)
            ratios = shape.kv.compress_ratios
            kind = (names, ratios[layer] if layer < len(ratios) else 0, shape.kv.n_head_kv[layer])
            if not own:
                raise UnknownGraphError(f"blk.{layer}")
            found.append((operator.itemgetter(*own), kind))
        return tuple(found)

    return inventory.remember(("compute_getters",), look)


def _stretches(inventory: Inventory, placement: Placement) -> tuple[_Stretch, ...]:
    """Return the blocks as stretches of alike ones, the last block by itself.

    V4 alternates between two kinds of blocks: a stretch may repeat a pair.
    """
    kinds = inventory.remember(("compute_kinds",), lambda: _kind_numbers(inventory))
    buffers = placement.buffer_of
    keys = [
        (kind, device, getter(buffers))
        for kind, device, (getter, _) in zip(
            kinds, placement.layer_devices, _getters(inventory), strict=False
        )
    ]
    end = len(keys) - 1
    found = []
    at = 0
    while at < end:
        period, times = 1, _repeats(keys, at, 1, end)
        if times == 1 and (pairs := _repeats(keys, at, 2, end)) > 1:
            period, times = 2, pairs
        found.append((tuple(keys[at : at + period]), times))
        at += period * times
    found.append((tuple(keys[end:]), 1))
    return tuple(found)


def _repeats(keys: Sequence[object], at: int, period: int, end: int) -> int:
    """Return how often the ``period`` keys at ``at`` follow each other before ``end``."""
    times, position = 1, at + period
    while position + period <= end and all(
        keys[position + offset] == keys[at + offset] for offset in range(period)
    ):
        times += 1
        position += period
    return times


def _kind_numbers(inventory: Inventory) -> tuple[int, ...]:
    numbers: dict[object, int] = {}
    return tuple(numbers.setdefault(kind, len(numbers)) for _, kind in _getters(inventory))


def _short_name(name: str) -> str:
    """Return ``ffn_up`` for ``blk.3.ffn_up.weight``; biases keep their ending."""
    return name.split(".", 2)[-1].removesuffix(".weight")


def _outside(inventory: Inventory, placement: Placement) -> Iterable[str]:
    tensors = inventory.shape.tensors
    return (
        placement.buffer_of[index]
        for index in inventory.remember(
            ("compute_outside",),
            lambda: tuple(i for i, tensor in enumerate(tensors) if tensor.layer is None),
        )
    )


def _reserve(work: _Work, stretches: Sequence[_Stretch], values: Mapping[str, int]) -> _Reserve:
    """Build the graph, schedule it and note what its sizes need."""
    plan = work.blueprint(stretches)
    if work.asks_for_flash and not attends_in_place(plan, values):
        plan = replace(plan, settings=replace(plan.settings, flash=False))
    is_fusable = plan.shape.kv.kind is AttentionKind.COMPRESSED
    fused = fused_ops(plan, values) if is_fusable else Fused()
    products: dict[tuple[str, ...], int] = {}
    sized = []
    for backend, program in enumerate(schedule(build_graph(plan, fused), plan.backends, values)):
        buffer, align = work.buffer(backend)
        sizes = tuple(_numbered(size, products) for size in program.sizes)
        sized.append(_SizedProgram(buffer, align, tuple(program.steps), program.n_slots, sizes))
    return _Reserve(tuple(sized), tuple(products))


def _numbered(size: Size, products: dict[tuple[str, ...], int]) -> tuple[tuple[int, int], ...]:
    return tuple((factor, products.setdefault(symbols, len(products))) for factor, symbols in size)


class _Work:
    """Translates settings and placement into backends and placed weights."""

    def __init__(
        self,
        inventory: Inventory,
        machine: Machine,
        settings: PlanSettings,
        placement: Placement,
    ) -> None:
        self._inventory = inventory
        self._machine = machine
        self._settings = settings
        self._placement = placement
        self._devices = settings.devices
        self._cpu = len(self._devices)
        self._index = {name: index for index, name in enumerate(self._devices)}

    @property
    def asks_for_flash(self) -> bool:
        """Whether flash attention is used only where every layer's device has it.

        A quantized V needs it, so that it is on then (llama-context.cpp:3851).
        """
        settings = self._settings
        return settings.flash_attn == "auto" and not is_quantized(settings.type_v.upper())

    def backend(self, device: str) -> int:
        """Return the index of a device's backend; everything that is no device is the CPU."""
        return self._index.get(device, self._cpu)

    def buffer(self, backend: int) -> tuple[str, int]:
        """Return a backend's buffer type and its alignment (llama-context.cpp:410)."""
        if backend < self._cpu:
            name = self._devices[backend]
        else:
            first = self._machine.gpu(self._devices[0]) if self._devices else None
            name = host_buffer_of(first) or CPU
        return name, buffer_rule(self._machine, name).align_bytes

    def backends(self) -> Backends:
        """Return the backends; see llama-context.cpp:425 for pipeline parallelism.

        It needs devices that work asynchronously and have events, which all kinds do.
        """
        settings, shape = self._settings, self._inventory.shape
        gpus = [gpu for name in self._devices if (gpu := self._machine.gpu(name))]
        pipelined = (
            len(gpus) > 1
            and settings.n_gpu_layers > shape.n_layer_all
            and settings.offload_kqv
            and not settings.overrides
        )
        has_pinned = is_pinned(self.buffer(self._cpu)[0])
        return Backends(
            gpus=tuple(
                gpu_traits(gpu, shape, settings, has_pinned=has_pinned and index == 0)
                for index, gpu in enumerate(gpus)
            ),
            is_pipelined=pipelined,
            cpu_is_pinned=has_pinned,
        )

    def blueprint(self, stretches: Sequence[_Stretch]) -> Blueprint:
        """Return what the graph is built from."""
        settings = self._settings
        return Blueprint(
            shape=self._inventory.shape,
            settings=GraphSettings(
                flash=settings.flash_attn != "off",
                turns_v=settings.flash_attn == "off",
                type_k=settings.type_k.upper(),
                type_v=settings.type_v.upper(),
                keeps_kv_on_cpu=not settings.offload_kqv,
            ),
            places=self.layer_places(stretches),
            outside=self.outside(),
            backends=self.backends(),
        )

    def _placed(self, index: int, size_bytes: int) -> PlacedWeight:
        buffer = self._placement.buffer_of[index]
        tensor = self._inventory.shape.tensors[index]
        is_host = buffer == CPU or is_pinned(buffer)
        return PlacedWeight(tensor, self.backend(buffer), is_host, size_bytes, is_pinned(buffer))

    def layer_places(self, stretches: Sequence[_Stretch]) -> list[LayerPlace]:
        """Return the first few blocks of every stretch of alike ones."""
        places: list[LayerPlace] = []
        most = self._most_blocks()
        first, last = 0, self._inventory.shape.n_layer - 1
        for keys, times in stretches:
            period = len(keys)
            kept = min(times, most if period == 1 else _KEPT_PAIRS)
            for turn in range(kept):
                for offset in range(period):
                    layer = first + turn * period + offset
                    alike = range(first + offset, first + period * times, period)
                    rest = times - kept if turn == kept - 1 else 0
                    places.append(self._layer_place(layer, rest, alike, is_last=layer == last))
            first += period * times
        return places

    def _most_blocks(self) -> int:
        """Return how many alike blocks to walk.

        Pipelined devices keep all copies; what belongs to one block is copied where attention
        runs on the CPU, so that no block may be left out then.
        """
        backends, shape = self.backends(), self._inventory.shape
        if backends.is_pipelined and not all(gpu.attends for gpu in backends.gpus):
            return shape.n_layer
        return _KEPT_INDEXED_BLOCKS if shape.kv.kind is AttentionKind.DSA else _KEPT_BLOCKS

    def _layer_place(self, layer: int, repeats: int, alike: range, *, is_last: bool) -> LayerPlace:
        sizes = self._inventory.remember(("compute_sizes",), self._block_tensors)
        weights = {}
        for name, (index, size) in sizes[layer].items():
            largest = max(
                (sizes[block][name][1] for block in alike if name in sizes[block]), default=size
            )
            weights[name] = self._placed(index, largest)
        backend = self.backend(self._placement.layer_devices[layer])
        return LayerPlace(
            layer=layer,
            repeats=repeats,
            backend=backend,
            cache=backend if self._settings.offload_kqv else self._cpu,
            weights=weights,
            is_last=is_last,
        )

    def _block_tensors(self) -> tuple[dict[str, tuple[int, int]], ...]:
        shape: ModelShape = self._inventory.shape
        blocks: list[dict[str, tuple[int, int]]] = [{} for _ in range(shape.n_layer_all)]
        for index, tensor in enumerate(shape.tensors):
            if tensor.layer is not None and tensor.layer < shape.n_layer_all:
                blocks[tensor.layer][_short_name(tensor.name)] = (index, tensor.size_bytes)
        return tuple(blocks)

    def outside(self) -> dict[str, PlacedWeight]:
        """Return the weights outside of blocks; a tied embedding is also ``output``."""
        shape = self._inventory.shape
        found = {}
        for index, tensor in enumerate(shape.tensors):
            if tensor.layer is None:
                found[tensor.name.removesuffix(".weight")] = self._placed(index, tensor.size_bytes)
        if "output" not in found and "token_embd" in found:
            tied = found["token_embd"]
            output = self.backend(self._placement.output_device)
            found["output"] = PlacedWeight(tied.tensor, output, tied.is_host, tied.size_bytes)
        return found
