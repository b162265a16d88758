"""Collects log records of WARNING and above, so that a test fails on those it did not expect."""

from __future__ import annotations

import logging
import re
from types import TracebackType


class UnexpectedLogError(AssertionError):
    """Something was logged that the test did not allow."""


class LogCheck(logging.Handler):
    """Handler of the root logger for the time of one test; call it to allow a message."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.records: list[logging.LogRecord] = []
        self._allowed: list[re.Pattern[str]] = []

    def __call__(self, pattern: str) -> None:
        """Allow messages in which the regular expression is found."""
        self._allowed.append(re.compile(pattern))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.records.append(record)

    def unexpected(self) -> list[str]:
        """Return what was logged and not allowed, one line each."""
        lines = [
            f"{record.levelname} {record.name}: {record.getMessage()}" for record in self.records
        ]
        return [line for line in lines if not any(rule.search(line) for rule in self._allowed)]

    def assert_clean(self) -> None:
        """Raise `UnexpectedLogError` with every line that was not allowed."""
        lines = self.unexpected()
        if lines:
            raise UnexpectedLogError("unexpected log records:\n" + "\n".join(lines))

    def __enter__(self) -> LogCheck:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        logging.getLogger().removeHandler(self)
