"""About Fathom: its version, what it is made of, and every licence in full."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from app.tasks import TaskRunner, expected
from app.theme import SIZE_HEADING, SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, SPACE_XL, mono_font
from app.widgets.buttons import TextButton
from app.widgets.labels import Weight, text_label
from app.widgets.tips import plain_tip
from models.version import VERSION

if TYPE_CHECKING:
    from models.parts.parts import Part

_LIST_WIDTH = 280
_ROW_HEIGHT = 28


class AboutDialog(QDialog):
    """Parts on the left, the licence of the chosen one on the right; opened with ``open()``."""

    def __init__(self, runner: TaskRunner, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        title = self.tr("About Fathom")
        self.setWindowTitle(title)
        self.setAccessibleName(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._runner = runner
        self._parts: tuple[Part, ...] = ()
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Parts of Fathom"))
        self.list.setProperty("kind", "field")
        self.list.setFixedWidth(_LIST_WIDTH)
        self.list.currentRowChanged.connect(self._choose)
        self.text = QPlainTextEdit()
        self.text.setAccessibleName(self.tr("Licence"))
        self.text.setProperty("kind", "field")
        self.text.setReadOnly(True)
        self.text.setTabChangesFocus(True)
        self.text.setFont(mono_font(SIZE_SMALL))
        self.close_button = TextButton(self.tr("Close"))
        self.close_button.setDefault(True)
        self.close_button.clicked.connect(self.accept)
        self._lay_out()
        # Reading the metadata of forty packages takes longer than a frame.
        runner.run(_read_parts, done=self._show_parts, error=self._show_error)

    def sizeHint(self) -> QSize:
        """Return room for lines of a licence."""
        return QSize(960, 600)

    def _lay_out(self) -> None:
        heading = text_label(
            self.tr("Fathom {0}").format(VERSION), size=SIZE_HEADING, weight=Weight.DemiBold
        )
        words = text_label(
            self.tr(
                "Runs DeepSeek models on your own machine. Free software, MIT licence. It sends "
                "nothing about you to anybody. It is made of these parts:"
            ),
            tone="quiet",
            wrap=True,
        )
        row = QHBoxLayout()
        row.setSpacing(SPACE_M)
        row.addWidget(self.list)
        row.addWidget(self.text, 1)
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACE_S)
        buttons.addStretch(1)
        buttons.addWidget(self.close_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_XL, SPACE_XL, SPACE_XL, SPACE_L)
        layout.setSpacing(SPACE_M)
        layout.addWidget(heading)
        layout.addWidget(words)
        layout.addLayout(row, 1)
        layout.addLayout(buttons)

    def _show_parts(self, parts: tuple[Part, ...]) -> None:
        self._parts = parts
        for part in parts:
            item = QListWidgetItem(" ".join(filter(None, (part.name, part.version))))
            item.setToolTip(plain_tip(part.licence))
            item.setSizeHint(QSize(0, _ROW_HEIGHT))
            self.list.addItem(item)
        self.list.setCurrentRow(0)

    def _show_error(self, error: Exception) -> None:
        error = expected(error)
        self.text.setPlainText(error.one_line())

    @Slot(int)
    def _choose(self, row: int) -> None:
        if not 0 <= row < len(self._parts):
            return
        part = self._parts[row]
        self.text.clear()
        self._runner.run(
            partial(_read_texts, part), done=partial(self._show_text, row), error=self._show_error
        )

    def _show_text(self, row: int, text: str) -> None:
        # Somebody who goes down the list is faster than a disk.
        if self.list.currentRow() == row:
            self.text.setPlainText(text)


def _read_parts() -> tuple[Part, ...]:
    from models.parts.parts import parts_of_program

    return parts_of_program()


def _read_texts(part: Part) -> str:
    from models.parts.parts import read_text

    head = [" ".join(filter(None, (part.name, part.version))), part.licence, part.note]
    texts = [read_text(part, name) for name in part.texts]
    return "\n\n\n".join(["\n".join(filter(None, head)), *texts])
