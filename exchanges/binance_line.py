"""One connection to Binance, kept alive for ever.

A session is one websocket: connected, subscribed, read until it ends. A line is what lasts: it
opens a session, watches that frames keep coming, opens the next one when it is lost, and replaces
it before the venue ends it at 24 hours. A replacement overlaps:

    old session   ──frames─────────────────────┐ closed
    new session        subscribed ──held back──┴─frames──────

What the new one receives is held back until everything the old one could still deliver has arrived.
Then the held frames are read, and ids tell which of them were taken already. So nothing is missed,
repeated or reordered.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Protocol

import msgspec
import orjson
import structlog

from domain.ids import Symbol
from exchanges.binance_frames import (
    Answer,
    LastSeen,
    Notice,
    ShutdownNotice,
    notice_in,
    read_frame,
)
from exchanges.market import MarketSink
from exchanges.real_net import reason_of
from exchanges.recording import Tap, wall_ns
from runtime.ports import Chance, Clock, Net, WebSocket

log = structlog.get_logger(category="market.data")

_TURN_FRAMES = 256  # read in a row at most, then the loop gets its turn
_NAMES_A_MESSAGE = 200
_MAX_HELD = 200_000  # frames held back while two sessions overlap
_CHECKS = 4  # looks at a session while time runs out: one stall of the loop is not silence


class LineSettings(msgspec.Struct, frozen=True):
    """Times in seconds. The defaults keep Binance's limits and our own: back within 5 s."""

    max_silence_s: float = 10.0  # without a frame for so long, a session is dead
    answer_timeout_s: float = 5.0  # the venue confirms a subscription within
    message_interval_s: float = 0.5  # between subscriptions; above 5 a second the venue cuts off
    backoff_first_s: float = 0.2
    backoff_last_s: float = 5.0
    lifetime_s: float = 23 * 3600 + 40 * 60  # the venue ends a connection at 24 h
    overlap_s: float = 2.0  # longer than a frame may be under way


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


class Line:
    """Keeps one url subscribed to `names`: `run` never returns."""

    def __init__(
        self,
        ports: tuple[Net, Clock, Chance],
        *,
        url: str,
        names: Sequence[str],
        symbols: Mapping[str, Symbol],
        sink: MarketSink,
        health: Health,
        settings: LineSettings,
        tap: Tap | None = None,
    ) -> None:
        self.net, self.clock, self._chance = ports
        self.url = url
        self.names = tuple(names)
        self.settings = settings
        self._symbols = symbols
        self._sink = sink
        self._health = health
        self._tap = tap
        self._seen = LastSeen()

    def read(self, raw: bytes | str) -> Notice | None:
        """Hand a frame to the sink, once. Raises what the sink raises, an `OSError` wrapped."""
        dropped = self._seen.dropped
        try:
            notice = read_frame(raw, self._symbols, self._sink, self._seen)
            if self._tap is not None and notice is None and self._seen.dropped == dropped:
                self._tap(wall_ns(self.clock), raw.encode() if isinstance(raw, str) else raw)
        except OSError as error:  # must not pass for a failure of the network
            raise RuntimeError(f"the sink failed: {error}") from error
        return notice

    def on_up(self) -> None:
        """Tell that all streams are subscribed."""
        log.info("stream_connected", url=self.url, streams=len(self.names))
        self._health.on_up(self.url)

    async def run(self) -> NoReturn:
        """Hold the connection until canceled. Raises only what the sink raises."""
        failures = 0
        while True:
            self._seen = LastSeen()
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
        batches = len(session.batches)
        patience_s = settings.answer_timeout_s + settings.message_interval_s * (batches - 1)
        seen, silent_checks = session.frames, 0
        while True:
            left_s = session.started_s + life_s - self.clock.monotonic()
            step_s = min(settings.max_silence_s / _CHECKS, max(0.0, left_s))
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
            silent_checks = silent_checks + 1 if session.frames == seen else 0
            seen = session.frames
            if silent_checks >= _CHECKS:
                return f"no frame for {settings.max_silence_s:g} s"

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


class Session:
    """One websocket from opening to end. With `held`, frames wait for `let_go`."""

    def __init__(self, line: Line, *, held: bool = False) -> None:
        self._line = line
        names = line.names
        self.batches = {
            number: names[at : at + _NAMES_A_MESSAGE]
            for number, at in enumerate(range(0, len(names), _NAMES_A_MESSAGE), start=1)
        }
        self._unconfirmed = set(self.batches)
        self._held: deque[bytes | str] | None = deque() if held else None
        self.started_s = line.clock.monotonic()
        self.frames = 0
        self.confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.going_away = False  # the venue said so
        self.task = asyncio.create_task(self._run())

    async def let_go(self) -> None:
        """Read what was held back, then read on as it comes."""
        read = 0
        while self._held:
            self._line.read(self._held.popleft())
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
            async with self._line.net.websocket(self._line.url) as socket:
                return await self._converse(socket)
        except OSError as error:
            return reason_of(error)

    async def _converse(self, socket: WebSocket) -> str:
        sender = asyncio.create_task(self._subscribe(socket))
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

    async def _subscribe(self, socket: WebSocket) -> None:
        try:
            for number, names in self.batches.items():
                if number > 1:
                    await asyncio.sleep(self._line.settings.message_interval_s)
                request = {"method": "SUBSCRIBE", "params": names, "id": number}
                await socket.send(orjson.dumps(request).decode())
        except OSError as error:  # the reader sees the end of the connection too, and says why
            log.debug("subscription_not_sent", url=self._line.url, why=reason_of(error))

    def _take(self, raw: bytes | str) -> str:
        """Read or hold one frame. Return why the session cannot go on, or ""."""
        if self._held is None:
            notice = self._line.read(raw)
            return "" if notice is None else self._note(notice)
        notice = notice_in(raw)
        if notice is not None:
            return self._note(notice)
        self._held.append(raw)
        return "too much to hold back" if len(self._held) > _MAX_HELD else ""

    def _note(self, notice: Notice) -> str:
        match notice:
            case Answer(error="", request_id=number):
                self._unconfirmed.discard(number or 0)
                if not self._unconfirmed and not self.confirmed.done():
                    self.confirmed.set_result(None)
                    if self._held is None:
                        self._line.on_up()
            case Answer(error=error):
                return f"the venue refused the subscription: {error}"
            case ShutdownNotice():
                self.going_away = True
        return ""
