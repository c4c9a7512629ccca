"""The admin server: one JSON object a line in, one out, in order, for this user only.

Every line is answered exactly once, whatever its bytes are. Every wait has an end (idle, answer,
write), every size a limit. The server knows the grammar and nothing else: what a command does is
its handler's affair, which reads snapshots and asks actors and never blocks the loop.

    {"command": "positions", "id": 1}
    {"ok": true, "id": 1, "positions": []}
    {"ok": false, "id": 1, "error": {"rule": "…", "message": "…", "remedy": "…", "actual": "", …}}
"""

import asyncio
import os
import socket
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from daemon.admin_grammar import Parsed, parse
from daemon.admin_requests import LONG, LONG_ANSWER_S, READS, AnyAdminRequest
from daemon.admin_socket import Peer, listening, peer_of
from domain.errors import Refusal

Answer = dict[str, object]
_log = structlog.get_logger("system")


class AdminHandler(Protocol):
    """What answers admin requests."""

    async def handle(self, request: AnyAdminRequest) -> Answer | Refusal:
        """Return the object to print, or a refusal. A raised exception is a bug."""


class AdminLimits(msgspec.Struct, frozen=True):
    """How much one client may ask of the server."""

    line_bytes: int = 64 * 1024
    connections: int = 32
    idle_s: float = 30.0  # for the whole next line to arrive
    idle_when_full_s: float = 1.0  # then who waits longer makes room: a person may want to close
    answer_s: float = 30.0
    write_s: float = 30.0  # for the client to take the answer
    closing_s: float = 1.0  # for answers under way when the server closes


class AdminServer:
    """Listens on a unix socket and hands checked requests to `handler`."""

    def __init__(
        self,
        path: Path,
        handler: AdminHandler,
        *,
        limits: AdminLimits | None = None,
    ) -> None:
        self.path = path
        self._handler = handler
        self._limits = limits or AdminLimits()
        self._listener: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._file: tuple[int, int] | None = None  # device and inode of our socket file
        self._connections: dict[asyncio.Task[None], float | None] = {}
        """Since when each is idle, by the loop's time; None: an answer is under way."""
        self._refused_uids: set[int] = set()

    def bind(self) -> None:
        """Take the path; who asks now waits for `start`.

        Raises `StartError` when it is taken, unusable or open to others.
        """
        self._listener = listening(self.path)
        self._file = _identity(self.path)

    async def start(self) -> None:
        """Answer. Raises `StartError` like `bind`, which it does if nobody has."""
        if self._listener is None:
            self.bind()
        self._server = await asyncio.start_unix_server(
            self._accept, sock=self._listener, limit=self._limits.line_bytes
        )

    async def close(self) -> None:
        """Hang up: idle clients at once, the others after their answer. Removes the socket file."""
        if self._listener is None:
            return
        if self._file == _identity(self.path):
            self.path.unlink(missing_ok=True)
        listener, self._listener = self._listener, None
        if self._server is None:
            listener.close()
            return
        self._server.close()
        for task, idle_since in self._connections.items():
            if idle_since is not None:
                task.cancel()
        tasks = set(self._connections)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._limits.closing_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._serve(reader, writer))
        self._connections[task] = loop.time()
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task, None)
        if not task.cancelled() and (bug := task.exception()):
            _log.error("admin_connection_failed", exc_info=bug)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer, self._limits)
        try:
            peer = peer_of(writer.get_extra_info("socket"))
            refusal = self._door(peer)
            if refusal:
                await connection.answer(Parsed(refusal), refusal)
                return
            await self._converse(connection, peer)
        except (ConnectionError, TimeoutError):
            return  # the client left, or stopped reading: nobody is there to tell
        finally:
            await connection.close()

    def _door(self, peer: Peer) -> Refusal | None:
        if peer.uid != os.geteuid():
            if peer.uid not in self._refused_uids:  # once: the log is not theirs to fill
                self._refused_uids.add(peer.uid)
                _log.warning("admin_peer_refused", peer_uid=peer.uid, peer_pid=peer.pid)
            why = f"This daemon belongs to another user; you are user {peer.uid}."
            return Refusal("PEER_REFUSED", why, "Ask as the user who runs it.", str(peer.uid))
        limit = self._limits.connections
        if len(self._connections) > limit and not self._made_room():
            _log.warning("admin_connections_full", limit=limit)
            why = f"{limit} connections are open already, and all are in use."
            remedy = "Try again in a few seconds; see what else asks this daemon so much."
            return Refusal("TOO_MANY_CONNECTIONS", why, remedy, limit=str(limit))
        return None

    def _made_room(self) -> bool:
        """Hang up on the one who has been idle longest, if that is long enough."""
        late_s = asyncio.get_running_loop().time() - self._limits.idle_when_full_s
        idle = {
            task: since
            for task, since in self._connections.items()
            if since is not None and since <= late_s and task is not asyncio.current_task()
        }
        if not idle:
            return False
        longest = min(idle, key=idle.__getitem__)
        longest.cancel()
        del self._connections[longest]
        return True

    async def _converse(self, connection: "_Connection", peer: Peer) -> None:
        task = asyncio.current_task()
        assert task is not None  # this runs in one
        while (line := await connection.line()) is not None:
            self._connections[task] = None
            parsed = line if isinstance(line, Parsed) else parse(line)
            result = await self._result(parsed.request)
            if isinstance(result, Refusal):
                self._log_refusal(parsed, result, peer)
            await connection.answer(parsed, result)
            self._connections[task] = asyncio.get_running_loop().time()
            if isinstance(line, Parsed) or self._server is None or not self._server.is_serving():
                return

    async def _result(self, request: AnyAdminRequest | Refusal) -> Answer | Refusal:
        if isinstance(request, Refusal):
            return request
        if not isinstance(request, READS):
            _log.info(
                "admin_request", command=request.command, request=msgspec.to_builtins(request)
            )
        limit_s = LONG_ANSWER_S if isinstance(request, LONG) else self._limits.answer_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._handler.handle(request)
        except TimeoutError:
            why = f"No answer within {limit_s:g} s; whether it was done is not known."
            return Refusal("ANSWER_TIMEOUT", why, "Look before you ask again.")
        except Exception as bug:  # noqa: BLE001 - the socket outlives a bug in one command
            _log.error("admin_command_failed", command=request.command, exc_info=bug)
            why = f"The command {request.command} failed inside the daemon; its log says how."
            return Refusal("INTERNAL_ERROR", why, "Look before you ask again.")

    def _log_refusal(self, parsed: Parsed, refusal: Refusal, peer: Peer) -> None:
        command = "" if isinstance(parsed.request, Refusal) else parsed.request.command
        _log.warning(
            "admin_refused",
            command=command,
            rule=refusal.rule,
            message=refusal.message,
            peer_pid=peer.pid,
        )


class _Connection:
    """One client: reads lines, writes answers, both within limits."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: AdminLimits
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._limits = limits

    async def line(self) -> bytes | Parsed | None:
        """Return the next line, a last refusal, or None at the end."""
        try:
            async with asyncio.timeout(self._limits.idle_s):
                return await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            return end.partial or None
        except asyncio.LimitOverrunError:
            limit = self._limits.line_bytes
            why = f"The line is longer than {limit} bytes."
            return Parsed(Refusal("LINE_TOO_LONG", why, "Send shorter lines.", limit=str(limit)))
        except TimeoutError:
            return None

    async def answer(self, parsed: Parsed, result: Answer | Refusal) -> None:
        """Write one line. Raises `ConnectionError` or `TimeoutError` when the client is gone."""
        head: Answer = {"ok": not isinstance(result, Refusal)}
        if parsed.id is not None:
            head["id"] = parsed.id
        body: Answer = {"error": result} if isinstance(result, Refusal) else result
        self._writer.write(msgspec.json.encode(head | body) + b"\n")
        async with asyncio.timeout(self._limits.write_s):
            await self._writer.drain()

    async def close(self) -> None:
        """Hang up; what was written is still delivered."""
        self._writer.close()
        try:
            async with asyncio.timeout(self._limits.closing_s):
                await self._writer.wait_closed()
        except (ConnectionError, TimeoutError):
            self._writer.transport.abort()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
