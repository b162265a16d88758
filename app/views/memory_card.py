"""What the loaded model holds in each memory: bars at one scale, figures, and what was planned."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.theme import SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, SPACE_XL
from app.widgets.labels import ElidedLabel, Run, RunsLabel, Weight, text_label
from app.widgets.stacked_bar import LegendItem, Part, StackedBar
from app.widgets.tips import plain_tip
from models.hardware.readouts import GpuReadout, HardwareSnapshot
from models.runtime.protocol import DeviceMemory
from models.units import format_bytes, split_bytes

_OTHER = "text_quiet"
_NOISE_BYTES = 100_000_000


class MemoryCard(QFrame):
    """One row a device: name, bar, weights, KV, compute, total, and the total that was planned."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "card")
        self._devices: tuple[DeviceMemory, ...] = ()
        self._planned: Mapping[str, int] = {}
        self._totals: tuple[int, ...] = ()
        self._names: tuple[str, ...] = ()
        self._others: tuple[int, ...] = ()
        self._rows: list[_DeviceRow] = []
        self._narrow = False
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(SPACE_L)
        self._grid.setVerticalSpacing(SPACE_M)
        self._grid.setColumnStretch(1, 1)
        self._heads = [
            text_label(text, size=SIZE_SMALL, tone="quiet")
            for text in (
                self.tr("Weights"),
                self.tr("KV"),
                self.tr("Compute"),
                self.tr("Total"),
                self.tr("Planned"),
            )
        ]
        self._heads[-1].hide()
        for column, head in enumerate(self._heads, start=2):
            self._grid.addWidget(head, 0, column, Qt.AlignmentFlag.AlignRight)
        self._legend = QHBoxLayout()
        self._legend.setSpacing(0)
        for name, token, hatched in self._legend_entries():
            self._legend.addWidget(LegendItem(name, token, hatched=hatched))
        self._other_legend = LegendItem(self.tr("Other programs"), _OTHER, hatched=True)
        self._other_legend.hide()
        self._legend.addWidget(self._other_legend)
        self._legend.addStretch(1)
        title = text_label(self.tr("Memory by device"), weight=Weight.Medium)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_L)
        layout.setSpacing(SPACE_M)
        layout.addWidget(title)
        layout.addLayout(self._grid)
        layout.addSpacing(SPACE_S)
        layout.addLayout(self._legend)

    def set_devices(self, devices: tuple[DeviceMemory, ...]) -> None:
        """Show the split; bars are drawn when the sizes of the memories are known too."""
        if devices == self._devices:
            return
        self._devices = devices
        while len(self._rows) < len(devices):
            self._rows.append(_DeviceRow(self._grid, len(self._rows) + 1))
        while len(self._rows) > len(devices):
            self._rows.pop().remove()
        self.set_narrow(self._narrow)
        self._fill()

    def set_planned(self, planned: Mapping[str, int]) -> None:
        """Show the bytes that were planned, by device; empty where nothing was."""
        if planned != self._planned:
            self._planned = dict(planned)
            self._heads[-1].setVisible(bool(planned) and not self._narrow)
            self._fill()

    def set_hardware(self, snapshot: HardwareSnapshot) -> None:
        """Learn how large each memory is."""
        gpus = iter(snapshot.gpus)
        totals, names, others = [], [], []
        for device in self._devices:
            gpu = next(gpus, None) if device.kind in ("gpu", "igpu") else None
            total = (gpu.total_bytes or 0) if gpu else snapshot.ram.total_bytes
            totals.append(max(total, device.total_bytes))
            names.append(gpu.name if gpu else self.tr("RAM"))
            others.append(_other_bytes(gpu, device))
        new = (tuple(totals), tuple(names), tuple(others))
        if new != (self._totals, self._names, self._others):
            self._totals, self._names, self._others = new
            self._other_legend.setVisible(any(others))
            self._fill()

    def set_narrow(self, narrow: bool) -> None:
        """Leave the columns between the bar and the total out."""
        self._narrow = narrow
        for head in self._heads[:3]:
            head.setVisible(not narrow)
        self._heads[-1].setVisible(bool(self._planned) and not narrow)
        for row in self._rows:
            row.set_narrow(narrow)

    def _legend_entries(self) -> list[tuple[str, str, bool]]:
        return [
            (self.tr("Weights"), "dense", False),
            (self.tr("KV"), "kv", False),
            (self.tr("Compute"), "compute", False),
        ]

    def _fill(self) -> None:
        known = len(self._totals) == len(self._devices)
        totals = self._totals if known else tuple(d.total_bytes for d in self._devices)
        scale = max(totals, default=1)
        for number, (row, device) in enumerate(zip(self._rows, self._devices, strict=True)):
            name = self._names[number] if known else device.name
            others = self._others[number] if known else 0
            row.fill(device, name, totals[number], scale, self._parts(device, others))
            row.show_planned(self._planned.get(device.name))

    def _parts(self, device: DeviceMemory, other_bytes: int) -> list[Part]:
        compute_bytes = device.compute_bytes + device.output_bytes
        sizes = (device.weights_bytes, device.kv_bytes, compute_bytes)
        parts = [
            Part(name, token, size, format_bytes(size))
            for (name, token, _), size in zip(self._legend_entries(), sizes, strict=True)
        ]
        if other_bytes:
            words = format_bytes(other_bytes)
            parts.append(Part(self.tr("Other programs"), _OTHER, other_bytes, words, hatched=True))
        return parts


def _other_bytes(gpu: GpuReadout | None, device: DeviceMemory) -> int:
    """Return what others hold on a GPU; nobody can tell for RAM that mapped files share."""
    if gpu is None or gpu.used_bytes is None:
        return 0
    # Less than this is the driver's own share and the delay between two readings.
    rest = gpu.used_bytes - device.total_bytes
    return rest if rest > _NOISE_BYTES else 0


class _DeviceRow:
    """The widgets of one line of the grid."""

    def __init__(self, grid: QGridLayout, line: int) -> None:
        self._name = ElidedLabel()
        self._name.setMinimumWidth(64)
        self._name.setMaximumWidth(200)
        self._bar = StackedBar("")
        self._bar.setMinimumWidth(SPACE_XL * 3)
        self._figures = [RunsLabel(reserve="888 MB") for _ in range(4)]
        grid.addWidget(self._name, line, 0)
        grid.addWidget(self._bar, line, 1)
        for column, figure in enumerate(self._figures, start=2):
            figure.set_align(Qt.AlignmentFlag.AlignRight)
            grid.addWidget(figure, line, column, Qt.AlignmentFlag.AlignRight)
        self._planned = RunsLabel()
        self._planned.set_align(Qt.AlignmentFlag.AlignRight)
        self._planned.hide()
        self._narrow = False
        grid.addWidget(self._planned, line, 6, Qt.AlignmentFlag.AlignRight)

    def fill(
        self, device: DeviceMemory, name: str, total: int, scale: int, parts: list[Part]
    ) -> None:
        """Show one device."""
        self._name.set_full_text(name)
        self._name.setToolTip(plain_tip(f"{device.name}, {device.source}"))
        self._bar.setAccessibleName(name)
        self._bar.set_parts(parts, total, scale)
        sizes = [*(int(part.size) for part in parts[:3]), device.total_bytes]
        for figure, size in zip(self._figures, sizes, strict=True):
            value, unit = split_bytes(size)
            figure.set_runs([Run(value), Run(f" {unit}", "text_quiet")])
            figure.setToolTip(f"{size:,} B, {device.source}")

    def show_planned(self, size: int | None) -> None:
        """Show what was planned; a prediction wears a tilde."""
        self._planned.setVisible(size is not None and not self._narrow)
        if size is None:
            self._planned.set_runs([])
            return
        value, unit = split_bytes(size)
        self._planned.set_runs([Run(f"~{value}"), Run(f" {unit}", "text_quiet")])
        self._planned.setToolTip(f"{size:,} B")

    def set_narrow(self, narrow: bool) -> None:
        """Show the total alone."""
        self._narrow = narrow
        for figure in self._figures[:3]:
            figure.setVisible(not narrow)
        self._planned.setVisible(bool(self._planned.text()) and not narrow)

    def remove(self) -> None:
        """Take the line out of the grid."""
        for widget in (self._name, self._bar, *self._figures, self._planned):
            widget.deleteLater()
