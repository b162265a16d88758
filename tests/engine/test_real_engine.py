"""The real engine child on the demo checkpoint, spoken to line by line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.engine_process import EngineProcess
from models.library.demo import find_demo

QUESTION = "Why is the sea salty?"


@pytest.fixture(scope="module")
def demo() -> Path:
    path = find_demo()
    assert path is not None, "the demo checkpoint is part of the installation"
    return path


@pytest.fixture(scope="module")
def engine(demo: Path) -> Iterator[EngineProcess]:
    process = EngineProcess()
    try:
        assert process.next_event()["event"] == "hello"
        assert process.load(demo, n_ctx=2048)["event"] == "loaded"
        yield process
    finally:
        assert process.close() == 0


@pytest.fixture
def fresh() -> Iterator[EngineProcess]:
    process = EngineProcess()
    try:
        assert process.next_event()["event"] == "hello"
        yield process
    finally:
        process.close()


def test_hello_names_protocol_and_engine(demo: Path) -> None:
    process = EngineProcess()
    try:
        hello = process.next_event()
        assert hello["protocol"] == 1
        assert hello["engine"] == "llama.cpp"
        assert hello["pid"] == process.process.pid
    finally:
        assert process.close() == 0


def test_what_llama_cpp_says_while_it_starts_comes_after_hello(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # As a CUDA build does on a machine without its driver.
    monkeypatch.setenv("GGML_BACKEND_PATH", str(tmp_path / "missing.so"))
    process = EngineProcess()
    try:
        assert process.next_event()["event"] == "hello"
        log = process.next_event()
        assert (log["event"], log["level"]) == ("log", "error")
        assert "missing.so" in log["text"]
    finally:
        assert process.close() == 0


def test_devices_list_the_cpu_with_its_features(engine: EngineProcess) -> None:
    listing = engine.ask("devices")[-1]
    cpu = next(device for device in listing["devices"] if device["kind"] == "cpu")
    assert cpu["total_bytes"] > 0
    assert "CPU" in listing["backends"]
    assert listing["cpu_features"]


def test_load_reports_progress_in_bytes_and_exact_memory(fresh: EngineProcess, demo: Path) -> None:
    events = fresh.ask("load", path=str(demo), settings={"n_ctx": 1000})
    progress = [event for event in events if event["event"] == "load_progress"]
    done = [event["bytes_done"] for event in progress]
    assert done == sorted(done)
    assert {event["bytes_total"] for event in progress} == {demo.stat().st_size}
    stages = list(dict.fromkeys(event["stage"] for event in progress))
    assert stages == ["checking", "reading", "context", "warmup"]
    loaded = events[-1]
    assert loaded["settings"]["n_ctx"] == 1024  # llama.cpp rounds up to 256
    assert loaded["model"]["architecture"] == "llama"
    assert loaded["model"]["template_source"] == "checkpoint"
    (cpu,) = loaded["devices"]
    # 30 layers, 3 KV heads of 64, K and V, two bytes each.
    assert cpu["kv_bytes"] == 1024 * 30 * 3 * 64 * 2 * 2
    assert cpu["source"] == "llama.cpp"
    assert cpu["compute_bytes"] > 0
    stats = [event for event in events if event["event"] == "stats"]
    assert stats[-1]["phase"] == "idle"


def test_greedy_answer_is_sensible_and_its_figures_agree(engine: EngineProcess) -> None:
    events = engine.ask(
        "generate",
        messages=[{"role": "user", "content": QUESTION}],
        sampling={"temperature": 0},
        max_tokens=60,
    )
    started = events[0]
    assert started["event"] == "started"
    deltas = [event for event in events if event["event"] == "delta"]
    text = "".join(delta["text"] for delta in deltas)
    assert "salt" in text.lower()
    done = events[-1]
    assert done["stop_reason"] in ("end", "length")
    covered = sum(delta["tokens"] for delta in deltas)
    ended_by_token = done["stop_reason"] == "end"
    assert covered == done["completion_tokens"] - ended_by_token
    assert done["prompt_tokens"] == started["prompt_tokens"]
    assert done["context_used"] <= done["prompt_tokens"] + done["completion_tokens"]
    assert done["ttft_s"] > 0
    assert done["decode_tok_s"] > 0
    assert done["peak_rss_bytes"] > 90_000_000


def test_the_same_question_gives_the_same_greedy_answer(engine: EngineProcess) -> None:
    first = engine.answer("Name three colours.", max_tokens=24)[0]
    second = engine.answer("Name three colours.", max_tokens=24)[0]
    assert first == second


def test_a_seed_repeats_a_sampled_answer_and_is_reported(engine: EngineProcess) -> None:
    sampling = {"temperature": 1.2, "seed": 1234}
    first = engine.answer("Tell me a story.", sampling=sampling, max_tokens=24)
    second = engine.answer("Tell me a story.", sampling=sampling, max_tokens=24)
    other = engine.answer("Tell me a story.", sampling={**sampling, "seed": 99}, max_tokens=24)
    assert first[0] == second[0] != other[0]
    assert first[2]["seed"] == 1234
    drawn = engine.answer("Tell me a story.", sampling={"temperature": 1.2}, max_tokens=2)
    assert drawn[2]["seed"] >= 0


@pytest.mark.parametrize(
    "sampling",
    [
        {"repeat_penalty": 1.3, "penalty_last_n": -1},
        {"presence_penalty": 1.5, "frequency_penalty": 1.0},
        {"dry_multiplier": 2.0},
    ],
)
def test_penalties_break_a_repetition(engine: EngineProcess, sampling: dict[str, Any]) -> None:
    question = "Say it again: " + "the deep blue sea, " * 12
    plain, _, _ = engine.answer(question, max_tokens=60)
    penalized, _, done = engine.answer(
        question, sampling={"temperature": 0, **sampling}, max_tokens=60
    )
    assert done["event"] == "done"
    assert plain.lower().count("deep blue sea") > penalized.lower().count("deep blue sea")


@pytest.mark.parametrize(
    "sampling",
    [{"xtc_probability": 1.0, "xtc_threshold": 0.05}, {"top_k": 1}, {"min_p": 0.9}, {"top_p": 0.1}],
)
def test_choices_are_narrowed(engine: EngineProcess, sampling: dict[str, Any]) -> None:
    base = {"temperature": 1.5, "seed": 5, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    wide, _, _ = engine.answer("Tell me a story.", sampling=base, max_tokens=30)
    narrow, _, done = engine.answer(
        "Tell me a story.", sampling={**base, **sampling}, max_tokens=30
    )
    assert done["event"] == "done"
    assert narrow
    assert narrow != wide


def test_the_second_turn_computes_only_what_is_new(engine: EngineProcess) -> None:
    first, _, done = engine.answer(QUESTION, max_tokens=40)
    messages = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": first},
        {"role": "user", "content": "And the lakes?"},
    ]
    fields: dict[str, Any] = {"sampling": {"temperature": 0}, "max_tokens": 20}
    reused = engine.ask("generate", messages=messages, **fields)
    assert reused[-1]["reused_tokens"] >= done["prompt_tokens"]
    engine.answer("Something else entirely.", max_tokens=4)
    computed = engine.ask("generate", messages=messages, **fields)
    assert computed[-1]["reused_tokens"] < done["prompt_tokens"]
    texts = [
        "".join(event["text"] for event in events if event["event"] == "delta")
        for events in (reused, computed)
    ]
    # Batches of other sizes round differently, so only the beginning must agree.
    assert texts[0][:10] == texts[1][:10]


def test_continuing_an_answer_gives_what_it_would_have_said(engine: EngineProcess) -> None:
    whole = engine.answer(QUESTION, max_tokens=40)[0]
    half = engine.answer(QUESTION, max_tokens=20)[0]
    events = engine.ask(
        "generate",
        messages=[
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": half},
        ],
        sampling={"temperature": 0},
        max_tokens=20,
        continue_answer=True,
    )
    rest = "".join(event["text"] for event in events if event["event"] == "delta")
    assert whole.startswith(half)
    # Batches of other sizes round differently, so only the beginning must agree.
    assert (half + rest)[: len(half) + 10] == whole[: len(half) + 10]
    nothing = engine.ask(
        "generate", messages=[{"role": "user", "content": QUESTION}], continue_answer=True
    )
    assert nothing[-1]["code"] == "invalid_setting"


def test_stop_string_ends_the_answer_before_it(engine: EngineProcess) -> None:
    whole = engine.answer(QUESTION, max_tokens=40)[0]
    stop = whole.split()[4]
    text, _, done = engine.answer(QUESTION, max_tokens=40, stop=[stop])
    assert done["stop_reason"] == "stop"
    assert text == whole[: whole.index(stop)]


def test_max_tokens_ends_the_answer(engine: EngineProcess) -> None:
    done = engine.answer(QUESTION, max_tokens=5)[2]
    assert done["stop_reason"] == "length"
    assert done["completion_tokens"] == 5
    assert engine.answer(QUESTION, max_tokens=-1)[2]["code"] == "invalid_setting"


def test_a_full_context_ends_the_answer_and_the_engine_goes_on(
    fresh: EngineProcess, demo: Path
) -> None:
    loaded = fresh.load(demo, n_ctx=256)
    assert loaded["settings"]["n_ctx"] == 256
    sampling = {"temperature": 1.5, "seed": 3}
    done = fresh.answer("Write a very long story about a ship.", sampling=sampling)[2]
    assert done["stop_reason"] == "context_full"
    assert done["context_used"] == 256
    refused = fresh.answer("word " * 400)[2]
    assert (refused["event"], refused["code"]) == ("error", "prompt_too_long")
    assert fresh.answer(QUESTION, max_tokens=3)[2]["event"] == "done"


def test_characters_that_span_tokens_arrive_whole(engine: EngineProcess) -> None:
    text, _, _ = engine.answer(
        "Say: 🌊🐋 日本語 été",
        sampling={"temperature": 1.8, "seed": 11, "top_k": 0, "min_p": 0.0, "top_p": 1.0},
        max_tokens=120,
    )
    assert text.encode("utf-8")  # no lone surrogates
    assert any(ord(character) > 127 for character in text)


def test_cancel_while_decoding_keeps_what_was_said(engine: EngineProcess) -> None:
    request = engine.send(
        "generate",
        messages=[{"role": "user", "content": "Write a very long story."}],
        sampling={"temperature": 1.0, "seed": 8},
    )
    engine.until(request, "delta")
    cancel = engine.send("cancel", target=request)
    events = engine.finish(request)
    accepted = [event for event in engine.unclaimed if event["id"] == cancel]
    assert accepted[0]["found"] is True
    assert events[-1]["event"] == "cancelled"
    assert 1 <= events[-1]["completion_tokens"] < 400
    assert not [event for event in engine.unclaimed if event["event"] == "log"]
    assert engine.answer(QUESTION, max_tokens=3)[2]["event"] == "done"


def test_cancel_in_the_middle_of_prefill(engine: EngineProcess) -> None:
    request = engine.send(
        "generate",
        messages=[{"role": "user", "content": "sea " * 1500}],
        sampling={"temperature": 0},
    )
    engine.until(request, "started")
    engine.send("cancel", target=request)
    cancelled = engine.finish(request)[-1]
    assert cancelled["event"] == "cancelled"
    assert cancelled["completion_tokens"] == 0
    assert cancelled["ttft_s"] is None
    text = engine.answer(QUESTION, max_tokens=12)[0]
    assert "sea" in text.lower()


def test_cancel_while_loading_and_load_again(fresh: EngineProcess, demo: Path) -> None:
    request = fresh.send("load", path=str(demo), settings={})
    fresh.until(request, "load_progress")
    fresh.send("cancel", target=request)
    assert fresh.finish(request)[-1]["event"] == "cancelled"
    busy = fresh.answer(QUESTION)[2]
    assert (busy["event"], busy["code"]) == ("error", "engine_busy")
    assert fresh.load(demo)["event"] == "loaded"


def test_cancel_of_a_waiting_request_leaves_the_running_one_alone(engine: EngineProcess) -> None:
    messages = [{"role": "user", "content": QUESTION}]
    first = engine.send("generate", messages=messages, max_tokens=30)
    second = engine.send("generate", messages=messages, max_tokens=30)
    engine.send("cancel", target=second)
    # At once, not when its turn would have come.
    assert engine.finish(second)[-1]["event"] == "cancelled"
    assert engine.finish(first)[-1]["event"] == "done"
    unknown = engine.ask("cancel", target=99_999)[-1]
    assert unknown["found"] is False


def test_ping_is_answered_in_the_middle_of_an_answer(engine: EngineProcess) -> None:
    request = engine.send(
        "generate",
        messages=[{"role": "user", "content": "Write a long story."}],
        sampling={"temperature": 0},
        max_tokens=60,
    )
    engine.until(request, "delta")
    ping = engine.send("ping")
    assert engine.finish(ping)[-1]["event"] == "pong"
    events = engine.finish(request)
    assert events[-1]["event"] == "done"


def test_stats_stream_through_prefill_and_decode(engine: EngineProcess) -> None:
    events = engine.ask(
        "generate",
        messages=[{"role": "user", "content": "sea " * 1200}],
        sampling={"temperature": 0.7, "seed": 1},
        max_tokens=120,
    )
    stats = [event for event in events if event["event"] == "stats"]
    phases = [event["phase"] for event in stats]
    assert "prefill" in phases
    assert phases[-1] == "idle"
    assert stats[-1]["prefill_tokens_done"] == stats[-1]["prefill_tokens_total"]
    assert stats[-1]["context_total"] == 2048
    assert stats[0]["devices"][0]["name"] == "CPU"
    assert all(event["rss_bytes"] <= event["peak_rss_bytes"] * 1.05 for event in stats)


def test_malformed_requests_are_refused_and_the_engine_goes_on(engine: EngineProcess) -> None:
    for line in (b"nonsense\n", b"[1]\n", b'{"id": "x", "op": "ping"}\n', b'{"op": "ping"}\n'):
        engine.send_raw(line)
        error = engine.next_event()
        assert (error["event"], error["code"]) == ("error", "engine_protocol")
    unknown = engine.ask("dance")[-1]
    assert unknown["code"] == "engine_protocol"
    misspelt = engine.ask("load", path="x", settings={"n_ctxx": 3})[-1]
    assert misspelt["code"] == "engine_protocol"
    assert "n_ctxx" in misspelt["message"]
    messages = [{"role": "user", "content": "Hi"}]
    nested = engine.ask("generate", messages=messages, sampling={"temprature": 0})[-1]
    assert nested["code"] == "engine_protocol"
    assert "temprature" in nested["message"]
    for op, fields in (("ping", {}), ("devices", {}), ("cancel", {"target": 1})):
        assert engine.ask(op, **fields, extra=1)[-1]["code"] == "engine_protocol"
    wrong_type = engine.ask("generate", messages=[{"role": "user", "content": 3}])[-1]
    assert wrong_type["code"] == "engine_protocol"
    assert engine.ask("ping")[-1]["event"] == "pong"


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"type_k": "q9"}, "type_k"),
        ({"flash_attn": "off", "type_v": "q8_0"}, "flash attention"),
        ({"devices": ["CUDA7"]}, "CUDA7"),
        ({"overrides": [{"pattern": "x", "device": "nowhere"}]}, "nowhere"),
        ({"n_ubatch": 4096}, "n_ubatch"),
        ({"n_ctx": -5}, "n_ctx"),
        ({"tensor_split": [1, -1]}, "tensor_split"),
    ],
)
def test_impossible_settings_are_refused_in_words(
    fresh: EngineProcess, demo: Path, settings: dict[str, Any], word: str
) -> None:
    error = fresh.load(demo, **settings)
    assert (error["event"], error["code"]) == ("error", "invalid_setting")
    assert word in error["message"]


def test_a_context_that_cannot_fit_names_one_that_does(fresh: EngineProcess, demo: Path) -> None:
    error = fresh.load(demo, n_ctx=50_000_000)
    assert error["code"] == "context_too_large"
    assert "would fit" in error["hint"]
    assert fresh.load(demo, n_ctx=512)["event"] == "loaded"


def test_quantized_kv_and_plain_buffers_take_effect(fresh: EngineProcess, demo: Path) -> None:
    plain = fresh.load(demo, n_ctx=1024, use_extra_bufts=False)
    small = fresh.load(demo, n_ctx=1024, type_k="q8_0", type_v="q8_0", flash_attn="on")
    kv_f16 = plain["devices"][0]["kv_bytes"]
    kv_q8 = small["devices"][0]["kv_bytes"]
    assert kv_q8 * 32 == kv_f16 * 17  # 34 bytes for 32 values against 64
    assert small["settings"]["type_k"] == "q8_0"
    assert plain["settings"]["use_extra_bufts"] is False
    assert "sea" in fresh.answer(QUESTION, max_tokens=12)[0].lower()


def test_overrides_reach_llama_cpp(fresh: EngineProcess, demo: Path) -> None:
    override = [{"pattern": r"blk\.\d+\.ffn_(gate|up|down)", "device": "CPU"}]
    loaded = fresh.load(demo, n_ctx=512, overrides=override)
    assert loaded["event"] == "loaded"
    assert fresh.answer(QUESTION, max_tokens=4)[2]["event"] == "done"
    broken = fresh.load(demo, n_ctx=512, overrides=[{"pattern": "[", "device": "CPU"}])
    assert broken["event"] == "error"


def test_unload_frees_the_checkpoint(fresh: EngineProcess, demo: Path) -> None:
    fresh.load(demo, n_ctx=512)
    assert fresh.ask("unload")[-1]["event"] == "unloaded"
    assert fresh.answer(QUESTION)[2]["code"] == "engine_busy"


def test_shutdown_in_the_middle_of_an_answer(demo: Path) -> None:
    process = EngineProcess()
    try:
        process.next_event()
        process.load(demo, n_ctx=512)
        request = process.send("generate", messages=[{"role": "user", "content": "Long story."}])
        process.until(request, "delta")
        shutdown = process.send("shutdown")
        assert process.finish(request)[-1]["event"] == "cancelled"
        assert process.finish(shutdown)[-1]["event"] == "bye"
        assert process.process.wait(timeout=20) == 0
    finally:
        process.close()


def test_end_of_input_ends_the_child_in_the_middle_of_an_answer(demo: Path) -> None:
    process = EngineProcess()
    process.next_event()
    process.load(demo, n_ctx=512)
    request = process.send("generate", messages=[{"role": "user", "content": "Long story."}])
    process.until(request, "delta")
    assert process.close() == 0


def test_what_libraries_print_never_reaches_the_protocol() -> None:
    code = (
        "import os\n"
        "from models.runtime.child_setup import take_protocol_fd\n"
        "fd = take_protocol_fd()\n"
        "os.system('echo from a child'); print('from Python', flush=True)\n"
        'os.write(fd, b\'{"event": "pong", "id": 1}\\n\')\n'
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b'{"event": "pong", "id": 1}\n'
    assert b"from a child" in done.stderr
    assert b"from Python" in done.stderr
