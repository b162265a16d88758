"""Catalogue, hub, downloads and library of the window, composed.

What is large is imported when it is first needed, in the thread that needs it.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QWidget

from app.actions.download_parts import DownloadParts
from app.actions.downloads import Downloads
from app.actions.hub_token import HubToken
from app.actions.library import LibraryActions
from app.actions.model_status import ModelStatus
from app.bridges.downloads import DownloadsBridge
from app.messages import Action
from app.tasks import expected
from models.errors import AccessError, StoppedError
from models.library.presence import Presence, RootState
from models.library.roots import download_root, library_roots
from models.runtime.command import program_command
from models.transfer.client import TransferClient, has_unfinished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.actions.discover import Discover
    from app.actions.load_model import LoadModel
    from app.core import Core
    from app.planning import PlanParts
    from app.widgets.formula_book import FormulaBook
    from models.catalog.card import Card
    from models.catalog.families import Catalog
    from models.gguf.checkpoint import CheckpointFacts
    from models.hub.pages import RepositoryPage
    from models.hub.quants import QuantFiles
    from models.library.library import LibraryEntry
    from models.planner.machine import Machine
    from models.planning.judgement import Judgement, QuantJudgement
    from models.stopping import Stop
    from models.transfer.begun import BegunDownload
    from models.transfer.job import JobSpec, JobView

_log = logging.getLogger(__name__)


class FetchParts(QObject):
    """What finds, fetches and keeps checkpoints.

    ``tab_wanted`` names the tab of Models that should be shown, ``settings_wanted`` that somebody
    needs the settings, ``plan_wanted`` a text to be planned.
    """

    tab_wanted = Signal(str)
    settings_wanted = Signal()
    plan_wanted = Signal(str)

    def __init__(self, core: Core, planning: PlanParts) -> None:
        super().__init__()
        self._core = core
        self._planning = planning
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._catalog: Catalog | None = None
        self._used: LibraryEntry | None = None
        self._presence = Presence()
        self.token = HubToken(
            store=core.tokens, runner=core.runner, whoami=core.hub_access.whoami, parent=self
        )
        self.bridge = DownloadsBridge(self)
        self.client = TransferClient(
            program_command("transfer"),
            data_dir=core.paths.data_dir,
            listener=self.bridge.listener,
        )
        self.downloads = self._make_downloads()
        self.library = LibraryActions(
            library=core.library,
            runner=core.runner,
            messages=core.messages,
            roots=lambda: library_roots(core.paths, core.settings),
            make_repair=self._repair_spec,
            start_download=self.downloads.start_spec,
            parent=self,
        )
        # Made with its view: it needs the planner, which takes a while to be imported.
        self.discover: Discover | None = None
        self._connect(planning.loader)

    def make_discover_view(self, book: FormulaBook | None = None) -> QWidget:
        """Return the catalogue's view, wired; ``book`` has the formulas of model cards."""
        from app.views.discover_view import DiscoverView

        if self.discover is None:
            self.discover = self._make_discover()
        view = DiscoverView(self.discover, book=book)
        view.download_requested.connect(self._fetch)
        view.plan_requested.connect(self.plan_wanted)
        view.library_requested.connect(self._show_library)
        view.settings_requested.connect(self.settings_wanted)
        return view

    def make_downloads_view(self) -> QWidget:
        """Return the list of downloads, wired."""
        from app.views.downloads_view import DownloadsView

        view = DownloadsView()
        view.follow(self.downloads)
        view.discover_requested.connect(partial(self.tab_wanted.emit, "discover"))
        return view

    def family_of(self, facts: CheckpointFacts) -> str:
        """Return the title of the family that a checkpoint belongs to; in a background thread."""
        card = self._families().of_checkpoint(
            facts.name, facts.architecture, numbers={"block_count": facts.n_layer}
        )
        return card.title if card else ""

    def start(self) -> None:
        """Go on with what was being fetched when the program ended."""
        self.downloads.start_if_needed()

    def stop(self) -> None:
        """End what is under way; returns at once. ``stop_child`` is to follow."""
        self._ending.set()
        if self.discover is not None:
            self.discover.stop()
        self.library.stop_all()

    def stop_child(self) -> None:
        """End the transfer child and wait for it, in any thread.

        What it fetches is written down before.
        """
        self.client.stop()

    def close(self) -> None:
        """Hear nothing of downloads any more; after ``stop_child``, in the main thread."""
        self.bridge.detach()

    # --- how it is made -------------------------------------------------------------------------

    def _make_downloads(self) -> Downloads:
        core = self._core
        parts = DownloadParts(
            read_settings=core.hub_access.transfer_settings,
            make_spec=self._job_spec,
            has_unfinished=partial(has_unfinished, core.paths.data_dir),
            find_begun=self._find_begun,
            complete=self._completed,
        )
        return Downloads(
            client=self.client,
            bridge=self.bridge,
            settings=core.settings_bridge,
            runner=core.runner,
            messages=core.messages,
            parts=parts,
            parent=self,
        )

    def _make_discover(self) -> Discover:
        from app.actions.discover import Discover
        from app.actions.discover_data import DiscoverParts

        parts = DiscoverParts(
            load_catalog=self._families,
            read_machine=self._planning.read_machine,
            judge_card=self._judge_card,
            judge_page=self._judge_page,
            rest=self._planning.children.rest,
            make_hub=self._core.hub_access.hub,
            is_offline=partial(self._core.settings.get_bool, "hub.offline"),
        )
        discover, loader = Discover(parts, self._core.runner, self), self._planning.loader
        discover.set_entries(loader.entries)
        discover.set_jobs(self.downloads.jobs)
        loader.entries_changed.connect(discover.set_entries)
        self.downloads.changed.connect(discover.set_jobs)
        return discover

    def _connect(self, loader: LoadModel) -> None:
        downloads = self.downloads
        self.token.token_changed.connect(downloads.reconfigure)
        downloads.finished.connect(self._finished)
        downloads.load_wanted.connect(self._load)
        downloads.settings_wanted.connect(self.settings_wanted)
        downloads.library_wanted.connect(self._show_library)
        downloads.list_wanted.connect(partial(self.tab_wanted.emit, "downloads"))
        self.library.changed.connect(loader.refresh)
        loader.status_changed.connect(self._note_used)

    # --- wires ----------------------------------------------------------------------------------

    @Slot()
    def _show_library(self) -> None:
        self.tab_wanted.emit("library")

    @Slot(object, object)
    def _fetch(self, page: RepositoryPage, quant: QuantFiles) -> None:
        """Download a checkpoint, unless it is on this machine already."""
        self._core.runner.run(
            partial(self._look_for, page, quant),
            done=self._looked_for,
            error=self._not_looked_for,
            lane="hub",
        )

    def _looked_for(self, found: tuple[JobSpec, LibraryEntry | None]) -> None:
        spec, here = found
        if here is None:
            self.downloads.start_spec(spec)
            self.tab_wanted.emit("downloads")
            return
        self._core.messages.info(
            self.tr("{0} is on this machine already, as {1}.").format(spec.title, here.name),
            Action(self.tr("Download all the same"), partial(self._fetch_again, spec)),
        )
        self.tab_wanted.emit("library")

    def _fetch_again(self, spec: JobSpec) -> None:
        self.downloads.start_spec(spec)
        self.tab_wanted.emit("downloads")

    def _not_looked_for(self, error: Exception) -> None:
        if isinstance(error, StoppedError):
            return
        error = expected(error)
        action = None
        if isinstance(error, AccessError):
            action = Action(self.tr("Open settings"), self.settings_wanted.emit)
        self._core.messages.error(error, action)

    @Slot(object)
    def _finished(self, _job: JobView) -> None:
        self._planning.loader.refresh()

    @Slot(ModelStatus)
    def _note_used(self, status: ModelStatus) -> None:
        """Write down that a checkpoint was loaded, once for every load."""
        if self.discover is not None and not status.is_loading:
            # What was loaded or unloaded has left another machine.
            self.discover.look_again()
        if status.entry is not None:
            self.downloads.withdraw_ready(status.entry.path)
        entry = status.entry if status.is_ready else None
        if entry is not None and entry != self._used:
            self._core.runner.run(
                partial(self._core.library.note_used, entry),
                done=self._noted,
                error=self._not_noted,
                lane="disk",
            )
        self._used = entry

    def _noted(self, _result: None) -> None:
        self._planning.loader.refresh()

    def _not_noted(self, error: Exception) -> None:
        error = expected(error)
        _log.info("Not written down that a checkpoint was used: %s", error.one_line())

    @Slot(object)
    def _load(self, job: JobView) -> None:
        self._planning.loader.load_by_name(str(job.path))

    # --- in background threads ------------------------------------------------------------------

    def _families(self) -> Catalog:
        from models.catalog.loader import load_catalog

        with self._lock:
            if self._catalog is None:
                self._catalog = load_catalog()
            return self._catalog

    def _judge_card(self, card: Card, machine: Machine, stop: Stop) -> Judgement:
        wishes = self._planning.loads.wishes("")
        return self._planning.children.background.judge(card, machine, wishes, stop=stop)

    def _judge_page(
        self, page: RepositoryPage, machine: Machine, stop: Stop
    ) -> Sequence[QuantJudgement]:
        from models.hub.fetching import page_quants
        from models.planning.judging_pages import known_facts

        quants = page_quants(page)
        if not quants:
            return ()
        card, hub = self._families().of_repository(page.repository), self._core.hub_access.hub()
        facts = known_facts(page, quants, hub=hub, card=card, stop=stop)
        wishes = self._planning.loads.wishes("")
        return self._planning.children.now.judge_files(quants, facts, machine, wishes, stop=stop)

    def _job_spec(self, page: RepositoryPage, quant: QuantFiles) -> JobSpec:
        from models.hub.fetching import job_spec, second_opinion

        official = second_opinion(page, stop=self._ending.is_set)
        root = download_root(self._core.paths, self._core.settings)
        return job_spec(page, quant, root=root, endpoint_official=official)

    def _find_begun(self) -> tuple[BegunDownload, ...]:
        from models.transfer.begun import find_elsewhere

        roots = library_roots(self._core.paths, self._core.settings)
        # A share whose server is gone must not hold up what else is to be done with disks.
        there = [root for root in roots if self._presence.of(root) is RootState.PRESENT]
        return find_elsewhere(there)

    def _completed(self, spec: JobSpec) -> JobSpec:
        from models.hub.fetching import complete_spec

        return complete_spec(spec, self._core.hub_access.hub(), stop=self._ending.is_set)

    def _look_for(
        self, page: RepositoryPage, quant: QuantFiles
    ) -> tuple[JobSpec, LibraryEntry | None]:
        spec = self._job_spec(page, quant)
        parts = [file for file in spec.files if file.target.lower().endswith(".gguf")]
        here = self._core.library.find_by_digest(
            [file.digest for file in parts], [file.size_bytes for file in parts]
        )
        return spec, here

    def _repair_spec(self, entry: LibraryEntry) -> JobSpec:
        from models.library.verifying import repair_spec

        return repair_spec(entry, self._core.hub_access.hub(), stop=self._ending.is_set)
