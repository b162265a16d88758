"""What one can do with checkpoints that are here: verify, repair, move, delete, forget."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.actions.library_task import LibraryTask, LibraryTaskView, LibraryWork
from app.messages import Action, Messages
from app.tasks import TaskRunner, expected
from models.errors import FathomError, StoppedError
from models.library.library import Library, LibraryEntry
from models.units import format_bytes

if TYPE_CHECKING:
    from models.library.deletion import DeletionPlan, DeletionResult
    from models.library.moving import MovePlan
    from models.library.verifying import LibraryVerification
    from models.transfer.job import JobSpec

__all__ = ["LibraryActions", "LibraryTaskView", "LibraryWork"]

_POLL_MS = 200


class LibraryActions(QObject):
    """Does one long thing at a time with a checkpoint, in the lane ``disk``.

    ``task_changed`` carries the path of a checkpoint and its LibraryTaskView, None at its end.
    ``changed`` says that the library is to be looked at again (``LoadModel.refresh``).
    ``damage_changed`` carries a path: what ``damage_of`` says of it is new.
    """

    task_changed = Signal(object, object)
    damage_changed = Signal(object)
    changed = Signal()

    def __init__(
        self,
        *,
        library: Library,
        runner: TaskRunner,
        messages: Messages,
        roots: Callable[[], tuple[Path, ...]],
        make_repair: Callable[[LibraryEntry], JobSpec] | None = None,
        start_download: Callable[[JobSpec], None] | None = None,
        parent: QObject | None = None,
    ) -> None:
        """Compose.

        Args:
            library: told what was verified, moved and deleted.
            runner: background work, in the lanes ``disk``, ``general`` and ``hub``.
            messages: the one door for notices.
            roots: the folders that checkpoints can be moved to, Fathom's own first.
            make_repair: ``models.library.verifying.repair_spec``; asks the hub, called in a
                background thread. Without it nothing can be repaired.
            start_download: ``Downloads.start_spec``.
            parent: as usual.
        """
        super().__init__(parent)
        self._library = library
        self._runner = runner
        self._messages = messages
        self._roots = roots
        self._make_repair = make_repair
        self._start_download = start_download
        self._tasks: dict[Path, LibraryTask] = {}
        self._damage: dict[Path, str] = {}
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._tell)

    def roots(self) -> tuple[Path, ...]:
        """Return the folders that checkpoints can be moved to."""
        return self._roots()

    def task(self, entry: LibraryEntry) -> LibraryTaskView | None:
        """Return how far it is with a checkpoint, None when nothing is done with it."""
        task = self._tasks.get(entry.path)
        return task.view() if task else None

    def damage_of(self, entry: LibraryEntry) -> str:
        """Return what the last verification found wrong, one sentence; empty for nothing."""
        return self._damage.get(entry.path, "")

    def can_repair(self, entry: LibraryEntry) -> bool:
        """Whether damaged parts can be fetched again: it is known where they came from."""
        return self._make_repair is not None and bool(entry.repository)

    def stop(self, entry: LibraryEntry) -> None:
        """Ask what is done with a checkpoint to stop; the checkpoint stays as it is."""
        task = self._tasks.get(entry.path)
        if task is not None:
            task.end()
            self._tell()

    def stop_all(self) -> None:
        """Stop everything; for the end of the program."""
        self._timer.stop()
        for task in self._tasks.values():
            task.end()

    def verify(self, entry: LibraryEntry) -> None:
        """Read all of a checkpoint and compare it with its digests."""
        task = self._begin(entry, LibraryWork.VERIFY, entry.size_bytes)
        if task is not None:
            self._run(entry, partial(_verify, self._library, entry, task), self._on_verified)

    def repair(self, entry: LibraryEntry) -> None:
        """Fetch the damaged parts of a checkpoint again, as a download."""
        if self._make_repair is not None:
            self._runner.run(
                partial(self._make_repair, entry),
                done=self._on_repair,
                error=self._on_error,
                lane="hub",
            )

    def plan_move(
        self, entry: LibraryEntry, root: Path, *, done: Callable[[MovePlan | FathomError], None]
    ) -> None:
        """Work out what moving would do; ``done`` hears the plan, or why it cannot be."""
        self._plan(partial(_plan_move, entry, root), done)

    def move(self, plan: MovePlan) -> None:
        """Do what was planned."""
        task = self._begin(plan.entry, LibraryWork.MOVE, plan.work_bytes)
        if task is not None:
            self._run(plan.entry, partial(_move, self._library, plan, task), self._on_moved)

    def plan_deletion(
        self,
        entry: LibraryEntry,
        *,
        for_good: bool = False,
        done: Callable[[DeletionPlan | FathomError], None],
    ) -> None:
        """Work out what deleting would do; ``done`` hears the plan, or why it cannot be."""
        self._plan(partial(_plan_deletion, entry, for_good), done)

    def delete(self, plan: DeletionPlan) -> None:
        """Do what was planned."""
        task = self._begin(plan.entry, LibraryWork.DELETE, 0)
        if task is not None:
            self._run(
                plan.entry,
                partial(_delete, self._library, plan, task),
                self._on_deleted,
                lane="general",
            )

    def forget(self, entry: LibraryEntry) -> None:
        """Take a checkpoint that is not there now off the list; nothing is deleted."""
        self._runner.run(
            partial(self._library.forget, entry),
            done=self._on_forgotten,
            error=self._on_error,
        )

    # --- its parts ------------------------------------------------------------------------------

    def _begin(
        self, entry: LibraryEntry, work: LibraryWork, bytes_total: int
    ) -> LibraryTask | None:
        if entry.path in self._tasks:
            return None
        task = self._tasks[entry.path] = LibraryTask(work, bytes_total)
        if not self._timer.isActive():
            self._timer.start()
        self.task_changed.emit(entry.path, task.view())
        return task

    def _run(
        self,
        entry: LibraryEntry,
        op: Callable[[], object],
        done: Callable[[LibraryEntry, object], None],
        lane: str = "disk",
    ) -> None:
        self._runner.run(
            op,
            done=partial(self._on_done, entry, done),
            error=partial(self._on_failed, entry),
            lane=lane,
        )

    def _plan(self, op: Callable[[], object], done: Callable[..., None]) -> None:
        # Why not is an answer as well, and nobody hears it who is gone by then.
        self._runner.run(partial(_answer, op), done=done, error=self._on_error)

    def _end(self, entry: LibraryEntry) -> None:
        self._tasks.pop(entry.path, None)
        if not self._tasks:
            self._timer.stop()
        self.task_changed.emit(entry.path, None)

    @Slot()
    def _tell(self) -> None:
        for path, task in self._tasks.items():
            self.task_changed.emit(path, task.view())

    def _set_damage(self, entry: LibraryEntry, words: str) -> None:
        if words:
            self._damage[entry.path] = words
        else:
            self._damage.pop(entry.path, None)
        self.damage_changed.emit(entry.path)

    # --- what came of it ------------------------------------------------------------------------

    def _on_done(
        self, entry: LibraryEntry, done: Callable[[LibraryEntry, object], None], result: object
    ) -> None:
        self._end(entry)
        done(entry, result)
        self.changed.emit()

    def _on_failed(self, entry: LibraryEntry, error: Exception) -> None:
        self._end(entry)
        self._on_error(error)
        self.changed.emit()

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, StoppedError):
            return
        self._messages.error(expected(error))

    def _on_verified(self, entry: LibraryEntry, result: object) -> None:
        found: LibraryVerification = result  # type: ignore[assignment]
        if found.is_good:
            self._set_damage(entry, "")
            words = self.tr("{0} is sound: every byte was checked.")
            if not found.has_reference:
                words = self.tr(
                    "Nothing to compare {0} with was known. Its digest is written down now; "
                    "the next check will find what has changed since."
                )
            self._messages.info(words.format(entry.title))
            return
        damage = self._damage_words(found)
        self._set_damage(entry, damage)
        words = f"{entry.title}: {damage}"
        action = None
        if self.can_repair(entry):
            action = Action(self.tr("Repair"), partial(self.repair, entry))
        hint = (
            self.tr("Only the damaged parts have to be fetched again.")
            if action
            else self.tr("It is not known where it came from: fetch it again.")
        )
        self._messages.warning(words, action, hint=hint)

    def _damage_words(self, found: LibraryVerification) -> str:
        words = []
        # A file whose blocks nobody knows counts as one place.
        places = sum(len(blocks) or 1 for blocks in found.damaged.values())
        if places == 1:
            words.append(self.tr("Damaged in one place."))
        elif places:
            words.append(self.tr("Damaged in {0} places.").format(places))
        if found.missing:
            words.append(self.tr("Missing: {0}.").format(", ".join(found.missing)))
        return " ".join(words)

    def _on_repair(self, spec: JobSpec) -> None:
        if self._start_download is not None:
            self._start_download(spec)

    def _on_moved(self, entry: LibraryEntry, result: object) -> None:
        assert isinstance(result, LibraryEntry)
        self._set_damage(entry, "")
        self._messages.info(
            self.tr("{0} is in {1} now.").format(entry.title, result.root or result.path.parent)
        )

    def _on_deleted(self, entry: LibraryEntry, result: object) -> None:
        done: DeletionResult = result  # type: ignore[assignment]
        self._set_damage(entry, "")
        if done.went_to_trash:
            words = self.tr("{0} is in the trash.").format(entry.title)
        else:
            freed = format_bytes(done.freed_bytes)
            words = self.tr("{0} is deleted, {1} are free.").format(entry.title, freed)
        self._messages.info(words)

    def _on_forgotten(self, _result: None) -> None:
        self.changed.emit()


def _answer(op: Callable[[], object]) -> object:
    try:
        return op()
    except FathomError as error:
        return error


def _verify(library: Library, entry: LibraryEntry, task: LibraryTask) -> LibraryVerification:
    from models.library.verifying import verify

    found = verify(entry, listen=task.listen, stop=task.stop, records=library.records)
    if found.is_good:
        library.note_verified(entry)
    return found


def _plan_move(entry: LibraryEntry, root: Path) -> MovePlan:
    from models.library.moving import plan_move

    return plan_move(entry, root)


def _move(library: Library, plan: MovePlan, task: LibraryTask) -> LibraryEntry:
    from models.library.moving import move

    moved = move(plan, listen=task.listen, stop=task.stop)
    library.note_moved(plan.entry, moved)
    return moved


def _plan_deletion(entry: LibraryEntry, for_good: bool) -> DeletionPlan:
    from models.library.deletion import plan_deletion

    return plan_deletion(entry, for_good=for_good)


def _delete(library: Library, plan: DeletionPlan, task: LibraryTask) -> DeletionResult:
    from models.library.deletion import delete

    result = delete(plan, stop=task.stop)
    library.forget(plan.entry)
    return result
