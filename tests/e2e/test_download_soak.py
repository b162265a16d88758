"""24 downloads, each of which meets a fault or is killed: all arrive, little is fetched twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from helpers import soak_parent
from helpers.fake_hub import FakeHub, Fault, fake_hub
from helpers.small_transfers import BLOCK_BYTES, FLUSH_BYTES
from helpers.transfers import assert_all_there, gguf_shards, make_root, offer, spec_for
from models.transfer.job import JobSpec
from models.transfer.protocol import spec_to_json

DOWNLOADS = 24
WORKERS = 4
LIMIT_S = 120
CHILD, PROGRAM = "child", "program"
# What a server has handed to the system when the other side goes, for each connection.
IN_FLIGHT_BYTES = 256 * 1024
FAULTS = (
    Fault("reset", after=90_000),
    Fault("cut", after=50_000),
    Fault("stall", after=30_000),
    Fault("status", status=503),
    Fault("status", status=429, headers={"Retry-After": "1"}),
    Fault("status", status=403),
    Fault("corrupt", after=70_000),
    Fault("no_range"),
    Fault("other_bytes"),
    Fault("garbage_range"),
    Fault("short"),
    Fault("expire"),
)


@dataclass(frozen=True)
class Plan:
    """One download and what happens to it: a fault, or who is killed after so many bytes."""

    spec: JobSpec
    files: dict[str, bytes]
    fault: Fault | None = None
    victim: str = ""
    after_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.files.values()))


def test_twenty_four_downloads_survive_what_happens_to_them(base_dir: Path) -> None:
    rng = random.Random(24)
    with fake_hub() as hub:
        hub.rate_bytes_s = 2_500_000
        plans = _plans(hub, make_root(base_dir), rng)
        _run(hub, plans, base_dir)
        sent = {plan.spec.repository: _sent_bytes(hub, plan) for plan in plans}
    for plan in plans:
        assert_all_there(plan.spec, plan.files)
        extra_bytes = sent[plan.spec.repository] - plan.size_bytes
        assert 0 <= extra_bytes <= _bound(plan), (plan.fault, plan.victim, extra_bytes)


def _plans(hub: FakeHub, root: Path, rng: random.Random) -> list[Plan]:
    """Make the downloads; which of them meets what is drawn."""
    fates: list[Fault | str] = [*FAULTS, *[CHILD] * 6, *[PROGRAM] * 6]
    rng.shuffle(fates)
    assert len(fates) == DOWNLOADS
    plans = []
    for number, fate in enumerate(fates):
        repository = f"maker/M{number:02}-GGUF"
        files = gguf_shards(rng.choice((1, 2)), rng.randrange(600_000, 1_200_000), seed=number)
        offer(hub, files, repository)
        spec = spec_for(hub, sorted(files), root, repository=repository)
        plan = Plan(spec, files)
        if isinstance(fate, Fault):
            hub.fail("cdn", fate, path=repository)
            plan = Plan(spec, files, fault=fate)
        else:
            at = rng.randrange(100_000, plan.size_bytes - 100_000)
            plan = Plan(spec, files, victim=fate, after_bytes=at)
        plans.append(plan)
    return plans


def _run(hub: FakeHub, plans: list[Plan], base_dir: Path) -> None:
    specs_file = base_dir / "specs.json"
    specs_file.write_text(json.dumps([spec_to_json(plan.spec) for plan in plans]))
    log_file = base_dir / "words.txt"
    program = _start(base_dir, specs_file, log_file)
    try:
        for plan in plans:
            if plan.victim:
                hub.wait_for(lambda plan=plan: _sent_bytes(hub, plan) >= plan.after_bytes, LIMIT_S)
                program = _kill(plan.victim, program, base_dir, specs_file, log_file)
        out, _ = program.communicate(timeout=LIMIT_S)
    finally:
        _kill_all(program)
    words = log_file.read_text()
    assert program.returncode == 0, words
    assert json.loads(out.splitlines()[-1]) == ["ready"] * DOWNLOADS, words


def _start(base_dir: Path, specs_file: Path, log_file: Path) -> subprocess.Popen[str]:
    with log_file.open("a") as log:
        return subprocess.Popen(
            [sys.executable, soak_parent.__file__, base_dir, specs_file],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def _kill(
    victim: str,
    program: subprocess.Popen[str],
    base_dir: Path,
    specs_file: Path,
    log_file: Path,
) -> subprocess.Popen[str]:
    """Kill the child, or everything at once; return the program that goes on."""
    if victim == CHILD:
        for child in psutil.Process(program.pid).children():
            os.kill(child.pid, signal.SIGKILL)
        return program
    _kill_all(program)
    program.communicate()
    return _start(base_dir, specs_file, log_file)


def _kill_all(program: subprocess.Popen[str]) -> None:
    if program.poll() is not None:
        return
    process = psutil.Process(program.pid)
    for each in [process, *process.children(recursive=True)]:
        each.kill()
    program.wait()


def _sent_bytes(hub: FakeHub, plan: Plan) -> int:
    return sum(r.size_sent_bytes for r in hub.seen("cdn") if plan.spec.repository in r.path)


def _bound(plan: Plan) -> int:
    """Return what of a download may come twice."""
    killed_bytes = WORKERS * (FLUSH_BYTES + IN_FLIGHT_BYTES)
    # A damaged block is fetched again, and once more where two of them have to be told apart.
    return killed_bytes if plan.victim else 2 * BLOCK_BYTES + WORKERS * IN_FLIGHT_BYTES
