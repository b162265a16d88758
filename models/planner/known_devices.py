"""What products are known to reach, for machines that were not measured. Pure, no Qt here.

Bandwidths are the makers' published figures (data sheets and product pages of NVIDIA, AMD, Intel
and Apple); speed.py takes off what ggml does not reach. Throughputs are half-precision operations
with 32-bit accumulation on tensor or matrix units, dense, from the same sheets; for data centre
parts about a third of it, which is what ggml's kernels reach there, and for parts without such
units the rate of their shaders. Both are guesses next to a calibration.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from models.planner.machine import Cpu, Gpu, GpuKind

# Product, GB/s of its memory, usable TFLOP/s. The longest product found in a name wins.
_PRODUCTS = """
b200 8000 700|h200 4800 350|gh200 4000 350|h100 80gb hbm3 3350 330|h100 nvl 3900 300
h100 pcie 2000 250|h100 2000 250|h800 3350 330|h20 4000 130|a100 sxm4 80gb 2039 200
a100 80gb 1935 200|a100 1555 200|a800 2039 200|a30 933 100|a40 696 75|a16 200 18|a10g 600 70
a10 600 70|a2 200 18|l40s 864 180|l40 864 180|l20 864 100|l4 300 60|t4 320 32|v100 900 60
p100 732 18|p40 347 12|p4 192 5.5|m40 288 6.8
rtx pro 6000 blackwell 1792 230|rtx pro 5000 blackwell 1344 150|rtx pro 4500 blackwell 896 110
rtx pro 4000 blackwell 672 90|rtx 6000 ada 960 180|rtx 5000 ada 576 130|rtx 4500 ada 432 80
rtx 4000 ada 360 55|rtx 2000 ada 224 24|rtx a6000 768 77|rtx a5500 768 68|rtx a5000 768 55
rtx a4500 640 47|rtx a4000 448 38|rtx a2000 288 16|quadro rtx 8000 672 65|quadro rtx 6000 672 65
rtx 5090 laptop 896 110|rtx 5080 laptop 896 85|rtx 5070 ti laptop 672 65|rtx 5070 laptop 384 45
rtx 5060 laptop 448 40|rtx 5090 1792 210|rtx 5080 960 112|rtx 5070 ti 896 88|rtx 5070 672 62
rtx 5060 ti 448 47|rtx 5060 448 38|rtx 5050 320 26
rtx 4090 laptop 576 85|rtx 4080 laptop 432 65|rtx 4070 laptop 256 42|rtx 4060 laptop 256 36
rtx 4050 laptop 192 26|rtx 4090 d 1008 145|rtx 4090 1008 165|rtx 4080 super 736 104
rtx 4080 717 97|rtx 4070 ti super 672 88|rtx 4070 ti 504 80|rtx 4070 super 504 71
rtx 4070 504 58|rtx 4060 ti 288 44|rtx 4060 272 30
rtx 3080 ti laptop 512 46|rtx 3080 laptop 448 38|rtx 3070 ti laptop 448 33
rtx 3070 laptop 448 32|rtx 3060 laptop 336 22|rtx 3050 laptop 192 12|rtx 3090 ti 1008 80
rtx 3090 936 71|rtx 3080 ti 912 68|rtx 3080 760 59|rtx 3070 ti 608 43|rtx 3070 448 40
rtx 3060 ti 448 32|rtx 3060 360 25|rtx 3050 224 18
titan rtx 672 65|rtx 2080 ti 616 54|rtx 2080 super 496 44|rtx 2080 448 40|rtx 2070 super 448 36
rtx 2070 448 30|rtx 2060 super 448 28|rtx 2060 336 25|gtx 1660 super 336 5|gtx 1660 ti 288 5.4
gtx 1660 192 5|gtx 1650 128 3|gtx 1080 ti 484 11|gtx 1080 320 8.9|gtx 1070 256 6.5|gtx 1060 192 4.4
gb10 273 100|thor 273 100|orin 204 20
mi355x 8000 500|mi325x 6000 350|mi300x 5300 350|mi300a 5300 300|mi250x 1638 90|mi250 1638 90
mi210 1638 90|mi100 1228 90|mi60 1024 27|mi50 1024 25|radeon vii 1024 25
w7900 864 90|w7800 576 65|w6800 512 32|ai pro r9700 640 95|rx 9070 xt 640 95|rx 9070 640 72
rx 9060 xt 320 50|rx 7900 xtx 960 90|rx 7900 xt 800 75|rx 7900 gre 576 60|rx 7800 xt 624 55
rx 7700 xt 432 50|rx 7600 xt 288 33|rx 7600 288 33|rx 6950 xt 576 36|rx 6900 xt 512 35
rx 6800 xt 512 32|rx 6800 512 26|rx 6750 xt 432 22|rx 6700 xt 384 20|rx 6650 xt 280 17
rx 6600 xt 256 16|rx 6600 224 14|8060s 256 30|8050s 256 25|890m 120 8|880m 120 6|780m 100 7
arc pro b60 456 60|arc b580 456 60|arc b570 380 50|arc a770 560 60|arc a750 512 50
arc a580 512 45|arc a380 186 15|arc 140t 120 8|arc 140v 136 12|max 1550 3276 200|max 1100 1229 90
m5 max 614 40|m5 pro 307 24|m5 153 10|m4 max 546 30|m4 pro 273 16|m4 120 8|m3 ultra 819 52
m3 max 400 26|m3 pro 150 13|m3 100 7|m2 ultra 800 50|m2 max 400 25|m2 pro 200 13|m2 100 7
m1 ultra 800 40|m1 max 400 20|m1 pro 200 10|m1 68 5
"""
# Where a name says nothing, by backend: GB/s, TFLOP/s. Low, so that a surprise is a good one.
_UNKNOWN = {
    GpuKind.CUDA: (300.0, 25.0),
    GpuKind.ROCM: (300.0, 25.0),
    GpuKind.VULKAN: (200.0, 12.0),
    GpuKind.METAL: (100.0, 6.0),
    GpuKind.SYCL: (200.0, 15.0),
    GpuKind.RPC: (300.0, 20.0),
}
_UNKNOWN_UNIFIED = (80.0, 4.0)
_NOISE = re.compile(r"\((?:r|tm|c)\)|[^a-z0-9]+")

# RAM by processor: found in its name, GB/s of the whole machine as its memory controller can at
# the fastest officially supported memory (makers' product pages).
_PROCESSORS = """
apple m1 68|apple m2 100|apple m3 100|apple m4 120|apple m5 153|apple m1 pro 200|apple m2 pro 200
apple m3 pro 150|apple m4 pro 273|apple m1 max 400|apple m2 max 400|apple m3 max 400
apple m4 max 546|apple m1 ultra 800|apple m2 ultra 800|apple m3 ultra 819|ryzen ai max 256
threadripper pro 7 332|threadripper pro 9 409|threadripper pro 5 205|threadripper pro 3 205
threadripper 7 166|threadripper 9 205|threadripper 3 102|threadripper 2 94|epyc 9 460|epyc 8 230
epyc 7 205|epyc 4 83|xeon 6 700|xeon gold 64 307|xeon platinum 84 307|xeon platinum 85 358
xeon platinum 83 205|xeon gold 63 205|xeon platinum 82 140|xeon w9 307|xeon w7 307|xeon w5 307
xeon w3 282|core ultra 9 2 102|core ultra 7 2 102|core ultra 5 2 102|core ultra 90|ryzen 9 9 89
ryzen 7 9 89|ryzen 5 9 89|ryzen 9 7 83|ryzen 7 7 83|ryzen 5 7 83|ryzen 9 5 51|ryzen 7 5 51
ryzen 5 5 51|ryzen 51|graviton 300|ampere altra 204|grace 500
"""
_RAM_BY_CORES = ((4, 38.0), (8, 60.0), (16, 76.0), (32, 150.0))
_RAM_OF_A_SERVER = 200.0
_DISK_BYTES_S = 2.0e9
_PCIE_BYTES_S = 12.0e9
_RPC_BYTES_S = 117.0e6
_RPC_LATENCY_S = 0.0003
_UNIFIED_LINK_BYTES_S = 30.0e9


@dataclass(frozen=True)
class DeviceRates:
    """What a GPU's memory and its units do at best; ``is_known``: the product was recognised."""

    bandwidth_bytes_s: float
    compute_flop_s: float
    is_known: bool


def gpu_rates(gpu: Gpu) -> DeviceRates:
    """Return a GPU's rates: those given with it, else its product's, else a low guess."""
    found = _find_product(gpu.name)
    guess = found or (_UNKNOWN_UNIFIED if gpu.is_unified else _UNKNOWN[gpu.kind])
    return DeviceRates(
        bandwidth_bytes_s=gpu.bandwidth_bytes_s or guess[0] * 1e9,
        compute_flop_s=gpu.compute_flop_s or guess[1] * 1e12,
        is_known=found is not None or gpu.bandwidth_bytes_s is not None,
    )


def ram_bandwidth(cpu: Cpu) -> tuple[float, bool]:
    """Return the RAM's bandwidth in bytes/s by the processor's name, and whether it is known.

    An unknown one is judged by its cores: few cores come with two memory channels.
    """
    name = _normal(cpu.name)
    # A digit at a key's end begins a model number (epyc 7: 7773X).
    held = (key for key in _processors() if re.search(rf"\b{re.escape(key)}", name))
    words = max(held, key=len, default="")
    if words:
        return _processors()[words] * 1e9 * cpu.sockets, True
    by_cores = next((rate for cores, rate in _RAM_BY_CORES if cpu.cores <= cores), None)
    return (by_cores or _RAM_OF_A_SERVER) * 1e9, False


def disk_bandwidth() -> float:
    """Return what a disk nobody measured reads: an NVMe drive of the middle class, bytes/s."""
    return _DISK_BYTES_S


def link_bandwidth(gpu: Gpu, pcie_bytes_s: float | None) -> tuple[float, float, bool]:
    """Return bytes/s and latency in s between CPU and a GPU, and whether they were given."""
    if gpu.link_bytes_s is not None:
        return gpu.link_bytes_s, gpu.link_latency_s, True
    if gpu.kind is GpuKind.RPC:
        # Gigabit Ethernet, the round trip of a quiet local network.
        return _RPC_BYTES_S, gpu.link_latency_s or _RPC_LATENCY_S, False
    if gpu.is_unified:
        return _UNIFIED_LINK_BYTES_S, gpu.link_latency_s, False
    if pcie_bytes_s is not None:
        return pcie_bytes_s, gpu.link_latency_s, True
    return _PCIE_BYTES_S, gpu.link_latency_s, False


def _normal(name: str) -> str:
    return " ".join(_NOISE.sub(" ", name.lower()).split())


@functools.cache
def _find_product(raw_name: str) -> tuple[float, float] | None:
    name = _normal(raw_name)
    held = (key for key in _products() if re.search(rf"\b{re.escape(key)}\b", name))
    words = max(held, key=len, default="")
    if not words:
        return None
    if "laptop" in name or "max q" in name or "mobile" in name:
        words = f"{words} laptop" if f"{words} laptop" in _products() else words
    return _products()[words]


@functools.cache
def _products() -> dict[str, tuple[float, float]]:
    rows = [entry.rsplit(" ", 2) for entry in _entries(_PRODUCTS)]
    return {name: (float(bandwidth), float(compute)) for name, bandwidth, compute in rows}


@functools.cache
def _processors() -> dict[str, float]:
    rows = [entry.rsplit(" ", 1) for entry in _entries(_PROCESSORS)]
    return {name: float(bandwidth) for name, bandwidth in rows}


def _entries(text: str) -> list[str]:
    return [entry for line in text.split("\n") for entry in line.split("|") if entry.strip()]
