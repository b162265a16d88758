"""What the user's settings mean for the engine: how to load, how to sample. No Qt here."""

from __future__ import annotations

from dataclasses import fields

from models.runtime.protocol import LoadSettings, Sampling
from models.settings import Settings


def load_settings(settings: Settings, *, n_ctx: int | None = None) -> LoadSettings:
    """Return how to load; ``n_ctx`` None takes the setting."""
    kv_type = settings.get_str("engine.kv_type")
    return LoadSettings(
        n_ctx=settings.get_int("engine.n_ctx") if n_ctx is None else n_ctx,
        n_threads=settings.get_int("engine.n_threads"),
        flash_attn=settings.get_str("engine.flash_attn"),
        type_k=kv_type,
        type_v=kv_type,
        rpc_hosts=rpc_hosts(settings),
    )


def rpc_hosts(settings: Settings) -> tuple[str, ...]:
    """Return the machines whose devices may be used, as ``host:port``."""
    entries = settings.get_str("engine.rpc_hosts").split(",")
    return tuple(dict.fromkeys(entry.strip() for entry in entries if entry.strip()))


def sampling(
    settings: Settings, *, temperature: float | None = None, seed: int | None = None
) -> Sampling:
    """Return how to sample: the settings, with what was given instead."""
    declared = {spec.key for spec in settings.specs()}
    keys = {field.name: f"sampling.{field.name}" for field in fields(Sampling)}
    values = {name: settings.get(key) for name, key in keys.items() if key in declared}
    given = {"temperature": temperature, "seed": seed}
    values.update({name: value for name, value in given.items() if value is not None})
    return Sampling(**values)  # type: ignore[arg-type]  # the settings declare the same types
