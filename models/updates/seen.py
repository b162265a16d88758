"""The newest release that was ever shown, so that an older word is known as one. No Qt here.

A manifest that was signed once stays signed: who stands on the line may send last year's, so that
nobody hears of the version that mends a hole. What was seen is remembered; it can only go forward.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from pathlib import Path

from models.errors import FathomError
from models.private_files import make_private_folder
from models.transfer.disk import translated, write_whole

_log = logging.getLogger(__name__)


class SeenReleases:
    """Remembers when the newest manifest that was believed had been signed.

    Args:
        path: of a small JSON file; one that cannot be read counts as none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def newest(self) -> datetime | None:
        """Return when the newest manifest was signed; None when none was seen."""
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            moment = datetime.fromisoformat(data["date"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            _log.info("What was seen of updates cannot be read: %r", error)
            return None
        return moment if moment.tzinfo else None

    def note(self, signed: datetime) -> None:
        """Remember a manifest's date, if it is newer; a disk that refuses is no error."""
        newest = self.newest()
        if newest is not None and newest >= signed:
            return
        text = json.dumps({"date": signed.isoformat()})
        try:
            with translated(self._path):
                make_private_folder(self._path.parent)
            write_whole(self._path, text.encode())
        except FathomError as error:
            _log.info("What was seen of updates cannot be written: %s", error.one_line())
