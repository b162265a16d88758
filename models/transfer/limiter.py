"""One limit of bandwidth for everything that is fetched. No Qt here."""

from __future__ import annotations

import threading
import time

from models.stopping import POLL_S, Stop, check_stop

# What may come at once after a silence.
_STEP_BYTES = 256 * 1024


class RateLimiter:
    """A token bucket that all connections share; every method may be called from any thread.

    Bytes are paid for after they have come, so the bucket may be overdrawn by one piece of each
    connection; in the long run the limit holds exactly.

    Args:
        limit_bytes_s: 0 is no limit.
    """

    def __init__(self, limit_bytes_s: float = 0) -> None:
        self._lock = threading.Lock()
        self._limit_bytes_s = max(0.0, float(limit_bytes_s))
        self._tokens_bytes = float(_STEP_BYTES)
        self._filled_s = time.monotonic()

    def set_limit(self, limit_bytes_s: float) -> None:
        """Set another limit; who waits now feels it at once."""
        with self._lock:
            self._fill()
            self._limit_bytes_s = max(0.0, float(limit_bytes_s))
            # A debt made under the old limit would be paid off at the new one.
            self._tokens_bytes = max(self._tokens_bytes, 0.0)

    def take(self, size_bytes: int, stop: Stop) -> None:
        """Pay for bytes that have come, waiting until the limit allows for them.

        Raises:
            StoppedError: a stop was asked for while waiting.
        """
        while (wait_s := self._paid(size_bytes)) > 0:
            check_stop(stop)
            time.sleep(min(wait_s, POLL_S))

    def _paid(self, size_bytes: int) -> float:
        """Return how long to wait before trying again; 0 when the bytes are paid for."""
        with self._lock:
            if self._limit_bytes_s <= 0:
                return 0.0
            self._fill()
            if self._tokens_bytes <= 0:
                return max(1 - self._tokens_bytes, 1.0) / self._limit_bytes_s
            self._tokens_bytes -= size_bytes
            return 0.0

    def _fill(self) -> None:
        now_s = time.monotonic()
        gained_bytes = (now_s - self._filled_s) * self._limit_bytes_s
        self._tokens_bytes = min(self._tokens_bytes + gained_bytes, float(_STEP_BYTES))
        self._filled_s = now_s
