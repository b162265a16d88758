"""Who may ask: the key, the port, and the web pages that are allowed by name."""

from __future__ import annotations

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QWidget

from app.actions.server import KeyState, Serving
from app.bridges.settings import SettingsBridge
from app.theme import SIZE_SMALL
from app.widgets.buttons import TextButton
from app.widgets.card_rows import CardRow, CardRows
from app.widgets.labels import text_label
from app.widgets.secret_line import SecretLine
from app.widgets.setting_controls import NumberControl
from app.widgets.text_list import TextList
from models.errors import ServerAddressError


class ServerAccessCard(CardRows):
    """Rows for the key, the port and the pages; ``new_key_requested`` is asked about first."""

    new_key_requested = Signal()

    def __init__(
        self, serving: Serving, settings: SettingsBridge, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._serving = serving
        self.add(self._make_key())
        self.port = self._make_port(settings)
        self.pages = self._make_pages(settings)
        serving.key_changed.connect(self.show_key)
        settings.changed.connect(self._on_setting)
        self.show_key(serving.key)
        self._on_setting("server.port", serving.port)
        self._on_setting("server.allowed_origins", serving.allowed)

    @property
    def key_error(self) -> str:
        """Why there is no key; empty where there is one."""
        return self._key_error.text()

    @Slot(KeyState)
    def show_key(self, state: KeyState) -> None:
        """Show the key, masked, or why there is none."""
        self.key.set_secret(state.key)
        self._key_error.setText(state.error.one_line() if state.error else "")
        self._key_error.setVisible(state.error is not None)

    def _make_key(self) -> CardRow:
        self.new_key_button = TextButton(self.tr("Make a new key"))
        self.new_key_button.clicked.connect(self.new_key_requested)
        row = CardRow(
            self.tr("Key"),
            self.tr("Every program has to show it. Treat it like a password."),
            self.new_key_button,
        )
        self.key = SecretLine(self.tr("the server's key"))
        self._key_error = text_label(tone="fail", size=SIZE_SMALL, wrap=True)
        row.body.addWidget(self.key)
        row.body.addWidget(self._key_error)
        return row

    def _make_port(self, settings: SettingsBridge) -> NumberControl:
        spec = settings.settings.spec("server.port")
        control = NumberControl(
            spec.title,
            is_whole=True,
            minimum=spec.minimum,
            maximum=spec.maximum,
            special=self.tr("Any"),
        )
        control.box.setGroupSeparatorShown(False)
        control.edited.connect(self._set_port)
        self.add(CardRow(spec.title, spec.help, control))
        return control

    def _make_pages(self, settings: SettingsBridge) -> TextList:
        spec = settings.settings.spec("server.allowed_origins")
        pages = TextList(
            spec.title,
            empty=self.tr("None: no web page may use the server."),
            placeholder="http://localhost:3000",
        )
        pages.added.connect(self._allow)
        pages.removed.connect(self._serving.disallow)
        row = CardRow(spec.title, spec.help)
        row.body.addWidget(pages)
        self.add(row)
        return pages

    @Slot(object)
    def _set_port(self, port: object) -> None:
        assert isinstance(port, int)
        self._serving.set_port(port)

    @Slot(str)
    def _allow(self, text: str) -> None:
        try:
            self._serving.allow(text)
        except ServerAddressError as error:
            self.pages.show_error(error.one_line())
        else:
            self.pages.accept()

    @Slot(str, object)
    def _on_setting(self, key: str, value: object) -> None:
        if key == "server.port":
            self.port.set_value(value)
        elif key == "server.allowed_origins":
            self.pages.show_texts(self._serving.allowed)
