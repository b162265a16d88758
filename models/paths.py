"""Where Fathom keeps its files, on every platform and under ``--basedir``. No Qt here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.errors import InstallationError
from models.private_files import make_private_folder


@dataclass(frozen=True)
class Paths:
    """The program's own folders and the files in them."""

    config_dir: Path
    data_dir: Path
    cache_dir: Path
    log_dir: Path

    @property
    def settings_file(self) -> Path:
        """The settings (TOML)."""
        return self.config_dir / "settings.toml"

    @property
    def conversations_file(self) -> Path:
        """The conversation store (SQLite)."""
        return self.data_dir / "conversations.sqlite3"

    @property
    def checks_file(self) -> Path:
        """What was decided about checkpoints that deserve a look (JSON)."""
        return self.data_dir / "checks.json"

    @property
    def addons_dir(self) -> Path:
        """The user's add-ons, a folder each; need not be there."""
        return self.data_dir / "addons"

    @property
    def models_dir(self) -> Path:
        """The library root that always exists; downloads go here unless the user says else."""
        return self.data_dir / "models"

    def create(self) -> None:
        """Make all folders that are missing, readable by their owner only.

        Raises:
            InstallationError: a folder cannot be made.
        """
        for folder in (
            self.config_dir,
            self.data_dir,
            self.models_dir,
            self.cache_dir,
            self.log_dir,
        ):
            try:
                make_private_folder(folder)
            except OSError as error:
                raise InstallationError(
                    f"Fathom cannot make its folder {folder} ({error.strerror or error}).",
                    hint="Check the permissions there, or choose another place with --basedir.",
                ) from error


def user_paths(base_dir: Path | None = None) -> Paths:
    """Return the folders of this user; with ``base_dir``, everything lies under it.

    Raises:
        InstallationError: the system does not say where the home folder is.
    """
    if base_dir is not None:
        return paths_under(base_dir)
    try:
        home = Path.home()
    except RuntimeError as error:
        raise InstallationError(
            "The system does not say where the home folder is.",
            hint="Set HOME, or start Fathom with --basedir.",
        ) from error
    return platform_paths(sys.platform, os.environ, home)


def paths_under(base_dir: Path) -> Paths:
    """Return folders that all lie under ``base_dir``."""
    base = Path(os.path.abspath(base_dir.expanduser()))  # noqa: PTH100 - keeps symlinks as given
    return Paths(base / "config", base / "data", base / "cache", base / "log")


def platform_paths(platform: str, env: Mapping[str, str], home: Path) -> Paths:
    """Return the folders by the rules of ``platform`` (a ``sys.platform`` name)."""
    if platform == "win32":
        roaming = _absolute(env.get("APPDATA"), home / "AppData" / "Roaming") / "Fathom"
        local = _absolute(env.get("LOCALAPPDATA"), home / "AppData" / "Local") / "Fathom"
        return Paths(roaming, local / "Data", local / "Cache", local / "Logs")
    if platform == "darwin":
        library = home / "Library"
        support = library / "Application Support" / "Fathom"
        return Paths(support, support, library / "Caches" / "Fathom", library / "Logs" / "Fathom")
    state = _absolute(env.get("XDG_STATE_HOME"), home / ".local" / "state")
    return Paths(
        _absolute(env.get("XDG_CONFIG_HOME"), home / ".config") / "fathom",
        _absolute(env.get("XDG_DATA_HOME"), home / ".local" / "share") / "fathom",
        _absolute(env.get("XDG_CACHE_HOME"), home / ".cache") / "fathom",
        state / "fathom" / "log",
    )


def _absolute(value: str | None, fallback: Path) -> Path:
    # The XDG base directory specification: a relative path is invalid and ignored.
    if value and Path(value).is_absolute():
        return Path(value)
    return fallback
