"""Files and folders of this machine become part of the library, or it is said why not."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from app.actions.add_checkpoints import AddCheckpoints
from app.messages import Notice, Severity
from helpers.tiny_gguf import write_text, write_tiny, write_tiny_shards
from helpers.window_parts import Parts


@pytest.fixture
def notices(parts: Parts) -> list[Notice]:
    found: list[Notice] = []
    parts.messages.posted.connect(found.append)
    parts.messages.attach()
    return found


@pytest.fixture
def adder(parts: Parts) -> AddCheckpoints:
    return AddCheckpoints(
        loader=parts.loader,
        settings=parts.settings_bridge,
        runner=parts.runner,
        messages=parts.messages,
    )


def roots(parts: Parts) -> tuple[str, ...]:
    return tuple(str(path) for path in parts.settings.get_paths("library.roots"))


def test_a_checkpoint_is_added_where_it_lies(
    qtbot: QtBot, parts: Parts, adder: AddCheckpoints, notices: list[Notice]
) -> None:
    path = write_tiny(parts.folder / "a.gguf")
    for sentence in ("a.gguf was added to the library.", "a.gguf is in the library already."):
        with qtbot.waitSignal(adder.added):
            adder.add([path])
        assert notices[-1].text == sentence
        assert notices[-1].action is not None
        assert roots(parts) == (str(path),)
    qtbot.waitUntil(lambda: parts.runner.is_idle)


def test_parts_of_one_set_are_one_checkpoint(
    qtbot: QtBot, parts: Parts, adder: AddCheckpoints
) -> None:
    shards = write_tiny_shards(parts.folder)
    with qtbot.waitSignal(adder.added):
        adder.add(shards[1:])
    assert roots(parts) == (str(shards[0]),)
    qtbot.waitUntil(lambda: parts.runner.is_idle)


def test_what_is_no_checkpoint_is_not_added_and_told(
    qtbot: QtBot, parts: Parts, adder: AddCheckpoints, notices: list[Notice]
) -> None:
    good = write_tiny(parts.folder / "good.gguf")
    bad = write_text(parts.folder / "bad.gguf")
    with qtbot.waitSignal(adder.added):
        adder.add([bad, parts.folder / "gone.gguf", good, parts.folder / "models"])
    assert roots(parts) == (str(good), str(parts.folder / "models"))
    errors = [notice.text for notice in notices if notice.severity is Severity.ERROR]
    assert "bad.gguf is not a GGUF file" in errors[0]
    assert len(errors) == 2
    assert notices[-1].text == "2 were added to the library."
    qtbot.waitUntil(lambda: parts.runner.is_idle)
