"""What is done with checkpoints from the window: real files, real records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.actions.library import LibraryActions, LibraryTaskView, LibraryWork
from app.messages import Notice
from helpers.download_samples import job_spec
from helpers.library_samples import content, entry_of, fetched, fetched_set, put
from helpers.window_parts import Parts
from models.errors import LibraryError
from models.library.deletion import DeletionPlan
from models.library.library import LibraryEntry
from models.library.moving import MovePlan
from models.transfer.job import JobSpec


@dataclass
class Rig:
    """The actions, and what they said."""

    actions: LibraryActions
    root: Path
    other: Path
    notices: list[Notice] = field(default_factory=list)
    tasks: list[LibraryTaskView | None] = field(default_factory=list)
    repaired: list[LibraryEntry] = field(default_factory=list)
    started: list[JobSpec] = field(default_factory=list)
    plans: list[object] = field(default_factory=list)
    looked: int = 0


@pytest.fixture
def rig(parts: Parts, qtbot: QtBot, tmp_path: Path) -> Iterator[Rig]:
    heard: list[Rig] = []
    root, other = parts.folder / "models", tmp_path / "other"
    other.mkdir()

    def make_repair(entry: LibraryEntry) -> JobSpec:
        heard[0].repaired.append(entry)
        return job_spec()

    def start(spec: JobSpec) -> None:
        heard[0].started.append(spec)

    actions = LibraryActions(
        library=parts.library,
        runner=parts.runner,
        messages=parts.messages,
        roots=lambda: (root, other),
        make_repair=make_repair,
        start_download=start,
    )
    rig = Rig(actions, root, other)
    heard.append(rig)
    actions.task_changed.connect(lambda _path, task: rig.tasks.append(task))
    actions.changed.connect(lambda: setattr(rig, "looked", rig.looked + 1))
    parts.messages.posted.connect(rig.notices.append)
    parts.messages.attach()
    yield rig
    actions.stop_all()
    qtbot.waitUntil(lambda: parts.runner.is_idle)


def test_a_sound_checkpoint_is_found_sound_and_that_is_remembered(
    rig: Rig, parts: Parts, qtbot: QtBot
) -> None:
    fetched(rig.root, "model-Q4_0.gguf", content(1))
    entry = entry_of(rig.root)
    rig.actions.verify(entry)
    view = rig.actions.task(entry)
    assert view is not None
    assert (view.work, view.bytes_total) == (LibraryWork.VERIFY, entry.size_bytes)
    qtbot.waitUntil(lambda: rig.looked == 1)
    assert rig.actions.task(entry) is None
    assert rig.tasks[-1] is None
    assert "is sound" in rig.notices[0].text
    assert rig.actions.damage_of(entry) == ""
    (again,) = parts.library.entries()
    assert again.verified_s is not None


def test_damage_is_told_with_an_offer_to_repair(rig: Rig, qtbot: QtBot) -> None:
    path = fetched(rig.root, "model-Q4_0.gguf", content(1))
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"\0\0\0\0")
    entry = entry_of(rig.root)
    with qtbot.waitSignal(rig.actions.damage_changed) as damaged:
        rig.actions.verify(entry)
    assert damaged.args == [path]
    assert rig.actions.damage_of(entry) == "Damaged in one place."
    (notice,) = rig.notices
    assert notice.action is not None
    assert notice.action.text == "Repair"
    notice.action.run()
    qtbot.waitUntil(lambda: len(rig.started) == 1)
    assert rig.repaired == [entry]


def test_without_a_reference_one_is_taken_down_and_that_is_said(rig: Rig, qtbot: QtBot) -> None:
    path = put(rig.root / "mine.gguf", content(2))
    entry = entry_of(rig.root)
    rig.actions.verify(entry)
    qtbot.waitUntil(lambda: rig.looked == 1)
    assert "Nothing to compare" in rig.notices[0].text
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\0\0")
    rig.actions.verify(entry)
    qtbot.waitUntil(lambda: rig.looked == 2)
    assert rig.actions.damage_of(entry).startswith("Damaged in ")
    assert rig.notices[1].action is None


def test_a_missing_part_is_named(rig: Rig, qtbot: QtBot) -> None:
    paths = fetched_set(rig.root)
    paths[1].unlink()
    entry = entry_of(rig.root)
    rig.actions.verify(entry)
    qtbot.waitUntil(lambda: rig.looked == 1)
    assert paths[1].name in rig.actions.damage_of(entry)


def test_a_stop_leaves_everything_as_it_was(rig: Rig, qtbot: QtBot) -> None:
    fetched(rig.root, "model-Q4_0.gguf", content(1))
    entry = entry_of(rig.root)
    rig.actions.verify(entry)
    rig.actions.stop(entry)
    assert any(task is not None and task.is_stopping for task in rig.tasks)
    qtbot.waitUntil(lambda: rig.looked == 1)
    assert rig.actions.damage_of(entry) == ""
    assert not any("cannot" in notice.text for notice in rig.notices)


def test_a_checkpoint_is_moved_by_its_plan(rig: Rig, parts: Parts, qtbot: QtBot) -> None:
    paths = fetched_set(rig.root)
    entry = entry_of(rig.root)
    rig.actions.plan_move(entry, rig.other, done=rig.plans.append)
    qtbot.waitUntil(lambda: len(rig.plans) == 1)
    plan = rig.plans[0]
    assert isinstance(plan, MovePlan)
    rig.actions.move(plan)
    rig.actions.move(plan)  # pressed twice
    qtbot.waitUntil(lambda: rig.looked == 1)
    assert not paths[0].exists()
    assert len(list(rig.other.rglob("*.gguf"))) == 3
    assert str(rig.other) in rig.notices[0].text


def test_a_checkpoint_is_deleted_by_its_plan(rig: Rig, qtbot: QtBot) -> None:
    path = fetched(rig.root, "model-Q4_0.gguf", content(1))
    entry = entry_of(rig.root)
    rig.actions.plan_deletion(entry, for_good=True, done=rig.plans.append)
    qtbot.waitUntil(lambda: len(rig.plans) == 1)
    plan = rig.plans[0]
    assert isinstance(plan, DeletionPlan)
    assert path.exists()
    rig.actions.delete(plan)
    qtbot.waitUntil(lambda: rig.looked == 1)
    assert not path.exists()
    assert "is deleted" in rig.notices[0].text


def test_why_not_is_an_answer_too(rig: Rig, qtbot: QtBot) -> None:
    entry = LibraryEntry("x", "x", rig.root / "x.gguf", 1, is_read_only=True, source="ollama")
    rig.actions.plan_deletion(entry, done=rig.plans.append)
    rig.actions.plan_move(entry, rig.other, done=rig.plans.append)
    qtbot.waitUntil(lambda: len(rig.plans) == 2)
    assert all(isinstance(plan, LibraryError) for plan in rig.plans)
    assert rig.notices == []


def test_what_changed_meanwhile_is_not_deleted(rig: Rig, qtbot: QtBot) -> None:
    path = fetched(rig.root, "model-Q4_0.gguf", content(1))
    entry = entry_of(rig.root)
    rig.actions.plan_deletion(entry, for_good=True, done=rig.plans.append)
    qtbot.waitUntil(lambda: len(rig.plans) == 1)
    path.write_bytes(content(3, 9000))
    plan = rig.plans[0]
    assert isinstance(plan, DeletionPlan)
    rig.actions.delete(plan)
    qtbot.waitUntil(lambda: rig.looked == 1)
    assert path.exists()
    assert "has changed" in rig.notices[0].text


def test_one_that_is_away_is_forgotten(rig: Rig, qtbot: QtBot) -> None:
    entry = LibraryEntry("x", "x", rig.root / "x.gguf", 1, is_offline=True)
    rig.actions.forget(entry)
    qtbot.waitUntil(lambda: rig.looked == 1)
    assert rig.notices == []
