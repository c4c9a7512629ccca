"""One port for everything: REST, websockets, and the control of the sandbox itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from aiohttp import web

from exchanges.sandbox.control import Control
from exchanges.sandbox.faults import Fault, Faults, Kind
from exchanges.sandbox.judge import judge, ledger
from exchanges.sandbox.prices import play, prefill, tick
from exchanges.sandbox.pushing import Pushing
from exchanges.sandbox.rest import Rest
from exchanges.sandbox.settings import SandboxSettings
from exchanges.sandbox.sockets import Sockets
from exchanges.sandbox.venue import Venue
from exchanges.sandbox.world import World, wall_ms

_BEAT_S = 0.25
_BODY_LIMIT = 2**20


class Sandbox:
    """A running sandbox. Of `running`."""

    def __init__(self, world: World, host: str, port: int, rest: Rest, pushing: Pushing) -> None:
        self.world = world
        self.host = host
        self.port = port
        self.rest = rest
        self.pushing = pushing

    @property
    def rest_url(self) -> str:
        """Where REST is: "http://127.0.0.1:8899"."""
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """Where the websockets are, without `/public`, `/business`, `/private`."""
        return f"ws://{self.host}:{self.port}/ws/v5"

    @property
    def venue(self) -> Venue:
        """The core: prices and accounts."""
        return self.world.venue

    @property
    def faults(self) -> Faults:
        """The rules in force; `fault` adds one in a line."""
        return self.world.faults

    @property
    def sockets(self) -> Sockets:
        """The websockets: `cut()`, `notice()`, `silent`, `half_open`."""
        return self.pushing.sockets

    def fault(self, kind: Kind, match: str = "*", **more: object) -> Fault:
        """Add a fault: `sandbox.fault("lost", "POST trade/order", count=3)`."""
        return self.faults.add(Fault(kind, match, **more))  # type: ignore[arg-type]

    def ledger(self) -> dict[str, Any]:
        """Return all that happened on the account; see `judge.ledger`."""
        self.world.advance()
        return ledger(self.venue.account)

    def judge(self) -> dict[str, Any]:
        """Return what was wrong with it; see `judge.judge`."""
        self.world.advance()
        return judge(self.venue.account, self.world.watch)

    def set_price(self, inst_id: str, last: Decimal | str, **more: Decimal) -> None:
        """Let an instrument trade at `last` now; `bid`, `ask`, `mark` follow unless given."""
        self.world.advance()
        self.venue.set_price(inst_id, last, **more)


@asynccontextmanager
async def running(
    settings: SandboxSettings | None = None, clock: Callable[[], int] = wall_ms
) -> AsyncIterator[Sandbox]:
    """Serve a sandbox while the context lasts. Raises `OSError` when the port is taken."""
    chosen = settings or SandboxSettings()
    world = World(chosen, clock)
    rest, pushing = Rest(world), Pushing(world)
    app = web.Application(client_max_size=_BODY_LIMIT)
    app.router.add_route("GET", "/ws/v5/{path}", pushing.sockets.handle)
    app.router.add_route("*", "/api/v5/{path:.*}", rest.handle)
    app.router.add_route("*", "/sandbox{path:.*}", Control(world, pushing.sockets).handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, chosen.host, chosen.port)
        await site.start()
        port = runner.addresses[0][1]
        sandbox = Sandbox(world, chosen.host, port, rest, pushing)
        tasks = [asyncio.create_task(one) for one in _background(world, pushing)]
        try:
            yield sandbox
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            pushing.sockets.cut()
    finally:
        await runner.cleanup()


def _background(world: World, pushing: Pushing) -> list[Coroutine[None, None, None]]:
    prefill(world)
    running = [_beat(world), _repeat(world, pushing)]
    if world.settings.quiet_s > 0:
        running.append(_stand_still(world, pushing))
    if world.settings.recorded:
        running.append(play(world, world.settings.recorded))
    elif world.settings.ticks_per_second > 0:
        running.append(tick(world))
    return running


async def _beat(world: World) -> None:
    """Let time pass while nobody asks."""
    while True:
        await asyncio.sleep(_BEAT_S)
        world.advance()


async def _stand_still(world: World, pushing: Pushing) -> None:
    """Let what does not move trade nevertheless: nobody is to take it for dead."""
    quiet_s = world.settings.quiet_s
    while True:
        await asyncio.sleep(quiet_s / 4)
        world.advance()
        pushing.repeat_prices(int(quiet_s * 1000))


async def _repeat(world: World, pushing: Pushing) -> None:
    """Send snapshots of what did not change."""
    while True:
        await asyncio.sleep(world.settings.regular_s)
        world.advance()
        pushing.regular()
