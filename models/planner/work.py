"""What a token costs under a placement: bytes to read, operations to do, where. Pure, no Qt here.

Everything that depends on the checkpoint alone is added up once per inventory; a placement then
only says how many tensors of which kind lie where, so that a forecast takes well under 1 ms.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.gguf.shape import AttentionKind, ModelShape, Role, Tensor
from models.planner.inventory import Inventory, row_bytes
from models.planner.placement import Placement
from models.planner.plan import CPU, PlanSettings

_COMPRESSED_RATIOS = (4, 128)
_INTEGERS = ("I8", "I16", "I32", "I64")


@dataclass(frozen=True, slots=True)
class WeightKind:
    """Tensors that cost the same.

    Attributes:
        size_bytes: of one tensor, whole.
        decode_bytes: of it that one decoded token reads.
        flop: operations per token (a multiply-add is two).
        prefill_flop: the same for a prompt's token; the output layer is for the last one only.
        slice_bytes: what lies together in the file: an expert, or the whole tensor.
        share_per_token: of it that one token uses: experts used over experts, else 1.
    """

    type_name: str
    is_expert: bool
    size_bytes: int
    decode_bytes: float
    flop: float
    prefill_flop: float
    slice_bytes: float
    share_per_token: float


@dataclass(frozen=True, slots=True)
class Weights:
    """``count`` tensors of a kind that lie in one buffer; ``device`` computes with them."""

    kind: WeightKind
    device: str
    buffer: str
    count: int


@dataclass(slots=True)
class Pile:
    """What is worked off at one rate: weights of one buffer, on the CPU of one type.

    Attributes:
        share_per_token: of it that one token uses, as of its tensors.
        decode_bytes: what a decoded token reads.
        flop, prefill_flop: operations per token, as of its tensors.
        n_slices: pieces that lie apart in the file.
    """

    device: str
    buffer: str
    type_name: str
    is_expert: bool
    share_per_token: float
    size_bytes: float = 0.0
    decode_bytes: float = 0.0
    flop: float = 0.0
    prefill_flop: float = 0.0
    n_slices: float = 0.0


@dataclass(frozen=True)
class _Kinds:
    """The kinds of an inventory, and which tensor is of which (-1: costs nothing)."""

    kinds: tuple[WeightKind, ...]
    of_tensor: tuple[int, ...]
    expert_tensors: tuple[tuple[int, int], ...]
    tied_output: WeightKind | None


def weights_of(inventory: Inventory, placement: Placement) -> list[Weights]:
    """Return what lies where, equal tensors together."""
    known = _kinds(inventory)
    counted = Counter(zip(known.of_tensor, placement.device_of, placement.buffer_of, strict=True))
    found = [
        Weights(known.kinds[index], device, buffer, count)
        for (index, device, buffer), count in counted.items()
        if index >= 0 and buffer
    ]
    if known.tied_output is not None:
        device = placement.output_device
        buffer = device
        if device == CPU:
            own = inventory.embedding_index
            buffer = next(
                (name for index, name in placement.duplicates if index == own),
                placement.buffer_of[own] if own is not None else CPU,
            )
        found.append(Weights(known.tied_output, device, buffer, 1))
    return found


def piles_of(weights: Sequence[Weights]) -> list[Pile]:
    """Return weights added up as far as they are worked off alike."""
    piles: dict[tuple[str, str, str, bool, float], Pile] = {}
    for some in weights:
        kind, count = some.kind, some.count
        name = kind.type_name if some.device == CPU else ""
        key = (some.device, some.buffer, name, kind.is_expert, kind.share_per_token)
        pile = piles.get(key)
        if pile is None:
            pile = piles[key] = Pile(*key)
        size_bytes = kind.size_bytes * count
        pile.size_bytes += size_bytes
        pile.decode_bytes += kind.decode_bytes * count
        pile.flop += kind.flop * count
        pile.prefill_flop += kind.prefill_flop * count
        pile.n_slices += size_bytes / kind.slice_bytes
    return list(piles.values())


def _kinds(inventory: Inventory) -> _Kinds:
    return inventory.remember(("weight_kinds",), lambda: _find_kinds(inventory))


def _find_kinds(inventory: Inventory) -> _Kinds:
    shape = inventory.shape
    numbers: dict[WeightKind, int] = {}
    of_tensor, experts = [], []
    for index, tensor in enumerate(shape.tensors):
        kind = _kind(shape, tensor)
        of_tensor.append(-1 if kind is None else numbers.setdefault(kind, len(numbers)))
        if kind is not None and kind.is_expert and tensor.layer is not None:
            experts.append((index, tensor.layer))
    own = inventory.embedding_index
    tied = None
    if own is not None and shape.has_tied_embeddings:
        tied = _matrix(shape.tensors[own], 1.0, is_output=True)
    return _Kinds(tuple(numbers), tuple(of_tensor), tuple(experts), tied)


def _kind(shape: ModelShape, tensor: Tensor) -> WeightKind | None:
    if tensor.layer is not None and tensor.layer >= shape.n_layer:
        return None  # MTP blocks are not computed
    if tensor.role is Role.EMBEDDING or tensor.type_name in _INTEGERS:
        return None  # tables: one row is looked up
    share = 1.0
    if tensor.role is Role.ROUTED_EXPERT and len(tensor.shape) > 2 and shape.n_expert:
        share = shape.n_expert_used / shape.n_expert
    return _matrix(tensor, share, is_output=tensor.name == "output.weight")


def _matrix(tensor: Tensor, share: float, *, is_output: bool) -> WeightKind:
    is_expert = tensor.role is Role.ROUTED_EXPERT
    is_matrix = len(tensor.shape) > 1
    flop = 2.0 * tensor.elements * share if is_matrix else 0.0
    n_slices = tensor.shape[2] if is_expert and len(tensor.shape) > 2 else 1
    return WeightKind(
        type_name=tensor.type_name,
        is_expert=is_expert,
        size_bytes=tensor.size_bytes,
        decode_bytes=tensor.size_bytes * share,
        flop=flop,
        prefill_flop=0.0 if is_output else flop,
        slice_bytes=tensor.size_bytes / n_slices,
        share_per_token=share,
    )


def touched_share(share_per_token: float, n_tokens: int) -> float:
    """Return the share of the experts that a batch uses, when all are equally likely."""
    if share_per_token >= 1.0:
        return 1.0
    return float(1.0 - (1.0 - share_per_token) ** n_tokens)


# --- attention ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttentionWork:
    """What attention over a full cache costs on one device: per token, all its layers."""

    device: str
    kv_bytes: float
    flop: float


def attention_of(
    inventory: Inventory, settings: PlanSettings, placement: Placement, n_past: float
) -> list[AttentionWork]:
    """Return what one token's attention to ``n_past`` earlier ones reads and computes."""
    shape = inventory.shape
    n_kv, ratios = shape.kv.n_head_kv, shape.kv.compress_ratios
    known: dict[tuple[int, int], tuple[float, float]] = {}
    sums: dict[str, list[float]] = {}
    for layer, device in enumerate(placement.layer_devices[: shape.n_layer]):
        like = (
            n_kv[layer] if layer < len(n_kv) else 1,
            ratios[layer] if layer < len(ratios) else 0,
        )
        if like not in known:
            known[like] = _layer_attention(shape, settings, *like, n_past)
        total = sums.setdefault(device if settings.offload_kqv else CPU, [0.0, 0.0])
        total[0] += known[like][0]
        total[1] += known[like][1]
    return [AttentionWork(device, *both) for device, both in sums.items()]


def _layer_attention(
    shape: ModelShape, settings: PlanSettings, n_kv: int, ratio: int, n_past: float
) -> tuple[float, float]:
    """Return bytes and operations of a layer with ``n_kv`` heads for one token."""
    kv, heads = shape.kv, shape.n_head
    type_k, type_v = settings.type_k.upper(), settings.type_v.upper()
    if kv.kind in (AttentionKind.MLA, AttentionKind.DSA):
        flop_row = 2.0 * heads * (kv.key_length + shape.kv_lora_rank)
        key_bytes = row_bytes(type_k, kv.key_length)
        if kv.kind is AttentionKind.MLA:
            return key_bytes * n_past, flop_row * n_past
        # Every token is scored by the indexer; the best are attended to.
        indexer = 2.0 * kv.indexer_head_count * kv.indexer_key_length
        seen = min(n_past, kv.indexer_top_k or n_past)
        row = key_bytes + row_bytes(type_k, kv.indexer_key_length)
        # llama.cpp masks what was not picked instead of gathering it: all rows are read.
        return row * n_past, indexer * n_past + flop_row * seen
    if kv.kind is AttentionKind.COMPRESSED:
        rows = min(n_past, kv.sliding_window or n_past)
        rows += n_past / ratio if ratio in _COMPRESSED_RATIOS else 0.0
        return row_bytes(type_k, kv.key_length) * rows, 4.0 * heads * kv.key_length * rows
    row = row_bytes(type_k, kv.key_length * n_kv) + row_bytes(type_v, kv.value_length * n_kv)
    return row * n_past, 2.0 * heads * (kv.key_length + kv.value_length) * n_past


# --- steps between devices ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Steps:
    """How often the computation changes places.

    Attributes:
        splits: changes of device per token; each is one more start and one more wait.
        hops: per device, how often activations are sent to it or come back.
        layers: per device, layers that it computes.
    """

    splits: int
    hops: dict[str, int]
    layers: dict[str, int]


def steps_of(
    inventory: Inventory, placement: Placement, *, experts_offloaded: bool = False
) -> Steps:
    """Return the steps of one pass; offloaded experts are computed beside their layer."""
    n_layer = inventory.shape.n_layer
    route = list(_route(inventory, placement, n_layer, experts_offloaded))
    hops: dict[str, int] = {}
    splits = 0
    for here, there in itertools.pairwise(route):
        if here != there:
            splits += 1
            for device in (here, there):
                hops[device] = hops.get(device, 0) + 1
    return Steps(splits, hops, dict(Counter(placement.layer_devices[:n_layer])))


def _route(
    inventory: Inventory, placement: Placement, n_layer: int, experts_offloaded: bool
) -> Iterator[str]:
    """Yield the devices that a token goes through, from the embedding to the logits."""
    elsewhere = {} if experts_offloaded else _experts_elsewhere(inventory, placement)
    yield CPU
    for layer, device in enumerate(placement.layer_devices[:n_layer]):
        yield device
        yield from elsewhere.get(layer, ())
    yield placement.output_device
    yield CPU


def _experts_elsewhere(inventory: Inventory, placement: Placement) -> dict[int, Sequence[str]]:
    """Return, per layer, the devices beside its own that compute its experts."""
    found: dict[int, list[str]] = {}
    for index, layer in _kinds(inventory).expert_tensors:
        device = placement.device_of[index]
        if device and device != placement.layer_devices[layer]:
            devices = found.setdefault(layer, [])
            if device not in devices:
                devices.append(device)
    return {layer: (*devices, placement.layer_devices[layer]) for layer, devices in found.items()}
