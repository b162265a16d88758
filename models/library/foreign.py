"""Checkpoints of other programs, found where they keep them and only ever read. No Qt here.

Hugging Face's cache, LM Studio's folder and Ollama's store. Their layouts are theirs: nothing in
them is written, moved or deleted by Fathom.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.library.entry import HUGGING_FACE, LM_STUDIO, OLLAMA
from models.library.hugging_face_cache import scan_hugging_face
from models.library.ollama_store import scan_ollama
from models.library.presence import Presence, RootState
from models.library.scan import FoundCheckpoint, Scan

_MAX_SETTINGS_BYTES = 1_000_000
# Where Ollama's Linux installer has its service keep models.
_OLLAMA_SERVICE = Path("/usr/share/ollama/.ollama/models")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ForeignStore:
    """A folder of another program that holds checkpoints.

    Attributes:
        source: whose it is, as in ``LibraryEntry.source``.
        folder: where it is.
    """

    source: str
    folder: Path


@dataclass(frozen=True)
class ForeignCheckpoint:
    """A checkpoint in such a folder.

    Attributes:
        name: as its program calls it.
        repository, commit: where it was fetched from, empty when that is not known.
    """

    store: ForeignStore
    found: FoundCheckpoint
    name: str
    repository: str = ""
    commit: str = ""


def find_foreign(
    environ: Mapping[str, str], home: Path, *, presence: Presence | None = None
) -> tuple[ForeignStore, ...]:
    """Return the stores of other programs that exist, each once.

    Args:
        environ: environment variables; those that the programs themselves obey.
        home: the user's home folder.
        presence: asks whether they are there; one that is kept asks a dead drive only once.
    """
    presence = presence or Presence()
    places = [
        *(ForeignStore(HUGGING_FACE, folder) for folder in _hugging_face(environ, home)),
        *(ForeignStore(LM_STUDIO, folder) for folder in _lm_studio(home)),
        *(ForeignStore(OLLAMA, folder) for folder in _ollama(environ, home)),
    ]
    found: dict[str, ForeignStore] = {}
    for store in places:
        if presence.of(store.folder) is RootState.PRESENT and store.folder.is_dir():
            found.setdefault(os.path.realpath(store.folder), store)
    return tuple(found.values())


def scan_foreign(store: ForeignStore) -> tuple[ForeignCheckpoint, ...]:
    """Return the checkpoints in a store; what cannot be read is passed over."""
    if store.source == HUGGING_FACE:
        return tuple(
            ForeignCheckpoint(store, item.found, item.found.stem, item.repository, item.commit)
            for item in scan_hugging_face(store.folder)
        )
    if store.source == OLLAMA:
        return tuple(
            ForeignCheckpoint(store, item.found, item.name) for item in scan_ollama(store.folder)
        )
    return tuple(ForeignCheckpoint(store, found, found.stem) for found in Scan().run(store.folder))


def store_of(path: Path, stores: tuple[ForeignStore, ...]) -> ForeignStore | None:
    """Return the store that a file belongs to, by its path or by where its links lead."""
    real = Path(os.path.realpath(path))
    for store in stores:
        if path.is_relative_to(store.folder):
            return store
        if real.is_relative_to(os.path.realpath(store.folder)):
            return store
    return None


def _hugging_face(environ: Mapping[str, str], home: Path) -> list[Path]:
    """Return where the cache may be: the rules of ``huggingface_hub.constants``."""
    cache = _path(environ.get("XDG_CACHE_HOME"), home) or home / ".cache"
    base = _path(environ.get("HF_HOME"), home) or cache / "huggingface"
    chosen = [_path(environ.get(name), home) for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")]
    return [path for path in chosen if path] or [base / "hub"]


def _lm_studio(home: Path) -> list[Path]:
    """Return where LM Studio may keep models: its own folder, the older one, the chosen one."""
    own = home / ".lmstudio"
    pointer = _path(_read(home / ".lmstudio-home-pointer").strip(), home)
    homes = [own] if pointer in (None, own) else [pointer, own]
    chosen = [_downloads_folder(folder / "settings.json", home) for folder in homes if folder]
    return [
        *(path for path in chosen if path),
        *(folder / "models" for folder in homes if folder),
        home / ".cache" / "lm-studio" / "models",
    ]


def _downloads_folder(settings: Path, home: Path) -> Path | None:
    try:
        document = json.loads(_read(settings) or "{}")
    except (ValueError, RecursionError) as error:
        _log.info("LM Studio's settings cannot be read: %s", error)
        return None
    folder = document.get("downloadsFolder") if isinstance(document, dict) else None
    return _path(folder, home) if isinstance(folder, str) else None


def _ollama(environ: Mapping[str, str], home: Path) -> list[Path]:
    chosen = _path(environ.get("OLLAMA_MODELS"), home)
    own = [chosen] if chosen else [home / ".ollama" / "models"]
    return [*own, _OLLAMA_SERVICE] if sys.platform.startswith("linux") else own


def _path(text: str | None, home: Path) -> Path | None:
    """Return an absolute path as these programs write it, None for anything else."""
    if not text or "\0" in text:
        return None
    if text == "~" or text.startswith(("~/", "~\\")):
        return home / text[2:]
    path = Path(text)
    return path if path.is_absolute() else None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SETTINGS_BYTES).decode(errors="replace")
    except OSError:
        return ""
