"""One websocket to a venue, from opening to end: logged in, subscribed, read; and its silences.

A session confirms when the venue has answered for every part of what was asked. Who keeps sessions
going, one after the other, is `exchanges.line`.
"""

import asyncio
import math
from collections import deque
from typing import Any, Protocol, assert_never

import msgspec

from exchanges.dialect import (
    Answer,
    Dialect,
    LoginRefused,
    Notice,
    Pong,
    ShutdownNotice,
    Subscription,
    Unlisted,
)
from exchanges.real_net import reason_of
from runtime.ports import Clock, Net, WebSocket

_TURN_FRAMES = 256  # read in a row at most, then the loop gets its turn
_MAX_HELD = 200_000  # frames held back while two sessions overlap
CHECKS = 4  # looks at a session while time runs out: one stall of the loop is not silence


class LineSettings(msgspec.Struct, frozen=True):
    """Times in seconds. The defaults keep Binance's limits and our own: back within 5 s."""

    max_silence_s: float | None = 10.0  # without data for so long, a session is dead; None: never
    answer_timeout_s: float = 5.0  # the venue answers a subscription, or a ping, within
    message_interval_s: float = 0.5  # between subscriptions; above 5 a second the venue cuts off
    backoff_first_s: float = 0.2
    backoff_last_s: float = 5.0
    lifetime_s: float = 23 * 3600 + 40 * 60  # the venue ends a connection at 24 h
    overlap_s: float = 2.0  # longer than a frame may be under way
    ping_after_s: float = 20.0  # without a frame for so long, a dialect's text ping is sent
    connect_interval_s: float = 0.0  # between two connections, of all lines of a stream
    refused_retry_s: float = 30.0  # after a login that will be refused again


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


class Host(Protocol):
    """What a session must know of the line it belongs to."""

    url: str
    net: Net
    clock: Clock
    dialect: Dialect[Any]
    subscriptions: tuple[Subscription, ...]
    settings: LineSettings
    pace: Pace
    log: Any  # structlog's loggers have no type of their own

    def read(self, raw: bytes | str) -> Notice | None:
        """Hand a frame on, once."""

    def on_up(self) -> None:
        """Take note that all streams are subscribed."""


class Silence:
    """Looks at a session in steps, so that one stall of the loop is not taken for silence."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        settings = session.line.settings
        times = [] if settings.max_silence_s is None else [settings.max_silence_s]
        if session.line.dialect.ping or not times:
            times += [settings.ping_after_s, settings.answer_timeout_s]
        self.step_s = min(times) / CHECKS
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
        max_silence_s = settings.max_silence_s
        if max_silence_s is not None and self._is_over(self._looks_without_data, max_silence_s):
            return f"no frame for {max_silence_s:g} s"
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

    def __init__(self, line: Host, *, held: bool = False) -> None:
        self.line = line
        self._login = line.dialect.login()
        self._logged_in = asyncio.Event()
        self._unconfirmed = {part for each in line.subscriptions for part in each.parts}
        self._unlisted = 0
        self._held: deque[bytes | str] | None = deque() if held else None
        self._socket: WebSocket | None = None
        self.started_s = line.clock.monotonic()
        self.frames = 0
        self.pongs = 0
        self.confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.going_away = False  # the venue said so
        self.shut_out = False  # our login is refused, and will be again
        self.task = asyncio.create_task(self._run())

    @property
    def logs_in(self) -> bool:
        """Whether the venue must let it in before it subscribes."""
        return self._login is not None

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
        if self._login is not None:
            await self._send(self._login.text)
            await self._logged_in.wait()
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
            self.line.log.debug("message_not_sent", url=self.line.url, why=reason_of(error))

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
            case Answer(part=part, error="") if self._login and part in self._login.parts:
                self._logged_in.set()
            case Answer(part=part, error=""):
                self._settle(part)
            case Answer(error=error):
                return f"the venue refused the subscription: {error}"
            case LoginRefused(error=error, is_final=is_final):
                self.shut_out = is_final
                return f"the venue refused the login: {error}"
            case Unlisted(part=part, error=error):
                self._unlisted += part in self._unconfirmed
                self.line.log.error("stream_unlisted", url=self.line.url, stream=part, why=error)
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
