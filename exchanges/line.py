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
import math
from collections import deque
from typing import Any, NoReturn, Protocol, assert_never

import msgspec
import structlog

from exchanges.dialect import Answer, Dialect, Notice, Pong, ShutdownNotice, Unlisted
from exchanges.market import MarketSink
from exchanges.real_net import reason_of
from exchanges.recording import Tap, wall_ns
from runtime.ports import Chance, Clock, Net, WebSocket

log = structlog.get_logger(category="market.data")

_TURN_FRAMES = 256  # read in a row at most, then the loop gets its turn
_MAX_HELD = 200_000  # frames held back while two sessions overlap
_CHECKS = 4  # looks at a session while time runs out: one stall of the loop is not silence


class LineSettings(msgspec.Struct, frozen=True):
    """Times in seconds. The defaults keep Binance's limits and our own: back within 5 s."""

    max_silence_s: float = 10.0  # without data for so long, a session is dead
    answer_timeout_s: float = 5.0  # the venue answers a subscription, or a ping, within
    message_interval_s: float = 0.5  # between subscriptions; above 5 a second the venue cuts off
    backoff_first_s: float = 0.2
    backoff_last_s: float = 5.0
    lifetime_s: float = 23 * 3600 + 40 * 60  # the venue ends a connection at 24 h
    overlap_s: float = 2.0  # longer than a frame may be under way
    ping_after_s: float = 20.0  # without a frame for so long, a dialect's text ping is sent
    connect_interval_s: float = 0.0  # between two connections, of all lines of a stream


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


class Pace:
    """Keeps what several lines do apart: one turn in `interval_s`."""

    def __init__(self, clock: Clock, interval_s: float) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._next_s = -math.inf

    async def turn(self) -> None:
        """Wait for the next turn and take it."""
        now_s = self._clock.monotonic()
        at_s = max(now_s, self._next_s)
        self._next_s = at_s + self._interval_s
        if at_s > now_s:
            await asyncio.sleep(at_s - now_s)


class Line:
    """Keeps one url subscribed as its dialect says: `run` never returns."""

    def __init__(
        self,
        ports: tuple[Net, Clock, Chance],
        *,
        url: str,
        dialect: Dialect,
        sink: MarketSink,
        health: Health,
        settings: LineSettings,
        pace: Pace,
        tap: Tap | None = None,
    ) -> None:
        self.net, self.clock, self._chance = ports
        self.url = url
        self.dialect = dialect
        self.subscriptions = tuple(dialect.subscriptions())
        self.settings = settings
        self.sink = sink
        self.pace = pace
        self._health = health
        self._tap = tap
        self._read = dialect.reader(sink)

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
        log.info("stream_connected", url=self.url, streams=streams)
        self._health.on_up(self.url)

    async def run(self) -> NoReturn:
        """Hold the connection until canceled. Raises only what the sink raises."""
        failures = 0
        while True:
            self._read = self.dialect.reader(self.sink)
            why, lasted_s = await self._until_lost()
            # Only a session that held is a success: a venue that accepts and drops is not stormed.
            failures = 1 if lasted_s > self.settings.backoff_last_s else failures + 1
            wait_s = backoff_s(self.settings, self._chance, failures)
            report = log.warning if failures == 1 else log.debug
            report("stream_lost", url=self.url, why=why, retry_in_s=round(wait_s, 2))
            self._health.on_down(self.url, why)
            await asyncio.sleep(wait_s)

    async def _until_lost(self) -> tuple[str, float]:
        """Run sessions, each replaced in time. Return why the last ended, how long they lasted."""
        session = Session(self)
        started_s = session.started_s
        try:
            while True:
                why = await self._watch(session)
                if why:
                    lasted_s = self.clock.monotonic() - started_s
                    return why, lasted_s if session.confirmed.done() else 0.0
                session = await self._replace(session)
        finally:
            await session.stop()

    async def _watch(self, session: "Session") -> str:
        """Return why `session` ended, or "" when it is time to replace it."""
        settings = self.settings
        life_s = settings.lifetime_s * self._chance.uniform(0.98, 1.0)
        messages = len(self.subscriptions)
        patience_s = settings.answer_timeout_s + settings.message_interval_s * (messages - 1)
        silence = _Silence(session)
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

    async def _replace(self, old: "Session") -> "Session":
        """Open a session beside `old`; return the one to go on with."""
        new = Session(self, held=True)
        try:
            if await self._ready(new, beside=old):
                await old.stop()
                await new.let_go()
                log.info("stream_renewed", url=self.url)
                return new
        except BaseException:
            await new.stop()
            raise
        await new.stop()
        log.warning("stream_not_renewed", url=self.url, retry_in_s=self.settings.backoff_last_s)
        await asyncio.wait({old.task}, timeout=self.settings.backoff_last_s)
        return old

    async def _ready(self, new: "Session", beside: "Session") -> bool:
        """Wait until `new` has received all that the old session could still miss."""
        first: set[asyncio.Future[Any]] = {new.confirmed, new.task, beside.task}
        await asyncio.wait(
            first,
            timeout=self.settings.answer_timeout_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        for _ in range(_CHECKS):  # in steps: a loop that stalled has not read meanwhile
            if new.confirmed.done() and not new.task.done() and not beside.task.done():
                await asyncio.wait(
                    {new.task, beside.task},
                    timeout=self.settings.overlap_s / _CHECKS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
        return new.confirmed.done() and not new.task.done()


class _Silence:
    """Looks at a session in steps, so that one stall of the loop is not taken for silence."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        settings = session.line.settings
        times = [settings.max_silence_s]
        if session.line.dialect.ping:
            times += [settings.ping_after_s, settings.answer_timeout_s]
        self.step_s = min(times) / _CHECKS
        self._settings = settings
        self._data, self._frames = session.data, session.frames
        self._looks_without_data = 0
        self._looks_without_frame = 0
        self._pinged = False

    async def look(self) -> str:
        """Return why the session counts as dead, or ""; ask it for a sign of life in time."""
        session, settings = self._session, self._settings
        self._looks_without_data = self._looks_without_data + 1 if session.data == self._data else 0
        if session.frames == self._frames:
            self._looks_without_frame += 1
        else:
            self._looks_without_frame, self._pinged = 0, False
        self._data, self._frames = session.data, session.frames
        if self._is_over(self._looks_without_data, settings.max_silence_s):
            return f"no frame for {settings.max_silence_s:g} s"
        if not session.line.dialect.ping:
            return ""
        if self._pinged:
            if self._is_over(self._looks_without_frame, settings.answer_timeout_s):
                return f"no answer to a ping within {settings.answer_timeout_s:g} s"
        elif self._is_over(self._looks_without_frame, settings.ping_after_s):
            self._looks_without_frame, self._pinged = 0, True
            await session.ping()
        return ""

    def _is_over(self, looks: int, seconds: float) -> bool:
        return looks >= round(seconds / self.step_s)


class Session:
    """One websocket from opening to end. With `held`, frames wait for `let_go`."""

    def __init__(self, line: Line, *, held: bool = False) -> None:
        self.line = line
        self._unconfirmed = {part for each in line.subscriptions for part in each.parts}
        self._unlisted = 0
        self._held: deque[bytes | str] | None = deque() if held else None
        self._socket: WebSocket | None = None
        self.started_s = line.clock.monotonic()
        self.frames = 0
        self.pongs = 0
        self.confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.going_away = False  # the venue said so
        self.task = asyncio.create_task(self._run())

    @property
    def data(self) -> int:
        """Frames that say more than that somebody is there."""
        return self.frames - self.pongs

    async def ping(self) -> None:
        """Ask for a sign of life."""
        await self._send(self.line.dialect.ping)

    async def let_go(self) -> None:
        """Read what was held back, then read on as it comes."""
        read = 0
        while self._held:
            self.line.read(self._held.popleft())
            read += 1
            if read % _TURN_FRAMES == 0:
                await asyncio.sleep(0)
        self._held = None

    async def stop(self) -> None:
        """Close the websocket. Raises what the sink raised, if that ended it."""
        self.task.cancel()
        await asyncio.wait({self.task})
        if not self.task.cancelled():
            self.task.result()

    async def _run(self) -> str:
        """Return why it ended."""
        try:
            await self.line.pace.turn()
            async with self.line.net.websocket(self.line.url) as socket:
                self._socket = socket
                return await self._converse(socket)
        except OSError as error:
            return reason_of(error)

    async def _converse(self, socket: WebSocket) -> str:
        sender = asyncio.create_task(self._subscribe())
        try:
            async for raw in socket:
                self.frames += 1
                refusal = self._take(raw)
                if refusal:
                    return refusal
                if self.frames % _TURN_FRAMES == 0:
                    await asyncio.sleep(0)
        finally:
            sender.cancel()
            await asyncio.wait({sender})
            if not sender.cancelled():
                sender.result()
        return "closed by the venue"

    async def _subscribe(self) -> None:
        for number, subscription in enumerate(self.line.subscriptions):
            if number > 0:
                await asyncio.sleep(self.line.settings.message_interval_s)
            await self._send(subscription.text)

    async def _send(self, text: str) -> None:
        if self._socket is None:
            return  # not open yet; whoever waits for an answer gives up in time
        try:
            await self._socket.send(text)
        except OSError as error:  # the reader sees the end of the connection too, and says why
            log.debug("message_not_sent", url=self.line.url, why=reason_of(error))

    def _take(self, raw: bytes | str) -> str:
        """Read or hold one frame. Return why the session cannot go on, or ""."""
        if self._held is None:
            notice = self.line.read(raw)
            return "" if notice is None else self._note(notice)
        notice = self.line.dialect.notice_in(raw)
        if notice is not None:
            return self._note(notice)
        self._held.append(raw)
        return "too much to hold back" if len(self._held) > _MAX_HELD else ""

    def _note(self, notice: Notice) -> str:
        match notice:
            case Answer(part=part, error=""):
                self._settle(part)
            case Answer(error=error):
                return f"the venue refused the subscription: {error}"
            case Unlisted(part=part, error=error):
                self._unlisted += part in self._unconfirmed
                log.error("stream_unlisted", url=self.line.url, stream=part, why=error)
                if self._unlisted == sum(len(each.parts) for each in self.line.subscriptions):
                    return f"the venue refused the subscription: {error}"
                self._settle(part)
            case ShutdownNotice():
                self.going_away = True
            case Pong():
                self.pongs += 1
            case _:
                assert_never(notice)
        return ""

    def _settle(self, part: int | str | None) -> None:
        """Note what became of a part; the session is up when all are settled."""
        if part is not None:
            self._unconfirmed.discard(part)
        if not self._unconfirmed and not self.confirmed.done():
            self.confirmed.set_result(None)
            if self._held is None:
                self.line.on_up()
