"""How a program asks: an example that works as it stands, but for the key."""

from __future__ import annotations

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.actions.server import KeyState, ServerStatus, Serving
from app.theme import SPACE_L, SPACE_M, SPACE_S
from app.views.server_words import ANY_MODEL, CURL, KEY_PLACEHOLDER, PYTHON, example
from app.widgets.card_rows import CardRows
from app.widgets.labels import text_label
from app.widgets.lines_text import LinesText
from app.widgets.secret_line import CopyTextButton
from app.widgets.segmented import SegmentedControl


class ServerExampleCard(CardRows):
    """The example without the key in sight; it can be copied with it."""

    def __init__(self, serving: Serving, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._serving = serving
        self._kind = CURL
        self._url = self._model = ""
        self.kinds = SegmentedControl(
            self.tr("Language of the example"), [(CURL, "curl"), (PYTHON, "Python")]
        )
        self.kinds.set_value(CURL)
        self.kinds.chosen.connect(self._choose)
        self.text = LinesText("", self.tr("Example"))
        self.copy_button = CopyTextButton(self.tr("Copy"))
        self.copy_button.setAccessibleName(self.tr("Copy the example"))
        self.copy_with_key_button = CopyTextButton(self.tr("Copy with key"), is_secret=True)
        self.copy_with_key_button.setAccessibleName(self.tr("Copy the example with the key"))
        self._lay_out()
        serving.status_changed.connect(self._on_status)
        serving.key_changed.connect(self._on_key)
        self._on_status(serving.status)

    def _lay_out(self) -> None:
        note = self._note = text_label(tone="quiet", wrap=True)
        head = QHBoxLayout()
        head.setSpacing(SPACE_L)
        head.addWidget(note, 1)
        head.addWidget(self.kinds)
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACE_S)
        buttons.addWidget(self.copy_button)
        buttons.addWidget(self.copy_with_key_button)
        buttons.addStretch(1)
        holder = QWidget()
        layout = QVBoxLayout(holder)
        layout.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addLayout(head)
        layout.addWidget(self.text)
        layout.addLayout(buttons)
        self.add(holder)

    @Slot(str)
    def _choose(self, kind: str) -> None:
        self._kind = kind
        self._show()

    @Slot(ServerStatus)
    def _on_status(self, status: ServerStatus) -> None:
        url = status.url or f"http://127.0.0.1:{self._serving.port or 'PORT'}/v1"
        model = status.model.name if status.model else ANY_MODEL
        words = self.tr(
            "Programs that know “OpenAI compatible” servers ask for the address, the key and "
            "the name of the model: {0}"
        )
        self._note.setText(words.format(model))
        if (url, model) != (self._url, self._model):
            self._url, self._model = url, model
            self._show()

    @Slot(KeyState)
    def _on_key(self, _state: KeyState) -> None:
        self._show()

    def _show(self) -> None:
        text = example(self._kind, self._url, KEY_PLACEHOLDER, self._model)
        self.text.set_text(text)
        self.copy_button.set_copied(text)
        key = self._serving.key.key
        with_key = example(self._kind, self._url, key, self._model) if key else ""
        self.copy_with_key_button.set_copied(with_key)
