"""Measuring speed: the request, its cancel, the streams; and replicas of every architecture."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.engine_process import EngineProcess
from helpers.tiny_gguf import TinyModel, write_tiny
from helpers.tiny_shapes import ARCHITECTURES
from models.gguf.header import read_header
from models.gguf.header_file import HeaderFile
from models.gguf.replica import plain_replica, replica_of, write_replica
from models.gguf.shape import ModelShape
from models.gguf.shape_reader import read_shape
from models.gguf.source import FileSource
from models.gguf.types import GGML_TYPES

# Types that models have as weights; Q8_1 and Q8_K are for activations.
_WEIGHT_TYPES = sorted(
    kind.name
    for kind in GGML_TYPES.values()
    if kind.name not in ("Q8_1", "Q8_K", "F64") and not kind.name.startswith("I")
) + sorted(kind.name for kind in GGML_TYPES.values() if kind.name.startswith("IQ"))


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    process = EngineProcess()
    try:
        assert process.next_event()["event"] == "hello"
        yield process
    finally:
        assert process.close() == 0


@pytest.fixture
def tiny(engine: EngineProcess, tmp_path: Path) -> Path:
    path = write_tiny(tmp_path / "tiny.gguf")
    assert engine.load(path, n_ctx=512, n_threads=1)["event"] == "loaded"
    return path


def _bench(engine: EngineProcess, **fields: Any) -> dict[str, Any]:
    return engine.ask("bench", **fields)[-1]


def test_every_depth_with_room_has_its_figures(engine: EngineProcess, tiny: Path) -> None:
    benched = _bench(engine, depths=[64, 0, 400, 505], prompt_tokens=16, answer_tokens=4, repeats=2)
    assert benched["event"] == "benched"
    results = benched["results"]
    # 505 tokens and 20 more do not fit into 512.
    assert [result["n_past"] for result in results] == [0, 64, 400]
    for result in results:
        assert len(result["prefill_s"]) == len(result["decode_s"]) == 2
        middle = sorted(result["decode_s"])
        assert result["decode_tok_s"] == pytest.approx(2 / (middle[0] + middle[1]))
        assert result["prefill_tok_s"] > 0
    assert benched["n_threads"] == 1


def test_an_answer_after_a_bench_is_the_same_as_before(engine: EngineProcess, tiny: Path) -> None:
    question = {
        "messages": [{"role": "user", "content": "Hi"}],
        "sampling": {"temperature": 0, "seed": 1},
        "max_tokens": 8,
    }

    def text() -> str:
        events = engine.ask("generate", **question)
        return "".join(e["text"] for e in events if e["event"] == "delta")

    before = text()
    _bench(engine, prompt_tokens=8, answer_tokens=2, repeats=1)
    assert text() == before


def test_a_bench_without_a_checkpoint_says_so(engine: EngineProcess) -> None:
    engine.ask("unload")
    assert _bench(engine)["code"] == "engine_busy"


@pytest.mark.parametrize(
    "fields",
    [
        {"repeats": 0},
        {"depths": []},
        {"depths": [-1]},
        {"prompt_tokens": -1},
        {"prompt_tokens": 0, "answer_tokens": 0},
        {"speed": "fast"},
    ],
)
def test_what_cannot_be_measured_is_refused(
    engine: EngineProcess, tiny: Path, fields: dict[str, Any]
) -> None:
    assert _bench(engine, **fields)["code"] in ("invalid_setting", "engine_protocol")


def test_a_bench_can_be_cancelled(engine: EngineProcess, tiny: Path) -> None:
    number = engine.send("bench", prompt_tokens=400, answer_tokens=100, repeats=100)
    while engine.next_event()["event"] != "bench_progress":
        pass
    engine.send("cancel", target=number)
    events = [engine.next_event(), engine.next_event()]
    while not any(e["event"] == "cancelled" and e["id"] == number for e in events):
        events.append(engine.next_event())
    assert _bench(engine, prompt_tokens=4, answer_tokens=1, repeats=1)["event"] == "benched"


def test_streams_measure_ram_and_disk(engine: EngineProcess, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(16 << 20))
    found = engine.ask("streams", path=str(path))[-1]
    assert found["event"] == "streams"
    assert found["ram_bytes_s"] is None or found["ram_bytes_s"] > 1e8
    assert found["disk_bytes_s"] is None or found["disk_bytes_s"] > 1e6
    assert found["links"] == []


def test_a_short_file_gives_no_figure_of_the_disk(engine: EngineProcess, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"short")
    assert engine.ask("streams", path=str(path))[-1]["disk_bytes_s"] is None


def _shape(path: Path) -> tuple[ModelShape, HeaderFile]:
    with FileSource(path) as source:
        shape = read_shape([read_header(path)], [source])
    return shape, HeaderFile(path.name, path.stat().st_size, path=path)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_replica_of_every_architecture_loads_and_computes(
    engine: EngineProcess, tmp_path: Path, architecture: str
) -> None:
    n_layer = 6 if architecture == "deepseek4" else 5
    path = write_tiny(tmp_path / "tiny.gguf", TinyModel(architecture, n_layer=n_layer))
    shape, file = _shape(path)
    replica = replica_of([file], shape, n_body=2, expert_bytes=0)
    small = tmp_path / "replica.gguf"
    assert write_replica(replica, small) == small.stat().st_size
    assert len(replica.layers) < n_layer
    again, _ = _shape(small)
    assert again.architecture == architecture
    assert again.n_layer == len(replica.layers)
    assert again.n_embd == shape.n_embd
    assert engine.load(small, n_ctx=256, n_threads=1)["event"] == "loaded"
    benched = _bench(engine, prompt_tokens=40, answer_tokens=2, repeats=1)
    assert benched["results"][0]["decode_tok_s"] > 0


def test_mtp_layers_and_unused_experts_stay_out_of_a_replica(tmp_path: Path) -> None:
    model = TinyModel("deepseek32", n_layer=5, mtp=True)
    shape, file = _shape(write_tiny(tmp_path / "tiny.gguf", model))
    replica = replica_of([file], shape, n_body=2, expert_bytes=0)
    assert shape.n_layer not in replica.layers
    assert replica.n_expert == 2 * shape.n_expert_used


@pytest.mark.parametrize("type_name", _WEIGHT_TYPES)
def test_weights_of_every_type_are_finite(
    engine: EngineProcess, tmp_path: Path, type_name: str
) -> None:
    path = tmp_path / "plain.gguf"
    write_replica(plain_replica(type_name, n_layer=1, n_embd=512, n_ff=512), path)
    # check_tensors lets llama.cpp look at every block for scales that are no numbers.
    loaded = engine.load(path, n_ctx=256, n_threads=1, check_tensors=True)
    assert loaded["event"] == "loaded", loaded


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    replica = plain_replica("Q4_K", n_layer=1, n_embd=256, n_ff=256)
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        write_replica(replica, path, seed=seed)
    first, second, other = (path.read_bytes() for path in paths)
    assert first == second != other


def test_a_stopped_replica_leaves_nothing(tmp_path: Path) -> None:
    from models.errors import StoppedError

    replica = plain_replica("Q4_K", n_layer=1, n_embd=256, n_ff=256)
    with pytest.raises(StoppedError):
        write_replica(replica, tmp_path / "part", stop=lambda: True)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_to_a_device_is_timed_with_ggmls_own_calls() -> None:
    """No GPU here: the CPU's buffers stand in, in a child as every use of llama.cpp."""
    program = (
        "from models.runtime.llama.bindings import LlamaLibrary\n"
        "from models.runtime.llama.streams import link_bytes_s\n"
        "library = LlamaLibrary()\n"
        "library.start()\n"
        "print(link_bytes_s(library, library.ggml.devices()[0]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 1e8
