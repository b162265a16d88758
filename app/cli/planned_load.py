"""Loads of the command line: planned, as in the window, and remembered. No Qt here."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from app.cli.session import EngineConversation, Session
from models.engine_settings import load_settings
from models.errors import FathomError, StoppedError
from models.planning.desk import PlannedLoad
from models.planning.loads import Loads
from models.runtime.protocol import LoadSettings, Usage

_log = logging.getLogger(__name__)


class VerbLoad:
    """How a verb loads a checkpoint on this machine.

    Attributes:
        settings: what the engine is told. Where nothing can be planned, what the settings say: the
            engine then chooses the rest.

    Raises:
        StoppedError: Ctrl-C came while it was planned.
    """

    def __init__(
        self, session: Session, engine: EngineConversation, path: Path, *, n_ctx: int | None
    ) -> None:
        self.settings: LoadSettings = load_settings(session.settings, n_ctx=n_ctx)
        self._planned: PlannedLoad | None = None
        self._loads: Loads | None = None
        try:
            self._plan(session, engine, path, n_ctx)
        except StoppedError:
            raise
        except FathomError as error:
            _log.info("Loading without a plan: %s", error.one_line())

    def _plan(
        self, session: Session, engine: EngineConversation, path: Path, n_ctx: int | None
    ) -> None:
        from app.cli.planning import make_loads, make_planning

        _, self._loads = make_loads(session, make_planning(session, engine))
        self._planned = self._loads.plan(path, n_ctx)
        # Here nobody has said "load anyway": what does not fit is for the engine to refuse.
        self.settings = dataclasses.replace(self._planned.load_settings(), check_room=True)

    def keep_run(self, usage: Usage) -> None:
        """Remember how fast an answer was, for later predictions."""
        if self._planned is not None and self._loads is not None:
            self._loads.keep_run(self._planned, usage)
