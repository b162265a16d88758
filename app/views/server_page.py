"""Server: other programs of this machine may ask what is loaded; off until it is switched on."""

from __future__ import annotations

from collections.abc import Iterator

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QLabel, QWidget

from app.actions.server import Refused, Serving
from app.bridges.settings import SettingsBridge
from app.theme import SIZE_HEADING, SPACE_S, TEXT_COLUMN_WIDTH
from app.views.server_access_card import ServerAccessCard
from app.views.server_example_card import ServerExampleCard
from app.views.server_lists import RefusalsCard, RequestsCard
from app.views.server_state_card import ServerStateCard
from app.widgets.confirm_dialog import ConfirmDialog
from app.widgets.labels import Weight, text_label
from app.widgets.page import Page, ScrollColumn
from app.widgets.slices import Slices
from models.errors import ServerAddressError


class ServerPage(Page):
    """Cards from what is asked for daily to what is set up once."""

    models_requested = Signal()

    def __init__(
        self, serving: Serving, settings: SettingsBridge, parent: QWidget | None = None
    ) -> None:
        super().__init__("", width=TEXT_COLUMN_WIDTH, parent=parent)
        self.set_title(self.tr("Server"))
        self._serving = serving
        self._settings = settings
        self._column = ScrollColumn(TEXT_COLUMN_WIDTH)
        self._column.column.addStretch(1)
        self.body.addWidget(self._column)
        self.state = ServerStateCard(serving, settings)
        self.state.models_requested.connect(self.models_requested)
        self.state.new_key_requested.connect(self.ask_for_new_key)
        self._add(self.state)
        self._refusals_title: QLabel | None = None
        # The first card is there at once; the others follow between two frames.
        self._slices = Slices(self)
        self._slices.run(self._fill(), at_once=False)
        serving.read_key()

    @property
    def refusals(self) -> RefusalsCard:
        """Who was turned away."""
        self._slices.finish()
        return self._refusals

    @property
    def requests(self) -> RequestsCard:
        """What was asked."""
        self._slices.finish()
        return self._requests

    @property
    def access(self) -> ServerAccessCard:
        """Key, port and pages."""
        self._slices.finish()
        return self._access

    @property
    def example(self) -> ServerExampleCard:
        """How a program asks."""
        self._slices.finish()
        return self._example

    @property
    def is_filled(self) -> bool:
        """Whether every card is there."""
        return not self._slices.is_running

    @Slot()
    def ask_for_new_key(self) -> None:
        """Ask before the key is replaced."""
        dialog = ConfirmDialog(
            self.tr("Make a new key?"), self.tr("Make a new key"), kind="danger", parent=self
        )
        dialog.body.addWidget(
            text_label(
                self.tr(
                    "The old key stops working at once. Programs that have it are refused until "
                    "you give them the new one, and answers under way end."
                ),
                wrap=True,
            )
        )
        dialog.accepted.connect(self._serving.make_new_key)
        dialog.open()

    @Slot(str)
    def ask_to_allow(self, page: str) -> None:
        """Explain what it means to allow a web page, and ask."""
        dialog = ConfirmDialog(
            self.tr("Allow {0}?").format(page), self.tr("Allow this page"), parent=self
        )
        for words in (
            self.tr(
                "Every page at this address, and everything that they load, may then ask the "
                "model from your browser and read the answers, as long as the server is on. They "
                "have to know the key too; give it to pages that you trust only."
            ),
            self.tr(
                "If you did not expect this page to ask, it had no business to: leave it refused."
            ),
        ):
            dialog.body.addWidget(text_label(words, wrap=True))
        # Lives as long as the dialog, so that no page is remembered here.
        dialog.setProperty("page", page)
        dialog.accepted.connect(self._allow)
        dialog.open()

    def _fill(self) -> Iterator[object]:
        serving = self._serving
        self._refusals = RefusalsCard(serving)
        self._refusals.allow_requested.connect(self.ask_to_allow)
        self._refusals_title = self._add(self._refusals, self.tr("Refused"))
        serving.refusals_changed.connect(self._show_refusals)
        self._show_refusals(serving.refusals)
        yield self._refusals
        self._requests = RequestsCard(serving)
        self._add(self._requests, self.tr("Requests"))
        yield self._requests
        self._access = ServerAccessCard(serving, self._settings)
        self._access.new_key_requested.connect(self.ask_for_new_key)
        self._add(self._access, self.tr("Access"))
        yield self._access
        self._example = ServerExampleCard(serving)
        self._add(self._example, self.tr("Example"))
        yield self._example

    def _add(self, widget: QWidget, name: str = "") -> QLabel | None:
        column = self._column.column
        end = column.count() - 1
        if not name:
            column.insertWidget(end, widget)
            return None
        title = text_label(name, size=SIZE_HEADING, weight=Weight.DemiBold)
        title.setContentsMargins(0, SPACE_S, 0, 0)
        column.insertWidget(end, title)
        column.insertWidget(end + 1, widget)
        return title

    @Slot(tuple)
    def _show_refusals(self, refusals: tuple[Refused, ...]) -> None:
        if self._refusals_title is not None:
            self._refusals_title.setVisible(bool(refusals))
            self._refusals.setVisible(bool(refusals))

    @Slot()
    def _allow(self) -> None:
        dialog = self.sender()
        try:
            self._serving.allow(str(dialog.property("page")))
        except ServerAddressError:
            # Allowed meanwhile, in the field below.
            return
