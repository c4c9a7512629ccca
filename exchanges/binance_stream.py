"""Binance's public market data over websockets: trades, quotes and marks, spot and USD-M.

The venue's rules, and what follows from each:

| rule | here |
|---|---|
| 1,024 streams a connection | more are refused, in the constructor |
| 5 messages a second from us, else closed with 1008 | 200 streams a message, one message in 0.5 s |
| a connection ends at 24 h | replaced before, overlapping: nothing is missed |
| ping every 20 s (spot) | the library answers; 10 s without a frame counts as dead anyway |
| USD-M since 2026-04-23: trades and quotes on `/public`, marks on `/market` | one connection each |

The last one is treacherous: a stream asked for on the wrong path is confirmed and never sent.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import orjson

from domain.ids import Symbol
from domain.instrument import Kind
from exchanges.binance_frames import LastSeen, notice_in, read_frame
from exchanges.dialect import Notice, Reader, Subscription
from exchanges.line import Route
from exchanges.lines import MarketHealth, run_lines
from exchanges.market import MarketSink
from exchanges.recording import Tap
from exchanges.session import LineSettings
from runtime.ports import Chance, Clock, Net

SPOT_URL = "wss://stream.binance.com:9443"
USDM_URL = "wss://fstream.binance.com"
MAX_STREAMS = 1024  # a connection
_NAMES_A_MESSAGE = 200
STREAMS = ("trade", "bookTicker", "markPrice")

_ENDINGS = {
    "trade": "@trade",
    "aggTrade": "@aggTrade",
    "bookTicker": "@bookTicker",
    "markPrice": "@markPrice@1s",
}
# developers.binance.com, "Important WebSocket Change Notice" of 2026-03-06; trades by observation.
USDM_ROUTES: Mapping[str, str] = {
    "trade": "/public",
    "bookTicker": "/public",
    "aggTrade": "/market",
    "markPrice": "/market",
}
_ROUTED_HOSTS = ("fstream.binance.com", "fstream.binancefuture.com")


class BinanceStream:
    """A market stream from Binance, or from whatever speaks like it at `base_url`."""

    def __init__(  # noqa: PLR0913 - wired in one place, by keyword
        self,
        net: Net,
        clock: Clock,
        chance: Chance,
        *,
        base_url: str,
        kind: Kind,
        symbols: Mapping[str, Symbol],
        streams: Sequence[str] = STREAMS,
        routes: Mapping[str, str] | None = None,
        settings: LineSettings | None = None,
        tap: Tap | None = None,
    ) -> None:
        """Connect to nothing yet.

        `symbols` maps the venue's names ("BTCUSDT") to ours. `streams` are the venue's words;
        markPrice is left out for spot, which has none. `routes` gives the path before `/stream` for
        each of them; None: what the host in `base_url` is known to need. `tap` sees every frame
        that is taken, raw, and when. Raises `ValueError` for what cannot work.
        """
        address = urlsplit(base_url)
        if address.scheme not in ("ws", "wss") or not address.hostname:
            raise ValueError(f"{base_url!r} is no websocket address; write it like {SPOT_URL!r}")
        if routes is None:
            routes = USDM_ROUTES if address.hostname in _ROUTED_HOSTS else {}
        self._ports = (net, clock, chance)
        self._symbols = dict(symbols)
        self._settings = settings or LineSettings()
        self._tap = tap
        self._names = _names_by_url(base_url.rstrip("/"), kind, self._symbols, streams, routes)

    async def run(self, sink: MarketSink) -> None:
        """Feed `sink` until canceled. Raises only what the sink raises."""
        routes = [
            Route(url, BinanceDialect(names, self._symbols), self._settings)
            for url, names in self._names.items()
        ]
        health = MarketHealth(sink, lines=len(routes))
        await run_lines(self._ports, routes, sink, health, self._tap)


class BinanceDialect:
    """How one connection to Binance speaks: requests are numbered, and answered by number."""

    ping = ""  # the venue pings, the library answers

    def __init__(self, names: Sequence[str], symbols: Mapping[str, Symbol]) -> None:
        """`names` of streams; `symbols` maps the venue's to ours."""
        self._names = tuple(names)
        self._symbols = symbols

    def login(self) -> None:
        """Prices are for everybody."""

    def subscriptions(self) -> Sequence[Subscription]:
        """Return what to send, some names at a time."""
        batches = [
            self._names[at : at + _NAMES_A_MESSAGE]
            for at in range(0, len(self._names), _NAMES_A_MESSAGE)
        ]
        return [
            Subscription(
                orjson.dumps({"method": "SUBSCRIBE", "params": batch, "id": number}).decode(),
                parts=(number,),
                streams=len(batch),
            )
            for number, batch in enumerate(batches, start=1)
        ]

    def reader(self, sink: MarketSink) -> Reader:
        """Return a reader that remembers nothing yet."""
        symbols, seen = self._symbols, LastSeen()
        return lambda raw: read_frame(raw, symbols, sink, seen)

    def notice_in(self, raw: bytes | str) -> Notice | None:
        """Return the notice that a frame is, if it is one."""
        return notice_in(raw)


def _names_by_url(
    base_url: str,
    kind: Kind,
    symbols: Mapping[str, Symbol],
    streams: Sequence[str],
    routes: Mapping[str, str],
) -> dict[str, list[str]]:
    """Return what to subscribe to, and where. Raises `ValueError`."""
    unknown = [stream for stream in streams if stream not in _ENDINGS]
    if unknown:
        raise ValueError(f"no stream is called {unknown[0]!r}; there are {', '.join(_ENDINGS)}")
    names: dict[str, list[str]] = {}
    for stream in streams:
        if stream == "markPrice" and kind is Kind.SPOT:
            continue
        here = names.setdefault(f"{base_url}{routes.get(stream, '')}/stream", [])
        here.extend(symbol.lower() + _ENDINGS[stream] for symbol in symbols)
    if not any(names.values()):
        raise ValueError("nothing to subscribe to: no symbols, or no streams")
    for url, here in names.items():
        if len(here) > MAX_STREAMS:
            raise ValueError(
                f"{len(here):,} streams at {url}, but Binance allows {MAX_STREAMS:,} a connection:"
                f" watch fewer of the {len(symbols):,} symbols, or fewer streams of each"
            )
    return names
