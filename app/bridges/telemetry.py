"""Hardware figures once a second, sampled in the background while somebody can see them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.tasks import TaskRunner
from models.hardware.readouts import HardwareSnapshot

INTERVAL_MS = 1000

_log = logging.getLogger(__name__)


class Sampler(Protocol):
    """What is needed of ``models.hardware.HardwareSampler``."""

    def sample(self, engine_pid: int | None = None) -> HardwareSnapshot:
        """Read everything once; ``engine_pid`` adds the engine child's memory."""

    def close(self) -> None:
        """Give the drivers' libraries back."""


class Telemetry(QObject):
    """Emits ``sampled`` with a HardwareSnapshot; at most one sample is under way."""

    sampled = Signal(HardwareSnapshot)

    def __init__(
        self,
        runner: TaskRunner,
        open_sampler: Callable[[], Sampler],
        engine_pid: Callable[[], int | None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._runner = runner
        self._open_sampler = open_sampler
        self._engine_pid = engine_pid
        self._sampler: Sampler | None = None
        self._under_way = False
        self.latest: HardwareSnapshot | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self._tick)

    @property
    def is_running(self) -> bool:
        """Whether samples are being taken."""
        return self._timer.isActive()

    def start(self) -> None:
        """Sample now and then once a second."""
        if not self._timer.isActive():
            self._timer.start()
            self._tick()

    def stop(self) -> None:
        """Sample no more, as when the window cannot be seen."""
        self._timer.stop()

    def close(self) -> None:
        """Let the sampler go; call after the task runner was shut down."""
        self.stop()
        if self._sampler is not None:
            self._sampler.close()
            self._sampler = None

    @Slot()
    def _tick(self) -> None:
        if not self._under_way:
            self._under_way = True
            self._runner.run(self._sample, done=self._done, error=self._failed)

    def _sample(self) -> HardwareSnapshot:
        # Opened here and not at start-up: the drivers' libraries take their time.
        if self._sampler is None:
            self._sampler = self._open_sampler()
        return self._sampler.sample(self._engine_pid())

    def _done(self, snapshot: HardwareSnapshot) -> None:
        self._under_way = False
        self.latest = snapshot
        self.sampled.emit(snapshot)

    def _failed(self, error: Exception) -> None:
        # Figures are a service, not the job: a failure costs the readouts and nothing else.
        self._under_way = False
        self._timer.stop()
        _log.warning("Hardware readouts stopped: %r", error)
