"""What each layer takes on a device, for laying them out. Pure, no Qt here."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from models.planner.buffer_rules import gpu_rule
from models.planner.inventory import EXPERT_PARTS, BufferRule, Inventory, Part, allocated_sum
from models.planner.kv_cache import kv_cache_bytes
from models.planner.layout import LayerLoad
from models.planner.machine import Gpu, Machine
from models.planner.plan import PlanSettings
from models.planner.rates import Rates
from models.planner.wishes import Wishes


class LayerLoads:
    """The loads of one checkpoint's layers on one machine.

    Args:
        inventory: the checkpoint.
        machine: the machine.
        wishes: fixed overrides say which tensors a layer does not take along.
    """

    def __init__(self, inventory: Inventory, machine: Machine, wishes: Wishes) -> None:
        self._inventory = inventory
        self._machine = machine
        self._wishes = wishes
        self._known: dict[tuple[object, ...], list[LayerLoad]] = {}
        self._known_speeds: dict[tuple[str, ...], tuple[float, ...]] = {}

    def of(self, draft: PlanSettings) -> list[LayerLoad]:
        """Return every block with its share of the KV cache, and the output layer as the last."""
        first, last = draft.devices[0], draft.devices[-1]
        key = (first, last, draft.n_ctx, draft.type_k, draft.type_v, draft.n_ubatch)
        if key not in self._known:
            output = LayerLoad(self._output_bytes(self._gpu(last)), {})
            self._known[key] = [*self._blocks(draft, self._gpu(first)), output]
        return self._known[key]

    def speeds(self, devices: tuple[str, ...]) -> tuple[float, ...]:
        """Return how fast each device reads its own memory, in bytes per second."""
        if devices not in self._known_speeds:
            rates = Rates(self._machine, PlanSettings(n_ctx=1))
            self._known_speeds[devices] = tuple(
                rates.gpu_memory(self._gpu(device)).mid for device in devices
            )
        return self._known_speeds[devices]

    def _gpu(self, device: str) -> Gpu:
        gpu = self._machine.gpu(device)
        assert gpu is not None
        return gpu

    def _blocks(self, draft: PlanSettings, gpu: Gpu) -> Sequence[LayerLoad]:
        shape, rule = self._inventory.shape, gpu_rule(gpu)
        kv = kv_cache_bytes(
            self._inventory, self._machine, draft, (gpu.device,) * shape.n_layer_all
        )
        kv_bytes = -(-sum(kv.values()) // max(shape.n_layer, 1))
        loads = []
        for layer, parts in enumerate(self._inventory.layer_bytes(rule)):
            experts = {part: parts[part] for part in EXPERT_PARTS if part in parts}
            trunk = sum(parts.values()) - sum(experts.values())
            if self._wishes.overrides is not None:
                # What goes elsewhere is fixed, experts or not.
                trunk, experts = self._left_bytes(layer, rule), {}
            # MTP blocks are counted as layers and not loaded.
            is_loaded = layer < shape.n_layer
            loads.append(LayerLoad(trunk + kv_bytes, experts) if is_loaded else LayerLoad(0, {}))
        return loads

    def _left_bytes(self, layer: int, rule: BufferRule) -> int:
        """Return what fixed overrides leave of a layer on its own device."""
        return sum(
            allocated_sum(tuple(t for t in tensors if t.name not in self._overridden), rule)
            for tensors in self._inventory.layers[layer].values()
        )

    @functools.cached_property
    def _overridden(self) -> frozenset[str]:
        """Names of the tensors that fixed overrides place."""
        tensors, matching = self._inventory.shape.tensors, self._inventory.matching
        return frozenset(
            tensors[index].name
            for override in self._wishes.overrides or ()
            for index in matching(override.pattern)
        )

    def _output_bytes(self, gpu: Gpu) -> int:
        rule = gpu_rule(gpu)
        total = self._inventory.outside_bytes(Part.OUTPUT, rule)
        total += self._inventory.outside_bytes(Part.ROPE, rule)
        if self._inventory.shape.has_tied_embeddings:
            tensors = self._inventory.outside.get(Part.INPUT, ())
            total += allocated_sum(
                tuple(tensor for tensor in tensors if tensor.name == "token_embd.weight"), rule
            )
        return total
