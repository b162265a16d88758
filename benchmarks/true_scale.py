"""DeepSeek checkpoints at full size without their weights: ``python benchmarks/true_scale.py``.

Prints every checkpoint that the benchmarks plan for: what it stands for, parameters, size beside
the published one, what is known and what is assumed. ``--write FOLDER [NAME ...]`` puts them there
as sparse files that llama.cpp's dry run takes.

The headers of tests/data/headers come first; the rest is written here from the published
``config.json`` values, with the types that ``llama-quantize`` chooses (src/llama-quant.cpp,
``llama_tensor_get_type_impl`` and ``tensor_type_fallback``, without an imatrix). Vocabularies have
the right number of tokens, but made-up ones and few merges: 2 to 4 MB of a file are missing.

Published sizes are those on the cards of bartowski, unsloth and TheBloke and in Ollama's library;
V3's and those of the 7B and 14B distills were looked up, the others are as remembered.
"""

from __future__ import annotations

import argparse
import functools
import math
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.raw_gguf import (  # noqa: E402
    BOOL,
    F32,
    STRING,
    array_entry,
    entry,
    string_entry,
    tensor,
    text,
    u32_entry,
)
from helpers.true_scale import TrueScale, true_scale  # noqa: E402
from models.gguf.header import parse_header  # noqa: E402
from models.gguf.header_file import HeaderFile  # noqa: E402
from models.gguf.parameters import parameters_of  # noqa: E402
from models.gguf.shape_reader import read_shape  # noqa: E402
from models.gguf.source import BytesSource  # noqa: E402
from models.gguf.types import GGML_TYPES  # noqa: E402

ALIGNMENT = 32
MERGES = 1000
_I32 = 5
_TYPES = {kind.name: (number, kind) for number, kind in GGML_TYPES.items()}
# tensor_type_fallback: what takes the place of a type with blocks of 256 in shorter rows.
_FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_FILE_TYPES = {"Q4_K_M": 15, "Q8_0": 7}


@dataclass(frozen=True)
class Experts:
    """A mixture of experts; ``gating`` 1 is softmax, 2 sigmoid (llama.cpp's numbers)."""

    n_expert: int
    n_used: int
    n_shared: int
    n_ff: int
    n_dense: int
    scale: float = 1.0
    norm: bool = False
    gating: int = 1


@dataclass(frozen=True)
class Latent:
    """Latent attention: ranks, and the sizes of a head's parts."""

    q_lora: int
    kv_lora: int
    nope: int
    rope: int
    v: int


@dataclass(frozen=True)
class Config:
    """What ``config.json`` of a checkpoint says, in llama.cpp's words."""

    architecture: str
    n_vocab: int
    n_embd: int
    n_layer: int
    n_head: int
    n_head_kv: int
    n_ff: int
    n_ctx: int
    tokenizer: str
    rope_base: float = 10000.0
    linear_scale: float = 0.0
    experts: Experts | None = None
    latent: Latent | None = None
    quant: str = "Q4_K_M"

    @property
    def n_head_size(self) -> int:
        """Elements of an attention head where it is not latent."""
        return self.n_embd // self.n_head


@dataclass(frozen=True)
class Entry:
    """A checkpoint of the list.

    Attributes:
        stands_for: published checkpoints with the same numbers.
        published_gb: size of a published file of this quant in 10^9 bytes, 0 where none is known.
        assumed: what is not known for sure.
        config: None where the header lies in tests/data/headers.
    """

    name: str
    stands_for: str
    published_gb: float = 0.0
    assumed: str = ""
    config: Config | None = None


_DYNAMIC = "the mix of a dynamic quant"
_LLM = "deepseek-llm"
_CODER = "deepseek-coder"
_QWEN = "deepseek-r1-qwen"
_V2 = Config(
    "deepseek2",
    n_vocab=102400,
    n_embd=5120,
    n_layer=60,
    n_head=128,
    n_head_kv=1,
    n_ff=12288,
    n_ctx=163840,
    tokenizer=_LLM,
    experts=Experts(160, 6, 2, 1536, n_dense=1, scale=16.0),
    latent=Latent(q_lora=1536, kv_lora=512, nope=128, rope=64, v=128),
)
_QWEN_14B = Config("qwen2", 152064, 5120, 48, 40, 8, 13824, 131072, _QWEN, rope_base=1e6)
_QWEN_32B = Config("qwen2", 152064, 5120, 64, 40, 8, 27648, 131072, _QWEN, rope_base=1e6)
_LLAMA_70B = Config("llama", 128256, 8192, 80, 64, 8, 28672, 131072, "llama-bpe", rope_base=5e5)
_LLM_7B = Config("llama", 102400, 4096, 30, 32, 32, 11008, 4096, _LLM)
_PROVER_7B = Config("llama", 102400, 4096, 30, 32, 32, 11008, 32768, _LLM)
_LLM_67B = Config("llama", 102400, 8192, 95, 64, 8, 22016, 4096, _LLM)
_CODER_7B = Config(
    "llama", 32256, 4096, 32, 32, 32, 11008, 16384, _CODER, rope_base=1e5, linear_scale=4.0
)
_CODER_33B = Config(
    "llama", 32256, 7168, 62, 56, 8, 19200, 16384, _CODER, rope_base=1e5, linear_scale=4.0
)
_MOE_16B = Config(
    "deepseek",
    102400,
    2048,
    28,
    16,
    16,
    10944,
    4096,
    _LLM,
    experts=Experts(64, 6, 2, 1408, n_dense=1),
)
_OCR = Config(
    "deepseek2-ocr",
    129280,
    1280,
    12,
    10,
    10,
    6848,
    8192,
    "deepseek-v3",
    experts=Experts(64, 6, 2, 896, n_dense=1),
    quant="Q8_0",
)

ENTRIES = (
    Entry("v3-q8", "V3, R1, V3.1, Prover V2 671B", 713.29),
    Entry("v3-q4km", "V3, R1, V3.1, Prover V2 671B", 404.43, "types of attn_k_b and attn_v_b"),
    Entry("v3-iq1m", "V3, R1 671B", 158.0, _DYNAMIC),
    Entry("v3-legacy-q4km", "V3, R1 671B before MLA", 404.43),
    Entry("v32-q4km", "V3.2 with its MTP layer", 0.0, "types of the indexer's weights"),
    Entry("v4f-mxfp4", "V4-Flash", 0.0, "rope, and types beside the experts"),
    Entry("v2-q4km", "V2, V2.5, Coder-V2 236B", 142.45, config=_V2),
    Entry("v2lite-q4km", "V2-Lite, Coder-V2-Lite 16B", 10.36),
    Entry("v2lite-q8", "V2-Lite, Coder-V2-Lite 16B", 16.70),
    Entry("moe16b-q4km", "MoE 16B", config=_MOE_16B),
    Entry("ocr-q8", "OCR 3B, its language part", config=_OCR),
    Entry("qwen15-q4km", "R1-Distill-Qwen-1.5B", 1.12),
    Entry("qwen7-q4km", "R1-Distill-Qwen-7B", 4.68),
    Entry("qwen14-q4km", "R1-Distill-Qwen-14B", 8.99, config=_QWEN_14B),
    Entry("qwen32-q4km", "R1-Distill-Qwen-32B", 19.85, config=_QWEN_32B),
    Entry("llama8-q4km", "R1-Distill-Llama-8B", 4.92),
    Entry("llama70-q4km", "R1-Distill-Llama-70B", 42.52, config=_LLAMA_70B),
    Entry("qwen38-q4km", "R1-0528-Qwen3-8B", 5.03),
    Entry("llm7-q4km", "LLM 7B", 4.22, config=_LLM_7B),
    Entry("prover7-q4km", "Prover-V2-7B", 4.22, config=_PROVER_7B),
    Entry("llm67-q4km", "LLM 67B", config=_LLM_67B),
    Entry("coder7-q4km", "Coder 6.7B", 4.08, config=_CODER_7B),
    Entry("coder33-q4km", "Coder 33B", 19.94, config=_CODER_33B),
)
NAMES = tuple(found.name for found in ENTRIES)


@functools.cache
def checkpoint(name: str) -> TrueScale:
    """Return a checkpoint of the list: its header as a file, and its shape."""
    (found,) = (each for each in ENTRIES if each.name == name)
    if found.config is None:
        return true_scale(name)
    header, size_bytes = header_of(found.config, found.stands_for)
    file = HeaderFile(f"{name}.gguf", size_bytes, header=header)
    source = BytesSource(header, name=file.name, size_bytes=size_bytes)
    return TrueScale(name, (file,), read_shape([parse_header(source)], [source]))


def header_of(config: Config, title: str) -> tuple[bytes, int]:
    """Return a checkpoint's metadata and tensor infos, and the size of the whole file in bytes."""
    entries = [*_metadata(config, title), *_vocabulary(config)]
    infos, offset = [], 0
    for name, shape in _tensors(config):
        number, kind = _TYPES[type_of(config, name, shape)]
        elements = math.prod(shape)
        infos.append(tensor(name, shape, number, offset))
        size = elements // kind.block_elements * kind.block_bytes
        offset += size + -size % ALIGNMENT
    counts = struct.pack("<IQQ", 3, len(infos), len(entries))
    header = b"".join((b"GGUF", counts, *entries, *infos))
    padded = header.ljust(len(header) + -len(header) % ALIGNMENT, b"\0")
    return padded, len(padded) + offset


# --- metadata -----------------------------------------------------------------------------------


def _f32(key: str, value: float) -> bytes:
    return entry(key, F32, struct.pack("<f", value))


def _metadata(config: Config, title: str) -> Iterator[bytes]:
    arch = config.architecture
    yield string_entry("general.architecture", arch)
    yield string_entry("general.name", title)
    yield u32_entry("general.file_type", _FILE_TYPES[config.quant])
    yield u32_entry("general.quantization_version", 2)
    numbers = {
        "block_count": config.n_layer,
        "context_length": config.n_ctx,
        "embedding_length": config.n_embd,
        "feed_forward_length": config.n_ff,
        "attention.head_count": config.n_head,
        "attention.head_count_kv": config.n_head_kv,
        "vocab_size": config.n_vocab,
    }
    if config.latent is None:
        numbers["rope.dimension_count"] = config.n_head_size
    yield from (u32_entry(f"{arch}.{key}", value) for key, value in numbers.items())
    yield _f32(f"{arch}.rope.freq_base", config.rope_base)
    yield _f32(f"{arch}.attention.layer_norm_rms_epsilon", 1e-6)
    if config.linear_scale:
        yield string_entry(f"{arch}.rope.scaling.type", "linear")
        yield _f32(f"{arch}.rope.scaling.factor", config.linear_scale)
    if config.experts:
        yield from _expert_metadata(arch, config.experts)
    if config.latent:
        yield from _latent_metadata(arch, config.latent)


def _expert_metadata(arch: str, experts: Experts) -> Iterator[bytes]:
    numbers = {
        "leading_dense_block_count": experts.n_dense,
        "expert_feed_forward_length": experts.n_ff,
        "expert_count": experts.n_expert,
        "expert_used_count": experts.n_used,
        "expert_shared_count": experts.n_shared,
        "expert_gating_func": experts.gating,
    }
    yield from (u32_entry(f"{arch}.{key}", value) for key, value in numbers.items())
    yield _f32(f"{arch}.expert_weights_scale", experts.scale)
    yield entry(f"{arch}.expert_weights_norm", BOOL, struct.pack("<?", experts.norm))


def _latent_metadata(arch: str, latent: Latent) -> Iterator[bytes]:
    numbers = {
        "attention.q_lora_rank": latent.q_lora,
        "attention.kv_lora_rank": latent.kv_lora,
        "attention.key_length": latent.kv_lora + latent.rope,
        "attention.value_length": latent.kv_lora,
        "attention.key_length_mla": latent.nope + latent.rope,
        "attention.value_length_mla": latent.v,
        "rope.dimension_count": latent.rope,
        "rope.scaling.original_context_length": 4096,
    }
    yield from (u32_entry(f"{arch}.{key}", value) for key, value in numbers.items())
    yield string_entry(f"{arch}.rope.scaling.type", "yarn")
    yield _f32(f"{arch}.rope.scaling.factor", 40.0)
    yield _f32(f"{arch}.rope.scaling.yarn_log_multiplier", 0.1)


def _vocabulary(config: Config) -> Iterator[bytes]:
    """Yield a tokenizer of the right size: bytes, some pairs of them, and made-up tokens."""
    letters = [chr(code) for code in range(0x21, 0x17F) if code not in (0x7F, 0xAD)]
    pairs = [(a, b) for a in letters[:40] for b in letters[:40]][:MERGES]
    tokens = ["<bos>", "<eos>", *letters, *(a + b for a, b in pairs)]
    tokens += [f"<t{number}>" for number in range(len(tokens), config.n_vocab)]
    merges = b"".join(text(f"{a} {b}") for a, b in pairs)
    kinds = [3, 3] + [1] * (len(tokens) - 2)
    yield string_entry("tokenizer.ggml.model", "gpt2")
    yield string_entry("tokenizer.ggml.pre", config.tokenizer)
    packed = b"".join(map(text, tokens))
    yield array_entry("tokenizer.ggml.tokens", STRING, len(tokens), packed)
    numbers = struct.pack(f"<{len(kinds)}i", *kinds)
    yield array_entry("tokenizer.ggml.token_type", _I32, len(kinds), numbers)
    yield array_entry("tokenizer.ggml.merges", STRING, len(pairs), merges)
    yield u32_entry("tokenizer.ggml.bos_token_id", 0)
    yield u32_entry("tokenizer.ggml.eos_token_id", 1)


# --- tensors ------------------------------------------------------------------------------------

Named = tuple[str, tuple[int, ...]]


def _tensors(config: Config) -> Iterator[Named]:
    """Yield names and shapes as src/models/{llama,qwen2,deepseek,deepseek2}.cpp want them."""
    yield "token_embd.weight", (config.n_embd, config.n_vocab)
    yield "output_norm.weight", (config.n_embd,)
    yield "output.weight", (config.n_embd, config.n_vocab)
    if config.tokenizer == "llama-bpe":
        yield "rope_freqs.weight", (config.n_head_size // 2,)
    for layer in range(config.n_layer):
        norm = (config.n_embd,)
        blocks: list[Named] = [("attn_norm.weight", norm), ("ffn_norm.weight", norm)]
        blocks += _latent_attention(config) if config.latent else _attention(config)
        blocks += _feed_forward(config, layer)
        yield from ((f"blk.{layer}.{name}", shape) for name, shape in blocks)


def _attention(config: Config) -> list[Named]:
    n_q = config.n_head * config.n_head_size
    n_kv = config.n_head_kv * config.n_head_size
    found: list[Named] = []
    for name, n_out in (("attn_q", n_q), ("attn_k", n_kv), ("attn_v", n_kv)):
        found.append((f"{name}.weight", (config.n_embd, n_out)))
        if config.architecture == "qwen2":
            found.append((f"{name}.bias", (n_out,)))
    return [*found, ("attn_output.weight", (n_q, config.n_embd))]


def _latent_attention(config: Config) -> list[Named]:
    latent, n_embd, n_head = config.latent, config.n_embd, config.n_head
    assert latent is not None
    return [
        ("attn_q_a.weight", (n_embd, latent.q_lora)),
        ("attn_q_a_norm.weight", (latent.q_lora,)),
        ("attn_q_b.weight", (latent.q_lora, n_head * (latent.nope + latent.rope))),
        ("attn_kv_a_mqa.weight", (n_embd, latent.kv_lora + latent.rope)),
        ("attn_kv_a_norm.weight", (latent.kv_lora,)),
        ("attn_k_b.weight", (latent.nope, latent.kv_lora, n_head)),
        ("attn_v_b.weight", (latent.kv_lora, latent.v, n_head)),
        ("attn_output.weight", (n_head * latent.v, n_embd)),
    ]


def _feed_forward(config: Config, layer: int) -> list[Named]:
    n_embd, experts = config.n_embd, config.experts
    if experts is None or layer < experts.n_dense:
        return _gated("", n_embd, config.n_ff)
    router: list[Named] = [("ffn_gate_inp.weight", (n_embd, experts.n_expert))]
    routed = _gated("_exps", n_embd, experts.n_ff, experts.n_expert)
    return router + routed + _gated("_shexp", n_embd, experts.n_ff * experts.n_shared)


def _gated(suffix: str, n_embd: int, n_ff: int, *count: int) -> list[Named]:
    return [
        (f"ffn_gate{suffix}.weight", (n_embd, n_ff, *count)),
        (f"ffn_down{suffix}.weight", (n_ff, n_embd, *count)),
        (f"ffn_up{suffix}.weight", (n_embd, n_ff, *count)),
    ]


def type_of(config: Config, name: str, shape: tuple[int, ...]) -> str:
    """Return the type that llama-quantize gives a tensor (src/llama-quant.cpp)."""
    if len(shape) < 2 or "_norm" in name or "ffn_gate_inp" in name:
        return "F32"
    if config.quant == "Q8_0":
        return "Q8_0"
    wanted = _mixed(config, name)
    if shape[0] % _TYPES[wanted][1].block_elements:
        wanted = _FALLBACK[wanted]
    return wanted if shape[0] % _TYPES[wanted][1].block_elements == 0 else "F16"


def _mixed(config: Config, name: str) -> str:
    """Return what Q4_K_M means for a tensor, before it is known to fit its rows."""
    if name == "output.weight":
        return "Q6_K"
    layer = int(name.split(".")[1]) if name.startswith("blk.") else 0
    is_value = "attn_v.weight" in name
    if (is_value or "ffn_down" in name) and _more_bits(layer, config.n_layer):
        return "Q6_K"
    # LLM_TYPE_70B: eight heads share the values, so more bits cost little.
    return "Q5_K" if is_value and config.n_layer == 80 else "Q4_K"


def _more_bits(layer: int, n_layers: int) -> bool:
    eighth = n_layers // 8
    return layer < eighth or layer >= 7 * n_layers // 8 or (layer - eighth) % 3 == 2


# --- as a program -------------------------------------------------------------------------------


def row_of(found: Entry) -> str:
    """Return a line of the Markdown table."""
    ours = checkpoint(found.name)
    size_gb = sum(file.size_bytes for file in ours.files) / 1e9
    published = f"{found.published_gb:.2f}" if found.published_gb else "-"
    off = f"{100 * (size_gb / found.published_gb - 1):+.1f} %" if found.published_gb else "-"
    counts = parameters_of(ours.shape)
    known = found.assumed or "-"
    return (
        f"| {found.name} | {found.stands_for} | {counts.total / 1e9:.1f} B "
        f"({counts.active / 1e9:.1f} B) | {size_gb:.2f} | {published} | {off} | {known} |"
    )


def write(folder: Path, names: list[str]) -> None:
    """Put checkpoints into a folder as sparse files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        for file in checkpoint(name).files:
            path = folder / file.name
            path.write_bytes(file.header)
            with path.open("r+b") as out:
                out.truncate(file.size_bytes)


def main() -> None:
    """Print the table, or write files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    if options.write:
        write(options.write, options.names or list(NAMES))
        return
    print("| name | stands for | parameters (active) | GB | published GB | off | assumed |")
    print("|---|---|---|---|---|---|---|")
    for found in ENTRIES:
        if not options.names or found.name in options.names:
            print(row_of(found))


if __name__ == "__main__":
    main()
