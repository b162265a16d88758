"""Judges what servers answer to requests for parts of one file. No Qt, no disk here.

What belongs together is told by the ETag that the first answer had, and by the size. The digest
of the whole has the last word in any case.
"""

from __future__ import annotations

import enum
import threading
from dataclasses import dataclass

from models.errors import FathomError, NetworkError, RemoteChangedError, ServerAnswerError
from models.network.answers import Asked, error_of_answer, may_pass, retry_after_s
from models.stopping import Stop
from models.transfer.connection import Answer, Connections, Wanted
from models.transfer.location import LocationCache
from models.transfer.remote import Location, Locator, RemoteObject

# What a signed address answers once it has expired.
_EXPIRED = (400, 401, 403, 404, 410)
# How often in a row the size or ETag may be another one before the file counts as changed.
_MISMATCHES = 3
# How often in a row a server may send the whole file before it counts as one that knows no parts.
_WHOLE_ANSWERS = 3


class Next(enum.Enum):
    """What to do after an answer that cannot be used."""

    AT_ONCE = "ask again at once"
    LATER = "ask again later"
    NEVER = "it is no use"


class AgainError(Exception):
    """An answer that cannot be used, and what to do then.

    Attributes:
        cause: in words for people.
        after_s: the server's own word on when to ask again.
    """

    def __init__(self, cause: FathomError, when: Next, after_s: float | None = None) -> None:
        super().__init__(cause.message)
        self.cause = cause
        self.when = when
        self.after_s = after_s


@dataclass(frozen=True)
class Part:
    """A good answer: where its bytes begin in the file, and where they end by its own word."""

    answer: Answer
    first: int
    end: int


class Source:
    """One remote file, asked over several connections; may be used from any thread.

    Args:
        refusals: how often in a row a fresh address may be refused.
    """

    def __init__(self, remote: RemoteObject, locator: Locator, *, refusals: int) -> None:
        self._file = remote.file
        self._locations = LocationCache(remote, locator)
        self._max_refusals = refusals
        self._lock = threading.Lock()
        self._etag = ""
        self._uses_if_range = True
        self._mismatches = 0
        self._refusals = 0
        self._whole_answers = 0
        # The newest address that gave bytes: refused later, it has expired.
        self._proven: Location | None = None

    @property
    def gives_no_parts(self) -> bool:
        """Whether the server only ever sends the whole file from its start on."""
        return self._whole_answers >= _WHOLE_ANSWERS

    @property
    def is_located(self) -> bool:
        """Whether the hub has said where the bytes are, at least once."""
        return self._locations.was_known

    def ask(self, connections: Connections, first: int, last: int, stop: Stop) -> Part:
        """Ask for bytes ``first`` to ``last``; the caller closes the answer.

        Raises:
            AgainError: nothing came that can be used, and what to do.
            NetworkError: no answer; asking again later makes sense.
            RemoteChangedError: the file is another one now.
            FathomError: as ``Locator.locate``.
        """
        location = self._locations.current(stop)
        if_range = self._etag if self._uses_if_range else ""
        answer = connections.get(Wanted(location, first, last, if_range))
        try:
            return self._judged(answer, location, first, last, if_range)
        except BaseException:
            answer.close()
            raise

    def _judged(
        self, answer: Answer, location: Location, first: int, last: int, if_range: str
    ) -> Part:
        if answer.is_page or answer.is_packed:
            raise AgainError(self._no_file(answer), Next.LATER)
        if answer.status == 416:
            raise self._mismatch(location, f"HTTP 416, {answer.headers.get('content-range', '')}")
        if answer.status not in (200, 206):
            raise self._refused(answer, location)
        if answer.status == 200:
            part = self._whole(answer, location, first, if_range)
        else:
            part = self._part(answer, location, first, last)
        with self._lock:
            self._etag = answer.etag or self._etag
            self._mismatches = self._refusals = 0
            self._proven = location
        return part

    def _part(self, answer: Answer, location: Location, first: int, last: int) -> Part:
        given = answer.content_range
        if given is None or given[0] != first or not first <= given[1] <= last:
            details = f"asked for {first}-{last}, given {answer.headers.get('content-range', '')}"
            raise AgainError(
                ServerAnswerError(
                    f"{answer.host} answers with other bytes of {self._file.target} than asked "
                    "for.",
                    hint="A proxy in between may be broken.",
                    details=details[:300],
                ),
                Next.LATER,
            )
        if given[2] != self._file.size_bytes:
            raise self._mismatch(location, f"{given[2]:,} bytes instead of the listed size")
        if self._etag and answer.etag and answer.etag != self._etag:
            raise self._mismatch(location, f"{self._etag} became {answer.etag}")
        with self._lock:
            self._whole_answers = 0
        return Part(answer, first, given[1] + 1)

    def _whole(self, answer: Answer, location: Location, first: int, if_range: str) -> Part:
        size_bytes = self._file.size_bytes
        if answer.length_bytes not in (None, size_bytes):
            raise self._mismatch(location, f"{answer.length_bytes:,} bytes in all")
        if self._etag and answer.etag and answer.etag != self._etag:
            raise self._mismatch(location, f"{self._etag} became {answer.etag}")
        no_parts = ServerAnswerError(
            f"{answer.host} sends all of {self._file.target} instead of a part of it.",
            hint="A proxy in between may be broken.",
        )
        if if_range:
            # The same content, sent whole: this server does not know the condition.
            with self._lock:
                self._uses_if_range = False
            raise AgainError(no_parts, Next.AT_ONCE)
        with self._lock:
            self._whole_answers += 1
        if first and not self.gives_no_parts:
            raise AgainError(no_parts, Next.LATER)
        return Part(answer, 0, size_bytes)

    def _mismatch(self, location: Location, details: str) -> FathomError | AgainError:
        """Return what a size or ETag that is not the known one means.

        The hub is asked anew: by its word the file may be the same one at another server, which
        has another ETag for it, and if it is another file, it says so.
        """
        changed = RemoteChangedError(
            f"{self._file.target} is another file on the server than the one that was listed.",
            hint="Look at the repository again, and start the download anew.",
            details=details,
        )
        with self._lock:
            self._mismatches += 1
            self._etag = ""
            if self._mismatches > 1:
                self._uses_if_range = False
            is_final = self._mismatches >= _MISMATCHES
            is_first = self._mismatches == 1
        if is_final:
            return changed
        self._locations.forget(location)
        return AgainError(changed, Next.AT_ONCE if is_first else Next.LATER)

    def _refused(self, answer: Answer, location: Location) -> AgainError:
        error = error_of_answer(
            answer.status, answer.headers, Asked(self._file.target, answer.host)
        )
        after_s = retry_after_s(answer.headers)
        if answer.status not in _EXPIRED:
            if may_pass(answer.status) or after_s is not None:
                return AgainError(error, Next.LATER, after_s)
            return self._counted(error)
        self._locations.forget(location)
        if self._proven is location:
            # It worked a while ago: it has expired.
            return AgainError(error, Next.AT_ONCE)
        return self._counted(error)

    def _counted(self, error: FathomError) -> AgainError:
        with self._lock:
            self._refusals += 1
            is_final = self._refusals >= self._max_refusals
        return AgainError(error, Next.NEVER if is_final else Next.LATER)

    def _no_file(self, answer: Answer) -> NetworkError:
        if answer.is_page:
            return ServerAnswerError(
                f"{answer.host} answered with a web page instead of {self._file.target}.",
                hint="Perhaps the network wants a login first; open a web page in the browser.",
            )
        return ServerAnswerError(
            f"{answer.host} sends {self._file.target} packed, against the request."
        )
