"""Asks llama.cpp what a load would take, before a byte is allocated. No Qt here.

``no_alloc`` loads a checkpoint's metadata and simulates every allocation; the account of such a
context is exact (0.1 s for a small checkpoint, 0.5 s for one of 671B). It is what tells the user
"this context does not fit" instead of an out-of-memory kill in the middle of an answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.errors import ContextTooLargeError, FathomError, OutOfMemoryError
from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.memory import BufferUse, read_breakdown
from models.runtime.llama.parameters import context_parameters, model_parameters
from models.runtime.protocol import LoadSettings
from models.units import format_bytes

# Left free on top of what llama.cpp accounts for: its work buffers, Python, the allocator, other
# programs (RAM); driver contexts and libraries (GPU).
_RAM_MARGIN_BYTES = 256 * 2**20
_GPU_MARGIN_BYTES = 1024 * 2**20
_DEFAULT_CONTEXT = 8192
_SMALLEST_CONTEXT = 512


@dataclass(frozen=True)
class Need:
    """What a load needs, in bytes.

    Attributes:
        anonymous_bytes: RAM that can never be given back: KV cache, compute buffers, repacked
            weights, and all weights when the file is not memory-mapped.
        mapped_bytes: weights that stay in the page cache.
        gpu_bytes: need per device name.
        kv_bytes: KV cache over all devices.
    """

    anonymous_bytes: int
    mapped_bytes: int
    gpu_bytes: dict[str, int]
    kv_bytes: int


def need_of(uses: list[BufferUse], *, maps_file: bool) -> Need:
    """Sort a breakdown into what must be held and what can be dropped."""
    anonymous = mapped = kv_bytes = 0
    gpu: dict[str, int] = {}
    for use in uses:
        kv_bytes += use.kv_bytes
        if use.device != "CPU":
            total = use.weights_bytes + use.kv_bytes + use.compute_bytes
            gpu[use.device] = gpu.get(use.device, 0) + total
            continue
        anonymous += use.kv_bytes + use.compute_bytes
        if maps_file and use.buffer == "CPU":
            mapped += use.weights_bytes
        else:
            anonymous += use.weights_bytes
    return Need(anonymous, mapped, gpu, kv_bytes)


class DryRun:
    """One checkpoint with simulated allocations; close it when done.

    Args:
        library: the started library.
        path: first file of the checkpoint.
        settings: placement to simulate.
        load_error: builds the error for a checkpoint that llama.cpp refuses.
    """

    def __init__(
        self,
        library: LlamaLibrary,
        path: str,
        settings: LoadSettings,
        load_error: Callable[[], FathomError],
    ) -> None:
        self._library = library
        self._settings = settings
        self._load_error = load_error
        self._parameters = model_parameters(library, settings, dry_run=True)
        self._model: Any = library.api.llama_model_load_from_file(
            path.encode(), self._parameters.struct
        )
        if not self._model:
            raise load_error()

    @property
    def n_ctx_train(self) -> int:
        """The context the checkpoint was trained for, in tokens."""
        return int(self._library.api.llama_model_n_ctx_train(self._model))

    def need(self, n_ctx: int) -> Need | None:
        """Return what a context of ``n_ctx`` tokens needs; None where no account can be read."""
        api = self._library.api
        settings = dataclasses.replace(self._settings, n_ctx=n_ctx)
        context = api.llama_init_from_model(
            self._model, context_parameters(self._library, settings).struct
        )
        if not context:
            raise self._load_error()
        try:
            uses = read_breakdown(self._library, context)
        finally:
            api.llama_free(context)
        if uses is None:
            return None
        maps_file = self._settings.load_mode in ("auto", "mmap", "mmap_mlock")
        return need_of(uses, maps_file=maps_file)

    def close(self) -> None:
        """Free the simulated checkpoint."""
        if self._model:
            self._library.api.llama_model_free(self._model)
            self._model = None


@dataclass(frozen=True)
class Room:
    """What is free right now: RAM for anonymous memory, and each GPU by device name, in bytes."""

    ram_bytes: int
    gpu_bytes: dict[str, int]

    def shortage(self, need: Need) -> str:
        """Return what does not fit as a clause in words, empty when everything fits."""
        ram_room = self.ram_bytes - _RAM_MARGIN_BYTES
        if need.anonymous_bytes > ram_room:
            return (
                f"{format_bytes(need.anonymous_bytes)} of RAM are needed and "
                f"{format_bytes(max(ram_room, 0))} are free"
            )
        for name, needed in need.gpu_bytes.items():
            room = self.gpu_bytes.get(name, 0) - _GPU_MARGIN_BYTES
            if needed > room:
                return (
                    f"{format_bytes(needed)} are needed on {name} and "
                    f"{format_bytes(max(room, 0))} are free"
                )
        return ""


def room_now(library: LlamaLibrary, ram_available_bytes: int) -> Room:
    """Measure what is free on every device."""
    gpu = {}
    for device in library.ggml.devices():
        if library.ggml.device_kind(device) in ("gpu", "igpu", "rpc"):
            gpu[library.ggml.dev_name(device).decode()] = library.ggml.device_memory(device)[0]
    return Room(ram_available_bytes, gpu)


def resolve_context(dry_run: DryRun, settings: LoadSettings, room: Room) -> int:
    """Return the context to load: the one asked for, or the largest default that fits.

    Raises:
        ContextTooLargeError: the context asked for does not fit; the hint names one that does.
        OutOfMemoryError: not even the smallest context fits.
    """
    if settings.n_ctx:
        need = dry_run.need(settings.n_ctx)
        shortage = room.shortage(need) if need else ""
        if shortage:
            raise _context_error(dry_run, settings.n_ctx, shortage, room)
        return settings.n_ctx
    n_ctx = min(_DEFAULT_CONTEXT, dry_run.n_ctx_train or _DEFAULT_CONTEXT)
    while True:
        need = dry_run.need(n_ctx)
        shortage = room.shortage(need) if need else ""
        if not shortage:
            return n_ctx
        if n_ctx <= _SMALLEST_CONTEXT:
            raise OutOfMemoryError(
                f"There is no room to load this checkpoint: {shortage}.",
                hint="Close other programs, or choose a smaller checkpoint.",
            )
        n_ctx //= 2


def _context_error(dry_run: DryRun, n_ctx: int, shortage: str, room: Room) -> FathomError:
    fitting = _largest_fitting(dry_run, n_ctx, room)
    if fitting == 0:
        return OutOfMemoryError(
            f"There is no room to load this checkpoint: {shortage}.",
            hint="Close other programs, or choose a smaller checkpoint.",
        )
    return ContextTooLargeError(
        f"A context of {n_ctx:,} tokens does not fit: {shortage}.",
        hint=f"{fitting:,} tokens would fit.",
    )


def _largest_fitting(dry_run: DryRun, n_ctx: int, room: Room) -> int:
    """Bisect the largest context below ``n_ctx`` that fits, in steps of 256 tokens."""
    low, high = 0, n_ctx // 256
    while high - low > max(1, low // 64):
        middle = (low + high) // 2
        need = dry_run.need(middle * 256)
        if need is not None and not room.shortage(need):
            low = middle
        else:
            high = middle
    return low * 256
