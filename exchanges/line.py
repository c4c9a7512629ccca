"""One connection to a venue, kept alive for ever. What the venue wants to hear is in its dialect.

A session is one websocket: connected, subscribed, read until it ends. A line is what lasts: it
opens a session, watches that frames keep coming, opens the next one when it is lost, and replaces
it before the venue ends it at 24 hours. A replacement overlaps:

    old session   ──frames─────────────────────┐ closed
    new session        subscribed ──held back──┴─frames──────

What the new one receives is held back until everything the old one could still deliver has arrived.
Then the held frames are read, and ids tell which of them were taken already. So nothing is missed,
repeated or reordered.

A line is silent when no data comes. A server that answers pings and sends nothing else is silent
too; one that does not even answer a ping is dead.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, Protocol

import structlog

from exchanges.dialect import Dialect, Notice, SinkT
from exchanges.recording import Tap, wall_ns
from exchanges.session import CHECKS, LineSettings, Pace, Session, Silence
from runtime.ports import Chance, Clock, Net


def backoff_s(settings: LineSettings, chance: Chance, failures: int) -> float:
    """Return how long to wait after so many failures in a row; drawn, so that clients spread.

    At most 0.8 of the last step: connecting and subscribing fit into what is left of 5 s.
    """
    step_s = settings.backoff_first_s * 2.0 ** min(failures - 1, 32)
    return chance.uniform(0.5, 0.8) * min(step_s, settings.backoff_last_s)


class Health(Protocol):
    """Who is told when a line is up or down."""

    def on_up(self, url: str) -> None:
        """Note that all of the line's streams are subscribed."""

    def on_down(self, url: str, why: str) -> None:
        """Note that the line is lost, or cannot be opened; it goes on trying."""


@dataclass(frozen=True, slots=True)
class Route(Generic[SinkT]):
    """An address, how it is spoken to, its times, and what it logs under."""

    url: str
    dialect: Dialect[SinkT]
    settings: LineSettings
    category: str = "market.data"


class Line(Generic[SinkT]):
    """Keeps one url subscribed as its dialect says: `run` never returns."""

    def __init__(
        self,
        ports: tuple[Net, Clock, Chance],
        route: Route[SinkT],
        *,
        sink: SinkT,
        health: Health,
        pace: Pace,
        tap: Tap | None = None,
    ) -> None:
        self.net, self.clock, self._chance = ports
        self.url = route.url
        self.dialect = route.dialect
        self.subscriptions = tuple(route.dialect.subscriptions())
        self.settings = route.settings
        self.sink = sink
        self.pace = pace
        self.log = structlog.get_logger(route.category)
        self._health = health
        self._tap = tap
        self._read = route.dialect.reader(sink)

    def read(self, raw: bytes | str) -> Notice | None:
        """Hand a frame to the sink, once. Raises what the sink raises, an `OSError` wrapped."""
        try:
            notice = self._read(raw)
            if self._tap is not None and notice is None:
                self._tap(wall_ns(self.clock), raw.encode() if isinstance(raw, str) else raw)
        except OSError as error:  # must not pass for a failure of the network
            raise RuntimeError(f"the sink failed: {error}") from error
        return notice

    def on_up(self) -> None:
        """Tell that all streams are subscribed."""
        streams = sum(each.streams for each in self.subscriptions)
        self.log.info("stream_connected", url=self.url, streams=streams)
        self._health.on_up(self.url)

    async def run(self) -> NoReturn:
        """Hold the connection until canceled. Raises only what the sink raises."""
        failures = 0
        while True:
            self._read = self.dialect.reader(self.sink)
            why, lasted_s, shut_out = await self._until_lost()
            # Only a session that held is a success: a venue that accepts and drops is not stormed.
            failures = 1 if lasted_s > self.settings.backoff_last_s else failures + 1
            wait_s = backoff_s(self.settings, self._chance, failures)
            if shut_out:
                wait_s = self._chance.uniform(0.8, 1.0) * self.settings.refused_retry_s
            report = self.log.warning if failures == 1 else self.log.debug
            report("stream_lost", url=self.url, why=why, retry_in_s=round(wait_s, 2))
            self._health.on_down(self.url, why)
            await asyncio.sleep(wait_s)

    async def _until_lost(self) -> tuple[str, float, bool]:
        """Run sessions, each replaced in time.

        Return why the last ended, how long they lasted, and whether our login is refused for good.
        """
        session = Session(self)
        started_s = session.started_s
        try:
            while True:
                why = await self._watch(session)
                if why:
                    lasted_s = self.clock.monotonic() - started_s
                    return why, lasted_s if session.confirmed.done() else 0.0, session.shut_out
                session = await self._replace(session)
        finally:
            await session.stop()

    async def _watch(self, session: Session) -> str:
        """Return why `session` ended, or "" when it is time to replace it."""
        settings = self.settings
        life_s = settings.lifetime_s * self._chance.uniform(0.98, 1.0)
        messages = len(self.subscriptions)
        patience_s = settings.answer_timeout_s + settings.message_interval_s * (messages - 1)
        if session.logs_in:
            patience_s += settings.answer_timeout_s
        silence = Silence(session)
        while True:
            left_s = session.started_s + life_s - self.clock.monotonic()
            step_s = min(silence.step_s, max(0.0, left_s))
            await asyncio.wait({session.task}, timeout=step_s)
            age_s = self.clock.monotonic() - session.started_s
            if session.task.done():
                return session.task.result()
            if not session.confirmed.done():
                if age_s > patience_s:
                    return f"the venue did not confirm the subscription within {patience_s:g} s"
                continue
            if session.going_away or age_s >= life_s:
                return ""
            why = await silence.look()
            if why:
                return why

    async def _replace(self, old: Session) -> Session:
        """Open a session beside `old`; return the one to go on with."""
        new = Session(self, held=True)
        try:
            if await self._ready(new, beside=old):
                await old.stop()
                await new.let_go()
                self.log.info("stream_renewed", url=self.url)
                return new
        except BaseException:
            await new.stop()
            raise
        await new.stop()
        retry_in_s = self.settings.backoff_last_s
        self.log.warning("stream_not_renewed", url=self.url, retry_in_s=retry_in_s)
        await asyncio.wait({old.task}, timeout=retry_in_s)
        return old

    async def _ready(self, new: Session, beside: Session) -> bool:
        """Wait until `new` has received all that the old session could still miss."""
        first: set[asyncio.Future[Any]] = {new.confirmed, new.task, beside.task}
        await asyncio.wait(
            first,
            timeout=self.settings.answer_timeout_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        for _ in range(CHECKS):  # in steps: a loop that stalled has not read meanwhile
            if new.confirmed.done() and not new.task.done() and not beside.task.done():
                await asyncio.wait(
                    {new.task, beside.task},
                    timeout=self.settings.overlap_s / CHECKS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
        return new.confirmed.done() and not new.task.done()
