"""GPUs that are not there: ggml backends whose functions are Python callbacks. No Qt here.

A phantom device answers everything that llama.cpp's loader and scheduler ask before the first
computation: how much memory is free, how tensors are padded, which operations it takes. It has no
memory and never computes. Together with ``no_alloc`` this makes llama.cpp itself account for any
machine on any machine.

What lies in a phantom's buffers is never touched: addresses in it are made up. V4's compressor
states are the one thing that ``no_alloc`` really allocates (src/llama-kv-cache-dsv4.cpp:985), and
filling them with zeros is one of the callbacks that do nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.ggml_abi import (
    API_VERSION,
    MAX_SOURCES,
    Abi,
    Backend,
    BackendFunctions,
    Buffer,
    BufferFunctions,
    BufferType,
    Device,
    OptimizeParameters,
    Properties,
    Registry,
    Tensor,
    check_layout,
)
from models.runtime.llama.phantom_graph import Nodes
from models.runtime.llama.phantom_kinds import rules_of
from models.runtime.llama.phantom_rules import BackendRules

_pointer = ctypes.c_void_p
_size = ctypes.c_size_t
_GPU, _INTEGRATED_GPU = 1, 2  # enum ggml_backend_dev_type
_STATUS_FAILED = -1
# Everything in a buffer's interface that touches data.
_BUFFER_ACCESS = (
    "memset_tensor",
    "set_tensor",
    "get_tensor",
    "set_tensor_2d",
    "get_tensor_2d",
    "clear",
)
_BUFFER_OFFSET, _SOURCES_OFFSET = Tensor.buffer.offset, Tensor.src.offset
_BUFT_OFFSET = Buffer.buft.offset
_Sources = _pointer * MAX_SOURCES
# Start of every made-up buffer: aligned for every backend, and no address that anybody uses.
_BASE_ADDRESS = 1 << 30


@dataclass(frozen=True)
class PhantomGpu:
    """A device to stand in for.

    Attributes:
        name: ggml's name for it, such as ``CUDA0``.
        kind: one of the values of ``models.planner.machine.GpuKind``.
        is_unified: it shares the machine's RAM.
        remote: what an RPC host computes with: ``cuda`` or ``cpu``.
    """

    name: str
    description: str
    kind: str
    total_bytes: int
    free_bytes: int
    is_unified: bool = False
    remote: str = "cuda"


class _Callbacks:
    """C function pointers and strings that must live as long as the library."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def function(self, result: Any, *arguments: Any, call: Any) -> int:
        """Return the address of a C function that calls ``call``."""
        callback = ctypes.CFUNCTYPE(result, *arguments)(call)
        self._kept.append(callback)
        address = ctypes.cast(callback, _pointer).value
        assert address is not None
        return address

    def constant(self, result: Any, *arguments: Any, value: Any) -> int:
        """Return the address of a C function that returns ``value``."""
        return self.function(result, *arguments, call=lambda *_: value)

    def text(self, text: str) -> int:
        """Return the address of a C string."""
        buffer = ctypes.create_string_buffer(text.encode())
        self._kept.append(buffer)
        return ctypes.addressof(buffer)


class PhantomDevice:
    """One device with its buffer type, its host buffer type and its computing contexts.

    ``registry`` is the address of the registry it belongs to; ``siblings`` are the buffer types of
    all devices of that registry, shared and filled as they are made.
    """

    def __init__(
        self,
        gpu: PhantomGpu,
        rules: BackendRules,
        abi: Abi,
        *,
        registry: int,
        siblings: set[int],
        shared_host_buft: BufferType | None,
    ) -> None:
        self._gpu = gpu
        self._rules = rules
        self._abi = abi
        self._make = _Callbacks()
        self._siblings = siblings
        self._contexts: dict[int, Backend] = {}
        self._guid = ctypes.create_string_buffer(b"fathom-phantom-0", 16)
        self._name = self._make.text(gpu.name)
        self._description = self._make.text(gpu.description)
        self.device = Device(reg=registry)
        self.buft = BufferType(device=self.address)
        self._context_functions = self._fill_context_functions()
        self._buffer_functions = self._fill_buffer_functions()
        self._fill_buffer_type()
        self._mine = ctypes.addressof(self.buft)
        siblings.add(self._mine)
        self._checks_devices = rules.facts.checks_devices
        self.host_buft = shared_host_buft or self._new_host_buffer_type()
        self._usable = self._usable_buffer_types()
        self._fill_device()

    @property
    def address(self) -> int:
        """Handle of the device."""
        return ctypes.addressof(self.device)

    @property
    def name(self) -> str:
        """ggml's name for it."""
        return self._gpu.name

    @property
    def reorders(self) -> bool:
        """Whether the backend computes in an order that is not imitated."""
        return self._rules.facts.reorders

    @property
    def maps_files(self) -> bool:
        """Whether load mode ``auto`` maps the file when this device is used."""
        return self._rules.facts.shared_maps_files or not self._gpu.is_unified

    # --- buffers --------------------------------------------------------------------------------

    def _fill_buffer_functions(self) -> BufferFunctions:
        make = self._make
        nothing = make.function(None, _pointer, call=lambda *_: None)
        functions = BufferFunctions(get_base=make.constant(_pointer, _pointer, value=_BASE_ADDRESS))
        # All of them get pointers and numbers and return nothing, so one callback serves them all;
        # C passes the arguments that it does not look at in registers or on the caller's stack.
        for name in _BUFFER_ACCESS:
            setattr(functions, name, nothing)
        return functions

    def _fill_buffer_type(self) -> None:
        make, facts = self._make, self._rules.facts
        iface = self.buft.iface
        iface.get_name = make.constant(_pointer, _pointer, value=self._name)
        iface.alloc_buffer = make.function(_pointer, _pointer, _size, call=self._new_buffer)
        iface.get_alignment = make.constant(_size, _pointer, value=facts.align_bytes)
        if facts.max_buffer_bytes is not None:
            iface.get_max_size = make.constant(_size, _pointer, value=facts.max_buffer_bytes)
        iface.get_alloc_size = make.function(_size, _pointer, _pointer, call=self._allocated)

    def _new_buffer(self, buft: int, size: int) -> int:
        return int(self._abi.buffer_init(buft, self._buffer_functions, None, size))

    def _allocated(self, _buft: int, tensor: int) -> int:
        return self._rules.allocated_bytes(Tensor.from_address(tensor))

    def _new_host_buffer_type(self) -> BufferType | None:
        """Return a type of page-locked host memory: the CPU's own, under another name."""
        name = self._rules.facts.host_buffer
        if name is None:
            return None
        host = BufferType.from_buffer_copy(BufferType.from_address(self._abi.cpu_buft()))
        host.device = self.address
        text = self._make.text(name)
        host.iface.get_name = self._make.constant(_pointer, _pointer, value=text)

        def new_buffer(buft: int, size: int) -> int:
            # Real memory: llama.cpp's output buffer lies here and is written to.
            buffer = int(self._abi.buft_alloc(self._abi.cpu_buft(), size))
            Buffer.from_address(buffer).buft = buft
            return buffer

        if self._rules.facts.host_align_bytes:
            host.iface.get_alignment = self._make.constant(
                _size, _pointer, value=self._rules.facts.host_align_bytes
            )
        host.iface.alloc_buffer = self._make.function(_pointer, _pointer, _size, call=new_buffer)
        return host

    # --- the device -----------------------------------------------------------------------------

    def _fill_device(self) -> None:
        make, iface, facts = self._make, self.device.iface, self._rules.facts
        size_pointer = ctypes.POINTER(_size)
        iface.get_name = make.constant(_pointer, _pointer, value=self._name)
        iface.get_description = make.constant(_pointer, _pointer, value=self._description)
        iface.get_memory = make.function(
            None, _pointer, size_pointer, size_pointer, call=self._memory
        )
        iface.get_type = make.constant(ctypes.c_int, _pointer, value=self._device_type)
        iface.get_props = make.function(
            None, _pointer, ctypes.POINTER(Properties), call=self._properties
        )
        iface.init_backend = make.function(
            _pointer, _pointer, ctypes.c_char_p, call=self._new_context
        )
        iface.get_buffer_type = make.constant(_pointer, _pointer, value=ctypes.addressof(self.buft))
        if self.host_buft is not None:
            iface.get_host_buffer_type = make.constant(
                _pointer, _pointer, value=ctypes.addressof(self.host_buft)
            )
        iface.supports_op = make.function(
            ctypes.c_bool, _pointer, _pointer, call=self._supports_operation
        )
        iface.supports_buft = make.function(
            ctypes.c_bool, _pointer, _pointer, call=self._supports_buffer_type
        )
        if facts.offload_batch is not None:
            iface.offload_op = make.function(
                ctypes.c_bool, _pointer, _pointer, call=self._offloads_operation
            )

    @property
    def _device_type(self) -> int:
        integrated = self._gpu.is_unified and self._rules.facts.shared_is_igpu
        return _INTEGRATED_GPU if integrated else _GPU

    def _memory(self, _device: int, free: Any, total: Any) -> None:
        free[0], total[0] = self._gpu.free_bytes, self._gpu.total_bytes

    def _properties(self, _device: int, into: Any) -> None:
        facts, props = self._rules.facts, into.contents
        props.name, props.description = self._name, self._description
        props.memory_free, props.memory_total = self._gpu.free_bytes, self._gpu.total_bytes
        props.type = self._device_type
        props.device_id = None
        props.caps.is_async = facts.is_async
        props.caps.host_buffer = facts.host_buffer is not None
        props.caps.buffer_from_host_ptr = facts.maps_host_memory
        props.caps.events = facts.has_events
        props.caps.mmap_support = self.maps_files

    def _usable_buffer_types(self) -> frozenset[int]:
        usable = {ctypes.addressof(self.buft)}
        if self._gpu.is_unified and self._rules.facts.shared_reads_host and self.host_buft:
            usable.add(ctypes.addressof(self.host_buft))
        return frozenset(usable)

    def _supports_buffer_type(self, _device: int, buft: int) -> bool:
        return buft in self._usable

    def _supports_operation(self, _device: int, address: int) -> bool:
        # Asked some ten thousand times a context: written for speed, here and below.
        if self._checks_devices and len(self._siblings) > 1 and self._lies_elsewhere(address):
            return False
        return self._rules.supports(Tensor.from_address(address))

    def _lies_elsewhere(self, address: int) -> bool:
        """Whether an operand lies on another device of the same backend."""
        read = _pointer.from_address
        for source in _Sources.from_address(address + _SOURCES_OFFSET):
            if not source:
                continue
            buffer = read(source + _BUFFER_OFFSET).value
            if buffer:
                buft = read(buffer + _BUFT_OFFSET).value
                if buft != self._mine and buft in self._siblings:
                    return True
        return False

    def _offloads_operation(self, _device: int, address: int) -> bool:
        return self._rules.offloads(Tensor.from_address(address))

    # --- computing, which it cannot -------------------------------------------------------------

    def _new_context(self, _device: int, _parameters: bytes | None) -> int:
        context = Backend(
            guid=ctypes.addressof(self._guid), iface=self._context_functions, device=self.address
        )
        address = ctypes.addressof(context)
        self._contexts[address] = context
        return address

    def _fill_context_functions(self) -> BackendFunctions:
        make = self._make
        return BackendFunctions(
            get_name=make.constant(_pointer, _pointer, value=self._name),
            free=make.function(None, _pointer, call=self._free_context),
            synchronize=make.function(None, _pointer, call=lambda _: None),
            graph_compute=make.constant(ctypes.c_int, _pointer, _pointer, value=_STATUS_FAILED),
            graph_optimize=make.function(
                None, _pointer, _pointer, _pointer, call=self._optimize_graph
            ),
        )

    def _optimize_graph(self, _context: int, graph: int, parameters: int) -> None:
        """Tell the scheduler which tensors the backend keeps for its fused kernels."""
        found = OptimizeParameters.from_address(parameters)
        keep = ctypes.CFUNCTYPE(None, _pointer, _pointer, _pointer)(found.add_alloc_dep)
        for tensor, until in self._rules.keeps(Nodes(graph, self._abi)):
            keep(found.user_data, tensor, until)

    def _free_context(self, context: int) -> None:
        self._contexts.pop(context, None)


class PhantomRegistry:
    """All phantom devices of one backend, registered with ggml for the life of the process."""

    def __init__(self, abi: Abi, gpus: Sequence[PhantomGpu]) -> None:
        make = self._make = _Callbacks()
        rules = [rules_of(gpu.kind, gpu.remote, abi) for gpu in gpus]
        facts = rules[0].facts
        self._registry = Registry(api_version=API_VERSION)
        address = ctypes.addressof(self._registry)
        siblings: set[int] = set()
        self.devices: list[PhantomDevice] = []
        for gpu, own in zip(gpus, rules, strict=True):
            shares = self.devices and not facts.host_per_device
            host = self.devices[0].host_buft if shares else None
            self.devices.append(
                PhantomDevice(
                    gpu, own, abi, registry=address, siblings=siblings, shared_host_buft=host
                )
            )
        name = make.text(facts.registry)
        iface = self._registry.iface
        iface.get_name = make.constant(_pointer, _pointer, value=name)
        iface.get_device_count = make.constant(_size, _pointer, value=len(gpus))
        iface.get_device = make.function(
            _pointer, _pointer, _size, call=lambda _, index: self.devices[index].address
        )
        iface.get_proc_address = make.constant(_pointer, _pointer, ctypes.c_char_p, value=None)
        abi.register(address)


def register_phantoms(library: LlamaLibrary, gpus: Sequence[PhantomGpu]) -> list[PhantomRegistry]:
    """Give this process the GPUs of another machine; the result must be kept for its whole life.

    Args:
        library: with its CPU backend loaded.
        gpus: in llama.cpp's order.

    Raises:
        InstallationError: the installed library lays its structs out differently.
    """
    abi = Abi(library)
    check_layout(library, abi)
    by_kind: dict[str, list[PhantomGpu]] = {}
    for gpu in gpus:
        by_kind.setdefault(gpu.kind, []).append(gpu)
    return [PhantomRegistry(abi, of_kind) for of_kind in by_kind.values()]
