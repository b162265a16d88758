"""Phantom GPUs at true scale: figures that are known, and the rules of each backend."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from helpers.true_scale import true_scale
from models.planner.machine import Gpu, GpuKind
from models.planner.plan import BufferBytes, Override, PlanSettings
from models.runtime.oracle import Oracle

MIB = 2**20
G = 2**30
EXPERTS = (Override(r"\.ffn_(gate|up|down)_exps", "CPU"),)
DEVICES = {
    GpuKind.CUDA: "CUDA0",
    GpuKind.ROCM: "ROCm0",
    GpuKind.VULKAN: "Vulkan0",
    GpuKind.METAL: "MTL0",
    GpuKind.SYCL: "SYCL0",
    GpuKind.RPC: "RPC0",
}


def gpu(kind: GpuKind, index: int = 0, *, gib: int = 24, **more: object) -> Gpu:
    name = DEVICES[kind][:-1] + str(index)
    return Gpu(name, "a card", kind, gib * G, gib * G, **more)  # type: ignore[arg-type]


def open_oracle(
    tmp_path: Path, name: str, *gpus: Gpu, features: tuple[str, ...] | None = None
) -> Oracle:
    return Oracle(
        true_scale(name).files, gpus, cpu_features=features, work_dir=tmp_path, timeout_s=120
    )


def of(buffers: tuple[BufferBytes, ...], name: str) -> BufferBytes:
    return next(buffer for buffer in buffers if buffer.buffer == name)


def mib(size_bytes: int) -> float:
    return round(size_bytes / MIB, 1)


# --- figures known from llama.cpp ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "weights", "kv", "compute"),
    [
        ({"n_ctx": 4096}, 386297.7, 274.5, 412.0),
        ({"n_ctx": 32768, "type_k": "q8_0", "type_v": "q8_0"}, 386297.7, 1166.6, 440.0),
        ({"n_ctx": 32768, "n_ubatch": 2048, "n_outputs_max": 2048}, 386297.7, 2196.0, 1760.0),
        ({"n_ctx": 131072}, 386297.7, 8784.0, 536.0),
    ],
)
def test_v3_on_the_cpu(
    tmp_path: Path, change: dict[str, int], weights: float, kv: float, compute: float
) -> None:
    settings = PlanSettings(n_ctx=0, use_extra_bufts=False, n_outputs_max=512)
    settings = dataclasses.replace(settings, **change)
    with open_oracle(tmp_path, "v3-q4km") as oracle:
        (buffer,) = oracle.account(settings)
        assert oracle.cpu_matches
    assert buffer.device == buffer.buffer == "CPU"
    assert mib(buffer.weights_bytes) == weights
    assert mib(buffer.kv_bytes) == kv
    assert mib(buffer.compute_bytes) == compute


@pytest.mark.parametrize(("n_gpus", "staged"), [(1, 3148.0), (2, 4970.5)])
def test_experts_on_the_cpu_are_staged_through_the_first_gpu(
    tmp_path: Path, n_gpus: int, staged: float
) -> None:
    cards = [gpu(GpuKind.CUDA, index) for index in range(n_gpus)]
    settings = PlanSettings(
        n_ctx=4096,
        n_gpu_layers=62,
        devices=tuple(card.device for card in cards),
        overrides=EXPERTS,
        n_outputs_max=512,
    )
    with open_oracle(tmp_path, "v3-q4km", *cards) as oracle:
        staging = oracle.account(settings)
        plain = oracle.account(dataclasses.replace(settings, op_offload=False))
    assert mib(of(staging, "CUDA0").compute_bytes) == staged
    assert of(plain, "CUDA0").compute_bytes < 600 * MIB
    assert of(staging, "CPU").weights_bytes == of(plain, "CPU").weights_bytes > 370_000 * MIB


def test_several_gpus_share_layers_by_their_free_memory(tmp_path: Path) -> None:
    cards = [gpu(GpuKind.CUDA, 0, gib=48), gpu(GpuKind.CUDA, 1, gib=16)]
    settings = PlanSettings(n_ctx=4096, n_gpu_layers=28, devices=("CUDA0", "CUDA1"))
    with open_oracle(tmp_path, "v2lite-q4km", *cards) as oracle:
        by_memory = oracle.account(settings)
        by_wish = oracle.account(dataclasses.replace(settings, tensor_split=(1.0, 3.0)))
    large, small = of(by_memory, "CUDA0").weights_bytes, of(by_memory, "CUDA1").weights_bytes
    assert 2.2 < large / small < 3.8
    assert of(by_wish, "CUDA0").weights_bytes < of(by_wish, "CUDA1").weights_bytes


# --- where weights for the CPU go ---------------------------------------------------------------


def test_host_buffers_hold_weights_only_where_the_file_is_not_mapped(tmp_path: Path) -> None:
    settings = PlanSettings(n_ctx=4096, n_gpu_layers=28, devices=("CUDA0",), overrides=EXPERTS)
    with open_oracle(tmp_path, "v2lite-q4km", gpu(GpuKind.CUDA)) as oracle:
        answers = {
            mode: oracle.account(dataclasses.replace(settings, load_mode=mode))
            for mode in ("auto", "mmap", "none", "direct_io", "mlock", "mmap_mlock")
        }
        unpinned = oracle.account(dataclasses.replace(settings, load_mode="none", no_host=True))
    pinned = of(answers["none"], "CUDA_Host").weights_bytes
    assert pinned > 9000 * MIB
    for mode in ("auto", "mmap", "mmap_mlock"):
        assert of(answers[mode], "CUDA_Host").weights_bytes == 0
        assert of(answers[mode], "CPU").weights_bytes == pinned
    for mode in ("direct_io", "mlock"):
        assert of(answers[mode], "CUDA_Host").weights_bytes == pinned
    assert of(unpinned, "CPU_REPACK").weights_bytes > 0


def test_an_integrated_gpu_has_no_files_mapped_by_itself(tmp_path: Path) -> None:
    settings = PlanSettings(n_ctx=4096, n_gpu_layers=10, devices=("Vulkan0",))
    shared = gpu(GpuKind.VULKAN, is_unified=True)
    with open_oracle(tmp_path, "v2lite-q4km", shared) as oracle:
        by_itself = oracle.account(dataclasses.replace(settings, load_mode="auto"))
        asked_to = oracle.account(dataclasses.replace(settings, load_mode="mmap"))
        assert oracle.approximate_devices == ("Vulkan0",)
    assert of(by_itself, "Vulkan_Host").weights_bytes == of(asked_to, "CPU").weights_bytes > 0


# --- the rules of each kind ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", GpuKind)
def test_every_kind_takes_a_whole_checkpoint(tmp_path: Path, kind: GpuKind) -> None:
    card = gpu(kind)
    settings = PlanSettings(n_ctx=8192, n_gpu_layers=99, devices=(card.device,))
    with open_oracle(tmp_path, "v4f-mxfp4", card) as oracle:
        buffers = oracle.account(settings)
        approximate = kind in (GpuKind.VULKAN, GpuKind.METAL)
        assert oracle.approximate_devices == ((card.device,) if approximate else ())
    own = of(buffers, card.device)
    assert 147_000 * MIB < own.weights_bytes < 148_000 * MIB
    assert mib(own.kv_bytes) == 101.4
    assert 150 * MIB < own.compute_bytes < 600 * MIB
    hosts = {buffer.buffer for buffer in buffers if buffer.buffer.endswith("_Host")}
    has_none = kind in (GpuKind.METAL, GpuKind.RPC)
    assert len(hosts) == (0 if has_none else 1)


@pytest.mark.parametrize(
    ("kind", "padded"), [(GpuKind.CUDA, True), (GpuKind.SYCL, True), (GpuKind.METAL, False)]
)
def test_padding_of_quantized_rows(tmp_path: Path, kind: GpuKind, padded: bool) -> None:
    """R1-1.5B has rows of 256 in its KV cache: padded, each tensor takes 384 bytes more."""
    card = gpu(kind)
    settings = PlanSettings(
        n_ctx=8192, n_gpu_layers=99, devices=(card.device,), type_k="q8_0", type_v="q8_0"
    )
    with open_oracle(tmp_path, "qwen15-q4km", card) as oracle:
        kv_bytes = of(oracle.account(settings), card.device).kv_bytes
    rows = 2 * 28 * 8192 * 272  # K and V, layers, tokens, 256 numbers in q8_0
    extra = 272 + -272 % 128  # 256 numbers more, aligned
    assert kv_bytes == rows + padded * 2 * 28 * extra


def test_cuda_has_no_flash_attention_for_files_from_before_mla(tmp_path: Path) -> None:
    """Heads of 192 and 128 need 8 query heads for each KV head (fattn.cu:589); here it is one."""
    settings = PlanSettings(n_ctx=4096, n_gpu_layers=62, devices=("CUDA0",), overrides=EXPERTS)
    with open_oracle(tmp_path, "v3-legacy-q4km", gpu(GpuKind.CUDA)) as oracle:
        on = oracle.account(dataclasses.replace(settings, op_offload=False))
    with open_oracle(tmp_path, "v3-q4km", gpu(GpuKind.CUDA)) as oracle:
        latent = oracle.account(dataclasses.replace(settings, op_offload=False))
    # What flash attention reads is copied to the CPU, which computes it.
    assert of(on, "CUDA_Host").compute_bytes > 1.2 * of(latent, "CUDA_Host").compute_bytes


def test_quantized_caches_are_converted_for_flash_attention(tmp_path: Path) -> None:
    """A result of flash attention has K and V as f16 behind it (fattn-common.cuh:53)."""
    settings = PlanSettings(n_ctx=131072, n_gpu_layers=99, devices=("CUDA0",))
    with open_oracle(tmp_path, "llama8-q4km", gpu(GpuKind.CUDA)) as oracle:
        plain = oracle.account(settings)
        quantized = oracle.account(dataclasses.replace(settings, type_k="q8_0", type_v="q8_0"))
    copies = 2 * 131072 * 1024 * 2  # K and V, tokens, 8 heads of 128, f16
    beside = of(quantized, "CUDA0").compute_bytes - copies
    assert 0 < beside < of(plain, "CUDA0").compute_bytes


def test_what_an_rpc_host_computes_with_decides_about_its_layout(tmp_path: Path) -> None:
    settings = PlanSettings(
        n_ctx=8192, n_gpu_layers=99, devices=("RPC0",), type_k="q8_0", type_v="q8_0"
    )
    kv = {}
    for remote in ("cuda", "cpu"):
        card = gpu(GpuKind.RPC, remote=remote)
        with open_oracle(tmp_path, "qwen15-q4km", card) as oracle:
            kv[remote] = of(oracle.account(settings), "RPC0").kv_bytes
    assert kv["cpu"] == 2 * 28 * 8192 * 272
    assert kv["cuda"] > kv["cpu"]


# --- the processor ------------------------------------------------------------------------------


def test_repacking_follows_the_described_processor(tmp_path: Path) -> None:
    settings = PlanSettings(n_ctx=512)
    repacked = {}
    for name, features in {
        "old": ("SSE3", "SSSE3", "AVX"),
        "avx2": ("SSE3", "SSSE3", "AVX", "AVX2", "F16C", "FMA", "BMI2"),
    }.items():
        with open_oracle(tmp_path, "v2lite-q4km", features=features) as oracle:
            buffers = oracle.account(settings)
            assert oracle.cpu_matches
        repacked[name] = sum(b.weights_bytes for b in buffers if b.buffer == "CPU_REPACK")
    assert repacked["old"] == 0
    assert repacked["avx2"] > 4000 * MIB


def test_a_processor_that_cannot_be_stood_in_for_is_told(tmp_path: Path) -> None:
    with open_oracle(tmp_path, "qwen15-q4km", features=("NEON", "DOTPROD")) as oracle:
        assert oracle.cpu_matches is None  # nothing asked yet
        assert oracle.account(PlanSettings(n_ctx=512))
        assert oracle.cpu_matches is False
