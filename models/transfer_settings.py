"""What the user's settings mean for hub, downloads and library. No Qt here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from models.library.demo import find_demo
from models.library.foreign import find_foreign
from models.library.library import Library
from models.library.presence import Presence
from models.library.roots import library_roots
from models.paths import Paths
from models.settings import Settings
from models.transfer.events import TransferSettings

if TYPE_CHECKING:
    from models.hub.hub import Hub

_MB = 1_000_000


def hub_of_settings(
    settings: Settings, environ: Mapping[str, str], *, cache_dir: Path, token: str = ""
) -> Hub:
    """Return the hub that the settings want, or else the environment.

    Args:
        token: what the user gave Fathom; a mirror is never shown it.

    Raises:
        BadInputError: the mirror's address is none.
    """
    # What talks to the hub takes a while to be imported, and the window starts with this module.
    from models.hub.hub import hub_of_user

    return hub_of_user(
        environ,
        cache_dir=cache_dir,
        is_offline=settings.get_bool("hub.offline"),
        endpoint=settings.get_str("hub.endpoint"),
        token=token,
    )


def transfer_settings(
    paths: Paths, settings: Settings, environ: Mapping[str, str], *, token: str = ""
) -> TransferSettings:
    """Return how downloads are made.

    Raises:
        BadInputError: the mirror's address is none.
    """
    from models.hub.hub import endpoint_of_user, is_official

    endpoint = endpoint_of_user(environ, settings.get_str("hub.endpoint"))
    may_know = bool(token) and is_official(endpoint)
    hub = hub_of_settings(settings, environ, cache_dir=paths.cache_dir)
    return TransferSettings(
        limit_bytes_s=settings.get_float("downloads.limit_mb_s") * _MB,
        connections=settings.get_int("downloads.connections"),
        token=token if may_know else None,
        token_endpoint=endpoint.rstrip("/") if may_know else "",
        is_offline=hub.is_offline,
        roots=library_roots(paths, settings),
    )


def library_of_user(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> Library:
    """Return the checkpoints of this user: those of all roots and other programs, and the demo."""
    return Library(
        library_roots(paths, settings),
        find_demo(),
        data_dir=paths.data_dir,
        find_foreign=partial(find_foreign, environ, Path.home(), presence=Presence()),
        shows_foreign=settings.get_bool("library.finds_others"),
    )
