"""One sample of this machine, and of a machine made of files."""

from __future__ import annotations

import os
import time
from pathlib import Path

from helpers.machine_tree import add_card
from models.hardware.sampler import HardwareSampler


def test_a_sample_of_this_machine() -> None:
    with HardwareSampler() as sampler:
        first = sampler.sample()
        second = sampler.sample(engine_pid=os.getpid())
    assert first.engine is None
    assert second.engine is not None
    assert second.engine.pid == os.getpid()
    assert second.taken_at >= first.taken_at
    assert 0 < second.ram.available_bytes < second.ram.total_bytes
    assert second.cpu.physical_cores >= 1


def test_gpus_of_a_tree_are_in_the_snapshot(tmp_path: Path) -> None:
    files = {"device/mem_info_vram_total": 1000, "device/mem_info_vram_used": 10}
    ids = ("0x1002", "0x744c", "0xc8")
    add_card(tmp_path, 0, "amdgpu", ids=ids, slot="0000:03:00.0", files=dict(files))
    with HardwareSampler(tmp_path, nvidia=False) as sampler:
        (gpu,) = sampler.sample().gpus
    assert (gpu.total_bytes, gpu.used_bytes) == (1000, 10)


def test_an_engine_that_is_gone_is_left_out() -> None:
    with HardwareSampler(nvidia=False) as sampler:
        assert sampler.sample(engine_pid=2**22 - 1).engine is None


def test_a_sample_takes_less_than_five_milliseconds_of_cpu() -> None:
    with HardwareSampler() as sampler:
        sampler.sample(os.getpid())
        costs_s = []
        for _ in range(20):
            before = time.thread_time()
            sampler.sample(os.getpid())
            costs_s.append(time.thread_time() - before)
    assert sorted(costs_s)[10] < 0.005
