"""The parent's side of a child that answers questions; that of a real one is in test_oracle.py."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from models.errors import InvalidSettingError, OracleError, StoppedError
from models.runtime.piped_child import PipedChild

# Tells back what it is asked, or what it is told to tell.
_ECHO = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    tell = asked.get("tell", {"event": "heard", "words": [asked["op"]]})
    print(json.dumps({"id": asked["id"], **tell}), flush=True)
"""
# Its standard error ends well before its last answer.
_LAST_ANSWER = """
import os, sys
os.close(2)
sys.stdin.readline()
os.write(1, b'{"id": 1, "event": "heard", "words": ["the last"]}\\n')
os._exit(0)
"""


@dataclass(frozen=True)
class _Heard:
    words: tuple[str, ...]


@pytest.fixture
def make() -> Iterator[Callable[[str], PipedChild]]:
    made: list[PipedChild] = []

    def child(script: str) -> PipedChild:
        command = [sys.executable, "-c", script]
        made.append(PipedChild(command, name="The child", error=OracleError))
        return made[-1]

    yield child
    for one in made:
        one.close()


def _go_on() -> None:
    pass


def test_an_answer_and_an_error_are_told_and_the_child_goes_on(
    make: Callable[[str], PipedChild],
) -> None:
    child = make(_ECHO)
    assert child.ask("first", {}, _Heard, _go_on) == _Heard(("first",))
    refusal = {"event": "error", **InvalidSettingError("No.", hint="n_ctx").to_json()}
    found = child.ask("second", {"tell": refusal}, _Heard, _go_on)
    assert isinstance(found, InvalidSettingError)
    assert (found.message, found.hint) == ("No.", "n_ctx")
    assert child.ask("third", {}, _Heard, _go_on) == _Heard(("third",))


def test_an_answer_to_another_question_is_dropped(make: Callable[[str], PipedChild]) -> None:
    child = make(_ECHO)

    def check() -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        child.ask("first", {"tell": {"id": 77, "event": "heard", "words": []}}, _Heard, check)
    assert child.ask("second", {}, _Heard, _go_on) == _Heard(("second",))


@pytest.mark.parametrize("told", [{"event": "heard", "words": 7}, {"event": "heard"}])
def test_what_is_no_answer_is_the_childs_error(
    make: Callable[[str], PipedChild], told: dict[str, object]
) -> None:
    with pytest.raises(OracleError, match="The child sent something that is not its protocol"):
        make(_ECHO).ask("first", {"tell": told}, _Heard, _go_on)


def test_the_last_answer_of_a_child_that_ends_is_heard(make: Callable[[str], PipedChild]) -> None:
    child = make(_LAST_ANSWER)
    assert child.ask("first", {}, _Heard, _go_on) == _Heard(("the last",))
    with pytest.raises(OracleError, match="The child"):
        child.ask("second", {}, _Heard, _go_on)
