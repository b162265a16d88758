"""The composition root: builds the objects, hands them down, and takes them apart at the end."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Slot
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication

from app.about import AboutParts
from app.actions.chat import Chat
from app.actions.conversations import Conversations
from app.actions.formulas import FormulaDrawing
from app.core import Core
from app.crash import CrashPresenter, CrashReporter
from app.early_words import tell_early
from app.fetching import FetchParts
from app.garbage import MainThreadGarbage
from app.messages import Action
from app.pages import PageParts, import_pages
from app.planning import PlanParts
from app.safety import SafetyParts
from app.serving import ServingParts
from app.terminal import TerminalSignals
from app.theme import RESOURCES_DIR, Appearance, load_fonts
from app.views.main_window import CHAT, MODELS, MONITOR, MainWindow
from app.views.status_bar import StatusBar
from app.widgets.formula_book import FormulaBook
from models import log
from models.errors import FathomError
from models.paths import user_paths
from models.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.demo import DemoRun
    from models.planning.desk import PlanningService

# Telemetry and the pages behind the first one wait until the window is on the screen.
_SETTLE_MS = 300
# After the start, when nobody notices a moment's work.
_SETTLED_MS = 2000
LIBRARY_SETTINGS = ("library.roots", "library.finds_others", "downloads.folder")
# What a loaded model was loaded with; the other settings hold from the next word on.
ENGINE_SETTINGS = ("engine.n_ctx", "engine.n_threads", "engine.flash_attn", "engine.kv_type")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GuiOptions:
    """What the command line says about the window.

    Attributes:
        base_dir: everything Fathom writes lies under it; None for the user's own folders.
        model: a library name or path to load at once.
        demo_question: ask the demo this, print the answer and end: the job without a display.
        screenshot: where a picture of the window goes after the answer.
    """

    base_dir: Path | None = None
    model: str | None = None
    debug: bool = False
    demo_question: str | None = None
    screenshot: Path | None = None


def run_gui(options: GuiOptions) -> int:
    """Open the window and return the exit code when it has closed."""
    try:
        paths = user_paths(options.base_dir)
        paths.create()
    except FathomError as error:
        tell_early(error.one_line())
        return error.exit_code
    log_setup = log.configure(paths.log_dir, debug=options.debug)
    if log_setup.problem and sys.stderr is not None:
        sys.stderr.write(f"fathom: {log_setup.problem}\n")
    app = _make_app()
    crash = CrashReporter(paths.log_dir)
    crash.install()
    garbage = MainThreadGarbage()
    fathom = Fathom(app, Core(paths), options)
    fathom.watch_for_crashes(crash)
    fathom.start()
    QTimer.singleShot(_SETTLED_MS, garbage, garbage.spare_what_is_there)
    exit_code = app.exec()
    fathom.finish()
    garbage.stop()
    crash.uninstall()
    log_setup.close()
    return exit_code


def _make_app() -> QApplication:
    app = QApplication(["fathom"])
    app.setApplicationName("fathom")
    app.setApplicationDisplayName("Fathom")
    app.setApplicationVersion(VERSION)
    # As resources/linux names it: by that, desktops find the icon of a window on Wayland.
    app.setDesktopFileName("org.fathom.Fathom")
    app.setWindowIcon(QIcon(str(RESOURCES_DIR / "icons" / "fathom.svg")))
    return app


class Fathom(QObject):
    """The window over the core, and the wires between them."""

    def __init__(
        self,
        app: QApplication,
        core: Core,
        options: GuiOptions,
        *,
        make_planning: Callable[[], PlanningService] | None = None,
    ) -> None:
        """Compose; ``make_planning`` makes another planner than this machine's (PlanParts)."""
        super().__init__()
        self._app = app
        self._core = core
        self._options = options
        self.exit_code = 0
        self.safety = SafetyParts(paths=core.paths, runner=core.runner, messages=core.messages)
        self.planning = PlanParts(
            paths=core.paths,
            supervisor=core.supervisor,
            bridge=core.bridge,
            library=core.library,
            settings=core.settings_bridge,
            runner=core.runner,
            messages=core.messages,
            make_planning=make_planning,
            gate=self.safety.checks,
            hub=core.hub_access.hub_or_none_at_all,
        )
        self.fetching = FetchParts(core, self.planning)
        self.about = AboutParts(core)
        self.loader = self.planning.loader
        self.serving = ServingParts(core, self.loader)
        self.chat = self._make_chat()
        self.conversations = Conversations(
            store=core.store, chat=self.chat, runner=core.runner, messages=core.messages
        )
        # Of answers, and of model cards: strangers write those, and a child that had to be ended
        # too often draws nothing for a while.
        self.books = FormulaBook(self), FormulaBook(self)
        self.drawings = [FormulaDrawing(book, core.runner, parent=self) for book in self.books]
        self._terminal = TerminalSignals(self)
        self._presenter = CrashPresenter(self)
        load_fonts()
        self.appearance = Appearance(app, self)
        self.appearance.choose(core.settings.get_str("appearance.theme"))
        self.status_bar = StatusBar()
        self.pages = self._make_pages()
        self.window = MainWindow(self.pages.makers(), self.status_bar, core.messages)
        self._settle_timer = QTimer(self.window, singleShot=True, interval=_SETTLE_MS)
        self._settle_timer.timeout.connect(self._settle)
        self._connect()
        self.window.show_page(CHAT)
        self._demo = self._make_demo()

    def watch_for_crashes(self, crash: CrashReporter) -> None:
        """Show what goes wrong unexpectedly."""
        if self._demo is None:
            crash.crashed.connect(self._presenter.show)
        else:
            crash.crashed.connect(self._demo.crashed)
        crash.interrupted.connect(self.window.close)

    def start(self) -> None:
        """Show the window; everything slow follows when it is on the screen."""
        if self._demo is None:
            self.window.restore_place(self._core.settings.get_str("window.geometry"))
        self.window.show()
        QTimer.singleShot(0, self, self._after_show)

    def finish(self) -> None:
        """Take everything apart after the event loop has ended; waits for what must be written."""
        core = self._core
        core.telemetry.stop()
        self.planning.stop()
        self.fetching.stop()
        self.about.stop()
        for drawing in self.drawings:
            drawing.stop()
        self.fetching.stop_child()
        self.planning.stop_children()
        self.serving.close()
        self.serving.stop_child()
        self.serving.detach()
        self.fetching.close()
        # Ended already where the window was closed; not where the session ends or Qt gave up.
        core.supervisor.stop()
        core.bridge.detach()
        core.runner.run(core.store.close, done=_nothing, error=_nothing, lane="store")
        core.runner.shutdown()
        for drawing in self.drawings:
            drawing.close()
        # What was being planned may have started the engine once more.
        core.supervisor.stop()
        core.telemetry.close()
        self._terminal.close()
        try:
            core.settings_bridge.flush()
        except FathomError as error:
            _log.warning("Settings not saved: %s", error.one_line())

    def _make_chat(self) -> Chat:
        core = self._core
        return Chat(
            supervisor=core.supervisor,
            turns=core.turns,
            bridge=core.bridge,
            loader=self.loader,
            store=core.store,
            settings=core.settings,
            runner=core.runner,
            messages=core.messages,
        )

    def _make_pages(self) -> PageParts:
        return PageParts(
            core=self._core,
            chat=self.chat,
            conversations=self.conversations,
            safety=self.safety,
            planning=self.planning,
            fetching=self.fetching,
            about=self.about,
            serving=self.serving,
            books=self.books,
        )

    # --- wires ----------------------------------------------------------------------------------

    def _connect(self) -> None:
        core = self._core
        self.safety.connect_window(
            self.window,
            loader=self.loader,
            settings=core.settings_bridge,
            show_models=partial(self.window.show_page, MODELS),
        )
        self.pages.connect_window(self.window)
        self.serving.connect_window(self.window, self.status_bar)
        self.loader.status_changed.connect(self.status_bar.set_status)
        core.bridge.stats.connect(self.status_bar.set_stats)
        core.telemetry.sampled.connect(self.status_bar.set_hardware)
        self.pages.answer_measured.connect(self.status_bar.set_usage)
        core.settings_bridge.changed.connect(self._setting_changed)
        self.window.visible_changed.connect(self._visible_changed)
        self.window.conversations_dropped.connect(self.conversations.import_files)
        self.window.close_requested.connect(self._stop)
        self._terminal.asked_to_quit.connect(self.window.close)
        self.fetching.downloads.totals_changed.connect(self.status_bar.set_downloads)
        if self._options.demo_question is None:
            self.planning.plan.attention_wanted.connect(self.pages.show_plan)

    @Slot(str, object)
    def _setting_changed(self, key: str, value: object) -> None:
        if key == "appearance.theme":
            self.appearance.choose(str(value))
        elif key in LIBRARY_SETTINGS:
            self._core.library.set_roots(self._core.roots())
            shows = self._core.settings.get_bool("library.finds_others")
            self._core.library.set_shows_foreign(shows)
            self.loader.refresh()
        elif key in ENGINE_SETTINGS and self.loader.status.is_ready:
            self._core.messages.info(
                self.tr("The model has to be loaded again for this."),
                Action(self.tr("Load again"), self.loader.retry),
            )

    @Slot(bool)
    def _visible_changed(self, visible: bool) -> None:
        # The first samples wait for `_settle`: the drivers' libraries take long to load.
        if not visible:
            self._core.telemetry.stop()
        elif self._core.telemetry.latest is not None:
            self._core.telemetry.start()

    # --- life -----------------------------------------------------------------------------------

    @Slot()
    def _after_show(self) -> None:
        self.conversations.open_store(show_newest=self._demo is None)
        self.loader.refresh()
        if self._demo is not None:
            self._demo.start()
        elif self._options.model:
            self.loader.load_by_name(self._options.model)
        else:
            self.loader.load_at_start()
        self._settle_timer.start()

    @Slot()
    def _settle(self) -> None:
        self._core.telemetry.start()
        # Made now, so that its graphs begin with the program and not with the first visit.
        self.window.page(MONITOR)
        if self._demo is None:
            self.serving.start()
        # Compiled and imported here, they would hold up the click that first wants them.
        self._core.runner.run(import_pages, done=self.pages.make_ahead, error=_nothing)
        self.fetching.start()

    @Slot()
    def _stop(self) -> None:
        self._settle_timer.stop()
        if self._demo is None:
            self._core.settings_bridge.set("window.geometry", self.window.saved_place())
        self.planning.stop()
        self.fetching.stop()
        self.about.stop()
        self.serving.close()
        self.chat.cancel_waiting()
        self.loader.cancel()
        self._core.runner.run(
            self._stop_children,
            done=self._stopped,
            error=self._not_stopped,
            lane="control",
        )

    def _stop_children(self) -> None:
        self.fetching.stop_child()
        self.planning.stop_children()
        # Before the engine: so that no program's question starts it once more.
        self.serving.stop_child()
        self._core.supervisor.stop()

    def _stopped(self, _result: None) -> None:
        # Once round the loop: what the engine said last is still to be heard and written.
        QTimer.singleShot(0, self, self._close)

    def _not_stopped(self, error: Exception) -> None:
        _log.warning("The engine did not stop: %r", error)
        self._close()

    @Slot()
    def _close(self) -> None:
        self.window.finish_close()
        self._app.exit(self.exit_code)

    def _make_demo(self) -> DemoRun | None:
        if self._options.demo_question is None:
            return None
        from app.demo import LONGEST_ANSWER_TOKENS, DemoParts, DemoRun

        core, page = self._core, self.pages.chat_page
        parts = DemoParts(self.window, page, self.chat, self.loader, core.bridge, core.telemetry)
        # A length that the user has set is the user's business.
        longest_tokens = core.settings.get_int("chat.max_tokens") or LONGEST_ANSWER_TOKENS
        demo = DemoRun(
            parts,
            self._options.demo_question,
            self._options.screenshot,
            longest_tokens=longest_tokens + 1,
        )
        demo.finished.connect(self._demo_finished)
        return demo

    @Slot(int)
    def _demo_finished(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self.window.close()


def _nothing(_result: object) -> None:
    """Take a result that nobody waits for."""
