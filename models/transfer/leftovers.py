"""What a kill in the middle of a small write leaves behind. No Qt here.

``disk.write_whole`` writes to ``.NAME.RANDOM`` beside NAME and renames that. Such a file lives for
milliseconds; one that is older than the run that finds it belongs to nobody.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

# How much of NAME is in the name.
_SHOWN = 60


def remove_leftovers(paths: Iterable[Path], *, before_s: float) -> None:
    """Remove what was left while some small files were written.

    Args:
        paths: of the small files.
        before_s: what is newer stays, on the clock of ``time.time``.
    """
    names: dict[Path, set[str]] = {}
    for path in paths:
        names.setdefault(path.parent, set()).add(f".{path.name[:_SHOWN]}.")
    for folder, prefixes in names.items():
        # A folder that is not there holds nothing; whatever cannot be removed stays.
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if path.name.startswith(tuple(prefixes)):
                    _remove_old(path, before_s)


def _remove_old(path: Path, before_s: float) -> None:
    with contextlib.suppress(OSError):
        if not path.is_dir() and path.lstat().st_mtime < before_s:
            path.unlink()
