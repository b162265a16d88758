"""A plan: what to set, what every device will hold, how fast it will be. Pure, no Qt here."""

from __future__ import annotations

import enum
from dataclasses import dataclass

CPU = "CPU"
# An answer slower than this is not worth waiting for.
SENSIBLE_TOK_S = 0.5


class Profile(enum.StrEnum):
    """What a plan is best at."""

    DECODE = "decode"
    PREFILL = "prefill"
    BALANCED = "balanced"


class Tier(enum.StrEnum):
    """Where a plan's figures come from: closed formulas, or llama.cpp's own dry run."""

    FAST = "fast"
    EXACT = "exact"


@dataclass(frozen=True)
class Override:
    """Tensors whose name matches ``pattern`` (regular expression, searched) go to ``device``."""

    pattern: str
    device: str


@dataclass(frozen=True)
class PlanSettings:
    """What llama.cpp is given; the same words and defaults as the engine's LoadSettings.

    ``devices`` are ggml names in llama.cpp's order; an empty tuple means the CPU alone.
    ``n_gpu_layers`` counts the output layer: 0 to ``n_layer_all + 1``, never negative.
    """

    n_ctx: int
    n_batch: int = 2048
    n_ubatch: int = 512
    n_gpu_layers: int = 0
    devices: tuple[str, ...] = ()
    tensor_split: tuple[float, ...] = ()
    overrides: tuple[Override, ...] = ()
    type_k: str = "f16"
    type_v: str = "f16"
    flash_attn: str = "on"
    op_offload: bool = True
    offload_kqv: bool = True
    use_extra_bufts: bool = True
    no_host: bool = False
    load_mode: str = "mmap"
    n_outputs_max: int = 1
    n_threads: int = 0


@dataclass(frozen=True)
class BufferBytes:
    """What one of llama.cpp's buffer types holds, as its own account splits it.

    ``buffer`` is llama.cpp's name (CPU, CPU_REPACK, AMX, CUDA_Host, CUDA0 ...); ``device`` is the
    device it is counted to (host buffers: CPU).
    """

    buffer: str
    device: str
    weights_bytes: int = 0
    kv_bytes: int = 0
    compute_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """All three together."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes


@dataclass(frozen=True)
class DevicePlan:
    """What a device will hold; the four weight parts sum up to ``weights_bytes``.

    ``dense_bytes`` is everything that is neither attention nor an expert: dense feed-forward,
    embeddings, output, norms, routers. ``budget_bytes`` is what the plan may use of it.
    """

    name: str
    kind: str
    description: str
    attention_bytes: int
    dense_bytes: int
    shared_bytes: int
    routed_bytes: int
    kv_bytes: int
    compute_bytes: int
    output_bytes: int
    total_bytes: int
    free_bytes: int
    budget_bytes: int

    @property
    def weights_bytes(self) -> int:
        """All weights."""
        return self.attention_bytes + self.dense_bytes + self.shared_bytes + self.routed_bytes

    @property
    def used_bytes(self) -> int:
        """Everything that the plan puts there."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.output_bytes

    @property
    def fits(self) -> bool:
        """Whether it stays within its budget."""
        return self.used_bytes <= self.budget_bytes


@dataclass(frozen=True)
class HostPlan:
    """Host memory by kind, in bytes.

    Attributes:
        anonymous_bytes: can never be given back: KV, compute, output, repacked and copied weights.
        pinned_bytes: page-locked for a GPU, part of no other figure.
        page_cache_bytes: weights used in place in the file's pages; read again when dropped.
        load_read_bytes: read from the disk while loading.
        disk_bytes: the part of ``page_cache_bytes`` that RAM cannot hold: read while answering.
    """

    anonymous_bytes: int
    pinned_bytes: int
    page_cache_bytes: int
    load_read_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class SpeedRange:
    """Tokens per second: the likely value and the range around it."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True)
class Memory:
    """The account of one set of settings.

    ``buffers`` is what llama.cpp itself would report, ``devices`` the same per device.
    """

    buffers: tuple[BufferBytes, ...]
    devices: tuple[DevicePlan, ...]
    host: HostPlan


@dataclass(frozen=True)
class Speed:
    """Predicted speed with what limits it.

    Attributes:
        bound_by: resource that takes most of a token's time in decode, such as ``ram_bandwidth``.
        prefill_bound_by: the same for prefill.
        decode_parts_s: seconds per token by resource, in decode.
        prefill_parts_s: seconds per token by resource, in prefill.
    """

    decode: SpeedRange
    prefill: SpeedRange
    bound_by: str
    prefill_bound_by: str
    decode_parts_s: tuple[tuple[str, float], ...] = ()
    prefill_parts_s: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Alternative:
    """Another way to run it, or something else to run, in words and figures.

    ``kind``: ``plan`` (the runner-up and what each fixed wish costs), ``smaller_quant``,
    ``distill``, ``less_context``, ``more_vram``, ``more_ram``. ``releases``: the field of Wishes
    whose price this is; releasing it leads to ``settings``.
    """

    kind: str
    text: str
    settings: PlanSettings | None = None
    decode_tok_s: float | None = None
    prefill_tok_s: float | None = None
    needed_bytes: int | None = None
    releases: str = ""


@dataclass(frozen=True)
class Plan:
    """What to set for one checkpoint on one machine, with everything that follows from it.

    Attributes:
        fits: whether every device stays within its budget and RAM holds what must be held.
        fixed: names of the settings that the user fixed and the plan kept.
        explanation, warnings: whole sentences.
    """

    fits: bool
    tier: Tier
    profile: Profile
    settings: PlanSettings
    memory: Memory
    speed: Speed
    fixed: tuple[str, ...]
    explanation: tuple[str, ...]
    warnings: tuple[str, ...]
    llama_cpp_flags: tuple[str, ...]
    alternatives: tuple[Alternative, ...]
