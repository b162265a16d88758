"""The disk of settings, conversations and downloads is full: the program starts all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.views.main_window import MODELS
from app.views.models_page import DOWNLOADS, ModelsPage
from helpers.fake_hub import fake_hub
from helpers.logcheck import LogCheck
from helpers.real_window import RealWindow
from helpers.small_disk import fill, small_disk
from helpers.transfers import assert_all_there, gguf_shards, offer, spec_for
from models.transfer.job import JobState

OpenWindow = Callable[[Path], RealWindow]
MIB = 1024 * 1024
FILES = gguf_shards(2, 300_000)


def test_with_nothing_free_it_starts_says_so_and_goes_on_when_there_is_room(
    tmp_path: Path,
    open_window: OpenWindow,
    allow_logs: LogCheck,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What cannot be written is told in the log too.
    allow_logs("No space left|disk is full|database or disk|cannot write|could not be")
    with fake_hub() as hub, small_disk(tmp_path / "small disk", 8 * MIB) as disk:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        offer(hub, FILES)
        hub.rate_bytes_s = 150_000
        (root := tmp_path / "models").mkdir()
        spec = spec_for(hub, sorted(FILES), root)
        window = open_window(disk)
        downloads = window.program.fetching.downloads
        downloads.start_spec(spec)
        window.until(lambda: downloads.jobs and downloads.jobs[0].bytes_done > 100_000)
        window.close()
        fill(disk / "other")
        window = open_window(disk)
        downloads = window.program.fetching.downloads
        window.program.fetching.tab_wanted.emit(DOWNLOADS)
        page = window.window.page(MODELS)
        assert isinstance(page, ModelsPage)
        assert page.current_tab == DOWNLOADS
        window.until(lambda: window.told("Check the drive it is on"))
        # The files lie on another disk, so their download goes on, remembered or not.
        window.until(lambda: downloads.jobs and downloads.jobs[0].state is JobState.READY)
        window.close()
        (disk / "other").unlink()
    assert_all_there(spec, FILES)
