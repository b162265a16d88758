"""Settings: made from the one declared list; a change takes effect at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from PySide6.QtCore import Qt, QTimer, Slot
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.actions.hub_token import HubToken
from app.bridges.settings import SettingsBridge
from app.theme import (
    SIZE_HEADING,
    SIZE_SMALL,
    SPACE_L,
    SPACE_M,
    SPACE_S,
    SPACE_XS,
    TEXT_COLUMN_WIDTH,
)
from app.views.token_row import TokenRow
from app.widgets.buttons import IconButton
from app.widgets.labels import Weight, text_label
from app.widgets.page import Page, ScrollColumn, card, hairline
from app.widgets.path_controls import FolderControl, LineControl
from app.widgets.setting_controls import (
    BoolControl,
    ChoiceControl,
    Control,
    NumberControl,
    PathListControl,
    TextControl,
)
from app.widgets.slices import Slices
from models.errors import InvalidSettingError
from models.settings import SettingSpec

# Kinds whose control needs the full width, below the words.
_TALL_KINDS = ("str", "path_list")
# Texts that are one line, and one that is a folder.
_LINES = ("hub.endpoint", "engine.rpc_hosts", "updates.address")
_FOLDERS = ("downloads.folder",)


class SettingsPage(Page):
    """Groups of rows: title and help on the left, the control on the right."""

    def __init__(
        self,
        settings: SettingsBridge,
        *,
        token: HubToken | None = None,
        update_row: QWidget | None = None,
        addons_row: QWidget | None = None,
        parent: QWidget | None = None,
    ) -> None:
        """Compose; without ``token`` or one of the rows there is no row of that kind."""
        super().__init__("", width=TEXT_COLUMN_WIDTH, parent=parent)
        self.set_title(self.tr("Settings"))
        self._settings = settings
        self._rows: dict[str, SettingRow] = {}
        self._column = ScrollColumn(TEXT_COLUMN_WIDTH)
        # From the beginning: without it, the rows that are there share the room of those to come.
        self._column.column.addStretch(1)
        self._groups: dict[str, QVBoxLayout] = {}
        # Titles and cards of groups whose rows are being made.
        self._hidden: dict[str, tuple[QWidget, ...]] = {}
        self._token_row: TokenRow | None = None
        self.body.addWidget(self._column)
        settings.changed.connect(self._changed)
        # Dozens of rows take several frames: the page is there first, and they follow.
        self._slices = Slices(self)
        rows = (("Engine", addons_row), ("Updates", update_row))
        self._slices.run(self._fill(token, rows), at_once=False)

    def row(self, key: str) -> SettingRow:
        """Return the row of a setting; KeyError when it is hidden or unknown."""
        self._slices.finish()
        return self._rows[key]

    @property
    def is_filled(self) -> bool:
        """Whether every row is there."""
        return not self._slices.is_running

    @property
    def token_row(self) -> TokenRow | None:
        """The row of the hub's token, None on a page without."""
        self._slices.finish()
        return self._token_row

    def _fill(
        self, token: HubToken | None, rows: Sequence[tuple[str, QWidget | None]]
    ) -> Iterator[object]:
        name = ""
        for spec in self._settings.specs():
            if spec.hidden:
                continue
            if spec.group != name:
                self._show_group(name)
                yield name
                name = spec.group
            self._add(spec)
            yield spec
        self._show_group(name)
        yield name
        self._token_row = self._add_token(token)
        yield token
        for name, row in rows:
            if row is not None:
                group = self._group(name)
                group.addWidget(hairline())
                group.addWidget(row)
                self._show_group(name)
                yield row
        self._add_shortcuts()

    def _show_group(self, name: str) -> None:
        """Show a group that has all its rows: every row that comes lays out the page anew."""
        for widget in self._hidden.pop(name, ()):
            widget.show()

    def _add(self, spec: SettingSpec) -> None:
        row = SettingRow(spec, self._make_control(spec))
        row.show_value(self._settings.get(spec.key))
        row.control.edited.connect(partial(self._edited, spec.key))
        row.reset_button.clicked.connect(partial(self._reset, spec))
        self._rows[spec.key] = row
        group = self._group(spec.group)
        if group.count():
            group.addWidget(hairline())
        group.addWidget(row)

    def _group(self, name: str) -> QVBoxLayout:
        if name not in self._groups:
            title = text_label(name, size=SIZE_HEADING, weight=Weight.DemiBold)
            title.setContentsMargins(0, SPACE_S if self._groups else 0, 0, 0)
            frame = card()
            for widget in (title, frame):
                widget.hide()
            self._hidden[name] = (title, frame)
            column = self._column.column
            end = column.count() - 1
            column.insertWidget(end, title)
            column.insertSpacing(end + 1, -SPACE_S)
            layout = QVBoxLayout(frame)
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(0)
            column.insertWidget(end + 2, frame)
            self._groups[name] = layout
        return self._groups[name]

    @Slot()
    def show_token(self) -> None:
        """Bring the row of the token into sight, ready to type."""
        # A page that is new has no sizes yet, and nothing to scroll.
        QTimer.singleShot(0, self, self._show_token_now)

    @Slot()
    def _show_token_now(self) -> None:
        if self.token_row is not None:
            self._column.ensureWidgetVisible(self.token_row)
            self.token_row.field.setFocus(Qt.FocusReason.OtherFocusReason)

    def _add_token(self, token: HubToken | None) -> TokenRow | None:
        if token is None:
            return None
        row = TokenRow(token)
        group = self._group("Hub")
        group.addWidget(hairline())
        group.addWidget(row)
        self._show_group("Hub")
        return row

    def _make_control(self, spec: SettingSpec) -> Control:
        if spec.kind == "bool":
            return BoolControl(spec.title)
        if spec.kind == "choice":
            return ChoiceControl(spec.title, [(one, self._word(one)) for one in spec.choices])
        if spec.kind in ("int", "float"):
            suffix, step = self._unit(spec)
            return NumberControl(
                spec.title,
                is_whole=spec.kind == "int",
                minimum=spec.minimum,
                maximum=spec.maximum,
                special=self._special(spec),
                suffix=suffix,
                step=step,
            )
        if spec.kind == "path_list":
            return PathListControl(spec.title, self.tr("No folders besides Fathom's own."))
        if spec.key in _FOLDERS:
            return FolderControl(spec.title, self.tr("Fathom's own folder"))
        if spec.key in _LINES:
            return LineControl(spec.title, self.tr("None"))
        return TextControl(spec.title, self.tr("None"))

    def _word(self, choice: str) -> str:
        words = {
            "system": self.tr("System"),
            "light": self.tr("Light"),
            "dark": self.tr("Dark"),
            "auto": self.tr("Automatic"),
            "on": self.tr("On"),
            "off": self.tr("Off"),
        }
        return words.get(choice, choice)

    def _special(self, spec: SettingSpec) -> str:
        """Return the word for the lowest value where the help gives it a meaning of its own."""
        words = {
            "chat.max_tokens": self.tr("No limit"),
            "engine.n_ctx": self.tr("Automatic"),
            "engine.n_threads": self.tr("Automatic"),
            "sampling.top_k": self.tr("All"),
            "downloads.limit_mb_s": self.tr("No limit"),
            "sampling.seed": self.tr("Random"),
        }
        return words.get(spec.key, "")

    def _unit(self, spec: SettingSpec) -> tuple[str, float]:
        """Return what stands behind the number, and by how much a step changes it."""
        return (self.tr(" MB/s"), 1.0) if spec.key == "downloads.limit_mb_s" else ("", 0.05)

    def _edited(self, key: str, value: object) -> None:
        row = self._rows[key]
        try:
            self._settings.set(key, value)
        except InvalidSettingError as error:
            row.show_error(error.one_line())
            return
        row.show_error("")
        row.show_changed(self._settings.get(key))

    def _reset(self, spec: SettingSpec) -> None:
        self._settings.set(spec.key, spec.default)
        self._rows[spec.key].show_value(spec.default)
        self._rows[spec.key].control.setFocus(Qt.FocusReason.OtherFocusReason)

    @Slot(str, object)
    def _changed(self, key: str, value: object) -> None:
        if key in self._rows:
            self._rows[key].show_value(value)

    def _add_shortcuts(self) -> None:
        group = self._group(self.tr("Keyboard"))
        holder = QWidget()
        grid = QGridLayout(holder)
        grid.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        grid.setVerticalSpacing(SPACE_S)
        grid.setColumnStretch(0, 1)
        for line, (text, keys) in enumerate(self._shortcuts()):
            cap = QLabel(_keys_words(keys))
            cap.setProperty("kind", "keycap")
            grid.addWidget(text_label(text), line, 0)
            grid.addWidget(cap, line, 1, Qt.AlignmentFlag.AlignRight)
        group.addWidget(holder)
        self._show_group(self.tr("Keyboard"))

    def _shortcuts(self) -> list[tuple[str, str]]:
        return [
            (self.tr("Chat, Models, Monitor, Server, Settings"), "Ctrl+1, Ctrl+5"),
            (self.tr("New chat"), "Ctrl+N"),
            (self.tr("Search conversations"), "Ctrl+F"),
            (self.tr("Export a conversation"), "Ctrl+E"),
            (self.tr("Import conversations"), "Ctrl+I"),
            (self.tr("Send"), "Return"),
            (self.tr("New line"), "Shift+Return"),
            (self.tr("Stop the answer"), "Esc"),
            (self.tr("Go to the newest notice, to undo for instance"), "F6"),
            (self.tr("Quit"), "Ctrl+Q"),
        ]


def _keys_words(keys: str) -> str:
    """Return keys as this system writes them; two of them are the ends of a row of keys."""
    native = QKeySequence.SequenceFormat.NativeText
    words = [QKeySequence(one).toString(native) for one in keys.split(", ")]
    return " \N{HORIZONTAL ELLIPSIS} ".join(words)


class SettingRow(QFrame):
    """One setting."""

    def __init__(self, spec: SettingSpec, control: Control, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._default = spec.default
        self.control = control
        self.reset_button = IconButton(
            "rotate-ccw", self.tr("Reset {0} to its default").format(spec.title), size=16
        )
        self._error = text_label(tone="fail", size=SIZE_SMALL, wrap=True)
        self._error.hide()
        words = QVBoxLayout()
        words.setSpacing(SPACE_XS)
        words.addWidget(text_label(spec.title, weight=Weight.Medium))
        help_label = text_label(spec.help, tone="quiet", wrap=True)
        words.addWidget(help_label)
        words.addWidget(self._error)
        control.setToolTip(spec.key)
        row = QHBoxLayout()
        row.setSpacing(SPACE_L)
        row.addLayout(words, 1)
        row.addWidget(self.reset_button, 0, Qt.AlignmentFlag.AlignVCenter)
        policy = self.reset_button.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.reset_button.setSizePolicy(policy)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addLayout(row)
        if spec.kind in _TALL_KINDS:
            layout.addWidget(control)
        else:
            row.addWidget(control, 0, Qt.AlignmentFlag.AlignVCenter)

    def show_value(self, value: object) -> None:
        """Show a value and whether it is the default."""
        self.control.set_value(value)
        self.show_changed(value)

    def show_changed(self, value: object) -> None:
        """Offer the reset where the value is not the default."""
        self.reset_button.setVisible(value != self._default)

    def show_error(self, text: str) -> None:
        """Say why a value was not taken; an empty text goes away."""
        self._error.setText(text)
        self._error.setVisible(bool(text))
