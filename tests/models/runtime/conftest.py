"""Supervisors that are stopped after the test, with nothing of theirs left open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from helpers.engine_harness import PIPES, Harness, open_fds
from models.runtime.supervisor import EngineState

MakeHarness = Callable[..., Harness]


@pytest.fixture
def harness() -> Iterator[MakeHarness]:
    """Return a maker of harnesses: ``harness({"load": "segv"}, limits=...)``."""
    before = open_fds()
    made: list[Harness] = []

    def make(script: dict[str, Any] | None = None, **options: Any) -> Harness:
        made.append(Harness(script or {}, **options))
        return made[-1]

    yield make
    for each in made:
        each.engine.stop()
        assert each.engine.state is EngineState.STOPPED
        assert each.engine.pid is None
    assert open_fds() <= before


@pytest.fixture(params=PIPES, ids=lambda pipes: pipes.__name__)
def any_pipes(request: pytest.FixtureRequest, harness: MakeHarness) -> MakeHarness:
    """Return a maker as ``harness``, once for each way to read a child's pipes."""

    def make(script: dict[str, Any] | None = None, **options: Any) -> Harness:
        return harness(script, pipes=request.param, **options)

    return make
