"""The other end of the admin socket, for the command line and for tests.

Blocking, so that a command starts without an event loop. It tells apart what a caller must tell
apart: nobody there (nothing was sent), and an answer that got lost (it may have been done).
"""

import socket
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import msgspec

from daemon.admin_requests import AnyAdminRequest
from daemon.admin_socket import reachable
from domain.errors import Refusal

_MAX_ANSWER = 256 * 1024 * 1024
_CHUNK = 1 << 16
_CONNECT_S = 3.0
ANSWER_S = 40.0  # longer than the server's own limit, which answers better

Answer = dict[str, object]


class UnreachableError(Exception):
    """No daemon listens at the socket; nothing was sent."""

    @property
    def is_busy(self) -> bool:
        """Whether there is one, but its queue is full: it hangs, or is stopped."""
        return isinstance(self.__cause__, BlockingIOError | TimeoutError)


class AnswerLostError(Exception):
    """The request was sent and no answer came; whether it was done is not known."""


def refusal_in(answer: Answer) -> Refusal | None:
    """Return the refusal that an answer is; None if it says that the request was done.

    Raises `AnswerLostError` if it says neither: then it tells nothing of what became of it.
    """
    match answer.get("ok"):
        case True:
            return None
        case False:
            try:
                return msgspec.convert(answer.get("error"), Refusal)
            except msgspec.ValidationError as error:
                why = f"the daemon said no, and why cannot be read: {error}"
                raise AnswerLostError(why) from error
    why = "the daemon's answer says neither yes nor no"
    raise AnswerLostError(why)


class AdminClient:
    """One connection, opened with the first request. A context manager."""

    def __init__(self, path: Path, *, timeout_s: float = ANSWER_S) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_connected(self) -> bool:
        """Whether something may have been sent that was not answered."""
        return self._socket is not None

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._rest = b""

    def ask(self, request: AnyAdminRequest) -> Answer | Refusal:
        """Send a request, return its result: the object without `ok` and `id`, or the refusal.

        Raises `UnreachableError` and `AnswerLostError`.
        """
        answer = self.ask_line(msgspec.json.encode(request))
        try:
            refusal = refusal_in(answer)
        except AnswerLostError:
            self.close()  # whatever follows on this connection cannot be trusted either
            raise
        if refusal is not None:
            return refusal
        return {name: value for name, value in answer.items() if name not in {"ok", "id"}}

    def ask_line(self, line: bytes) -> Answer:
        """Send one line as it is, return the whole answer. Raises like `ask`."""
        connection = self._connected()
        try:
            connection.sendall(line + b"\n")
        except OSError as error:
            # A server that refuses a line half-way answers before it hangs up; else it is lost.
            return self._answer(connection, error)
        return self._answer(connection, None)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(_CONNECT_S)
                with reachable(self.path) as address:
                    connection.connect(address)
            except OSError as error:
                connection.close()
                raise UnreachableError(error.strerror or str(error)) from error
            connection.settimeout(self._timeout_s)
            self._socket = connection
        return self._socket

    def _answer(self, connection: socket.socket, sending: OSError | None) -> Answer:
        received = [self._rest]
        size = len(self._rest)
        try:
            while b"\n" not in received[-1]:
                chunk = connection.recv(_CHUNK)
                size += len(chunk)
                if not chunk or size > _MAX_ANSWER:
                    self._lost(sending or "the daemon hung up")
                received.append(chunk)
            line, _, self._rest = b"".join(received).partition(b"\n")
            return msgspec.json.decode(line, type=dict[str, object])
        except (OSError, msgspec.DecodeError) as error:
            self._lost(error)

    def _lost(self, why: object) -> NoReturn:
        self.close()
        raise AnswerLostError(str(why))
