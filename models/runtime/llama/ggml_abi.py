"""The structs behind ggml's backend handles, as ``ggml/src/ggml-backend-impl.h`` lays them out.

A backend is a set of structs full of function pointers. Writing one in Python (see phantom.py)
needs their exact layout, which is internal to ggml and may change with any version. Therefore
``check_layout`` compares it with the library that is installed before anything relies on it.
ggml 0.25.3, ``GGML_BACKEND_API_VERSION`` 2. No Qt here.
"""

from __future__ import annotations

import ctypes
from typing import Any

from models.errors import InstallationError
from models.gguf.types import GGML_TYPES
from models.runtime.command import repair_hint
from models.runtime.llama.bindings import LlamaLibrary, declare

API_VERSION = 2
MAX_SOURCES = 10  # GGML_MAX_SRC
_OBJECT_BYTES = 32  # struct ggml_object, ggml/src/ggml-impl.h
_LAST_OP = "GLU"  # the one before GGML_OP_COUNT in ggml/include/ggml.h

_pointer = ctypes.c_void_p


def _pointers(names: str) -> tuple[tuple[str, Any], ...]:
    return tuple((name, _pointer) for name in names.split())


class Tensor(ctypes.Structure):
    """``struct ggml_tensor`` (ggml/include/ggml.h)."""

    @property
    def address(self) -> int:
        """Where it lies, as ggml's functions want it."""
        return ctypes.addressof(self)

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return int(self.ne[0] * self.ne[1] * self.ne[2] * self.ne[3])

    @property
    def is_quantized(self) -> bool:
        """Whether numbers are stored in blocks."""
        return GGML_TYPES[self.type].block_elements > 1

    @property
    def element_bytes(self) -> int:
        """Size of one number, or of one block of them."""
        return GGML_TYPES[self.type].block_bytes

    def source(self, index: int) -> Tensor:
        """Return an operand; it must be there."""
        return Tensor.from_address(self.src[index])


Tensor._fields_ = (
    ("type", ctypes.c_int),
    ("buffer", _pointer),
    ("ne", ctypes.c_int64 * 4),
    ("nb", ctypes.c_size_t * 4),
    ("op", ctypes.c_int),
    ("op_params", ctypes.c_int32 * 16),
    ("flags", ctypes.c_int32),
    ("src", _pointer * MAX_SOURCES),
    ("view_src", _pointer),
    ("view_offs", ctypes.c_size_t),
    ("data", _pointer),
    ("name", ctypes.c_char * 64),
    ("extra", _pointer),
    ("padding", ctypes.c_char * 8),
)


class Graph(ctypes.Structure):
    """The start of ``struct ggml_cgraph`` (ggml/src/ggml-impl.h)."""

    _fields_ = (
        ("size", ctypes.c_int),
        ("n_nodes", ctypes.c_int),
        ("n_leafs", ctypes.c_int),
        ("nodes", _pointer),
    )


class OptimizeParameters(ctypes.Structure):
    """``struct ggml_backend_graph_optimize_params``."""

    _fields_ = (("add_alloc_dep", _pointer), ("user_data", _pointer))


class BufferTypeFunctions(ctypes.Structure):
    """``struct ggml_backend_buffer_type_i``."""

    _fields_ = _pointers("get_name alloc_buffer get_alignment get_max_size get_alloc_size is_host")


class BufferType(ctypes.Structure):
    """``struct ggml_backend_buffer_type``."""

    _fields_ = (("iface", BufferTypeFunctions), ("device", _pointer), ("context", _pointer))


class BufferFunctions(ctypes.Structure):
    """``struct ggml_backend_buffer_i``."""

    _fields_ = _pointers(
        "free_buffer get_base init_tensor memset_tensor set_tensor get_tensor set_tensor_2d "
        "get_tensor_2d cpy_tensor clear reset"
    )


class Buffer(ctypes.Structure):
    """``struct ggml_backend_buffer``."""

    _fields_ = (
        ("iface", BufferFunctions),
        ("buft", _pointer),
        ("context", _pointer),
        ("size", ctypes.c_size_t),
        ("usage", ctypes.c_int),
    )


class BackendFunctions(ctypes.Structure):
    """``struct ggml_backend_i``."""

    _fields_ = _pointers(
        "get_name free set_tensor_async get_tensor_async set_tensor_2d_async get_tensor_2d_async "
        "cpy_tensor_async synchronize graph_plan_create graph_plan_free graph_plan_update "
        "graph_plan_compute graph_compute event_record event_wait graph_optimize"
    )


class Backend(ctypes.Structure):
    """``struct ggml_backend``."""

    _fields_ = (
        ("guid", _pointer),
        ("iface", BackendFunctions),
        ("device", _pointer),
        ("context", _pointer),
    )


class DeviceFunctions(ctypes.Structure):
    """``struct ggml_backend_device_i``."""

    _fields_ = _pointers(
        "get_name get_description get_memory get_type get_props init_backend get_buffer_type "
        "get_host_buffer_type buffer_from_host_ptr supports_op supports_buft offload_op event_new "
        "event_free event_synchronize"
    )


class Device(ctypes.Structure):
    """``struct ggml_backend_device``."""

    _fields_ = (("iface", DeviceFunctions), ("reg", _pointer), ("context", _pointer))


class RegistryFunctions(ctypes.Structure):
    """``struct ggml_backend_reg_i``."""

    _fields_ = _pointers("get_name get_device_count get_device get_proc_address")


class Registry(ctypes.Structure):
    """``struct ggml_backend_reg``."""

    _fields_ = (
        ("api_version", ctypes.c_int),
        ("iface", RegistryFunctions),
        ("context", _pointer),
    )


class Capabilities(ctypes.Structure):
    """``struct ggml_backend_dev_caps`` (ggml/include/ggml-backend.h)."""

    _fields_ = tuple(
        (name, ctypes.c_bool)
        for name in ("is_async", "host_buffer", "buffer_from_host_ptr", "events", "mmap_support")
    )


class Properties(ctypes.Structure):
    """``struct ggml_backend_dev_props`` (ggml/include/ggml-backend.h)."""

    _fields_ = (
        ("name", _pointer),
        ("description", _pointer),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("caps", Capabilities),
    )


class Abi:
    """ggml's functions that a backend written in Python needs, and the numbers of its operations.

    Attributes:
        op_names: every operation's name by its number; the library's own numbering.
        ops: the same the other way round.
    """

    def __init__(self, library: LlamaLibrary) -> None:
        base, registry = library.ggml.base, library.ggml.registry
        size, tensor = ctypes.c_size_t, _pointer
        self.tensor_overhead = declare(base, "ggml_tensor_overhead", size)
        self.nbytes = declare(base, "ggml_nbytes", size, tensor)
        self.row_size = declare(base, "ggml_row_size", size, ctypes.c_int, ctypes.c_int64)
        self.buffer_init = declare(
            base, "ggml_backend_buffer_init", _pointer, _pointer, BufferFunctions, _pointer, size
        )
        self.buffer_free = declare(base, "ggml_backend_buffer_free", None, _pointer)
        self.buft_alloc = declare(base, "ggml_backend_buft_alloc_buffer", _pointer, _pointer, size)
        self.cpu_buft = declare(base, "ggml_backend_cpu_buffer_type", _pointer)
        self.dev_init = declare(base, "ggml_backend_dev_init", _pointer, _pointer, ctypes.c_char_p)
        self.dev_props = declare(
            base, "ggml_backend_dev_get_props", None, _pointer, ctypes.POINTER(Properties)
        )
        self.backend_free = declare(base, "ggml_backend_free", None, _pointer)
        self.register = declare(registry, "ggml_backend_register", None, _pointer)
        op_name = declare(base, "ggml_op_name", ctypes.c_char_p, ctypes.c_int)
        self.op_names: list[str] = []
        while not self.op_names or self.op_names[-1] != _LAST_OP:
            self.op_names.append(op_name(len(self.op_names)).decode())
        self.ops = {name: number for number, name in enumerate(self.op_names)}


def check_layout(library: LlamaLibrary, abi: Abi) -> None:
    """Compare the structs of this file with the CPU backend of the installed library.

    Raises:
        InstallationError: a struct is laid out differently.
    """
    ggml = library.ggml
    cpu = next(device for device in ggml.devices() if ggml.device_kind(device) == "cpu")
    registry = ggml.dev_registry(cpu)
    buft = ggml.dev_buffer_type(cpu)
    buffer = abi.buft_alloc(abi.cpu_buft(), 64)
    backend = abi.dev_init(cpu, None)
    seen_props = Properties()
    abi.dev_props(cpu, ctypes.byref(seen_props))
    try:
        agrees = (
            ctypes.sizeof(Tensor) == abi.tensor_overhead() - _OBJECT_BYTES,
            Registry.from_address(registry).api_version == API_VERSION,
            Device.from_address(cpu).reg == registry,
            BufferType.from_address(buft).device == ggml.buft_device(buft),
            Buffer.from_address(buffer).buft == abi.cpu_buft(),
            Buffer.from_address(buffer).size == 64,
            Backend.from_address(backend).device == cpu,
            seen_props.memory_total == ggml.device_memory(cpu)[1],
            seen_props.caps.buffer_from_host_ptr and seen_props.caps.mmap_support,
        )
    finally:
        abi.backend_free(backend)
        abi.buffer_free(buffer)
    if not all(agrees):
        raise InstallationError(
            "This version of llama.cpp cannot be asked for exact plans.",
            hint=repair_hint(),
            details=f"struct layouts: {agrees}",
        )
