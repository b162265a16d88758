"""Tiny loadable GGUF files with random weights, and ways to damage them.

The same model and seed always give the same bytes. Answers are noise, often not even UTF-8.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as QuantType

from helpers.tiny_shapes import N_VOCAB, Meta, Shape, ShapeOptions, Tensor, tiny_shape

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
REASONING_CHATML = CHATML.replace(
    "<|im_start|>assistant\n{% endif %}", ("<|im_start|>assistant\n<think>\n{% endif %}")
)

_CONTROL, _USER_DEFINED, _NORMAL = 3, 4, 1
_SPECIAL = {
    "<bos>": _CONTROL,
    "<eos>": _CONTROL,
    "<|im_start|>": _CONTROL,
    "<|im_end|>": _CONTROL,
    "<think>": _USER_DEFINED,
    "</think>": _USER_DEFINED,
}
_N_MERGES = 200


@dataclass(frozen=True)
class TinyModel:
    """What to build.

    Attributes:
        architecture: one of ``tiny_shapes.ARCHITECTURES``.
        n_layer: layers without MTP; deepseek4 needs 3 for all its kinds of cache.
        quantization: type of the weights: F32, F16, Q8_0, Q4_0 ... with blocks of 32.
        mla: deepseek2 only: False for a file from before MLA.
        q_lora: deepseek2 only: False as in V2-Lite (which llama.cpp knows by its 27 layers).
        mtp: deepseek2 and deepseek32: one MTP layer more.
        template: the chat template, None for a file without one.
    """

    architecture: str = "llama"
    n_layer: int = 3
    n_ctx_train: int = 2048
    quantization: str = "Q8_0"
    mla: bool = True
    q_lora: bool = True
    mtp: bool = False
    template: str | None = CHATML
    name: str = "Tiny"
    seed: int = 0


def write_tiny(path: Path, model: TinyModel | None = None, **overrides: Meta) -> Path:
    """Write ``model`` to ``path``.

    ``overrides`` replace metadata of the architecture, dots written as two underscores
    (``block_count=0``, ``rope__scaling__type="sideways"``).
    """
    model = model or TinyModel()
    shape = _shape_of(model, overrides)
    writer = gguf.GGUFWriter(path, model.architecture)
    _add_metadata(writer, model, shape)
    random = np.random.default_rng(model.seed)
    for tensor in shape.tensors:
        _add_tensor(writer, tensor, model, random)
    _write(writer)
    return path


def write_tiny_shards(
    folder: Path, model: TinyModel | None = None, *, stem: str = "tiny", tensors_each: int = 12
) -> tuple[Path, ...]:
    """Write ``model`` as a set of shards into ``folder`` and return their paths in order."""
    model = model or TinyModel()
    shape = _shape_of(model, {})
    writer = gguf.GGUFWriter(
        folder / f"{stem}.gguf", model.architecture, split_max_tensors=tensors_each
    )
    _add_metadata(writer, model, shape)
    random = np.random.default_rng(model.seed)
    for tensor in shape.tensors:
        _add_tensor(writer, tensor, model, random)
    _write(writer)
    return tuple(sorted(folder.glob(f"{stem}-*-of-*.gguf")))


# --- damage -------------------------------------------------------------------------------------


def truncate(path: Path, *, keep: float) -> int:
    """Cut the file to a share of its bytes and return how many are missing."""
    size_bytes = path.stat().st_size
    kept = int(size_bytes * keep)
    with path.open("r+b") as file:
        file.truncate(kept)
    return size_bytes - kept


def write_text(path: Path, text: str = "This is not a model.\n") -> Path:
    """Write a text file under a GGUF file's name."""
    path.write_text(text, encoding="utf-8")
    return path


def write_unknown_architecture(path: Path, architecture: str = "deepseek99") -> Path:
    """Write a sound GGUF file of an architecture that nobody knows."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_uint32(f"{architecture}.block_count", 2)
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    _write(writer)
    return path


def patch(path: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes in place."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def set_counts(path: Path, *, tensors: int | None = None, metadata: int | None = None) -> None:
    """Overwrite the counts in the file's first bytes."""
    if tensors is not None:
        patch(path, 8, struct.pack("<Q", tensors))
    if metadata is not None:
        patch(path, 16, struct.pack("<Q", metadata))


# --- how ----------------------------------------------------------------------------------------


def _shape_of(model: TinyModel, overrides: dict[str, Meta]) -> Shape:
    shape = tiny_shape(
        ShapeOptions(
            model.architecture,
            model.n_layer,
            model.n_ctx_train,
            model.mla,
            model.q_lora,
            model.mtp,
        )
    )
    shape.metadata |= {key.replace("__", "."): value for key, value in overrides.items()}
    return shape


def _add_metadata(writer: gguf.GGUFWriter, model: TinyModel, shape: Shape) -> None:
    writer.add_name(model.name)
    writer.add_file_type(gguf.LlamaFileType[_file_type(model.quantization)])
    for key, value in shape.metadata.items():
        _add_value(writer, f"{model.architecture}.{key}", value)
    _add_vocabulary(writer, "qwen2" if model.architecture.startswith("qwen") else "deepseek-v3")
    if model.template is not None:
        writer.add_chat_template(model.template)


def _file_type(quantization: str) -> str:
    return "ALL_F32" if quantization == "F32" else f"MOSTLY_{quantization}"


def _add_value(writer: gguf.GGUFWriter, key: str, value: Meta) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        element = gguf.GGUFValueType.UINT32
        if isinstance(value[0], float):
            element = gguf.GGUFValueType.FLOAT32
        writer.add_key_value(key, value, gguf.GGUFValueType.ARRAY, sub_type=element)


def _add_vocabulary(writer: gguf.GGUFWriter, pre_tokenizer: str) -> None:
    tokens, merges = _vocabulary()
    types = [_SPECIAL.get(token, _NORMAL) for token in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index("<bos>"))
    writer.add_eos_token_id(tokens.index("<eos>"))
    writer.add_eot_token_id(tokens.index("<|im_end|>"))


def _vocabulary() -> tuple[list[str], list[str]]:
    """Return the tokens of a byte-level BPE vocabulary, and its merges."""
    letters = _byte_letters()
    tokens = [*_SPECIAL, *letters]
    merges: list[str] = []
    common = "etaoinshrdlu" + letters[ord(" ")]
    for first, second in list(product(common, common))[:_N_MERGES]:
        merges.append(f"{first} {second}")
        tokens.append(first + second)
    tokens += [f"<unused{number}>" for number in range(N_VOCAB - len(tokens))]
    return tokens[:N_VOCAB], merges


def _byte_letters() -> list[str]:
    """Return GPT-2's printable letter for each byte."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def _add_tensor(
    writer: gguf.GGUFWriter, tensor: Tensor, model: TinyModel, random: np.random.Generator
) -> None:
    shape = tensor.shape[::-1]
    if tensor.kind == "experts":
        rows = [random.permutation(4)[: shape[1]] for _ in range(shape[0])]
        writer.add_tensor(tensor.name, np.asarray(rows, np.int32))
        return
    if tensor.kind == "norm":
        fill = np.zeros if tensor.name.endswith(".bias") else np.ones
        writer.add_tensor(tensor.name, fill(shape, np.float32))
        return
    values = random.standard_normal(shape, np.float32) / np.float32(np.sqrt(tensor.shape[0]))
    if tensor.kind == "f32" or model.quantization == "F32":
        writer.add_tensor(tensor.name, values)
        return
    quant_type = QuantType[model.quantization]
    quantized = gguf.quants.quantize(values, quant_type)
    writer.add_tensor(tensor.name, quantized, raw_dtype=quant_type)


def _write(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
