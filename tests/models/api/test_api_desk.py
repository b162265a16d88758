"""Programs' questions: answered in turn, and every turn given back however a request ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from helpers.desk_parts import ENDLESS, MODEL, DeskHarness
from helpers.engine_harness import SETTINGS
from helpers.logcheck import LogCheck
from models.api.desk import MAX_REQUESTS, RequestNote, engine_request
from models.api.protocol import (
    AskedForModels,
    Begun,
    Ended,
    Failed,
    Gone,
    ModelsKnown,
    Piece,
    Question,
    Queued,
    ServedModel,
)
from models.api.requests import Awaited
from models.errors import InvalidSettingError
from models.runtime.protocol import PromptMessage, Sampling

MakeDesk = Callable[..., DeskHarness]
_MESSAGES = (PromptMessage("user", "Why?"),)


# --- answers --------------------------------------------------------------------------------------


def test_an_answer_comes_whole_and_the_turn_is_given_back(make_desk: MakeDesk) -> None:
    made = make_desk({"words": 3})
    made.ask(1)
    end = made.wait_for_end(1)
    assert isinstance(end, Ended)
    assert made.kinds(1) == ["Begun", "Piece", "Ended"]
    assert made.of(1)[0] == Begun(1, "problem", 7)
    assert made.text(1) == "word0 word1 word2 "
    assert (end.stop_reason, end.usage.prompt_tokens, end.usage.seed) == ("end", 7, 1)
    made.take_turn().end()


def test_notes_hold_figures_and_no_word_of_it(make_desk: MakeDesk) -> None:
    made = make_desk({"words": 3})
    made.ask(1, text="a secret")
    done = made.wait_for_note(1, "done")
    assert [note.state for note in made.notes.items] == ["waiting", "answering", "done"]
    assert (done.model, done.prompt_tokens, done.error) == ("problem", 7, "")
    assert done.elapsed_s > 0
    shown = repr(made.notes.items)
    assert "secret" not in shown
    assert "word0" not in shown


def test_who_asks_next_waits_and_is_told_how_many_are_before(make_desk: MakeDesk) -> None:
    made = make_desk({"words": 1})
    chat = made.take_turn()
    for request_id in (1, 2, 3):
        made.ask(request_id)
    assert [made.of(n) for n in (1, 2, 3)] == [[Queued(n, n)] for n in (1, 2, 3)]
    chat.end()
    for request_id in (1, 2, 3):
        assert isinstance(made.wait_for_end(request_id), Ended)
    assert [reply.ahead for reply in made.of(3) if isinstance(reply, Queued)] == [3, 2, 1]
    ends = [reply.id for reply in made.replies.items if isinstance(reply, Ended)]
    assert ends == [1, 2, 3]


def test_the_chat_and_programs_take_turns_in_the_order_of_asking(make_desk: MakeDesk) -> None:
    made = make_desk({"words": 1})
    order: list[str] = []
    first = made.take_turn()
    made.ask(1)
    chat_began = threading.Event()

    def begin_chat() -> None:
        order.extend(type(reply).__name__ for reply in made.of(1) if isinstance(reply, Ended))
        order.append("chat")
        chat_began.set()

    chat = made.turns.ask(begin_chat)
    made.ask(2)
    first.end()
    made.wait_for_end(1)
    assert chat_began.wait(30)
    assert order == ["Ended", "chat"]
    assert made.kinds(2) == ["Queued"]
    chat.end()
    assert isinstance(made.wait_for_end(2), Ended)


def test_a_crash_that_safe_mode_makes_good_begins_once(make_desk: MakeDesk) -> None:
    made = make_desk({"generate": "segv_early_repacked", "words": 2})
    made.ask(1)
    assert isinstance(made.wait_for_end(1), Ended)
    assert made.kinds(1) == ["Begun", "Piece", "Ended"]
    assert made.text(1) == "word0 word1 "


# --- who hangs up ---------------------------------------------------------------------------------


def test_a_client_that_hangs_up_while_it_waits_leaves_the_queue(make_desk: MakeDesk) -> None:
    made = make_desk({"words": 1})
    chat = made.take_turn()
    made.ask(1)
    made.ask(2)
    made.desk.take(Gone(1))
    made.wait_for_note(1, "gone")
    chat.end()
    assert isinstance(made.wait_for_end(2), Ended)
    assert made.kinds(1) == ["Queued"]


def test_a_client_that_hangs_up_frees_the_engine(make_desk: MakeDesk) -> None:
    made = make_desk(ENDLESS)
    made.ask(1)
    made.replies.wait_for_kind(Piece, 1)
    made.ask(2)
    made.desk.take(Gone(1))
    # The other one's turn comes although the first answer would never have ended.
    made.replies.wait_for_kind(Begun, 2)
    assert made.wait_for_note(1, "done", "failed", "gone").state == "gone"
    assert not [reply for reply in made.of(1) if isinstance(reply, (Ended, Failed))]
    made.desk.take(Gone(2))
    made.take_turn().end()


def test_hanging_up_twice_or_after_the_end_does_nothing(make_desk: MakeDesk) -> None:
    made = make_desk({"words": 1})
    made.ask(1)
    made.wait_for_end(1)
    made.desk.take(Gone(1))
    made.desk.take(Gone(1))
    made.desk.take(Gone(77))
    made.take_turn().end()
    assert [note.state for note in made.notes.items] == ["waiting", "answering", "done"]


# --- what stops it --------------------------------------------------------------------------------


def test_stopping_ends_the_answer_and_refuses_what_waits(make_desk: MakeDesk) -> None:
    made = make_desk(ENDLESS)
    made.ask(1)
    made.replies.wait_for_kind(Piece, 1)
    made.ask(2)
    made.ask(3)
    made.desk.stop_current()
    for request_id in (1, 2, 3):
        end = made.wait_for_end(request_id)
        assert isinstance(end, Failed)
        assert (end.status, end.code, end.message) == (503, "stopped", "The answer was stopped.")
    # None of those that waited has begun in between.
    assert [made.kinds(n) for n in (2, 3)] == [["Queued", "Failed"]] * 2
    made.take_turn().end()
    made.ask(4)
    made.replies.wait_for_kind(Begun, 4)
    made.desk.stop_current()
    made.wait_for_end(4)


@pytest.mark.parametrize("kind", ["segv_late", "kill", "exit", "garbage"])
def test_a_dying_engine_fails_the_request_and_gives_the_turn_back(
    make_desk: MakeDesk, kind: str
) -> None:
    made = make_desk({"generate": kind})
    made.ask(1)
    end = made.wait_for_end(1)
    assert isinstance(end, Failed)
    assert end.status == 500
    note = made.wait_for_note(1, "failed")
    assert note.error == end.message
    made.take_turn().end()


def test_an_engine_that_is_stopped_says_so_to_the_client(make_desk: MakeDesk) -> None:
    made = make_desk(ENDLESS)
    made.ask(1)
    made.replies.wait_for_kind(Piece, 1)
    made.engine.stop()
    end = made.wait_for_end(1)
    assert isinstance(end, Failed)
    assert end.status == 503
    made.take_turn().end()


def test_a_closed_desk_says_nothing_and_ids_come_again_at_the_next(make_desk: MakeDesk) -> None:
    made = make_desk(ENDLESS)
    made.ask(1)
    made.replies.wait_for_kind(Piece, 1)
    made.ask(2)
    made.desk.close()
    made.wait_for_note(1, "gone")
    made.wait_for_note(2, "gone")
    before, said_before = made.replies, made.replies.items
    # The next child begins with the same number, and means another request.
    made.open_desk()
    made.ask(1)
    made.wait_for_note(3, "answering")
    made.replies.wait_for_kind(Piece, 1)
    made.desk.take(Gone(1))
    made.wait_for_note(3, "gone")
    made.take_turn().end()
    assert before.items == said_before


def test_after_the_end_nothing_is_taken(make_desk: MakeDesk) -> None:
    made = make_desk(ENDLESS)
    made.ask(1)
    made.replies.wait_for_kind(Piece, 1)
    made.desk.close()
    made.wait_for_note(1, "gone")
    made.ask(2)
    assert made.of(2) == []
    made.take_turn().end()


def test_a_bug_before_the_engine_is_asked_costs_one_request(
    make_desk: MakeDesk, allow_logs: LogCheck
) -> None:
    allow_logs("could not be handed to the engine")
    made = make_desk({"words": 1})

    def fail() -> Sampling:
        raise ZeroDivisionError

    made.sampling = fail
    chat = made.take_turn()
    made.ask(1)
    chat.end()
    end = made.wait_for_end(1)
    assert isinstance(end, Failed)
    assert (end.status, end.code) == (500, "internal")
    # Also where nobody is before it, and it fails within its asking.
    made.ask(2)
    assert isinstance(made.wait_for_end(2), Failed)
    made.sampling = Sampling
    made.ask(3)
    assert isinstance(made.wait_for_end(3), Ended)


@pytest.mark.parametrize("state", ["waiting", "answering", "done"])
def test_a_bug_of_who_is_told_of_a_request_costs_nothing(
    make_desk: MakeDesk, allow_logs: LogCheck, state: str
) -> None:
    allow_logs("a listener of the server failed")
    made = make_desk({"words": 1})

    def fail(note: RequestNote) -> None:
        notes(note)
        if note.state == state:
            raise ZeroDivisionError

    notes, made.notes = made.notes, fail  # type: ignore[assignment]
    made.open_desk()
    made.ask(1)
    assert isinstance(made.wait_for_end(1), Ended)
    made.take_turn().end()
    assert [note.state for note in notes.items] == ["waiting", "answering", "done"]


def test_many_threads_that_ask_hang_up_and_stop_leave_the_turn_free(make_desk: MakeDesk) -> None:
    made = make_desk({"words": 5})

    def work(first_id: int) -> None:
        for number in range(24):
            made.ask(first_id + number)
            if number % 3 == 0:
                made.desk.take(Gone(first_id + number))
            if number % 8 == 7:
                made.desk.stop_current()
            made.desk.take(Gone(first_id + number - 2))

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(1, 73):
        made.wait_for_note(number, "done", "failed", "gone")
    made.take_turn().end()
    for request_id in {reply.id for reply in made.replies.items}:
        ends = [reply for reply in made.of(request_id) if isinstance(reply, (Ended, Failed))]
        assert len(ends) <= 1
        assert not ends or made.of(request_id)[-1] is ends[0]
    finals = [note for note in made.notes.items if note.state in ("done", "failed", "gone")]
    assert sorted(note.id for note in finals) == list(range(1, 73))


# --- what is refused ------------------------------------------------------------------------------


def _refusal(made: DeskHarness, request_id: int = 1) -> Failed:
    end = made.wait_for_end(request_id)
    assert isinstance(end, Failed)
    assert made.of(request_id) == [end]
    return end


def test_without_a_checkpoint_it_says_so(make_desk: MakeDesk) -> None:
    made = make_desk()
    made.served = None
    made.ask(1)
    refusal = _refusal(made)
    assert (refusal.status, refusal.message, refusal.retry_after_s) == (
        503,
        "No checkpoint is loaded.",
        0,
    )
    made.desk.take(AskedForModels(2))
    assert made.wait_for_end(2) == ModelsKnown(2, ())


@pytest.mark.parametrize("served", [None, MODEL], ids=["known", "not known yet"])
def test_a_load_under_way_is_told_with_a_time_to_come_again(
    make_desk: MakeDesk, served: ServedModel | None
) -> None:
    made = make_desk({"load": "slow"}, loaded=False)
    made.served = served
    load = made.engine.load("/models/slow.gguf", SETTINGS)
    made.ask(1)
    refusal = _refusal(made)
    assert refusal.status == 503
    assert refusal.code == ("engine_busy" if served else "model_loading")
    assert refusal.retry_after_s > 0
    made.take_turn().end()
    made.engine.cancel(load)


def test_what_is_awaited_is_told_with_the_time_to_come_again(make_desk: MakeDesk) -> None:
    made = make_desk(loaded=False)
    for request_id, wait_s, retry_s in ((1, 0.0, 5), (2, 41.2, 42)):
        made.served = Awaited(wait_s)
        made.ask(request_id)
        refusal = made.wait_for_end(request_id)
        assert isinstance(refusal, Failed)
        assert (refusal.status, refusal.code) == (503, "model_loading")
        assert refusal.retry_after_s == retry_s
    made.desk.take(AskedForModels(3))
    assert made.of(3) == [ModelsKnown(3, ())]


def test_another_model_is_refused_by_the_name_of_what_there_is(make_desk: MakeDesk) -> None:
    made = make_desk()
    made.ask(1, model="gpt-4o")
    refusal = _refusal(made)
    assert (refusal.status, refusal.code) == (404, "model_not_found")
    assert '"problem"' in refusal.message
    made.take_turn().end()


def test_a_model_that_went_while_somebody_waited_is_refused(make_desk: MakeDesk) -> None:
    made = make_desk()
    chat = made.take_turn()
    made.ask(1, model="problem")
    made.served = ServedModel("another", 100)
    chat.end()
    end = made.wait_for_end(1)
    assert isinstance(end, Failed)
    assert end.status == 404
    made.take_turn().end()


@pytest.mark.parametrize("name", ["", "problem", "deepseek-chat", "deepseek-reasoner"])
def test_these_names_are_answered(make_desk: MakeDesk, name: str) -> None:
    made = make_desk({"words": 1})
    made.ask(1, model=name)
    assert isinstance(made.wait_for_end(1), Ended)
    begun = made.of(1)[0]
    assert isinstance(begun, Begun)
    assert begun.model == "problem"


def test_more_than_so_many_do_not_wait(make_desk: MakeDesk) -> None:
    made = make_desk({"words": 1})
    chat = made.take_turn()
    for request_id in range(MAX_REQUESTS):
        made.ask(request_id)
    made.ask(99)
    refusal = _refusal(made, 99)
    assert refusal.status == 429
    assert refusal.retry_after_s > 0
    made.desk.take(Gone(0))
    made.ask(100)
    assert made.kinds(100) == ["Queued"]
    made.desk.close()
    chat.end()


def test_what_is_there_is_told(make_desk: MakeDesk) -> None:
    made = make_desk()
    made.desk.take(AskedForModels(5))
    assert made.wait_for_end(5) == ModelsKnown(5, (MODEL,))


# --- what the engine is asked ---------------------------------------------------------------------


def _request(**fields: Any) -> Any:
    return engine_request(Question("", _MESSAGES, **fields), Sampling(temperature=0.6), 512)


def test_what_a_client_leaves_open_is_taken_from_the_settings() -> None:
    request = _request(sampling={"top_p": 0.5, "seed": 7.0})
    assert request.sampling == Sampling(temperature=0.6, top_p=0.5, seed=7)
    assert isinstance(request.sampling.seed, int)
    assert request.max_tokens == 512


def test_what_a_client_gives_is_taken_as_it_is() -> None:
    request = _request(
        max_tokens=9, stop=("END",), continue_answer=True, template_options={"thinking": True}
    )
    assert (request.max_tokens, request.stop, request.continue_answer) == (9, ("END",), True)
    assert request.template_options == {"thinking": True}
    assert request.messages == _MESSAGES


@pytest.mark.parametrize(
    "sampling",
    [{"top_k": float("inf")}, {"temperature": float("nan")}, {"__class__": 1.0}, {"": 0.0}],
    ids=["infinite", "not a number", "no setting", "empty"],
)
def test_a_child_that_lies_is_refused(sampling: dict[str, float]) -> None:
    with pytest.raises(InvalidSettingError):
        _request(sampling=sampling)


@pytest.mark.parametrize(
    ("model", "given", "options"),
    [
        ("deepseek-chat", {}, {"enable_thinking": False, "thinking": False}),
        ("deepseek-reasoner", {}, {"enable_thinking": True, "thinking": True}),
        ("deepseek-reasoner", {"enable_thinking": False}, {"enable_thinking": False}),
        ("problem", {}, {}),
    ],
    ids=["chat", "reasoner", "given", "by its own name"],
)
def test_deepseeks_names_say_whether_it_thinks(
    model: str, given: dict[str, bool], options: dict[str, bool]
) -> None:
    question = Question(model, _MESSAGES, template_options=given)
    assert engine_request(question, Sampling(), 0).template_options == options
