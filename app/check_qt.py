"""Whether Qt can open a window here; run in a child by ``fathom doctor``, for it may abort."""

from __future__ import annotations

import json
import sys


def check_qt() -> int:
    """Make a widget, paint it, print what was used as JSON; return 0 when it worked."""
    try:
        from PySide6.QtCore import qVersion
        from PySide6.QtGui import QGuiApplication
        from PySide6.QtWidgets import QApplication, QLabel
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    application = QApplication([])
    picture = QLabel("Fathom").grab()
    answer = {"qt": qVersion(), "platform": QGuiApplication.platformName()}
    del application
    sys.stdout.write(json.dumps(answer) + "\n")
    return 1 if picture.isNull() else 0
