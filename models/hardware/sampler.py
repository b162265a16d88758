"""One cheap sample of everything the machine says about itself. No Qt here.

Call it off the GUI thread: NVML may take long when a GPU sleeps or its driver is stuck.
"""

from __future__ import annotations

import time
from pathlib import Path

from models.hardware.cpu import CpuReader
from models.hardware.linux_sysfs import SysfsReader
from models.hardware.memory import RamReader, read_process
from models.hardware.nvidia import NvidiaReader
from models.hardware.readouts import HardwareSnapshot


class HardwareSampler:
    """Reads GPUs, RAM, CPU and the engine child. Use it from one thread at a time."""

    def __init__(self, root: Path = Path("/"), *, nvidia: bool = True) -> None:
        """Look once at what does not change.

        Args:
            root: folder that holds ``proc`` and ``sys``; tests give trees of their own.
            nvidia: whether NVML is asked at all.
        """
        self._nvidia = NvidiaReader() if nvidia else None
        self._sysfs = SysfsReader(root)
        self._ram = RamReader(root)
        self._cpu = CpuReader(root)

    def sample(self, engine_pid: int | None = None) -> HardwareSnapshot:
        """Return the figures of this moment; ``engine_pid`` adds the engine child's memory."""
        nvidia_gpus = self._nvidia.read() if self._nvidia else ()
        pids = () if engine_pid is None else (engine_pid,)
        return HardwareSnapshot(
            gpus=nvidia_gpus + self._sysfs.read(pids),
            ram=self._ram.read(),
            cpu=self._cpu.read(),
            taken_at=time.monotonic(),
            engine=read_process(engine_pid) if engine_pid is not None else None,
            notes=self._notes(),
        )

    def close(self) -> None:
        """Release the driver libraries."""
        if self._nvidia:
            self._nvidia.close()

    def _notes(self) -> tuple[str, ...]:
        problem = self._nvidia.problem if self._nvidia else ""
        if problem and "NVIDIA" in self._sysfs.vendors:
            return (f"An NVIDIA GPU is there, but its driver does not answer: {problem}.",)
        return ()

    def __enter__(self) -> HardwareSampler:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
