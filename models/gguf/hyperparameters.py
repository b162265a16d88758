"""The numbers of a checkpoint's architecture, as llama.cpp reads them. No Qt, no tensors here.

Follows ``llama_model_base::load_hparams`` (src/llama-model.cpp) and ``load_arch_hparams`` of the
models (src/models/*.cpp) of the llama.cpp in llama-cpp-python 0.3.36.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from models.errors import CorruptGgufError
from models.gguf.architectures import KNOWN_ARCHITECTURES, OTHER_PURPOSES
from models.gguf.header import ArrayInfo, GgufHeader
from models.gguf.keys import MAX_LAYERS, MAX_U32, ArchitectureKeys
from models.gguf.sanity import check_hyperparameters
from models.gguf.shape import AttentionKind, KvShape, ModelShape
from models.gguf.source import ByteSource

ARCHITECTURE_KEY = "general.architecture"
TOKENS_KEY = "tokenizer.ggml.tokens"
# What is read by the rules of its own model in llama.cpp; everything else is approximate.
EXACT_ARCHITECTURES = frozenset(
    {
        "deepseek",
        "deepseek2",
        "deepseek2-ocr",
        "deepseek32",
        "deepseek4",
        "llama",
        "qwen2",
        "qwen3",
    }
)
COMPRESS_RATIOS = (0, 4, 128)


@dataclass(frozen=True)
class Hyperparameters:
    """What the metadata alone says; names and units as in ``ModelShape``.

    ``n_layer_mtp`` is the header's word: whether the blocks are there, the tensors decide.
    ``n_vocab`` is 0 when the metadata does not say it.
    """

    architecture: str
    is_approximate: bool
    n_layer_all: int
    n_layer_mtp: int
    n_layer_dense: int
    n_embd: int
    n_head: int
    n_ff: int
    n_vocab: int
    n_ctx_train: int
    n_expert: int
    n_expert_used: int
    n_expert_shared: int
    n_ff_expert: int
    kv: KvShape
    q_lora_rank: int
    kv_lora_rank: int
    rope_length: int
    value_head_length: int
    n_hyper_connection: int
    n_expert_groups: int

    def bare_shape(self, name: str, quantization: str) -> ModelShape:
        """Return the shape as far as it is known without tensors and files."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}
        return ModelShape(name=name, quantization=quantization, **numbers)


def architecture_of(header: GgufHeader) -> str:
    """Return the architecture's name.

    Raises:
        CorruptGgufError: the header does not say it.
    """
    architecture = header.text(ARCHITECTURE_KEY)
    if not architecture:
        raise CorruptGgufError(
            f"{header.name} does not say what architecture it has.",
            offset=header.offset_of(ARCHITECTURE_KEY),
            hint="Look for another file of the model.",
        )
    return architecture


def read_hyperparameters(
    header: GgufHeader, source: ByteSource | None = None, *, n_blocks: int = 0
) -> Hyperparameters:
    """Read the numbers of a header's architecture and check them.

    Args:
        header: of the checkpoint's first file.
        source: where lists are read that the header's reader did not keep.
        n_blocks: how many blocks the tensors have, for unknown architectures that do not say it.

    Raises:
        CorruptGgufError: a number is missing or cannot be true.
    """
    architecture = architecture_of(header)
    if architecture in KNOWN_ARCHITECTURES and architecture not in OTHER_PURPOSES:
        check_hyperparameters(header, architecture, source)
    return _Reader(header, architecture, source).read(n_blocks)


class _Reader(ArchitectureKeys):
    def read(self, n_blocks: int) -> Hyperparameters:
        layers = self._layers(n_blocks)
        kind = self._kind()
        n_expert = self.given("expert_count", 0)
        n_ff = self._largest("feed_forward_length", layers, 0)
        kv = self._kv(kind, layers)
        is_latent = kind is not AttentionKind.GQA
        value_length_mla = self.given("attention.value_length_mla", 0)
        return Hyperparameters(
            architecture=self.architecture,
            is_approximate=self.architecture not in EXACT_ARCHITECTURES,
            n_layer_all=layers,
            n_layer_mtp=self._mtp_layers(layers),
            n_layer_dense=self.given("leading_dense_block_count", 0) if n_expert else layers,
            n_embd=self.given("embedding_length", 0),
            n_head=self._largest("attention.head_count", layers, 0),
            n_ff=n_ff,
            n_vocab=self._vocabulary(),
            n_ctx_train=self.given("context_length", 0),
            n_expert=n_expert,
            n_expert_used=self._largest("expert_used_count", layers, 0) if n_expert else 0,
            n_expert_shared=self.given("expert_shared_count", 0) if n_expert else 0,
            n_ff_expert=self._expert_width(layers, n_ff) if n_expert else 0,
            kv=kv,
            q_lora_rank=self._q_lora_rank() if is_latent else 0,
            kv_lora_rank=self.given("attention.kv_lora_rank", 0) if is_latent else 0,
            rope_length=self._rope_length() if is_latent else 0,
            value_head_length=value_length_mla or kv.value_length,
            n_hyper_connection=self.given("hyper_connection.count", 0),
            n_expert_groups=self.given("expert_group_count", 0) if n_expert else 0,
        )

    def _layers(self, n_blocks: int) -> int:
        if n_blocks and not self.has("block_count"):
            return min(n_blocks, MAX_LAYERS)
        return self.needed("block_count", 1, MAX_LAYERS)

    def _mtp_layers(self, layers: int) -> int:
        mtp_layers = self.given("nextn_predict_layers", 0)
        if mtp_layers >= layers:
            self.refuse("nextn_predict_layers", mtp_layers, f"0 to {layers - 1}")
        return mtp_layers

    def _kind(self) -> AttentionKind:
        """Tell the layouts of the cache apart (``llama_hparams::is_mla``, llama-hparams.cpp)."""
        has_mla_keys = self.given("attention.key_length_mla", 0) > 0
        if self.architecture == "deepseek4":
            return AttentionKind.COMPRESSED
        if self.architecture == "deepseek32":
            if not has_mla_keys:
                raise self.error(f"it lacks {self.key('attention.key_length_mla')}")
            return AttentionKind.DSA
        if self.architecture == "deepseek2" and not has_mla_keys:
            return AttentionKind.MLA_EXPANDED
        return AttentionKind.MLA if has_mla_keys else AttentionKind.GQA

    def _kv(self, kind: AttentionKind, layers: int) -> KvShape:
        has_indexer = kind in (AttentionKind.DSA, AttentionKind.COMPRESSED)
        is_compressed = kind is AttentionKind.COMPRESSED
        return KvShape(
            kind=kind,
            key_length=self.head_size("attention.key_length"),
            value_length=self.head_size("attention.value_length"),
            n_head_kv=self._kv_heads(layers),
            indexer_key_length=self._indexer("key_length") if has_indexer else 0,
            indexer_head_count=self._indexer("head_count") if has_indexer else 0,
            indexer_top_k=self._indexer("top_k") if has_indexer else 0,
            sliding_window=self.given("attention.sliding_window", 0) if is_compressed else 0,
            compress_ratios=self._compress_ratios(layers) if is_compressed else (),
        )

    def _indexer(self, name: str) -> int:
        return self.needed(f"attention.indexer.{name}", 1, MAX_U32)

    def _kv_heads(self, layers: int) -> tuple[int, ...]:
        """Return the KV heads of each layer; the default is the query heads (load_hparams)."""
        for name in ("attention.head_count_kv", "attention.head_count"):
            heads = self._numbers(name, layers)
            if heads:
                return heads * layers if len(heads) == 1 else heads
        return (0,) * layers

    def _compress_ratios(self, layers: int) -> tuple[int, ...]:
        """Return the tokens a row holds per layer; the list may go on behind the layers."""
        name = "attention.compress_ratios"
        ratios = self.per_layer(name, layers)[:layers]
        for ratio in ratios:
            if ratio not in COMPRESS_RATIOS:
                self.refuse(name, f"a list with {ratio}", "0, 4 and 128")
        return ratios

    def _expert_width(self, layers: int, n_ff: int) -> int:
        # llama.cpp's llama (Mixtral) has no key of its own for the width of its experts.
        if self.architecture == "llama":
            return n_ff
        return self._largest("expert_feed_forward_length", layers, n_ff)

    def _q_lora_rank(self) -> int:
        return 0 if self._is_lite() else self.given("attention.q_lora_rank", 0)

    def _is_lite(self) -> bool:
        """Whether llama.cpp takes the queries as not compressed (deepseek2.cpp, ``is_lite``)."""
        if self.architecture != "deepseek2":
            return False
        layers = self.given("block_count", 0) - self.given("nextn_predict_layers", 0)
        return layers in (26, 27) or (layers == 48 and self._vocabulary() == 128256)

    def _rope_length(self) -> int:
        return self.given("rope.dimension_count", self.head_size("attention.key_length"))

    def _vocabulary(self) -> int:
        tokens = self.header.metadata.get(TOKENS_KEY)
        return tokens.count if isinstance(tokens, ArrayInfo) else self.given("vocab_size", 0)

    def _largest(self, name: str, layers: int, default: int) -> int:
        return max(self._numbers(name, layers), default=default)

    def _numbers(self, name: str, layers: int) -> tuple[int, ...]:
        """Return one number for all or one for each layer, no other count of them."""
        numbers = self.per_layer(name, layers)
        value = self.header.metadata.get(self.key(name))
        if isinstance(value, ArrayInfo) and len(numbers) != layers:
            self.refuse(name, f"a list of {len(numbers):,}", f"{layers} numbers")
        return numbers
