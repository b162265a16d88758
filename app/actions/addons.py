"""GPU add-ons: looked at, added from a file, removed; the engine starts anew for them."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot

from app.actions.load_model import LoadModel
from app.messages import Action, Messages
from app.tasks import TaskRunner, expected
from models.addons.installed import Addon
from models.errors import StoppedError

if TYPE_CHECKING:
    from models.addons.manifest import AddonManifest
    from models.hardware.readouts import GpuReadout


@dataclass(frozen=True)
class AddonsStatus:
    """What is known of add-ons.

    Attributes:
        wants_cuda: whether there is an NVIDIA GPU that no CUDA module is there for.
        bytes_done, bytes_total: of the one that is being added; a total of 0: none is.
        is_busy: whether one is being added or removed.
        error: why the last step failed, in one line.
    """

    addons: tuple[Addon, ...] = ()
    wants_cuda: bool = False
    bytes_done: int = 0
    bytes_total: int = 0
    is_busy: bool = False
    error: str = ""


class Addons(QObject):
    """Looks and changes in the background; ``status_changed`` carries an AddonsStatus.

    Args:
        folder: ``addons`` among the user's data.
        read_keys: the public keys of whom to believe; called in a background thread.
        gpus: what the drivers reported last.
        stop_engine: ends the engine child; called in a background thread. The next load starts
            one that knows the add-ons.
    """

    status_changed = Signal(AddonsStatus)
    _progressed = Signal(object, int, int)

    def __init__(
        self,
        *,
        folder: Path,
        read_keys: Callable[[], Sequence[bytes]],
        gpus: Callable[[], Sequence[GpuReadout]],
        stop_engine: Callable[[], None],
        loader: LoadModel,
        runner: TaskRunner,
        messages: Messages,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._folder = folder
        self._read_keys = read_keys
        self._gpus = gpus
        self._stop_engine = stop_engine
        self._loader = loader
        self._runner = runner
        self._messages = messages
        self._status = AddonsStatus()
        self._ending = threading.Event()
        self._progressed.connect(self._on_progress)

    @property
    def status(self) -> AddonsStatus:
        """What is known now."""
        return self._status

    def refresh(self) -> None:
        """Look which add-ons there are."""
        self._runner.run(
            partial(_look, self._folder, tuple(self._gpus())),
            done=self._on_looked,
            error=self._on_error,
        )

    def add(self, file: Path) -> None:
        """Add one from a file; nothing happens while another step is under way."""
        if self._status.is_busy:
            return
        ending = self._begin()
        self._runner.run(
            partial(self._unpack, file, ending),
            done=partial(self._on_added, ending),
            error=partial(self._on_failed, ending),
            lane="disk",
        )

    def remove(self, name: str) -> None:
        """Remove one; nothing happens while another step is under way."""
        if self._status.is_busy:
            return
        ending = self._begin()
        self._runner.run(
            partial(_remove, self._folder, name),
            done=partial(self._on_removed, ending),
            error=partial(self._on_failed, ending),
            lane="disk",
        )

    def cancel(self) -> None:
        """Leave the one that is being added; nothing of it stays."""
        self._ending.set()

    # --- in a thread of the lane ----------------------------------------------------------------

    def _unpack(self, file: Path, ending: threading.Event) -> AddonManifest:
        from models.addons.archive import add_addon
        from models.addons.installed import host_here

        shown_percent = -1

        def listen(done_bytes: int, total_bytes: int) -> None:
            nonlocal shown_percent
            percent = 100 * done_bytes // max(total_bytes, 1)
            if percent > shown_percent:
                shown_percent = percent
                self._progressed.emit(ending, done_bytes, total_bytes)

        return add_addon(
            file,
            self._folder,
            keys=self._read_keys(),
            host=host_here(),
            listen=listen,
            stop=ending.is_set,
        )

    # --- in the main thread ---------------------------------------------------------------------

    def _begin(self) -> threading.Event:
        self._ending = threading.Event()
        self._set(dataclasses.replace(self._status, is_busy=True, error=""))
        return self._ending

    @Slot(object, int, int)
    def _on_progress(self, ending: object, done_bytes: int, total_bytes: int) -> None:
        if ending is self._ending and self._status.is_busy:
            status = dataclasses.replace(
                self._status, bytes_done=done_bytes, bytes_total=total_bytes
            )
            self._set(status)

    def _on_added(self, ending: threading.Event, manifest: AddonManifest) -> None:
        self._end(ending)
        self._start_anew(self.tr("{0} was added.").format(manifest.title))

    def _on_removed(self, ending: threading.Event, name: str) -> None:
        self._end(ending)
        self._start_anew(self.tr("The add-on {0} was removed.").format(name))

    def _on_failed(self, ending: threading.Event, error: Exception) -> None:
        error = expected(error)
        self._end(ending, "" if isinstance(error, StoppedError) else error.one_line())

    def _end(self, ending: threading.Event, error: str = "") -> None:
        if ending is self._ending:
            idle = AddonsStatus(self._status.addons, self._status.wants_cuda, error=error)
            self._set(idle)
        self.refresh()

    def _start_anew(self, words: str) -> None:
        """See to it that the engine knows: at once when it holds nothing, else when told so."""
        status = self._loader.status
        if status.is_ready or status.is_loading:
            more = self.tr("It counts from the next load on.")
            self._messages.info(f"{words} {more}", Action(self.tr("Load again"), self._load_again))
            return
        self._messages.info(words)
        self._runner.run(self._stop_engine, done=self._ignore, error=self._on_error, lane="control")

    def _load_again(self) -> None:
        self._runner.run(
            self._stop_engine, done=self._on_stopped, error=self._on_error, lane="control"
        )

    def _on_stopped(self, _result: object) -> None:
        self._loader.retry()

    def _on_looked(self, found: tuple[tuple[Addon, ...], bool]) -> None:
        addons, wants_cuda = found
        self._set(dataclasses.replace(self._status, addons=addons, wants_cuda=wants_cuda))

    def _on_error(self, error: Exception) -> None:
        self._messages.error(expected(error))

    def _ignore(self, _result: object) -> None:
        """Take a result that says nothing."""

    def _set(self, status: AddonsStatus) -> None:
        self._status = status
        self.status_changed.emit(status)


def _look(folder: Path, gpus: Sequence[GpuReadout]) -> tuple[tuple[Addon, ...], bool]:
    from models.addons.advice import has_own_cuda, wants_cuda
    from models.addons.installed import find_addons, host_here, program_addons

    host = host_here()
    found = find_addons(folder, host, program_folder=program_addons())
    return found, wants_cuda(gpus, found, host.platform, has_own=has_own_cuda())


def _remove(folder: Path, name: str) -> str:
    from models.addons.archive import remove_addon

    remove_addon(folder, name)
    return name
