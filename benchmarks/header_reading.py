"""How fast headers of true scale are read: ``python -m benchmarks.header_reading [--runs N]``.

The headers of tests/data/headers have few merges; here each gets as many as DeepSeek's tokenizer
has, so that the size is a real one's. Files lie in a temporary folder, sparse and in the cache.
Figures are medians: time on the clock, and in brackets processor time, which a busy machine changes
less. Aim: a whole 671B header under 100 ms.
"""

from __future__ import annotations

import argparse
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.raw_gguf import STRING, array_entry, text, true_scale_bytes  # noqa: E402
from models.gguf.header import ArrayInfo, parse_header, read_header  # noqa: E402
from models.gguf.parameters import bytes_touched_per_token, parameters_of  # noqa: E402
from models.gguf.shape_reader import read_shape  # noqa: E402
from models.gguf.sizing import read_sizing  # noqa: E402
from models.gguf.source import BytesSource, FileSource  # noqa: E402

NAMES = ("v3-q4km", "v3-q8", "v32-q4km", "v4f-mxfp4", "v2lite-q4km", "llama8-q4km")
MERGES = 127_741
MERGES_KEY = "tokenizer.ggml.merges"
AIM_MS = 100.0


def with_all_merges(data: bytes, size_bytes: int) -> tuple[bytes, int]:
    """Return a header with as many merges as a real one has, and the new size of its file."""
    header = parse_header(BytesSource(data, size_bytes=size_bytes))
    merges = header.metadata[MERGES_KEY]
    assert isinstance(merges, ArrayInfo)
    offsets = sorted(header.key_offsets.values())
    start = header.key_offsets[MERGES_KEY]
    end = next((offset for offset in offsets if offset > start), header.tensors[0].info_offset)
    words = b"".join(text(f"tok{number % 997} en{number}") for number in range(MERGES))
    last = header.tensors[-1]
    infos_end = last.info_offset + 8 + len(last.name.encode()) + 4 + 8 * len(last.shape) + 12
    grown = data[:start] + array_entry(MERGES_KEY, STRING, MERGES, words) + data[end:infos_end]
    grown += bytes(-len(grown) % header.alignment)
    # The counts in front stay: an entry was replaced by one of the same key.
    assert grown[:24] == b"GGUF" + struct.pack("<IQQ", 3, len(header.tensors), len(header.metadata))
    return grown, size_bytes - header.data_offset + len(grown)


def write_file(name: str, folder: Path) -> Path:
    """Write a true-scale header as a sparse file."""
    data, size_bytes = with_all_merges(*true_scale_bytes(name))
    path = folder / f"{name}.gguf"
    path.write_bytes(data)
    with path.open("r+b") as file:
        file.truncate(size_bytes)
    return path


def sizing(path: Path) -> None:
    """Read the first 64 KB."""
    with FileSource(path) as source:
        read_sizing(source)


@dataclass(frozen=True)
class Taken:
    """Medians of several runs, in milliseconds."""

    wall_ms: float
    processor_ms: float

    def __str__(self) -> str:
        return f"{self.wall_ms:5.1f} ({self.processor_ms:4.1f}) ms"


def measured(work: Callable[[], object], runs: int) -> Taken:
    """Return what some work takes."""
    wall, processor = [], []
    for _ in range(runs):
        began, cpu_began = time.perf_counter(), time.process_time()
        work()
        wall.append((time.perf_counter() - began) * 1000)
        processor.append((time.process_time() - cpu_began) * 1000)
    return Taken(statistics.median(wall), statistics.median(processor))


def measure(name: str, folder: Path, runs: int) -> bool:
    """Print one checkpoint's figures; return whether the aim is met."""
    path = write_file(name, folder)
    header = read_header(path)
    shape = read_shape([header])
    start = measured(lambda: sizing(path), runs)
    whole = measured(lambda: read_header(path), runs)
    shaped = measured(lambda: read_shape([header]), runs)
    counted = measured(lambda: (parameters_of(shape), bytes_touched_per_token(shape)), runs)
    print(
        f"{name:12} {header.data_offset / 1e6:5.2f} MB, {len(header.tensors):4} tensors: "
        f"64 KB {start}, header {whole}, shape {shaped}, parameters {counted}"
    )
    return whole.wall_ms < AIM_MS


def main() -> None:
    """Measure every checkpoint and say how many reach the aim."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("names", nargs="*", default=NAMES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        met = [measure(name, Path(folder), options.runs) for name in options.names]
    print(f"aim: whole header under {AIM_MS:.0f} ms: {sum(met)} of {len(met)}")


if __name__ == "__main__":
    main()
