"""Whatever is asked in whatever order: nothing hangs, and in the end there is no child."""

from __future__ import annotations

import itertools
import os
import signal
import threading

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.engine_harness import QUESTION, SETTINGS, WAIT_S, Harness, open_fds
from models.errors import EngineError
from models.runtime.states import TRANSITIONS
from models.runtime.supervisor import (
    EngineFailed,
    EngineState,
    EventReceived,
    Limits,
    StateChanged,
)

LIMITS = Limits(
    cancel_load_s=0.2,
    cancel_s=0.2,
    stop_cancel_s=0.1,
    stop_shutdown_s=0.3,
    stop_terminate_s=0.3,
    crash_limit=1000,
)
SCRIPTS = [
    {"words": 3},
    {"words": 10**6, "rate_words_s": 500},
    {"load": "slow"},
    {"load": "hang"},
    {"load": "abort_repacked", "generate": "flood"},
    {"generate": "segv_early_repacked"},
    {"generate": "segv_late"},
    {"generate": "ignore_cancel", "ignore": ["shutdown"]},
    {"generate": "garbage"},
]
ACTIONS = ["load", "generate", "cancel", "wait", "stop", "crash", "start", "unload", "ping"]


class Actor:
    """Does one thing after the other with an engine and keeps the ids that it was given."""

    def __init__(self, h: Harness) -> None:
        self.h = h
        self.ids: list[int] = []

    def act(self, action: str) -> None:
        """Do one thing; a refusal is an answer too."""
        engine = self.h.engine
        try:
            if action == "load":
                self.ids.append(engine.load("x", SETTINGS))
            elif action == "generate":
                self.ids.append(engine.generate(QUESTION))
            elif action in ("unload", "ping"):
                self.ids.append(getattr(engine, action)())
            elif action == "cancel" and self.ids:
                engine.cancel(self.ids[-1])
            elif action == "wait" and self.ids:
                engine.wait(self.ids[-1], 0.3)
            elif action in ("start", "stop"):
                getattr(engine, action)()
            elif action == "crash" and engine.pid is not None:
                os.kill(engine.pid, signal.SIGSEGV)
        except (EngineError, TimeoutError, ProcessLookupError):
            pass


def check_the_end(h: Harness, ids: list[int]) -> None:
    """Stop, and check what must be true after any story."""
    h.engine.stop()
    assert h.engine.state is EngineState.STOPPED
    assert h.engine.pid is None
    changes = h.notes.of(StateChanged)
    assert all(change.state in TRANSITIONS[change.previous] for change in changes)
    pairs = itertools.pairwise(changes)
    assert all(before.state is after.previous for before, after in pairs)
    ends = [n.event.request_id for n in h.notes.of(EventReceived) if n.event.is_final]
    ends += [n.request_id for n in h.notes.of(EngineFailed) if n.request_id is not None]
    assert len(ends) == len(set(ends)), "a request ended twice"
    for request_id in ids:
        try:
            event = h.engine.wait(request_id, 0.0)
        except EngineError:
            continue
        assert event.is_final
        assert request_id in ends


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(SCRIPTS), st.lists(st.sampled_from(ACTIONS), min_size=2, max_size=7))
def test_any_story_of_one_thread(script, actions):
    before = open_fds()
    h = Harness(script, limits=LIMITS)
    actor = Actor(h)
    try:
        actor.act("load")
        for action in actions:
            actor.act(action)
    finally:
        check_the_end(h, actor.ids)
    assert open_fds() <= before


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(SCRIPTS),
    st.lists(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=4), min_size=2, max_size=3),
)
def test_any_story_of_several_threads(script, stories):
    h = Harness(script, limits=LIMITS)
    actors = [Actor(h) for _ in stories]

    def play(actor: Actor, actions: list[str]) -> None:
        for action in actions:
            actor.act(action)

    threads = [
        threading.Thread(target=play, args=pair) for pair in zip(actors, stories, strict=True)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive(), "deadlock"
    finally:
        check_the_end(h, [request_id for actor in actors for request_id in actor.ids])
