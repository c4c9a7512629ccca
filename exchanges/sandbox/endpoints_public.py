"""Public endpoints: time, instruments, prices, candles, books, funding, open interest."""

from decimal import Decimal

from exchanges.sandbox.catalog import QUOTE
from exchanges.sandbox.margin import FUNDING_EVERY_MS
from exchanges.sandbox.market import MINUTE_MS, Bar, Quote, Trade
from exchanges.sandbox.numbers import ZERO, text
from exchanges.sandbox.params import Params
from exchanges.sandbox.refusals import VenueRefusal
from exchanges.sandbox.rows import Row
from exchanges.sandbox.venue import Venue

_LISTED_MS = "1548133413000"
_HOUR, _DAY = 60, 1440
_UNITS = {"s": 0, "m": 1, "H": _HOUR, "D": _DAY, "W": 7 * _DAY}
_MOST_CANDLES = 300
_OPEN_INTEREST = Decimal(1_000_000)


def time(venue: Venue, params: Params) -> list[Row]:
    """Return the venue's time."""
    del params
    return [{"ts": str(venue.clock_ms)}]


def status(venue: Venue, params: Params) -> list[Row]:
    """Return maintenance windows: none."""
    del venue, params
    return []


def instruments(venue: Venue, params: Params) -> list[Row]:
    """Return what is listed."""
    kind = params.choice("instType", ("SPOT", "SWAP", "MARGIN", "FUTURES", "OPTION"))
    name = params.text("instId")
    found = [instrument_row(one) for one in venue.market.of_type(kind, name)]
    if name and not found:
        raise VenueRefusal("51001")
    return found


def instrument_row(quote: Quote) -> Row:
    """Print an instrument."""
    listing = quote.listing
    is_swap = listing.is_swap
    return {
        "alias": "",
        "auctionEndTime": "",
        "baseCcy": "" if is_swap else listing.base,
        "category": "1",
        "ctMult": "1" if is_swap else "",
        "ctType": "linear" if is_swap else "",
        "ctVal": text(listing.contract_value) if is_swap else "",
        "ctValCcy": listing.base if is_swap else "",
        "contTdSwTime": "",
        "expTime": "",
        "futureSettlement": False,
        "groupId": "1",
        "instFamily": listing.index if is_swap else "",
        "instId": listing.inst_id,
        "instIdCode": listing.code,
        "instType": listing.inst_type,
        "lever": text(listing.max_leverage) if is_swap else "10",
        "listTime": _LISTED_MS,
        "lotSz": text(listing.lot),
        "maxIcebergSz": text(listing.max_limit),
        "maxLmtAmt": "20000000",
        "maxLmtSz": text(listing.max_limit),
        "maxMktAmt": "" if is_swap else text(listing.max_market),
        "maxMktSz": text(listing.max_market),
        "maxStopSz": text(listing.max_market),
        "maxTriggerSz": text(listing.max_limit),
        "maxTwapSz": text(listing.max_limit),
        "minSz": text(listing.least),
        "openType": "",
        "optType": "",
        "preMktSwTime": "",
        "quoteCcy": "" if is_swap else QUOTE,
        "ruleType": "normal",
        "settleCcy": QUOTE if is_swap else "",
        "state": "suspend" if quote.is_suspended else "live",
        "stk": "",
        "tickSz": text(listing.tick),
        "tradeQuoteCcyList": [QUOTE] if not is_swap else [],
        "uly": listing.index if is_swap else "",
    }


def ticker(venue: Venue, params: Params) -> list[Row]:
    """Return the prices of one instrument."""
    return [ticker_row(venue.market.quote(params.need("instId")), venue.market.now_ms)]


def tickers(venue: Venue, params: Params) -> list[Row]:
    """Return the prices of a type."""
    kind = params.choice("instType", ("SPOT", "SWAP", "FUTURES", "OPTION"))
    return [ticker_row(one, venue.market.now_ms) for one in venue.market.of_type(kind)]


def ticker_row(quote: Quote, now_ms: int) -> Row:
    """Print the prices of one instrument, as REST and `tickers` do."""
    first, high, low, volume = quote.day(now_ms)
    listing, size = quote.listing, text(quote.lot_size())
    in_base = volume * listing.contract_value
    return {
        "askPx": text(quote.ask),
        "askSz": size,
        "bidPx": text(quote.bid),
        "bidSz": size,
        "high24h": text(high),
        "instId": listing.inst_id,
        "instType": listing.inst_type,
        "last": text(quote.last),
        "lastSz": text(quote.trades[-1].size) if quote.trades else size,
        "low24h": text(low),
        "open24h": text(first),
        "sodUtc0": text(first),
        "sodUtc8": text(first),
        "ts": str(quote.at_ms),
        "vol24h": text(volume),
        "volCcy24h": text(in_base if listing.is_swap else in_base * quote.last),
    }


def mark_price(venue: Venue, params: Params) -> list[Row]:
    """Return marks of a type, or of one instrument."""
    types = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "ANY")
    kind = params.choice("instType", types, "ANY" if params.text("instId") else "")
    found = venue.market.of_type(kind if kind != "MARGIN" else "SPOT", params.text("instId"))
    if params.text("instId") and not found:
        raise VenueRefusal("51001")
    return [mark_row(one) for one in found]


def mark_row(quote: Quote) -> Row:
    """Print a mark."""
    return {
        "instId": quote.listing.inst_id,
        "instType": quote.listing.inst_type,
        "markPx": text(quote.mark),
        "ts": str(quote.mark_ms),
    }


def index_tickers(venue: Venue, params: Params) -> list[Row]:
    """Return the index of one instrument."""
    return [index_row(venue.market.quote(params.need("instId")))]


def index_row(quote: Quote) -> Row:
    """Print an index."""
    price = text(quote.index)
    return {
        "high24h": price,
        "idxPx": price,
        "instId": quote.listing.index,
        "low24h": price,
        "open24h": price,
        "sodUtc0": price,
        "sodUtc8": price,
        "ts": str(quote.mark_ms),
    }


def price_limit(venue: Venue, params: Params) -> list[Row]:
    """Return the highest bid and the lowest ask that are taken."""
    return [limit_row(venue.market.quote(params.need("instId")))]


def limit_row(quote: Quote) -> Row:
    """Print price limits."""
    high, low = quote.limits()
    return {
        "buyLmt": text(high),
        "enabled": True,
        "instId": quote.listing.inst_id,
        "instType": quote.listing.inst_type,
        "sellLmt": text(low),
        "ts": str(quote.at_ms),
    }


def bar_minutes(bar: str) -> int:
    """Return how many minutes "15m", "4H", "1Dutc" last; 0 for seconds. Raises `VenueRefusal`."""
    short = bar.removesuffix("utc")
    number, unit = short[:-1], short[-1:]
    if not number.isdigit() or unit not in _UNITS:
        raise VenueRefusal("51000", "bar")
    return int(number) * _UNITS[unit]


def bars_of(quote: Quote, minutes: int) -> list[Bar]:
    """Return candles of so many minutes, oldest first."""
    if minutes <= 1:
        return list(quote.bars)
    width = minutes * MINUTE_MS
    found: list[Bar] = []
    for bar in quote.bars:
        open_ms = bar.open_ms - bar.open_ms % width
        if not found or found[-1].open_ms != open_ms:
            found.append(Bar(open_ms, bar.open, bar.high, bar.low, bar.close, bar.volume))
            continue
        merged = found[-1]
        merged.high, merged.low = max(merged.high, bar.high), min(merged.low, bar.low)
        merged.close, merged.volume = bar.close, merged.volume + bar.volume
    return found


def candles(venue: Venue, params: Params) -> list[list[str]]:
    """Return candles of the last price, newest first."""
    quote = venue.market.quote(params.need("instId"))
    minutes = bar_minutes(params.text("bar", "1m"))
    after, before = params.whole("after", 0), params.whole("before", 0)
    most = min(params.whole("limit", 100), _MOST_CANDLES)
    chosen = [
        bar
        for bar in bars_of(quote, minutes)
        if (not after or bar.open_ms < after) and (not before or bar.open_ms > before)
    ]
    width = max(1, minutes) * MINUTE_MS
    return [
        candle_row(quote, bar, is_closed=bar.open_ms + width <= venue.market.now_ms)
        for bar in reversed(chosen[-most:])
    ]


def mark_candles(venue: Venue, params: Params) -> list[list[str]]:
    """Return candles of the mark, which moves with the last price here."""
    return [[*row[:5], row[-1]] for row in candles(venue, params)]


def candle_row(quote: Quote, bar: Bar, *, is_closed: bool) -> list[str]:
    """Print a candle."""
    in_base = bar.volume * quote.listing.contract_value
    return [
        str(bar.open_ms),
        text(bar.open),
        text(bar.high),
        text(bar.low),
        text(bar.close),
        text(bar.volume),
        text(in_base),
        text(in_base * bar.close),
        "1" if is_closed else "0",
    ]


def books(venue: Venue, params: Params) -> list[Row]:
    """Return the made-up book."""
    quote = venue.market.quote(params.need("instId"))
    depth = params.whole("sz", 1)
    return [book_row(quote, depth)]


def book_row(quote: Quote, depth: int) -> Row:
    """Print a book."""
    asks, bids = quote.levels(depth)
    return {"asks": asks, "bids": bids, "seqId": quote.seq, "ts": str(quote.at_ms)}


def trades(venue: Venue, params: Params) -> list[Row]:
    """Return the latest public trades, newest first."""
    quote = venue.market.quote(params.need("instId"))
    most = min(params.whole("limit", 100), 500)
    return [trade_row(quote, one) for one in list(quote.trades)[-most:][::-1]]


def trade_row(quote: Quote, trade: Trade) -> Row:
    """Print a public trade."""
    return {
        "instId": quote.listing.inst_id,
        "px": text(trade.price),
        "side": trade.side,
        "source": "0",
        "sz": text(trade.size),
        "tradeId": trade.trade_id,
        "ts": str(trade.at_ms),
    }


def funding_rate(venue: Venue, params: Params) -> list[Row]:
    """Return the funding to come."""
    quote = venue.market.quote(params.need("instId"))
    if not quote.listing.is_swap:
        raise VenueRefusal("51001")
    return [funding_row(quote, venue.market.now_ms)]


def funding_row(quote: Quote, now_ms: int) -> Row:
    """Print the funding to come."""
    due = (now_ms // FUNDING_EVERY_MS + 1) * FUNDING_EVERY_MS
    return {
        "formulaType": "withRate",
        "fundingRate": text(quote.funding_rate),
        "fundingTime": str(due),
        "impactValue": "",
        "instId": quote.listing.inst_id,
        "instType": "SWAP",
        "interestRate": "0.0001",
        "maxFundingRate": "0.00375",
        "method": "current_period",
        "minFundingRate": "-0.00375",
        "nextFundingRate": "",
        "nextFundingTime": str(due + FUNDING_EVERY_MS),
        "premium": "0",
        "prevFundingTime": str(due - FUNDING_EVERY_MS),
        "settFundingRate": text(quote.funding_rate),
        "settState": "settled",
        "ts": str(now_ms),
    }


def open_interest(venue: Venue, params: Params) -> list[Row]:
    """Return the open interest, which never changes here."""
    kind = params.choice("instType", ("SWAP", "FUTURES", "OPTION"))
    found = venue.market.of_type(kind, params.text("instId"))
    if params.text("instId") and not found:
        raise VenueRefusal("51001")
    return [interest_row(one, venue.market.now_ms) for one in found]


def interest_row(quote: Quote, now_ms: int) -> Row:
    """Print the open interest."""
    in_base = _OPEN_INTEREST * quote.listing.contract_value
    return {
        "instId": quote.listing.inst_id,
        "instType": "SWAP",
        "oi": text(_OPEN_INTEREST),
        "oiCcy": text(in_base),
        "oiUsd": text(in_base * (quote.mark or ZERO)),
        "ts": str(now_ms),
    }
