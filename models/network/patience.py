"""How long and how often the network is tried. No Qt here."""

from __future__ import annotations

import time
from dataclasses import dataclass

from models.errors import FathomError, RateLimitedError, UnreachableError, UntrustedServerError
from models.stopping import Stop, pause


@dataclass(frozen=True)
class Patience:
    """Limits of one use of the network.

    Attributes:
        connect_s: for a connection to be made.
        silence_s: without a byte before a connection counts as dead.
        attempts: how often one thing is tried without getting on.
        first_pause_s: before the second attempt; doubled for each further one.
        longest_pause_s: the longest that a server's own "try again in" is followed.
        grace_s: for one answer however small.
        least_rate_bytes_s: what an answer may take longer than that, by its size.
    """

    connect_s: float = 10.0
    silence_s: float = 10.0
    attempts: int = 4
    first_pause_s: float = 0.5
    longest_pause_s: float = 20.0
    grace_s: float = 30.0
    least_rate_bytes_s: float = 20_000.0


class Attempts:
    """Counts the attempts at one thing and waits between them."""

    def __init__(self, patience: Patience, size_bytes: int, stop: Stop) -> None:
        self._patience = patience
        self._stop = stop
        self._failures = 0
        #: When the thing must be done, on the clock of ``time.monotonic``.
        self.deadline = (
            time.monotonic() + patience.grace_s + size_bytes / patience.least_rate_bytes_s
        )

    def got_on(self) -> None:
        """Take note that the last attempt brought something: the count starts anew."""
        self._failures = 0

    def failed(self, error: FathomError) -> None:
        """Wait before the next attempt, or raise ``error`` when there is none.

        Raises:
            StoppedError: a stop was asked for while waiting.
        """
        self._failures += 1
        wait_s = self._patience.first_pause_s * 2 ** (self._failures - 1)
        if isinstance(error, RateLimitedError) and error.retry_after_s is not None:
            wait_s = error.retry_after_s
        if self._failures >= self._limit(error) or wait_s > self._patience.longest_pause_s:
            raise error
        self.deadline += wait_s
        pause(wait_s, self._stop)

    def _limit(self, error: FathomError) -> int:
        """Return how often the thing may fail: what hardly changes is not tried over and over."""
        if isinstance(error, UntrustedServerError):
            return 1
        if isinstance(error, UnreachableError):
            return min(2, self._patience.attempts)
        return self._patience.attempts
