"""Devices of other machines: llama.cpp's RPC workers as devices of this engine. No Qt here.

llama.cpp ends the process when a worker cannot be reached, already when its memory is asked for
(ggml-rpc.cpp, ``rpc_dispatcher::start``). So every worker is greeted here first, with a time limit
and llama.cpp's own greeting; only one that answers is touched by llama.cpp. A worker serves one
program at a time: while a loaded checkpoint uses it, it is not greeted again.

The protocol has no authentication and no encryption: workers belong in a network that is trusted.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence

from models.errors import FathomError, InvalidSettingError, RpcHostError
from models.runtime.llama.bindings import LlamaLibrary

GREETING_LIMIT_S = 3.0
# ggml/include/ggml-rpc.h, ggml-rpc.cpp (enum rpc_cmd) and transport.h of ggml 0.25.3.
_PROTOCOL = (7, 0)
_HELLO = 14
_CAPABILITY_BYTES = 24
_ANSWER = struct.Struct(f"<Q4B{_CAPABILITY_BYTES}s")


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Return host and port of ``host:port``.

    Raises:
        InvalidSettingError: it is not of that form.
    """
    host, _, port = endpoint.partition(":")
    # llama.cpp cuts at the first colon, so an IPv6 address cannot be given.
    if not host or not port.isdecimal() or not 0 < int(port) < 65536 or host.strip() != host:
        raise InvalidSettingError(
            f"{endpoint!r} is not an RPC host.", hint="Write host:port, such as 10.0.0.2:50052."
        )
    return host, int(port)


def greet(endpoint: str, limit_s: float = GREETING_LIMIT_S) -> None:
    """Ask a worker for its version, as llama.cpp does when it connects.

    Raises:
        InvalidSettingError: the endpoint is malformed.
        RpcHostError: nobody answers there, or not an RPC worker of the same version.
    """
    host, port = split_endpoint(endpoint)
    request = struct.pack("<BQ", _HELLO, _CAPABILITY_BYTES) + bytes(_CAPABILITY_BYTES)
    answer = b""
    try:
        with socket.create_connection((host, port), timeout=limit_s) as connection:
            connection.sendall(request)
            while len(answer) < _ANSWER.size:
                chunk = connection.recv(_ANSWER.size - len(answer))
                if not chunk:
                    break
                answer += chunk
    except TimeoutError as error:
        raise RpcHostError(
            f"The RPC host {endpoint} does not answer.",
            hint="It may be busy: a worker serves one program at a time.",
            details=f"no answer in {limit_s:g} s",
        ) from error
    except OSError as error:
        raise RpcHostError(
            f"The RPC host {endpoint} cannot be reached.",
            hint="Start the worker there, or take the host out of the settings.",
            details=str(error),
        ) from error
    _check_answer(endpoint, answer)


def _check_answer(endpoint: str, answer: bytes) -> None:
    if len(answer) == _ANSWER.size:
        size_bytes, major, minor, *_ = _ANSWER.unpack(answer)
        if size_bytes == _ANSWER.size - 8:
            if (major, minor) == _PROTOCOL:
                return
            raise RpcHostError(
                f"The RPC worker at {endpoint} is of another version of llama.cpp.",
                hint="Install the same version there.",
                details=f"it speaks {major}.{minor}, this engine {_PROTOCOL[0]}.{_PROTOCOL[1]}",
            )
    raise RpcHostError(
        f"What answers at {endpoint} is not an RPC worker of llama.cpp of this version.",
        hint="Look which program listens there, and install the same version there.",
        details=repr(answer),
    )


class RpcHosts:
    """The RPC workers that this process knows; they stay known for its whole life.

    Devices of workers that nobody asks for now, or that do not answer, are hidden
    (``Ggml.silent``).
    """

    def __init__(self, library: LlamaLibrary) -> None:
        self._library = library
        self._devices: dict[str, tuple[int, ...]] = {}
        self._in_use: frozenset[str] = frozenset()

    def connect(self, endpoints: Sequence[str]) -> list[FathomError]:
        """Make the devices of these workers usable, and those of no others.

        They are called RPC0, RPC1 ... in the order of ``endpoints``, whatever this process met
        before: so a name means the same in every child that is told the same workers.

        Returns:
            Why a worker's devices are missing, for each that cannot be used.
        """
        silent, names = self._library.ggml.silent, self._library.ggml.remote_names
        silent.update(device for devices in self._devices.values() for device in devices)
        names.clear()
        problems: list[FathomError] = []
        for endpoint in dict.fromkeys(endpoints):
            try:
                if endpoint not in self._in_use:
                    greet(endpoint)
                if endpoint not in self._devices:
                    self._devices[endpoint] = self._register(endpoint)
            except (InvalidSettingError, RpcHostError) as error:
                problems.append(error)
            else:
                silent.difference_update(self._devices[endpoint])
                for device in self._devices[endpoint]:
                    names[device] = b"RPC%d" % len(names)
        return problems

    def default_devices(self) -> tuple[str, ...] | None:
        """Return llama.cpp's own choice of devices without silent and hidden ones.

        Returns:
            None where llama.cpp itself would choose the same (src/llama.cpp:190-275).
        """
        ggml = self._library.ggml
        if not ggml.silent and not ggml.hidden:
            return None
        kinds: dict[str, list[str]] = {"rpc": [], "gpu": [], "igpu": []}
        for device in ggml.devices():
            kind = ggml.device_kind(device)
            if kind in kinds:
                kinds[kind].append(ggml.dev_name(device).decode())
        return (*kinds["rpc"], *(kinds["gpu"] or kinds["igpu"]))

    def hold(self, endpoints: Sequence[str], devices: Sequence[str] | None) -> None:
        """Remember which workers serve the loaded checkpoint; none with no endpoints.

        Args:
            endpoints: the workers of the load.
            devices: names of the devices in use, None: all.
        """
        name = self._library.ggml.dev_name
        self._in_use = frozenset(
            endpoint
            for endpoint in endpoints
            if devices is None
            or any(name(device).decode() in devices for device in self._devices.get(endpoint, ()))
        )

    def _register(self, endpoint: str) -> tuple[int, ...]:
        ggml = self._library.ggml
        address = None
        for index in range(ggml.registry_count()):
            registry = ggml.registry_get(index)
            if ggml.registry_name(registry) == b"RPC":
                address = ggml.registry_function(registry, b"ggml_backend_rpc_add_server")
        if not address:
            raise RpcHostError(
                "This build of llama.cpp cannot use RPC hosts.",
                hint="docs/building.md tells how to build one that can.",
            )
        before = set(ggml.devices())
        add_server = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(address)
        registry = add_server(endpoint.encode())
        if not registry:
            raise RpcHostError(f"The RPC host {endpoint} offers no device.")
        ggml.register(registry)
        return tuple(device for device in ggml.devices() if device not in before)
