"""Turns a draft of settings into the fullest placement that fits. Pure, no Qt here.

A draft says everything but the placement. Filling lays it out (layout.py), asks the account what
that takes, and moves what is too much or what found room, a few times: compute buffers depend on
the placement and the placement on them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.gguf.shape import Role
from models.planner.account import account, planned_buffers
from models.planner.buffer_rules import maps_file
from models.planner.compute_rough import close_compute_bytes, rough_compute_bytes
from models.planner.drafts import draft_of
from models.planner.inventory import EXPERT_PARTS, Inventory
from models.planner.layer_loads import LayerLoads
from models.planner.layout import (
    Expert,
    LayerLoad,
    Layout,
    as_many_as_fit,
    choose_experts,
    cut_by_shares,
    overrides_for,
    spread,
    spread_experts,
    spread_with_experts,
)
from models.planner.machine import GpuKind, Machine
from models.planner.placement import Placement, place
from models.planner.plan import CPU, Memory, PlanSettings
from models.planner.wishes import Wishes

# By kind of placement and buffer: how many bytes more a compute buffer takes than roughly thought.
RoughErrors = dict[Hashable, dict[str, int]]

_ROUNDS = 5
# What a device keeps for compute before the account has said how much it is.
_FIRST_RESERVE_BYTES = 512 * 2**20
# Room that is not worth another round.
_SMALL_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Offsets:
    """How many bytes more than all formulas say llama.cpp takes, by device.

    Attributes:
        by_draft: for drafts (``draft_of``) that it was asked about.
        otherwise: for all others.
    """

    by_draft: Mapping[PlanSettings, Mapping[str, int]] = field(default_factory=dict)
    otherwise: Mapping[str, int] = field(default_factory=dict)

    def of(self, settings: PlanSettings) -> Mapping[str, int]:
        """Return what settings take more; below 0: less."""
        return self.by_draft.get(draft_of(settings), self.otherwise)


@dataclass(frozen=True)
class Filled:
    """A draft with its placement and account.

    Attributes:
        excess: bytes by which each device is over its budget, only those that are.
    """

    settings: PlanSettings
    placement: Placement
    memory: Memory
    excess: Mapping[str, int]

    @property
    def fits(self) -> bool:
        """Whether everything stays within its budget."""
        return not self.excess

    @property
    def excess_bytes(self) -> int:
        """All devices' excess together."""
        return sum(self.excess.values())


class Filling:
    """Fills drafts for one checkpoint on one machine.

    Args:
        inventory: the checkpoint.
        machine: the machine.
        wishes: what is fixed of the placement.
        budgets: bytes that may be used by device.
        errors: what is known of rough compute buffers' errors; grows with every close look.
        offsets: what of the budgets is kept free besides, for some drafts.
    """

    def __init__(
        self,
        inventory: Inventory,
        machine: Machine,
        wishes: Wishes,
        budgets: Mapping[str, int],
        *,
        errors: RoughErrors,
        offsets: Offsets,
    ) -> None:
        self._errors = errors
        self._offsets = offsets
        self._inventory = inventory
        self._machine = machine
        self._wishes = wishes
        self._budgets = budgets
        self._by_tensor = True
        self._loads = LayerLoads(inventory, machine, wishes)
        self._unified = frozenset(gpu.device for gpu in machine.gpus if gpu.is_unified)
        self._expert_parts = {
            layer: tuple(part for part in EXPERT_PARTS if part in inventory.layers[layer])
            for layer in inventory.expert_layers
        }
        self._expert_indexes: dict[int, list[int]] = {}
        for index, tensor in enumerate(inventory.shape.tensors):
            if tensor.role is Role.ROUTED_EXPERT and tensor.layer is not None:
                self._expert_indexes.setdefault(tensor.layer, []).append(index)

    def fill(self, draft: PlanSettings, *, by_tensor: bool = True) -> Filled:
        """Return the fullest placement that fits, or the one that misses by least.

        Without ``by_tensor`` the experts of a layer stay together.
        """
        self._by_tensor = by_tensor
        if not draft.devices:
            overrides = self._wishes.overrides or ()
            return self.measured(
                replace(draft, n_gpu_layers=0, tensor_split=(), overrides=overrides)
            )
        whole = self._settle(draft, whole=True) if self._may_hold_everything(draft) else None
        if whole is not None and whole.fits:
            return whole
        if not self._expert_parts and whole is not None and self._fixes_placement:
            return whole
        return self._settle(draft, whole=False)

    @property
    def _fixes_placement(self) -> bool:
        wishes = self._wishes
        return wishes.n_gpu_layers is not None and wishes.tensor_split is not None

    # --- one layout after the other -------------------------------------------------------------

    def _settle(self, draft: PlanSettings, *, whole: bool) -> Filled:
        """Lay out, see what each device takes beside its layers, lay out again with that free."""
        reserves = dict.fromkeys(draft.devices, _FIRST_RESERVE_BYTES)
        floors: dict[str, int] = dict.fromkeys(draft.devices, 0)
        best: Filled | None = None
        for _ in range(_ROUNDS):
            settings, laid = self._laid_out(draft, reserves, whole=whole)
            filled = self.measured(settings)
            if best is None or _is_better(filled, best):
                best = filled
            needed = self._beside(filled, laid, reserves, floors)
            if self._is_settled(filled, needed, reserves):
                break
            reserves = needed
        assert best is not None
        return best

    def _beside(
        self,
        filled: Filled,
        laid: Mapping[str, int],
        reserves: Mapping[str, int],
        floors: dict[str, int],
    ) -> dict[str, int]:
        """Return what each device needs beside the layers and experts that were laid out.

        What was needed by a layout that did not fit is kept free from then on (``floors``).
        """
        used = {device.name: device.used_bytes for device in filled.memory.devices}
        needed = {}
        too_much_ram = filled.excess.get(CPU, 0)
        for name, laid_bytes in laid.items():
            beside = max(used[name] - laid_bytes, 0)
            if too_much_ram and name in self._unified:
                # As pages of the file the same weights could be dropped.
                floors[name] = max(floors[name], reserves[name]) + too_much_ram
            elif name in filled.excess:
                floors[name] = max(floors[name], beside)
            needed[name] = max(beside, floors[name])
        return needed

    def _is_settled(
        self, filled: Filled, needed: Mapping[str, int], reserves: Mapping[str, int]
    ) -> bool:
        if self._wishes.overrides is not None and self._fixes_placement:
            return True
        if not filled.fits:
            return all(needed[name] <= reserves[name] for name in needed)
        settings = filled.settings
        is_whole = settings.n_gpu_layers > self._inventory.shape.n_layer_all
        if is_whole and not settings.overrides:
            return True
        return all(abs(needed[name] - reserves[name]) < _SMALL_BYTES for name in needed)

    def measured(self, settings: PlanSettings, *, closely: bool = False) -> Filled:
        """Place and account for settings as they are.

        Compute buffers are rough, set right by what ``closely`` worked out before for a placement
        of the same kind.
        """
        placement = place(self._inventory, self._machine, settings)
        rough = rough_compute_bytes(self._inventory, self._machine, settings, placement)
        known = self._known_errors(settings, placement)
        if closely:
            close = close_compute_bytes(self._inventory, self._machine, settings, placement)
            known.clear()
            known.update({name: close[name] - rough.get(name, 0) for name in close})
        compute = {name: max(size + known.get(name, 0), 0) for name, size in rough.items()}
        compute |= {name: size for name, size in known.items() if name not in rough}
        buffers = planned_buffers(
            self._inventory, self._machine, settings, placement, compute=compute
        )
        budgets = self._room(settings)
        memory = account(
            self._inventory,
            self._machine,
            settings,
            budgets=budgets,
            measured=buffers,
            placement=placement,
        )
        excess = excess_of(memory, self._machine, settings, budgets)
        return Filled(settings, placement, memory, excess)

    def _room(self, settings: PlanSettings) -> Mapping[str, int]:
        """Return what settings may use of each device."""
        own = self._offsets.of(settings)
        return {name: max(budget - own.get(name, 0), 0) for name, budget in self._budgets.items()}

    def _known_errors(self, settings: PlanSettings, placement: Placement) -> dict[str, int]:
        """Return by how much rough compute buffers were off, by buffer, for alike placements."""
        kinds: set[tuple[str, str]] = set()
        for layer, device in enumerate(placement.layer_devices[: self._inventory.shape.n_layer]):
            homes = {placement.device_of[index] for index in self._expert_indexes.get(layer, ())}
            experts = "none" if not homes else homes.pop() if len(homes) == 1 else "mixed"
            kinds.add((device, experts))
        drafted = replace(
            settings, n_ctx=0, n_gpu_layers=0, tensor_split=(), overrides=(), n_threads=0
        )
        gpus = tuple((gpu.device, gpu.kind) for gpu in self._machine.gpus)
        key = (drafted, frozenset(kinds), placement.output_device, gpus)
        return self._errors.setdefault(key, {})

    # --- layouts --------------------------------------------------------------------------------

    def _laid_out(
        self, draft: PlanSettings, reserves: Mapping[str, int], *, whole: bool
    ) -> tuple[PlanSettings, dict[str, int]]:
        """Return the draft with a placement, and the bytes that were laid on each device."""
        budgets = self._room(draft)
        rooms = [max(budgets[name] - reserves[name], 0) for name in draft.devices]
        loads = self._loads.of(draft)
        n_layer_all = self._inventory.shape.n_layer_all
        if whole:
            loads = [LayerLoad(load.trunk_bytes + load.expert_bytes, {}) for load in loads]
        sizes = [load.trunk_bytes for load in loads]
        counts = self._counts(loads, rooms, self._loads.speeds(draft.devices))
        layout = Layout(sum(counts), counts, frozenset())
        stretches = [layout.layers_of(k, n_layer_all) for k in range(len(rooms))]
        laid = [sum(sizes[layer] for layer in own) for own in stretches]
        if self._wishes.overrides is not None:
            overrides = self._wishes.overrides
        else:
            left = [room - size for room, size in zip(rooms, laid, strict=True)]
            on_gpu = self._experts(stretches, loads, left, whole=whole)
            overrides = overrides_for(on_gpu, self._expert_parts)
            if not whole or self._wishes.expert_layers is not None:
                for k, own in enumerate(stretches):
                    laid[k] += sum(loads[i].experts[part] for i, part in on_gpu if i in own)
        split = self._wishes.tensor_split
        if split is None:
            split = tuple(float(count) for count in counts) if len(counts) > 1 else ()
        settings = replace(
            draft,
            n_gpu_layers=min(layout.n_gpu_layers, n_layer_all + 1),
            tensor_split=split,
            overrides=overrides,
        )
        return settings, dict(zip(draft.devices, laid, strict=True))

    def _counts(
        self, loads: Sequence[LayerLoad], rooms: Sequence[int], speeds: Sequence[float]
    ) -> tuple[int, ...]:
        """Return how many layers each device takes, around what is fixed."""
        sizes = [load.trunk_bytes for load in loads]
        wished, split = self._wishes.n_gpu_layers, self._wishes.tensor_split
        if split is not None:
            shares = (*split, *(0.0 for _ in rooms[len(split) :]))
            if wished is None:
                return _most_by_shares(sizes, rooms, shares, least=self._least_layers)
            return cut_by_shares(min(wished, len(sizes)), shares)
        n_taken = len(sizes) if wished is None else min(wished, len(sizes))
        if n_taken == 0:
            return (0,) * len(rooms)
        taken = loads[len(loads) - n_taken :]
        if any(load.experts for load in taken):
            counts = spread_with_experts(taken, rooms)
        else:
            counts = spread(sizes[len(sizes) - n_taken :], rooms, speeds)
        if counts is not None:
            return counts
        if wished is None:
            counts = as_many_as_fit(sizes, rooms, speeds)
            n_taken = self._least_layers
            if sum(counts) >= n_taken:
                return counts
        return cut_by_shares(n_taken, [max(room, 1) for room in rooms])

    @property
    def _least_layers(self) -> int:
        """Layers without which the wished number of layers' experts has no place on devices."""
        wanted = self._wishes.expert_layers
        if not wanted:
            return 0
        return self._inventory.shape.n_layer_all + 1 - self._inventory.expert_layers[-wanted]

    def _experts(
        self,
        stretches: Sequence[range],
        loads: Sequence[LayerLoad],
        left: Sequence[int],
        *,
        whole: bool,
    ) -> frozenset[Expert]:
        """Return the routed experts that lie on devices."""
        wanted = self._wishes.expert_layers
        if wanted is not None:
            return spread_experts(wanted, loads[: self._inventory.shape.n_layer], stretches, left)
        if whole:
            return frozenset(
                (layer, part) for layer, parts in self._expert_parts.items() for part in parts
            )
        chosen: frozenset[Expert] = frozenset()
        for own, room in zip(stretches, left, strict=True):
            mine = [layer for layer in own if layer in self._expert_parts]
            chosen |= choose_experts(mine, loads, room, by_tensor=self._by_tensor)
        return chosen

    def _may_hold_everything(self, draft: PlanSettings) -> bool:
        if self._wishes.expert_layers is not None and self._expert_parts:
            return False
        if self._wishes.n_gpu_layers is not None and not self._expert_parts:
            return True
        total = sum(load.trunk_bytes + load.expert_bytes for load in self._loads.of(draft))
        budgets = self._room(draft)
        return total < sum(budgets[device] for device in draft.devices)


def excess_of(
    memory: Memory, machine: Machine, settings: PlanSettings, budgets: Mapping[str, int]
) -> dict[str, int]:
    """Return by how much devices are over their budgets; pages of the file can be dropped.

    Memory of a unified device is RAM as well and counted there. Pages that Metal maps into the GPU
    are held for as long as it computes (ggml-metal keeps its buffers resident).
    """
    excess = {
        device.name: device.used_bytes - device.budget_bytes
        for device in memory.devices
        if device.name != CPU and device.used_bytes > device.budget_bytes
    }
    held = memory.host.anonymous_bytes + memory.host.pinned_bytes
    if maps_file(machine, settings.devices, settings.load_mode):
        metal = {gpu.device for gpu in machine.gpus if gpu.kind is GpuKind.METAL and gpu.is_unified}
        held += sum(device.weights_bytes for device in memory.devices if device.name in metal)
    if held > budgets[CPU]:
        excess[CPU] = held - budgets[CPU]
    return excess


def _is_better(filled: Filled, best: Filled) -> bool:
    if filled.fits != best.fits:
        return filled.fits
    if not filled.fits:
        return filled.excess_bytes < best.excess_bytes
    return _on_devices(filled.memory) > _on_devices(best.memory)


def _on_devices(memory: Memory) -> int:
    return sum(device.weights_bytes for device in memory.devices if device.name != CPU)


def _most_by_shares(
    sizes: Sequence[int], rooms: Sequence[int], shares: Sequence[float], *, least: int
) -> tuple[int, ...]:
    """Return the most layers that, cut by fixed shares, find room; ``least`` also where not."""
    for n_taken in range(len(sizes), least, -1):
        counts = cut_by_shares(n_taken, shares)
        first = len(sizes) - n_taken
        for count, room in zip(counts, rooms, strict=True):
            if sum(sizes[first : first + count]) > room:
                break
            first += count
        else:
            return counts
    return cut_by_shares(least, shares)
