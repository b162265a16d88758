"""Mutated headers: nothing but Fathom's own errors comes out, in bounded time and memory."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import raw_gguf as raw
from helpers.mutations import mutate, without_vocabulary
from helpers.tiny_gguf import TinyModel, write_tiny, write_tiny_shards
from helpers.tiny_shapes import ARCHITECTURES
from models.errors import BadInputError, CorruptGgufError
from models.gguf.checkpoint import inspect_checkpoint
from models.gguf.header import MAX_TENSORS, MAX_TEXT_BYTES, parse_header, read_header
from models.gguf.shape_reader import read_shape
from models.gguf.source import BytesSource

REPO_ROOT = Path(__file__).resolve().parents[3]
FUZZ = REPO_ROOT / "tests" / "helpers" / "fuzz_headers.py"
N_CASES = 10_000
N_WHOLE_CASES = 100
N_INSPECTED = 1_000
SEED = 1
PEAK_LIMIT_BYTES = 100_000_000
TIMEOUT_S = 170

# Arguments: folder of this package's helpers, the repository, the file.
READ_AND_MEASURE = """
import sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from fuzz_headers import peak_bytes
from models.gguf.header import read_header
from models.gguf.shape_reader import read_shape
shape = read_shape([read_header(Path(sys.argv[3]))])
print(len(shape.tensors), peak_bytes())
"""
TRUE_SCALE = ("v3-q4km", "v3-legacy-q4km", "v32-q4km", "v4f-mxfp4", "v2lite-q4km", "llama8-q4km")


def keep(folder: Path, data: bytes, size_bytes: int, name: str = "a.gguf") -> None:
    """Write a header as the fuzzing process takes it."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.{size_bytes}").write_bytes(data)


def header_bytes(path: Path) -> tuple[bytes, int]:
    header = read_header(path)
    return path.read_bytes()[: header.data_offset], header.file_bytes


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with tiny checkpoints, true-scale ones without vocabulary, and a set."""
    made, folder = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("samples")
    for architecture in ARCHITECTURES:
        model = TinyModel(architecture, mtp=architecture in ("deepseek2", "deepseek32"))
        keep(folder / architecture, *header_bytes(write_tiny(made / "a.gguf", model)))
    keep(
        folder / "old",
        *header_bytes(write_tiny(made / "b.gguf", TinyModel("deepseek2", mla=False))),
    )
    for path in write_tiny_shards(made, TinyModel("deepseek2"), tensors_each=20):
        keep(folder / "set", *header_bytes(path), name=path.name)
    for name in TRUE_SCALE:
        data, size_bytes = raw.true_scale_bytes(name)
        header = parse_header(raw.true_scale_source(name))
        keep(folder / name, without_vocabulary(data, header), size_bytes)
    return folder


@pytest.fixture(scope="module")
def whole_samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with true-scale headers as they are."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("v3-q4km", "v4f-mxfp4"):
        keep(folder / name, *raw.true_scale_bytes(name))
    return folder


def fuzz(folder: Path, cases: int) -> dict[str, dict[str, int]]:
    """Read ``cases`` mutated headers in a child with little memory; return how often what came."""
    done = subprocess.run(
        [sys.executable, FUZZ, REPO_ROOT, folder, str(cases), str(SEED)],
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["findings"] == []
    assert sum(report["outcomes"].values()) == cases
    assert report["peak_bytes"] < PEAK_LIMIT_BYTES
    outcomes: dict[str, dict[str, int]] = report["outcomes"]
    return outcomes


def test_ten_thousand_mutated_headers(samples: Path) -> None:
    outcomes = fuzz(samples, N_CASES)
    # Enough of them get past the first checks, and enough do not.
    assert set(outcomes) >= {"read", "CorruptGgufError", "TruncatedGgufError"}
    assert min(outcomes["read"], outcomes["CorruptGgufError"]) > N_CASES // 20


def test_whole_true_scale_headers(whole_samples: Path) -> None:
    assert fuzz(whole_samples, N_WHOLE_CASES)["read"] > 0


def test_the_samples_themselves_are_sound(samples: Path) -> None:
    for folder in sorted(samples.iterdir()):
        headers = [
            parse_header(BytesSource(path.read_bytes(), size_bytes=int(path.suffix[1:])))
            for path in sorted(folder.iterdir())
        ]
        assert not read_shape(headers).is_approximate


def test_the_largest_header_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(largest_header())
    with path.open("r+b") as file:
        file.truncate(10**12)
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_MEASURE, REPO_ROOT / "tests" / "helpers", REPO_ROOT, path],
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=True,
    )
    tensors, peak_bytes = map(int, done.stdout.split())
    assert tensors == MAX_TENSORS
    assert peak_bytes < PEAK_LIMIT_BYTES


def largest_header() -> bytes:
    """Return a header with as much of everything as is kept, in letters of four bytes."""
    text = "\U0001f600" + "x" * (MAX_TEXT_BYTES - 4)
    list_ = struct.pack("<512Q", *range(2**62, 2**62 + 512))
    entries = [raw.string_entry("general.architecture", "never-heard-of")]
    entries += [raw.string_entry(f"text{number}", text) for number in range(6)]
    entries += [raw.array_entry(f"list{n}", raw.U64, 512, list_) for n in range(200)]
    tensors = tuple(
        raw.tensor(f"blk.{n % 512}.\U0001f600.{n}.{'x' * 40}", (32, 1, 1, 1), offset=128 * n)
        for n in range(MAX_TENSORS)
    )
    return raw.gguf_bytes(*entries, tensors=tensors)


def test_keys_that_fill_the_memory_are_refused() -> None:
    entries = [raw.u32_entry(f"{number}{'x' * 60_000}", 1) for number in range(20)]
    with pytest.raises(CorruptGgufError, match="keys take more"):
        parse_header(BytesSource(raw.gguf_bytes(*entries)))


def test_mutated_checkpoints_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    data, size_bytes = header_bytes(write_tiny(path, TinyModel("deepseek4")))
    rng = random.Random(2)
    accepted = 0
    for _ in range(N_INSPECTED):
        mutated = mutate(data, rng)
        with path.open("wb") as file:
            file.write(mutated)
            file.truncate(max(size_bytes, len(mutated)))
        try:
            inspect_checkpoint(path)
            accepted += 1
        except BadInputError:
            continue
    assert 0 < accepted < N_INSPECTED
