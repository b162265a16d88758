"""What the user fixed for each checkpoint, kept in a file so that it comes back. No Qt here."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.planner.plan import Override, Profile
from models.planner.wishes import Wishes, changed_names
from models.runtime.protocol import LoadSettings
from models.whole_files import write_whole

VERSION = 1
# The least recently changed go first; one is about 100 bytes.
MAX_ENTRIES = 500

_UNTOUCHED = LoadSettings()
_log = logging.getLogger(__name__)


def wishes_of_settings(settings: LoadSettings) -> Wishes:
    """Return what the program's settings fix for every checkpoint that has no wishes of its own.

    A setting that was left at its default fixes nothing.
    """
    own_kv = settings.type_k != _UNTOUCHED.type_k
    return Wishes(
        n_ctx=settings.n_ctx or None,
        n_threads=settings.n_threads or None,
        type_k=settings.type_k if own_kv else None,
        type_v=settings.type_v if own_kv else None,
        flash_attn=None if settings.flash_attn == _UNTOUCHED.flash_attn else settings.flash_attn,
    )


def released(wishes: Wishes, name: str) -> Wishes:
    """Return the wishes with one of them left to the planner again.

    Args:
        wishes: what is fixed now.
        name: a field of Wishes; ``kv`` for ``type_k`` and ``type_v``, which go together;
            ``gpu_share:DEVICE`` for one device's share; ``all`` for everything that the planner
            can choose (profile and margins stay).

    Raises:
        KeyError: no such field.
    """
    if name == "all":
        return Wishes(
            profile=wishes.profile,
            margin_bytes=wishes.margin_bytes,
            ram_margin_bytes=wishes.ram_margin_bytes,
        )
    field, _, device = name.partition(":")
    if field == "gpu_share" and device:
        shares = {key: share for key, share in wishes.gpu_share.items() if key != device}
        return dataclasses.replace(wishes, gpu_share=shares)
    free = Wishes()
    names = ("type_k", "type_v") if field in ("kv", "type_k", "type_v") else (field,)
    if any(one not in free.__dataclass_fields__ for one in names):
        raise KeyError(name)
    return dataclasses.replace(wishes, **{one: getattr(free, one) for one in names})


def wishes_to_json(wishes: Wishes) -> dict[str, Any]:
    """Return what is fixed, and nothing else, as JSON values."""
    return {name: _plain(getattr(wishes, name)) for name in changed_names(wishes)}


def wishes_from_json(data: Mapping[str, Any]) -> Wishes:
    """Read what ``wishes_to_json`` wrote; a field that means nothing here is passed over."""
    wishes = Wishes()
    for name, value in data.items():
        try:
            wishes = dataclasses.replace(wishes, **{name: _READERS[name](value)})
        except (KeyError, TypeError, ValueError, AttributeError):
            _log.info("A kept wish was passed over: %s", name)
    return wishes


class WishesStore:
    """Reads and writes the file; every method may be called from any thread.

    A file that cannot be read counts as empty and one that cannot be written is logged: what is
    lost is a convenience, and nobody should be kept from loading a model by it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._entries: dict[str, dict[str, Any]] | None = None

    def get(self, key: str) -> Wishes | None:
        """Return what is kept for a checkpoint, None when nothing is."""
        with self._lock:
            kept = self._read().get(key)
        return None if kept is None else wishes_from_json(kept)

    def put(self, key: str, wishes: Wishes) -> None:
        """Keep the wishes for a checkpoint, also when nothing is fixed."""
        with self._lock:
            entries = self._read()
            data = wishes_to_json(wishes)
            if entries.get(key) == data:
                return
            entries.pop(key, None)
            entries[key] = data
            while len(entries) > MAX_ENTRIES:
                entries.pop(next(iter(entries)))
            self._write(entries)

    def _read(self) -> dict[str, dict[str, Any]]:
        if self._entries is None:
            self._entries = _read_entries(self._file)
        return self._entries

    def _write(self, entries: Mapping[str, dict[str, Any]]) -> None:
        text = json.dumps({"version": VERSION, "checkpoints": entries}, indent=1)
        try:
            write_whole(self._file, text.encode())
        except OSError as error:
            _log.info("Wishes not kept in %s: %s", self._file, error)


def _read_entries(file: Path) -> dict[str, dict[str, Any]]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        _log.info("Kept wishes are not readable: %s", error)
        return {}
    if not isinstance(document, dict) or document.get("version") != VERSION:
        return {}
    entries = document.get("checkpoints")
    if not isinstance(entries, dict):
        return {}
    return {key: value for key, value in entries.items() if isinstance(value, dict)}


def _plain(value: object) -> object:
    if isinstance(value, Profile):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [dataclasses.asdict(one) if isinstance(one, Override) else one for one in value]
    return value


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError
    return value


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise TypeError
    return float(value)


_READERS: dict[str, Any] = {
    "profile": Profile,
    "n_ctx": _int,
    "type_k": _text,
    "type_v": _text,
    "flash_attn": _text,
    "n_ubatch": _int,
    "n_gpu_layers": _int,
    "tensor_split": lambda value: tuple(float(share) for share in value),
    "overrides": lambda value: tuple(
        Override(_text(one["pattern"]), _text(one["device"])) for one in value
    ),
    "op_offload": _bool,
    "use_extra_bufts": _bool,
    "load_mode": _text,
    "n_outputs_max": _int,
    "n_threads": _int,
    "expert_layers": _int,
    "devices": lambda value: tuple(_text(one) for one in value),
    "gpu_share": lambda value: {_text(key): _share(share) for key, share in value.items()},
    "margin_bytes": _int,
    "ram_margin_bytes": _int,
}
