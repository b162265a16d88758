"""Lays a checkpoint's layers and experts out over devices of given room. Pure, no Qt here.

Layers go to devices in their order (llama.cpp can do nothing else); of each layer the routed
experts may stay behind in RAM, tensor by tensor. Attention, dense and shared parts come first: they
are read for every token, of the experts only ``n_expert_used / n_expert``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.planner.inventory import EXPERT_PARTS, Part
from models.planner.plan import CPU, Override

# common/common.h, LLM_FFN_EXPS_REGEX: every name that llama.cpp gives to routed experts.
_ALL_EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
_EXPERT_NAMES = {Part.GATE: "gate|gate_up", Part.UP: "up", Part.DOWN: "down"}

# Devices are taken for equally fast from this share of the faster's bandwidth on.
_ALIKE_SHARE = 0.8
_BISECTIONS = 9

Expert = tuple[int, Part]


@dataclass(frozen=True)
class LayerLoad:
    """What a layer takes, in bytes: with its KV cache but without experts, and its experts."""

    trunk_bytes: int
    experts: Mapping[Part, int]

    @property
    def expert_bytes(self) -> int:
        """All routed experts of the layer."""
        return sum(self.experts.values())


@dataclass(frozen=True)
class Layout:
    """Where everything goes.

    Attributes:
        n_gpu_layers: layers on devices, the output layer counted.
        counts: how many of them each device takes, in order.
        on_gpu: routed experts that lie beside their layer on a device.
    """

    n_gpu_layers: int
    counts: tuple[int, ...]
    on_gpu: frozenset[Expert]

    def layers_of(self, index: int, n_layer_all: int) -> range:
        """Return the blocks (the output layer may be the last) of one device."""
        start = n_layer_all + 1 - self.n_gpu_layers
        first = start + sum(self.counts[:index])
        return range(first, first + self.counts[index])


def spread(
    loads: Sequence[float], rooms: Sequence[int], speeds: Sequence[float] = ()
) -> tuple[int, ...] | None:
    """Cut a row of layers into one stretch per device; None: no room.

    Devices of one speed are filled alike, slower ones only with what the faster cannot take.

    Args:
        loads: bytes of each layer in order.
        rooms: bytes that each device has.
        speeds: of each device, in any unit; empty: all alike.
    """
    caps = [1.0] * len(rooms)
    counts = _stretches(loads, rooms, caps)
    if counts is None:
        return None
    for group in reversed(speed_groups(speeds or [1.0] * len(rooms))):
        low, high = 0.0, 1.0
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            tried = _stretches(
                loads, rooms, [middle if k in group else cap for k, cap in enumerate(caps)]
            )
            if tried is None:
                low = middle
            else:
                high, counts = middle, tried
        caps = [high if k in group else cap for k, cap in enumerate(caps)]
    return counts


def speed_groups(speeds: Sequence[float]) -> list[list[int]]:
    """Return the indexes of devices about as fast as each other, the fastest first."""
    groups: list[list[int]] = []
    for index in sorted(range(len(speeds)), key=lambda index: -speeds[index]):
        if groups and speeds[index] >= _ALIKE_SHARE * speeds[groups[-1][0]]:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def spread_with_experts(loads: Sequence[LayerLoad], rooms: Sequence[int]) -> tuple[int, ...] | None:
    """Cut layers so that each device can take the same share of its own layers' experts.

    Experts lie beside their layer or in RAM: a device with too few layers would stay empty.
    """
    found = spread([load.trunk_bytes for load in loads], rooms)
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS if found is not None and len(rooms) > 1 else 0):
        share = (low + high) / 2
        sizes = [load.trunk_bytes + share * load.expert_bytes for load in loads]
        tried = _stretches(sizes, rooms, [1.0] * len(rooms))
        if tried is None:
            high = share
        else:
            low, found = share, tried
    return found


def _stretches(
    loads: Sequence[float], rooms: Sequence[int], caps: Sequence[float]
) -> tuple[int, ...] | None:
    counts = [0] * len(rooms)
    device, left = 0, rooms[0] * caps[0]
    for load in loads:
        while load > left:
            device += 1
            if device == len(rooms):
                return None
            left = rooms[device] * caps[device]
        left -= load
        counts[device] += 1
    return tuple(counts)


def cut_by_shares(count: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Cut ``count`` layers by shares, as llama.cpp does (src/llama-model.cpp:1597)."""
    total = float(sum(shares)) or 1.0
    counts = [0] * len(shares)
    bounds = [sum(shares[: index + 1]) / total for index in range(len(shares))]
    for layer in range(count):
        device = next(
            (k for k, bound in enumerate(bounds) if bound > layer / count), len(shares) - 1
        )
        counts[device] += 1
    return tuple(counts)


def as_many_as_fit(
    loads: Sequence[float], rooms: Sequence[int], speeds: Sequence[float] = ()
) -> tuple[int, ...]:
    """Return the layers per device for the longest end of ``loads`` that finds room."""
    low, high = 0, len(loads)
    while low < high:
        middle = (low + high + 1) // 2
        if _stretches(loads[len(loads) - middle :], rooms, [1.0] * len(rooms)) is None:
            high = middle - 1
        else:
            low = middle
    found = spread(loads[len(loads) - low :], rooms, speeds) if low else None
    return found or (0,) * len(rooms)


def choose_experts(
    layers: Sequence[int], loads: Sequence[LayerLoad], room_bytes: int, *, by_tensor: bool = True
) -> frozenset[Expert]:
    """Fill a device's room with the experts of its own layers, the first layers first.

    What remains is filled with single tensors of the next layer, if ``by_tensor``: such a layer
    changes between device and processor, which costs more than small tensors are worth.
    """
    chosen: set[Expert] = set()
    for layer in layers:
        experts = loads[layer].experts
        if not experts:
            continue
        if loads[layer].expert_bytes > room_bytes:
            if by_tensor:
                chosen |= {(layer, part) for part in _best_parts(experts, room_bytes)}
            break
        room_bytes -= loads[layer].expert_bytes
        chosen |= {(layer, part) for part in experts}
    return frozenset(chosen)


def _best_parts(experts: Mapping[Part, int], room_bytes: int) -> tuple[Part, ...]:
    """Return the parts of one layer that use a room best."""
    best: tuple[Part, ...] = ()
    best_bytes = 0
    for size in range(1, len(experts) + 1):
        for parts in itertools.combinations(experts, size):
            total = sum(experts[part] for part in parts)
            if best_bytes < total <= room_bytes:
                best, best_bytes = parts, total
    return best


def spread_experts(
    wanted: int, loads: Sequence[LayerLoad], layers: Sequence[range], rooms: Sequence[int]
) -> frozenset[Expert]:
    """Put the experts of exactly ``wanted`` layers on devices, by the room that each has.

    The number is the user's: where there is too little room, the device with the most left is
    overfilled and the plan says that it does not fit.
    """
    waiting = [[i for i in own if i < len(loads) and loads[i].experts] for own in layers]
    left = list(rooms)
    chosen: set[Expert] = set()
    for _ in range(wanted):
        open_devices = [index for index, rest in enumerate(waiting) if rest]
        if not open_devices:
            break
        device = max(open_devices, key=lambda index: left[index])
        layer = waiting[device].pop(0)
        left[device] -= loads[layer].expert_bytes
        chosen |= {(layer, part) for part in loads[layer].experts}
    return frozenset(chosen)


def overrides_for(
    on_gpu: frozenset[Expert], expert_parts: Mapping[int, Sequence[Part]]
) -> tuple[Override, ...]:
    """Return the patterns that keep all other experts in RAM.

    Args:
        on_gpu: experts that stay with their layer.
        expert_parts: the expert parts of every layer that has some.
    """
    behind: dict[tuple[Part, ...], list[int]] = {}
    for layer, parts in expert_parts.items():
        rest = tuple(part for part in EXPERT_PARTS if part in parts and (layer, part) not in on_gpu)
        if rest:
            behind.setdefault(rest, []).append(layer)
    if not behind:
        return ()
    if not on_gpu:
        return (Override(_ALL_EXPERTS, CPU),)
    return tuple(
        Override(_pattern(layers, parts, complete=set(parts) == set(expert_parts[layers[0]])), CPU)
        for parts, layers in behind.items()
    )


def is_partly(override: Override) -> bool:
    """Whether an override of ``overrides_for`` leaves single tensors of a layer behind."""
    return not override.pattern.endswith(_ALL_EXPERTS)


def _pattern(layers: Sequence[int], parts: Sequence[Part], *, complete: bool) -> str:
    numbers = "|".join(str(layer) for layer in layers)
    blocks = rf"blk\.({numbers})" if len(layers) > 1 else rf"blk\.{numbers}"
    if complete:
        return rf"^{blocks}{_ALL_EXPERTS}"
    names = "|".join(_EXPERT_NAMES[part] for part in parts)
    return rf"^{blocks}\.ffn_({names})_(ch|)exps"
