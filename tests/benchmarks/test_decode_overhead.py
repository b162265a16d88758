"""The benchmark of the engine child runs, and says when its figures are not to be trusted."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks import decode_overhead
from benchmarks.decode_overhead import Measurement, summarize
from helpers.fathom_process import TIMEOUT_S, one_object


def a_round(engine: float, bare: float, llama: float, others: float) -> dict[str, Measurement]:
    rates = {"engine": engine, "bare": bare, "llama": llama}
    return {
        name: Measurement(tokens=11, decode_s=10 / rate, other_cores=others, own_tok_s=rate)
        for name, rate in rates.items()
    }


def test_the_first_token_is_not_counted() -> None:
    assert Measurement(tokens=11, decode_s=2.0, other_cores=0.0).rate_tok_s == 5.0


def test_ratios_are_taken_round_by_round() -> None:
    rounds = [a_round(10, 10, 5, 0), a_round(20, 40, 20, 0), a_round(30, 30, 30, 0)]
    summary = summarize(rounds, threads=2, tokens=11)
    assert summary["engine_to_bare"] == pytest.approx({"median": 1.0, "min": 0.5, "max": 1.0})
    assert summary["engine_to_llama"]["median"] == pytest.approx(1.0)
    assert summary["decode_tok_s"]["engine"]["median"] == pytest.approx(20)
    assert summary["trusted"] is True


def test_only_quiet_rounds_count_when_there_are_three() -> None:
    rounds = [a_round(10, 10, 10, 0.05)] * 3 + [a_round(1, 10, 10, 1.5)] * 4
    summary = summarize(rounds, threads=2, tokens=11)
    assert (summary["quiet_rounds"], summary["trusted"]) == (3, True)
    assert summary["engine_to_bare"]["min"] == pytest.approx(1.0)


def test_a_busy_machine_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    summary = summarize([a_round(1, 10, 10, 1.5)] * 4, threads=2, tokens=11)
    assert summary["trusted"] is False
    assert summary["other_cores"] == 1.5
    decode_overhead._print(summary)
    assert "NOT TO BE TRUSTED: 0 of 4 rounds" in capsys.readouterr().out


@pytest.mark.model
def test_one_short_run_of_all_three() -> None:
    options = ["--rounds", "1", "--tokens", "6", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, decode_overhead.__file__, *options, "--json"],
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=True,
    )
    summary = one_object(done.stdout)
    assert set(summary["decode_tok_s"]) == {"engine", "bare", "llama"}
    assert all(spread["median"] > 0 for spread in summary["decode_tok_s"].values())
    assert summary["engine_to_bare"]["median"] > 0
    assert "round  1" in done.stderr
