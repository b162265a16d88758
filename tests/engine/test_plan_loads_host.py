"""Kinds of RAM: what a plan calls anonymous, page cache and pinned is what Linux counts as such."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.engine_process import EngineProcess
from helpers.host_memory import HostUse, host_use
from helpers.planned_load import RealPlanner
from models.gguf.replica import plain_replica, write_replica
from models.planner.plan import HostPlan
from models.planner.wishes import Wishes

MIB = 2**20
# Beside llama.cpp's buffers: vocabulary, graph, work buffer, Python, the heap's own room.
BESIDE_BYTES = 12 * MIB

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    process = EngineProcess()
    try:
        assert process.next_event()["event"] == "hello"
        yield process
    finally:
        assert process.close() == 0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return checkpoints of 60 to 110 MB, large beside everything else that a process holds."""
    folder = tmp_path_factory.mktemp("checkpoints")
    written = {}
    for type_name in ("Q4_0", "Q8_0"):
        replica = plain_replica(type_name, n_layer=8, n_embd=1024, n_ff=3072)
        written[type_name] = folder / f"{type_name}.gguf"
        write_replica(replica, written[type_name])
    return written


def load(
    engine: EngineProcess, path: Path, folder: Path, wishes: Wishes
) -> tuple[HostPlan, HostUse, int]:
    """Load as planned and answer; return the plan, what was added, and the compute buffers."""
    planner = RealPlanner(engine, folder)
    checkpoint = planner.planning.open(str(path))
    machine = planner.planning.machine(path)
    with planner.oracle(checkpoint.files, machine) as oracle:
        before = host_use(engine.process.pid)
        done = planner.run(checkpoint, machine, wishes, oracle)
    added = host_use(engine.process.pid) - before
    compute = sum(device.compute_bytes for device in done.exact.memory.devices)
    return done.exact.memory.host, added, compute


@pytest.mark.parametrize("type_name", ["Q4_0", "Q8_0"])
@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(n_ctx=2048, n_ubatch=64, use_extra_bufts=repack, load_mode=load_mode)
        for repack in (True, False)
        for load_mode in ("mmap", "none")
    ],
    ids=lambda wishes: f"{wishes.load_mode}-{'' if wishes.use_extra_bufts else 'not-'}repacked",
)
def test_ram_by_kind(
    engine: EngineProcess,
    files: dict[str, Path],
    tmp_path: Path,
    type_name: str,
    wishes: Wishes,
) -> None:
    planned, added, compute = load(engine, files[type_name], tmp_path, wishes)
    # Of compute buffers only those pages are there that something was written to.
    low = planned.anonymous_bytes - compute
    assert low <= added.anonymous <= planned.anonymous_bytes + BESIDE_BYTES
    assert planned.pinned_bytes == added.locked == added.pinned == 0
    assert planned.page_cache_bytes <= added.file + MIB
    if wishes.load_mode == "none":
        assert planned.page_cache_bytes == 0
        assert added.file <= BESIDE_BYTES
