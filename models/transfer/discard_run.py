"""A cancelled download is taken away again, in a thread of its own. No Qt here."""

from __future__ import annotations

import contextlib
import time

from models.stopping import Stop
from models.transfer.job import JobSpec
from models.transfer.job_book import FileStand
from models.transfer.job_file import is_plain, remove_job_file, small_files
from models.transfer.leftovers import remove_leftovers
from models.transfer.record import FOLDER
from models.transfer.remote import RemoteObject
from models.transfer.run import OnEnded, RunTools, ThreadedRun


class DiscardRun(ThreadedRun):
    """Removes what a cancelled download fetched, or only its file where that is kept."""

    def __init__(
        self,
        spec: JobSpec,
        files: tuple[FileStand, ...],
        tools: RunTools,
        on_ended: OnEnded,
        *,
        keeps: bool,
    ) -> None:
        super().__init__("discard", lambda error: on_ended(self, error))
        self._spec = spec
        self._files = files
        self._tools = tools
        self._keeps = keeps
        self._began_s = time.time()

    def snapshot(self) -> None:
        """Return nothing: there is nothing to show."""
        return

    def _work(self, stop: Stop) -> None:  # noqa: ARG002 - too short to be stopped
        spec = self._spec
        for file, stand in zip(spec.files, self._files, strict=True):
            target = spec.folder / file.target
            # What is being repaired was there before.
            if self._keeps or spec.repairs or not is_plain(file.target):
                continue
            remote = RemoteObject(spec.endpoint, spec.repository, spec.commit, file)
            self._tools.files.transfer(
                remote,
                target,
                locator=self._tools.locator,
                listen=lambda _: None,
                verify_existing=False,
                is_independent=spec.is_independent,
            ).discard()
            if stand.is_ours:
                self._tools.files.remove(target)
        remove_job_file(spec)
        remove_leftovers(small_files(spec), before_s=self._began_s)
        if not self._keeps:
            _remove_empty(spec)


def _remove_empty(spec: JobSpec) -> None:
    """Remove the folders that the download leaves empty, up to the root."""
    folders = {(spec.folder / file.target).parent for file in spec.files}
    folders |= {folder / FOLDER for folder in folders}
    folders |= {spec.folder, spec.folder.parent}
    inside = [folder for folder in folders if spec.root in folder.parents]
    for folder in sorted(inside, key=lambda path: len(path.parts), reverse=True):
        # Not empty, or not there.
        with contextlib.suppress(OSError):
            folder.rmdir()
