"""A person at the whole program: sees its window, and has nothing but mouse and keyboard.

    python new_user.py fetch|go_on

This is ``run_gui`` in the user's own folders. What the person comes to is told as lines of JSON on
standard output: ``{"seen": WORD, ...}``. A click goes to a point of the window, and only where the
widget that is meant can be seen; what a person waits for is looked at by a timer. A step that is
impossible ends the program with 1.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

REPO_ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(REPO_ROOT), str(REPO_ROOT / "tests")]

from PySide6.QtCore import QObject, QPoint, Qt, QTimer, Slot  # noqa: E402
from PySide6.QtTest import QTest  # noqa: E402
from PySide6.QtWidgets import QApplication, QScrollArea, QWidget  # noqa: E402

from app import application  # noqa: E402
from app.views.chat_page import ChatPage  # noqa: E402
from app.views.discover_view import DiscoverView  # noqa: E402
from app.views.downloads_view import DownloadsView  # noqa: E402
from app.views.main_window import CHAT, MODELS  # noqa: E402
from app.views.models_page import DISCOVER, DOWNLOADS, ModelsPage  # noqa: E402
from app.widgets.download_row import DownloadRow  # noqa: E402
from models.transfer.job import JobState, JobView  # noqa: E402

FAMILY = "r1-distill-qwen-1.5b"
WORDS = "smollm2"
QUESTION = "Say hello."
ENOUGH_CHARS = 40
# Of the download: it is paused after the one, and the program may be killed after the other.
PAUSE_AT, KILL_AT = 0.1, 0.45
_LOOK_MS = 10
# Of a card, beside its button.
_CORNER = QPoint(12, 12)

Condition = Callable[[], object]
Steps = Iterator[Condition]


class Person(QObject):
    """Goes through steps; each ends with something that is waited for."""

    def __init__(self, program: application.Fathom, steps: Callable[[Person], Steps]) -> None:
        super().__init__()
        self.program = program
        self._steps = steps(self)
        self._waits_for: Condition = program.window.isVisible
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    @Slot()
    def _look(self) -> None:
        try:
            if self._waits_for():
                self._waits_for = next(self._steps)
        except StopIteration:
            self._timer.stop()
        except Exception:  # noqa: BLE001
            # A slot's exception goes nowhere, and whoever watches this program would wait in vain.
            self._timer.stop()
            traceback.print_exc()
            QApplication.exit(1)

    def tell(self, seen: str, **figures: object) -> None:
        """Say what the person has come to."""
        print(json.dumps({"seen": seen, **figures}), flush=True)

    # --- eyes and hands -------------------------------------------------------------------------

    def sees(self, widget: QWidget, at: QPoint | None = None) -> bool:
        """Tell whether a widget can be used: nothing lies over it; it is scrolled to if need be."""
        if not widget.isVisible() or not widget.isEnabled():
            return False
        parent = widget.parentWidget()
        while parent is not None:
            if isinstance(parent, QScrollArea):
                parent.ensureWidgetVisible(widget)
            parent = parent.parentWidget()
        window = self.program.window
        under = window.childAt(widget.mapTo(window, at or widget.rect().center()))
        return under is not None and (under is widget or widget.isAncestorOf(under))

    def click(self, widget: QWidget, at: QPoint | None = None) -> None:
        """Click on the window where a widget is."""
        window = self.program.window
        assert self.sees(widget, at), f"{widget} is not to be seen"
        point = widget.mapTo(window, at or widget.rect().center())
        QTest.mouseClick(window.windowHandle(), Qt.MouseButton.LeftButton, pos=point)

    def type(self, text: str) -> None:
        """Type; it goes where the keyboard is."""
        for character in text:
            # Characters are taken too; PySide6's stubs do not know.
            QTest.keyClick(self.program.window.windowHandle(), character)  # type: ignore[call-overload]

    # --- what the window shows ------------------------------------------------------------------

    def models_page(self) -> ModelsPage:
        """Return the page of the library, the catalogue and the downloads."""
        page = self.program.window.page(MODELS)
        assert isinstance(page, ModelsPage)
        return page

    def discover(self) -> DiscoverView:
        """Return the catalogue."""
        view = self.models_page().view(DISCOVER)
        assert isinstance(view, DiscoverView)
        return view

    def sees_family(self, card_id: str) -> bool:
        """Tell whether a family's card is there to be clicked on; they come one after another."""
        try:
            return self.sees(self.discover().families.card(card_id), _CORNER)
        except KeyError:
            return False

    def repository(self) -> str:
        """Return the repository whose page is shown with its files; nothing before that."""
        discover = self.program.fetching.discover
        page = discover.look.status.page if discover is not None else None
        return page.repository if page is not None else ""

    def job(self) -> JobView:
        """Return the only download."""
        (job,) = self.program.fetching.downloads.jobs
        return job

    def row(self) -> DownloadRow:
        """Return the only download's row."""
        view = self.models_page().view(DOWNLOADS)
        assert isinstance(view, DownloadsView)
        return view.row(self.job().job_id)

    def is_at(self, state: JobState, share: float = 0.0) -> bool:
        """Tell whether the download has this state and is so far."""
        jobs = self.program.fetching.downloads.jobs
        if not jobs or jobs[0].state is not state:
            return False
        return jobs[0].bytes_done >= share * jobs[0].bytes_total

    def go_to(self, place: str, tab: str = "") -> Steps:
        """Choose a page in the rail and a tab on it."""
        self.click(self.program.window.rail.button(place))
        yield lambda: self.program.window.current_page == place
        if tab:
            segment = self.models_page().tabs.segment(tab)
            yield lambda: self.sees(segment)
            self.click(segment)
            yield lambda: self.models_page().current_tab == tab


def fetch(person: Person) -> Steps:
    """Look round, find a checkpoint, download it, rest, go on; then somebody pulls the plug."""
    yield from person.go_to(MODELS, DISCOVER)
    view = person.discover()
    yield lambda: person.sees_family(FAMILY)
    person.click(view.families.card(FAMILY), _CORNER)
    page = view.repository
    yield lambda: person.sees(page.choice.button)
    person.tell("family", button=page.choice.button.text())
    person.click(page.back_button)
    yield lambda: person.sees(view.field)
    person.click(view.field)
    person.type(WORDS)
    yield lambda: view.results.rows and person.sees(view.results.rows[0])
    person.click(view.results.rows[0])
    yield lambda: WORDS in person.repository().lower() and person.sees(page.choice.button)
    person.tell("repository", button=page.choice.button.text())
    person.click(page.choice.button)
    yield lambda: person.models_page().current_tab == DOWNLOADS
    yield lambda: person.is_at(JobState.DOWNLOADING, PAUSE_AT)
    person.click(person.row().pause_button)
    yield lambda: person.is_at(JobState.PAUSED)
    person.tell("paused", bytes_done=person.job().bytes_done)
    yield lambda: person.sees(person.row().pause_button)
    person.click(person.row().pause_button)
    yield lambda: person.is_at(JobState.DOWNLOADING, KILL_AT)
    person.tell("half", bytes_done=person.job().bytes_done)
    yield lambda: False


def go_on(person: Person) -> Steps:
    """Come back: the download is going on; load what it brings, ask, read, close."""
    yield from person.go_to(MODELS, DOWNLOADS)
    # Nobody presses anything here.
    yield lambda: person.is_at(JobState.READY)
    job = person.job()
    person.tell("ready", path=str(job.path), bytes_refetched=job.bytes_refetched)
    yield lambda: person.sees(person.row().action_button)
    person.click(person.row().action_button)
    loader, chat = person.program.loader, person.program.chat
    yield lambda: loader.status.is_ready or loader.status.error
    entry = loader.status.entry
    person.tell("loaded", path=str(entry.path) if entry else str(loader.status.error))
    yield from person.go_to(CHAT)
    page = person.program.window.page(CHAT)
    assert isinstance(page, ChatPage)
    yield lambda: person.sees(page.composer.field)
    person.click(page.composer.field)
    person.type(f"{QUESTION}\r")
    yield lambda: chat.live is not None
    yield lambda: chat.live is None or len(_answer(page)) >= ENOUGH_CHARS
    if chat.live is not None:
        person.click(page.composer.send_button)
    yield lambda: chat.live is None
    person.tell("answer", text=_answer(page))
    person.program.window.close()


def _answer(page: ChatPage) -> str:
    ids = page.transcript.turn_ids
    widget = page.transcript.answer_of(ids[-1]) if ids else None
    return widget.body.text if widget is not None else ""


def main(steps: Callable[[Person], Steps]) -> int:
    """Run the program with a person at it; return its exit code."""

    class Used(application.Fathom):
        def start(self) -> None:
            super().start()
            self._person = Person(self, steps)

    application.Fathom = Used  # type: ignore[misc]
    return application.run_gui(application.GuiOptions())


if __name__ == "__main__":
    sys.exit(main({"fetch": fetch, "go_on": go_on}[sys.argv[1]]))
