"""Refuses hyper-parameters on which llama.cpp aborts instead of failing. No Qt here.

llama.cpp checks these with GGML_ASSERT, which ends the process without a word that a user could
read. The rules are those of ``llama_model_base::load_hparams`` (src/llama-model.cpp) and of the
DeepSeek models (src/models/deepseek*.cpp) of the llama.cpp in llama-cpp-python 0.3.36. What
llama.cpp refuses with a message of its own is left to it.
"""

from __future__ import annotations

from models.gguf.architectures import RECURRENT_ARCHITECTURES
from models.gguf.header import ArrayInfo, GgufHeader
from models.gguf.keys import MAX_LAYERS, MAX_U32, ArchitectureKeys
from models.gguf.source import ByteSource

MAX_EXPERTS = 1024

_MAX_HEADS = 65_536
_ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")
_MLA_ARCHITECTURES = ("deepseek2", "deepseek32")
# One size for keys, values and the turned part of a head.
_PLAIN_ARCHITECTURES = ("deepseek", "llama", "qwen2", "qwen3")
# Their indexer keys are rotated by Hadamard matrices of 64 and larger (llama-kv-cache.cpp).
_INDEXER_ARCHITECTURES = ("deepseek32", "deepseek4")
_INDEXER_BLOCK = 64
# enum llama_expert_gating_func_type, where 0 means that the file does not say.
_LAST_GATING = 4
_MAX_WINDOW = 2**24
_MAX_SINKHORN_ITERATIONS = 1000
# These drop a count of one expert before they check it.
_FORGIVING_ARCHITECTURES = ("hunyuan_vl", "hunyuan-dense")


def check_hyperparameters(
    header: GgufHeader, architecture: str, source: ByteSource | None = None
) -> None:
    """Check the numbers that llama.cpp trusts.

    ``source`` is needed only for lists of numbers that the header's reader did not keep.

    Raises:
        CorruptGgufError: one of them is missing or cannot be true; ``offset`` is its key's.
    """
    _Check(header, architecture, source).run()


class _Check(ArchitectureKeys):
    def run(self) -> None:
        layers = self.needed("block_count", 1, MAX_LAYERS)
        mtp_layers = self.given("nextn_predict_layers", 0)
        if mtp_layers >= layers:
            self.refuse("nextn_predict_layers", mtp_layers, f"0 to {layers - 1}")
        self.needed("context_length", 1, MAX_U32)
        self.needed("embedding_length", 1, MAX_U32)
        self._check_heads(layers)
        self._check_experts(layers)
        self._check_rope()
        self._check_epsilons()
        if self.architecture in _MLA_ARCHITECTURES:
            self._check_mla()
        if self.architecture in _INDEXER_ARCHITECTURES:
            self._check_indexer()
        if self.architecture in _PLAIN_ARCHITECTURES:
            self._check_equal("attention.value_length", "attention.key_length")
            self._check_equal("rope.dimension_count", "attention.key_length")
        if self.architecture == "deepseek4":
            self._check_deepseek4(layers)
        if self.architecture == "deepseek2-ocr":
            self._check_ocr()

    def _check_heads(self, layers: int) -> None:
        if self.architecture in RECURRENT_ARCHITECTURES:
            return
        heads = self.per_layer("attention.head_count", layers)
        kv_heads = self.per_layer("attention.head_count_kv", layers)
        # One number for all layers must be a real one; lists of hybrid models may hold zeros.
        if len(heads) == 1 and heads[0] == 0:
            self.refuse("attention.head_count", 0, f"1 to {_MAX_HEADS}")
        if not heads and self.architecture.startswith("deepseek"):
            self.needed("attention.head_count", 1, _MAX_HEADS)
        for key, counts in (("head_count", heads), ("head_count_kv", kv_heads)):
            if counts and max(counts) > _MAX_HEADS:
                self.refuse(f"attention.{key}", max(counts), f"at most {_MAX_HEADS}")
        if len(heads) == len(kv_heads) == 1 and kv_heads[0] and heads[0] % kv_heads[0]:
            self.refuse("attention.head_count_kv", kv_heads[0], f"a divisor of {heads[0]}")

    def _check_experts(self, layers: int) -> None:
        experts = self.given("expert_count", 0)
        if experts <= 1 and self.architecture in _FORGIVING_ARCHITECTURES:
            return
        used = max(self.per_layer("expert_used_count", layers), default=0)
        if experts > MAX_EXPERTS:
            self.refuse("expert_count", experts, f"at most {MAX_EXPERTS}")
        if used > experts or (experts > 0 and used == 0):
            self.refuse("expert_used_count", used, f"1 to {experts}" if experts else "0")
        least = 1 if self.architecture == "deepseek32" else 0
        gating = self.given("expert_gating_func", least)
        if not least <= gating <= _LAST_GATING:
            self.refuse("expert_gating_func", gating, f"{least} to {_LAST_GATING}")
        self._check_expert_groups(experts)

    def _check_expert_groups(self, experts: int) -> None:
        groups = self.given("expert_group_count", 0)
        used_groups = self.given("expert_group_used_count", 0)
        if groups and groups >= experts:
            self.refuse("expert_group_count", groups, f"below {experts}")
        if groups > 1 and experts % groups:
            self.refuse("expert_group_count", groups, f"a divisor of {experts}")
        if groups > 1 and not 0 < used_groups < groups:
            self.refuse("expert_group_used_count", used_groups, f"1 to {groups - 1}")

    def _check_rope(self) -> None:
        key = self.key("rope.scaling.type")
        kind = self.header.metadata.get(key, "none")
        if kind not in _ROPE_SCALINGS:
            self.refuse("rope.scaling.type", str(kind)[:80], ", ".join(_ROPE_SCALINGS))
        dimensions = self.given("rope.dimension_count", 0)
        if dimensions % 2:
            self.refuse("rope.dimension_count", dimensions, "an even number")

    def _check_epsilons(self) -> None:
        for name in ("attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"):
            value = self.header.metadata.get(self.key(name), 0.0)
            if not isinstance(value, float) or not 0.0 <= value < 1.0:
                self.refuse(name, str(value)[:80], "0 to 1")

    def _check_mla(self) -> None:
        key_length = self.given("attention.key_length_mla", 0)
        value_length = self.given("attention.value_length_mla", 0)
        if bool(key_length) != bool(value_length):
            self.refuse("attention.value_length_mla", value_length, "set with key_length_mla")
        head_size = key_length or self.head_size("attention.key_length")
        rope = self.given("rope.dimension_count", self.head_size("attention.key_length"))
        if rope >= head_size:
            self.refuse("rope.dimension_count", rope, f"below {head_size}")
        if key_length:
            # What the cache holds of a token: the compressed part, and the turned one behind it.
            rank = self.needed("attention.kv_lora_rank", 1, MAX_U32)
            sizes = {"attention.key_length": rank + rope, "attention.value_length": rank}
            for name, size in sizes.items():
                if self.given(name, size) != size:
                    self.refuse(name, self.given(name, size), str(size))

    def _check_indexer(self) -> None:
        size = self.needed("attention.indexer.key_length", 1, MAX_U32)
        rope = self.given("rope.dimension_count", self.head_size("attention.key_length"))
        if size % _INDEXER_BLOCK or size < rope:
            expected = f"a multiple of {_INDEXER_BLOCK}, at least {rope}"
            self.refuse("attention.indexer.key_length", size, expected)

    def _check_deepseek4(self, layers: int) -> None:
        self._check_equal("attention.value_length", "attention.key_length")
        self.needed("attention.sliding_window", 1, _MAX_WINDOW)
        self.needed("attention.output_group_count", 1, _MAX_HEADS)
        self.needed("hyper_connection.sinkhorn_iterations", 1, _MAX_SINKHORN_ITERATIONS)
        name = "attention.compress_ratios"
        ratios = self.header.metadata.get(self.key(name))
        count = ratios.count if isinstance(ratios, ArrayInfo) else 0
        if not layers <= count <= MAX_LAYERS:
            self.refuse(name, f"a list of {count:,}", f"{layers} to {MAX_LAYERS} numbers")

    def _check_ocr(self) -> None:
        base = self.header.metadata.get(self.key("rope.freq_base"), 10000.0)
        if base != 10000.0:
            self.refuse("rope.freq_base", str(base)[:80], "10000")

    def _check_equal(self, name: str, other: str) -> None:
        expected = self.head_size(other)
        size = self.given(name, expected if name.startswith("rope") else self.head_size(name))
        if size != expected:
            self.refuse(name, size, str(expected))
