from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.actions.discover import Discover
from app.actions.discover_data import Holdings, Phase
from app.tasks import TaskRunner
from helpers.discover_parts import (
    LARGE,
    REPOSITORY,
    SMALL,
    STEM,
    discover_parts,
    fill_hub,
    gpu_machine,
)
from helpers.fake_hub import FakeHub, fake_hub
from helpers.gated_planning import described_machine
from models.catalog.families import Catalog
from models.errors import CatalogError, LoginNeededError, OfflineError, RemoteNotFoundError
from models.hub.hub import Hub
from models.hub.pages import SortBy
from models.library.library import LibraryEntry
from models.planner.compare import Where
from models.planning.planner_children import PlannerChildren
from models.transfer.job import JobSpec, JobState, JobView
from models.transfer.remote import FileSpec


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as hub:
        fill_hub(hub)
        yield hub


@pytest.fixture
def runner(qapp: QApplication) -> Iterator[TaskRunner]:
    runner = TaskRunner()
    yield runner
    runner.shutdown()


@pytest.fixture
def discover(hub: FakeHub, runner: TaskRunner, tmp_path: Path) -> Iterator[Discover]:
    discover = Discover(discover_parts(tmp_path, Hub(hub.endpoint), gpu_machine()), runner)
    yield discover
    discover.stop()


def judge_all(discover: Discover, qtbot: QtBot) -> None:
    discover.start()
    qtbot.waitUntil(lambda: bool(discover.cards) and not discover.is_judging, timeout=20_000)


def open_page(discover: Discover, qtbot: QtBot, repository: str = REPOSITORY) -> None:
    discover.look.open(repository)
    qtbot.waitUntil(lambda: discover.look.status.phase is not Phase.LOADING, timeout=20_000)
    qtbot.waitUntil(
        lambda: (
            discover.look.status.phase is Phase.FAILED
            or (not discover.look.status.is_judging and discover.look.status.text is not None)
        ),
        timeout=20_000,
    )


def job(state: JobState = JobState.DOWNLOADING, quant: str = "Q4_K_M") -> JobView:
    file = FileSpec(f"{STEM}-{quant}.gguf", f"{STEM}-{quant}.gguf", 100, "sha256:00")
    spec = JobSpec(
        "0" * 32, "title", "https://x", REPOSITORY, "0" * 40, quant, Path("/m"), Path("/m/x"),
        (file,),
    )  # fmt: skip
    return JobView(spec, state, bytes_done=34)


def entry(quant: str = "Q4_K_M", **changes: object) -> LibraryEntry:
    path = Path(f"/models/{STEM}-{quant}.gguf")
    found = LibraryEntry(path.stem, path.stem, path, 100, repository=REPOSITORY, quant=quant)
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


def test_families_are_judged_for_the_machine(discover: Discover, qtbot: QtBot) -> None:
    judge_all(discover, qtbot)
    assert {card.card_id for card in discover.cards} == {SMALL, LARGE}
    assert discover.judged[SMALL].where is Where.GPU
    assert discover.judged[LARGE].where is Where.DISK
    assert [pick.card.card_id for pick in discover.picks] == [SMALL]


def test_what_judges_rests_when_nothing_is_left(
    runner: TaskRunner, tmp_path: Path, qtbot: QtBot
) -> None:
    children = PlannerChildren()
    parts = discover_parts(tmp_path, Hub(is_offline=True), gpu_machine(), children=children)
    discover = Discover(dataclasses.replace(parts, rest=children.rest), runner)
    judge_all(discover, qtbot)
    qtbot.waitUntil(lambda: runner.is_idle)
    assert all(judged.is_judged for judged in discover.judged.values())
    assert children.background._child is None
    discover.stop()
    children.close()


def test_a_machine_without_gpu_has_families_too(
    hub: FakeHub, runner: TaskRunner, tmp_path: Path, qtbot: QtBot
) -> None:
    discover = Discover(discover_parts(tmp_path, Hub(hub.endpoint), described_machine()), runner)
    judge_all(discover, qtbot)
    assert discover.judged[SMALL].where is Where.RAM


def test_a_broken_catalogue_is_said_and_can_be_tried_again(
    hub: FakeHub, runner: TaskRunner, tmp_path: Path, qtbot: QtBot
) -> None:
    parts = discover_parts(tmp_path, Hub(hub.endpoint), gpu_machine())
    is_broken = [True]

    def load() -> Catalog:
        if is_broken:
            raise CatalogError("The catalogue is not there.")
        return parts.load_catalog()

    discover = Discover(dataclasses.replace(parts, load_catalog=load), runner)
    discover.start()
    qtbot.waitUntil(lambda: discover.error is not None)
    assert not discover.is_judging
    is_broken.clear()
    discover.try_again()
    qtbot.waitUntil(lambda: bool(discover.judged) and not discover.is_judging, timeout=20_000)
    assert discover.error is None


def test_a_search_finds_repositories_and_a_newer_one_ends_it(
    discover: Discover, hub: FakeHub, qtbot: QtBot
) -> None:
    hub.add("someone/Other-GGUF", "x-Q4_0.gguf", b"x")
    discover.search.run("nothing at all")
    discover.search.run(" distill   qwen ", SortBy.LIKES)
    qtbot.waitUntil(lambda: discover.search.status.phase is Phase.READY)
    status = discover.search.status
    assert (status.words, status.sort) == ("distill qwen", SortBy.LIKES)
    assert [hit.repository for hit in status.hits] == [REPOSITORY]
    discover.search.run("")
    assert discover.search.status.phase is Phase.NOTHING
    assert discover.search.status.hits == ()


def test_a_search_that_failed_can_be_tried_again(
    runner: TaskRunner, tmp_path: Path, qtbot: QtBot
) -> None:
    hub = Hub(is_offline=True)
    discover = Discover(discover_parts(tmp_path, hub, gpu_machine()), runner)
    discover.search.run("distill")
    qtbot.waitUntil(lambda: discover.search.status.phase is Phase.FAILED)
    assert isinstance(discover.search.status.error, OfflineError)
    with qtbot.waitSignal(discover.search.changed):
        discover.search.try_again()
    qtbot.waitUntil(lambda: discover.search.status.phase is Phase.FAILED)


def test_a_page_has_its_files_judged_one_recommended_and_its_card(
    discover: Discover, qtbot: QtBot
) -> None:
    judge_all(discover, qtbot)
    open_page(discover, qtbot)
    status = discover.look.status
    assert status.family is not None
    assert status.family.card_id == SMALL
    assert [one.files.quant for one in status.quants] == ["Q2_K", "Q4_K_M", "Q8_0"]
    assert all(one.plan is not None for one in status.quants)
    assert status.recommended is not None
    assert status.recommended.files.quant == "Q8_0"
    assert status.text == "# Card\n\nSee [the paper](https://example.org/p)."


def test_a_page_that_is_not_there_says_so(discover: Discover, qtbot: QtBot) -> None:
    open_page(discover, qtbot, "nobody/nothing")
    assert isinstance(discover.look.status.error, RemoteNotFoundError)
    open_page(discover, qtbot, "no repository at all")
    assert "is not the name of a repository" in str(discover.look.status.error)


def test_a_late_answer_about_another_page_is_dropped(
    discover: Discover, hub: FakeHub, qtbot: QtBot
) -> None:
    discover.look.open("nobody/nothing")
    open_page(discover, qtbot)
    assert discover.look.status.phase is Phase.READY
    assert discover.look.status.repository == REPOSITORY


def test_a_gated_page_is_shown_without_plans(
    discover: Discover, hub: FakeHub, qtbot: QtBot
) -> None:
    hub.gated.add(REPOSITORY)
    hub.facts[REPOSITORY].gate = "auto"
    hub.shows_gated = True
    open_page(discover, qtbot)
    status = discover.look.status
    assert status.phase is Phase.READY
    assert status.page is not None
    assert not status.page.is_readable
    assert all(one.plan is None and one.reason for one in status.quants)
    assert status.text == ""


def test_one_press_finds_page_and_file(discover: Discover, qtbot: QtBot) -> None:
    judge_all(discover, qtbot)
    card = next(card for card in discover.cards if card.card_id == SMALL)
    with qtbot.waitSignal(discover.download_ready, timeout=20_000) as ready:
        discover.fetch(card)
        assert discover.is_fetching(card)
        discover.fetch(card)
    page, files = ready.args or (None, None)
    assert page.repository == REPOSITORY
    assert files.quant == "Q8_0"
    assert not discover.is_fetching(card)


@pytest.mark.parametrize("is_gated", [True, False])
def test_in_doubt_the_page_is_shown(
    discover: Discover, hub: FakeHub, qtbot: QtBot, *, is_gated: bool
) -> None:
    judge_all(discover, qtbot)
    if is_gated:
        hub.gated.add(REPOSITORY)
    else:
        hub.files.clear()
    card = next(card for card in discover.cards if card.card_id == SMALL)
    with qtbot.waitSignal(discover.page_needed, timeout=20_000) as needed:
        discover.fetch(card)
    assert needed.args == [card]


def test_what_is_here_and_what_is_on_its_way_is_known(discover: Discover, qtbot: QtBot) -> None:
    judge_all(discover, qtbot)
    card = next(card for card in discover.cards if card.card_id == SMALL)
    with qtbot.waitSignal(discover.holdings_changed):
        discover.set_jobs((job(),))
    with qtbot.waitSignal(discover.holdings_changed):
        discover.set_entries((entry("Q8_0"),))
    with qtbot.assertNotEmitted(discover.holdings_changed):
        discover.set_entries((entry("Q8_0"),))
    open_page(discover, qtbot)
    held = discover.holdings
    in_library = [held.entry_of(REPOSITORY, q.files) for q in discover.look.status.quants]
    under_way = [held.job_of(REPOSITORY, q.files) for q in discover.look.status.quants]
    assert [bool(one) for one in in_library] == [False, False, True]
    assert [bool(one) for one in under_way] == [False, True, False]
    assert held.entry_of_family(card) == entry("Q8_0")
    assert held.job_of_family(card) == job()


def test_ended_jobs_and_broken_entries_do_not_count(discover: Discover, qtbot: QtBot) -> None:
    judge_all(discover, qtbot)
    open_page(discover, qtbot)
    files = discover.look.status.quants[1].files
    held = Holdings((entry(missing=1),), (job(JobState.READY), job(JobState.CANCELLED)))
    assert held.entry_of(REPOSITORY, files) is None
    assert held.job_of(REPOSITORY, files) is None
    assert Holdings((entry(),)).entry_of("other/Repository", files) is None


def test_login_is_asked_for_where_a_page_is_closed(
    discover: Discover, hub: FakeHub, qtbot: QtBot
) -> None:
    hub.gated.add(REPOSITORY)
    open_page(discover, qtbot)
    assert isinstance(discover.look.status.error, LoginNeededError)


def test_a_machine_that_changed_is_judged_anew_without_a_flicker(
    hub: FakeHub, runner: TaskRunner, tmp_path: Path, qtbot: QtBot
) -> None:
    machines = [gpu_machine()]
    parts = discover_parts(tmp_path, Hub(hub.endpoint), machines[0])
    parts = dataclasses.replace(parts, read_machine=lambda: machines[-1])
    discover = Discover(parts, runner)
    discover.set_watched(True)
    qtbot.waitUntil(lambda: bool(discover.cards) and not discover.is_judging, timeout=20_000)
    open_page(discover, qtbot)
    before = dict(discover.judged)
    shown = []
    discover.judged_changed.connect(lambda: shown.append(dict(discover.judged)))
    # A little memory comes and goes.
    ram = machines[0].ram
    little = dataclasses.replace(ram, available_bytes=ram.available_bytes - 1_000_000)
    machines.append(dataclasses.replace(machines[0], ram=little))
    discover.look_again()
    qtbot.waitUntil(lambda: runner.is_idle)
    assert shown == []
    # Another program took nearly all of the GPU's.
    (gpu,) = machines[0].gpus
    full = dataclasses.replace(gpu, free_bytes=500_000_000)
    machines.append(dataclasses.replace(machines[0], gpus=(full,)))
    discover.set_watched(False)
    discover.look_again()
    assert runner.is_idle
    discover.set_watched(True)
    assert not discover.is_judging
    qtbot.waitUntil(lambda: bool(shown), timeout=20_000)
    # All of it at once: no card was without a word in between.
    assert len(shown) == 1
    assert set(shown[0]) == set(before)
    assert before[SMALL].where is Where.GPU
    assert discover.judged[SMALL].where is not Where.GPU
    assert discover.machine is machines[-1]
    qtbot.waitUntil(lambda: runner.is_idle, timeout=20_000)
    plan = discover.look.status.quants[0].plan
    assert plan is not None
    assert not discover.look.status.is_judging
    discover.stop()
