"""Load settings into llama.cpp's parameter structs, and what they point to. No Qt here."""

from __future__ import annotations

import ctypes
import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from models.errors import InvalidSettingError
from models.runtime.llama.abort import AbortFlag
from models.runtime.llama.bindings import LlamaLibrary, TensorBufferOverride
from models.runtime.protocol import LoadSettings

_KV_TYPES = {
    "f32": 0,
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q5_0": 6,
    "q5_1": 7,
    "q8_0": 8,
    "iq4_nl": 20,
    "bf16": 30,
}
_FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
_SPLIT_MODES = {"none": 0, "layer": 1, "row": 2}
_LOAD_MODES = {"auto": -1, "none": 0, "mmap": 1, "mlock": 2, "mmap_mlock": 3, "direct_io": 4}
_MAX_CONTEXT = 1 << 27


@dataclass
class NativeParameters:
    """A parameter struct, and every Python object that it points to.

    llama.cpp keeps some of these pointers for as long as the model lives, and ctypes frees an
    object when Python forgets it: the holder of the model holds this.
    """

    struct: Any
    keep_alive: list[Any] = field(default_factory=list)


def _choice(table: dict[str, int], value: str, name: str) -> int:
    if value not in table:
        raise InvalidSettingError(
            f"{value!r} is not a value of {name}.", hint=f"Choose one of {', '.join(table)}."
        )
    return table[value]


def check_settings(settings: LoadSettings) -> None:
    """Refuse settings that llama.cpp would abort on.

    Raises:
        InvalidSettingError: a value is outside what llama.cpp accepts.
    """
    bounds = {
        "n_ctx": (0, _MAX_CONTEXT),
        "n_batch": (1, 1 << 20),
        "n_ubatch": (1, 1 << 20),
        "n_threads": (0, 512),
        "n_threads_batch": (0, 512),
        "n_gpu_layers": (-1, 1 << 20),
        "main_gpu": (0, 63),
        "n_outputs_max": (0, 1 << 20),
    }
    for name, (low, high) in bounds.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise InvalidSettingError(f"{name} must lie between {low} and {high}, not {value}.")
    if settings.n_ubatch > settings.n_batch:
        raise InvalidSettingError("n_ubatch must not be larger than n_batch.")
    if not all(0.0 <= share < math.inf for share in settings.tensor_split):
        raise InvalidSettingError("The shares of tensor_split must be numbers of 0 or more.")
    _choice(_KV_TYPES, settings.type_k, "type_k")
    _choice(_KV_TYPES, settings.type_v, "type_v")
    _choice(_FLASH_ATTENTION, settings.flash_attn, "flash_attn")
    _choice(_SPLIT_MODES, settings.split_mode, "split_mode")
    _choice(_LOAD_MODES, settings.load_mode, "load_mode")
    quantized_v = settings.type_v not in ("f32", "f16", "bf16")
    if quantized_v and settings.flash_attn == "off":
        raise InvalidSettingError(
            "A quantized V cache needs flash attention.",
            hint="Set flash_attn to auto, or type_v to f16.",
        )


def _device_by_name(library: LlamaLibrary, name: str) -> int:
    known = {library.ggml.dev_name(device).decode(): device for device in library.ggml.devices()}
    if name not in known:
        raise InvalidSettingError(
            f"There is no device named {name!r}.", hint=f"There is {', '.join(known)}."
        )
    return known[name]


def _override_array(library: LlamaLibrary, settings: LoadSettings) -> Any:
    array = (TensorBufferOverride * (len(settings.overrides) + 1))()
    for slot, override in zip(array, settings.overrides, strict=False):
        device = _device_by_name(library, override.device)
        slot.pattern = override.pattern.encode()
        slot.buft = library.ggml.dev_buffer_type(device)
    return array


def _device_array(library: LlamaLibrary, names: tuple[str, ...]) -> Any:
    handles = [_device_by_name(library, name) for name in names]
    return (ctypes.c_void_p * (len(handles) + 1))(*handles, None)


def _split_array(library: LlamaLibrary, shares: tuple[float, ...]) -> Any:
    slots = library.api.llama_max_devices()
    if len(shares) > slots:
        raise InvalidSettingError(f"tensor_split has {len(shares)} shares for {slots} devices.")
    return (ctypes.c_float * slots)(*shares)


def model_parameters(
    library: LlamaLibrary, settings: LoadSettings, *, dry_run: bool = False
) -> NativeParameters:
    """Build ``llama_model_params``.

    Args:
        library: the loaded library.
        settings: what was asked for, checked by ``check_settings``.
        dry_run: simulate every allocation instead of reading weights (``no_alloc``).

    Raises:
        InvalidSettingError: a device is named that does not exist.
    """
    params = library.api.llama_model_default_params()
    native = NativeParameters(params)
    params.n_gpu_layers = settings.n_gpu_layers
    params.split_mode = _SPLIT_MODES[settings.split_mode]
    params.main_gpu = settings.main_gpu
    params.load_mode = 0 if dry_run else _LOAD_MODES[settings.load_mode]
    params.no_alloc = dry_run
    params.check_tensors = settings.check_tensors
    params.use_extra_bufts = settings.use_extra_bufts
    params.no_host = settings.no_host
    params.load_mtp = settings.load_mtp
    if settings.overrides:
        overrides = _override_array(library, settings)
        native.keep_alive.append(overrides)
        params.tensor_buft_overrides = ctypes.addressof(overrides)
    if settings.devices is not None:
        devices = _device_array(library, settings.devices)
        native.keep_alive.append(devices)
        params.devices = ctypes.addressof(devices)
    if settings.tensor_split:
        split = _split_array(library, settings.tensor_split)
        native.keep_alive.append(split)
        params.tensor_split = split
    return native


def context_parameters(
    library: LlamaLibrary, settings: LoadSettings, abort: AbortFlag | None = None, *, model: Any
) -> NativeParameters:
    """Build ``llama_context_params`` for one sequence; ``settings.n_ctx`` must be resolved.

    Args:
        library: the loaded library.
        settings: what was asked for, checked by ``check_settings``.
        abort: interrupts computations of the context.
        model: llama.cpp's handle of the loaded model.
    """
    params = library.api.llama_context_default_params()
    params.swa_full = _keeps_all_raw_rows(library, model)
    params.n_ctx = settings.n_ctx
    params.n_batch = settings.n_batch
    params.n_ubatch = settings.n_ubatch
    params.n_seq_max = 1
    params.n_outputs_max = settings.n_outputs_max
    params.n_threads = settings.n_threads
    params.n_threads_batch = settings.n_threads_batch
    params.flash_attn_type = _FLASH_ATTENTION[settings.flash_attn]
    params.type_k = _KV_TYPES[settings.type_k]
    params.type_v = _KV_TYPES[settings.type_v]
    params.op_offload = settings.op_offload
    params.offload_kqv = settings.offload_kqv
    params.no_perf = True
    if abort is not None:
        abort.install(library, params)
    return NativeParameters(params, [abort])


def _keeps_all_raw_rows(library: LlamaLibrary, model: Any) -> bool:
    """Whether a sliding window's cache is as long as the context, llama.cpp's default.

    That is for going back to an earlier token. V4 cannot (llama-kv-cache-dsv4.cpp:1459 refuses,
    its compressed rows know no way back), and would keep 5.7 GB at 128k tokens for nothing.
    """
    value = ctypes.create_string_buffer(64)
    library.api.llama_model_meta_val_str(model, b"general.architecture", value, len(value))
    return value.value != b"deepseek4"


def with_threads(settings: LoadSettings, physical_cores: int) -> LoadSettings:
    """Replace thread counts of 0 by the number of physical cores."""
    n_threads = settings.n_threads or physical_cores
    return dataclasses.replace(
        settings,
        n_threads=n_threads,
        n_threads_batch=settings.n_threads_batch or n_threads,
    )
