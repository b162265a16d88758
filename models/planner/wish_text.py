"""Wishes typed as text: ``KEY=VALUE``. Pure, no Qt here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from models.errors import BadInputError, InvalidSettingError
from models.planner.kv_cache import KV_TYPES
from models.planner.plan import Override, Profile
from models.planner.wishes import FLASH_ATTN, LOAD_MODES, Wishes
from models.units import parse_size

_TRUE = ("on", "true", "yes", "1")
_FALSE = ("off", "false", "no", "0")
# As for --ctx (models/settings_list.py).
_MAX_TOKENS = 1 << 24


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text.replace(",", "").replace("_", ""))
        if not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high:,}")
        return value

    return read


def _choice(*values: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in values:
            raise ValueError(f"one of {', '.join(values)}")
        return text.lower()

    return read


def _switch(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ValueError("on or off")
    return text.lower() in _TRUE


def _shares(text: str) -> tuple[float, ...]:
    shares = tuple(float(part) for part in re.split(r"[,/]", text))
    if not any(shares) or any(share < 0 for share in shares):
        raise ValueError("numbers such as 3,1")
    return shares


def _overrides(text: str) -> tuple[Override, ...]:
    found = []
    for pair in text.split(";"):
        pattern, separator, device = pair.rpartition("=")
        if not separator or not pattern or not device:
            raise ValueError("PATTERN=DEVICE, several of them divided by ;")
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"a regular expression ({error})") from error
        found.append(Override(pattern, device))
    return tuple(found)


def _device_names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip().lower() != "none")


def _device_shares(text: str) -> dict[str, float]:
    shares = {}
    for pair in text.split(","):
        device, _, share = pair.partition(":")
        percent = share.endswith("%")
        value = float(share.rstrip("%")) / (100.0 if percent else 1.0)
        if not device or not 0.0 <= value <= 1.0:
            raise ValueError("DEVICE:SHARE such as CUDA0:80%")
        shares[device.strip()] = value
    return shares


_READERS: dict[str, Callable[[str], Any]] = {
    "profile": lambda text: Profile(_choice(*Profile)(text)),
    "n_ctx": _number(1, _MAX_TOKENS),
    "type_k": _choice(*KV_TYPES),
    "type_v": _choice(*KV_TYPES),
    "flash_attn": _choice(*FLASH_ATTN),
    "n_ubatch": _number(1, 1 << 20),
    "n_gpu_layers": _number(0, 1 << 20),
    "tensor_split": _shares,
    "overrides": _overrides,
    "op_offload": _switch,
    "use_extra_bufts": _switch,
    "load_mode": _choice(*LOAD_MODES),
    "n_outputs_max": _number(0, 1 << 20),
    "n_threads": _number(0, 512),
    "expert_layers": _number(0, 1 << 10),
    "devices": _device_names,
    "gpu_share": _device_shares,
    "margin_bytes": parse_size,
    "ram_margin_bytes": parse_size,
}


def with_fixed(wishes: Wishes, pairs: Iterable[str]) -> Wishes:
    """Return the wishes with every ``KEY=VALUE`` put in; keys are the fields of ``Wishes``.

    Raises:
        InvalidSettingError: a pair has no known key, or its value is not one of the key's.
    """
    for pair in pairs:
        key, separator, text = pair.partition("=")
        key = key.strip()
        if not separator or key not in _READERS:
            raise InvalidSettingError(
                f'"{pair[:80]}" does not fix anything.',
                hint=f"Write KEY=VALUE; keys are {', '.join(_READERS)}.",
            )
        try:
            wishes = replace(wishes, **{key: _READERS[key](text.strip())})
        except BadInputError as error:
            raise InvalidSettingError(
                f"{key}: {error.message}", hint=error.hint, details=error.details
            ) from error
        except ValueError as error:
            raise InvalidSettingError(
                f'"{text[:80]}" is not a value of {key}.', hint=f"It takes {_said(error, key)}."
            ) from error
    return wishes


def _said(error: ValueError, key: str) -> str:
    words = str(error)
    own = ("a ", "one ", "on ", "numbers", "PATTERN", "DEVICE")
    return words if words.startswith(own) else f"another kind of value for {key}"
