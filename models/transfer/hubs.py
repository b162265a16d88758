"""Where a file's bytes are, asked of the hub that the download names. No Qt here."""

from __future__ import annotations

import threading

from models.hub.hub import Hub
from models.network.patience import Patience
from models.stopping import Stop
from models.transfer.events import TransferSettings
from models.transfer.remote import Location, Locator, RemoteObject

# Once: the transfer knows how to wait, and says what for.
_PATIENCE = Patience(attempts=1)


class HubLocator:
    """Asks each hub as the settings say; only one hub is ever shown the token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings = TransferSettings()
        self._hubs: dict[str, Locator] = {}

    def configure(self, settings: TransferSettings) -> None:
        """Ask with other settings from now on."""
        with self._lock:
            self._settings = settings
            self._hubs.clear()

    def locate(self, remote: RemoteObject, *, stop: Stop) -> Location:
        """Return where the bytes are now; raises what ``Hub.locate`` does."""
        return self._hub(remote.endpoint).locate(remote, stop=stop)

    def _hub(self, endpoint: str) -> Locator:
        with self._lock:
            hub = self._hubs.get(endpoint)
            if hub is None:
                settings = self._settings
                is_shown = bool(settings.token) and endpoint == settings.token_endpoint
                token = settings.token if is_shown else None
                hub = Hub(endpoint, token=token, is_offline=settings.is_offline, patience=_PATIENCE)
                self._hubs[endpoint] = hub
            return hub
