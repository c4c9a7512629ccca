"""A proxy between a daemon and its venue that mangles real sockets: REST and websockets alike.

It carries bytes and knows nothing of what they mean. Every connection has a fate, drawn by a seed
when it is accepted, which comes true some time later:

| fate | what happens |
|---|---|
| `delay` | each piece comes late, by less than a second |
| `stall` | nothing for some seconds, then all of it |
| `bandwidth` | a few kilobytes a second |
| `drop` | the connection ends in good order, a piece of one direction is lost |
| `truncate` | the same in the middle of a piece: of a body, of a frame |
| `reset` | RST |
| `half_open` | nothing is carried any more, nobody is told |
| `refuse` | a new connection is reset at once |

Which connection gets which fate is the same for the same seed; how pieces fall is the system's.
"""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random

LOOPBACK = "127.0.0.1"
FATES = {
    "none": 3,
    "delay": 4,
    "stall": 2,
    "bandwidth": 2,
    "drop": 3,
    "truncate": 3,
    "reset": 3,
    "half_open": 2,
    "refuse": 1,
}
THERE, BACK = "there", "back"  # to the venue, to the daemon
_CHUNK = 1 << 16
_SLICE = 256  # bytes
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


@dataclass(frozen=True)
class Fate:
    """What happens to one connection."""

    kind: str
    after_s: float  # of its beginning
    way: str
    seconds: float  # of a delay or a stall
    bytes_a_second: int

    @classmethod
    def drawn(cls, chance: Random) -> "Fate":
        kind = chance.choices(list(FATES), list(FATES.values()))[0]
        return cls(
            kind=kind,
            after_s=chance.uniform(0.0, 3.0),
            way=chance.choice((THERE, BACK)),
            seconds=chance.uniform(0.05, 0.9) if kind == "delay" else chance.uniform(1.0, 8.0),
            bytes_a_second=chance.randrange(1_000, 20_000),
        )


@dataclass(eq=False)
class Connection:
    """One connection and its two ends."""

    fate: Fate
    began_s: float
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    is_noted: bool = False

    def end(self, *, resets: bool = False) -> None:
        """Close both ends."""
        self.over.set()
        for writer in self.writers:
            if resets:
                end = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            else:
                writer.close()


class FaultProxy:
    """Carries connections to a port of this machine. Of `fault_proxy`."""

    def __init__(self, venue_port: int, seed: int) -> None:
        self.port = 0
        self.is_bad = False
        self.done: Counter[str] = Counter()
        self.accepted = 0
        self._venue_port = venue_port
        self._seed = seed
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def rest_url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{LOOPBACK}:{self.port}/ws/v5"

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._take, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def misbehave(self) -> None:
        """Let fates come true; connections that are open now began now."""
        self.is_bad = True
        for connection in self._open:
            connection.began_s = asyncio.get_running_loop().time()

    def behave(self) -> None:
        """Carry everything; what is stuck is cut, as a network that comes back would find it."""
        self.is_bad = False
        for connection in list(self._open):
            if connection.is_noted:
                connection.end(resets=True)

    async def close(self) -> None:
        """Refuse connections, end those there are."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._open):
            connection.end(resets=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        fate = Fate.drawn(Random(f"{self._seed}/{self.accepted}"))
        now_s = asyncio.get_running_loop().time()
        connection = Connection(fate, now_s, [writer])
        task = asyncio.create_task(self._carry(connection, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self.is_bad and connection.fate.kind == "refuse":
            self._note(connection)
            connection.end(resets=True)
            return
        try:
            venue_reader, venue_writer = await asyncio.open_connection(LOOPBACK, self._venue_port)
        except OSError:
            connection.end()
            return
        connection.writers.append(venue_writer)
        self._open.add(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(connection, THERE, reader, venue_writer))
                group.create_task(self._pump(connection, BACK, venue_reader, writer))
        finally:
            self._open.discard(connection)
            connection.end()

    async def _pump(
        self,
        connection: Connection,
        way: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if self._has_come(connection, way):
                    chunk = await self._spoiled(connection, chunk, writer)
                if connection.over.is_set():
                    break
                writer.write(chunk)
                await writer.drain()
        connection.end()

    def _has_come(self, connection: Connection, way: str) -> bool:
        """Whether it is time for what is to happen to a connection, in this direction."""
        fate = connection.fate
        if not self.is_bad or fate.kind in {"none", "refuse"}:
            return False
        if asyncio.get_running_loop().time() < connection.began_s + fate.after_s:
            return False
        if fate.kind == "stall" and connection.is_noted:
            return False  # once
        return fate.kind == "half_open" or fate.way == way

    async def _spoiled(
        self, connection: Connection, chunk: bytes, writer: asyncio.StreamWriter
    ) -> bytes:
        """Let it happen; return what is still to be carried."""
        self._note(connection)
        fate = connection.fate
        match fate.kind:
            case "delay" | "stall":
                await self._wait(connection, fate.seconds)
            case "bandwidth":
                while len(chunk) > _SLICE and self.is_bad:
                    writer.write(chunk[:_SLICE])
                    chunk = chunk[_SLICE:]
                    await self._wait(connection, _SLICE / fate.bytes_a_second)
            case "drop":
                connection.end()
            case "truncate":
                writer.write(chunk[: len(chunk) // 2])
                connection.end()
            case "reset":
                connection.end(resets=True)
            case "half_open":
                await connection.over.wait()
        return chunk

    @staticmethod
    async def _wait(connection: Connection, seconds: float) -> None:
        """Wait, unless the connection ends before."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(connection.over.wait(), seconds)

    def _note(self, connection: Connection) -> None:
        if not connection.is_noted:
            connection.is_noted = True
            self.done[connection.fate.kind] += 1


@contextlib.asynccontextmanager
async def fault_proxy(venue_port: int, seed: int = 1) -> AsyncIterator[FaultProxy]:
    """Run a proxy while the context lasts; it behaves until told not to."""
    proxy = FaultProxy(venue_port, seed)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
