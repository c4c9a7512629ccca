"""The network as it is: the `Net` port on the `websockets` library.

Everything that can go wrong on the way leaves this file as an `OSError` with a reason a person
understands, so that nobody above has to know the library.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidStatus,
)
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from runtime.ports import WebSocket

_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)

_MAX_MESSAGE = 4 * 2**20  # bytes
_QUEUE_FRAMES = 1024  # received and not yet read; beyond it the socket is not read either


class RealNet:
    """Opens websockets. TLS certificates are verified; loopback never goes through a proxy."""

    def __init__(
        self, *, open_timeout_s: float = 5.0, close_timeout_s: float = 1.0, ping_s: float = 20.0
    ) -> None:
        """A peer that answers no ping for `ping_s` counts as gone."""
        self._open_timeout_s = open_timeout_s
        self._close_timeout_s = close_timeout_s
        self._ping_s = ping_s

    def websocket(self, url: str) -> AbstractAsyncContextManager[WebSocket]:
        """Connect. Messages come as bytes. Raises `OSError` or `TimeoutError` when that fails."""
        return self._websocket(url)

    @asynccontextmanager
    async def _websocket(self, url: str) -> AsyncIterator[WebSocket]:
        try:
            opened = await connect(
                url,
                compression=None,  # costs more than loopback or a datacenter's network gains
                proxy=None if is_loopback(url) else True,
                open_timeout=self._open_timeout_s,
                close_timeout=self._close_timeout_s,
                ping_interval=self._ping_s,
                ping_timeout=self._ping_s,
                max_size=_MAX_MESSAGE,
                create_connection=_Connection,
            )
        except InvalidStatus as refused:
            status = refused.response.status_code
            why = f"the venue answered HTTP {status}{_MEANING.get(status, '')}"
            raise ConnectionError(why) from refused
        except InvalidHandshake as refused:
            raise ConnectionError(f"not a websocket server: {refused}") from refused
        connection = cast("_Connection", opened)
        try:
            yield _Socket(connection)
        finally:
            connection.stop_reading()
            await connection.close()


_MEANING = {
    403: " (forbidden, by a firewall in between or by the venue)",
    418: " (this address is banned for a while)",
    429: " (too many requests)",
    451: " (not served in this country)",
}


class _Connection(ClientConnection):
    """A connection that hands messages over as bytes, from a plain queue.

    The library's own `recv` goes through three coroutines for each message; without them, small
    frames of a burst cost the client about a fifth less. Reading stops while the queue is full.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._inbox: deque[bytes] = deque()
        self._begun = bytearray()  # a message that comes in fragments
        self._arrival: asyncio.Future[None] | None = None
        self._is_full = False

    def process_event(self, event: HttpRequest | Response | Frame) -> None:
        """Take a message; leave everything else to the library."""
        if not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
            return
        if event.fin and not self._begun:
            self._inbox.append(bytes(event.data))
        else:
            self._begun += event.data
            if not event.fin:
                return
            self._inbox.append(bytes(self._begun))
            self._begun.clear()
        self._wake()
        if len(self._inbox) > _QUEUE_FRAMES and not self._is_full:
            self._is_full = True
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake the reader, to be told of the end."""
        super().connection_lost(exc)
        self._wake()

    def stop_reading(self) -> None:
        """Let what comes pass: behind it comes the peer's part of the closing handshake."""
        self._is_full = True  # so that it never pauses again
        self.transport.resume_reading()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def __aiter__(self) -> AsyncIterator[bytes | str]:
        return self

    async def __anext__(self) -> bytes | str:
        """Return the next message. Raises `ConnectionError` when the connection ended badly."""
        inbox = self._inbox
        while not inbox:
            if self.connection_lost_waiter.done():
                await self._end()
            self._arrival = self.loop.create_future()
            await self._arrival
        message = inbox.popleft()
        if self._is_full and len(inbox) < _QUEUE_FRAMES // 4:
            self._is_full = False
            self.transport.resume_reading()
        return message

    async def _end(self) -> NoReturn:
        try:
            await self.recv()
        except ConnectionClosedOK:
            raise StopAsyncIteration from None
        except ConnectionClosed as closed:
            raise ConnectionError(_why(closed)) from closed
        raise AssertionError("no message comes this way")


class _Socket:
    """What the port shows of a connection."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def __aiter__(self) -> AsyncIterator[bytes | str]:
        return self._connection.__aiter__()

    async def send(self, message: str) -> None:
        """Send a text message. Raises `ConnectionError` when the connection has ended."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise ConnectionError(_why(closed)) from closed


def _why(closed: ConnectionClosed) -> str:
    if closed.rcvd is not None:
        return f"closed by the venue: {closed.rcvd.code} {closed.rcvd.reason}".rstrip()
    if closed.sent is not None:
        return f"closed by us: {closed.sent.code} {closed.sent.reason}".rstrip()
    return "the connection broke"


def is_loopback(url: str) -> bool:
    """Whether an address means this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reason_of(error: OSError) -> str:
    """Say why a connection failed, by kind: DNS, TLS, refused, timed out, or as it is."""
    match error:
        case socket.gaierror():
            return f"DNS: the host cannot be resolved ({error.strerror})"
        case ssl.SSLCertVerificationError():
            why = getattr(error, "verify_message", "") or error
            return f"TLS: the certificate is not accepted ({why})"
        case ssl.SSLError():
            return f"TLS: {getattr(error, 'reason', '') or error}"
        case ConnectionRefusedError():
            return "refused: nothing listens there"
        case TimeoutError():
            return "timed out"
        case _:
            return str(error) or type(error).__name__
