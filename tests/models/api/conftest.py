"""Engines and desks that are stopped after the test, with nothing of theirs left open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from helpers.desk_parts import DeskHarness
from helpers.engine_harness import Harness, open_fds

MakeDesk = Callable[..., DeskHarness]


@pytest.fixture
def make_desk() -> Iterator[MakeDesk]:
    """Return a maker of desks over a problem engine: ``make_desk(script)``."""
    before = open_fds()
    made: list[Harness] = []

    def make(script: dict[str, Any] | None = None, *, loaded: bool = True) -> DeskHarness:
        made.append(Harness(script or {}))
        if loaded:
            made[-1].load()
        return DeskHarness(made[-1].engine)

    yield make
    for each in made:
        each.engine.stop()
    assert open_fds() <= before
