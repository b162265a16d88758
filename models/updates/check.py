"""Asks, when the user wants to know, whether there is a newer Fathom. No Qt here."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from models.errors import FathomError, UpdateRefusedError, UpdatesOffError
from models.gguf.http_source import HttpRangeSource
from models.network.patience import Patience
from models.stopping import Stop, never
from models.updates.manifest import (
    MAX_ENVELOPE_BYTES,
    Manifest,
    ReleaseFile,
    is_https,
    open_envelope,
)
from models.updates.platforms import best_file
from models.updates.seen import SeenReleases
from models.updates.version import Version, version_of

# Somebody waits for the answer.
_PATIENCE = Patience(attempts=2, grace_s=20.0)
# The clocks of makers and users may differ.
_CLOCK_STEP = timedelta(days=1)


class Standing(enum.Enum):
    """How the installed version compares with the newest one."""

    UP_TO_DATE = "up_to_date"
    NEWER = "newer"


@dataclass(frozen=True)
class UpdateAnswer:
    """What came of asking.

    Attributes:
        installed: the version that runs.
        file: the one for this machine; None when the release has none, or when it cannot be
            installed over the version that runs: then there is its page.
    """

    standing: Standing
    installed: str
    manifest: Manifest
    file: ReleaseFile | None


@dataclass(frozen=True)
class UpdateSource:
    """Who is asked, and whose word counts.

    Attributes:
        address: of the signed manifest; empty: nobody is asked.
        keys: public keys of who may sign.
        seen: what was seen before.
        installed: the version that runs.
        platform, kind: of this machine and this installation; see ``platforms.py``.
        now: the time, in seconds since 1970.
    """

    address: str
    keys: Sequence[bytes]
    seen: SeenReleases
    installed: str
    platform: str
    kind: str = ""
    now: Callable[[], float] = time.time


def check_for_update(
    source: UpdateSource, *, stop: Stop = never, patience: Patience = _PATIENCE
) -> UpdateAnswer:
    """Ask for the manifest and compare it with the version that runs.

    Raises:
        UpdatesOffError: there is no address, or no key to check an answer with.
        UpdateRefusedError: what came must not be believed.
        NetworkError, RemoteNotFoundError, AccessError: nothing came.
        StoppedError: ``stop`` said so.
    """
    _check_possible(source)
    manifest = open_envelope(_fetched(source.address, stop, patience), source.keys)
    _check_time(manifest, source)
    standing = _standing(manifest, source.installed)
    source.seen.note(manifest.date)
    file = None
    if _numbers(source.installed) >= _numbers(manifest.minimum_version):
        file = best_file(manifest.files_for(source.platform), source.kind)
    return UpdateAnswer(standing, source.installed, manifest, file)


def _check_possible(source: UpdateSource) -> None:
    if not source.address.strip():
        raise UpdatesOffError(
            "Fathom does not look for updates: no address is set.",
            hint='Set "updates.address" in the settings, or look at the page you got Fathom from.',
        )
    if not is_https(source.address):
        raise UpdatesOffError(
            "The address for updates must begin with https://.",
            hint='Correct "updates.address" in the settings.',
        )
    if not source.keys:
        raise UpdatesOffError(
            "This Fathom was built without a key to check updates with.",
            hint="Look at the page you got it from.",
        )


def _fetched(address: str, stop: Stop, patience: Patience) -> bytes:
    name = "the list of updates"
    with HttpRangeSource(address, name=name, patience=patience, stop=stop) as remote:
        if remote.size_bytes > MAX_ENVELOPE_BYTES:
            raise UpdateRefusedError(
                "What came is too long to be a list of updates.",
                hint="Check the address in the settings.",
                details=f"{remote.size_bytes:,} bytes",
            )
        return remote.read_at(0, remote.size_bytes)


def _check_time(manifest: Manifest, source: UpdateSource) -> None:
    now = datetime.fromtimestamp(source.now(), UTC)
    if manifest.expires <= now:
        raise _too_old(f"It expired on {manifest.expires.date()}.")
    if manifest.date > now + _CLOCK_STEP:
        raise UpdateRefusedError(
            "The list of updates was signed in the future.",
            hint="Check this machine's clock.",
            details=f"signed {manifest.date.isoformat()}, now {now.isoformat(timespec='seconds')}",
        )
    newest = source.seen.newest()
    if newest is not None and manifest.date < newest:
        raise _too_old(f"A newer one, of {newest.date()}, was seen here before.")


def _standing(manifest: Manifest, installed: str) -> Standing:
    offered, running = _numbers(manifest.version), _numbers(installed)
    if offered < running:
        raise UpdateRefusedError(
            f"The newest version listed is {manifest.version}, older than yours, {installed}.",
            hint="Fathom never goes back by itself.",
        )
    return Standing.NEWER if offered > running else Standing.UP_TO_DATE


def _numbers(text: str) -> Version:
    version = version_of(text)
    assert version is not None, text
    return version


def _too_old(why: str) -> FathomError:
    return UpdateRefusedError(
        f"The list of updates is too old to be believed. {why}",
        hint="Somebody on the line may be sending an old one. Try another network.",
    )
