"""Which settings are worth trying for a checkpoint on a machine. Pure, no Qt here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from models.gguf.shape import AttentionKind, ModelShape
from models.planner.machine import Machine
from models.planner.plan import PlanSettings, Profile
from models.planner.wishes import Wishes, kv_types

USUAL_UBATCH = 512
SMALL_UBATCH = 128
_UBATCHES = {
    Profile.DECODE: (USUAL_UBATCH,),
    Profile.BALANCED: (USUAL_UBATCH, 2048),
    Profile.PREFILL: (USUAL_UBATCH, 2048, 4096),
}
_LEAST_BATCH = 2048
# A reasoning answer alone takes some thousand tokens.
USUAL_CONTEXTS = (16384, 8192)
SMALL_CONTEXTS = (4096, 2048, 1024, 512)
LARGE_CONTEXT = 32768
# ggml repacks weights into AMX tiles, and context creation for latent attention then aborts
# (llama.cpp 0.5.0; measured, docs/architecture.md).
_LATENT = (
    AttentionKind.MLA,
    AttentionKind.MLA_EXPANDED,
    AttentionKind.DSA,
    AttentionKind.COMPRESSED,
)


def must_not_repack(shape: ModelShape, machine: Machine) -> bool:
    """Whether extra buffer types would abort the load: latent attention on a CPU with AMX."""
    has_amx = any(feature.startswith("AMX") for feature in machine.cpu.features)
    latent = shape.kv.kind in _LATENT or shape.architecture.startswith("deepseek2")
    return has_amx and latent


def contexts(shape: ModelShape, wishes: Wishes) -> tuple[int, ...]:
    """Return the contexts to try, the most wanted first."""
    if wishes.n_ctx is not None:
        return (wishes.n_ctx,)
    most = shape.n_ctx_train or USUAL_CONTEXTS[0]
    wanted: tuple[int, ...] = (*USUAL_CONTEXTS, *SMALL_CONTEXTS)
    if shape.kv.kind is AttentionKind.MLA_EXPANDED:
        # 5 MB a token: what the cache takes is missing for the weights.
        wanted = SMALL_CONTEXTS
    return tuple(dict.fromkeys(min(n_ctx, most) for n_ctx in wanted))


def base_draft(
    shape: ModelShape, machine: Machine, wishes: Wishes, *, n_ctx: int, devices: Sequence[str]
) -> PlanSettings:
    """Return the plainest settings around what is fixed."""
    type_k, type_v = kv_types(wishes)
    # AUTO falls back where a GPU's kernels lack a head size; on the CPU they never do.
    flash_attn = wishes.flash_attn or ("auto" if devices else "on")
    n_ubatch = wishes.n_ubatch or USUAL_UBATCH
    extra = wishes.use_extra_bufts
    return PlanSettings(
        n_ctx=n_ctx,
        n_batch=max(_LEAST_BATCH, n_ubatch),
        n_ubatch=n_ubatch,
        devices=tuple(devices),
        type_k=type_k,
        type_v=type_v,
        flash_attn=flash_attn,
        op_offload=wishes.op_offload if wishes.op_offload is not None else True,
        use_extra_bufts=extra if extra is not None else not must_not_repack(shape, machine),
        load_mode=wishes.load_mode or "mmap",
        n_outputs_max=wishes.n_outputs_max if wishes.n_outputs_max is not None else 1,
        n_threads=wishes.n_threads or 0,
    )


def draft_of(settings: PlanSettings) -> PlanSettings:
    """Return settings without their placement."""
    return replace(settings, n_gpu_layers=0, tensor_split=(), overrides=())


def with_ubatch(draft: PlanSettings, n_ubatch: int) -> PlanSettings:
    """Return the draft with another ubatch and a batch that holds it."""
    return replace(draft, n_ubatch=n_ubatch, n_batch=max(_LEAST_BATCH, n_ubatch))


def variants(
    draft: PlanSettings, wishes: Wishes, *, weights_on_cpu: bool, layers_on_cpu: bool = False
) -> Iterator[PlanSettings]:
    """Yield what else may be better than a draft that fits.

    Args:
        draft: settings whose placement fits.
        wishes: what is fixed.
        weights_on_cpu: whether weights of layers stay in RAM while a GPU is there.
        layers_on_cpu: whether whole layers do.
    """
    ubatches = (wishes.n_ubatch,) if wishes.n_ubatch else _UBATCHES[wishes.profile]
    offloads: tuple[bool, ...] = (draft.op_offload,)
    modes: tuple[str, ...] = (draft.load_mode,)
    if weights_on_cpu and draft.devices:
        if wishes.op_offload is None:
            offloads = (True, False)
        if wishes.load_mode is None and wishes.profile is not Profile.DECODE:
            # Unmapped weights lie in pinned memory, from which a GPU reads at full speed.
            modes = ("mmap", "none")
    for n_ubatch in ubatches:
        if n_ubatch > max(draft.n_ctx, USUAL_UBATCH) and wishes.n_ubatch is None:
            continue
        for op_offload in offloads:
            for load_mode in modes:
                # Pinned memory pays only where the GPU reads it.
                if load_mode == "none" and not op_offload and wishes.load_mode is None:
                    continue
                yield replace(
                    with_ubatch(draft, n_ubatch), op_offload=op_offload, load_mode=load_mode
                )
    small = layers_on_cpu or (weights_on_cpu and wishes.profile is Profile.DECODE)
    if small and wishes.n_ubatch is None and not wishes.op_offload:
        # What a small batch leaves free may be the room of the last layers, or of more experts.
        yield replace(with_ubatch(draft, SMALL_UBATCH), op_offload=False)
