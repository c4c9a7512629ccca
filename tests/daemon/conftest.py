"""A desk behind a real admin socket, for tests of the socket and of the command line."""

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.admin import AdminLimits, AdminServer, Answer
from daemon.admin_requests import AnyAdminRequest, Ping
from daemon.logs import Logs
from domain.errors import Refusal

Reply = Answer | Refusal | Exception | float


class Desk:
    """Answers by the kind of request; keeps what it was asked. A float makes it slow."""

    def __init__(self) -> None:
        self.asked: list[AnyAdminRequest] = []
        self.called = asyncio.Event()
        self.answers: dict[type, Reply] = {Ping: {"pong": True}}

    async def handle(self, request: AnyAdminRequest) -> Answer | Refusal:
        self.asked.append(request)
        self.called.set()
        reply = self.answers.get(type(request), {"message": "done"})
        if isinstance(reply, float):
            await asyncio.sleep(reply)
            return {"message": "late"}
        if isinstance(reply, Exception):
            raise reply
        return reply


class Office:
    """A desk and its server on a loop in another thread."""

    def __init__(self, path: Path, limits: AdminLimits | None) -> None:
        self.path = path
        self.desk = Desk()
        self._limits = limits
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        server = AdminServer(self.path, self.desk, limits=self._limits)
        await server.start()
        self._ready.set()
        await self._closing.wait()
        await server.close()

    def open(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def close(self) -> None:
        if self._thread.is_alive():
            assert self._loop is not None
            assert self._closing is not None
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(10)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def open_office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    """Return a function that starts a server; all are closed at the end."""
    offices: list[Office] = []
    logs = Logs(stream=io.StringIO())
    logs.start()

    def start(path: Path | None = None, limits: AdminLimits | None = None) -> Office:
        office = Office(path or tmp_path / "private" / "holdfast.sock", limits)
        offices.append(office)
        office.open()
        return office

    yield start
    for office in offices:
        office.close()
    logs.close()


@pytest.fixture
def office(open_office: Callable[..., Office]) -> Office:
    return open_office()
