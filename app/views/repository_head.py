"""The top of a repository's page: what it is, who made it, what one should know."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.actions.discover_data import PageStatus
from app.theme import SIZE_SMALL, SIZE_TITLE, SPACE_S, SPACE_XS, ui_font
from app.views.repository_words import (
    family_words,
    page_facts,
    store_words,
    title_words,
    unchecked_words,
    warning_words,
)
from app.widgets.buttons import IconButton
from app.widgets.labels import ElidedLabel, Weight
from app.widgets.paragraph import Paragraph


class RepositoryHead(QWidget):
    """Title, repository with a link to the hub, facts, purpose and caveats."""

    link_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._address = ""
        self._title = ElidedLabel()
        self._title.setFont(ui_font(SIZE_TITLE, Weight.DemiBold))
        self._repository = ElidedLabel()
        self._repository.setProperty("tone", "quiet")
        self.link = IconButton("external-link", self.tr("Open on the hub's website"), size=16)
        self.link.clicked.connect(self._link)
        self._facts = ElidedLabel(mode=Qt.TextElideMode.ElideRight)
        self._facts.setFont(ui_font(SIZE_SMALL))
        self._facts.setProperty("tone", "quiet")
        self._purpose = Paragraph()
        self._family = ElidedLabel(mode=Qt.TextElideMode.ElideRight)
        self._family.setFont(ui_font(SIZE_SMALL))
        self._family.setProperty("tone", "quiet")
        self._caveats = Paragraph(size=SIZE_SMALL, tone="tight")
        self._unchecked = Paragraph(size=SIZE_SMALL, tone="quiet")
        # What the hub itself warns of, and that it could not be asked.
        self._warning = Paragraph(tone="fail")
        self._store = Paragraph(tone="tight")
        name = QHBoxLayout()
        name.setSpacing(SPACE_XS)
        name.addWidget(self._repository)
        name.addWidget(self.link)
        name.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_XS)
        layout.addWidget(self._title)
        layout.addLayout(name)
        layout.addWidget(self._facts)
        layout.addSpacing(SPACE_S)
        layout.addWidget(self._purpose)
        layout.addWidget(self._family)
        layout.addWidget(self._caveats)
        layout.addWidget(self._unchecked)
        layout.addWidget(self._warning)
        layout.addWidget(self._store)

    def show_status(self, status: PageStatus) -> None:
        """Show what is known of a repository."""
        self._title.set_full_text(title_words(status))
        self._repository.set_full_text(status.repository)
        page = status.page
        self._address = f"{page.endpoint}/{page.repository}" if page else ""
        self.link.setVisible(bool(self._address))
        facts = page_facts(status)
        self._facts.set_full_text(facts)
        purpose, family, caveats = family_words(status)
        self._purpose.setText(purpose)
        self._family.set_full_text(family)
        self._caveats.setText("\n".join(caveats))
        unchecked = unchecked_words(status.family) if status.family is not None else ""
        self._unchecked.setText(unchecked)
        warning = warning_words(page) if page is not None else ""
        self._warning.setText(warning)
        store = store_words(page) if page is not None else ""
        self._store.setText(store)
        for widget, words in (
            (self._unchecked, unchecked),
            (self._warning, warning),
            (self._store, store),
            (self._facts, facts),
            (self._purpose, purpose),
            (self._family, family),
            (self._caveats, caveats),
        ):
            widget.setVisible(bool(words))

    @Slot()
    def _link(self) -> None:
        self.link_requested.emit(self._address)
