"""Adding checkpoints and folders that lie on this machine to the library, in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from app.actions.load_model import LoadModel
from app.bridges.settings import SettingsBridge
from app.messages import Action, Messages
from app.tasks import TaskRunner, expected
from models.errors import FathomError
from models.gguf.checkpoint import inspect_checkpoint

_ROOTS = "library.roots"


@dataclass(frozen=True)
class _Sorted:
    """What of some paths can be added: checkpoints by their first file, folders; and why not."""

    good: tuple[Path, ...]
    errors: tuple[FathomError, ...]


class AddCheckpoints(QObject):
    """Adds what can be loaded; says of the rest what is wrong with it."""

    added = Signal()

    def __init__(
        self,
        *,
        loader: LoadModel,
        settings: SettingsBridge,
        runner: TaskRunner,
        messages: Messages,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._loader = loader
        self._settings = settings
        self._runner = runner
        self._messages = messages

    def add(self, paths: Sequence[Path]) -> None:
        """Look at headers in the background, then add; files stay where they are."""
        self._runner.run(partial(_sort, tuple(paths)), done=self._on_sorted, error=self._on_error)

    def _on_sorted(self, found: _Sorted) -> None:
        for error in found.errors:
            self._messages.error(error)
        if not found.good:
            return
        known = self._settings.get(_ROOTS)
        roots = [str(root) for root in known] if isinstance(known, tuple) else []
        new = [str(path) for path in found.good if str(path) not in roots]
        if new:
            self._settings.set(_ROOTS, (*roots, *new))
        self._loader.refresh()
        self._tell(found.good, is_new=bool(new))
        self.added.emit()

    def _tell(self, paths: Sequence[Path], *, is_new: bool) -> None:
        if len(paths) > 1:
            text = self.tr("{0} were added to the library.").format(len(paths))
        elif is_new:
            text = self.tr("{0} was added to the library.").format(paths[0].name)
        else:
            text = self.tr("{0} is in the library already.").format(paths[0].name)
        action = None
        if len(paths) == 1 and not paths[0].is_dir():
            load = partial(self._loader.load_by_name, str(paths[0]))
            action = Action(self.tr("Load"), load)
        self._messages.info(text, action)

    def _on_error(self, error: Exception) -> None:
        self._messages.error(expected(error))


def _sort(paths: Sequence[Path]) -> _Sorted:
    good: list[Path] = []
    errors: list[FathomError] = []
    for path in paths:
        try:
            place = path if path.is_dir() else inspect_checkpoint(path).path
        except FathomError as error:
            errors.append(error)
            continue
        # Several parts of one set are one checkpoint.
        if place not in good:
            good.append(place)
    return _Sorted(tuple(good), tuple(errors))
