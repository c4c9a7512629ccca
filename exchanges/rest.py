"""Asking a venue's public REST: how often, how long, and what counts as an answer.

An answer counts only when it is whole, came in time, has status 200, is JSON, and has the fields
and the symbol that were asked for. Everything else becomes `Unknown` with the reason: a page of
HTML, an empty list, a price of zero. Nothing here is retried; whoever asks decides that.

A venue bans an address that asks too much, and then every daemon behind it is blind. So there are
few requests at a time and few a second, and after 429 or 418 none at all until the venue's
Retry-After is over.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
import orjson

from domain.candles import Candle, Timeframe
from domain.ids import Symbol
from domain.money import InvalidNumberError, decimal_from, positive_from
from exchanges.market_reads import BookLevel
from exchanges.port import Unknown
from exchanges.real_net import reason_of
from runtime.ports import Clock, Http

T = TypeVar("T")
_OK = 200
_ASKED_TOO_MUCH = (418, 429)
_MAX_RETRY_AFTER_S = 3600.0
_EXCERPT = 80
_MAX_STAMP_MS = 10**14


class RestSettings(msgspec.Struct, frozen=True):
    """Limits far below those of any venue."""

    deadline_s: float = 3.0  # of one request, waiting for its turn included
    max_bytes: int = 4 * 2**20
    at_once: int = 4
    per_second: float = 8.0
    backoff_s: float = 10.0  # after 429 or 418 without a usable Retry-After


class LieError(Exception):
    """Says why an answer cannot be believed; never leaves the files of this layer."""


class Rest:
    """Asks one venue."""

    def __init__(
        self, http: Http, clock: Clock, base_url: str, settings: RestSettings | None = None
    ) -> None:
        self._http = http
        self._clock = clock
        self._base_url = base_url.rstrip("/")
        self._settings = settings or RestSettings()
        self._places = asyncio.Semaphore(self._settings.at_once)
        self._next_s = 0.0  # when the next request may leave, monotonic
        self._blocked_until_s = 0.0

    @property
    def now_ms(self) -> int:
        """Our idea of the venue's time."""
        return int(self._clock.now().timestamp() * 1000)

    async def ask(self, read: Callable[[Any], T], path: str, **parameters: object) -> T | Unknown:
        """Fetch JSON and hand it to `read`, which raises `LieError` for what is no answer."""
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                async with self._places:
                    await self._turn()
                    body = await self._fetched(f"{path}?{urlencode(parameters)}")
            return read(orjson.loads(body))
        except LieError as lie:
            return Unknown(f"{path}: {lie}")
        except orjson.JSONDecodeError:
            return Unknown(f"{path}: the answer is not JSON: {excerpt(body)}")
        except InvalidNumberError as error:
            return Unknown(f"{path}: {error}")
        except OSError as error:
            return Unknown(f"{path}: {reason_of(error)}")

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    async def _turn(self) -> None:
        """Wait until a request may leave. Raises `LieError` while the venue wants none."""
        now_s = self._clock.monotonic()
        if now_s < self._blocked_until_s:
            left_s = self._blocked_until_s - now_s
            raise LieError(f"asked too much; the venue wants no more requests for {left_s:.0f} s")
        at_s = max(now_s, self._next_s)
        self._next_s = at_s + 1 / self._settings.per_second
        await asyncio.sleep(at_s - now_s)

    async def _fetched(self, target: str) -> bytes:
        settings = self._settings
        reply = await self._http.get(
            self._base_url + target, deadline_s=settings.deadline_s, max_bytes=settings.max_bytes
        )
        if reply.status in _ASKED_TOO_MUCH:
            wait_s = _seconds(reply.headers.get("retry-after", ""), settings.backoff_s)
            self._blocked_until_s = self._clock.monotonic() + wait_s
            raise LieError(f"HTTP {reply.status}: asked too much; no requests for {wait_s:.0f} s")
        if reply.status != _OK:
            raise LieError(f"HTTP {reply.status}: {excerpt(reply.body)}")
        return reply.body


def _seconds(text: str, otherwise: float) -> float:
    return min(float(text), _MAX_RETRY_AFTER_S) if text.isascii() and text.isdigit() else otherwise


# What the readers of both venues check; a stranger's text is believed in nothing.


def excerpt(value: object) -> str:
    """Print a stranger's value, short enough for a log line."""
    if isinstance(value, bytes):
        value = value[: 2 * _EXCERPT].decode(errors="replace")
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "a JSON object"
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"


def fields_of(value: Any) -> dict[str, Any]:
    """Return a JSON object. Raises `LieError`."""
    if type(value) is not dict:
        raise LieError(f"{excerpt(value)}, where an object is expected")
    return value


def rows_of(value: Any, *, length: int = 0) -> list[Any]:
    """Return a JSON list, each item with at least `length` items. Raises `LieError`."""
    if type(value) is not list:
        raise LieError(f"{excerpt(value)}, where a list is expected")
    for row in value if length else ():
        if type(row) is not list or len(row) < length:
            raise LieError(f"a row that is no list of {length}")
    return value


def price_text(value: Any) -> str:
    """Return a price or quantity above zero as the venue wrote it. Raises `LieError`.

    Plain digits only: a decimal would also take "1e9", " 1 " and digits of other scripts.
    """
    if type(value) is str and value.isascii() and value.replace(".", "", 1).isdigit():
        positive_from(value)
        return value
    raise LieError(f"{excerpt(value)}, where a decimal above zero is expected")


def price(value: Any) -> Decimal:
    """Return a price above zero. Raises `LieError`."""
    return Decimal(price_text(value))


def number(value: Any) -> Decimal:
    """Return a decimal of any sign. Raises `LieError`."""
    if type(value) is str:
        return decimal_from(value)
    raise LieError(f"{excerpt(value)}, where a decimal as text is expected")


def stamp_ms(value: Any) -> int:
    """Return a time in ms since 1970, from a number or its text. Raises `LieError`."""
    if type(value) is str and value.isascii() and value.isdigit():
        value = int(value[:16])
    if type(value) is int and 0 < value < _MAX_STAMP_MS:
        return value
    raise LieError(f"{excerpt(value)}, where a time in ms is expected")


def levels(value: Any, contract_size: Decimal) -> tuple[BookLevel, ...]:
    """Return one side of a book, as the venue orders it. Raises `LieError`."""
    rows = rows_of(value, length=2)
    return tuple(BookLevel(price(row[0]), price(row[1]) * contract_size) for row in rows)


def require_book(bids: tuple[BookLevel, ...], asks: tuple[BookLevel, ...]) -> None:
    """Raise `LieError` for a book that is empty, unordered or crossed."""
    if not bids or not asks:
        raise LieError("a book with an empty side")
    falling = [level.price for level in reversed(bids)]
    rising = [level.price for level in asks]
    ladder = falling + rising
    if any(one >= other for one, other in pairwise(ladder)):
        raise LieError("a book whose prices are out of order")


def candle(
    symbol: Symbol,
    timeframe: Timeframe,
    open_ms: int,
    prices: list[Any],
    *,
    volume: Decimal,
    trades: int,
    whole: bool,
) -> Candle:
    """Return a candle from open, high, low, close. Raises `LieError` for one that cannot be."""
    first, high, low, last = (price(text) for text in prices)
    if not low <= min(first, last) <= max(first, last) <= high:
        raise LieError(f"a candle whose prices do not fit: {first} {high} {low} {last}")
    if open_ms % timeframe.ms:
        raise LieError(f"a candle that opens at {open_ms}, which is no multiple of {timeframe}")
    return Candle(
        symbol=symbol,
        timeframe=timeframe,
        open_ms=open_ms,
        open=first,
        high=high,
        low=low,
        close=last,
        volume=volume,
        trades=trades,
        whole=whole,
    )
