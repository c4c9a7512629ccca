"""The network as it is: the `Net` port on the `websockets` library.

Everything that can go wrong on the way leaves this file as an `OSError` with a reason a person
understands, so that nobody above has to know the library.
"""

import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidStatus,
)

from runtime.ports import WebSocket

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
            connection = await connect(
                url,
                compression=None,  # costs more than loopback or a datacenter's network gains
                proxy=None if _is_loopback(url) else True,
                open_timeout=self._open_timeout_s,
                close_timeout=self._close_timeout_s,
                ping_interval=self._ping_s,
                ping_timeout=self._ping_s,
                max_size=_MAX_MESSAGE,
                max_queue=_QUEUE_FRAMES,
            )
        except InvalidStatus as refused:
            status = refused.response.status_code
            why = f"the venue answered HTTP {status}{_MEANING.get(status, '')}"
            raise ConnectionError(why) from refused
        except InvalidHandshake as refused:
            raise ConnectionError(f"not a websocket server: {refused}") from refused
        try:
            yield _Socket(connection)
        finally:
            await connection.close()


_MEANING = {
    403: " (forbidden, by a firewall in between or by the venue)",
    418: " (this address is banned for a while)",
    429: " (too many requests)",
    451: " (not served in this country)",
}


class _Socket:
    """A connection that yields bytes, so that JSON is parsed without decoding text first."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    def __aiter__(self) -> AsyncIterator[bytes | str]:
        return self

    async def __anext__(self) -> bytes | str:
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosedOK:
            raise StopAsyncIteration from None
        except ConnectionClosed as closed:
            raise ConnectionError(_why(closed)) from closed

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


def _is_loopback(url: str) -> bool:
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
            return f"TLS: the certificate is not accepted ({error.verify_message})"
        case ssl.SSLError():
            return f"TLS: {error.reason or error}"
        case ConnectionRefusedError():
            return "refused: nothing listens there"
        case TimeoutError():
            return "timed out"
        case _:
            return str(error) or type(error).__name__
