"""Downloads beside curl and huggingface_hub: ``python -m benchmarks.transfer [--quick]``.

One file and four shards of the same size in all, from a server on loopback that sends from the page
cache, every client in turn in each round, so that what disturbs the machine disturbs all of them.
Fathom is run as its user runs it (``fathom pull``: two processes, the content hashed and compared);
the others only copy bytes, so ``curl`` also stands with ``sha256sum`` behind it. CPU seconds are of
the whole client with its children, RSS is the largest of its processes. Then the same with a server
that is slow on every connection: 100 MB/s (one connection each) and 15 MB/s (four against one).
Then a line that breaks every connection (RST) after 5 MB: what the server sends in all is counted.

Aims: at least half of curl's rate on loopback, 0.95 of it at 100 MB/s, three times it with four
connections at 15 MB/s each; at most 5 CPU seconds a GiB and 200 MB; on the line that breaks, less
than 5 % sent twice.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.fake_hub import Fault, fake_hub  # noqa: E402
from helpers.raw_gguf import gguf_bytes, string_entry, tensor, u32_entry  # noqa: E402

GIB = 1 << 30
PIECE = 1 << 20
REPOSITORY, ONE, SHARDED = "bench/model-GGUF", "model-Q8_0.gguf", "model-Q4_K_M"
# Of so many blocks that four connections have something to do whatever the size of the others.
WIDE, WIDE_BYTES, QUICK_WIDE_BYTES = "model-Q2_K.gguf", 16 << 26, 4 << 26
N_SHARDS = 4
BREAK_BYTES = 5_000_000
QUICK_GB = 0.3
_HF = """
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from huggingface_hub import hf_hub_download
folder, *names = sys.argv[1:]
fetch = partial(hf_hub_download, "bench/model-GGUF", local_dir=folder, token=False)
with ThreadPoolExecutor(len(names)) as pool:
    list(pool.map(fetch, names))
"""


@dataclass
class Figures:
    """What one client took, a value for each round."""

    elapsed_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    rss_bytes: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where a client finds the server and puts its files."""

    endpoint: str
    folder: Path
    names: tuple[str, ...]
    connections: int = 4

    def url(self, name: str) -> str:
        """Return where a file is asked for."""
        return f"{self.endpoint}/{REPOSITORY}/resolve/main/{name}"


def measured(command: Sequence[str], env: dict[str, str]) -> tuple[float, float, int]:
    """Run a command; return seconds, CPU seconds and the largest RSS in bytes."""
    started = time.perf_counter()
    # curl shows progress there when it fetches several files, also when told to be silent.
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, env=env, stdout=silent, stderr=silent)
    _, status, used = os.wait4(process.pid, 0)
    elapsed_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return elapsed_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def fathom(place: Place) -> list[str]:
    """Return the command of ``fathom pull``, with settings of its own."""
    base = place.folder / "base"
    (base / "config").mkdir(parents=True)
    settings = f"[downloads]\nconnections = {place.connections}\n"
    (base / "config" / "settings.toml").write_text(settings)
    which = ["--file", place.names[0]]
    command = [sys.executable, "-P", "-m", "app", "pull", REPOSITORY, *which, "--again"]
    return [*command, "--basedir", str(base), "--json"]


def curl(place: Place) -> list[str]:
    """Return the command of curl, all files at the same time."""
    command = ["curl", "-sSfL", "-Z"]
    for name in place.names:
        command += ["-o", str(place.folder / name), place.url(name)]
    return command


def curl_and_sum(place: Place) -> list[str]:
    """Return curl with what Fathom does as well: reading everything for its digest."""
    files = " ".join(f"'{place.folder / name}'" for name in place.names)
    return ["sh", "-ec", f"{subprocess.list2cmdline(curl(place))}; sha256sum {files}"]


def hf_hub_download(place: Place) -> list[str]:
    """Return a program that fetches with huggingface_hub, all files at the same time."""
    return [sys.executable, "-c", _HF, str(place.folder), *place.names]


CLIENTS: dict[str, Callable[[Place], list[str]]] = {
    "fathom pull": fathom,
    "curl": curl,
    "curl, then sha256sum": curl_and_sum,
    "hf_hub_download": hf_hub_download,
}


def shard_names() -> tuple[str, ...]:
    """Return the names of the set's files in their order."""
    return tuple(f"{SHARDED}-{n:05d}-of-{N_SHARDS:05d}.gguf" for n in range(1, N_SHARDS + 1))


def write_content(folder: Path, size_bytes: int) -> None:
    """Write one file of ``size_bytes`` and as much again in shards; sound, but no model."""
    folder.mkdir(parents=True)
    write_file(folder / ONE, size_bytes, ())
    for number, name in enumerate(shard_names()):
        split = {"split.no": number, "split.count": N_SHARDS, "split.tensors.count": N_SHARDS}
        entries = tuple(u32_entry(key, value) for key, value in split.items())
        write_file(folder / name, size_bytes // N_SHARDS, entries)


def write_file(path: Path, size_bytes: int, entries: tuple[bytes, ...]) -> None:
    """Write one tensor of noise, no two MiB of it the same."""
    noise = os.urandom(PIECE)
    weight = tensor(path.stem, (size_bytes // 4,))
    header = gguf_bytes(string_entry("general.architecture", "llama"), *entries, tensors=(weight,))
    with path.open("wb") as file:
        file.write(header)
        for number in range(size_bytes // PIECE):
            file.write(number.to_bytes(8, "little") + noise[8:])


@contextmanager
def server(folder: Path, rate_bytes_s: float | None) -> Iterator[str]:
    """Serve ``folder`` from a process of its own; yield its address."""
    command = [sys.executable, "-m", "helpers.fake_hub", "--serve", str(folder)]
    command += ["--rate", str(rate_bytes_s)] if rate_bytes_s else []
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def run(
    endpoint: str,
    names: tuple[str, ...],
    clients: Sequence[str],
    rounds: int,
    work_dir: Path,
    *,
    connections: int = 4,
) -> dict[str, Figures]:
    """Let every client fetch the files in turn, so many times."""
    found = {client: Figures() for client in clients}
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1"}
    env |= {"HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(ROOT)}
    env |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    for _ in range(rounds):
        for client in clients:
            with tempfile.TemporaryDirectory(dir=work_dir) as folder:
                place = Place(endpoint, Path(folder), names, connections)
                elapsed_s, cpu_s, rss_bytes = measured(CLIENTS[client](place), env)
            figures = found[client]
            figures.elapsed_s.append(elapsed_s)
            figures.cpu_s.append(cpu_s)
            figures.rss_bytes.append(rss_bytes)
    return found


def show(title: str, found: dict[str, Figures], size_bytes: int) -> None:
    """Print one table: medians, and the ratio to curl round by round."""
    print(f"\n{title}")
    print(f"{'client':<22}{'MB/s':>8}{'to curl':>9}{'CPU s/GiB':>11}{'RSS MB':>8}")
    reference = found["curl"].elapsed_s
    for client, figures in found.items():
        rate = size_bytes / statistics.median(figures.elapsed_s) / 1e6
        pairs = zip(reference, figures.elapsed_s, strict=True)
        ratio = statistics.median(theirs / own for theirs, own in pairs)
        cpu = statistics.median(figures.cpu_s) / (size_bytes / GIB)
        rss = max(figures.rss_bytes) / 1e6
        print(f"{client:<22}{rate:>8.0f}{ratio:>9.2f}{cpu:>11.2f}{rss:>8.0f}", flush=True)


def show_breaks(content: Path, size_bytes: int, work_dir: Path) -> None:
    """Fetch one file over a line that breaks all the time; print what that costs."""
    # In this process, which has nothing else to do: it counts what is sent.
    with fake_hub() as hub:
        hub.add_folder(content)
        hub.fail("cdn", Fault("reset", after=BREAK_BYTES), times=None)
        found = run(hub.endpoint, (ONE,), ["fathom pull"], 1, work_dir)["fathom pull"]
        breaks = sum(seen.size_sent_bytes >= BREAK_BYTES for seen in hub.seen("cdn"))
        twice = hub.sent_bytes / size_bytes - 1
    print(f"\nOne file of {size_bytes / 1e9:.1f} GB, RST after every {BREAK_BYTES / 1e6:g} MB")
    print(f"arrived whole after {breaks} breaks in {found.elapsed_s[0]:.1f} s, ", end="")
    print(f"{100 * twice:.2f} % sent twice, {found.cpu_s[0] * GIB / size_bytes:.2f} CPU s/GiB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size-gb", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a small file, once: does it run?")
    options = parser.parse_args()
    if options.quick:
        options.size_gb, options.rounds = QUICK_GB, 1
    wide_bytes = QUICK_WIDE_BYTES if options.quick else WIDE_BYTES
    size_bytes = int(options.size_gb * 1e9) // (N_SHARDS * PIECE) * N_SHARDS * PIECE
    shards = shard_names()
    work_dir = Path(tempfile.mkdtemp(prefix="fathom-transfer-"))
    try:
        content = work_dir / "content"
        write_content(content / REPOSITORY, size_bytes)
        # With its header it is a little larger than its blocks; a rest would be a block of its own.
        write_file(content / REPOSITORY / WIDE, wide_bytes - PIECE, ())
        with server(content, None) as endpoint:
            found = run(endpoint, (ONE,), list(CLIENTS), options.rounds, work_dir)
            show(f"One file of {size_bytes / 1e9:.1f} GB", found, size_bytes)
            found = run(endpoint, shards, list(CLIENTS), options.rounds, work_dir)
            show(f"{N_SHARDS} shards of {size_bytes / 1e9:.1f} GB in all", found, size_bytes)
        pair = ["fathom pull", "curl"]
        with server(content, 100e6) as endpoint:
            found = run(endpoint, (ONE,), pair, options.rounds, work_dir, connections=1)
            show("One file, one connection of 100 MB/s", found, size_bytes)
        with server(content, 15e6) as endpoint:
            found = run(endpoint, (WIDE,), pair, 1, work_dir)
            show("15 MB/s a connection, four connections of Fathom", found, wide_bytes)
        show_breaks(content, size_bytes, work_dir)
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)


if __name__ == "__main__":
    main()
