"""The dialog about a bug of Fathom's own: what happened, and a report that can be copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from app.theme import SIZE_HEADING, SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, SPACE_XL, mono_font
from app.widgets.buttons import TextButton
from app.widgets.labels import Weight, text_label

if TYPE_CHECKING:
    from app.crash import CrashReport


class CrashDialog(QDialog):
    """Says that something failed, that the chats are safe, and offers the report."""

    def __init__(self, report: CrashReport, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reports = [report]
        self.setWindowTitle(self.tr("Fathom: unexpected error"))
        self.setAttribute(Qt.WidgetAttribute.WA_QuitOnClose, False)
        self._summary = text_label(report.summary, tone="quiet", wrap=True)
        self._text = QPlainTextEdit(report.text)
        self._text.setReadOnly(True)
        self._text.setFont(mono_font(SIZE_SMALL))
        self._text.setProperty("kind", "field")
        self._text.setAccessibleName(self.tr("Report"))
        self._text.setTabChangesFocus(True)
        self._text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.copy_button = TextButton(self.tr("Copy report"), kind="primary", icon_name="copy")
        self.copy_button.clicked.connect(self._copy)
        close_button = TextButton(self.tr("Close"))
        close_button.clicked.connect(self.accept)
        self._lay_out(close_button)

    def add(self, report: CrashReport) -> None:
        """Add a report that came while this dialog was open."""
        self._reports.append(report)
        count = len(self._reports)
        self._summary.setText(self.tr("{0} errors, the last: {1}").format(count, report.summary))
        self._text.setPlainText("\n".join(one.text for one in self._reports[-10:]))

    def sizeHint(self) -> QSize:
        """Return room for a traceback."""
        return QSize(620, 420)

    def _lay_out(self, close_button: TextButton) -> None:
        title = text_label(
            self.tr("Something in Fathom failed"), size=SIZE_HEADING, weight=Weight.DemiBold
        )
        advice = text_label(
            self.tr(
                "Your conversations are saved. The window may go on working; if it does not, "
                "start Fathom again. The report says nothing about what you wrote."
            ),
            wrap=True,
        )
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACE_S)
        buttons.addStretch(1)
        buttons.addWidget(close_button)
        buttons.addWidget(self.copy_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_XL, SPACE_XL, SPACE_XL, SPACE_L)
        layout.setSpacing(SPACE_M)
        for widget in (title, advice, self._summary):
            layout.addWidget(widget)
        layout.addWidget(self._text, 1)
        layout.addLayout(buttons)

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._text.toPlainText())
        self.copy_button.setText(self.tr("Copied"))
