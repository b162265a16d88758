"""The server as its parent sees it: how it opens, ends and fails, and that nothing stays behind."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from helpers.desk_parts import ENDLESS, MODEL, Collected, DeskHarness
from helpers.engine_harness import WAIT_S, open_fds
from helpers.lock_gap import LockWithGap
from models.api.desk import RequestNote
from models.api.protocol import ServerOptions, TurnedAway
from models.api.server import ApiServer, ServerPhase, ServerState
from models.errors import ServerDownError
from models.runtime.protocol import Sampling

MakeDesk = Callable[..., DeskHarness]
_PROBLEM_SERVER = Path(__file__).parents[2] / "helpers" / "problem_server.py"
_OPTIONS = ServerOptions(port=0, key="fathom-test")
_P = ServerPhase


class _ServerHarness:
    """A server over an engine, and what it tells."""

    def __init__(self, desk: DeskHarness, command: list[str] | None, **options: Any) -> None:
        self.engine, self.turns, self.parts = desk.engine, desk.turns, desk
        self.states: Collected[ServerState] = Collected()
        self.notes: Collected[RequestNote] = Collected()
        self.turned_away: Collected[TurnedAway] = Collected()
        self.server = ApiServer(
            desk.engine,
            desk.turns,
            served=lambda: MODEL,
            defaults=lambda: (Sampling(), 16),
            noted=self.notes,
            on_state=self.states,
            on_turned_away=self.turned_away,
            command=command,
            **options,
        )

    def start(self, options: ServerOptions = _OPTIONS) -> ServerState:
        """Start and return the state that this led to."""
        known = len(self.states.items)
        self.server.start(options)
        return self.states.wait_for(
            lambda state: (
                state in self.states.items[known:] and state.phase in (_P.LISTENING, _P.FAILED)
            )
        )

    def failure(self) -> ServerDownError:
        """Wait for the failure and return it."""
        error = self.states.wait_for(lambda state: state.phase is _P.FAILED).error
        assert isinstance(error, ServerDownError)
        return error


MakeServer = Callable[..., _ServerHarness]


@pytest.fixture
def make_server(make_desk: MakeDesk) -> Iterator[MakeServer]:
    """Return a maker of servers: ``make_server(script)``, the real child without a script."""
    before = open_fds()
    made: list[_ServerHarness] = []

    def make(
        script: dict[str, Any] | None = None,
        *,
        engine: dict[str, Any] | None = None,
        **options: Any,
    ) -> _ServerHarness:
        command = None
        if script is not None:
            command = [sys.executable, "-S", str(_PROBLEM_SERVER), json.dumps(script)]
        desk = make_desk(engine or {"words": 1}, loaded=engine is not None)
        made.append(_ServerHarness(desk, command, **options))
        return made[-1]

    yield make
    for each in made:
        each.server.stop()
        assert each.server.state.phase is _P.STOPPED
        assert each.server.pid is None
        each.engine.stop()
    assert open_fds() <= before


# --- opening --------------------------------------------------------------------------------------


def test_the_real_child_listens_where_it_says_and_stops(make_server: MakeServer) -> None:
    made = make_server()
    state = made.start()
    assert (state.phase, state.address) == (_P.LISTENING, "127.0.0.1")
    assert state.url == f"http://127.0.0.1:{state.port}/v1"
    with socket.create_connection((state.address, state.port), timeout=WAIT_S):
        pass
    pid = made.server.pid
    assert pid is not None
    made.server.stop()
    assert not psutil.pid_exists(pid)
    phases = [state.phase for state in made.states.items]
    assert phases == [_P.STARTING, _P.LISTENING, _P.STOPPED]
    assert made.server.state.url == ""


def test_a_port_in_use_is_said_in_the_childs_words(make_server: MakeServer) -> None:
    made = make_server()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        state = made.start(ServerOptions(port=taken, key="fathom-test"))
    assert state.phase is _P.FAILED
    assert state.error is not None
    assert state.error.code == "server_port_busy"
    assert str(taken) in state.error.message
    # It can be started again with another port.
    assert made.start().phase is _P.LISTENING


def test_starting_again_ends_the_one_before(make_server: MakeServer) -> None:
    made = make_server({})
    made.start()
    first = made.server.pid
    made.server.start(_OPTIONS)
    made.states.wait_for(lambda _: made.server.state.phase is _P.LISTENING)
    assert first is not None
    assert not psutil.pid_exists(first)
    assert [state.phase for state in made.states.items] == [
        *[_P.STARTING, _P.LISTENING, _P.STOPPED],
        *[_P.STARTING, _P.LISTENING],
    ]


def test_the_child_gets_its_options_on_its_pipe_and_no_token(
    make_server: MakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    heard = tmp_path / "heard"
    made = make_server({"heard": str(heard)})
    made.start(ServerOptions(port=0, key="fathom-abc", allowed_origins=("http://a.example",)))
    child = psutil.Process(made.server.pid)
    assert "fathom-abc" not in " ".join(child.cmdline())
    assert "hf_secret" not in child.environ().values()
    assert "fathom-abc" not in "".join(child.environ().values())
    line = json.loads(heard.read_bytes().splitlines()[0])
    assert (line["op"], line["key"]) == ("open", "fathom-abc")
    assert line["allowed_origins"] == ["http://a.example"]


@pytest.mark.parametrize("begin", ["garbage", "early", "twice", "exit"])
def test_a_child_that_does_not_begin_as_it_should_is_ended(
    make_server: MakeServer, begin: str
) -> None:
    made = make_server({"begin": begin, "says": "my last words"})
    made.server.start(_OPTIONS)
    error = made.failure()
    assert error.message.startswith("The server ")
    assert "my last words" in error.details
    assert made.server.pid is None


def test_a_child_that_never_begins_is_ended(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing but the limit can end it, however slow the machine is.
    monkeypatch.setattr("models.api.server.BEGIN_LIMIT_S", 0.2)
    made = make_server({"begin": "never"})
    made.server.start(_OPTIONS)
    assert "0.2 s" in made.failure().message
    assert made.server.pid is None


def test_a_program_that_is_not_there_is_said(make_server: MakeServer) -> None:
    made = make_server()
    made.server = ApiServer(
        made.engine,
        made.turns,
        served=lambda: MODEL,
        defaults=lambda: (Sampling(), 16),
        noted=made.notes,
        on_state=made.states,
        on_turned_away=made.turned_away,
        command=["/nowhere/fathom"],
    )
    made.server.start(_OPTIONS)
    assert made.failure().message == "The server cannot be started."


# --- while it runs --------------------------------------------------------------------------------


def test_questions_are_answered_over_the_pipe(make_server: MakeServer, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    made = make_server({"asks": 2, "heard": str(heard)}, engine={"words": 2})
    made.start()
    made.notes.wait_for(lambda note: note.id == 2 and note.state == "done")
    made.server.stop()
    ops = [(line["op"], line.get("id")) for line in map(json.loads, heard.read_text().splitlines())]
    assert [op for op, number in ops if number == 1] == ["begun", "piece", "piece", "ended"]
    assert [op for op, number in ops if number == 2][-4:] == ["begun", "piece", "piece", "ended"]


def test_pages_that_were_turned_away_are_told(make_server: MakeServer) -> None:
    made = make_server({"turned": 1})
    made.start()
    told = made.turned_away.wait_for(lambda _: True)
    assert told == TurnedAway("origin", "https://evil.example", 1)


@pytest.mark.parametrize("then", ["die", "exit", "garbage"])
def test_a_child_that_dies_leaves_no_answer_behind(make_server: MakeServer, then: str) -> None:
    script = {"asks": 2, "then": then, "after_first_answer": True}
    made = make_server(script, engine=ENDLESS)
    made.server.start(_OPTIONS)
    made.failure()
    for number in (1, 2):
        note = made.notes.wait_for(
            lambda note, number=number: note.id == number and note.state in ("done", "gone")
        )
        assert note.state == "gone"
    # The engine is free although its answer would never have ended.
    made.parts.take_turn().end()


def test_a_server_started_while_another_one_is_dying_keeps_its_requests(
    make_server: MakeServer,
) -> None:
    script = {"asks": 1, "then": "die", "after_first_answer": True}
    made = make_server(script, engine=ENDLESS)
    server, lock = made.server, LockWithGap()
    server._lock = server._outbox._lock = lock  # type: ignore[assignment]

    def start_another() -> None:
        server.start(_OPTIONS)
        made.notes.wait_for(lambda note: note.id == 2)

    lock.when = lambda: server._state.phase is _P.FAILED
    lock.in_gap = start_another
    server.start(_OPTIONS)
    ahead = made.notes.wait_for(lambda note: note.id == 2 and note.state != "waiting")
    assert ahead.state == "answering"


def test_stopping_cancels_the_answers(make_server: MakeServer) -> None:
    made = make_server({"asks": 2}, engine=ENDLESS)
    made.start()
    made.notes.wait_for(lambda note: note.state == "answering")
    made.notes.wait_for(lambda note: note.id == 2)
    made.server.stop()
    made.notes.wait_for(lambda note: note.id == 1 and note.state == "gone")
    made.notes.wait_for(lambda note: note.id == 2 and note.state == "gone")
    made.parts.take_turn().end()


def test_answers_can_be_stopped_while_it_goes_on(make_server: MakeServer) -> None:
    made = make_server({"asks": 1}, engine=ENDLESS)
    made.start()
    made.notes.wait_for(lambda note: note.state == "answering")
    made.server.stop_current()
    failed = made.notes.wait_for(lambda note: note.state == "failed")
    assert failed.error == "The answer was stopped."
    assert made.server.state.phase is _P.LISTENING


# --- ending ---------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="TerminateProcess cannot be ignored")
def test_a_child_that_ignores_its_end_is_killed(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.api.server._STEPS_S", (0.05, 0.05, WAIT_S))
    made = make_server({"then": "deaf"})
    made.start()
    pid = made.server.pid
    assert pid is not None
    made.server.stop()
    assert not psutil.pid_exists(pid)
    assert made.server.state == ServerState()


def test_stopping_what_never_ran_and_stopping_twice_is_nothing(make_server: MakeServer) -> None:
    made = make_server({})
    made.server.stop()
    assert made.states.items == []
    made.start()
    made.server.stop()
    made.server.stop()
    phases = [state.phase for state in made.states.items]
    assert phases == [_P.STARTING, _P.LISTENING, _P.STOPPED]


def test_what_is_closed_is_not_started_any_more(make_server: MakeServer) -> None:
    """A lane of the window may still be about to open it while the window closes."""
    made = make_server({})
    made.start()
    made.server.close()
    made.server.start(_OPTIONS)
    assert made.server.pid is None
    phases = [state.phase for state in made.states.items]
    assert phases == [_P.STARTING, _P.LISTENING, _P.STOPPED]


def test_it_may_be_stopped_before_it_has_begun(make_server: MakeServer) -> None:
    made = make_server({"begin": "never"})
    made.server.start(_OPTIONS)
    made.server.stop()
    assert [state.phase for state in made.states.items] == [_P.STARTING, _P.STOPPED]


def test_a_failed_one_that_is_switched_off_is_off(make_server: MakeServer) -> None:
    made = make_server({"begin": "busy"})
    assert made.start().phase is _P.FAILED
    made.server.stop()
    assert made.states.items[-1] == ServerState()
