"""Where the chosen checkpoint is on its way into memory, as the window shows it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from models.errors import ContextTooLargeError, FathomError, OutOfMemoryError
from models.library.library import LibraryEntry
from models.runtime.protocol import Loaded, LoadProgress

if TYPE_CHECKING:
    from app.tasks import Task
    from models.planning.desk import PlannedLoad

SMALL_CONTEXT_TOKENS = 4096


class LoadPhase(enum.Enum):
    """Where the checkpoint is on its way into memory."""

    NONE = "none"
    LOADING = "loading"
    READY = "ready"
    UNLOADING = "unloading"
    FAILED = "failed"


@dataclass(frozen=True)
class ModelStatus:
    """Everything the window shows about the chosen checkpoint.

    ``planned`` is what the load follows; None while there is no plan, and where there was none to
    be had: the engine then chose by itself.
    """

    phase: LoadPhase = LoadPhase.NONE
    entry: LibraryEntry | None = None
    progress: LoadProgress | None = None
    loaded: Loaded | None = None
    error: FathomError | None = None
    is_stopping: bool = False
    planned: PlannedLoad | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a question can be answered now."""
        return self.phase is LoadPhase.READY

    @property
    def is_loading(self) -> bool:
        """Whether a checkpoint is on its way."""
        return self.phase is LoadPhase.LOADING

    @property
    def smaller_context_tokens(self) -> int:
        """A context worth trying after an out-of-memory; 0 when there is none."""
        if not self.is_out_of_room or self.planned is not None:
            return 0
        return SMALL_CONTEXT_TOKENS

    @property
    def is_out_of_room(self) -> bool:
        """Whether the load failed because a memory was too small for what was asked."""
        return isinstance(self.error, (OutOfMemoryError, ContextTooLargeError))


class LoadGate(Protocol):
    """Looks at a checkpoint before it is loaded."""

    def before_load(
        self, entry: LibraryEntry, passed: Callable[[str], None], held: Callable[[], None]
    ) -> Task:
        """Call ``passed`` with the chat template to use (empty: its own), or ``held``."""
