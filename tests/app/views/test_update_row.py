"""The row of the settings that looks for a newer version: a real server, real keys, every state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from pytestqt.qtbot import QtBot

from app.about import download_folder
from app.actions.updates import Updates, UpdateStage
from app.views.settings_page import SettingsPage
from app.views.update_row import UpdateRow
from helpers.accessible import nameless
from helpers.fake_hub import CERTIFICATE
from helpers.release_site import PLATFORM, ReleaseSite, new_key, release_site
from helpers.window_parts import Parts
from models.errors import OfflineError
from models.updates.check import UpdateSource
from models.updates.seen import SeenReleases
from models.version import VERSION

DATA = b"an installer" * 1000
KEY, PUBLIC = new_key()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleaseSite]:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE[0])
    with release_site() as running:
        yield running


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[QUrl]:
    """Return what the system was asked to open."""
    urls: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", urls.append)
    return urls


Make = Callable[..., UpdateRow]


@pytest.fixture
def make(parts: Parts, site: ReleaseSite, tmp_path: Path, qtbot: QtBot) -> Make:
    def build(read_source: Any = None, **changed: Any) -> UpdateRow:
        seen = SeenReleases(tmp_path / "updates.json")
        sound = {"address": site.manifest_url, "keys": [PUBLIC], "installed": VERSION}
        source = UpdateSource(**{**sound, "seen": seen, "platform": PLATFORM, **changed})
        folder = tmp_path / "Downloads"
        folder.mkdir(exist_ok=True)
        updates = Updates(
            read_source=read_source or (lambda: source),
            folder=lambda: folder,
            runner=parts.runner,
            parent=parts.messages,
        )
        row = UpdateRow(updates)
        page = SettingsPage(parts.settings_bridge, update_row=row)
        qtbot.addWidget(page)
        page.show()
        return row

    return build


def press(row: UpdateRow, button: str, *, until: UpdateStage, qtbot: QtBot) -> None:
    getattr(row, button).click()
    qtbot.waitUntil(lambda: row._updates.status.stage is until, timeout=20_000)


def shown(row: UpdateRow) -> set[str]:
    names = ("check", "fetch", "cancel", "notes", "folder")
    return {name for name in names if getattr(row, f"{name}_button").isVisibleTo(row)}


def test_nobody_is_asked_before_the_button_is_pressed(make: Make, site: ReleaseSite) -> None:
    row = make()
    assert shown(row) == {"check"}
    assert row.words == ""
    assert nameless(row) == []
    assert site.asked == []


def test_a_newer_version_is_found_fetched_and_shown_where_it_lies(
    make: Make, site: ReleaseSite, opened: list[QUrl], qtbot: QtBot, tmp_path: Path
) -> None:
    site.offer(KEY, "99.0.0", DATA)
    row = make()
    press(row, "check_button", until=UpdateStage.NEWER, qtbot=qtbot)
    assert shown(row) == {"check", "fetch", "notes"}
    assert "99.0.0" in row.words
    row.notes_button.click()
    assert opened[-1].toString() == f"{site.address}/notes"
    press(row, "fetch_button", until=UpdateStage.FETCHED, qtbot=qtbot)
    assert shown(row) == {"check", "notes", "folder"}
    (path,) = (tmp_path / "Downloads").iterdir()
    assert path.read_bytes() == DATA
    assert str(path) in row.words
    row.folder_button.click()
    # The folder: the installer itself is never opened.
    assert opened[-1] == QUrl.fromLocalFile(str(tmp_path / "Downloads"))


def test_up_to_date(make: Make, site: ReleaseSite, qtbot: QtBot) -> None:
    site.offer(KEY, VERSION, DATA)
    row = make()
    press(row, "check_button", until=UpdateStage.UP_TO_DATE, qtbot=qtbot)
    assert shown(row) == {"check"}
    assert "newest" in row.words


def test_a_release_without_a_file_for_this_machine_has_its_page(
    make: Make, site: ReleaseSite, qtbot: QtBot
) -> None:
    site.offer(KEY, "99.0.0", DATA)
    row = make(platform="plan9-vax")
    press(row, "check_button", until=UpdateStage.NEWER, qtbot=qtbot)
    assert shown(row) == {"check", "notes"}


def test_what_is_not_believed_says_why_and_offers_nothing(
    make: Make, site: ReleaseSite, qtbot: QtBot
) -> None:
    site.offer(new_key()[0], "99.0.0", DATA)
    row = make()
    press(row, "check_button", until=UpdateStage.FAILED, qtbot=qtbot)
    assert shown(row) == {"check"}
    assert "not signed" in row.words


def test_a_tampered_file_is_told_and_can_be_tried_again(
    make: Make, site: ReleaseSite, qtbot: QtBot, tmp_path: Path
) -> None:
    site.offer(KEY, "99.0.0", DATA)
    row = make()
    press(row, "check_button", until=UpdateStage.NEWER, qtbot=qtbot)
    name = "/fathom_99.0.0_amd64.deb"
    site.files[name] = b"x" + DATA[1:]
    press(row, "fetch_button", until=UpdateStage.FAILED, qtbot=qtbot)
    assert shown(row) == {"check", "fetch", "notes"}
    site.files[name] = DATA
    press(row, "fetch_button", until=UpdateStage.FETCHED, qtbot=qtbot)


def test_without_an_address_and_offline_it_says_what_to_do(make: Make, qtbot: QtBot) -> None:
    row = make(address="")
    press(row, "check_button", until=UpdateStage.FAILED, qtbot=qtbot)
    assert "no address" in row.words

    def offline() -> UpdateSource:
        raise OfflineError("Fathom is set to work offline.")

    row = make(read_source=offline)
    press(row, "check_button", until=UpdateStage.FAILED, qtbot=qtbot)
    assert "offline" in row.words


def test_what_is_under_way_can_be_left(
    make: Make, site: ReleaseSite, parts: Parts, qtbot: QtBot
) -> None:
    site.offer(KEY, "99.0.0", DATA)
    row = make()
    row.check_button.setFocus()
    row.check_button.click()
    assert shown(row) == {"cancel"}
    row.cancel_button.click()
    assert shown(row) == {"check"}
    qtbot.waitUntil(lambda: parts.runner.is_idle, timeout=20_000)
    assert shown(row) == {"check"}
    # And asked again, as if nothing had been.
    press(row, "check_button", until=UpdateStage.NEWER, qtbot=qtbot)


def test_the_folder_of_downloads_is_somewhere() -> None:
    assert download_folder().is_absolute()
