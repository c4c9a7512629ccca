"""Binance's and OKX's REST: the real client, and a server that speaks as they do, and that lies."""

from decimal import Decimal

import pytest

from domain.candles import Timeframe
from domain.ids import Symbol
from domain.instrument import Instrument, Kind, PriceSource
from exchanges.binance_rest import BinanceReads
from exchanges.market_reads import BookLevel
from exchanges.okx_rest import OkxReads
from exchanges.port import Unknown
from tests.exchanges.http_server import HTML, NOW, Venue, asking, reply

D = Decimal
BTC = Symbol("BTC/USDT")
MINUTE = Timeframe(60_000)
NOW_MS = int(NOW.timestamp() * 1000)
BEGIN = NOW_MS // 60_000 * 60_000 - 2_500 * 60_000  # some pages ago
RUNNING = NOW_MS // 60_000 * 60_000


def instrument(kind: Kind) -> Instrument:
    one = D("0.01") if kind is Kind.SWAP else D(1)
    return Instrument(BTC, "BTCUSDT", "BTC", "USDT", kind, *map(D, ("0.1", "0.001", "0.001", "5")),
                      contract_size=one)  # fmt: skip


def ask(run, which: str, says: dict, method: str, *arguments):
    """Ask one venue ("binance swap", "okx spot", …); return its answer and what it was asked."""
    name, _, kind_name = which.partition(" ")
    kind = Kind(kind_name)
    venue = Venue(says)

    async def work():
        async with asking(venue) as rest:
            if name == "okx":
                reads = OkxReads(rest, {BTC: instrument(kind)})
            else:
                reads = BinanceReads(rest, kind, {BTC: "BTCUSDT"})
            return await getattr(reads, method)(BTC, *arguments)

    return run(work()), venue.asked


def okx(*data) -> dict:
    return {"code": "0", "msg": "", "data": list(data)}


LAST = {
    "binance spot": ("/api/v3/ticker/price", {"symbol": "BTCUSDT", "price": "61234.50"}),
    "binance swap": (
        "/fapi/v1/ticker/price",
        {"symbol": "BTCUSDT", "price": "61234.50", "time": 1_700_000_000_123},
    ),
    "okx spot": (
        "/api/v5/market/ticker",
        okx({"instId": "BTC-USDT", "last": "61234.50", "ts": "1700000000123"}),
    ),
    "okx swap": (
        "/api/v5/market/ticker",
        okx({"instId": "BTC-USDT-SWAP", "last": "61234.50", "ts": "1700000000123"}),
    ),
}


@pytest.mark.parametrize("which", LAST)
def test_the_last_price_comes_as_the_venue_wrote_it(run, which):
    path, body = LAST[which]
    answer, asked = ask(run, which, {path: reply(body)}, "last")
    assert (answer.symbol, answer.price) == (BTC, "61234.50")
    assert answer.event_ms == (0 if which == "binance spot" else 1_700_000_000_123)
    assert asked[0][0] == path


def changed(which: str, **fields):
    path, body = LAST[which]
    if which.startswith("okx"):
        return path, okx(body["data"][0] | fields)
    return path, body | fields


@pytest.mark.parametrize("which", LAST)
@pytest.mark.parametrize(
    "price",
    ["0", "-1", "NaN", "Infinity", "", "abc", "1e9", "1_0", None, 61234.5, "9" * 60, "1.2.3"],
)
def test_a_last_price_that_is_none_is_unknown(run, which, price):
    path, body = changed(which, **{"last" if "okx" in which else "price": price})
    answer, _ = ask(run, which, {path: reply(body)}, "last")
    assert isinstance(answer, Unknown), answer


@pytest.mark.parametrize("which", LAST)
@pytest.mark.parametrize(
    "says",
    [
        reply(HTML),
        reply(HTML, 502),
        reply(b"{}"),
        reply(b"[]"),
        reply(b"null"),
        reply({"code": "0", "msg": "", "data": []}),
        reply({"code": "0", "msg": "", "data": [{}]}),
        reply({"code": "0", "msg": "", "data": None}),
        reply({"code": "50011", "msg": "Too Many Requests", "data": []}),
        reply({"code": -1121, "msg": "Invalid symbol."}, 400),
        reply({}, 429, Retry_After="3"),
        reply({"symbol": "ETHUSDT", "price": "61234.5"}),
        reply(okx({"instId": "ETH-USDT", "last": "61234.5", "ts": "1700000000123"})),
    ],
)
def test_lies_about_the_last_price_are_unknown(run, which, says):
    answer, _ = ask(run, which, {LAST[which][0]: says}, "last")
    assert isinstance(answer, Unknown), answer


# --- candles ---


def binance_row(open_ms: int, low: str = "99", high: str = "101") -> list:
    end = open_ms + 59_999
    return [open_ms, "100", high, low, "100.5", "12.5", end, "1250", 7, "6", "600", "0"]


def binance_candles(first: int, last: int, page: int = 1000, **prices: str):
    def answer(asked: dict[str, str]) -> bytes:
        begin, end = max(int(asked["startTime"]), first), min(int(asked["endTime"]), last)
        begin = -(-begin // 60_000) * 60_000
        opens = list(range(begin, end + 1, 60_000))[: min(page, int(asked["limit"]))]
        return reply([binance_row(at, **prices) for at in opens])

    return answer


def okx_candles(first: int, last: int, columns: int = 9):
    def answer(asked: dict[str, str]) -> bytes:
        until = int(asked["after"])
        opens = [at for at in range(last, first - 1, -60_000) if at < until][: int(asked["limit"])]
        rows = []
        for at in opens:
            row = [str(at), "100", "101", "99", "100.5", "1250", "12.5", "1250"][: columns - 1]
            rows.append([*row, "0" if at == last else "1"])
        return reply(okx(*rows))

    return answer


CANDLES = {
    "binance spot": {"/api/v3/klines": binance_candles(BEGIN - 600_000, RUNNING)},
    "binance swap": {"/fapi/v1/klines": binance_candles(BEGIN - 600_000, RUNNING)},
    "okx spot": {
        "/api/v5/market/candles": okx_candles(NOW_MS // 60_000 * 60_000 - 1439 * 60_000, RUNNING),
        "/api/v5/market/history-candles": okx_candles(BEGIN - 600_000, RUNNING),
    },
}
CANDLES["okx swap"] = CANDLES["okx spot"]


@pytest.mark.parametrize("which", CANDLES)
def test_candles_are_paged_until_all_are_there(run, which):
    answer, asked = ask(run, which, CANDLES[which], "candles", MINUTE, BEGIN, NOW_MS)
    assert not isinstance(answer, Unknown), answer
    assert [each.open_ms for each in answer] == list(range(BEGIN, NOW_MS, 60_000))
    assert len(asked) >= 3
    first = answer[0]
    assert (first.open, first.high, first.low, first.close) == (100, 101, 99, D("100.5"))
    assert first.volume == (1250 if which == "okx spot" else D("12.5"))
    assert [each.whole for each in answer] == [True] * (len(answer) - 1) + [False]


@pytest.mark.parametrize("which", CANDLES)
def test_only_what_opens_in_the_range_counts(run, which):
    begin = RUNNING - 10 * 60_000 + 1
    answer, _ = ask(run, which, CANDLES[which], "candles", MINUTE, begin, RUNNING - 60_000)
    assert [each.open_ms for each in answer] == [RUNNING - n * 60_000 for n in range(9, 1, -1)]
    nothing, asked = ask(run, which, CANDLES[which], "candles", MINUTE, begin, begin + 10)
    assert (nothing, asked) == ((), [])


def test_candles_of_the_mark_come_from_an_address_of_their_own(run):
    begin = RUNNING - 5 * 60_000
    binance = {"/fapi/v1/markPriceKlines": binance_candles(begin, RUNNING)}
    answer, _ = ask(
        run, "binance swap", binance, "candles", MINUTE, begin, NOW_MS, PriceSource.MARK
    )
    assert len(answer) >= 6
    marks = {"/api/v5/market/mark-price-candles": okx_candles(begin, RUNNING, columns=6)}
    answer, _ = ask(run, "okx swap", marks, "candles", MINUTE, begin, NOW_MS, PriceSource.MARK)
    assert len(answer) >= 6
    assert answer[0].volume == 0


@pytest.mark.parametrize("which", CANDLES)
@pytest.mark.parametrize("source", [PriceSource.BID, PriceSource.ASK])
def test_a_price_without_candles_is_unknown_and_nobody_is_asked(run, which, source):
    answer, asked = ask(run, which, CANDLES[which], "candles", MINUTE, BEGIN, NOW_MS, source)
    assert isinstance(answer, Unknown)
    assert asked == []


@pytest.mark.parametrize(
    "says",
    [
        reply([]),
        reply(HTML),
        binance_candles(BEGIN + 60_000, RUNNING),  # the first one is missing
        binance_candles(BEGIN, RUNNING - 5 * 60_000),  # the last ones are
        binance_candles(BEGIN, RUNNING, low="102"),
        binance_candles(BEGIN, RUNNING, high="NaN"),
        binance_candles(BEGIN, RUNNING, low="0"),
        lambda asked: reply([binance_row(int(asked["startTime"]) + 1)]),  # between two minutes
        reply([[BEGIN, "100"]]),
        reply([{"open": BEGIN}]),
    ],
)
def test_lies_about_candles_are_unknown(run, says):
    answer, _ = ask(
        run, "binance swap", {"/fapi/v1/klines": says}, "candles", MINUTE, BEGIN, NOW_MS
    )
    assert isinstance(answer, Unknown), answer[:2]


@pytest.mark.parametrize(
    "says",
    [
        reply(okx()),
        reply(HTML),
        okx_candles(RUNNING - 60_000, RUNNING),
        reply(okx([str(RUNNING), "100", "101", "99", "100", "1", "1", "1", "perhaps"])),
        reply(okx([str(RUNNING), "100", "101", "99", "100", "1", "1", "1", ["1"]])),
        reply(okx([str(RUNNING - 60_000), *["100"] * 7, "1"], [str(RUNNING), *["100"] * 7, "0"])),
        reply(okx([str(RUNNING), "100", "101", "99", "100", "-1", "1", "1", "1"])),
    ],
)
def test_lies_about_candles_of_the_other_venue_are_unknown(run, says):
    begin = RUNNING - 5 * 60_000
    answer, _ = ask(
        run, "okx swap", {"/api/v5/market/candles": says}, "candles", MINUTE, begin, NOW_MS
    )
    assert isinstance(answer, Unknown), answer


def test_a_page_that_fails_fails_the_whole(run):
    pages = iter([binance_candles(BEGIN, RUNNING)] * 2)

    def answer(asked):
        page = next(pages, None)
        return reply(HTML, 502) if page is None else page(asked)

    found, asked = ask(
        run, "binance swap", {"/fapi/v1/klines": answer}, "candles", MINUTE, BEGIN, NOW_MS
    )
    assert isinstance(found, Unknown)
    assert len(asked) == 3


# --- books, funding, open interest ---

BOOKS = {
    "binance spot": ("/api/v3/depth", {"lastUpdateId": 1}),
    "binance swap": ("/fapi/v1/depth", {"lastUpdateId": 1, "T": 1_700_000_000_123}),
    "okx spot": ("/api/v5/market/books", {"ts": "1700000000123"}),
    "okx swap": ("/api/v5/market/books", {"ts": "1700000000123"}),
}


def book(which: str, bids, asks) -> dict:
    path, fields = BOOKS[which]
    fields = fields | {"bids": bids, "asks": asks}
    return {path: reply(okx(fields) if which.startswith("okx") else fields)}


@pytest.mark.parametrize("which", BOOKS)
def test_a_book_has_the_best_levels_in_base_units(run, which):
    tail = ["0", "4"] if which.startswith("okx") else []
    bids = [["100.1", "2", *tail], ["100.0", "3", *tail], ["99.0", "4", *tail]]
    asks = [["100.2", "1", *tail], ["100.3", "5", *tail], ["101.0", "6", *tail]]
    answer, _ = ask(run, which, book(which, bids, asks), "book", 2)
    unit = D("0.01") if which == "okx swap" else D(1)
    assert answer.bids == (BookLevel(D("100.1"), 2 * unit), BookLevel(D("100.0"), 3 * unit))
    assert answer.asks == (BookLevel(D("100.2"), unit), BookLevel(D("100.3"), 5 * unit))


@pytest.mark.parametrize("which", BOOKS)
@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([], [["100.2", "1"]]),
        ([["100.1", "2"]], []),
        ([["100.1", "2"]], None),
        ([["100.3", "2"]], [["100.2", "1"]]),
        ([["99", "2"], ["100", "2"]], [["100.2", "1"]]),
        ([["100.1", "0"]], [["100.2", "1"]]),
        ([["100.1"]], [["100.2", "1"]]),
        ([[100.1, 2]], [["100.2", "1"]]),
    ],
)
def test_lies_about_a_book_are_unknown(run, which, bids, asks):
    answer, _ = ask(run, which, book(which, bids, asks), "book", 5)
    assert isinstance(answer, Unknown), answer


def test_a_depth_that_the_venue_does_not_take_is_rounded_up(run):
    bids, asks = [["100", "1"]] * 1, [["101", "1"]]
    _, asked = ask(run, "binance swap", book("binance swap", bids, asks), "book", 7)
    assert asked[0][1]["limit"] == "10"


FUNDING = {
    "binance swap": (
        "/fapi/v1/premiumIndex",
        {"symbol": "BTCUSDT", "lastFundingRate": "-0.00012", "nextFundingTime": 1_700_006_400_000},
    ),
    "okx swap": (
        "/api/v5/public/funding-rate",
        okx({"instId": "BTC-USDT-SWAP", "fundingRate": "-0.00012", "fundingTime": "1700006400000"}),
    ),
}
INTEREST = {
    "binance swap": (
        "/fapi/v1/openInterest",
        {"symbol": "BTCUSDT", "openInterest": "50", "time": 1_700_000_000_123},
    ),
    "okx swap": (
        "/api/v5/public/open-interest",
        okx({"instId": "BTC-USDT-SWAP", "oi": "5000", "oiCcy": "50", "ts": "1700000000123"}),
    ),
}


@pytest.mark.parametrize("which", FUNDING)
def test_funding_and_open_interest_of_a_swap(run, which):
    path, body = FUNDING[which]
    answer, _ = ask(run, which, {path: reply(body)}, "funding")
    assert (answer.rate, answer.next_ms) == (D("-0.00012"), 1_700_006_400_000)
    path, body = INTEREST[which]
    answer, _ = ask(run, which, {path: reply(body)}, "open_interest")
    assert (answer.quantity, answer.event_ms) == (50, 1_700_000_000_123)


@pytest.mark.parametrize("which", ["binance spot", "okx spot"])
def test_spot_has_neither_funding_nor_open_interest(run, which):
    assert ask(run, which, {}, "funding") == (None, [])
    assert ask(run, which, {}, "open_interest") == (None, [])


@pytest.mark.parametrize("which", FUNDING)
@pytest.mark.parametrize("says", [reply(HTML), reply({}), reply(okx()), reply({}, 500)])
def test_lies_about_funding_and_open_interest_are_unknown(run, which, says):
    assert isinstance(ask(run, which, {FUNDING[which][0]: says}, "funding")[0], Unknown)
    assert isinstance(ask(run, which, {INTEREST[which][0]: says}, "open_interest")[0], Unknown)
