"""Wishes by the name of a control: what is fixed, how a value is fixed and released. No Qt here.

A key is a field of ``Wishes``, but for two: ``kv`` stands for ``type_k`` and ``type_v``, which a
control changes together, and ``gpu_share:CUDA0`` for one device's entry of ``gpu_share``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from models.planner.plan import PlanSettings, Profile
from models.planner.wishes import Wishes

KV = "kv"
PROFILE = "profile"
SHARE = "gpu_share:"
# What is no choice of the planner's, and therefore nothing that could be released.
_KEPT = frozenset({PROFILE, "margin_bytes", "ram_margin_bytes"})
_SAME_IN_SETTINGS = (
    "n_ctx",
    "type_k",
    "type_v",
    "flash_attn",
    "n_ubatch",
    "op_offload",
    "use_extra_bufts",
    "load_mode",
    "n_threads",
    "devices",
)
# What a search chooses first, and chooses anew when something else is fixed.
_CHOSEN_FIRST = ("n_ctx", "type_k", "type_v", "load_mode")
_PLACEMENT = ("n_gpu_layers", "tensor_split", "overrides")


def fixed_value(wishes: Wishes, key: str) -> Any:
    """Return what the user fixed, None where the planner chooses."""
    if key == KV:
        return wishes.type_k if wishes.type_k is not None else wishes.type_v
    if key.startswith(SHARE):
        return wishes.gpu_share.get(key.removeprefix(SHARE))
    return getattr(wishes, key)


def with_value(wishes: Wishes, key: str, value: Any) -> Wishes:
    """Return the wishes with one value fixed; None leaves it to the planner."""
    if key == KV:
        return dataclasses.replace(wishes, type_k=value, type_v=value)
    if key == PROFILE:
        return dataclasses.replace(wishes, profile=Profile(value))
    if key.startswith(SHARE):
        shares = dict(wishes.gpu_share)
        shares.pop(key.removeprefix(SHARE), None)
        if value is not None:
            shares[key.removeprefix(SHARE)] = float(value)
        return dataclasses.replace(wishes, gpu_share=shares)
    changes: dict[str, Any] = {key: value}
    return dataclasses.replace(wishes, **changes)


def fixed_keys(wishes: Wishes) -> tuple[str, ...]:
    """Return the keys of everything that is fixed and can be released."""
    keys = [KV] if fixed_value(wishes, KV) is not None else []
    keys += [SHARE + device for device in wishes.gpu_share]
    for field in dataclasses.fields(Wishes):
        if field.name in _KEPT or field.name in ("type_k", "type_v", "gpu_share"):
            continue
        if getattr(wishes, field.name) is not None:
            keys.append(field.name)
    return tuple(keys)


def released(wishes: Wishes) -> Wishes:
    """Return the wishes with nothing fixed; the profile and the margins stay."""
    kept: dict[str, Any] = {name: getattr(wishes, name) for name in _KEPT}
    return Wishes(**kept)


def without(wishes: Wishes, name: str) -> Wishes:
    """Return the wishes with one field left to the planner; both KV types together."""
    if name in ("type_k", "type_v"):
        return with_value(wishes, KV, None)
    untouched: dict[str, Any] = {name: getattr(Wishes(), name)}
    return dataclasses.replace(wishes, **untouched)


def wishes_for(wishes: Wishes, now: PlanSettings, other: PlanSettings) -> Wishes:
    """Return what to wish so that ``other`` is chosen where ``now`` is the plan.

    Context, KV types and load mode are fixed with the rest: with larger batches alone, say, a
    search would rather shorten the context. Where tensors go is fixed only when nothing else
    differs: the placement follows from the rest, and a fixed one would not follow a slider any
    more. What the user fixed is never changed.
    """
    changes = _differing(wishes, now, other, _SAME_IN_SETTINGS)
    if changes:
        for name in _CHOSEN_FIRST:
            if getattr(wishes, name) is None:
                changes[name] = getattr(other, name)
    elif wishes.expert_layers is None:
        changes = _differing(wishes, now, other, _PLACEMENT)
    return dataclasses.replace(wishes, **changes)


def _differing(
    wishes: Wishes, now: PlanSettings, other: PlanSettings, names: tuple[str, ...]
) -> dict[str, Any]:
    return {
        name: getattr(other, name)
        for name in names
        if getattr(other, name) != getattr(now, name) and getattr(wishes, name) is None
    }
