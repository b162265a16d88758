"""Which device and which buffer every tensor gets, as llama.cpp decides it. Pure, no Qt here.

src/llama-model.cpp:1560-1614 (layers to devices) and src/llama-model-loader.cpp:1100-1290
(``create_tensor``: overrides and buffer types).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.errors import BadInputError
from models.gguf.shape import ModelShape
from models.planner.buffer_rules import (
    AMX,
    CPU_RULE,
    buffer_rule,
    device_of_buffer,
    gpu_rule,
    host_buffer_of,
    host_gpu,
    maps_file,
    refused_types,
)
from models.planner.inventory import BufferRule, Inventory, Part
from models.planner.machine import GpuKind, Machine
from models.planner.plan import CPU, PlanSettings
from models.planner.repack import WeightOp, amx_sizes, extra_buffer, extra_buffers, op_of

ATTENTION, DENSE, SHARED, ROUTED = "attention", "dense", "shared", "routed"
PART_NAMES = (ATTENTION, DENSE, SHARED, ROUTED)
_NAME_OF_PART = {
    Part.ATTENTION: ATTENTION,
    Part.SHARED: SHARED,
    Part.GATE: ROUTED,
    Part.UP: ROUTED,
    Part.DOWN: ROUTED,
}
# Homes of tensors beside the numbers of blocks (and one more, which is the output layer's).
_INPUT, _SKIPPED, _ROPE = -1, -2, -3


@dataclass(frozen=True)
class Placement:
    """Where all weights go under some settings.

    Attributes:
        layer_devices: device of every block, ``CPU`` or a ggml name.
        output_device: device of the output layer.
        buffer_of: buffer type per tensor of the shape, empty for tensors that are not loaded.
        device_of: device that computes with it, per tensor, empty likewise.
        duplicates: further copies that llama.cpp makes: (tensor, buffer type).
        weights: allocated bytes per buffer type, copies and padding included.
        parts: the same bytes per device, by ``attention``, ``dense``, ``shared``, ``routed``.
        maps_file: whether weights may be used in place in the file's pages.
        mapped_bytes: bytes of weights used in place.
        loaded_bytes: bytes of all weights that are read, copies not counted.
    """

    layer_devices: tuple[str, ...]
    output_device: str
    buffer_of: tuple[str, ...]
    device_of: tuple[str, ...]
    duplicates: tuple[tuple[int, str], ...]
    weights: Mapping[str, int]
    parts: Mapping[str, Mapping[str, int]]
    maps_file: bool
    mapped_bytes: int
    loaded_bytes: int


def place(inventory: Inventory, machine: Machine, settings: PlanSettings) -> Placement:
    """Return where llama.cpp puts every tensor.

    Raises:
        BadInputError: a device is unknown, or an override is no regular expression.
    """
    layer_devices, output_device = layers_to_devices(inventory.shape, machine, settings)
    placing = _Placing(inventory, machine, settings, (*layer_devices, output_device))
    buffers, moved = placing.buffers()
    duplicates = placing.duplicates(buffers)
    by_buffer = placing.sums(moved, duplicates)
    device_of = {buffer: device_of_buffer(machine, buffer) for buffer in set(buffers)} | {"": ""}
    return Placement(
        layer_devices=layer_devices,
        output_device=output_device,
        buffer_of=tuple(buffers),
        device_of=tuple(map(device_of.__getitem__, buffers)),
        duplicates=duplicates,
        weights={buffer: sum(sums) for buffer, sums in by_buffer.items()},
        parts=_parts_by_device(machine, by_buffer),
        maps_file=placing.maps_file,
        mapped_bytes=_mapped_bytes(inventory, machine, buffers) if placing.maps_file else 0,
        loaded_bytes=_loaded_bytes(inventory),
    )


def layers_to_devices(
    shape: ModelShape, machine: Machine, settings: PlanSettings
) -> tuple[tuple[str, ...], str]:
    """Return the device of every block and of the output layer (llama-model.cpp:1560-1614).

    The arithmetic is that of 32-bit floats: a layer at the edge of two shares goes where
    llama.cpp's rounding puts it.

    Raises:
        BadInputError: a device is unknown.
    """
    n_all, devices = shape.n_layer_all, settings.devices
    edges = split_edges(machine, settings)
    start = max(n_all + 1 - settings.n_gpu_layers, 0)
    active = min(settings.n_gpu_layers, n_all + 1) if devices else 0
    found = []
    for layer in range(n_all + 1):
        if layer < start or layer - start >= active:
            found.append(CPU)
        else:
            edge = bisect_right(edges, _float32((layer - start) / active))
            found.append(devices[min(edge, len(devices) - 1)])
    return tuple(found[:n_all]), found[n_all]


def split_edges(machine: Machine, settings: PlanSettings) -> tuple[float, ...]:
    """Return where the share of each device ends, 0 to 1 (llama-model.cpp:1556-1587).

    Without ``tensor_split`` the shares are the devices' free memory.

    Raises:
        BadInputError: a device is unknown.
    """
    shares = [*settings.tensor_split, *(0.0 for _ in settings.devices)][: len(settings.devices)]
    if not any(shares):
        shares = [_free_bytes(machine, device) for device in settings.devices]
    ends, total = [], 0.0
    for share in shares:
        total = _float32(total + _float32(share))
        ends.append(total)
    return tuple(_float32(end / total) if total else 1.0 for end in ends)


def _free_bytes(machine: Machine, device: str) -> float:
    gpu = machine.gpu(device)
    if gpu is None:
        raise BadInputError(
            f"This machine has no device named {device!r}.",
            hint=f"It has {', '.join(g.device for g in machine.gpus) or 'no GPU'}.",
        )
    if gpu.free_bytes == 0 and gpu.total_bytes == 0:
        return float(machine.ram.available_bytes)
    return float(gpu.free_bytes)


def cpu_rule(machine: Machine, settings: PlanSettings) -> BufferRule:
    """Return the layout of weights in the CPU's plain buffers.

    Mapped weights have none, they lie in the file as it is. They are counted as the dry run counts
    them, which cannot map: in the host buffers whose place the file's pages take.
    """
    gpu = None if settings.no_host else host_gpu(machine, settings.devices)
    name = host_buffer_of(gpu)
    if name is None or not maps_file(machine, settings.devices, settings.load_mode):
        return CPU_RULE
    return buffer_rule(machine, name)


def _float32(value: float) -> float:
    """Round as a C float does; sums and quotients of floats are exact enough in a double."""
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


class _Placing:
    """One run of llama.cpp's choice of buffer types."""

    def __init__(
        self,
        inventory: Inventory,
        machine: Machine,
        settings: PlanSettings,
        devices: tuple[str, ...],
    ) -> None:
        self._inventory = inventory
        self._machine = machine
        self._homes = _homes(inventory)
        self._targets = _override_targets(inventory, machine, settings)
        # Of every home; ends of lists are read by negative numbers: _INPUT, _SKIPPED and _ROPE.
        self._devices = devices
        self._by_home = (*devices, devices[0], "", CPU)
        self._features = machine.cpu.features if settings.use_extra_bufts else ()
        self.maps_file = maps_file(machine, settings.devices, settings.load_mode)
        # make_cpu_buft_list (llama-model.cpp:1078): the host buffer takes every weight, so that
        # nothing is left for the extra types; with mmap it is replaced by the plain type
        # afterwards (llama-model-loader.cpp:1269).
        gpu = None if settings.no_host else host_gpu(machine, settings.devices)
        self._host = CPU if gpu and self.maps_file else host_buffer_of(gpu)
        self._host_refuses = refused_types(gpu)
        self._cpu_rule = cpu_rule(machine, settings)

    def buffers(self) -> tuple[list[str], dict[int, tuple[str, str]]]:
        """Return the buffer type of every tensor, of ``rope_freqs`` the first copy's.

        And which tensors do not lie with their home, from which buffer type to which.
        """
        on_cpu, by_home = self._cpu_buffers(), self._by_home
        found = [
            name if (name := by_home[home]) != CPU else plain
            for home, plain in zip(self._homes, on_cpu, strict=True)
        ]
        targets = {
            index: CPU
            for index in _ternary(self._inventory)
            if self._inventory.shape.tensors[index].type_name
            in refused_types(self._machine.gpu(found[index]))
        }
        moved: dict[int, tuple[str, str]] = {}
        for index, target in (targets | self._targets).items():
            buffer = on_cpu[index] if target == CPU else target
            if found[index] not in ("", buffer):
                moved[index] = (found[index], buffer)
                found[index] = buffer
        return found, moved

    def sums(
        self, moved: Mapping[int, tuple[str, str]], duplicates: Sequence[tuple[int, str]]
    ) -> dict[str, list[int]]:
        """Return the bytes of every buffer type that holds something, by part.

        Sums of whole homes are added up, then single tensors moved: a placement takes a
        millisecond instead of several.
        """
        total: dict[str, list[int]] = {}
        sums_of = {name: self._home_sums(name) for name in set(self._by_home) if name}
        for home, name in enumerate(self._by_home):
            for buffer, parts in sums_of[name][home].items() if name else ():
                own = total.setdefault(buffer, [0] * len(PART_NAMES))
                for part, size in enumerate(parts):
                    own[part] += size
        part_of = _part_indexes(self._inventory)
        involved = {name for pair in moved.values() for name in pair}
        sizes = {name: self._sizes(name) for name in involved}
        for index, (source, target) in moved.items():
            own = total.setdefault(target, [0] * len(PART_NAMES))
            own[part_of[index]] += sizes[target][index]
            total[source][part_of[index]] -= sizes[source][index]
        for index, name in duplicates:
            own = total.setdefault(name, [0] * len(PART_NAMES))
            own[part_of[index]] += self._sizes(name)[index]
        return {name: sums for name, sums in total.items() if any(sums)}

    def _home_sums(self, device: str) -> tuple[Mapping[str, list[int]], ...]:
        """Return, per home, what it takes when it is on a device: buffer type -> bytes by part."""

        def look() -> tuple[Mapping[str, list[int]], ...]:
            found: list[dict[str, list[int]]] = [{} for _ in self._by_home]
            part_of = _part_indexes(self._inventory)
            names = on_cpu if device == CPU else [device] * len(self._homes)
            sizes = {name: self._sizes(name) for name in dict.fromkeys(names)}
            for index, (home, name) in enumerate(zip(self._homes, names, strict=True)):
                own = found[home].setdefault(name, [0] * len(PART_NAMES))
                own[part_of[index]] += sizes[name][index]
            return tuple(found)

        if device != CPU:
            gpu = self._machine.gpu(device)
            rule = gpu_rule(gpu) if gpu else CPU_RULE
            return self._inventory.remember(("home_sums", device, rule), look)
        on_cpu = self._cpu_buffers()
        key = ("home_sums", self._host, self._host_refuses, self._features, self._cpu_rule)
        return self._inventory.remember(key, look)

    def _sizes(self, buffer: str) -> Sequence[int]:
        """Return, per tensor, what it takes in a buffer type."""
        if buffer == AMX:
            return amx_sizes(self._inventory)
        rule = self._cpu_rule if buffer == CPU else buffer_rule(self._machine, buffer)
        return self._inventory.allocated(rule)

    def _cpu_buffers(self) -> Sequence[str]:
        """Return, per tensor, the buffer type it gets on the CPU."""
        host, refused = self._host, self._host_refuses

        def look() -> tuple[str, ...]:
            plain = [extra or CPU for extra in extra_buffers(self._inventory, self._features)]
            if not host:
                return tuple(plain)
            ternary = set(_ternary(self._inventory)) if refused else set()
            return tuple(name if i in ternary else host for i, name in enumerate(plain))

        return self._inventory.remember(("cpu_buffers", host, refused, self._features), look)

    def duplicates(self, buffers: Sequence[str]) -> tuple[tuple[int, str], ...]:
        """Return the copies of tied embeddings and of ``rope_freqs`` in further buffers."""
        copies = []
        index = self._inventory.embedding_index
        if index is not None and self._inventory.shape.has_tied_embeddings:
            buffer = self._output_buffer(index)
            if buffer != buffers[index]:
                copies.append((index, buffer))
        for index in self._inventory.rope_indexes:
            if index not in self._targets:
                blocks = self._devices[: self._inventory.shape.n_layer]
                plain = self._host or CPU
                wanted = dict.fromkeys(plain if name == CPU else name for name in blocks)
                copies += [(index, name) for name in wanted if name != buffers[index]]
        return tuple(copies)

    def _output_buffer(self, index: int) -> str:
        """Return where a tied token embedding goes as the output layer's weight."""
        device = self._targets.get(index, self._devices[-1])
        if device != CPU:
            return device
        if self._host:
            return self._host
        tensor = self._inventory.shape.tensors[index]
        taken = extra_buffer(
            WeightOp.MUL_MAT, tensor.type_name, tensor.shape, frozenset(self._features)
        )
        return taken or CPU


def _ternary(inventory: Inventory) -> tuple[int, ...]:
    """Return the indexes of weights that not every GPU multiplies with."""
    products = (WeightOp.MUL_MAT, WeightOp.MUL_MAT_ID)
    return inventory.remember(
        ("ternary",),
        lambda: tuple(
            index
            for index, tensor in enumerate(inventory.shape.tensors)
            if tensor.type_name.startswith("TQ") and op_of(tensor.name) in products
        ),
    )


def _homes(inventory: Inventory) -> tuple[int, ...]:
    """Return, per tensor, its block, or the number behind the last for the output layer."""

    def look() -> tuple[int, ...]:
        return tuple(_home(inventory.shape, index, inventory) for index in range(len(tensors)))

    tensors = inventory.shape.tensors
    return inventory.remember(("homes",), look)


def _home(shape: ModelShape, index: int, inventory: Inventory) -> int:
    tensor, part = shape.tensors[index], inventory.parts[index]
    if part is Part.ROPE:
        return _ROPE
    if part is Part.INPUT:
        return _INPUT
    if tensor.layer is None:
        return shape.n_layer_all
    if tensor.layer < shape.n_layer:
        return tensor.layer
    # MTP blocks are skipped without load_mtp, but deepseek32.cpp:121 forgets to say so of the
    # router's bias.
    forgotten = shape.architecture == "deepseek32" and tensor.name.endswith(".exp_probs_b.bias")
    return tensor.layer if forgotten and tensor.layer < shape.n_layer_all else _SKIPPED


def _override_targets(
    inventory: Inventory, machine: Machine, settings: PlanSettings
) -> dict[int, str]:
    """Return the device of every overridden tensor; the first pattern that is found wins."""
    targets: dict[int, str] = {}
    for override in reversed(settings.overrides):
        if override.device != CPU:
            _free_bytes(machine, override.device)
        targets.update(dict.fromkeys(inventory.matching(override.pattern), override.device))
    return targets


def _part_indexes(inventory: Inventory) -> tuple[int, ...]:
    """Return, per tensor, the index of its part in ``PART_NAMES``."""
    return inventory.remember(
        ("part_indexes",),
        lambda: tuple(PART_NAMES.index(_NAME_OF_PART.get(p, DENSE)) for p in inventory.parts),
    )


def _parts_by_device(
    machine: Machine, by_buffer: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, int]]:
    parts: dict[str, dict[str, int]] = {}
    for buffer, sums in by_buffer.items():
        total = parts.setdefault(device_of_buffer(machine, buffer), dict.fromkeys(PART_NAMES, 0))
        for name, size in zip(PART_NAMES, sums, strict=True):
            total[name] += size
    return parts


def _loaded_bytes(inventory: Inventory) -> int:
    return inventory.remember(
        ("loaded_bytes",),
        lambda: sum(
            tensor.size_bytes
            for tensor, home in zip(inventory.shape.tensors, _homes(inventory), strict=True)
            if home != _SKIPPED
        ),
    )


def _mapped_bytes(inventory: Inventory, machine: Machine, buffers: Sequence[str]) -> int:
    """Return the bytes of weights that are used in the file's pages.

    The CPU's plain buffers, and those of Metal, which maps host memory into the GPU
    (``buffer_from_host_ptr``, llama-model.cpp:1854).
    """
    metal = {gpu.device for gpu in machine.gpus if gpu.kind is GpuKind.METAL}
    in_place = metal | {CPU}
    return sum(
        tensor.size_bytes
        for tensor, buffer in zip(inventory.shape.tensors, buffers, strict=True)
        if buffer in in_place
    )
