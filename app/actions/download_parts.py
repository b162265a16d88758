"""What the downloads of the window are made with; every part works in background threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.hub.pages import RepositoryPage
    from models.hub.quants import QuantFiles
    from models.transfer.begun import BegunDownload
    from models.transfer.events import TransferSettings
    from models.transfer.job import JobSpec


@dataclass(frozen=True)
class DownloadParts:
    """What ``Downloads`` has done elsewhere, in background threads.

    Attributes:
        read_settings: settings and token as they are now; the token comes out of a keyring.
        make_spec: ``models.hub.fetching.job_spec`` with the download folder of now; may ask the
            hub; raises StoppedError when the program ends.
        has_unfinished: ``models.transfer.client.has_unfinished`` of the data folder.
        find_begun: ``models.transfer.begun.find_elsewhere`` of the library's folders.
        complete: asks the hub for the whole set that a lone shard belongs to.
    """

    read_settings: Callable[[], TransferSettings]
    make_spec: Callable[[RepositoryPage, QuantFiles], JobSpec]
    has_unfinished: Callable[[], bool]
    find_begun: Callable[[], tuple[BegunDownload, ...]]
    complete: Callable[[JobSpec], JobSpec]
