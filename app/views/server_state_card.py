"""The first card of the server's page: on or off, where it is found, and what answers."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.actions.server import KeyState, ServerStatus, Serving
from app.bridges.settings import SettingsBridge
from app.theme import SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, mono_font
from app.views.words import tokens_words
from app.widgets.buttons import Switch, TextButton
from app.widgets.card_rows import CardRow, CardRows
from app.widgets.chat_buttons import CopyButton
from app.widgets.labels import ElidedLabel, Weight, set_tone, text_label
from app.widgets.secret_line import CopyTextButton
from models.api.protocol import other_port
from models.api.server import ServerPhase
from models.errors import ServerKeyError, ServerPortError


class ServerStateCard(CardRows):
    """Follows the status; ``models_requested`` where nothing is loaded."""

    models_requested = Signal()
    new_key_requested = Signal()

    def __init__(
        self, serving: Serving, settings: SettingsBridge, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._serving = serving
        self._settings = settings
        self.switch = Switch(self.tr("Server for other programs"))
        self.switch.toggled.connect(serving.switch)
        self.add(
            CardRow(
                self.tr("Let other programs ask"),
                self.tr(
                    "Editors, chat programs and scripts on this machine may then ask the loaded "
                    "model: those that know “OpenAI compatible” servers. Nobody else can reach it, "
                    "and nothing leaves this machine."
                ),
                self.switch,
            )
        )
        self.add(self._make_state())
        self.model_button = TextButton(self.tr("Choose a model"), icon_name="boxes")
        self.model_button.clicked.connect(self.models_requested)
        self.load_button = TextButton(self.tr("Load again"), icon_name="refresh-cw")
        self.load_button.clicked.connect(serving.load_model_again)
        self._model = CardRow(self.tr("What answers"), " ", self.model_button)
        self._model.body.addWidget(self.load_button, 0, Qt.AlignmentFlag.AlignLeft)
        self.add(self._model)
        spec = settings.settings.spec("server.starts_with_window")
        self.start_switch = Switch(spec.title)
        self.start_switch.toggled.connect(self._set_start)
        self.add(CardRow(spec.title, spec.help, self.start_switch))
        serving.status_changed.connect(self.show_status)
        serving.key_changed.connect(self._show_key)
        self._show_key(serving.key)
        settings.changed.connect(self._on_setting)
        self._show_start(settings.settings.get_bool("server.starts_with_window"))
        self.show_status(serving.status)

    @property
    def words(self) -> str:
        """What is said about how the server stands."""
        shown = (self._state, self._sentence, self._hint, self._note)
        return " ".join(label.text() for label in shown if label.isVisibleTo(self))

    @property
    def url(self) -> str:
        """Where programs find the server, as shown; empty while they do not."""
        return self._url.full_text if self._url.isVisibleTo(self) else ""

    @Slot(ServerStatus)
    def show_status(self, status: ServerStatus) -> None:
        """Show how the server stands."""
        _set_checked(self.switch, status.is_on)
        words, tone = self._words(status)
        self._state.setText(words)
        set_tone(self._state, tone)
        self._url.set_full_text(status.url)
        is_open = status.phase is ServerPhase.LISTENING
        for widget in (self._url, self.copy_button, self.copy_key_button):
            widget.setVisible(is_open)
        error = status.error
        self._sentence.setText(self._says(status))
        self._sentence.setVisible(bool(self._sentence.text()))
        set_tone(self._sentence, "" if error else "quiet")
        self._hint.setText(error.hint if error else "")
        self._hint.setVisible(bool(self._hint.text()))
        self.again_button.setVisible(error is not None)
        self.port_button.setVisible(isinstance(error, ServerPortError))
        if self.port_button.isVisibleTo(self):
            port = other_port(self._serving.port)
            self.port_button.setText(self.tr("Use port {0}").format(port))
        self.new_key_button.setVisible(isinstance(error, ServerKeyError))
        self._note.setText(self._note_words(status))
        self._note.setVisible(bool(self._note.text()))
        self.apply_button.setVisible(status.needs_restart)
        self._show_model(status)

    @Slot(KeyState)
    def _show_key(self, state: KeyState) -> None:
        self.copy_key_button.set_copied(state.key)

    def _words(self, status: ServerStatus) -> tuple[str, str]:
        return {
            ServerPhase.STARTING: (self.tr("Starting"), "quiet"),
            ServerPhase.LISTENING: (self.tr("On"), "good"),
            ServerPhase.FAILED: (self.tr("Failed"), "fail"),
        }.get(status.phase, (self.tr("Off"), "quiet"))

    def _says(self, status: ServerStatus) -> str:
        if status.error is not None:
            return status.error.message
        if status.phase is ServerPhase.STOPPED:
            return self.tr("No program and no web page can reach Fathom.")
        return ""

    def _note_words(self, status: ServerStatus) -> str:
        words = []
        if status.answering > status.waiting:
            words.append(self.tr("1 request is being answered."))
            if status.waiting:
                words.append(self.tr("Waiting: {0}.").format(status.waiting))
        elif status.waiting:
            count = self.tr("Waiting until the chat has its answer: {0}.")
            words.append(count.format(status.waiting))
        elif status.phase is ServerPhase.LISTENING:
            # Not empty: the page would jump with every request.
            words.append(self.tr("Nobody is asking now."))
        if status.needs_restart:
            words.append(self.tr("The change takes effect when they are done."))
        return " ".join(words)

    def _show_model(self, status: ServerStatus) -> None:
        model, error = status.model, status.model_error
        self.model_button.setVisible(model is None and not status.is_loading)
        self.load_button.setVisible(error is not None and not status.is_loading)
        set_tone(self._model.help, "fail" if error and not status.is_loading else "quiet")
        if status.is_loading:
            self._model.set_help(self.tr("A model is being loaded; programs are told to wait."))
        elif error is not None:
            self._model.set_help(error.one_line())
        elif model is None:
            self._model.set_help(self.tr("Nothing is loaded; programs that ask are told so."))
        else:
            words = self.tr("{0}, context {1}")
            self._model.set_help(words.format(model.name, tokens_words(model.context_tokens)))

    def _make_state(self) -> QWidget:
        row = QFrame()
        self._state = text_label(weight=Weight.Medium)
        self._sentence = text_label(wrap=True)
        self._url = ElidedLabel(mode=Qt.TextElideMode.ElideRight)
        self._url.setFont(mono_font(13))
        self._url.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy_button = CopyButton()
        self.copy_button.set_label(self.tr("Copy the address"))
        self.copy_button.clicked.connect(self._copy)
        # Beside the address: a program wants both.
        self.copy_key_button = CopyTextButton(self.tr("Copy key"), is_secret=True)
        self._hint = text_label(tone="quiet", wrap=True)
        self._note = text_label(tone="quiet", size=SIZE_SMALL, wrap=True)
        self.again_button = TextButton(self.tr("Start again"), icon_name="refresh-cw")
        self.again_button.clicked.connect(self._serving.start_again)
        self.port_button = TextButton("")
        self.port_button.clicked.connect(self._serving.try_other_port)
        self.new_key_button = TextButton(self.tr("Make a new key"))
        self.new_key_button.clicked.connect(self.new_key_requested)
        self.apply_button = TextButton(self.tr("Apply now"))
        self.apply_button.clicked.connect(self._serving.start_again)
        line = QHBoxLayout()
        line.setSpacing(SPACE_S)
        line.addWidget(self._state)
        line.addWidget(self._url)
        line.addWidget(self.copy_button)
        line.addStretch(1)
        line.addWidget(self.copy_key_button)
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACE_S)
        for button in (
            self.port_button, self.again_button, self.new_key_button, self.apply_button
        ):  # fmt: skip
            buttons.addWidget(button)
            button.hide()
        buttons.addStretch(1)
        layout = QVBoxLayout(row)
        layout.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addLayout(line)
        layout.addWidget(self._sentence)
        layout.addWidget(self._hint)
        layout.addWidget(self._note)
        layout.addLayout(buttons)
        return row

    @Slot()
    def _copy(self) -> None:
        self.copy_button.copy(self._url.full_text)

    @Slot(bool)
    def _set_start(self, on: bool) -> None:
        self._settings.set("server.starts_with_window", on)

    @Slot(str, object)
    def _on_setting(self, key: str, value: object) -> None:
        if key == "server.starts_with_window":
            self._show_start(bool(value))

    def _show_start(self, on: bool) -> None:
        _set_checked(self.start_switch, on)


def _set_checked(switch: Switch, on: bool) -> None:
    blocked = switch.blockSignals(True)
    switch.setChecked(on)
    switch.blockSignals(blocked)
