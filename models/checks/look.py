"""Looks at checkpoints with what came with Fathom: the catalogue and the known templates. No Qt."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from models.catalog.families import Catalog
from models.catalog.loader import load_catalog
from models.checks.checkpoint_check import check_checkpoint, check_open
from models.checks.findings import CheckFindings
from models.checks.known_templates import KnownTemplates, load_known_templates
from models.errors import CatalogError
from models.planning.open_checkpoint import OpenCheckpoint
from models.stopping import Stop, never

_log = logging.getLogger(__name__)


class CheckpointLook:
    """Reads catalogue and known templates once, when they are first needed; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._facts: tuple[Catalog | None, KnownTemplates] | None = None

    def __call__(self, path: Path, stop: Stop = never) -> CheckFindings:
        """Look at a checkpoint on this machine; errors as in ``check_checkpoint``."""
        catalog, known = self._read()
        return check_checkpoint(path, catalog=catalog, known=known, stop=stop)

    def at_open(self, checkpoint: OpenCheckpoint, stop: Stop = never) -> CheckFindings:
        """Look at a checkpoint that was opened; errors as in ``check_checkpoint``."""
        catalog, known = self._read()
        return check_open(checkpoint, catalog=catalog, known=known, stop=stop)

    def _read(self) -> tuple[Catalog | None, KnownTemplates]:
        with self._lock:
            if self._facts is None:
                self._facts = (_catalog(), load_known_templates())
            return self._facts


def _catalog() -> Catalog | None:
    try:
        return load_catalog()
    except CatalogError as error:
        # Without families there is less to compare with; the rest is looked at all the same.
        _log.warning("Checkpoints are compared with no family: %s", error.one_line())
        return None
