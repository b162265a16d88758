"""Reads mutated GGUF headers in a process of its own and tells what came of them.

    python fuzz_headers.py REPOSITORY_ROOT FOLDER CASES SEED

FOLDER holds checkpoints: each subfolder is one, its files in order, NAME.SIZE with the size of the
whole file. The process may use little memory and a few seconds for each case; what it prints is one
JSON object. Separate from the tests so that memory can be limited and measured.
"""

from __future__ import annotations

import contextlib
import json
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), sys.argv[1]]

from helpers.mutations import mutate, mutate_numbers  # noqa: E402  (needs the path set above)
from models.errors import BadInputError  # noqa: E402  (needs the path set above)
from models.gguf.header import GgufHeader, parse_header  # noqa: E402  (needs the path set above)
from models.gguf.parameters import bytes_by_role_and_type, bytes_touched_per_token, parameters_of  # noqa: E402  (needs the path set above)
from models.gguf.shape_reader import read_shape  # noqa: E402  (needs the path set above)
from models.gguf.sizing import read_sizing  # noqa: E402  (needs the path set above)
from models.gguf.source import BytesSource  # noqa: E402  (needs the path set above)

# Beyond it an allocation fails with MemoryError, which is a finding.
ADDRESS_SPACE_BYTES = 400_000_000
CASE_LIMIT_S = 20
HUGE_FILE_BYTES = 10**13


@dataclass(frozen=True)
class Part:
    """One file of a checkpoint: its header's bytes, the same read, and the whole file's size."""

    data: bytes
    header: GgufHeader
    size_bytes: int


class HangError(BaseException):
    """A case takes for ever."""


def main() -> None:
    """Run the cases and print what came of them."""
    folder, cases, seed = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    samples = [load(path) for path in sorted(folder.iterdir())]
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    signal.signal(signal.SIGALRM, on_alarm)
    outcomes: Counter[str] = Counter()
    findings: list[str] = []
    slowest_s = 0.0
    for case in range(cases):
        began = time.perf_counter()
        signal.alarm(CASE_LIMIT_S)
        try:
            outcomes[run(samples, random.Random(f"{seed} {case}"))] += 1
        except (Exception, HangError) as error:  # noqa: BLE001 - whatever comes is the finding
            findings.append(f"case {case} of seed {seed}: {error!r}")
        signal.alarm(0)
        slowest_s = max(slowest_s, time.perf_counter() - began)
    report = {
        "cases": cases,
        "outcomes": outcomes,
        "findings": findings[:20],
        "peak_bytes": peak_bytes(),
        "slowest_s": round(slowest_s, 3),
    }
    print(json.dumps(report))


def load(folder: Path) -> list[Part]:
    """Return the files of one checkpoint."""
    parts = []
    for path in sorted(folder.iterdir()):
        data, size_bytes = path.read_bytes(), int(path.suffix[1:])
        source = BytesSource(data, name=path.stem, size_bytes=size_bytes)
        parts.append(Part(data, parse_header(source), size_bytes))
    return parts


def run(samples: Sequence[Sequence[Part]], rng: random.Random) -> str:
    """Damage one file of one checkpoint, read it in every way, and return the outcome's name."""
    # Small ones more often: they take less time, and the same code reads them.
    weights = [1 / sum(len(part.data) for part in parts) for parts in samples]
    (parts,) = rng.choices(samples, weights)
    chosen = rng.randrange(len(parts))
    part = parts[chosen]
    if rng.random() < 0.5:
        data = mutate_numbers(part.data, part.header, rng)
    else:
        data = mutate(part.data, rng)
    sizes = (part.size_bytes, part.size_bytes, part.size_bytes, HUGE_FILE_BYTES)
    size_bytes = len(data) if rng.random() < 0.05 else rng.choice(sizes)
    source = BytesSource(data, name="a.gguf", size_bytes=max(size_bytes, len(data)))
    # Whether the start of the file may be refused, its whole header says.
    with contextlib.suppress(BadInputError):
        read_sizing(source)
    try:
        headers = [other.header for other in parts]
        headers[chosen] = parse_header(source)
        shape = read_shape(headers)
    except BadInputError as error:
        return type(error).__name__
    parameters_of(shape)
    bytes_touched_per_token(shape)
    bytes_by_role_and_type(shape)
    return "read"


def on_alarm(number: int, frame: FrameType | None) -> None:
    """End a case that takes too long."""
    raise HangError(f"took more than {CASE_LIMIT_S} s")


def peak_bytes() -> int:
    """Return the most memory this process held (VmHWM: ru_maxrss begins with the parent's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
