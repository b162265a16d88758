"""The live readouts at the lower edge: speed, context, memory of every device."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import (
    QHelpEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QToolTip, QWidget

from app.actions.download_totals import DownloadTotals
from app.actions.load_model import LoadPhase, ModelStatus
from app.actions.server import ServerStatus
from app.theme import SIZE_SMALL, SPACE_L, SPACE_M, current_theme
from app.views.words import tokens_words
from app.widgets.gauge import Gauge
from app.widgets.labels import Run, RunsLabel, Weight, rounded
from app.widgets.tips import plain_tip
from models.hardware.readouts import GpuReadout, HardwareSnapshot, RamReadout
from models.runtime.protocol import LoadProgress, Stats, Usage
from models.units import UNKNOWN, split_bytes, split_duration, split_rate

HEIGHT = 32


class StatusBar(QAbstractButton):
    """One wide button: everything in it is a readout, pressing it opens Monitor.

    A click on the speed of downloads is ``downloads_clicked`` and not ``clicked``; the same holds
    for the server.
    """

    downloads_clicked = Signal()
    server_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setAccessibleName(self.tr("Live readouts, open Monitor"))
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.speed = self._runs_label(reserve="888 tok/s")
        self.ttft = self._runs_label()
        self.context = self._gauge(self.tr("Context"))
        self.downloads = self._runs_label(keeps_width=True)
        self.downloads.setToolTip(self.tr("Open Downloads"))
        self.server = self._runs_label()
        self.server.setToolTip(self.tr("Other programs may ask the model. Open Server"))
        self.no_gpu = self._runs_label()
        self.no_gpu.set_runs([Run(self.tr("No GPU"), "text_quiet")])
        self.ram = self._gauge(self.tr("RAM"))
        self.gpus: list[Gauge] = []
        self.more_gpus = self._runs_label()
        self._gpu_known = False
        self._words = {
            LoadPhase.NONE: (self.tr("No model loaded"), "text_quiet"),
            LoadPhase.LOADING: (self.tr("Loading"), "text"),
            LoadPhase.READY: (self.tr("Ready"), "good"),
            LoadPhase.UNLOADING: (self.tr("Unloading"), "text_quiet"),
            LoadPhase.FAILED: (self.tr("Not loaded"), "fail"),
        }
        self.set_status(ModelStatus())

    def set_status(self, status: ModelStatus) -> None:
        """Show whether a model is loaded, and how far a load is."""
        if status.phase is LoadPhase.LOADING and status.progress is not None:
            self._show_loading(status.progress)
        else:
            self.speed.set_runs([Run(*self._words[status.phase])])
        self._state = Run(*self._words[status.phase])
        self.ttft.set_runs(())
        loaded = status.loaded
        self._show_context(0, loaded.settings.n_ctx if loaded else 0)
        self._arrange()

    def set_stats(self, stats: Stats) -> None:
        """Show the figures of the answer that is being made."""
        if stats.phase == "prefill" and stats.prefill_tokens_total:
            share = stats.prefill_tokens_done / stats.prefill_tokens_total
            self.speed.set_number(f"{share * 100:.0f}", "%", before=self.tr("Reading"))
        elif stats.phase == "decode":
            self.speed.set_number(*split_rate(stats.decode_tok_s))
        self._show_ttft(stats.ttft_s)
        self._show_context(stats.context_used, stats.context_total)
        self._arrange()

    def set_usage(self, usage: Usage) -> None:
        """Keep the figures of the finished answer in sight; one without any leaves none behind."""
        if usage.decode_tok_s:
            self.speed.set_number(*split_rate(usage.decode_tok_s))
        else:
            self.speed.set_runs([self._state])
        self._show_ttft(usage.ttft_s)
        if usage.context_total:
            self._show_context(usage.context_used, usage.context_total)
        self._arrange()

    def set_hardware(self, snapshot: HardwareSnapshot) -> None:
        """Show the memory of every device."""
        self._gpu_known = True
        self._show_ram(snapshot.ram)
        while len(self.gpus) < len(snapshot.gpus):
            self.gpus.append(self._gauge(self.tr("GPU{0}").format(len(self.gpus))))
        while len(self.gpus) > len(snapshot.gpus):
            gone = self.gpus.pop()
            gone.hide()
            gone.deleteLater()
        for gauge, gpu in zip(self.gpus, snapshot.gpus, strict=True):
            _show_gpu(gauge, gpu)
        self._arrange()

    @Slot(DownloadTotals)
    def set_downloads(self, totals: DownloadTotals) -> None:
        """Show how fast all downloads together are, while there are some."""
        before = bool(self.downloads.text())
        if totals.running:
            value, unit = split_bytes(round(totals.rate_bytes_s))
            self.downloads.set_number(value, f"{unit}/s", before=self.tr("Downloads"))
        else:
            self.downloads.set_runs(())
        if totals.running or before:
            self._arrange()

    @Slot(ServerStatus)
    def set_server(self, status: ServerStatus) -> None:
        """Show that other programs may ask, as long as they may."""
        before = self.server.text()
        if status.url and status.answering > status.waiting:
            self.server.set_runs([Run(self.tr("Server answers"), "accent")])
        elif status.url:
            self.server.set_runs([Run(self.tr("Server on"), "good")])
        elif status.error is not None:
            self.server.set_runs([Run(self.tr("Server failed"), "fail")])
        else:
            self.server.set_runs(())
        if self.server.text() != before:
            self._arrange()

    def sizeHint(self) -> QSize:
        """Return the height; the width is the window's."""
        return QSize(400, HEIGHT)

    def minimumSizeHint(self) -> QSize:
        """Return what the most important readouts need."""
        return QSize(240, HEIGHT)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what no longer fits."""
        super().resizeEvent(event)
        self._arrange()

    def event(self, event: QEvent) -> bool:
        """Show the tooltip of the readout under the pointer."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            readouts = (self.context, self.downloads, self.server, self.ram, *self.gpus)
            hit = (w for w in readouts if w.isVisible())
            text = next((w.toolTip() for w in hit if w.geometry().contains(event.pos())), "")
            QToolTip.showText(event.globalPos(), text or self.tr("Open Monitor"), self)
            return True
        return super().event(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Lead to the downloads or the server where they are meant."""
        at = event.position().toPoint()
        places = {self.downloads: self.downloads_clicked, self.server: self.server_clicked}
        for label, clicked in places.items():
            if self.isDown() and label.isVisible() and label.geometry().contains(at):
                self.setDown(False)
                clicked.emit()
                event.accept()
                return
        super().mouseReleaseEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the background and the focus ring; the readouts paint themselves."""
        painter = QPainter(self)
        theme = current_theme()
        painter.fillRect(self.rect(), theme.color("hover" if self.underMouse() else "window"))
        painter.fillRect(0, 0, self.width(), 1, theme.color("hairline"))
        if self.hasFocus():
            painter.setPen(QPen(theme.color("accent"), 2))
            rounded(painter, QRectF(self.rect()).adjusted(2, 2, -2, -2), 4)

    def _runs_label(self, reserve: str = "", *, keeps_width: bool = False) -> RunsLabel:
        label = RunsLabel(
            size=SIZE_SMALL,
            weight=Weight.Medium,
            reserve=reserve,
            keeps_width=keeps_width,
            parent=self,
        )
        label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        return label

    def _gauge(self, name: str) -> Gauge:
        gauge = Gauge(name, parent=self)
        gauge.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        gauge.hide()
        return gauge

    def _show_loading(self, progress: LoadProgress) -> None:
        share = progress.bytes_done / progress.bytes_total if progress.bytes_total else 0.0
        self.speed.set_number(f"{share * 100:.0f}", "%", before=self.tr("Loading"))

    def _show_ttft(self, ttft_s: float | None) -> None:
        if ttft_s is None:
            self.ttft.set_runs(())
        else:
            self.ttft.set_number(*split_duration(ttft_s), before=self.tr("TTFT"))

    def _show_context(self, used: int, total: int) -> None:
        share = used / total if total else None
        words = (tokens_words(used), tokens_words(total)) if total else ("", "")
        self.context.set_values(share, *words, "")
        self.context.setToolTip(self.tr("{0} of {1} tokens").format(f"{used:,}", f"{total:,}"))

    def _show_ram(self, ram: RamReadout) -> None:
        share = ram.used_bytes / ram.total_bytes if ram.total_bytes else None
        self.ram.set_values(share, *_pair(ram.used_bytes, ram.total_bytes))
        self.ram.setToolTip(ram.source)

    def _arrange(self) -> None:
        """Place the readouts; the less important go first when there is no room."""
        for level in range(6):
            left, right = self._left(level), self._right(level)
            bars = level < 2
            width = sum(_width(widget, bars) + SPACE_L for widget in (*left, *right))
            if width + SPACE_M <= self.width() or level == 5:
                self._place(left, right, bars)
                return

    def _left(self, level: int) -> list[QWidget]:
        widgets: list[QWidget] = [self.speed]
        if level < 1 and self.ttft.text():
            widgets.append(self.ttft)
        if level < 5 and self.context.accessibleDescription():
            widgets.append(self.context)
        if level < 2 and self.downloads.text():
            widgets.append(self.downloads)
        if level < 5 and self.server.text():
            widgets.append(self.server)
        return widgets

    def _right(self, level: int) -> list[QWidget]:
        widgets: list[QWidget] = list(self.gpus)
        hidden = max(len(self.gpus) - 1, 0) if level >= 3 else 0
        if hidden:
            self.more_gpus.set_runs([Run(self.tr("+{0} GPUs").format(hidden), "text_quiet")])
            widgets = [*self.gpus[:1], self.more_gpus]
        if not self.gpus and self._gpu_known and level < 4:
            widgets.append(self.no_gpu)
        if self.ram.accessibleDescription():
            widgets.append(self.ram)
        return widgets

    def _place(self, left: list[QWidget], right: list[QWidget], bars: bool) -> None:
        shown = {*left, *right}
        left_side = (self.speed, self.ttft, self.context, self.downloads, self.server)
        for widget in (*left_side, self.no_gpu, self.more_gpus, self.ram, *self.gpus):
            widget.setVisible(widget in shown)
            if isinstance(widget, Gauge):
                widget.set_bar_shown(bars)
        x = SPACE_M
        for widget in left:
            x = self._put(widget, x, bars) + SPACE_L
        x = self.width() - SPACE_M
        for widget in reversed(right):
            x -= _width(widget, bars)
            self._put(widget, x, bars)
            x -= SPACE_L

    def _put(self, widget: QWidget, x: int, bars: bool) -> int:
        width, height = _width(widget, bars), widget.sizeHint().height()
        widget.setGeometry(x, (HEIGHT - height) // 2 + 1, width, height)
        return x + width


def _width(widget: QWidget, bars: bool) -> int:
    return widget.width_with_bar(bars) if isinstance(widget, Gauge) else widget.sizeHint().width()


def _pair(used_bytes: int, total_bytes: int) -> tuple[str, str, str]:
    """Return used and total in the unit of the total."""
    total, unit = split_bytes(total_bytes)
    value = float(total)
    used = used_bytes / total_bytes * value if total_bytes else 0.0
    decimals = 1 if value < 100 else 0
    return f"{used:.{decimals}f}", f"{value:.{decimals}f}".removesuffix(".0"), unit


def _show_gpu(gauge: Gauge, gpu: GpuReadout) -> None:
    if gpu.total_bytes and gpu.used_bytes is not None:
        gauge.set_values(gpu.used_bytes / gpu.total_bytes, *_pair(gpu.used_bytes, gpu.total_bytes))
    elif gpu.shared_total_bytes and gpu.shared_used_bytes is not None:
        gauge.set_values(
            gpu.shared_used_bytes / gpu.shared_total_bytes,
            *_pair(gpu.shared_used_bytes, gpu.shared_total_bytes),
        )
    else:
        gauge.set_values(None, UNKNOWN, "", "")
    gauge.setToolTip(plain_tip(f"{gpu.name}, {gpu.source}"))
