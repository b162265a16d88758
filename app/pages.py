"""The pages of the window, composed: what each is made of, and what leads from one to another.

A page is made when somebody looks, but for those that are made ahead while nobody waits.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QWidget

from app.actions.download_totals import DownloadTotals
from app.views.chat_page import ChatPage
from app.views.main_window import CHAT, MODELS, MONITOR, PLAN, SERVER, SETTINGS, MainWindow
from models.library.library import LibraryEntry
from models.runtime.protocol import Cancelled, Done, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.about import AboutParts
    from app.actions.chat import Chat
    from app.actions.conversations import Conversations
    from app.core import Core
    from app.fetching import FetchParts
    from app.planning import PlanParts
    from app.safety import SafetyParts
    from app.serving import ServingParts
    from app.views.monitor_page import MonitorPage
    from app.widgets.formula_book import FormulaBook


class PageParts(QObject):
    """Makes the pages; ``connect_window`` before the first is shown."""

    answer_measured = Signal(Usage)
    _window: MainWindow

    def __init__(
        self,
        *,
        core: Core,
        chat: Chat,
        conversations: Conversations,
        safety: SafetyParts,
        planning: PlanParts,
        fetching: FetchParts,
        about: AboutParts,
        serving: ServingParts,
        books: tuple[FormulaBook, FormulaBook],
    ) -> None:
        super().__init__()
        self._core = core
        self._chat = chat
        self._conversations = conversations
        self._safety = safety
        self._planning = planning
        self._fetching = fetching
        self._about = about
        self._serving = serving
        self._book, self._card_book = books
        self._loader = planning.loader

    def makers(self) -> dict[str, Callable[[], QWidget]]:
        """Return what makes each page, by its name."""
        return {
            CHAT: self._make_chat_page,
            MODELS: self._make_models_page,
            PLAN: self._make_plan_page,
            MONITOR: self._make_monitor_page,
            SERVER: self._serving.make_page,
            SETTINGS: self._make_settings_page,
        }

    def connect_window(self, window: MainWindow) -> None:
        """Show them there, and let what is fetched lead to them."""
        self._window = window
        window.plan_requested.connect(self._toggle_plan)
        self._core.bridge.finished.connect(self._hear_end)
        self._core.bridge.others_answer_ended.connect(self._hear_figures)
        fetching = self._fetching
        fetching.tab_wanted.connect(self.show_models_tab)
        fetching.settings_wanted.connect(self._show_token)
        fetching.plan_wanted.connect(self._plan_text)
        fetching.downloads.totals_changed.connect(self._count_downloads)

    def make_ahead(self, _result: object = None) -> None:
        """Make the page that people go to first: half of its first showing is the making."""
        self._window.page(MODELS)

    # --- pages ----------------------------------------------------------------------------------

    def _make_chat_page(self) -> ChatPage:
        page = ChatPage(
            chat=self._chat,
            conversations=self._conversations,
            loader=self._loader,
            settings=self._core.settings_bridge,
            make_inspector=self._make_inspector,
            book=self._book,
        )
        page.models_requested.connect(partial(self._window.show_page, MODELS))
        page.plan_requested.connect(self._plan_in_inspector)
        self._window.new_chat_requested.connect(page.new_chat)
        self._window.search_requested.connect(page.focus_search)
        return page

    def _make_models_page(self) -> QWidget:
        from app.views.models_page import ModelsPage

        page = ModelsPage(
            load_model=self._loader,
            add=self._safety.add,
            runner=self._core.runner,
            forecasts=self._planning.forecasts,
            actions=self._fetching.library,
            checks=self._safety.checks,
            family_of=self._fetching.family_of,
            make_discover=partial(self._fetching.make_discover_view, self._card_book),
            make_downloads=self._fetching.make_downloads_view,
        )
        page.chat_requested.connect(partial(self._window.show_page, CHAT))
        page.plan_requested.connect(self._plan_on_page)
        page.findings_requested.connect(self._safety.checks.show)
        page.set_download_count(self._fetching.downloads.totals.unfinished)
        return page

    def _make_plan_page(self) -> QWidget:
        from app.views.plan_host import PlanPage

        page = PlanPage(self._planning.plan)
        for wants_models in (page.back_requested, page.host.choose_requested):
            wants_models.connect(partial(self._window.show_page, MODELS))
        page.host.models_requested.connect(partial(self._window.show_page, MODELS))
        return page

    def _make_inspector(self) -> QWidget:
        from app.views.plan_host import PlanInspector

        inspector = PlanInspector(self._planning.plan)
        chat_page = self.chat_page
        inspector.close_requested.connect(chat_page.toggle_inspector)
        inspector.page_requested.connect(partial(self._window.show_page, PLAN))
        inspector.host.choose_requested.connect(chat_page.picker.open)
        inspector.host.models_requested.connect(partial(self._window.show_page, MODELS))
        # What is loaded, or was to be, is what one wants to know about.
        entry = self._loader.status.entry
        if not self._planning.plan.status.text and entry is not None:
            self._planning.plan.choose_entry(entry)
        return inspector

    def _make_monitor_page(self) -> QWidget:
        from app.views.monitor_page import MonitorPage

        page = MonitorPage()
        page.models_requested.connect(partial(self._window.show_page, MODELS))
        page.set_status(self._loader.status)
        self._connect_monitor(page)
        return page

    def _make_settings_page(self) -> QWidget:
        from app.views.settings_page import SettingsPage

        return SettingsPage(
            self._core.settings_bridge,
            token=self._fetching.token,
            update_row=self._about.make_row(),
            addons_row=self._about.make_addons_row(self._loader),
        )

    # --- what leads to them ---------------------------------------------------------------------

    @property
    def chat_page(self) -> ChatPage:
        """The page of the chat."""
        page = self._window.page(CHAT)
        assert isinstance(page, ChatPage)
        return page

    @Slot(LibraryEntry)
    def _plan_on_page(self, entry: LibraryEntry) -> None:
        self._planning.plan.choose_entry(entry)
        self._window.show_page(PLAN)

    @Slot(LibraryEntry)
    def _plan_in_inspector(self, entry: LibraryEntry) -> None:
        self._planning.plan.choose_entry(entry)
        self.chat_page.show_inspector()

    @Slot(str)
    def _plan_text(self, text: str) -> None:
        self._planning.plan.choose(text, title=text.rpartition("/")[2])
        self._window.show_page(PLAN)

    @Slot()
    def _show_token(self) -> None:
        from app.views.settings_page import SettingsPage

        self._window.show_page(SETTINGS)
        page = self._window.page(SETTINGS)
        assert isinstance(page, SettingsPage)
        page.show_token()

    @Slot(str)
    def show_models_tab(self, name: str) -> None:
        """Show one of the lists of models."""
        from app.views.models_page import ModelsPage

        page = self._window.page(MODELS)
        assert isinstance(page, ModelsPage)
        page.show_tab(name)
        self._window.show_page(MODELS)

    @Slot(DownloadTotals)
    def _count_downloads(self, totals: DownloadTotals) -> None:
        from app.views.models_page import ModelsPage

        page = self._window.made_page(MODELS)
        if isinstance(page, ModelsPage):
            page.set_download_count(totals.unfinished)

    @Slot()
    def _toggle_plan(self) -> None:
        if self._window.current_page == CHAT:
            self.chat_page.toggle_inspector()
        else:
            self._window.show_page(PLAN)

    @Slot()
    def show_plan(self) -> None:
        """Bring the plan into sight: where Models was used, there, else beside the chat."""
        if self._window.current_page == MODELS:
            self._window.show_page(PLAN)
        elif self._window.current_page == CHAT:
            self.chat_page.show_inspector()

    def _connect_monitor(self, page: MonitorPage) -> None:
        self._loader.status_changed.connect(page.set_status)
        self._core.bridge.stats.connect(page.set_stats)
        self._core.telemetry.sampled.connect(page.set_hardware)
        self.answer_measured.connect(page.set_usage)

    @Slot(int, object)
    def _hear_end(self, _request_id: int, ending: object) -> None:
        if isinstance(ending, (Done, Cancelled)):
            self._hear_figures(ending.usage)

    @Slot(object)
    def _hear_figures(self, usage: Usage | None) -> None:
        # Without any (an answer that failed): nothing is computed now all the same.
        self.answer_measured.emit(usage or Usage())


def import_pages() -> None:
    """Compile and import what pages need; takes long, and not on the main thread."""
    import app.actions.addons
    import app.actions.discover
    import app.views.addons_row
    import app.views.discover_view
    import app.views.downloads_view
    import app.views.forecast_view
    import app.views.models_page
    import app.views.plan_host
    import app.views.server_page
    import app.views.settings_page
    import app.views.update_row  # noqa: F401
    import models.updates.keys  # noqa: F401
