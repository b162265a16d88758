"""The child that speaks HTTP: it owns a socket on 127.0.0.1 and nothing else. No Qt here.

A stranger who finds a way into the HTTP code is in a process that knows no file, no checkpoint and
no conversation but those of its own clients. It ends with its standard input, whatever it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator

# uvicorn finds this one by its name, which a frozen program would not pack.
import uvicorn.lifespan.off  # noqa: F401
from uvicorn.server import Server

from models.api.connection import ServerConfig
from models.api.http_app import HttpApp
from models.api.protocol import (
    LOOPBACK,
    FromChild,
    Listening,
    NotListening,
    ServerOptions,
    event_to_line,
    options_from_line,
    other_port,
    reply_from_line,
)
from models.errors import EngineProtocolError, ServerPortError
from models.runtime.child_lines import read_until_gone, write_event
from models.runtime.child_setup import limit_resources, open_standard_streams, take_protocol_fd
from models.runtime.protocol import MAX_LINE_BYTES, decode_line

MEMORY_LIMIT_BYTES = 1024 * 1024 * 1024
_BACKLOG = 128


def main() -> int:
    """Serve as the first line says until standard input ends.

    Returns:
        1: the port cannot be had; 2: the parent speaks another protocol.
    """
    open_standard_streams()
    tell = _teller(take_protocol_fd())
    line = sys.stdin.buffer.readline(MAX_LINE_BYTES + 1)
    if not line:
        return 0
    try:
        options = options_from_line(decode_line(line))
        if not options.key:
            raise EngineProtocolError("A server without a key is none.")
    except EngineProtocolError as error:
        return _break_off(error)
    if sys.platform != "win32":
        limit_resources(MEMORY_LIMIT_BYTES)
    try:
        listener = open_listener(options.port)
    except ServerPortError as error:
        tell(NotListening(**error.to_json()))
        return 1
    # What is there now stays: looking it over again and again, in the midst of a large question,
    # takes as long as reading that.
    gc.freeze()
    address, port = listener.getsockname()
    app = HttpApp(options, port, tell)
    # The system lets clients in from here on. Said before the reader runs, which ends the process
    # with its input: whoever asks and closes at once learns all the same.
    tell(Listening(address, port))
    asyncio.run(_serve(app, options, listener))
    # It never ends by itself. Not by returning: the reader holds standard input.
    os._exit(1)


def open_listener(port: int) -> socket.socket:
    """Return a socket that clients of this machine, and of no other, can connect to.

    Args:
        port: 0 takes any free one.

    Raises:
        ServerPortError: it cannot be had.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Windows lets any program take a port away from another one that does not ask for this.
        exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
        # Elsewhere the connections of the last server would keep the port for a minute.
        option = socket.SO_REUSEADDR if exclusive is None else exclusive
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise _port_error(port, error) from error
    return listener


def _port_error(port: int, error: Exception) -> ServerPortError:
    hint = f"Choose another port, {other_port(port)} for example."
    # Windows says this too of a port that another program keeps for itself.
    if isinstance(error, PermissionError) and sys.platform != "win32":
        message = f"The system does not let Fathom use port {port}."
    elif isinstance(error, OverflowError):
        message = f"{port} is no port."
    else:
        message = f"Port {port} is in use by another program."
        # Whoever is there first could be another user of this machine, who waits for keys.
        hint += " If that is not Fathom, make a new key too: who asked there has shown the old one."
    return ServerPortError(message, hint=hint, details=str(error))


class _LoopbackServer(Server):
    """uvicorn's without its signals and its clock, which wakes ten times a second."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the system."""
        yield

    async def main_loop(self) -> None:
        """Serve for ever: the reader ends the process."""
        await asyncio.get_running_loop().create_future()


async def _serve(app: HttpApp, options: ServerOptions, listener: socket.socket) -> None:
    # It warns of each client that went away in the midst of an answer.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    # In a thread: an event loop cannot wait for pipes on every system.
    read_until_gone(functools.partial(_take, asyncio.get_running_loop(), app))
    server = _LoopbackServer(ServerConfig(app, options, app.turn_away))
    await server.serve(sockets=[listener])


def _take(loop: asyncio.AbstractEventLoop, app: HttpApp, line: bytes) -> None:
    """Hand on what the parent says; one that says something else is none."""
    try:
        reply = reply_from_line(decode_line(line))
    except EngineProtocolError as error:
        os._exit(_break_off(error))
    loop.call_soon_threadsafe(app.take, reply)


def _break_off(error: EngineProtocolError) -> int:
    sys.stderr.write(f"{error.one_line()} {error.details}\n")
    sys.stderr.flush()
    return 2


def _teller(fd: int) -> Callable[[FromChild], None]:
    def tell(event: FromChild) -> None:
        try:
            write_event(fd, event_to_line(event))
        except OSError:
            # The parent is gone.
            os._exit(0)

    return tell
