"""Monitor: four graphs over one time axis, and what the model holds in each memory."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from app.actions.load_model import ModelStatus
from app.theme import SPACE_L
from app.views.memory_card import MemoryCard
from app.widgets.empty_state import EmptyState
from app.widgets.graph_card import GraphCard
from app.widgets.labels import ElidedLabel
from app.widgets.page import Page, ScrollColumn, card
from models.hardware.readouts import GpuReadout, HardwareSnapshot
from models.runtime.protocol import Stats, Usage
from models.units import format_bytes, split_bytes, split_rate

WINDOW_S = 180.0
_WIDTH = 1120
_ONE_COLUMN_BELOW = 560
_NARROW_BELOW = 620
LabelOf = Callable[[float], str]
_GPU_TOKENS = ("attention", "routed_experts", "shared_experts", "kv")


class MonitorPage(Page):
    """Shows what telemetry and the engine say; figures never older than a second or two."""

    models_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("", width=_WIDTH, parent=parent)
        self.set_title(self.tr("Monitor"))
        self._model = ElidedLabel()
        self._model.setProperty("tone", "quiet")
        self.header.addStretch(1)
        self.header.addWidget(self._model)
        self._columns = 0
        self._rate: float | None = None
        self._gpu_names: tuple[str, ...] = ()
        self.decode = self._card(self.tr("Decode"), "accent", _rate_label)
        self.decode.set_source(self.tr("Tokens of the last second, counted by the engine"))
        self.ram = self._card(self.tr("RAM"), "shared_experts", _bytes_label)
        self.cpu = self._card(self.tr("CPU"), "routed_experts", _percent_label, ceiling=100.0)
        self.fourth = self._card(self.tr("Engine memory"), "attention", _bytes_label)
        self._grid = QGridLayout()
        self._grid.setSpacing(SPACE_L)
        self._memory = MemoryCard()
        self._nothing_loaded = card()
        self._fill_nothing_loaded()
        self._column = ScrollColumn(_WIDTH)
        self._column.column.addLayout(self._grid, 1)
        self._column.column.addWidget(self._memory)
        self._column.column.addWidget(self._nothing_loaded)
        self.body.addWidget(self._column)
        self._arrange(2)
        self.set_status(ModelStatus())

    @Slot(ModelStatus)
    def set_status(self, status: ModelStatus) -> None:
        """Show which model is loaded and what it holds."""
        loaded = status.loaded
        self._model.set_full_text(_name(status))
        self._memory.setVisible(loaded is not None)
        self._nothing_loaded.setVisible(loaded is None)
        if loaded is not None:
            self._memory.set_devices(loaded.devices)
            plan = status.planned.plan if status.planned else None
            devices = plan.memory.devices if plan else ()
            self._memory.set_planned({device.name: device.used_bytes for device in devices})
        else:
            self._rate = None
            self.decode.show_nothing()

    @Slot(Stats)
    def set_stats(self, stats: Stats) -> None:
        """Show the figures of the answer that is being made."""
        if stats.phase == "decode":
            self._show_rate(stats.decode_tok_s)
        else:
            self._rate = None
        if stats.devices:
            self._memory.set_devices(stats.devices)

    @Slot(Usage)
    def set_usage(self, usage: Usage) -> None:
        """Show the mean of the finished answer; the graph has a gap from here."""
        if usage.decode_tok_s:
            self.decode.set_number(*split_rate(usage.decode_tok_s))
        else:
            self.decode.show_nothing()
        self._rate = None

    @Slot(HardwareSnapshot)
    def set_hardware(self, snapshot: HardwareSnapshot) -> None:
        """Add a point to every graph."""
        at_s = snapshot.taken_at
        self.decode.append(at_s, [self._rate])
        self._show_ram(snapshot, at_s)
        self._show_cpu(snapshot, at_s)
        self._show_fourth(snapshot, at_s)
        self._memory.set_hardware(snapshot)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the graphs below each other where there is no room beside."""
        super().resizeEvent(event)
        self._arrange(1 if self.width() < _ONE_COLUMN_BELOW else 2)
        self._memory.set_narrow(self.width() < _NARROW_BELOW)

    def _card(self, name: str, token: str, label: LabelOf, *, ceiling: float = 0.0) -> GraphCard:
        return GraphCard(name, token=token, window_s=WINDOW_S, label=label, ceiling=ceiling)

    def _arrange(self, columns: int) -> None:
        if columns == self._columns:
            return
        self._columns = columns
        for number, widget in enumerate((self.decode, self.fourth, self.ram, self.cpu)):
            self._grid.addWidget(widget, number // columns, number % columns)

    def _fill_nothing_loaded(self) -> None:
        empty = EmptyState(
            "gauge",
            self.tr("No model is loaded"),
            self.tr("Load one to see its speed, and what it holds in each memory."),
            self.tr("Open Models"),
        )
        empty.triggered.connect(self.models_requested)
        layout = QVBoxLayout(self._nothing_loaded)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(empty)

    def _show_rate(self, rate_tok_s: float) -> None:
        self._rate = rate_tok_s
        self.decode.set_number(*split_rate(rate_tok_s))

    def _show_ram(self, snapshot: HardwareSnapshot, at_s: float) -> None:
        ram = snapshot.ram
        self.ram.graph.set_ceiling(float(ram.total_bytes))
        self.ram.append(at_s, [float(ram.used_bytes)])
        total, unit = split_bytes(ram.total_bytes)
        self.ram.set_number(_scaled(ram.used_bytes, ram.total_bytes, total), unit, of=total)
        self.ram.set_source(ram.source)

    def _show_cpu(self, snapshot: HardwareSnapshot, at_s: float) -> None:
        cpu = snapshot.cpu
        self.cpu.append(at_s, [cpu.load_percent])
        if cpu.load_percent is not None:
            self.cpu.set_number(f"{cpu.load_percent:.0f}", "%")
        self.cpu.set_note(self.tr("{0} cores").format(cpu.physical_cores))
        self.cpu.set_source(f"{cpu.name}\n{cpu.source}")

    def _show_fourth(self, snapshot: HardwareSnapshot, at_s: float) -> None:
        gpus = [gpu for gpu in snapshot.gpus if gpu.total_bytes and gpu.used_bytes is not None]
        if gpus:
            self._show_vram(gpus[: len(_GPU_TOKENS)], at_s)
            return
        if self._gpu_names:
            self._gpu_names = ()
            self.fourth.set_name(self.tr("Engine memory"))
            self.fourth.graph.set_series([(self.tr("Engine memory"), "attention")])
            self.fourth.graph.set_ceiling(0.0)
        engine = snapshot.engine
        self.fourth.append(at_s, [float(engine.rss_bytes) if engine else None])
        if engine is None:
            self.fourth.show_nothing()
        else:
            self.fourth.set_number(*split_bytes(engine.rss_bytes))
            self.fourth.set_source(engine.source)
        self.fourth.set_note(self.tr("No GPU"))

    def _show_vram(self, gpus: list[GpuReadout], at_s: float) -> None:
        names = tuple(gpu.name for gpu in gpus)
        if names != self._gpu_names:
            self._gpu_names = names
            self.fourth.set_name(self.tr("VRAM"))
            self.fourth.graph.set_series(list(zip(names, _GPU_TOKENS, strict=False)))
            self.fourth.graph.set_ceiling(float(max(gpu.total_bytes or 0 for gpu in gpus)))
        self.fourth.append(at_s, [float(gpu.used_bytes or 0) for gpu in gpus])
        used = sum(gpu.used_bytes or 0 for gpu in gpus)
        whole = sum(gpu.total_bytes or 0 for gpu in gpus)
        total, unit = split_bytes(whole)
        self.fourth.set_number(_scaled(used, whole, total), unit, of=total)
        self.fourth.set_note(
            names[0] if len(names) == 1 else self.tr("{0} GPUs").format(len(names))
        )
        self.fourth.set_source("\n".join(f"{gpu.name}: {gpu.source}" for gpu in gpus))


def _name(status: ModelStatus) -> str:
    """Return what the library calls the loaded model, else what its file says."""
    if status.loaded is None:
        return ""
    return status.entry.title if status.entry else status.loaded.model.name


def _scaled(part: int, whole: int, shown_whole: str) -> str:
    """Return ``part`` in the unit that ``shown_whole`` has."""
    value = part / whole * float(shown_whole) if whole else 0.0
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _bytes_label(value: float) -> str:
    return format_bytes(round(value)) if value else "0"


def _rate_label(value: float) -> str:
    return f"{value:g}"


def _percent_label(value: float) -> str:
    return f"{value:.0f} %"
