"""The hub as the user's settings and token are at the moment. No Qt here."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from models.errors import BadInputError
from models.hub.tokens import TokenStore
from models.paths import Paths
from models.settings import Settings
from models.transfer.events import TransferSettings
from models.transfer_settings import hub_of_settings, transfer_settings

if TYPE_CHECKING:
    from models.hub.hub import Hub

_KEYS = ("hub.endpoint", "hub.offline")

_log = logging.getLogger(__name__)


class HubAccess:
    """Hands out one hub until a setting or the token changes; for background threads.

    The first call asks the system's store of passwords, which may ask the user.
    """

    def __init__(
        self, paths: Paths, settings: Settings, environ: Mapping[str, str], tokens: TokenStore
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._environ = dict(environ)
        self._tokens = tokens
        self._lock = threading.Lock()
        self._known: tuple[object, Hub] | None = None

    def hub(self) -> Hub:
        """Return the hub.

        Raises:
            BadInputError: the mirror's address is none.
        """
        token = self._tokens.get()
        key = (token, *(self._settings.get(key) for key in _KEYS))
        with self._lock:
            if self._known is not None and self._known[0] == key:
                return self._known[1]
            hub = hub_of_settings(
                self._settings, self._environ, cache_dir=self._paths.cache_dir, token=token
            )
            self._known = key, hub
            return hub

    def hub_or_none_at_all(self) -> Hub:
        """Return the hub, or one that nothing is asked of where the mirror's address is none.

        A wrong address must not keep anybody from planning what lies here.
        """
        from models.hub.hub import Hub

        try:
            return self.hub()
        except BadInputError as error:
            _log.warning("Planning without the hub: %s", error.one_line())
            return Hub(is_offline=True)

    def whoami(self) -> str:
        """Return who the token belongs to; raises as ``Hub.whoami``."""
        return self.hub().whoami()

    def transfer_settings(self) -> TransferSettings:
        """Return how downloads are made now.

        Raises:
            BadInputError: the mirror's address is none.
        """
        token = self._tokens.get()
        return transfer_settings(self._paths, self._settings, self._environ, token=token)
