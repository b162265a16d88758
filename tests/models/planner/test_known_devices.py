"""Products by the names that drivers give them."""

from __future__ import annotations

import pytest

from models.planner.known_devices import gpu_rates, link_bandwidth, ram_bandwidth
from models.planner.machine import Cpu, Gpu, GpuKind


def _gpu(name: str, kind: GpuKind = GpuKind.CUDA, **given: object) -> Gpu:
    return Gpu("X0", name, kind, 8, 8, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "gigabytes_s"),
    [
        ("NVIDIA GeForce RTX 3090", 936),
        ("NVIDIA GeForce RTX 3090 Ti", 1008),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", 672),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 576),
        ("NVIDIA GeForce RTX 4090 D", 1008),
        ("NVIDIA H100 80GB HBM3", 3350),
        ("NVIDIA H100 PCIe", 2000),
        ("NVIDIA H200", 4800),
        ("NVIDIA A100-SXM4-80GB", 2039),
        ("NVIDIA A10", 600),
        ("Tesla T4", 320),
        ("AMD Radeon RX 7900 XTX (RADV NAVI31)", 960),
        ("Radeon 8060S Graphics", 256),
        ("Intel(R) Arc(TM) B580 Graphics", 456),
        ("Apple M3 Max", 400),
        ("Apple M2", 100),
    ],
)
def test_products_are_recognised(name: str, gigabytes_s: float) -> None:
    rates = gpu_rates(_gpu(name))
    assert rates.is_known
    assert rates.bandwidth_bytes_s == gigabytes_s * 1e9
    assert rates.compute_flop_s > 1e12


@pytest.mark.parametrize("name", ["", "llvmpipe (LLVM 19)", "NVIDIA A2000", "RTX", "GPU 4090"])
def test_other_names_are_not_mistaken_for_products(name: str) -> None:
    rates = gpu_rates(_gpu(name))
    assert not rates.is_known
    assert rates.bandwidth_bytes_s > 0


def test_what_is_given_counts_more_than_the_table() -> None:
    rates = gpu_rates(_gpu("NVIDIA H200", bandwidth_bytes_s=1e9, compute_flop_s=2e9))
    assert (rates.bandwidth_bytes_s, rates.compute_flop_s) == (1e9, 2e9)


@pytest.mark.parametrize("kind", GpuKind)
def test_every_kind_has_a_guess(kind: GpuKind) -> None:
    assert gpu_rates(_gpu("?", kind)).bandwidth_bytes_s > 1e10
    assert link_bandwidth(_gpu("?", kind), None)[0] > 1e7


@pytest.mark.parametrize(
    ("name", "gigabytes_s"),
    [
        ("AMD EPYC 7773X 64-Core Processor", 205),
        ("AMD EPYC 9654 96-Core Processor", 460),
        ("Intel(R) Xeon(R) Gold 6454S", 307),
        ("AMD Ryzen 9 7950X 16-Core Processor", 83),
        ("Apple M3 Max", 400),
        ("AMD RYZEN AI MAX+ 395 w/ Radeon 8060S", 256),
    ],
)
def test_ram_by_processor(name: str, gigabytes_s: float) -> None:
    assert ram_bandwidth(Cpu(16, (), name)) == (gigabytes_s * 1e9, True)
    assert ram_bandwidth(Cpu(32, (), name, sockets=2)) == (2 * gigabytes_s * 1e9, True)


def test_ram_by_cores_where_the_processor_is_unknown() -> None:
    rates = [ram_bandwidth(Cpu(cores)) for cores in (2, 8, 16, 32, 128)]
    assert not any(known for _, known in rates)
    assert sorted(rates) == rates


def test_links() -> None:
    assert link_bandwidth(_gpu("?"), 25e9) == (25e9, 0.0, True)
    assert link_bandwidth(_gpu("?", link_bytes_s=5e9), 25e9) == (5e9, 0.0, True)
    rate, latency_s, known = link_bandwidth(_gpu("?", GpuKind.RPC), 25e9)
    assert rate < 1e9
    assert latency_s > 0
    assert not known
