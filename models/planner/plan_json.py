"""A plan as plain JSON data; the keys are documented in docs/planner.md. Pure, no Qt here."""

from __future__ import annotations

from typing import Any

from models.planner.plan import (
    Alternative,
    DevicePlan,
    HostPlan,
    Override,
    Plan,
    PlanSettings,
    SpeedRange,
)


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON-ready data, sizes in bytes and speeds in tokens per second."""
    return {
        "fits": plan.fits,
        "tier": plan.tier.value,
        "profile": plan.profile.value,
        "settings": settings_to_json(plan.settings),
        "fixed": list(plan.fixed),
        "devices": [_device(device) for device in plan.memory.devices],
        "host": _host(plan.memory.host),
        "disk_bytes": plan.memory.host.disk_bytes,
        "decode_tok_s": _speed(plan.speed.decode),
        "prefill_tok_s": _speed(plan.speed.prefill),
        "bound_by": plan.speed.bound_by,
        "prefill_bound_by": plan.speed.prefill_bound_by,
        "explanation": list(plan.explanation),
        "warnings": list(plan.warnings),
        "llama_cpp_flags": list(plan.llama_cpp_flags),
        "alternatives": [_alternative(other) for other in plan.alternatives],
    }


def settings_to_json(settings: PlanSettings) -> dict[str, Any]:
    """Return settings as JSON-ready data, in the words of the engine protocol."""
    return {
        "n_ctx": settings.n_ctx,
        "n_batch": settings.n_batch,
        "n_ubatch": settings.n_ubatch,
        "n_gpu_layers": settings.n_gpu_layers,
        "devices": list(settings.devices),
        "tensor_split": list(settings.tensor_split),
        "overrides": [_override(override) for override in settings.overrides],
        "type_k": settings.type_k,
        "type_v": settings.type_v,
        "flash_attn": settings.flash_attn,
        "op_offload": settings.op_offload,
        "offload_kqv": settings.offload_kqv,
        "use_extra_bufts": settings.use_extra_bufts,
        "no_host": settings.no_host,
        "load_mode": settings.load_mode,
        "n_outputs_max": settings.n_outputs_max,
        "n_threads": settings.n_threads,
    }


def _override(override: Override) -> dict[str, str]:
    return {"pattern": override.pattern, "device": override.device}


def _device(device: DevicePlan) -> dict[str, Any]:
    return {
        "name": device.name,
        "kind": device.kind,
        "description": device.description,
        "weights_bytes": device.weights_bytes,
        "attention_bytes": device.attention_bytes,
        "dense_bytes": device.dense_bytes,
        "shared_bytes": device.shared_bytes,
        "routed_bytes": device.routed_bytes,
        "kv_bytes": device.kv_bytes,
        "compute_bytes": device.compute_bytes,
        "output_bytes": device.output_bytes,
        "used_bytes": device.used_bytes,
        "total_bytes": device.total_bytes,
        "free_bytes": device.free_bytes,
        "budget_bytes": device.budget_bytes,
    }


def _host(host: HostPlan) -> dict[str, int]:
    return {
        "anonymous_bytes": host.anonymous_bytes,
        "pinned_bytes": host.pinned_bytes,
        "page_cache_bytes": host.page_cache_bytes,
        "load_read_bytes": host.load_read_bytes,
    }


def _speed(speed: SpeedRange) -> dict[str, float]:
    return {"low": speed.low, "mid": speed.mid, "high": speed.high}


def _alternative(other: Alternative) -> dict[str, Any]:
    return {
        "kind": other.kind,
        "text": other.text,
        "settings": settings_to_json(other.settings) if other.settings else None,
        "decode_tok_s": other.decode_tok_s,
        "prefill_tok_s": other.prefill_tok_s,
        "needed_bytes": other.needed_bytes,
    }
