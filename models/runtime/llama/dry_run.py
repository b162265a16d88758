"""Asks llama.cpp what a load would take, before a byte is allocated. No Qt here.

``no_alloc`` loads a checkpoint's metadata and simulates every allocation; the account of such a
context is exact (0.1 s for a small checkpoint, 0.5 s for one of 671B). It is what tells the user
"this context does not fit" instead of an out-of-memory kill in the middle of an answer.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from models.errors import ContextTooLargeError, FathomError, OutOfMemoryError
from models.runtime.llama.abort import AbortFlag
from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.memory import BufferUse, fold_mapped, read_breakdown
from models.runtime.llama.parameters import context_parameters, model_parameters
from models.runtime.protocol import LoadSettings
from models.units import format_bytes

# Left free on top of what llama.cpp accounts for: its work buffers, Python, the allocator, other
# programs (RAM); driver contexts and libraries (GPU).
_RAM_MARGIN_BYTES = 256 * 2**20
_GPU_MARGIN_BYTES = 1024 * 2**20
# For placements that were planned: the plan has its own margin, this only catches what has changed.
_PLANNED_GPU_MARGIN_BYTES = 256 * 2**20
_DEFAULT_CONTEXT = 8192
_SMALLEST_CONTEXT = 512


@dataclass(frozen=True)
class Need:
    """What a load needs, in bytes.

    Attributes:
        anonymous_bytes: RAM that can never be given back: KV cache, compute buffers, repacked
            weights, and all weights when the file is not memory-mapped or its pages are locked.
        gpu_bytes: need per device name.
    """

    anonymous_bytes: int
    gpu_bytes: dict[str, int]


def need_of(uses: list[BufferUse], *, maps_file: bool) -> Need:
    """Add up what must be held; weights in pages of the file can be dropped."""
    anonymous = 0
    gpu: dict[str, int] = {}
    for use in uses:
        held = use.kv_bytes + use.compute_bytes
        if use.device != "CPU":
            gpu[use.device] = gpu.get(use.device, 0) + held + use.weights_bytes
        elif maps_file and use.buffer == "CPU":
            anonymous += held
        else:
            anonymous += held + use.weights_bytes
    return Need(anonymous, gpu)


class DryRun:
    """One checkpoint with simulated allocations; close it when done.

    Args:
        library: the started library.
        path: first file of the checkpoint.
        settings: placement to simulate.
        load_error: builds the error for a checkpoint that llama.cpp refuses.
        abort: asked before every step; a large checkpoint takes half a second for each.

    Raises:
        LoadCancelledError: a stop was asked for (``need`` raises it too).
    """

    def __init__(
        self,
        library: LlamaLibrary,
        path: str,
        settings: LoadSettings,
        load_error: Callable[[], FathomError],
        abort: AbortFlag,
    ) -> None:
        abort.refuse_load()
        self._library = library
        self._settings = settings
        self._load_error = load_error
        self._abort = abort
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

    @property
    def n_layer(self) -> int:
        """How many layers there are to place."""
        return int(self._library.api.llama_model_n_layer(self._model))

    def need(self, n_ctx: int) -> Need | None:
        """Return what a context of ``n_ctx`` tokens needs; None where no account can be read."""
        self._abort.refuse_load()
        api = self._library.api
        settings = dataclasses.replace(self._settings, n_ctx=n_ctx)
        context = api.llama_init_from_model(
            self._model, context_parameters(self._library, settings, model=self._model).struct
        )
        if not context:
            raise self._load_error()
        try:
            uses = read_breakdown(self._library, context)
        finally:
            api.llama_free(context)
        if uses is None:
            return None
        maps_file = self._settings.load_mode in ("auto", "mmap")
        return need_of(fold_mapped(uses) if maps_file else uses, maps_file=maps_file)

    def close(self) -> None:
        """Free the simulated checkpoint."""
        if self._model:
            self._library.api.llama_model_free(self._model)
            self._model = None


@dataclass(frozen=True)
class Shortage:
    """The first device that has too little room, in bytes; ``device`` is RAM or a GPU's name."""

    device: str
    needed_bytes: int
    free_bytes: int

    def in_words(self) -> str:
        """Return the shortage as a clause."""
        return (
            f"it needs {format_bytes(self.needed_bytes)} of {self.device} and "
            f"{format_bytes(max(self.free_bytes, 0))} are free"
        )


@dataclass(frozen=True)
class Room:
    """What is free right now: RAM for anonymous memory, and each GPU by device name, in bytes.

    ``gpu_margin_bytes`` of each GPU stay free.
    """

    ram_bytes: int
    gpu_bytes: dict[str, int]
    gpu_margin_bytes: int = _GPU_MARGIN_BYTES

    def shortage(self, need: Need | None) -> Shortage | None:
        """Return what does not fit, None when everything fits (or the need is not known)."""
        if need is None:
            return None
        ram_room = self.ram_bytes - _RAM_MARGIN_BYTES
        if need.anonymous_bytes > ram_room:
            return Shortage("RAM", need.anonymous_bytes, ram_room)
        for name, needed in need.gpu_bytes.items():
            gpu_room = self.gpu_bytes.get(name, 0) - self.gpu_margin_bytes
            if needed > gpu_room:
                return Shortage(f"memory on {name}", needed, gpu_room)
        return None


def room_now(library: LlamaLibrary, ram_available_bytes: int) -> Room:
    """Measure what is free on every device."""
    gpu = {}
    for device in library.ggml.devices():
        if library.ggml.device_kind(device) in ("gpu", "igpu", "rpc"):
            gpu[library.ggml.dev_name(device).decode()] = library.ggml.device_memory(device)[0]
    return Room(ram_available_bytes, gpu)


class Rehearsal(Protocol):
    """What choosing settings needs of a dry run."""

    @property
    def n_ctx_train(self) -> int:
        """The context the checkpoint was trained for, in tokens."""

    @property
    def n_layer(self) -> int:
        """How many layers there are to place."""

    def need(self, n_ctx: int) -> Need | None:
        """Return what a context of ``n_ctx`` tokens needs."""

    def close(self) -> None:
        """Free what the dry run holds."""


def resolve(
    settings: LoadSettings, room: Room, rehearse: Callable[[LoadSettings], Rehearsal]
) -> LoadSettings:
    """Choose the context and the number of GPU layers where the settings leave them open.

    A context of 0 becomes the largest one up to 8192 tokens that fits. With ``n_gpu_layers`` -1 as
    many layers as fit go to the GPUs; a number that was asked for is kept.

    Raises:
        ContextTooLargeError: the context asked for does not fit; the hint names one that does.
        OutOfMemoryError: not even the smallest context fits.
    """
    is_planned = settings.n_ctx > 0 and settings.n_gpu_layers >= 0
    if is_planned and not settings.check_room:
        return settings
    if is_planned:
        room = dataclasses.replace(room, gpu_margin_bytes=_PLANNED_GPU_MARGIN_BYTES)
    with contextlib.closing(rehearse(settings)) as rehearsal:
        n_ctx, n_layer = _first_context(rehearsal, settings), rehearsal.n_layer
        shortage = room.shortage(rehearsal.need(n_ctx))
        if shortage is None:
            return dataclasses.replace(settings, n_ctx=n_ctx)
        if shortage.device == "RAM" or settings.n_gpu_layers != -1:
            return dataclasses.replace(
                settings, n_ctx=_smaller_context(rehearsal, settings, n_ctx, room)
            )
    layers = _most_gpu_layers(settings, n_ctx, n_layer, room, rehearse)
    settings = dataclasses.replace(settings, n_gpu_layers=layers)
    with contextlib.closing(rehearse(settings)) as rehearsal:
        if room.shortage(rehearsal.need(n_ctx)) is not None:
            n_ctx = _smaller_context(rehearsal, settings, n_ctx, room)
    return dataclasses.replace(settings, n_ctx=n_ctx)


def _first_context(rehearsal: Rehearsal, settings: LoadSettings) -> int:
    return settings.n_ctx or min(_DEFAULT_CONTEXT, rehearsal.n_ctx_train or _DEFAULT_CONTEXT)


def _most_gpu_layers(
    settings: LoadSettings,
    n_ctx: int,
    n_layer: int,
    room: Room,
    rehearse: Callable[[LoadSettings], Rehearsal],
) -> int:
    """Bisect the largest number of GPU layers that leaves the margin free on every device."""
    low, high = 0, n_layer + 1
    while high - low > 1:
        middle = (low + high) // 2
        tried = dataclasses.replace(settings, n_gpu_layers=middle)
        with contextlib.closing(rehearse(tried)) as rehearsal:
            shortage = room.shortage(rehearsal.need(n_ctx))
        if shortage is None or shortage.device == "RAM":
            low = middle
        else:
            high = middle
    return low


def _smaller_context(rehearsal: Rehearsal, settings: LoadSettings, n_ctx: int, room: Room) -> int:
    """Return a context that fits where ``n_ctx`` does not, or say why there is none."""
    shortage = room.shortage(rehearsal.need(n_ctx))
    fitting = _largest_fitting(rehearsal, n_ctx, room)
    words = shortage.in_words() if shortage else ""
    if fitting < _SMALLEST_CONTEXT:
        raise OutOfMemoryError(
            f"There is no room to load this checkpoint: {words}.",
            hint="Close other programs, or choose a smaller checkpoint.",
        )
    if settings.n_ctx:
        raise ContextTooLargeError(
            f"A context of {n_ctx:,} tokens does not fit: {words}.",
            hint=f"{fitting:,} tokens would fit.",
        )
    return fitting


def _largest_fitting(rehearsal: Rehearsal, n_ctx: int, room: Room) -> int:
    """Bisect the largest context below ``n_ctx`` that fits, in steps of 256 tokens."""
    low, high = 0, -(-n_ctx // 256)
    while high - low > max(1, low // 64):
        middle = (low + high) // 2
        if room.shortage(rehearsal.need(middle * 256)) is None:
            low = middle
        else:
            high = middle
    return low * 256
