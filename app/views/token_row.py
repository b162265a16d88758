"""The row of the settings that takes a token and never shows it again."""

from __future__ import annotations

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.actions.hub_token import HubToken, TokenState
from app.theme import SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, SPACE_XS
from app.widgets.buttons import TextButton
from app.widgets.labels import Weight, set_tone, text_label
from models.hub.tokens import ENVIRONMENT, ENVIRONMENT_NAME, KEYRING, SESSION

TOKEN_PAGE = "https://huggingface.co/settings/tokens"


class TokenRow(QFrame):
    """Says whether there is a token and where it is kept; takes one, forgets it."""

    def __init__(self, token: HubToken, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._token = token
        self.field = QLineEdit()
        self.field.setEchoMode(QLineEdit.EchoMode.Password)
        self.field.setPlaceholderText("hf_\N{HORIZONTAL ELLIPSIS}")
        self.field.setAccessibleName(self.tr("Token of Hugging Face"))
        self.field.setInputMethodHints(
            Qt.InputMethodHint.ImhSensitiveData | Qt.InputMethodHint.ImhNoPredictiveText
        )
        self.field.textChanged.connect(self._enable)
        self.field.returnPressed.connect(self._give)
        self.keep_button = TextButton(self.tr("Keep"))
        self.keep_button.setAccessibleName(self.tr("Keep the token"))
        self.keep_button.clicked.connect(self._give)
        self.forget_button = TextButton(self.tr("Forget"), kind="danger")
        self.forget_button.setAccessibleName(self.tr("Forget the token"))
        self.forget_button.clicked.connect(token.forget)
        self._state = text_label(size=SIZE_SMALL, weight=Weight.Medium, wrap=True)
        self._error = text_label(size=SIZE_SMALL, tone="fail", wrap=True)
        self._lay_out()
        token.state_changed.connect(self.show_state)
        self.show_state(token.state)
        token.refresh()

    @Slot(TokenState)
    def show_state(self, state: TokenState) -> None:
        """Show whether there is a token, and what went wrong."""
        words, tone = self._words(state)
        self._state.setText(words)
        set_tone(self._state, tone)
        self._error.setText(state.error)
        self._error.setVisible(bool(state.error))
        self.forget_button.setVisible(state.where in (KEYRING, SESSION))
        self.forget_button.setEnabled(not state.is_busy)
        self._enable()

    def _words(self, state: TokenState) -> tuple[str, str]:
        if state.is_busy:
            return self.tr("Asking; the system may want your password"), "quiet"
        whose = self.tr("It belongs to {0}.").format(state.user) if state.user else ""
        if state.where == KEYRING:
            words = self.tr("There is one, kept in the system's store of passwords.")
            return f"{words} {whose}".strip(), "quiet" if state.error else "good"
        if state.where == SESSION:
            words = self.tr("There is one, for this run only: it is gone when Fathom ends.")
            return " ".join(part for part in (words, state.problem, whose) if part), "tight"
        if state.where == ENVIRONMENT:
            words = self.tr("The one in {0} is used.").format(ENVIRONMENT_NAME)
            return f"{words} {whose}".strip(), "good"
        return " ".join(part for part in (self.tr("None."), state.problem) if part), "quiet"

    @Slot()
    def _enable(self) -> None:
        has_text = bool(self.field.text().strip())
        self.keep_button.setEnabled(has_text and not self._token.state.is_busy)

    @Slot()
    def _give(self) -> None:
        if self.keep_button.isEnabled():
            text = self.field.text()
            # What was typed is in nobody's sight from here on.
            self.field.clear()
            self._token.give(text)

    def _lay_out(self) -> None:
        help_label = text_label(
            self.tr(
                "For repositories that want to know who asks. One that may read is enough; "
                "it is made at {0} and sent to nobody else."
            ).format(TOKEN_PAGE),
            tone="quiet",
            wrap=True,
        )
        help_label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        line = QHBoxLayout()
        line.setSpacing(SPACE_S)
        line.addWidget(self.field, 1)
        line.addWidget(self.keep_button)
        line.addWidget(self.forget_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        layout.setSpacing(SPACE_XS)
        layout.addWidget(text_label(self.tr("Hugging Face token"), weight=Weight.Medium))
        layout.addWidget(help_label)
        layout.addSpacing(SPACE_XS)
        layout.addLayout(line)
        layout.addWidget(self._state)
        layout.addWidget(self._error)
