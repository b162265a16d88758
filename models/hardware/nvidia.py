"""NVIDIA GPUs through NVML. A machine without the driver is a normal outcome. No Qt here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from models.hardware.readouts import GpuReadout

_T = TypeVar("_T")
_SOURCE = "NVML (nvidia-ml-py)"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Board:
    handle: Any
    index: int
    name: str
    bus_id: str


class NvidiaReader:
    """Reads all NVIDIA GPUs; NVML is loaded at the first ``read``, not before.

    Attributes:
        problem: why there is nothing to read, empty while NVML works.
    """

    def __init__(self) -> None:
        self.problem = ""
        self._nvml: Any = None
        self._boards: list[_Board] = []
        self._opened = False

    def read(self) -> tuple[GpuReadout, ...]:
        """Return one readout per GPU; none without a driver. A field that fails is None."""
        if not self._opened:
            self._opened = True
            self._open()
        return tuple(self._read_board(board) for board in self._boards)

    def close(self) -> None:
        """Release NVML; the reader stays empty afterwards."""
        self._boards = []
        if self._nvml is not None:
            self._ask(self._nvml.nvmlShutdown)
            self._nvml = None

    def _open(self) -> None:
        try:
            import pynvml as nvml_module
        except ImportError as error:
            self.problem = f"nvidia-ml-py cannot be imported ({error})"
            return
        pynvml: Any = nvml_module
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            self.problem = str(error)
            _log.info("No NVIDIA driver: %s", error)
            return
        self._nvml = pynvml
        for index in range(self._ask(pynvml.nvmlDeviceGetCount) or 0):
            handle = self._ask(pynvml.nvmlDeviceGetHandleByIndex, index)
            if handle is None:
                continue
            name = self._ask(pynvml.nvmlDeviceGetName, handle)
            pci = self._ask(pynvml.nvmlDeviceGetPciInfo, handle)
            bus_id = _text(pci.busId) if pci is not None else ""
            self._boards.append(_Board(handle, index, _text(name) or "NVIDIA GPU", bus_id))

    def _ask(self, call: Callable[..., _T], *arguments: Any) -> _T | None:
        """Return what NVML answers, None when this GPU or driver cannot."""
        try:
            return call(*arguments)
        except self._nvml.NVMLError as error:
            _log.debug("%s: %s", getattr(call, "__name__", call), error)
            return None

    def _read_board(self, board: _Board) -> GpuReadout:
        nvml, handle = self._nvml, board.handle
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
        load = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
        celsius = self._celsius(handle)
        milliwatts = self._ask(nvml.nvmlDeviceGetPowerUsage, handle)
        values = {
            "total_bytes": memory and "nvmlDeviceGetMemoryInfo",
            "used_bytes": memory and "nvmlDeviceGetMemoryInfo",
            "load_percent": load and "nvmlDeviceGetUtilizationRates",
            "temperature_c": celsius is not None and "nvmlDeviceGetTemperature",
            "power_w": milliwatts is not None and "nvmlDeviceGetPowerUsage",
        }
        return GpuReadout(
            name=board.name,
            vendor="NVIDIA",
            index=board.index,
            total_bytes=int(memory.total) if memory else None,
            used_bytes=int(memory.used) if memory else None,
            load_percent=float(load.gpu) if load else None,
            temperature_c=float(celsius) if celsius is not None else None,
            power_w=milliwatts / 1000.0 if milliwatts is not None else None,
            source=_SOURCE,
            driver="nvidia",
            bus_id=board.bus_id,
            sources={key: name for key, name in values.items() if name},
        )

    def _celsius(self, handle: Any) -> int | None:
        nvml = self._nvml
        celsius = self._ask(nvml.nvmlDeviceGetTemperatureV, handle, nvml.NVML_TEMPERATURE_GPU)
        if celsius is None:
            # Drivers before 12.8 know only the older call, which CUDA 14 drops.
            celsius = self._ask(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
        return celsius


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
