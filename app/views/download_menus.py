"""What menus of Downloads open: the folder of a download, its page on the hub; and where."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QCoreApplication, QPoint, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QMenu, QWidget

from app.theme import SPACE_XS
from models.transfer.job import JobSpec


def make_menu(parent: QWidget) -> QMenu:
    """Return a menu that is gone when it closes."""
    menu = QMenu(parent)
    menu.setAccessibleName(QCoreApplication.translate("Downloads", "Download"))
    menu.aboutToHide.connect(menu.deleteLater)
    return menu


def popup(menu: QMenu, button: QWidget) -> None:
    """Open a menu below a button, within its right edge."""
    corner = button.mapToGlobal(QPoint(button.width(), button.height()))
    menu.popup(QPoint(corner.x() - menu.sizeHint().width(), corner.y() + SPACE_XS))


def add_places(menu: QMenu, spec: JobSpec) -> None:
    """Offer to open where a download goes to, and where it comes from."""
    folder = menu.addAction(QCoreApplication.translate("Downloads", "Show in folder"))
    folder.triggered.connect(partial(_show_folder, spec))
    page = menu.addAction(QCoreApplication.translate("Downloads", "Open its page on the hub"))
    page.triggered.connect(partial(open_page, spec))


def open_page(spec: JobSpec) -> None:
    """Open the page of a download's repository in the browser."""
    QDesktopServices.openUrl(QUrl(f"{spec.endpoint}/{spec.repository}"))


def _show_folder(spec: JobSpec) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(spec.folder)))
