"""Decides from the header alone whether a checkpoint can be chatted with, and what it is. No Qt."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import CorruptGgufError, NotAChatModelError, UnknownArchitectureError
from models.gguf.architectures import KNOWN_ARCHITECTURES, OTHER_PURPOSES
from models.gguf.header import GgufHeader, TensorInfo, parse_header, read_header
from models.gguf.sanity import check_hyperparameters
from models.gguf.shards import check_set, parse_shard_name, shard_count, shard_paths
from models.gguf.source import ByteSource, FileSource
from models.gguf.types import FILE_TYPES

# LLAMA_FTYPE_GUESSED in include/llama.h is a flag on top of the type.
_FILE_TYPE_MASK = 1023
_CHAT_HINT = "Choose a model that answers in text."
# general.type of files that belong to a model and are none.
_FILE_KINDS = {
    "adapter": "a LoRA adapter, which needs the model it was made for",
    "mmproj": "the vision part (mmproj) of a model",
    "imatrix": "an importance matrix, a by-product of quantizing",
    "vocab": "a vocabulary without a model",
}
_POOLINGS = range(1, 5)
# Values of tokenizer.ggml.model with which llama.cpp loads and ends the process at the first text.
_NO_VOCABULARY = ("none", "no_vocab")


@dataclass(frozen=True)
class CheckpointFacts:
    """What the header says about a checkpoint that can be chatted with.

    Attributes:
        path: the first file; this is what llama.cpp is given.
        size_bytes: of all files together.
        parameters: how many numbers all tensors have.
        template: the chat template's text, None when there is none of a sane length.
        shards: all files in their order, also when it is only one.
    """

    path: Path
    name: str
    architecture: str
    size_bytes: int
    n_ctx_train: int
    n_layer: int
    parameters: int
    quantization: str
    template: str | None
    shards: tuple[Path, ...]


def inspect_checkpoint(path: Path) -> CheckpointFacts:
    """Read the headers of a checkpoint's files and check all that can be checked before loading.

    ``path`` may be any file of a set.

    Raises:
        CheckpointNotFoundError, CheckpointUnreadableError: no such file, or not readable.
        NotGgufError, UnsupportedGgufError, CorruptGgufError, TruncatedGgufError: not loadable.
        MissingShardError: a file of the set is not there.
        UnknownArchitectureError: llama.cpp cannot run it.
        NotAChatModelError: it is something else than a model to chat with.
    """
    with FileSource(path) as source:
        header = parse_header(source)
        paths = _all_files(path, header)
        if paths[0] != path:
            return inspect_checkpoint(paths[0])
        architecture = _chat_architecture(header, source)
        check_hyperparameters(header, architecture, source)
    headers = (header, *(read_header(shard) for shard in paths[1:]))
    if len(headers) > 1:
        check_set(headers)
    tensors = [tensor for part in headers for tensor in part.tensors]
    check_weights(tensors, header)
    return CheckpointFacts(
        path=paths[0],
        name=(header.text("general.name") or "").strip() or _stem(paths[0]),
        architecture=architecture,
        size_bytes=sum(part.file_bytes for part in headers),
        n_ctx_train=header.integer(f"{architecture}.context_length") or 0,
        n_layer=header.integer(f"{architecture}.block_count") or 0,
        parameters=sum(tensor.elements for tensor in tensors),
        quantization=quantization_name(header, tensors),
        template=header.text("tokenizer.chat_template"),
        shards=paths,
    )


def quantization_name(header: GgufHeader, tensors: Iterable[TensorInfo]) -> str:
    """Return the file's own word for its quantization, else the type that most bytes have."""
    file_type = header.integer("general.file_type")
    if file_type is not None and file_type & _FILE_TYPE_MASK in FILE_TYPES:
        return FILE_TYPES[file_type & _FILE_TYPE_MASK]
    bytes_by_type: Counter[str] = Counter()
    for tensor in tensors:
        bytes_by_type[tensor.type_name] += tensor.size_bytes
    return bytes_by_type.most_common(1)[0][0] if bytes_by_type else ""


def _all_files(path: Path, header: GgufHeader) -> tuple[Path, ...]:
    """Return all files of the set, the first one first; a lone file is a set of one."""
    count = shard_count(header)
    return (path,) if count == 1 else shard_paths(path, count)


def _chat_architecture(header: GgufHeader, source: ByteSource) -> str:
    """Return the architecture, or refuse what cannot chat."""
    kind = accessory_kind(header)
    if kind:
        raise _no_chat(source, kind)
    architecture = header.text("general.architecture")
    if not architecture:
        raise CorruptGgufError(
            f"{source.name} does not say what architecture it has.",
            hint="Look for another file of the model.",
        )
    if architecture in OTHER_PURPOSES:
        raise _no_chat(source, OTHER_PURPOSES[architecture])
    if architecture not in KNOWN_ARCHITECTURES:
        raise _unknown_architecture(architecture, source)
    pooling = header.integer(f"{architecture}.pooling_type")
    if header.metadata.get(f"{architecture}.attention.causal") is False or pooling in _POOLINGS:
        raise _no_chat(source, "an embedding model")
    if header.text("tokenizer.ggml.model") in _NO_VOCABULARY:
        raise _no_chat(source, "a model without a vocabulary")
    return architecture


def accessory_kind(header: GgufHeader) -> str:
    """Return in words what a file is that belongs to a model and is none, else nothing."""
    kind = header.text("general.type") or ""
    if kind in _FILE_KINDS:
        return _FILE_KINDS[kind]
    if any(tensor.name.endswith(".lora_a") for tensor in header.tensors):
        return _FILE_KINDS["adapter"]
    if any(tensor.name.endswith(".in_sum2") for tensor in header.tensors):
        return _FILE_KINDS["imatrix"]
    return ""


def _unknown_architecture(architecture: str, source: ByteSource) -> UnknownArchitectureError:
    close = difflib.get_close_matches(architecture, KNOWN_ARCHITECTURES, n=1)
    near = f' The nearest it knows is "{close[0]}".' if close else ""
    return UnknownArchitectureError(
        f'{source.name} has the architecture "{architecture[:80]}", '
        "which Fathom's llama.cpp does not know.",
        hint=f"A newer Fathom may know it.{near}",
    )


def _no_chat(source: ByteSource, what: str) -> NotAChatModelError:
    return NotAChatModelError(f"{source.name} is {what}.", hint=_CHAT_HINT)


def check_weights(tensors: Sequence[TensorInfo], header: GgufHeader) -> None:
    """Refuse files without the layers of a whole model; ``tensors`` are those of all files.

    Raises:
        NotAChatModelError: there is a vocabulary only, or MTP layers only.
    """
    if not tensors:
        raise NotAChatModelError(f"{header.name} is {_FILE_KINDS['vocab']}.", hint=_CHAT_HINT)
    architecture = header.text("general.architecture")
    if header.integer(f"{architecture}.nextn_predict_layers") and not any(
        tensor.name.startswith("blk.0.") for tensor in tensors
    ):
        raise NotAChatModelError(
            f"{header.name} holds only the MTP layers of a model.", hint="Choose the model itself."
        )


def _stem(path: Path) -> str:
    shard = parse_shard_name(path.name)
    return shard.stem if shard else path.stem
