"""From tokens to pieces and figures, without a checkpoint."""

from __future__ import annotations

import pytest

from models.chat.reasoning import ReasoningSplitter
from models.runtime.llama.generation import Progress, TextAssembler
from models.runtime.protocol import GenerateRequest

Sent = tuple[str, str, int]


def assemble(
    tokens: list[bytes], *stop: str, period_s: float = 0.0, thinks: bool = False
) -> tuple[list[Sent], bool]:
    """Feed tokens, a millisecond apart; return what was sent and whether a stop string came."""
    sent: list[Sent] = []
    assembler = TextAssembler(
        GenerateRequest((), stop=stop),
        splitter=ReasoningSplitter(thinks),
        emit=lambda text, reasoning, count: sent.append((text, reasoning, count)),
        period_s=period_s,
    )
    stopped = any(assembler.feed(token, 1.0 + place / 1000) for place, token in enumerate(tokens))
    assembler.finish(stopped=stopped)
    return sent, stopped


def single_bytes(text: str) -> list[bytes]:
    return [bytes([byte]) for byte in text.encode()]


def test_characters_cut_into_bytes_come_out_whole_and_once() -> None:
    text = "日本語 🌊🐋 été"
    sent, _ = assemble(single_bytes(text))
    assert "".join(piece for piece, _, _ in sent) == text
    assert [piece for piece, _, _ in sent[:2]] == ["日", "本"]
    assert sum(count for _, _, count in sent) == len(text.encode())


def test_an_answer_that_ends_within_a_character_says_so() -> None:
    sent, _ = assemble([b"sea \xf0\x9f"])
    assert "".join(piece for piece, _, _ in sent) == "sea \ufffd"


@pytest.mark.parametrize("tokens", [single_bytes("One END two"), [b"One EN", b"D two"]])
def test_a_stop_string_is_found_across_tokens_and_never_shown(tokens: list[bytes]) -> None:
    sent, stopped = assemble(tokens, "END")
    assert stopped
    assert "".join(piece for piece, _, _ in sent) == "One "


def test_the_start_of_a_stop_string_is_shown_when_it_is_none() -> None:
    sent, stopped = assemble(single_bytes("One EN"), "END")
    assert not stopped
    assert "".join(piece for piece, _, _ in sent) == "One EN"


def test_reasoning_that_the_template_opened_comes_apart() -> None:
    sent, _ = assemble(single_bytes("Salt.</think>\n\nRivers."), thinks=True)
    assert "".join(thought for _, thought, _ in sent) == "Salt."
    assert "".join(piece for piece, _, _ in sent) == "Rivers."


def test_pieces_keep_their_distance() -> None:
    tokens = [b"a"] * 100
    sent, _ = assemble(tokens, period_s=0.05)
    assert [count for _, _, count in sent] == [1, 50, 49]


def test_figures_of_an_answer() -> None:
    progress = Progress(start_s=100.0, prompt_tokens=60, reused_tokens=10)
    progress.prefill_began_s = 100.5
    progress.prefill_tokens_done = 20
    assert progress.prefill_tok_s(101.5) == 20.0
    progress.prefill_tokens_done, progress.prefill_s, progress.phase = 50, 2.0, "decode"
    assert progress.prefill_tok_s(999.0) == 25.0
    assert (progress.ttft_s, progress.decode_tok_s(103.0)) == (None, 0.0)
    # Ten a second for two seconds, then five for one.
    moments = [103.0 + step / 10 for step in range(21)] + [105.0 + step / 5 for step in range(1, 6)]
    for moment in moments:
        progress.count_token(moment)
    assert progress.ttft_s == 3.0
    assert progress.completion_tokens == 26
    assert progress.decode_mean_tok_s() == pytest.approx(25 / 3.0)
    assert progress.decode_tok_s(106.0) == pytest.approx(5.0)
