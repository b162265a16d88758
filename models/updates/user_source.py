"""Who is asked for updates, as this user's settings and this installation say. No Qt here."""

from __future__ import annotations

from collections.abc import Mapping

from models.errors import OfflineError
from models.paths import Paths
from models.settings import Settings
from models.updates.check import UpdateSource
from models.updates.keys import load_keys
from models.updates.platforms import installed_kind, platform_name
from models.updates.seen import SeenReleases
from models.version import VERSION


def source_of_user(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> UpdateSource:
    """Return whom to ask.

    Raises:
        OfflineError: the user wants to work offline.
        InstallationError: the keys cannot be read.
    """
    if settings.get_bool("hub.offline"):
        raise OfflineError(
            "Fathom is set to work offline, and looks for no updates.",
            hint="Switch that off in the settings.",
        )
    return UpdateSource(
        address=settings.get_str("updates.address").strip(),
        keys=load_keys(),
        seen=SeenReleases(paths.data_dir / "updates.json"),
        installed=VERSION,
        platform=platform_name(),
        kind=installed_kind(environ),
    )
