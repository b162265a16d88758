"""This machine as a load would find it: the engine's devices, and what it holds given back.

No Qt here.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import EngineBusyError, EngineUnresponsiveError
from models.runtime.protocol import DeviceList, DeviceMemory
from models.runtime.supervisor import EngineState, EngineSupervisor

if TYPE_CHECKING:
    from models.planner.machine import Machine

# Starting the engine and the drivers' first words take their time on a cold disk.
DEVICES_LIMIT_S = 30.0
_BUSY = (EngineState.LOADING, EngineState.GENERATING)


class MachineReader:
    """Asks the engine for its devices; used from any thread but the engine's reader thread.

    Args:
        supervisor: keeps the engine child.
        held: what the loaded checkpoint holds, empty when nothing is loaded.
        describe: makes a machine of the devices and the file whose disk matters.
        rpc_hosts: the user's other machines as they are now set, as ``host:port``.
    """

    def __init__(
        self,
        supervisor: EngineSupervisor,
        *,
        held: Callable[[], Sequence[DeviceMemory]],
        describe: Callable[[DeviceList, Path | None], Machine],
        rpc_hosts: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._supervisor = supervisor
        self._held = held
        self._describe = describe
        self._rpc_hosts = rpc_hosts
        self._lock = threading.Lock()
        self._known: DeviceList | None = None
        self._closed = False

    def close(self) -> None:
        """Start no engine any more; for the end of the program."""
        self._closed = True

    def read(self, path: Path | None) -> Machine:
        """Return the machine with the memory of the loaded checkpoint counted as free.

        A load gives that back before it takes anything.

        Raises:
            EngineError: the engine does not start, or does not answer.
        """
        held = tuple(self._held())
        return with_host_given_back(self._describe(self._devices(held), path), held)

    def _devices(self, held: Sequence[DeviceMemory]) -> DeviceList:
        # The engine works off one request after the other: in the middle of an answer it would
        # say nothing for minutes, and what it said before is as good.
        with self._lock:
            if self._known is not None and self._supervisor.state in _BUSY:
                return self._known
            self._known = with_devices_given_back(self._ask(), held)
            return self._known

    def _ask(self) -> DeviceList:
        if self._closed or self._supervisor.state in _BUSY:
            raise EngineBusyError("The engine is busy.", hint="Try again in a moment.")
        request_id = self._supervisor.request_devices(self._rpc_hosts())
        try:
            body = self._supervisor.wait(request_id, DEVICES_LIMIT_S).body
        except TimeoutError as error:
            raise EngineUnresponsiveError(
                "The engine does not say which devices there are.", hint="Try again."
            ) from error
        if not isinstance(body, DeviceList):
            raise EngineBusyError("The engine was stopped.", hint="Try again.")
        return body


def with_devices_given_back(found: DeviceList, held: Sequence[DeviceMemory]) -> DeviceList:
    """Return the devices with what a loaded checkpoint holds on them counted as free."""
    given = {memory.name: memory.total_bytes for memory in held if memory.kind != "cpu"}
    devices = tuple(
        dataclasses.replace(
            device,
            free_bytes=min(device.total_bytes, device.free_bytes + given.get(device.name, 0)),
        )
        for device in found.devices
    )
    return dataclasses.replace(found, devices=devices)


def with_host_given_back(machine: Machine, held: Sequence[DeviceMemory]) -> Machine:
    """Return the machine with the RAM that a load gives back counted as available."""
    # Weights in RAM are mostly pages of the file, which count as available already.
    host_bytes = sum(
        memory.kv_bytes + memory.compute_bytes + memory.output_bytes
        for memory in held
        if memory.kind == "cpu"
    )
    ram = machine.ram
    available = min(ram.total_bytes, ram.available_bytes + host_bytes)
    return dataclasses.replace(machine, ram=dataclasses.replace(ram, available_bytes=available))
