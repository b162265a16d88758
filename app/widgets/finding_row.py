"""One finding: a sign, a few words, a sentence, and lines that can be folded out."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XS
from app.widgets.diff_text import DiffText
from app.widgets.fold import Fold
from app.widgets.icon_label import IconLabel
from app.widgets.labels import Weight, text_label

_SIGN_PX = 18


class FindingRow(QWidget):
    """Shows one finding.

    Args:
        sign: name of an icon, and the theme's colour for it.
        spoken_sign: what the sign means, for those who cannot see it.
        title: a few words.
        text: a sentence or two.
        details: lines to fold out; ``details_title`` is written beside the chevron.
    """

    def __init__(
        self,
        sign: tuple[str, str],
        spoken_sign: str,
        title: str,
        text: str,
        *,
        details: str = "",
        details_title: str = "",
        is_open: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        picture = IconLabel(*sign, size=_SIGN_PX)
        self.fold: Fold | None = None
        self.setAccessibleName(f"{spoken_sign}: {title}. {text}")
        words = QVBoxLayout()
        words.setSpacing(SPACE_XS)
        words.addWidget(text_label(title, weight=Weight.Medium, wrap=True))
        words.addWidget(text_label(text, tone="quiet", wrap=True))
        if details:
            self.fold = Fold(details_title)
            self.fold.body.addWidget(DiffText(details, details_title))
            self.fold.button.setChecked(is_open)
            words.addWidget(self.fold)
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        row.setSpacing(SPACE_M)
        row.addWidget(picture, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(words, 1)
        row.setSpacing(SPACE_S + SPACE_XS)
