"""The oracle's account is what a real load allocates, to the byte."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.engine_process import EngineProcess
from helpers.rpc_worker import RpcWorker
from helpers.tiny_gguf import TinyModel, write_tiny, write_tiny_shards
from models.errors import OracleError
from models.gguf.header import parse_header
from models.gguf.header_file import HeaderFile
from models.gguf.source import BytesSource
from models.planner.machine import Gpu, GpuKind
from models.planner.plan import BufferBytes, Override, PlanSettings
from models.runtime.oracle import Oracle

CHECKPOINTS = {
    "llama": TinyModel("llama"),
    "qwen2": TinyModel("qwen2"),
    "qwen3": TinyModel("qwen3"),
    "deepseek": TinyModel("deepseek"),
    "deepseek2": TinyModel("deepseek2"),
    "deepseek2-before-mla": TinyModel("deepseek2", mla=False),
    "deepseek2-mtp": TinyModel("deepseek2", mtp=True),
    "deepseek2-ocr": TinyModel("deepseek2-ocr"),
    "deepseek32": TinyModel("deepseek32"),
    "deepseek32-mtp": TinyModel("deepseek32", mtp=True),
    "deepseek4": TinyModel("deepseek4"),
    "repacked": TinyModel("llama", quantization="Q4_0"),
}
EXPERTS = Override(r"\.ffn_(gate|up|down)_exps", "CPU")
G = 2**30


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    process = EngineProcess()
    try:
        assert process.next_event()["event"] == "hello"
        yield process
    finally:
        assert process.close() == 0


def header_of(path: Path) -> HeaderFile:
    """Return a file's header alone, as it comes from the hub."""
    data = path.read_bytes()
    header = parse_header(BytesSource(data, name=path.name, size_bytes=len(data)))
    return HeaderFile(path.name, len(data), header=data[: header.data_offset])


def load(engine: EngineProcess, path: Path, settings: PlanSettings, **more: Any) -> dict[str, Any]:
    fields = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    fields["overrides"] = [dataclasses.asdict(override) for override in settings.overrides]
    return engine.load(path, **(fields | more))


def per_device(buffers: tuple[BufferBytes, ...]) -> dict[str, tuple[int, int, int]]:
    totals: dict[str, tuple[int, int, int]] = {}
    for buffer in buffers:
        weights, kv, compute = totals.get(buffer.device, (0, 0, 0))
        totals[buffer.device] = (
            weights + buffer.weights_bytes,
            kv + buffer.kv_bytes,
            compute + buffer.compute_bytes,
        )
    return totals


def measured(loaded: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    assert loaded["event"] == "loaded", loaded
    return {
        device["name"]: (device["weights_bytes"], device["kv_bytes"], device["compute_bytes"])
        for device in loaded["devices"]
    }


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_header_alone_tells_what_a_load_takes(
    engine: EngineProcess, tmp_path: Path, name: str
) -> None:
    path = write_tiny(tmp_path / f"{name}.gguf", CHECKPOINTS[name])
    base = PlanSettings(n_ctx=512, load_mode="none")
    grid = [
        base,
        dataclasses.replace(base, n_ctx=1024, n_ubatch=64, flash_attn="off"),
        dataclasses.replace(base, use_extra_bufts=False, n_outputs_max=64),
        dataclasses.replace(base, type_k="q8_0", type_v="q8_0"),
    ]
    with Oracle([header_of(path)], [], work_dir=tmp_path / "work") as oracle:
        for settings in grid:
            planned = per_device(oracle.account(settings))
            assert planned == measured(load(engine, path, settings)), settings


def test_repacked_weights_are_a_buffer_of_their_own(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", CHECKPOINTS["repacked"])
    with Oracle([header_of(path)], [], work_dir=tmp_path / "work") as oracle:
        repacked = oracle.account(PlanSettings(n_ctx=512))
        plain = oracle.account(PlanSettings(n_ctx=512, use_extra_bufts=False))
    assert {buffer.buffer for buffer in plain} == {"CPU"}
    assert {buffer.buffer for buffer in repacked} == {"CPU", "CPU_REPACK"}


@pytest.mark.parametrize("kind", ["headers", "paths", "mixed"])
def test_sharded_checkpoints(engine: EngineProcess, tmp_path: Path, kind: str) -> None:
    paths = write_tiny_shards(tmp_path, CHECKPOINTS["deepseek2"])
    assert len(paths) > 2
    files = {
        "headers": [header_of(path) for path in paths],
        "paths": [HeaderFile(path.name, path.stat().st_size, path=path) for path in paths],
    }
    files["mixed"] = [files["paths"][0], *files["headers"][1:]]
    settings = PlanSettings(n_ctx=512, load_mode="none")
    with Oracle(files[kind], [], work_dir=tmp_path / "work") as oracle:
        planned = per_device(oracle.account(settings))
    assert planned == measured(load(engine, paths[0], settings))


def test_a_missing_shard_is_told_in_llama_cpps_words(tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path, CHECKPOINTS["deepseek2"])
    with (
        Oracle([header_of(paths[0])], [], work_dir=tmp_path / "work") as oracle,
        pytest.raises(OracleError) as caught,
    ):
        oracle.account(PlanSettings(n_ctx=512))
    assert "failed" in caught.value.details


# --- the model is kept, refusals and aborts -----------------------------------------------------


def test_the_model_is_kept_while_only_the_context_changes(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", CHECKPOINTS["deepseek2"])
    settings = PlanSettings(n_ctx=512)
    changes: dict[str, tuple[dict[str, Any], bool]] = {
        "first": ({}, True),
        "context": ({"n_ctx": 1024, "type_k": "q8_0", "type_v": "q8_0"}, False),
        "batch": ({"n_ubatch": 64, "op_offload": False, "load_mode": "none"}, False),
        "repacking": ({"use_extra_bufts": False}, True),
        "back": ({}, True),
    }
    with Oracle([header_of(path)], [], work_dir=tmp_path / "work") as oracle:
        for name, (change, is_loaded) in changes.items():
            oracle.account(dataclasses.replace(settings, **change))
            assert oracle.last_answer
            assert (oracle.last_answer.load_s > 0) == is_loaded, name


def test_a_context_that_llama_cpp_refuses(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", CHECKPOINTS["deepseek2"])
    with Oracle([header_of(path)], [], work_dir=tmp_path / "work") as oracle:
        refused = PlanSettings(n_ctx=512, type_k="q8_0", type_v="f16")
        with pytest.raises(OracleError, match="refuses this context") as caught:
            oracle.account(refused)
        assert "type" in caught.value.details.lower()
        with pytest.raises(OracleError, match="not a value of type_k"):
            oracle.account(PlanSettings(n_ctx=512, type_k="f11"))
        with pytest.raises(OracleError, match="no device named 'CUDA0'"):
            oracle.account(PlanSettings(n_ctx=512, devices=("CUDA0",)))
        assert oracle.account(PlanSettings(n_ctx=512))


def test_a_checkpoint_that_llama_cpp_refuses(tmp_path: Path) -> None:
    header = HeaderFile("tiny.gguf", 100, header=b"GGUF\3\0\0\0 and no more")
    with (
        Oracle([header], [], work_dir=tmp_path / "work") as oracle,
        pytest.raises(OracleError, match="refuses this checkpoint") as caught,
    ):
        oracle.account(PlanSettings(n_ctx=512))
    assert caught.value.details


def test_a_file_that_ends_too_early(tmp_path: Path) -> None:
    whole = header_of(write_tiny(tmp_path / "tiny.gguf", CHECKPOINTS["llama"]))
    short = dataclasses.replace(whole, size_bytes=len(whole.header) + 1000)
    with (
        Oracle([short], [], work_dir=tmp_path / "work") as oracle,
        pytest.raises(OracleError, match="refuses this checkpoint") as caught,
    ):
        oracle.account(PlanSettings(n_ctx=512))
    assert "not within the file bounds" in caught.value.details


def test_an_abort_of_llama_cpp_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", CHECKPOINTS["llama"], block_count=513)
    with Oracle([header_of(path)], [], work_dir=tmp_path / "work") as oracle:
        for _ in range(2):  # a fresh child each time
            with pytest.raises(OracleError, match="crashed") as caught:
                oracle.account(PlanSettings(n_ctx=512))
            assert "GGML_ASSERT" in caught.value.details


# --- other devices ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deepseek2", "deepseek32", "deepseek4", "llama"])
def test_an_rpc_host_holds_what_its_phantom_says(
    engine: EngineProcess, tmp_path: Path, name: str
) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", CHECKPOINTS[name])
    phantom = Gpu("RPC0", "loopback", GpuKind.RPC, 8 * G, 8 * G, remote="cpu")
    base = PlanSettings(n_ctx=512, devices=("RPC0",), n_gpu_layers=99, load_mode="none")
    grid = [
        base,
        dataclasses.replace(base, n_gpu_layers=2),
        dataclasses.replace(base, overrides=(EXPERTS,), n_ubatch=64),
        dataclasses.replace(base, flash_attn="off"),
        dataclasses.replace(base, type_k="q8_0", type_v="q8_0", offload_kqv=False),
    ]
    with (
        RpcWorker() as worker,
        Oracle([header_of(path)], [phantom], work_dir=tmp_path / "work") as oracle,
    ):
        listed = engine.ask("devices", rpc_hosts=[worker.endpoint])[-1]["devices"]
        device = next(found for found in listed if found["description"] == worker.endpoint)
        assert (device["kind"], device["remote"]) == ("rpc", "cpu")
        for settings in grid:
            loaded = load(
                engine,
                path,
                dataclasses.replace(settings, devices=(device["name"],)),
                rpc_hosts=[worker.endpoint],
            )
            real = {
                name.replace(device["name"], "RPC0"): use for name, use in measured(loaded).items()
            }
            assert per_device(oracle.account(settings)) == real, settings
        assert engine.ask("unload")[-1]["event"] == "unloaded"


def test_no_device_means_the_cpu_alone(engine: EngineProcess, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", CHECKPOINTS["llama"])
    with RpcWorker() as worker:
        loaded = engine.load(path, n_ctx=512, devices=[], rpc_hosts=[worker.endpoint])
        assert set(measured(loaded)) == {"CPU"}
        assert engine.answer("Hi", max_tokens=2)[2]["event"] == "done"


def test_files_are_only_looked_at(tmp_path: Path) -> None:
    """The dry run needs a place for headers, and leaves it as it was."""
    path = write_tiny(tmp_path / "tiny.gguf", CHECKPOINTS["deepseek2"])
    work = tmp_path / "work"
    before = path.read_bytes()
    with Oracle([header_of(path)], [], work_dir=work) as oracle:
        oracle.account(PlanSettings(n_ctx=512))
        assert len(list(work.rglob("tiny.gguf"))) == 1
    assert list(work.iterdir()) == []
    assert path.read_bytes() == before
    shutil.rmtree(work)
