"""OKX's private streams over websockets (v5): what happens on an account, as it happens.

Two connections, each logged in, both always up or both told as down:

    /private    orders, account, positions, balance_and_position
    /business   orders-algo, algo-advance: what waits for a trigger

| the venue's rule | here |
|---|---|
| a login names the second and signs it; 30 s off is refused | the measured clock offset is added |
| 30 s without data: it hangs up, except on who sends a text ping | sent after 8 quiet seconds |
| 3 connections a second from one address | one in 0.4 s |
| a refused login is refused again | asked every half minute, the reason told |
| notice 64008: the server goes away within a minute | a new connection beside the old one |
| orders are pushed when they change, and never as a snapshot | `StreamUp` tells to ask by REST |

A quiet account says nothing for hours, so silence is measured by pings alone.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol
from urllib.parse import urlsplit

import msgspec
import orjson
import structlog

from exchanges.dialect import Notice, Reader, Subscription
from exchanges.line import Route
from exchanges.lines import run_lines
from exchanges.okx_account import OkxAccount
from exchanges.okx_names import BUSINESS, PRIVATE
from exchanges.okx_private_frames import LOGIN, AccountSink, notice_in, read_frame
from exchanges.okx_private_told import Told
from exchanges.port import StreamDown, StreamUp, VenueUpdate
from exchanges.recording import Tap
from exchanges.session import LineSettings
from exchanges.translate import Instruments
from runtime.ports import Chance, Clock, Net

_CATEGORY = "trade.execution"
log = structlog.get_logger(_CATEGORY)

LIVE_URL = "wss://ws.okx.com:8443"
DEMO_URL = "wss://wspap.okx.com:8443"
SETTINGS = LineSettings(
    max_silence_s=None,
    answer_timeout_s=4.0,
    ping_after_s=8.0,
    backoff_first_s=1.0,
    connect_interval_s=0.4,
)
_SUFFIX = "/ws/v5"
_CHANNELS: dict[str, tuple[dict[str, str], ...]] = {
    PRIVATE: (
        {"channel": "orders", "instType": "ANY"},
        {"channel": "account"},
        {"channel": "positions", "instType": "ANY"},
        {"channel": "balance_and_position"},
    ),
    BUSINESS: (
        {"channel": "orders-algo", "instType": "ANY"},
        {"channel": "algo-advance", "instType": "ANY"},
    ),
}
_LOG_FIRST = 3  # bad frames that are logged each; then every tenth, hundredth …
_MOST_NAMED = 100  # instruments passed over that are named in the log


class Credentials(Protocol):
    """What logs in; never printed."""

    @property
    def key(self) -> str:
        """Return the API key."""

    @property
    def secret(self) -> str:
        """Return what signs."""

    @property
    def passphrase(self) -> str:
        """Return what was chosen with the key."""


class StreamCounts(msgspec.Struct):
    """What came in since the start."""

    frames: int = 0
    updates: int = 0
    bad: int = 0  # frames or rows that cannot be used
    unlisted: int = 0  # rows of instruments that are not traded here


class OkxPrivateStream:
    """The private stream of one login. One `run` at a time."""

    def __init__(  # noqa: PLR0913 - wired in one place, by keyword
        self,
        net: Net,
        clock: Clock,
        chance: Chance,
        *,
        ws_url: str,
        credentials: Credentials,
        instruments: Callable[[], Instruments],
        on_update: Callable[[VenueUpdate], None],
        offset_s: Callable[[], float] = lambda: 0.0,
        settings: LineSettings = SETTINGS,
        tap: Tap | None = None,
    ) -> None:
        """Connect to nothing yet.

        `ws_url` is an address with or without "/ws/v5". `instruments` returns what is traded, keyed
        by the venue's ids; it may grow. `offset_s` returns how far the venue's clock is ahead of
        ours, in seconds. `on_update` is called on the loop, in the venue's order. Raises
        `ValueError` for an address that cannot work.
        """
        address = urlsplit(ws_url)
        if address.scheme not in ("ws", "wss") or not address.hostname:
            raise ValueError(f"{ws_url!r} is no websocket address; write it like {LIVE_URL!r}")
        base = ws_url.rstrip("/").removesuffix(_SUFFIX)
        self._ports = (net, clock, chance)
        self._settings = settings
        self._tap = tap
        self._on_update = on_update
        self._sink = _Sink(on_update)
        self._task: asyncio.Task[Any] | None = None
        told = Told()
        login = _Login(credentials, clock, offset_s)
        self._routes = [
            Route(
                base + path,
                OkxPrivateDialect(channels, login, instruments, told),
                settings,
                category=_CATEGORY,
            )
            for path, channels in _CHANNELS.items()
        ]

    @property
    def counts(self) -> StreamCounts:
        """What came in since the start; a live object."""
        return self._sink.counts

    async def run(self) -> NoReturn:
        """Push updates until canceled or closed. Raises only what `on_update` raises."""
        self._task = asyncio.current_task()
        health = _Health(self._on_update, lines=len(self._routes))
        await run_lines(self._ports, self._routes, self._sink, health, self._tap)
        raise AssertionError("lines run for ever")

    async def close(self) -> None:
        """End `run`, wherever it runs; harmless when it does not."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task})


def stream_of(
    ports: tuple[Net, Clock, Chance], ws_url: str, settings: LineSettings = SETTINGS
) -> Callable[[OkxAccount, Callable[[VenueUpdate], None]], OkxPrivateStream]:
    """Return what makes the stream of an account: its login, its instruments, its clock offset.

    To be given to `OkxAccount`. Rows are read by the venue's own rules, also of what it suspends:
    how much a contract is, is never taken from elsewhere. Making one raises `ValueError` for an
    address that cannot work.
    """
    net, clock, chance = ports

    def make(account: OkxAccount, on_update: Callable[[VenueUpdate], None]) -> OkxPrivateStream:
        return OkxPrivateStream(
            net,
            clock,
            chance,
            ws_url=ws_url,
            credentials=account.settings,
            instruments=lambda: account.rules.listed,
            offset_s=lambda: account.clock_offset_s,
            on_update=on_update,
            settings=settings,
        )

    return make


class OkxPrivateDialect:
    """How one private connection speaks: logged in first, each channel confirmed by its name."""

    ping = "ping"

    def __init__(
        self,
        channels: Sequence[dict[str, str]],
        login: "_Login",
        instruments: Callable[[], Instruments],
        told: Told,
    ) -> None:
        self._channels = tuple(channels)
        self._login = login
        self._instruments = instruments
        self._told = told

    def login(self) -> Subscription:
        """Return a login signed for now."""
        return Subscription(self._login.text(), parts=(LOGIN,), streams=0)

    def subscriptions(self) -> Sequence[Subscription]:
        """Return one message: all channels."""
        text = orjson.dumps({"op": "subscribe", "args": self._channels}).decode()
        parts = tuple(each["channel"] for each in self._channels)
        return [Subscription(text, parts=parts, streams=len(parts))]

    def reader(self, sink: AccountSink) -> Reader:
        """Return a reader for a new connection: what is held is told anew, what is zero is not."""
        told, instruments = self._told, self._instruments
        if any(each["channel"] == "positions" for each in self._channels):
            told.begin()
        return lambda raw: read_frame(raw, instruments(), sink, told)

    def notice_in(self, raw: bytes | str) -> Notice | None:
        """Return the notice that a frame is, if it is one."""
        return notice_in(raw)


class _Login:
    """Signs logins: HMAC-SHA256 of the second and a fixed request, in base64."""

    def __init__(
        self, credentials: Credentials, clock: Clock, offset_s: Callable[[], float]
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._offset_s = offset_s

    def text(self) -> str:
        ours = self._credentials
        stamp = str(int(self._clock.now().timestamp() + self._offset_s()))
        signed = f"{stamp}GET/users/self/verify".encode()
        digest = hmac.new(ours.secret.encode(), signed, hashlib.sha256).digest()
        login = {
            "apiKey": ours.key,
            "passphrase": ours.passphrase,
            "timestamp": stamp,
            "sign": base64.b64encode(digest).decode(),
        }
        return orjson.dumps({"op": "login", "args": [login]}).decode()


class _Sink:
    """Counts, and hands updates on."""

    def __init__(self, on_update: Callable[[VenueUpdate], None]) -> None:
        self.counts = StreamCounts()
        self._hand_on = on_update
        self._unlisted: set[str] = set()

    def on_frame(self) -> None:
        self.counts.frames += 1

    def on_update(self, update: VenueUpdate) -> None:
        self.counts.updates += 1
        self._hand_on(update)

    def on_bad_frame(self, why: str) -> None:
        """Log the first ones, then ever more rarely: a venue that talks nonsense fills no disk."""
        self.counts.bad += 1
        bad = self.counts.bad
        if bad <= _LOG_FIRST or str(bad).rstrip("0") == "1":
            log.warning("bad_private_frame", why=why, count=bad)

    def on_unlisted(self, name: str) -> None:
        self.counts.unlisted += 1
        if name not in self._unlisted and len(self._unlisted) < _MOST_NAMED:
            self._unlisted.add(name)
            log.info("private_row_passed_over", instrument=name)


class _Health:
    """Tells when both connections are up, when one is lost, and when the reason changes."""

    def __init__(self, tell: Callable[[VenueUpdate], None], lines: int) -> None:
        self._tell = tell
        self._lines = lines
        self._up: set[str] = set()
        self._down: dict[str, str] = {}

    def on_up(self, url: str) -> None:
        self._up.add(url)
        self._down.pop(url, None)
        if len(self._up) == self._lines:
            self._tell(StreamUp())

    def on_down(self, url: str, why: str) -> None:
        self._up.discard(url)
        if self._down.get(url) != why:
            self._down[url] = why
            self._tell(StreamDown(f"{urlsplit(url).path.rpartition('/')[2]}: {why}"))
