"""A few layers of a checkpoint with random weights, to measure speed without the checkpoint.

A replica has the checkpoint's own architecture, dimensions and tensor types, some of its layers,
fewer experts and a small vocabulary. Two of different depth give the time of a layer, and with it
the time of all of them (models/hardware/calibration.py). No Qt here.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import StoppedError
from models.gguf.header import ArrayInfo, GgufHeader, parse_header, read_array
from models.gguf.header_file import HeaderFile
from models.gguf.random_blocks import random_blocks, random_indexes
from models.gguf.shape import AttentionKind, ModelShape, Role, Tensor
from models.gguf.source import ByteSource, BytesSource, FileSource
from models.gguf.types import GGML_TYPES, SCALARS
from models.private_files import open_private

N_VOCAB = 512
_ALIGNMENT = 32
_TYPES = {kind.name: (number, kind) for number, kind in GGML_TYPES.items()}
_SCALAR_NUMBERS = {kind.name: number for number, kind in SCALARS.items()}
_U32, _F32, _BOOL, _STRING, _ARRAY, _U64, _I64, _I32 = 4, 6, 7, 8, 9, 10, 11, 5
_LONGEST_ARRAY = 4096
_LONGEST_TEXT = 1024
_DROPPED = ("tokenizer.", "split.", "general.")
_NORMAL, _CONTROL = 1, 3
_MORE_THAN_USED = 2

Meta = bool | int | float | str


@dataclass(frozen=True)
class ReplicaTensor:
    """A tensor to be written: ``shape`` in GGUF order."""

    name: str
    type_name: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes in the file, without padding."""
        kind = _TYPES[self.type_name][1]
        elements = 1
        for size in self.shape:
            elements *= size
        return elements // kind.block_elements * kind.block_bytes


@dataclass(frozen=True)
class Replica:
    """What is to be written.

    Attributes:
        metadata: encoded entries.
        tensors: in file order.
        layers: which layers of the checkpoint it has.
        n_expert: experts of a layer, 0 without any.
    """

    metadata: tuple[bytes, ...]
    tensors: tuple[ReplicaTensor, ...]
    layers: tuple[int, ...]
    n_expert: int = 0

    @property
    def size_bytes(self) -> int:
        """Of all tensors."""
        return sum(tensor.size_bytes for tensor in self.tensors)


def replica_layers(shape: ModelShape, n_body: int) -> tuple[int, ...]:
    """Return the layers of a replica: what comes once at the start, and ``n_body`` of the rest."""
    start = shape.n_layer_dense if shape.is_moe else 0
    if shape.kv.kind is AttentionKind.COMPRESSED:
        # Without each of its kinds of cache V4's context ends the process.
        ratios = shape.kv.compress_ratios
        start = next((layer for layer, ratio in enumerate(ratios) if ratio), 0)
    start = min(start, max(shape.n_layer - n_body, 0))
    lead = (0,) if start > 0 else ()
    return (*lead, *range(start, min(start + n_body, shape.n_layer)))


def expert_count(shape: ModelShape, layers: Sequence[int], wanted_bytes: int) -> int:
    """Return how many experts a replica gets: enough for so many bytes, at least twice those used.

    ``wanted_bytes`` is what makes sure that weights come from RAM and not from a cache.
    """
    if not shape.is_moe:
        return 0
    routed = [t for t in shape.with_role(Role.ROUTED_EXPERT) if t.layer in set(layers)]
    each = sum(tensor.size_bytes for tensor in routed) / shape.n_expert
    enough = -(-wanted_bytes // max(1, int(each)))
    least = _MORE_THAN_USED * shape.n_expert_used
    return min(shape.n_expert, max(least, enough))


def replica_of(
    files: Sequence[HeaderFile], shape: ModelShape, *, n_body: int, expert_bytes: int
) -> Replica:
    """Return a replica of a checkpoint.

    Args:
        files: the checkpoint's files, or their headers.
        shape: what ``read_shape`` read of them.
        n_body: how many of the layers that repeat.
        expert_bytes: how much of routed experts, see ``expert_count``.

    Raises:
        CheckpointUnreadableError, CorruptGgufError: the first file cannot be read.
    """
    layers = replica_layers(shape, n_body)
    n_expert = expert_count(shape, layers, expert_bytes)
    with _opened(files[0]) as source:
        header = parse_header(source)
        metadata = _metadata(source, header, shape, layers, n_expert)
    new_number = {old: new for new, old in enumerate(layers)}
    tensors = []
    for tensor in shape.tensors:
        if tensor.layer is None:
            tensors.append(_resized(tensor, tensor.name, shape, n_expert))
        elif tensor.layer in new_number:
            name = tensor.name.replace(
                f"blk.{tensor.layer}.", f"blk.{new_number[tensor.layer]}.", 1
            )
            tensors.append(_resized(tensor, name, shape, n_expert))
    return Replica(tuple(metadata), tuple(tensors), layers, n_expert)


def plain_replica(type_name: str, *, n_layer: int, n_embd: int, n_ff: int) -> Replica:
    """Return a model of architecture llama whose matrices are all of one type."""
    head, n_kv = 64, max(1, n_embd // 256)
    values: dict[str, Meta] = {
        "block_count": n_layer,
        "context_length": 8192,
        "embedding_length": n_embd,
        "feed_forward_length": n_ff,
        "attention.head_count": n_embd // head,
        "attention.head_count_kv": n_kv,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
        "rope.dimension_count": head,
    }
    metadata = [_entry("general.architecture", "llama"), *_vocabulary()]
    metadata += [_entry(f"llama.{key}", value) for key, value in values.items()]
    matrices = {
        "attn_q": (n_embd, n_embd),
        "attn_k": (n_embd, n_kv * head),
        "attn_v": (n_embd, n_kv * head),
        "attn_output": (n_embd, n_embd),
        "ffn_gate": (n_embd, n_ff),
        "ffn_up": (n_embd, n_ff),
        "ffn_down": (n_ff, n_embd),
    }
    tensors = [
        ReplicaTensor("token_embd.weight", "F16", (n_embd, N_VOCAB)),
        ReplicaTensor("output_norm.weight", "F32", (n_embd,)),
        ReplicaTensor("output.weight", "F16", (n_embd, N_VOCAB)),
    ]
    for layer in range(n_layer):
        for norm in ("attn_norm", "ffn_norm"):
            tensors.append(ReplicaTensor(f"blk.{layer}.{norm}.weight", "F32", (n_embd,)))
        for name, size in matrices.items():
            tensors.append(ReplicaTensor(f"blk.{layer}.{name}.weight", type_name, size))
    return Replica(tuple(metadata), tuple(tensors), tuple(range(n_layer)))


def write_replica(
    replica: Replica,
    path: Path,
    *,
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Write a replica in a stream and return its size in bytes; a part is removed when it fails.

    Raises:
        StoppedError: ``stop`` said so.
        OSError: the disk is full or cannot be written.
    """
    try:
        with open(path, "wb", opener=open_private) as file:
            file.write(_head(replica))
            patterns: dict[tuple[str, bool], bytes] = {}
            for tensor in replica.tensors:
                like = (tensor.type_name, _is_ones(tensor))
                if like not in patterns:
                    patterns[like] = _pattern(tensor, seed, max(replica.n_expert, 1))
                for piece in _data(tensor, patterns[like]):
                    if stop():
                        raise StoppedError
                    file.write(piece)
            return file.tell()
    except BaseException:
        path.unlink(missing_ok=True)
        raise


# --- data -----------------------------------------------------------------------------------------


def _data(tensor: ReplicaTensor, pattern: bytes) -> Iterator[bytes]:
    """Yield a tensor's bytes with their padding, at most 4 MiB at once."""
    size, done = tensor.size_bytes, 0
    while done < size:
        piece = pattern[: size - done]
        done += len(piece)
        yield piece
    yield bytes(-size % _ALIGNMENT)


def _pattern(tensor: ReplicaTensor, seed: int, n_expert: int) -> bytes:
    if tensor.type_name == "I32":
        return random_indexes(seed, n_expert)
    if _is_ones(tensor):
        return struct.pack("<f", 1.0) * (1 << 18)
    return random_blocks(tensor.type_name, seed)


def _is_ones(tensor: ReplicaTensor) -> bool:
    """Whether all numbers are 1: scales of norms and factors of rope."""
    return tensor.type_name == "F32" and any(w in tensor.name for w in ("norm", "rope_freqs"))


def _resized(tensor: Tensor, name: str, shape: ModelShape, n_expert: int) -> ReplicaTensor:
    """Return a tensor with the replica's number of experts and tokens."""
    sizes = list(tensor.shape)
    if shape.n_vocab and sizes[-1] == shape.n_vocab and tensor.name != "output_norm.weight":
        sizes[-1] = N_VOCAB
    by_expert = tensor.role is Role.ROUTED_EXPERT or any(
        part in tensor.name for part in ("ffn_gate_inp.", "exp_probs_b")
    )
    if n_expert and by_expert and sizes[-1] == shape.n_expert:
        sizes[-1] = n_expert
    return ReplicaTensor(name, tensor.type_name, tuple(sizes))


# --- the head -------------------------------------------------------------------------------------


def _head(replica: Replica) -> bytes:
    infos, offset = [], 0
    for tensor in replica.tensors:
        sizes = struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape)
        number = _TYPES[tensor.type_name][0]
        infos.append(
            _text(tensor.name)
            + struct.pack("<I", len(tensor.shape))
            + sizes
            + struct.pack("<IQ", number, offset)
        )
        offset += tensor.size_bytes + -tensor.size_bytes % _ALIGNMENT
    counts = struct.pack("<4sIQQ", b"GGUF", 3, len(infos), len(replica.metadata))
    head = counts + b"".join(replica.metadata) + b"".join(infos)
    return head + bytes(-len(head) % _ALIGNMENT)


def _metadata(
    source: ByteSource,
    header: GgufHeader,
    shape: ModelShape,
    layers: Sequence[int],
    n_expert: int,
) -> list[bytes]:
    name = header.text("general.architecture") or shape.architecture
    changed = _changed(shape, layers, n_expert, header)
    entries = [_entry("general.architecture", name), *_vocabulary()]
    for key, value in header.metadata.items():
        own = key.removeprefix(f"{name}.")
        if key.startswith(_DROPPED) or own in changed:
            continue
        if isinstance(value, ArrayInfo):
            entries += _array(source, key, value, layers, shape)
        elif isinstance(value, (bool, int, float)) or (
            isinstance(value, str) and len(value) <= _LONGEST_TEXT
        ):
            entries.append(_entry(key, value))
    entries += [
        _entry(f"{name}.{key}", value) for key, value in changed.items() if value is not None
    ]
    return entries


def _changed(
    shape: ModelShape, layers: Sequence[int], n_expert: int, header: GgufHeader
) -> dict[str, Meta | None]:
    """Return the keys of the architecture that a replica has other values of; None drops one."""
    name = shape.architecture
    changed: dict[str, Meta | None] = {
        "block_count": len(layers),
        "nextn_predict_layers": None,
        "vocab_size": N_VOCAB,
    }
    if header.integer(f"{name}.leading_dense_block_count") is not None:
        dense = sum(1 for layer in layers if layer < shape.n_layer_dense)
        changed["leading_dense_block_count"] = dense
    hashed = header.integer(f"{name}.hash_layer_count")
    if hashed is not None:
        changed["hash_layer_count"] = sum(1 for layer in layers if layer < hashed)
    if n_expert:
        changed["expert_count"] = n_expert
        if n_expert != shape.n_expert:
            # Groups of experts would have to divide them.
            changed |= {"expert_group_count": None, "expert_group_used_count": None}
    if name == "deepseek2" and header.integer(f"{name}.attention.q_lora_rank") is None:
        # deepseek2.cpp knows models without the rank by their number of layers alone.
        changed["attention.q_lora_rank"] = 0
    return changed


def _array(
    source: ByteSource, key: str, info: ArrayInfo, layers: Sequence[int], shape: ModelShape
) -> list[bytes]:
    """Return an array of numbers, cut to the replica's layers where it has one for each."""
    number = _SCALAR_NUMBERS.get(info.type_name)
    values = read_array(source, info, limit=_LONGEST_ARRAY) if number is not None else None
    if values is None or number is None:
        return []
    if shape.n_layer <= len(values) <= shape.n_layer_all + 1:
        values = tuple(values[layer] for layer in layers)
    letter = SCALARS[number].letter
    packed = struct.pack(f"<{len(values)}{letter}", *values)
    head = struct.pack("<IIQ", _ARRAY, number, len(values))
    return [_text(key) + head + packed]


def _entry(key: str, value: Meta) -> bytes:
    """Encode a metadata entry; whole numbers are u32 where they fit, as llama.cpp wants them."""
    if isinstance(value, bool):
        return _text(key) + struct.pack("<I?", _BOOL, value)
    if isinstance(value, str):
        return _text(key) + struct.pack("<I", _STRING) + _text(value)
    if isinstance(value, float):
        return _text(key) + struct.pack("<If", _F32, value)
    if 0 <= value < 1 << 32:
        return _text(key) + struct.pack("<II", _U32, value)
    kind, letter = (_U64, "Q") if value >= 0 else (_I64, "q")
    return _text(key) + struct.pack(f"<I{letter}", kind, value)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _vocabulary() -> list[bytes]:
    """Return a byte-level BPE vocabulary in which any text can be written."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    letters = [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
    tokens = ["<bos>", "<eos>", *letters, "th"]
    tokens += [f"<unused{number}>" for number in range(N_VOCAB - len(tokens))]
    types = [_CONTROL, _CONTROL, *([_NORMAL] * (N_VOCAB - 2))]
    return [
        _entry("tokenizer.ggml.model", "gpt2"),
        _entry("tokenizer.ggml.pre", "default"),
        _strings("tokenizer.ggml.tokens", tokens),
        _text("tokenizer.ggml.token_type")
        + struct.pack("<IIQ", _ARRAY, _I32, N_VOCAB)
        + struct.pack(f"<{N_VOCAB}i", *types),
        _strings("tokenizer.ggml.merges", ["t h"]),
        _entry("tokenizer.ggml.bos_token_id", 0),
        _entry("tokenizer.ggml.eos_token_id", 1),
    ]


def _strings(key: str, values: Sequence[str]) -> bytes:
    head = struct.pack("<IIQ", _ARRAY, _STRING, len(values))
    return _text(key) + head + b"".join(map(_text, values))


@contextlib.contextmanager
def _opened(file: HeaderFile) -> Iterator[ByteSource]:
    if file.path is None:
        yield BytesSource(file.header, name=file.name, size_bytes=file.size_bytes)
        return
    with FileSource(file.path) as source:
        yield source
