"""What the user fixed; everything else is for the planner to choose. Pure, no Qt here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from models.planner.plan import Override, Profile

FLASH_ATTN = ("on", "off", "auto")
LOAD_MODES = ("mmap", "none", "mlock", "mmap_mlock", "direct_io")


@dataclass(frozen=True)
class Wishes:
    """Fixed values; None (or an empty mapping) leaves the choice to the planner.

    Attributes:
        type_k, type_v: KV types; MLA checkpoints need both alike.
        gpu_share: per ggml device name, the share of its free memory that may be used, 0 to 1.
        expert_layers: how many layers' routed experts shall lie on GPUs.
        devices: the ggml devices that may be used; empty tuple: CPU only.
        margin_bytes: what stays free on every GPU; ``ram_margin_bytes``: of RAM.
    """

    profile: Profile = Profile.BALANCED
    n_ctx: int | None = None
    type_k: str | None = None
    type_v: str | None = None
    flash_attn: str | None = None
    n_ubatch: int | None = None
    n_gpu_layers: int | None = None
    tensor_split: tuple[float, ...] | None = None
    overrides: tuple[Override, ...] | None = None
    op_offload: bool | None = None
    use_extra_bufts: bool | None = None
    load_mode: str | None = None
    n_outputs_max: int | None = None
    n_threads: int | None = None
    expert_layers: int | None = None
    devices: tuple[str, ...] | None = None
    gpu_share: Mapping[str, float] = field(default_factory=dict)
    margin_bytes: int | None = None
    ram_margin_bytes: int | None = None


def changed_names(wishes: Wishes) -> tuple[str, ...]:
    """Return the names of what is not as it is by itself, in the order of their declaration."""
    free = Wishes()
    return tuple(
        field.name
        for field in fields(Wishes)
        if getattr(wishes, field.name) != getattr(free, field.name)
    )


def fixed_names(wishes: Wishes) -> tuple[str, ...]:
    """Return the names of what the planner must not choose; a profile fixes nothing."""
    return tuple(name for name in changed_names(wishes) if name != "profile")


def kv_types(wishes: Wishes) -> tuple[str, str]:
    """Return the types of K and V; one that is fixed alone stands for both."""
    return (wishes.type_k or wishes.type_v or "f16", wishes.type_v or wishes.type_k or "f16")
