"""One life of the daemon: the real assembly on simulated ports, from a start to a crash or a stop.

`patch`, if any, is called with the finished parts before they start: the place where a test plants
a bug.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from actors import names
from actors.messages import Answered
from actors.reconcile_rules import ReconcileSettings
from actors.world import World
from daemon.assembly import Assembly, Ports, assemble, open_store, reconciling
from daemon.config_models import Config
from daemon.instruments import venue_symbol
from daemon.simulation.disk import ShakyJournal, SimDisk, SimWorker
from daemon.simulation.network import Line, SimHttp, SimNet, SimWire, Weather
from daemon.simulation.outside import START, Outside
from daemon.simulation.venue import SimVenue
from daemon.venues import instruments_held
from domain.ids import RequestId, TraderName
from exchanges.market import MarketStream
from exchanges.market_reads import MarketReads
from exchanges.okx_account import OkxAccount, OkxSettings
from exchanges.okx_frames import Listed
from exchanges.okx_private import stream_of
from exchanges.okx_rest import OkxReads
from exchanges.okx_stream import SETTINGS, OkxStream
from exchanges.rest import Rest
from exchanges.sandbox.gate import DEMO_KEY
from runtime.chance import SeededChance, SeededIds
from runtime.clocks import VirtualClock
from runtime.interleaved import InterleavedLoop
from runtime.messages import Killed, RestartsExhaustedError
from storage.store import Store
from strategies.base import Strategy

T = TypeVar("T")
WS_URL = "ws://simulated"
REST_URL = "http://simulated"
STOPS_WITHIN_S = 8.0


class Ears:
    """Telemetry that remembers alarms."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self.alarms: list[tuple[float, str, str]] = []

    def order_sent(self, venue: str, order_type: str, status: str, seconds: float) -> None:
        """Pass over."""

    def order_ended(self, venue: str, status: str) -> None:
        """Pass over."""

    def committed(self, rows: int, seconds: float) -> None:
        """Pass over."""

    def evaluated(self, result: str) -> None:
        """Pass over."""

    def alarm(self, code: str, message: str) -> None:
        """Remember."""
        self.alarms.append((self._outside.now_s, code, message))
        self._outside.tell(f"alarm {code}: {message}")


class DayClock(VirtualClock):
    """The daemon's clocks; somebody may set the one on the wall."""

    def __init__(self, loop: InterleavedLoop) -> None:
        super().__init__(loop, START + timedelta(seconds=loop.time()))
        self._off = timedelta()

    def now(self) -> datetime:
        """Return wall time as it is set."""
        return super().now() + self._off

    def step(self, seconds: float) -> None:
        """Set the clock; durations do not notice."""
        self._off += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Setup:
    """What stays the same over all lives of a day."""

    outside: Outside
    venue: SimVenue
    weather: Weather
    config: Config
    strategies: Mapping[TraderName, Strategy]
    pace: Callable[[Config], ReconcileSettings] = reconciling
    patch: Callable[[Assembly], None] | None = None


class Life:
    """One life. Made, started and ended on its own loop."""

    def __init__(self, setup: Setup, number: int) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, InterleavedLoop)
        self.setup, self.number, self.loop = setup, number, loop
        self.outside, self.venue = setup.outside, setup.venue
        self.is_dead = False
        self.errors: list[BaseException] = []  # of actors and tasks, that nobody planned
        self.kills: list[tuple[str, float]] = []  # of actors, and when
        label = f"{self.outside.seed}/{number}"
        self.line = Line(self.outside, self.venue, setup.weather)
        self.net = SimNet(self.outside, self.venue, setup.weather)
        self.clock = DayClock(loop)
        self.disk = SimDisk()
        self.worker = SimWorker(loop, self.outside.chance(f"disk/{number}"))
        self.ears = Ears(self.outside)
        self.chance = SeededChance(f"{label}/daemon")
        self.store: Store = open_store(setup.config.data_dir, self.disk)
        self.journal_disk = ShakyJournal(self.store.database)
        ports = Ports(
            loop=loop,
            clock=self.clock,
            chance=self.chance,
            paper_chance=self.chance,
            ids=SeededIds(SeededChance(f"{label}/ids")),
            disk=self.disk,
            journal_worker=self.worker,
            paper_worker=self.worker,
            stream=self._stream,
            reads=self._reads,
            reconcile=setup.pace(setup.config),
            account=self._account,
        )
        self.parts: Assembly = assemble(
            setup.config, setup.strategies, ports, self.store, self.ears
        )
        self._asked = 0
        self._listen_to_errors()
        if setup.patch is not None:
            setup.patch(self.parts)

    # --- its ports

    def _stream(self, world: World) -> MarketStream:
        config = self.setup.config
        return OkxStream(
            self.net,
            world.clock,
            self.chance,
            base_url=WS_URL,
            kind=config.market.kind,
            listed={venue_symbol("okx", one): Listed.of(one) for one in world.instruments.values()},
            settings=SETTINGS,
        )

    def _reads(self, world: World) -> MarketReads:
        return OkxReads(Rest(SimHttp(self.line), world.clock, REST_URL), world.instruments)

    def _account(self, world: World) -> OkxAccount:
        section = self.setup.config.venue
        assert section is not None
        settings = OkxSettings(
            key=DEMO_KEY.key,
            secret=DEMO_KEY.secret,
            passphrase=DEMO_KEY.passphrase,
            margin_mode=section.margin_mode,
            rest_url=REST_URL,
        )
        return OkxAccount(
            settings,
            world.clock,
            tuple(world.instruments.values()),
            stream_of((self.net, world.clock, self.chance), WS_URL),
            wire=lambda settings, clock, judge: SimWire(settings, clock, judge, self.line),
            held=instruments_held(world),
        )

    def _listen_to_errors(self) -> None:
        lifecycle = self.parts.system.lifecycle
        crash = lifecycle.crash

        def noted(ref: Any, error: BaseException, *message: Any) -> None:
            planned = isinstance(error, Killed | RestartsExhaustedError)
            if not planned and not self.is_dead:
                self.errors.append(error)
                self.outside.tell(f"{ref.name} crashed: {error!r}")
            crash(ref, error, *message)

        lifecycle.crash = noted  # type: ignore[method-assign, assignment]

        def unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            if not self.is_dead:
                self.errors.append(context.get("exception") or RuntimeError(context["message"]))

        self.loop.set_exception_handler(unhandled)

    # --- from start to end

    def start(self) -> None:
        """Start; every level is armed before anything else happens."""
        self.outside.attach(self.loop)
        self.parts.start()
        self.parts.system.dispatcher.drain()

    def kill(self) -> None:
        """End as SIGKILL would: what is in the files is left, and what is under way goes on."""
        if self.is_dead:
            return
        self.is_dead = True
        self.line.is_dead = True
        self.worker.kill()
        self.net.kill()
        self.outside.detach()
        self.parts.system.dispatcher.queue.clear()
        self.store.close()

    async def stop(self) -> bool:
        """Drain; return whether it was in time."""
        in_time = await self.parts.close(STOPS_WITHIN_S)
        self.is_dead = True
        self.worker.close()
        self.line.is_dead = True
        self.net.kill()
        self.outside.detach()
        self.store.close()
        return in_time

    # --- looking, telling, asking

    @property
    def world(self) -> World:
        """What its actors look at."""
        return self.parts.world

    def actor(self, name: str) -> Any:
        """Return the living actor behind a name; None while it is down."""
        return self.parts.actor(name)

    def kill_actor(self, name: str) -> bool:
        """End an actor as a crash does; whether it was there."""
        self.kills.append((name, self.outside.now_s))
        return self.parts.system.kill(name)

    def ask(self, name: str, make: Callable[[RequestId], Any]) -> "asyncio.Future[Answered] | None":
        """Tell an actor what `make` makes of a request id; None while nobody is there."""
        edge = self.actor(names.EDGE)
        if edge is None:
            return None
        self._asked += 1
        request_id = RequestId(f"r{self.number}-{self._asked}")
        answer: asyncio.Future[Answered] = edge.expect(request_id)
        self.parts.system.tell(name, make(request_id))
        return answer


def lived(loop: InterleavedLoop, main: Callable[[], Awaitable[None]]) -> None:
    """Run a life on its loop; whatever it leaves behind is canceled, unheard, until nothing is."""

    async def whole() -> None:
        try:
            await main()
        finally:
            this = asyncio.current_task()
            while left := [task for task in asyncio.all_tasks(loop) if task is not this]:
                for task in left:
                    task.cancel()
                await asyncio.gather(*left, return_exceptions=True)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(whole())
