"""llama.cpp and ggml as ctypes sees them: one copy of each library, backends loaded. No Qt here.

Three traps shape this file (each measured, see docs/architecture.md):

* ``llama_cpp/__init__`` imports numpy and opens a second copy of libggml with a device registry of
  its own. Only its generated declarations (``llama_cpp.llama_cpp``) are wanted, so the package is
  entered without running its ``__init__``: 0.03 s instead of 0.28 s, and one copy of everything.
* libllama finds ggml by its SONAME (``libggml.so.0``); opening another file name of the same
  library would load it twice.
* Backends are modules (one per CPU generation, one per GPU interface): without
  ``ggml_backend_load_all_from_path`` there is no device at all and llama.cpp crashes.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

from models.errors import InstallationError
from models.runtime.command import repair_hint

_DEVICE_KINDS = {0: "cpu", 1: "gpu", 2: "igpu", 3: "accel", 4: "meta"}


class BackendFeature(ctypes.Structure):
    """``struct ggml_backend_feature``: a name and a value, both C strings."""

    _fields_ = (("name", ctypes.c_char_p), ("value", ctypes.c_char_p))


class TensorBufferOverride(ctypes.Structure):
    """``struct llama_model_tensor_buft_override``; llama-cpp-python does not declare it."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buft", ctypes.c_void_p))


def _enter_package_without_running_it() -> Path:
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        raise InstallationError(
            "The llama.cpp engine is not installed.",
            hint=repair_hint(),
        )
    if "llama_cpp" not in sys.modules:
        package = types.ModuleType("llama_cpp")
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__ = spec
        sys.modules["llama_cpp"] = package
    return Path(next(iter(spec.submodule_search_locations)))


def _shared_library_path(folder: Path, name: str) -> Path:
    candidates = {
        "linux": (f"lib{name}.so.0", f"lib{name}.so"),
        "darwin": (f"lib{name}.0.dylib", f"lib{name}.dylib"),
        "win32": (f"{name}.dll", f"lib{name}.dll"),
    }.get(sys.platform, (f"lib{name}.so.0", f"lib{name}.so"))
    for candidate in candidates:
        if (folder / candidate).exists():
            return folder / candidate
    raise InstallationError(
        f"A part of the llama.cpp engine is missing: {candidates[0]}.",
        hint=repair_hint(),
        details=str(folder),
    )


def declare(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    """Return a C function with its types set."""
    function = getattr(library, name)
    function.restype = result
    function.argtypes = list(arguments)
    return function


class Ggml:
    """The backend functions of libggml and libggml-base that llama-cpp-python does not declare.

    Attributes:
        base, registry: the two libraries.
        silent: handles of remote devices that are not to be used; to ask one whose host does not
            answer would end the process.
        hidden: handles of devices that another backend is the better way to (same_gpu.py).
        remote_names: names of remote devices in their order; ggml numbers them as they become
            known, which another child need not know.
    """

    def __init__(self, folder: Path) -> None:
        pointer = ctypes.c_void_p
        self.silent: set[int] = set()
        self.hidden: set[int] = set()
        self.remote_names: dict[int, bytes] = {}
        self.base = base = ctypes.CDLL(str(_shared_library_path(folder, "ggml-base")))
        self.registry = registry = ctypes.CDLL(str(_shared_library_path(folder, "ggml")))
        self.buft_name = declare(base, "ggml_backend_buft_name", ctypes.c_char_p, pointer)
        self.buft_is_host = declare(base, "ggml_backend_buft_is_host", ctypes.c_bool, pointer)
        self.buft_alignment = declare(
            base, "ggml_backend_buft_get_alignment", ctypes.c_size_t, pointer
        )
        self.buft_device = declare(base, "ggml_backend_buft_get_device", pointer, pointer)
        self._dev_name = declare(base, "ggml_backend_dev_name", ctypes.c_char_p, pointer)
        self.dev_description = declare(
            base, "ggml_backend_dev_description", ctypes.c_char_p, pointer
        )
        self.dev_kind = declare(base, "ggml_backend_dev_type", ctypes.c_int, pointer)
        self.dev_registry = declare(base, "ggml_backend_dev_backend_reg", pointer, pointer)
        self.dev_buffer_type = declare(base, "ggml_backend_dev_buffer_type", pointer, pointer)
        size_pointer = ctypes.POINTER(ctypes.c_size_t)
        self.dev_memory = declare(
            base, "ggml_backend_dev_memory", None, pointer, size_pointer, size_pointer
        )
        self.registry_name = declare(base, "ggml_backend_reg_name", ctypes.c_char_p, pointer)
        self.registry_function = declare(
            base, "ggml_backend_reg_get_proc_address", pointer, pointer, ctypes.c_char_p
        )
        self.registry_count = declare(registry, "ggml_backend_reg_count", ctypes.c_size_t)
        self.registry_get = declare(registry, "ggml_backend_reg_get", pointer, ctypes.c_size_t)
        self.dev_count = declare(registry, "ggml_backend_dev_count", ctypes.c_size_t)
        self.dev_get = declare(registry, "ggml_backend_dev_get", pointer, ctypes.c_size_t)
        self.load_all = declare(registry, "ggml_backend_load_all_from_path", None, ctypes.c_char_p)
        self._version = declare(base, "ggml_version", ctypes.c_char_p)
        self.register = declare(registry, "ggml_backend_register", None, pointer)
        self.load_one = declare(registry, "ggml_backend_load", pointer, ctypes.c_char_p)

    def version(self) -> str:
        """Return the version of ggml, such as ``0.25.3``."""
        return str(self._version().decode())

    def devices(self) -> list[int]:
        """Return the handles of all devices that can be used: ggml's order, remote ones last."""
        every = (self.dev_get(index) for index in range(self.dev_count()))
        remote = list(self.remote_names)
        return sorted(
            (device for device in every if device not in self.silent | self.hidden),
            key=lambda device: remote.index(device) if device in remote else -1,
        )

    def dev_name(self, device: int) -> bytes:
        """Return a device's name, of a remote one the name by which it was asked for."""
        name: bytes = self.remote_names.get(device) or self._dev_name(device)
        return name

    def device_kind(self, device: int) -> str:
        """Return ``cpu``, ``gpu``, ``igpu``, ``accel`` or ``rpc``."""
        if self.registry_name(self.dev_registry(device)) == b"RPC":
            return "rpc"
        return _DEVICE_KINDS.get(self.dev_kind(device), "gpu")

    def device_memory(self, device: int) -> tuple[int, int]:
        """Return the free and total bytes of a device, as its driver says."""
        free_bytes, total_bytes = ctypes.c_size_t(), ctypes.c_size_t()
        self.dev_memory(device, ctypes.byref(free_bytes), ctypes.byref(total_bytes))
        return free_bytes.value, total_bytes.value

    def registry_features(self, registry: int) -> tuple[str, ...]:
        """Return the CPU features a backend was built for and found, such as ``AVX2``."""
        said = self.registry_feature_values(registry)
        return tuple(name for name, value in said.items() if value != "0")

    def registry_feature_values(self, registry: int) -> dict[str, str]:
        """Return what a backend says of itself, such as ``ARCHS``: ``750,800``."""
        address = self.registry_function(registry, b"ggml_backend_get_features")
        if not address:
            return {}
        prototype = ctypes.CFUNCTYPE(ctypes.POINTER(BackendFeature), ctypes.c_void_p)
        features = prototype(address)(registry)
        said: dict[str, str] = {}
        index = 0
        while features[index].name:
            if features[index].value is not None:
                said[features[index].name.decode()] = features[index].value.decode()
            index += 1
        return said


class LlamaLibrary:
    """libllama's declarations (``api``), ggml's (``ggml``), and what must live as long as both.

    Attributes:
        api: the module ``llama_cpp.llama_cpp``: structs, constants and functions of llama.h.
        ggml: backend functions.
        folder: where the shared libraries lie.
    """

    def __init__(self) -> None:
        self.folder = _enter_package_without_running_it() / "lib"
        try:
            import llama_cpp.llama_cpp as api

            self.ggml = Ggml(self.folder)
        except (AttributeError, ImportError, OSError, RuntimeError) as error:
            raise InstallationError(
                "The llama.cpp engine cannot be loaded on this machine.",
                hint="Run 'fathom doctor' for what is missing.",
                details=str(error),
            ) from error
        self.api: Any = api

    def start(self) -> None:
        """Load every backend module that this machine can run, then llama.cpp itself.

        Raises:
            InstallationError: no CPU module fits this processor.
        """
        self.ggml.load_all(str(self.folder).encode())
        self.api.llama_backend_init()
        if self.ggml.dev_count() == 0:
            raise InstallationError(
                "None of llama.cpp's CPU modules runs on this processor.",
                hint="Run 'fathom doctor' for what is missing.",
                details=str(self.folder),
            )


@functools.cache
def library_version() -> str:
    """Return the version of llama-cpp-python, which names the llama.cpp it carries."""
    from importlib import metadata

    try:
        return metadata.version("llama-cpp-python")
    except metadata.PackageNotFoundError:
        return "unknown"
