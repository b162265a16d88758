"""What must be told when there is no window to tell it in: a line, and a box of the system's.

Somebody who started Fathom from a menu has no terminal. No Qt here: it is what cannot be used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap

_TITLE = "Fathom"
# xmessage breaks no lines, the others show what is broken as it is.
_LINE_CHARS = 60
# Programs of Linux desktops that show a box; the first that is there is used.
_BOXES = (
    ("zenity", ("--error", "--no-markup", "--width=420", f"--title={_TITLE}", "--text={}")),
    ("kdialog", ("--title", _TITLE, "--error", "{}")),
    ("xmessage", ("-center", "-title", _TITLE, "{}")),
    ("notify-send", ("--urgency=critical", _TITLE, "{}")),
)
# Where Qt is to paint, nobody looks: a box would wait for ever.
_UNSEEN_PLATFORMS = ("offscreen", "minimal")
# MB_ICONERROR of winuser.h.
_WINDOWS_ERROR_ICON = 0x10


def tell_early(text: str) -> None:
    """Write one line to standard error; with nobody to read it, show it in a box and wait."""
    # There is none for a program of Windows that has no console.
    if sys.stderr is not None:
        sys.stderr.write(f"fathom: {text}\n")
        if sys.stderr.isatty():
            return
    _show_box(text)


def _show_box(text: str) -> None:
    if os.environ.get("QT_QPA_PLATFORM", "").partition(":")[0] in _UNSEEN_PLATFORMS:
        return
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.user32.MessageBoxW(None, text, _TITLE, _WINDOWS_ERROR_ICON)
        return
    command = _box_command(text)
    if command is None:
        return
    quiet = subprocess.DEVNULL
    try:
        subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, check=False)
    except OSError:
        # The line was written: there is nothing better.
        return


def _box_command(text: str) -> list[str] | None:
    """Return the command that shows a box where people look, None where nobody does."""
    if sys.platform == "darwin":
        script = "on run argv\ndisplay alert (item 1 of argv) message (item 2 of argv)\nend run"
        return ["/usr/bin/osascript", "-e", script, _TITLE, text]
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        return None
    lines = textwrap.fill(text, _LINE_CHARS)
    for name, arguments in _BOXES:
        if path := shutil.which(name):
            return [path, *(word.replace("{}", lines) for word in arguments)]
    return None
