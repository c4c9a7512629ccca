"""The sandbox venue in a process of its own, so that it takes no time from who trades there.

Functions are sent to it by name: a module's function `f(sandbox, *arguments)` runs on the sandbox's
loop, and what it returns comes back.
"""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from exchanges.sandbox import Sandbox, SandboxSettings, running
from tests.slow_line import LOOPBACK, slow_line

_END = "end"


class Place(msgspec.Struct, frozen=True):
    """Where a sandbox is."""

    rest_url: str
    ws_url: str


class SandboxProcess:
    """A sandbox elsewhere. Of `sandbox_process`."""

    def __init__(self, place: Place, pipe: Connection) -> None:
        self.rest_url, self.ws_url = place.rest_url, place.ws_url
        self._pipe = pipe
        self._asking = asyncio.Lock()

    async def do(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run `function(sandbox, *arguments)` there; return what it returns."""
        async with self._asking:
            return await asyncio.to_thread(self._ask, function, arguments)

    def _ask(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        self._pipe.send((function, arguments))
        return self._pipe.recv()


@asynccontextmanager
async def sandbox_process(
    settings: SandboxSettings, one_way_s: float = 0.0
) -> AsyncIterator[SandboxProcess]:
    """Run a sandbox while the context lasts; what goes to it and back takes `one_way_s`."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(theirs, settings, one_way_s)
    )
    process.start()
    try:
        place = await asyncio.to_thread(ours.recv)
        yield SandboxProcess(place, ours)
    finally:
        ours.send(_END)
        await asyncio.to_thread(process.join)


def _serve(pipe: Connection, settings: SandboxSettings, one_way_s: float) -> None:
    asyncio.run(_answer(pipe, settings, one_way_s))


async def _answer(pipe: Connection, settings: SandboxSettings, one_way_s: float) -> None:
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(running(settings))
        port = sandbox.port
        if one_way_s:
            port = await stack.enter_async_context(slow_line(port, one_way_s))
        pipe.send(Place(f"http://{LOOPBACK}:{port}", f"ws://{LOOPBACK}:{port}/ws/v5"))
        while (asked := await asyncio.to_thread(pipe.recv)) != _END:
            function, arguments = asked
            pipe.send(_run(sandbox, function, arguments))


def _run(sandbox: Sandbox, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    sandbox.world.advance()
    return function(sandbox, *arguments)
