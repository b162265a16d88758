"""What pacing the threads is worth: decode speed beside busy programs, paced and fixed.

    python -m benchmarks.thread_pacing [--rounds 3] [--tokens 150] [--busy 0,1,2] [--json]

The engine child answers the same question greedily with the demo checkpoint, with threads left to
Fathom and with a fixed number (one per physical core, and one alone), in turn, while 0, 1 and 2
programs each keep a core busy.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from models.hardware.cpu import physical_cores  # noqa: E402
from models.library.demo import find_demo  # noqa: E402
from models.runtime.command import engine_command, engine_environment  # noqa: E402
from models.runtime.protocol import (  # noqa: E402
    Done,
    GenerateRequest,
    LoadSettings,
    PromptMessage,
    Sampling,
)
from models.runtime.supervisor import EngineSupervisor  # noqa: E402

QUESTION = "Tell a long story about a lighthouse keeper and the sea, in many chapters."
LIMIT_S = 600.0


@contextlib.contextmanager
def busy_programs(count: int) -> Iterator[None]:
    """Keep ``count`` programs computing meanwhile."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def decode_tok_s(n_threads: int, tokens: int) -> float:
    """Return the decode rate of one answer; 0 threads leaves the number to Fathom."""
    demo = find_demo()
    if demo is None:
        sys.exit("the demo checkpoint is not installed")
    engine = EngineSupervisor(engine_command(), listener=lambda _: None, env=engine_environment())
    try:
        settings = LoadSettings(n_ctx=2048, n_threads=n_threads)
        engine.wait(engine.load(str(demo), settings), LIMIT_S)
        request = GenerateRequest(
            (PromptMessage("user", QUESTION),), Sampling(temperature=0), max_tokens=tokens
        )
        done = engine.wait(engine.generate(request), LIMIT_S).body
    finally:
        engine.stop()
    if not isinstance(done, Done):
        sys.exit(f"the answer ended with {done}")
    return done.usage.decode_tok_s


def main() -> int:
    """Measure every combination and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=150)
    parser.add_argument("--busy", default="0,1,2")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cores = physical_cores().value
    choices = {"paced": 0, f"{cores} threads": cores, "1 thread": 1}
    result: dict[str, dict[str, float]] = {}
    for busy in map(int, options.busy.split(",")):
        rates: dict[str, list[float]] = {name: [] for name in choices}
        with busy_programs(busy):
            for _ in range(options.rounds):
                for name, n_threads in choices.items():
                    rates[name].append(decode_tok_s(n_threads, options.tokens))
        result[str(busy)] = {name: statistics.median(values) for name, values in rates.items()}
        if not options.json:
            row = "  ".join(f"{name} {rate:5.1f}" for name, rate in result[str(busy)].items())
            print(f"{busy} busy programs: {row}  tok/s (median of {options.rounds})")
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
