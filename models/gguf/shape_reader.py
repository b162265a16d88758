"""From the headers of a checkpoint's files to its ``ModelShape``. No Qt here.

Names and rules are those of src/models/deepseek*.cpp, qwen2.cpp, qwen3.cpp and llama.cpp (in
src/models) of the llama.cpp in llama-cpp-python 0.3.36. Other architectures are read as plain
grouped-query attention and marked as approximate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from models.errors import CorruptGgufError, NotAChatModelError
from models.gguf.checkpoint import accessory_kind, check_weights, quantization_name
from models.gguf.header import GgufHeader, TensorInfo
from models.gguf.hyperparameters import Hyperparameters, read_hyperparameters
from models.gguf.keys import MAX_LAYERS
from models.gguf.roles import role_of, split_block
from models.gguf.shape import ModelShape, Role, Tensor
from models.gguf.shards import check_set, parse_shard_name
from models.gguf.source import ByteSource


def read_shape(
    headers: Sequence[GgufHeader], sources: Sequence[ByteSource] | None = None
) -> ModelShape:
    """Return what a checkpoint is made of.

    Args:
        headers: of all files of the checkpoint, in the order of the set.
        sources: the same files' bytes; needed only when the headers were read without the lists
            that say a number for each layer (``parse_header`` keeps them).

    Raises:
        CorruptGgufError: a number is missing or cannot be true, a tensor contradicts the numbers,
            or the files do not belong together. ``offset`` is where, if one place is to blame.
        NotAChatModelError: the file belongs to a model and is none.
    """
    first = headers[0]
    kind = accessory_kind(first)
    if kind:
        raise NotAChatModelError(
            f"{first.name} is {kind}.", hint="Choose a model that answers in text."
        )
    check_set(headers)
    return _ShapeReader(headers, sources[0] if sources else None).read()


def checkpoint_name(header: GgufHeader) -> str:
    """Return what the file calls the model, else its own name without the shard's number."""
    name = (header.text("general.name") or "").strip()
    shard = parse_shard_name(header.name)
    return name or (shard.stem if shard else header.name.removesuffix(".gguf"))


class _ShapeReader:
    def __init__(self, headers: Sequence[GgufHeader], source: ByteSource | None) -> None:
        self._headers = headers
        self._first = headers[0]
        self._source = source
        self._infos: dict[str, tuple[TensorInfo, GgufHeader]] = {}

    def read(self) -> ModelShape:
        blocks = self._collect()
        numbers = read_hyperparameters(self._first, self._source, n_blocks=blocks)
        n_vocab = numbers.n_vocab or self._embedding_rows()
        if not numbers.is_approximate:
            self._check_tensors(numbers, n_vocab)
        n_layer_mtp = self._mtp_blocks(numbers)
        trunk = numbers.n_layer_all - n_layer_mtp
        tensors = tuple(_tensor(info, trunk) for info, _ in self._infos.values())
        infos = [info for info, _ in self._infos.values()]
        bare = numbers.bare_shape(
            checkpoint_name(self._first), quantization_name(self._first, infos)
        )
        return replace(
            bare,
            n_layer_mtp=n_layer_mtp,
            n_layer_dense=_leading_dense(tensors, trunk),
            n_vocab=n_vocab,
            file_bytes=sum(header.file_bytes for header in self._headers),
            shard_bytes=tuple(header.file_bytes for header in self._headers),
            data_spans=tuple(_data_span(header) for header in self._headers),
            tensors=tensors,
            tensor_offsets=tuple(
                (shard, header.data_offset + info.offset)
                for shard, header in enumerate(self._headers)
                for info in header.tensors
            ),
        )

    def _collect(self) -> int:
        """Gather the tensors of all files and return one more than the last block's number."""
        blocks = 0
        for header in self._headers:
            for info in header.tensors:
                if info.name in self._infos:
                    raise _corrupt(header, info, "is in two parts")
                self._infos[info.name] = (info, header)
                layer, _ = split_block(info.name)
                blocks = max(blocks, layer + 1 if layer is not None else 0)
        check_weights([info for info, _ in self._infos.values()], self._first)
        return min(blocks, MAX_LAYERS)

    def _mtp_blocks(self, numbers: Hyperparameters) -> int:
        """Return how many of the last blocks are for MTP.

        deepseek4 takes the header's number back when the blocks were left out
        (src/models/deepseek4.cpp, ``load_arch_hparams``); the others keep it.
        """
        trunk = numbers.n_layer_all - numbers.n_layer_mtp
        probe = f"blk.{trunk}.nextn.eh_proj.weight"
        if numbers.architecture == "deepseek4" and probe not in self._infos:
            return 0
        return numbers.n_layer_mtp

    def _embedding_rows(self) -> int:
        found = self._infos.get("token_embd.weight")
        return found[0].shape[1] if found and len(found[0].shape) > 1 else 0

    def _check_tensors(self, numbers: Hyperparameters, n_vocab: int) -> None:
        """Check what the planner multiplies with; llama.cpp refuses any other shape too."""
        needed = ["token_embd.weight"]
        trunk = numbers.n_layer_all - numbers.n_layer_mtp
        needed += [f"blk.{layer}.attn_norm.weight" for layer in range(trunk)]
        for name in needed:
            if name not in self._infos:
                raise CorruptGgufError(
                    f"{self._first.name} cannot be run: it lacks the tensor {name}.",
                    hint="Look for another file of the model.",
                )
        expected: Mapping[str, tuple[int, ...]] = {
            "token_embd": (numbers.n_embd, n_vocab),
            "output": (numbers.n_embd, n_vocab),
            "ffn_gate_exps": (numbers.n_embd, numbers.n_ff_expert, numbers.n_expert),
            "ffn_up_exps": (numbers.n_embd, numbers.n_ff_expert, numbers.n_expert),
            "ffn_down_exps": (numbers.n_ff_expert, numbers.n_embd, numbers.n_expert),
            "ffn_gate_up_exps": (numbers.n_embd, 2 * numbers.n_ff_expert, numbers.n_expert),
        }
        for info, header in self._infos.values():
            layer, stem = split_block(info.name)
            if layer is not None and layer >= numbers.n_layer_all:
                raise _corrupt(header, info, f"is not in one of {numbers.n_layer_all} blocks")
            shape = expected.get(stem) if info.name.endswith(".weight") else None
            if shape is not None and _without_ones(info.shape) != _without_ones(shape):
                raise _corrupt(header, info, f"has the shape {info.shape} instead of {shape}")


def _tensor(info: TensorInfo, trunk: int) -> Tensor:
    """Return a tensor with its role: everything in an MTP block is MTP."""
    layer, _ = split_block(info.name)
    role = role_of(info.name)
    if layer is not None and layer >= trunk:
        role = Role.MTP
    return Tensor(info.name, role, layer, info.type_name, info.shape, info.size_bytes)


def _leading_dense(tensors: Sequence[Tensor], trunk: int) -> int:
    """Return how many blocks come before the first with routed experts."""
    routed = (tensor.layer for tensor in tensors if tensor.role is Role.ROUTED_EXPERT)
    return min((layer for layer in routed if layer is not None), default=trunk)


def _data_span(header: GgufHeader) -> tuple[int, int]:
    if not header.tensors:
        return header.data_offset, header.data_offset
    last = header.tensors[-1]
    return header.data_offset, header.data_offset + last.offset + last.size_bytes


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Drop dimensions of 1 at the end, which ggml's four dimensions do not tell apart."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _corrupt(header: GgufHeader, info: TensorInfo, what: str) -> CorruptGgufError:
    return CorruptGgufError(
        f'{header.name} is damaged: the tensor "{info.name}" {what}.',
        offset=info.info_offset,
        hint="Download it again.",
    )
