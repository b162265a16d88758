"""Which folders make up the library, and which one downloads go to. No Qt here."""

from __future__ import annotations

from pathlib import Path

from models.paths import Paths
from models.settings import Settings


def download_root(paths: Paths, settings: Settings) -> Path:
    """Return the folder that new checkpoints go to."""
    chosen = settings.get_str("downloads.folder").strip()
    if not chosen:
        return paths.models_dir
    try:
        return Path(chosen).expanduser()
    except RuntimeError:
        return Path(chosen)


def library_roots(paths: Paths, settings: Settings) -> tuple[Path, ...]:
    """Return Fathom's own folder, the one for downloads and the user's, each once."""
    roots = (
        paths.models_dir,
        download_root(paths, settings),
        *settings.get_paths("library.roots"),
    )
    return tuple(dict.fromkeys(roots))
