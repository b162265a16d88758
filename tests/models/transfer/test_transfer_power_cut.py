"""The power goes at any moment: what is left is never taken for more than it is."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from helpers.fake_hub import FakeHub, fake_hub
from helpers.power_cut import Disk, Left
from helpers.transfers import REPOSITORY, assert_all_there, gguf_shards, offer, spec_for
from models.errors import FathomError
from models.stopping import Stop
from models.transfer.file_tools import BlockTools
from models.transfer.job import JobSpec
from models.transfer.job_book import Job
from models.transfer.job_runner import JobRun
from models.transfer.limiter import RateLimiter
from models.transfer.patience import Layout
from models.transfer.rebuild import find_begun
from models.transfer.remote import Location, RemoteObject
from models.transfer.run import Run, RunTools
from models.transfer.slots import Slots
from models.transfer.space import SpaceLedger

KIB = 1024
FILES = gguf_shards(2, 300 * KIB, seed=8)
RESUMED = 6

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at open files by /proc")


class PlainLocator:
    def locate(self, remote: RemoteObject, *, stop: Stop) -> Location:
        path = f"{remote.repository}/resolve/{remote.commit}/{remote.file.path}"
        file = remote.file
        return Location(f"{remote.endpoint}/{path}", file.digest_hex, file.size_bytes)


def tools() -> BlockTools:
    layout = Layout(block_bytes=64 * KIB, flush_bytes=16 * KIB)
    return BlockTools(Slots(), RateLimiter(), layout=layout)


def make(spec: JobSpec) -> None:
    """Make a download in this process, to its end."""
    ends: list[FathomError | None] = []

    def ended(run: Run, error: FathomError | None) -> None:
        ends.append(error)

    ledger = SpaceLedger(0, 0.0)
    run = JobRun(spec, Job(spec).files, RunTools(tools(), PlainLocator(), ledger), ended)
    run.begin()
    run.join(60)
    assert ends == [None]


def check(left: Left, spec: JobSpec, folder: Path) -> None:
    """Check that nothing wrong is taken for right."""
    left.lay_out(folder)
    for file in spec.files:
        target = folder / REPOSITORY / file.target
        remote = RemoteObject(spec.endpoint, spec.repository, spec.commit, file)
        if target.exists():
            assert target.read_bytes() == FILES[file.target], f"{left.moment}: a wrong file"
        if tools().is_done(remote, target):
            assert target.exists(), left.moment


def moved(spec: JobSpec, root: Path) -> JobSpec:
    return JobSpec(**{**vars(spec), "root": root, "folder": root / REPOSITORY})


def test_a_power_cut_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "models"
    root.mkdir()
    with fake_hub() as hub:
        offer(hub, FILES)
        spec = spec_for(hub, sorted(FILES), root)
        with monkeypatch.context() as patch:
            disk = Disk(root, patch)
            make(spec)
        assert_all_there(spec, FILES)
        check_end(disk, spec)
        assert len(disk.copies) > 30
        for number, left in enumerate(disk.copies):
            check(left, spec, tmp_path / f"left {number}")
        resume_some(disk, spec, tmp_path, hub)


def check_end(disk: Disk, spec: JobSpec) -> None:
    """What is told to be ready is safe, even if the power goes right then."""
    for left in disk.copies[-2:]:
        for name, data in FILES.items():
            assert left.files[f"{REPOSITORY}/{name}"].data == data
            assert f"{REPOSITORY}/.fathom/{name}.json" in left.files


def resume_some(disk: Disk, spec: JobSpec, folder: Path, hub: FakeHub) -> None:
    """Go on from some of them, to the end; the download is found again by itself."""
    rng = random.Random(2)
    for number in rng.sample(range(len(disk.copies)), RESUMED):
        root = folder / f"left {number}"
        root.mkdir(exist_ok=True)
        again = moved(spec, root)
        found = find_begun([root])
        assert all(job.spec == again for job in found if len(job.spec.files) > 1)
        make(again)
        for name, data in FILES.items():
            assert (again.folder / name).read_bytes() == data
