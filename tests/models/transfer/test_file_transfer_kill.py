"""kill -9 at any moment costs what was not noted down yet, and never the file."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from helpers.fake_hub import fake_hub
from helpers.transfer_case import KIB, Case, content
from models.transfer.file_transfer import bytes_in_place
from models.transfer.leftovers import remove_leftovers
from models.transfer.patience import Layout

TESTS = Path(__file__).resolve().parents[2]
LAYOUT = Layout(block_bytes=1024 * KIB, flush_bytes=128 * KIB)
WORKERS = 3


def start(case: Case, **variables: str) -> subprocess.Popen[bytes]:
    wanted = {
        "endpoint": case.hub.endpoint,
        "repository": case.remote.repository,
        "commit": case.remote.commit,
        "file": asdict(case.file),
        "target": str(case.target),
        "workers": WORKERS,
        "layout": asdict(LAYOUT),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "helpers.transfer_child", json.dumps(wanted)],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}", **variables},
    )


def written_bytes(case: Case) -> int:
    """Return how much of the part is not zero, that is: how much came so far."""
    if not case.part.exists():
        return 0
    return len(case.part.read_bytes().replace(b"\0", b""))


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_transfer_goes_on_where_it_was(tmp_path: Path, seed: int):
    chance = random.Random(seed)
    with fake_hub() as hub:
        # No zeros: what is in the part can be counted.
        data = content(8192 * KIB, seed).replace(b"\0", b"\1")
        case = Case(hub, tmp_path, data)
        hub.rate_bytes_s = 4_000_000
        for _ in range(2):
            after = hub.sent_bytes + chance.randrange(500 * KIB, 2500 * KIB)
            # In mid-stream, and never so late that the file is whole, however long a kill takes.
            hub.most_bytes = after + 1000 * KIB
            child = start(case)
            hub.wait_for(lambda limit=after: hub.sent_bytes >= limit)
            child.send_signal(signal.SIGKILL)
            child.wait(10)
            lost = written_bytes(case) - bytes_in_place(case.target)
            assert lost <= WORKERS * LAYOUT.flush_bytes
            assert not case.target.exists()
        hub.rate_bytes_s = hub.most_bytes = None
        left = bytes_in_place(case.target)
        case.run()
        # A kill may fall into the writing of the sidecar; jobs take such files away.
        remove_leftovers([case.sidecar], before_s=math.inf)
        case.assert_done()
        assert case.heard[-1].bytes_fetched == len(data) - left
        # It says itself what it fetched twice.
        assert case.heard[-1].bytes_refetched <= WORKERS * LAYOUT.flush_bytes


def test_killed_while_it_is_published(tmp_path: Path):
    # The moment between the name and the record: the file is there, nobody vouches for it yet.
    with fake_hub() as hub:
        case = Case(hub, tmp_path, content(300 * KIB))
        case.run()
        (case.target.parent / ".fathom" / f"{case.target.name}.json").unlink()
        case.sidecar.write_text("{}")
        asked = len(hub.seen("cdn"))
        case.run()
        case.assert_done()
        assert len(hub.seen("cdn")) == asked


def test_without_a_terminal_and_utf_8_in_a_folder_of_any_name(tmp_path: Path):
    folder = tmp_path / "Jörg \u6df1\u5ea6 \u6c42\u7d22"
    with fake_hub() as hub:
        case = Case(hub, folder, content(1500 * KIB))
        # As os.fsdecode has it where the locale knows ASCII alone.
        case.target = Path(os.fsencode(case.target).decode("ascii", "surrogateescape"))
        child = start(case, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", NO_STDERR="1")
        assert child.wait(30) == 0
        case.target = Path(os.fsdecode(os.fsencode(case.target)))
        case.assert_done()
