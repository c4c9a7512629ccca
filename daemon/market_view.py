"""What `holdfast market` shows of one symbol: prices as heard, and what the venue says when asked.

Asked on request, all at once and for a few seconds at most; what fails is named with its reason,
and the rest is shown all the same.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from actors.world import Price, World
from daemon.view_text import View, computed, pct, time_text
from domain.candles import Candle, Timeframe
from domain.ids import Symbol
from domain.money import plain
from exchanges.market_reads import BookLevel, BookRead, FundingRead, MarketReads, OpenInterestRead
from exchanges.port import Unknown

ASK_WITHIN_S = 5.0  # more than one question may take, less than whoever asks waits
NOT_ASKED = "no address for questions: set market.rest_url beside market.url"
MINUTE = Timeframe(60_000)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def market_view(world: World, symbol: Symbol, depth: int) -> View:
    """Return prices, book, funding, open interest and the last closed candle."""
    answers = await _asked(world, symbol, depth)
    return {
        "symbol": symbol,
        "traded": symbol not in world.watched_only,
        **_prices(world, symbol),
        "book": _book(answers.get("book")),
        "funding": _funding(answers.get("funding")),
        "open_interest": _interest(answers.get("open_interest")),
        "candle": _candle(answers.get("candle")),
        "failed": {
            name: answer.why for name, answer in answers.items() if isinstance(answer, Unknown)
        },
    }


async def _asked(world: World, symbol: Symbol, depth: int) -> Mapping[str, Any]:
    """Ask everything at once; what is not there in time is `Unknown`."""
    reads = world.reads
    names = ("book", "funding", "open_interest", "candle")
    if reads is None:
        return dict.fromkeys(names, Unknown(NOT_ASKED))
    now_ms = world.prices.venue_ms()
    questions: dict[str, Awaitable[Any]] = {
        "book": reads.book(symbol, depth),
        "funding": reads.funding(symbol),
        "open_interest": reads.open_interest(symbol),
        "candle": _last_candle(reads, symbol, now_ms),
    }
    tasks = {name: asyncio.ensure_future(question) for name, question in questions.items()}
    await asyncio.wait(tasks.values(), timeout=ASK_WITHIN_S)
    late = [task for task in tasks.values() if not task.done()]
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    return {
        name: Unknown("timed out") if task in late else task.result()
        for name, task in tasks.items()
    }


async def _last_candle(reads: MarketReads, symbol: Symbol, now_ms: int) -> Candle | Unknown:
    begin_ms = MINUTE.open_of(now_ms) - 2 * MINUTE.ms
    found = await reads.candles(symbol, MINUTE, begin_ms, now_ms)
    if isinstance(found, Unknown):
        return found
    closed = [candle for candle in found if candle.whole]
    return closed[-1] if closed else Unknown("no candle has closed yet")


def _prices(world: World, symbol: Symbol) -> View:
    price, now_s = world.prices.prices[symbol], world.clock.monotonic()

    def one(text: str, heard_s: float) -> View:
        return {
            "price": text or None,
            "age_s": round(now_s - heard_s, 3) if text and heard_s > 0 else None,
        }

    return {
        "source": price.source,
        "why": price.why if price.is_stale and price.last else None,
        "is_fresh": world.prices.is_fresh(symbol),
        "last": one(price.last, _last_heard(price)),
        "bid": one(price.bid, price.quoted),
        "ask": one(price.ask, price.quoted),
        "mark": one(price.mark, price.marked),
    }


def _last_heard(price: Price) -> float:
    """Return when the last price was heard of; one that was asked for is as old as its answer."""
    return price.asked if price.source == "fallback" else price.traded


def _book(book: BookRead | Unknown | None) -> View | None:
    if not isinstance(book, BookRead):
        return None
    return {"bids": _levels(book.bids), "asks": _levels(book.asks), "at": _at(book.event_ms)}


def _levels(levels: tuple[BookLevel, ...]) -> list[View]:
    return [{"price": plain(one.price), "quantity": plain(one.quantity)} for one in levels]


def _funding(funding: FundingRead | Unknown | None) -> View | None:
    if not isinstance(funding, FundingRead):
        return None
    return {"rate_pct": pct(funding.rate), "next_at": _at(funding.next_ms)}


def _interest(interest: OpenInterestRead | Unknown | None) -> View | None:
    if not isinstance(interest, OpenInterestRead):
        return None
    return {"quantity": computed(interest.quantity), "at": _at(interest.event_ms)}


def _candle(candle: Candle | Unknown | None) -> View | None:
    if not isinstance(candle, Candle):
        return None
    return {
        "timeframe": str(candle.timeframe),
        "opened_at": _at(candle.open_ms),
        "open": plain(candle.open),
        "high": plain(candle.high),
        "low": plain(candle.low),
        "close": plain(candle.close),
        "volume": computed(candle.volume),
    }


def _at(event_ms: int) -> str | None:
    return time_text(_EPOCH + timedelta(milliseconds=event_ms)) if event_ms else None
