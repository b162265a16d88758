"""How many threads compute, so that none of them has to share its core. No Qt here.

llama.cpp's threads wait for each other at a barrier after every operation, some thousand times a
token. One thread that another program pushes off its core makes all of them wait, and while they
wait they spin: on two cores with one busy program, two threads are slower than one alone
(docs/benchmarks.md, "Threads beside other programs"). So while an answer is computed the load
that other programs make is looked at twice a second, and as many threads compute as find a core
for themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

PERIOD_S = 0.5


def busy_cpu_s() -> float:
    """Return the seconds that all CPUs together have worked since the system started.

    Always 0 where the system does not say: then no other program is made room for.
    """
    try:
        times = psutil.cpu_times()
    except OSError:
        return 0.0
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    # Linux counts a guest's time in user already.
    guests_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - idle_s - guests_s)


class ThreadPacer:
    """Chooses the number of threads from what other programs take.

    The first sample of an answer counts at once; later changes need two samples that agree, so
    that a burst changes nothing.

    Args:
        n_threads: the most threads to use, one for each physical core.
        cpus: logical CPUs there are. A second logical CPU of a core is free room for others: only
            what goes beyond it pushes a thread aside.
        clock: seconds.
        system_s: CPU seconds of the whole system.
        own_s: CPU seconds of this process.
    """

    def __init__(
        self,
        n_threads: int,
        cpus: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        system_s: Callable[[], float] = busy_cpu_s,
        own_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._most = n_threads
        self._cpus = cpus
        self._clock = clock
        self._system_s = system_s
        self._own_s = own_s
        self._before = self._read()
        self._wanted: int | None = None
        self.n_threads = n_threads

    def begin(self) -> None:
        """Look at the clocks; what happened before this does not count."""
        self._before = self._read()
        self._wanted = None

    def update(self) -> bool:
        """Look at the load when it is time to; return whether ``n_threads`` has changed."""
        if self._clock() - self._before[0] < PERIOD_S:
            return False
        now = self._read()
        elapsed_s, system_s, own_s = (
            after - before for after, before in zip(now, self._before, strict=True)
        )
        self._before = now
        others = max(0.0, system_s - own_s) / elapsed_s
        wanted = min(self._most, max(1, round(self._cpus - others)))
        agreed, self._wanted = self._wanted in (None, wanted), wanted
        if not agreed or wanted == self.n_threads:
            return False
        self.n_threads = wanted
        return True

    def _read(self) -> tuple[float, float, float]:
        return self._clock(), self._system_s(), self._own_s()
