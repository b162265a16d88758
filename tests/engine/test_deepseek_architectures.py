"""Every DeepSeek architecture through the whole engine child: load, two turns, cancel, figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.engine_process import EngineProcess
from helpers.tiny_gguf import REASONING_CHATML, TinyModel, truncate, write_tiny, write_tiny_shards

CHECKPOINTS = {
    "deepseek": TinyModel("deepseek"),
    "deepseek2": TinyModel("deepseek2"),
    "deepseek2-before-mla": TinyModel("deepseek2", mla=False),
    "deepseek2-mtp": TinyModel("deepseek2", mtp=True),
    "deepseek32": TinyModel("deepseek32"),
    "deepseek4": TinyModel("deepseek4"),
    "qwen2": TinyModel("qwen2"),
    "qwen3": TinyModel("qwen3"),
}


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    process = EngineProcess()
    try:
        assert process.next_event()["event"] == "hello"
        yield process
    finally:
        assert process.close() == 0


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_two_turns_on_every_architecture(engine: EngineProcess, tmp_path: Path, name: str) -> None:
    path = write_tiny(tmp_path / f"{name}.gguf", CHECKPOINTS[name])
    loaded = engine.load(path, n_ctx=512)
    assert loaded["event"] == "loaded", loaded
    assert loaded["devices"][0]["kv_bytes"] > 0
    _, _, first = engine.answer("Hello there", max_tokens=12)
    assert first["event"] == "done", first
    history = [
        {"role": "user", "content": "Hello there"},
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": "Again"},
    ]
    second = engine.ask("generate", messages=history, max_tokens=8)[-1]
    assert second["event"] == "done", second
    # V4's compressed caches cannot drop a part of a sequence; then nothing is reused.
    assert second["reused_tokens"] in range(second["prompt_tokens"])


@pytest.mark.parametrize("kv_type", ["q8_0", "q4_0"])
def test_quantized_kv_with_latent_attention(
    engine: EngineProcess, tmp_path: Path, kv_type: str
) -> None:
    path = write_tiny(tmp_path / "mla.gguf", CHECKPOINTS["deepseek2"])
    loaded = engine.load(path, n_ctx=512, type_k=kv_type, type_v=kv_type)
    assert loaded["settings"]["type_k"] == kv_type
    assert engine.answer("Hello", max_tokens=4)[2]["event"] == "done"


def test_template_that_opens_thinking_makes_everything_reasoning(
    engine: EngineProcess, tmp_path: Path
) -> None:
    path = write_tiny(tmp_path / "r1.gguf", TinyModel("qwen2", template=REASONING_CHATML))
    assert engine.load(path, n_ctx=512)["event"] == "loaded"
    # Noise may close the tag as well as write anything else; then it ends there.
    request = engine.send(
        "generate",
        messages=[{"role": "user", "content": "Hello"}],
        sampling={"seed": 1},
        max_tokens=30,
        stop=["</think>"],
    )
    events = engine.finish(request)
    assert events[0]["reasoning_open"] is True
    reasoning = "".join(event["reasoning"] for event in events if event["event"] == "delta")
    text = "".join(event["text"] for event in events if event["event"] == "delta")
    assert reasoning
    assert text == ""


def test_a_shard_set_loads_from_any_of_its_files(engine: EngineProcess, tmp_path: Path) -> None:
    shards = write_tiny_shards(tmp_path, TinyModel("deepseek2"), stem="set", tensors_each=20)
    loaded = engine.load(Path(shards[-1]), n_ctx=512)
    assert loaded["event"] == "loaded", loaded
    assert loaded["model"]["size_bytes"] == sum(Path(shard).stat().st_size for shard in shards)


def test_bad_files_are_refused_by_the_engine_itself(engine: EngineProcess, tmp_path: Path) -> None:
    cut = write_tiny(tmp_path / "cut.gguf", TinyModel())
    truncate(cut, keep=0.6)
    assert engine.load(cut)["code"] == "truncated_gguf"
    assert engine.load(tmp_path / "nothing.gguf")["code"] == "checkpoint_not_found"
    text = tmp_path / "text.gguf"
    text.write_text("hello")
    assert engine.load(text)["code"] == "not_gguf"
    good = write_tiny(tmp_path / "good.gguf", TinyModel())
    assert engine.load(good, n_ctx=512)["event"] == "loaded"
    # A refused load leaves nothing half-loaded behind, and keeps what was there before.
    refused = engine.load(text)
    assert (refused["code"], refused["still_loaded"]) == ("not_gguf", True)
    assert engine.answer("Hello", max_tokens=2)[2]["event"] == "done"


def test_a_hostile_template_is_an_error_and_the_engine_lives(
    engine: EngineProcess, tmp_path: Path
) -> None:
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    path = write_tiny(tmp_path / "hostile.gguf", TinyModel(template=endless))
    assert engine.load(path, n_ctx=512)["event"] == "loaded"
    error = engine.answer("Hello")[2]
    assert (error["event"], error["code"]) == ("error", "template")
    endless_request = engine.send("generate", messages=[{"role": "user", "content": "Hello"}])
    engine.send("cancel", target=endless_request)
    assert engine.finish(endless_request)[-1]["event"] == "cancelled"
    broken = write_tiny(tmp_path / "broken.gguf", TinyModel(template="{% if %}"))
    refused = engine.load(broken, n_ctx=512)
    # Before anything is freed, and before minutes are spent on loading.
    assert (refused["code"], refused["still_loaded"]) == ("template", True)
    nowhere = engine.load(path, devices=["CUDA7"])
    assert (nowhere["code"], nowhere["still_loaded"]) == ("invalid_setting", True)
    assert engine.ask("ping")[-1]["event"] == "pong"
