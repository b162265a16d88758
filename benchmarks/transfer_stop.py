"""How long a download takes to end when it is told to, in every state that could hold it up.

    python -m benchmarks.transfer_stop [--stops 20] [--json]

A real server on loopback, a transfer in a thread as the transfer child runs it. Measured from the
stop until the transfer has ended, with what came noted down: p50 and max in ms. Then the whole way:
a pause asked of the transfer child until its client hears that the download is paused.

Aim: none above 200 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.fake_hub import CERTIFICATE, FakeHub, Fault, fake_hub  # noqa: E402
from helpers.transfer_case import LAYOUT, PATIENCE, Case, Running, content  # noqa: E402
from helpers.transfers import (  # noqa: E402
    gguf_shards,
    make_root,
    offer,
    running_client,
    spec_for,
)
from models.errors import StoppedError  # noqa: E402
from models.hub.hub import Hub  # noqa: E402
from models.transfer.job import JobState  # noqa: E402

AIM_MS = 200.0
LONG_S = 100.0
# Nothing ends by itself while it is measured.
LONG = replace(PATIENCE, stall_s=LONG_S, first_pause_s=LONG_S, longest_pause_s=LONG_S)
CONNECTIONS = 4

Prepare = Callable[[FakeHub], None]
Ready = Callable[[FakeHub], bool]


def _fails(where: str, fault: Fault) -> Prepare:
    return lambda hub: hub.fail(where, fault, times=None)


def _was_asked(hub: FakeHub) -> bool:
    return bool(hub.seen("cdn"))


def _is_slow(hub: FakeHub) -> None:
    hub.rate_bytes_s = 100_000


def _bytes_came(hub: FakeHub) -> bool:
    return len(hub.seen("cdn")) >= CONNECTIONS and hub.sent_bytes > 0


# What holds it up, how the server does that, when it is so, and whether in TLS.
STATES: dict[str, tuple[Prepare, Ready, bool]] = {
    "bytes come slowly": (_is_slow, _bytes_came, False),
    "no byte comes": (_fails("cdn", Fault("stall", after=70_000)), _bytes_came, False),
    "nobody answers": (
        _fails("cdn", Fault("silent")),
        _was_asked,
        False,
    ),
    "it waits to try again": (
        _fails("cdn", Fault("status", status=503)),
        _was_asked,
        False,
    ),
    "TLS, slowly": (_is_slow, _bytes_came, True),
    "TLS, no byte": (_fails("cdn", Fault("stall", after=70_000)), _bytes_came, True),
}


def stop_once(name: str, folder: Path) -> float:
    """Bring a transfer into a state and stop it; return how many ms that took."""
    prepare, is_ready, has_tls = STATES[name]
    with ExitStack() as stack:
        hub = stack.enter_context(fake_hub(CERTIFICATE if has_tls else None))
        case = Case(hub, folder, content(6 * LAYOUT.block_bytes))
        prepare(hub)
        options = {"patience": LONG}
        if has_tls:
            options["locator"] = Hub(hub.endpoint)
        running = Running(case, **options)
        hub.wait_for(lambda: is_ready(hub))
        began_s = time.perf_counter()
        running.stop.set()
        running.join(LONG_S)
        took_ms = (time.perf_counter() - began_s) * 1000
    if not isinstance(running.error, StoppedError):
        raise SystemExit(f"{name}: {running.error!r}")
    return took_ms


def pauses(stops: int, folder: Path) -> list[float]:
    """Pause and resume a slow download of a real child; return the ms of every pause."""
    files = gguf_shards(2, 8_000_000)
    took_ms = []
    with fake_hub() as hub, running_client(folder, asks_nobody=1) as (client, heard):
        offer(hub, files)
        hub.rate_bytes_s = 100_000
        spec = spec_for(hub, sorted(files), make_root(folder))
        client.add(spec)
        since = 0
        for _ in range(stops):
            heard.wait_for_state(JobState.DOWNLOADING, since=since)
            since = len(heard.events)
            began_s = time.perf_counter()
            client.pause(spec.job_id)
            heard.wait_for_state(JobState.PAUSED, since=since)
            took_ms.append((time.perf_counter() - began_s) * 1000)
            since = len(heard.events)
            client.resume(spec.job_id)
    return took_ms


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ["SSL_CERT_FILE"] = CERTIFICATE[0]
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="fathom-stop-") as folder:
        for name in STATES:
            folders = [Path(folder) / name / str(number) for number in range(options.stops)]
            found[name] = [stop_once(name, each) for each in folders]
        found["a pause, to the client"] = pauses(options.stops, Path(folder) / "child")
    if options.json:
        print(json.dumps(found))
        return
    print(f"{'while':<26}{'p50 ms':>8}{'max ms':>8}")
    for name, values in found.items():
        print(f"{name:<26}{statistics.median(values):>8.1f}{max(values):>8.1f}")
    worst_ms = max(map(max, found.values()))
    print(f"aim: none above {AIM_MS:g} ms: {'met' if worst_ms <= AIM_MS else 'NOT met'}")


if __name__ == "__main__":
    main()
