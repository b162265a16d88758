"""Where a file's bytes are now, asked anew before the address expires. No Qt here."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from models.errors import StoppedError
from models.stopping import POLL_S, Stop
from models.transfer.remote import Location, Locator, RemoteObject

# An address is left this long before it expires.
_EARLY_S = 60.0
# One that is said to expire at once is used all the same: the clock may be wrong.
_LEAST_S = 10.0


class LocationCache:
    """Asks the hub once for all connections; every method may be called from any thread."""

    def __init__(self, remote: RemoteObject, locator: Locator) -> None:
        self._remote = remote
        self._locator = locator
        self._asking = threading.Lock()
        self._location: Location | None = None
        self._good_until = 0.0
        #: Whether the hub has ever said where the bytes are.
        self.was_known = False

    def current(self, stop: Stop) -> Location:
        """Return where the bytes are; asks the hub when that is not known.

        Raises:
            FathomError: as ``Locator.locate``.
        """
        while not self._asking.acquire(timeout=POLL_S):
            if stop():
                raise StoppedError
        try:
            location = self._location
            if location is None or time.monotonic() >= self._good_until:
                # A copy: two answers of the hub that say the same are still two.
                location = replace(self._locator.locate(self._remote, stop=stop))
                self._location = location
                self.was_known = True
                self._good_until = time.monotonic() + _life_s(location)
            return location
        finally:
            self._asking.release()

    def forget(self, location: Location) -> None:
        """Take note that an address does not work; a newer one is kept."""
        if self._location is location:
            self._location = None


def _life_s(location: Location) -> float:
    if location.expires_s is None:
        return float("inf")
    # From now on by the clock that nobody sets: changes of the other must not matter.
    return max(location.expires_s - time.time() - _EARLY_S, _LEAST_S)
