"""A card with a name, the figure of now, and its graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.theme import SIZE_BASE, SIZE_SMALL, SIZE_TITLE, SPACE_L, SPACE_M, SPACE_S
from app.widgets.labels import Run, RunsLabel, Weight, text_label
from app.widgets.stacked_bar import Swatch
from app.widgets.time_graph import TimeGraph


class GraphCard(QFrame):
    """One quantity of Monitor; hovering says where the number comes from."""

    def __init__(
        self,
        name: str,
        *,
        token: str,
        window_s: float,
        label: Callable[[float], str],
        ceiling: float = 0.0,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setProperty("kind", "card")
        self._value = RunsLabel(size=SIZE_TITLE, weight=Weight.DemiBold, quiet_size=SIZE_BASE)
        self._value.setAccessibleName(name)
        self._title = text_label(name, weight=Weight.Medium)
        self._note = text_label(size=SIZE_SMALL, tone="quiet")
        self.graph = TimeGraph(name, window_s=window_s, label=label, ceiling=ceiling)
        self.graph.set_series([(name, token)])
        head = QHBoxLayout()
        head.setSpacing(SPACE_S)
        head.addWidget(Swatch(token))
        head.addWidget(self._title)
        head.addStretch(1)
        head.addWidget(self._note)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_M, SPACE_S, SPACE_S)
        layout.setSpacing(SPACE_S)
        layout.addLayout(head)
        layout.addWidget(self._value)
        layout.addWidget(self.graph, 1)
        self.show_nothing()

    def show_nothing(self) -> None:
        """Show that there is no figure yet."""
        self._value.set_runs([Run("\N{EN DASH}", "text_quiet")])

    def set_number(self, value: str, unit: str, *, of: str = "") -> None:
        """Show the figure of now, and out of how much."""
        runs = [Run(value)]
        runs.append(Run(f" / {of} {unit}" if of else f" {unit}", "text_quiet"))
        self._value.set_runs(runs)
        self._value.setAccessibleDescription("".join(run.text for run in runs))

    def set_name(self, name: str) -> None:
        """Change what the card is about."""
        self._title.setText(name)
        self._value.setAccessibleName(name)
        self.graph.setAccessibleName(name)

    def set_note(self, text: str) -> None:
        """Show a few quiet words in the corner."""
        if text != self._note.text():
            self._note.setText(text)

    def set_source(self, text: str) -> None:
        """Say where the figure comes from."""
        if text != self.toolTip():
            self.setToolTip(text)

    def append(self, at_s: float, values: Sequence[float | None]) -> None:
        """Add the newest values to the graph."""
        self.graph.append(at_s, values)
