"""OKX's public market data over websockets (v5): trades, quotes, marks, candles, books.

The venue's rules, and what follows from each:

| rule | here |
|---|---|
| 30 s without data: it hangs up, except on who sends a text ping | sent after 20 s |
| 3 connections a second from one address | one in 0.4 s, first retry after half a second |
| 480 subscriptions an hour and connection, 64 KB a message | 500 streams (40 KB) a message |
| notice 64008: the server goes away within a minute | a new connection beside the old one |
| candles on `/business`, everything else here on `/public` | one connection each |
| what is not listed, or not on this path, is refused by name | told; the rest goes on |

What was pushed before is pushed again on a new connection; the frames' own numbers tell.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import msgspec
import orjson

from domain.candles import Timeframe
from domain.instrument import Kind
from exchanges.dialect import Notice, Reader, Subscription
from exchanges.line import Route
from exchanges.lines import MarketHealth, run_lines
from exchanges.market import MarketSink
from exchanges.okx_frames import (
    CANDLES,
    NOTHING_ELSE,
    LastSeen,
    Listed,
    Wanted,
    notice_in,
    read_frame,
)
from exchanges.okx_names import BUSINESS, PUBLIC, stream_name
from exchanges.recording import Tap
from exchanges.session import LineSettings
from runtime.ports import Chance, Clock, Net

URL = "wss://ws.okx.com:8443"
DEMO_URL = "wss://wspap.okx.com:8443"  # of the demo account; its prices are its own
CHANNELS = ("trades", "tickers", "mark-price")
SETTINGS = LineSettings(backoff_first_s=1.0, connect_interval_s=0.4, message_interval_s=0.2)
# A quiet market has no candle for a while; the text ping tells a dead connection from that.
_CANDLE_SILENCE_S = 90.0
_NAMES_A_MESSAGE = 500


class OkxStream:
    """A market stream from OKX, or from whatever speaks like it at `base_url`."""

    def __init__(  # noqa: PLR0913 - wired in one place, by keyword
        self,
        net: Net,
        clock: Clock,
        chance: Chance,
        *,
        base_url: str,
        kind: Kind,
        listed: Mapping[str, Listed],
        channels: Sequence[str] = CHANNELS,
        timeframes: Sequence[Timeframe] = (),
        wanted: Wanted = NOTHING_ELSE,
        settings: LineSettings = SETTINGS,
        tap: Tap | None = None,
    ) -> None:
        """Connect to nothing yet.

        `listed` maps the venue's ids ("BTC-USDT-SWAP") to ours. `channels` are the venue's words;
        mark-price is left out for spot, which has none. Candles of `timeframes` and the channel
        books5 go to `wanted`, and are subscribed only if somebody is there. Raises `ValueError` for
        what cannot work.
        """
        address = urlsplit(base_url)
        if address.scheme not in ("ws", "wss") or not address.hostname:
            raise ValueError(f"{base_url!r} is no websocket address; write it like {URL!r}")
        known = (*CHANNELS, "books5")
        unknown = [channel for channel in channels if channel not in known]
        if unknown:
            raise ValueError(f"no channel is called {unknown[0]!r}; there are {', '.join(known)}")
        self._ports = (net, clock, chance)
        self._tap = tap
        self._listed = dict(listed)
        self._wanted = wanted
        self._settings = settings
        public = [
            channel
            for channel in channels
            if not (channel == "mark-price" and kind is Kind.SPOT)
            and not (channel == "books5" and wanted.books is None)
        ]
        business = [] if wanted.candles is None else [_channel_of(each) for each in timeframes]
        self._streams = {
            base_url.rstrip("/") + path: [(channel, name) for channel in some for name in listed]
            for path, some in ((PUBLIC, public), (BUSINESS, business))
            if some and listed
        }
        if not self._streams:
            raise ValueError("nothing to subscribe to: no symbols, or no channels")

    async def run(self, sink: MarketSink) -> None:
        """Feed `sink` until canceled. Raises only what the sink raises."""
        routes = [
            Route(url, OkxDialect(streams, self._listed, self._wanted), self._settings_for(url))
            for url, streams in self._streams.items()
        ]
        health = MarketHealth(sink, lines=len(routes))
        await run_lines(self._ports, routes, sink, health, self._tap)

    def _settings_for(self, url: str) -> LineSettings:
        silence_s = self._settings.max_silence_s
        if url.endswith(PUBLIC) or silence_s is None:
            return self._settings
        silence_s = max(silence_s, _CANDLE_SILENCE_S)
        return msgspec.structs.replace(self._settings, max_silence_s=silence_s)


class OkxDialect:
    """How one connection to OKX speaks: each stream is confirmed by its name."""

    ping = "ping"

    def __init__(
        self,
        streams: Sequence[tuple[str, str]],
        listed: Mapping[str, Listed],
        wanted: Wanted = NOTHING_ELSE,
    ) -> None:
        """`streams` are channels and the venue's ids."""
        self._streams = tuple(streams)
        self._listed = listed
        self._wanted = wanted

    def login(self) -> None:
        """Prices are for everybody."""

    def subscriptions(self) -> Sequence[Subscription]:
        """Return what to send, some streams at a time."""
        batches = [
            self._streams[at : at + _NAMES_A_MESSAGE]
            for at in range(0, len(self._streams), _NAMES_A_MESSAGE)
        ]
        return [_subscription(batch) for batch in batches]

    def reader(self, sink: MarketSink) -> Reader:
        """Return a reader that remembers nothing yet; the books of the connection before go."""
        if self._wanted.books is not None:
            self._wanted.books.forget()
        listed, seen, wanted = self._listed, LastSeen(), self._wanted
        return lambda raw: read_frame(raw, listed, sink, seen, wanted)

    def notice_in(self, raw: bytes | str) -> Notice | None:
        """Return the notice that a frame is, if it is one."""
        return notice_in(raw)


def _subscription(streams: Sequence[tuple[str, str]]) -> Subscription:
    args = [{"channel": channel, "instId": name} for channel, name in streams]
    return Subscription(
        orjson.dumps({"op": "subscribe", "args": args}).decode(),
        parts=tuple(stream_name(channel, name) for channel, name in streams),
        streams=len(streams),
    )


def _channel_of(timeframe: Timeframe) -> str:
    for channel, each in CANDLES.items():
        if each == timeframe:
            return channel
    known = ", ".join(str(each) for each in CANDLES.values())
    raise ValueError(f"the venue has no candles of {timeframe}; there are {known}")
