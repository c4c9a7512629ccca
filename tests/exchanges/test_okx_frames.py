"""Reading OKX's frames: what is taken, passed over, refused, and that nothing raises.

The frames with prices are the documentation's own examples.
"""

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.candles import Timeframe
from domain.instrument import Instrument, Kind
from exchanges.closed_candles import ClosedCandles
from exchanges.dialect import PONG, Answer, ShutdownNotice, Unlisted
from exchanges.okx_frames import CANDLES, LastSeen, Listed, Wanted, notice_in, read_frame
from exchanges.order_books import OrderBooks

LISTED = {
    "BTC-USDT": Listed("BTC/USDT"),
    "ETH-USDT": Listed("ETH/USDT"),
    "BTC-USDT-SWAP": Listed("BTC/USDT", Decimal("0.01")),
    "DOGE-USDT-SWAP": Listed("DOGE/USDT", Decimal(1000)),
}
TRADE = (
    b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT",'
    b'"tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy","ts":"1630048897897",'
    b'"count":"3","source":"0","seqId":1234}]}'
)
TICKER = (
    b'{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT",'
    b'"instId":"BTC-USDT","last":"9999.99","lastSz":"0.1","askPx":"9999.99","askSz":"11",'
    b'"bidPx":"8888.88","bidSz":"5","open24h":"9000","high24h":"10000","low24h":"8888.88",'
    b'"volCcy24h":"2222","vol24h":"2222","sodUtc0":"2222","sodUtc8":"2222","ts":"1597026383085"}]}'
)
MARK = (
    b'{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP",'
    b'"instId":"BTC-USDT-SWAP","markPx":"77086.9","ts":"1597026383085"}]}'
)
CANDLE = (
    b'{"arg":{"channel":"candle1m","instId":"BTC-USDT-SWAP"},"data":[["1597026360000","8533.02",'
    b'"8553.74","8527.17","8548.26","45247","452.47","5529.5858061","1"]]}'
)
BOOK = (
    b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":'
    b'[["8476.98","415","0","13"],["8477","7","0","2"]],"bids":[["8476.97","256","0","12"],'
    b'["8475.55","101","0","1"]],"ts":"1597026383085","checksum":0,"prevSeqId":-1,"seqId":123456}]}'
)


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        (TRADE, ("trade", "BTC/USDT", "42219.9", "0.12060306", "130639474", 1630048897897)),
        (TICKER, ("quote", "BTC/USDT", "8888.88", "9999.99", "1597026383085", 1597026383085)),
        (MARK, ("mark", "BTC/USDT", "77086.9", 1597026383085)),
    ],
)
def test_prices_reach_the_sink_as_the_venue_wrote_them(sink, raw, event):
    assert read_frame(raw, LISTED, sink) is None
    assert read_frame(raw.decode(), LISTED, sink) is None

    assert sink.events == [event, event]
    assert (sink.frames, sink.bad) == (2, [])


@pytest.mark.parametrize(
    ("name", "size", "base"),
    [
        ("BTC-USDT-SWAP", "12", "0.12"),
        ("BTC-USDT-SWAP", "0.01", "0.0001"),
        ("DOGE-USDT-SWAP", "0.01", "10.00"),
        ("DOGE-USDT-SWAP", "9" * 40, "9" * 40 + "000"),
        ("BTC-USDT", "12", "12"),
    ],
)
def test_contracts_become_base_units_exactly(sink, okx, name, size, base):
    read_frame(okx.trade(1, name=name, sz=size), LISTED, sink)

    assert sink.events[0][3] == base


@pytest.mark.parametrize(("kind", "size"), [(Kind.SPOT, "1"), (Kind.SWAP, "0.01")])
def test_only_swaps_count_contracts(kind, size):
    instrument = Instrument(
        symbol="BTC/USDT",
        venue_symbol="BTC-USDT",
        base="BTC",
        quote="USDT",
        kind=kind,
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.0001"),
        min_quantity=Decimal("0.0001"),
        min_notional=Decimal(5),
        contract_size=Decimal("0.01"),
    )

    assert Listed.of(instrument) == Listed("BTC/USDT", Decimal(size))


def test_every_row_of_a_frame_counts_and_a_bad_one_spoils_only_itself(sink, okx):
    rows = [orjson.loads(okx.trade(number))["data"][0] for number in (1, 2, 3)]
    rows[1]["px"] = "-5"

    read_frame(okx.push("trades", "BTC-USDT-SWAP", *rows, 7), LISTED, sink, LastSeen())

    assert sink.trade_ids() == [1, 3]
    assert sink.bad == [
        "BTC-USDT-SWAP trades: px is -5, not a decimal above zero",
        "BTC-USDT-SWAP trades: not an object: 7",
    ]
    assert sink.frames == 1


@pytest.mark.parametrize(
    "raw",
    [
        TRADE.replace(b"BTC-USDT", b"XRP-USDT"),
        b'{"arg":{"channel":"funding-rate","instId":"BTC-USDT-SWAP"},"data":[{}]}',
        b'{"arg":{"channel":"candle1W","instId":"BTC-USDT"},"data":[["nonsense"]]}',
        b'{"arg":{"channel":"mark-price-candle1m","instId":"BTC-USDT"},"data":[[]]}',
        b'{"arg":{"channel":"status"},"data":[{}]}',
        CANDLE,
        BOOK,
        TICKER.replace(b'"8888.88","bidSz"', b'"","bidSz"'),
        TICKER.replace(b'"askPx":"9999.99"', b'"askPx":""'),
        b'{"event":"unsubscribe","arg":{"channel":"trades","instId":"BTC-USDT"}}',
        b'{"event":"channel-conn-count","channel":"orders","connCount":"2","connId":"abcd1234"}',
        b'{"event":"notice","code":"60000","msg":"something else"}',
        b'{"event":"subscribe"}',
        b'{"event":7}',
        b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[]}',
    ],
)
def test_frames_without_a_price_of_ours_are_counted_and_passed_over(sink, raw):
    assert read_frame(raw, LISTED, sink) is None

    assert notice_in(raw) is None
    assert (sink.frames, sink.events, sink.bad) == (1, [], [])


@pytest.mark.parametrize(
    ("raw", "notice"),
    [
        (b"pong", PONG),
        ("pong", PONG),
        (
            (
                b'{"id":"1512","event":"subscribe","arg":{"channel":"trades","instId":"BTC-USDT"},'
                b'"connId":"a4d3ae55"}'
            ),
            Answer("trades:BTC-USDT", ""),
        ),
        (
            b'{"event":"error","code":"60012","msg":"Invalid request: {}","connId":"a4d3ae55"}',
            Answer(None, "60012 Invalid request: {}"),
        ),
        (
            (
                b'{"event":"error","msg":"Wrong URL or channel:candle1m,instId:BTC-USDT doesn\'t'
                b' exist. Please use the correct URL","code":"60018","connId":"94d38802"}'
            ),
            Unlisted(
                "candle1m:BTC-USDT",
                "60018 Wrong URL or channel:candle1m,instId:BTC-USDT doesn't exist.…",
            ),
        ),
        (
            (
                b'{"event":"error","msg":"Wrong URL or channel:index-tickers, instId:NEAR-USDT-SWAP'
                b' doesn\'t exist.","code":"60018"}'
            ),
            Unlisted(
                "index-tickers:NEAR-USDT-SWAP",
                "60018 Wrong URL or channel:index-tickers, instId:NEAR-USDT-SWAP do…",
            ),
        ),
        (b'{"event":"error","code":"60018","msg":"gone"}', Answer(None, "60018 gone")),
        (b'{"event":"error"}', Answer(None, "None None")),
        (
            (
                b'{"event":"notice","code":"64008","msg":"The connection will soon be closed for a'
                b' service upgrade. Please reconnect.","connId":"a4d3ae55"}'
            ),
            ShutdownNotice(),
        ),
    ],
)
def test_notices_are_returned_and_are_no_frames(sink, raw, notice):
    assert read_frame(raw, LISTED, sink) == notice

    assert notice_in(raw) == notice
    assert (sink.frames, sink.bad) == (0, [])


BAD_NUMBERS = [
    "0", "0.00000000", "-1", "-61800.30", "NaN", "nan", "Infinity", "inf", "1e400", "1E-400", " ",
    ".", "1.2.3", "1_000", " 1", "1 ", "+1", "0x10", "abc", "\u0663", "\uff11", "9" * 41,
    "1" + "0" * 400, None, True, 61800.3, 61800, [], {}, ["61800.30"],
]  # fmt: skip


@pytest.mark.parametrize("value", BAD_NUMBERS, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(
    ("raw", "field"),
    [(TRADE, "px"), (TRADE, "sz"), (TICKER, "bidPx"), (TICKER, "askPx"), (MARK, "markPx")],
    ids=["trade price", "trade size", "bid", "ask", "mark"],
)
def test_a_price_that_is_none_is_refused_by_name(sink, raw, field, value):
    frame = orjson.loads(raw)
    frame["data"][0][field] = value

    read_frame(orjson.dumps(frame), LISTED, sink)

    assert sink.events == []
    assert sink.frames == 1
    (why,) = sink.bad
    assert why.startswith(f"{frame['arg']['instId']} {frame['arg']['channel']}: {field} is ")
    assert len(why) < 200


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"ping", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (TRADE[:-1], "not JSON"),
        (TRADE.replace(b'"42219.9"', b"NaN"), "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[" * 900 + b"]" * 900, "not an object: a list"),
        (b'"trades"', "not an object"),
        (b"null", "not an object: None"),
        (b"{}", "neither event nor data of a channel"),
        (b'{"arg":[],"data":[]}', "neither event nor data"),
        (b'{"arg":{"channel":"trades","instId":"BTC-USDT"}}', "neither event nor data"),
        (b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":{}}', "neither event nor data"),
        (b'{"arg":{"channel":["trades"],"instId":"BTC-USDT"},"data":[]}', "channel is a list"),
        (b'{"arg":{"channel":"trades","instId":7},"data":[]}', "trades: instId is 7, not text"),
        (b'{"arg":{"channel":"trades"},"data":[]}', "trades: instId is None, not text"),
        (TRADE.replace(b'[{"instId":"BTC', b'[{"instId":"ETH'), "instId is ETH-USDT"),
        (TRADE.replace(b'[{"instId":"BTC-USDT"', b'[{"instId":[]'), "instId is a list"),
        (TRADE.replace(b'"130639474"', b"130639474"), "tradeId is 130639474, not an id"),
        (TRADE.replace(b"130639474", b"-1"), "tradeId is -1, not an id"),
        (TRADE.replace(b"130639474", b"1" * 21), "not an id"),
        (TRADE.replace(b"130639474", "\u0663".encode()), "not an id"),
        (TRADE.replace(b'"1630048897897"', b"1630048897897"), "ts is 1630048897897, not a time"),
        (TRADE.replace(b"1630048897897", b"0"), "ts is 0, not a time"),
        (TRADE.replace(b"1630048897897", b"163004889789700000"), "not a time in ms"),
        (TRADE.replace(b'"ts":"1630048897897",', b""), "ts is None, not a time"),
        (TICKER.replace(b"8888.88", b"9999.991"), "bid 9999.991 is above ask 9999.99"),
    ],
)
def test_a_frame_of_the_wrong_shape_is_refused_with_the_reason(sink, raw, why):
    assert read_frame(raw, LISTED, sink) is None

    assert sink.events == []
    assert sink.frames == 1
    assert len(sink.bad) == 1
    assert why in sink.bad[0]


def test_what_was_seen_before_is_dropped_for_each_symbol_and_kind_apart(sink, okx):
    seen = LastSeen()
    frames = [
        okx.trade(10), okx.ticker(700), okx.mark(2000), okx.trade(3, name="ETH-USDT"),
        okx.trade(10), okx.trade(9), okx.ticker(700), okx.ticker(600), okx.mark(2000), okx.mark(9),
        okx.trade(11), okx.ticker(800), okx.mark(3000), okx.trade(4, name="ETH-USDT"),
    ]  # fmt: skip

    for raw in frames:
        read_frame(raw, LISTED, sink, seen)

    assert [event[0] for event in sink.events] == ["trade", "quote", "mark", "trade"] * 2
    assert sink.trade_ids() == [10, 3, 11, 4]
    assert sink.frames == len(frames)


def test_two_quotes_of_one_millisecond_both_count(sink, okx):
    seen = LastSeen()
    for raw in (okx.ticker(700), okx.ticker(700, ask="100.2"), okx.ticker(700, ask="100.2")):
        read_frame(raw, LISTED, sink, seen)

    assert [quote[2] for quote in sink.of("quote")] == ["100.1", "100.2"]


# --- candles ---


def candles_from(sink, *frames):
    taken = []
    wanted = Wanted(candles=ClosedCandles(taken.append))
    for raw in frames:
        read_frame(raw, LISTED, sink, LastSeen(), wanted)
    return taken, wanted.candles


def test_a_closed_candle_is_a_candle_of_ours_in_base_units(sink):
    (candle,), _ = candles_from(sink, CANDLE)

    assert (candle.symbol, str(candle.timeframe), candle.open_ms) == (
        "BTC/USDT",
        "1m",
        1597026360000,
    )
    prices = (candle.open, candle.high, candle.low, candle.close)
    assert prices == tuple(map(Decimal, ("8533.02", "8553.74", "8527.17", "8548.26")))
    assert candle.volume == Decimal("452.47")
    assert (candle.whole, sink.bad, sink.frames) == (True, [], 1)


def test_an_open_candle_is_not_handed_on_and_a_revised_one_is_counted(sink, okx):
    taken, candles = candles_from(
        sink,
        okx.candle(60_000, confirm="0"),
        okx.candle(60_000),
        okx.candle(60_000),
        okx.candle(60_000, "100", "111", "90", "105"),
        okx.candle(120_000, "105", "105", "105", "105", volume="0"),
    )

    assert [candle.open_ms for candle in taken] == [60_000, 120_000]
    assert [candle.trades for candle in taken] == [1, 0]
    assert (candles.revised, sink.bad) == (1, [])


@pytest.mark.parametrize("channel", CANDLES)
def test_candles_of_every_length_that_begins_with_ours_are_known(sink, okx, channel):
    (candle,), _ = candles_from(sink, okx.candle(172_800_000, channel=channel))

    ours = str(candle.timeframe)
    theirs = channel.removeprefix("candle").removesuffix("utc")
    assert Timeframe.parse(ours) == Timeframe.parse(theirs.lower())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({0: "1597026360001"}, "where no interval of 1m begins"),
        ({0: "soon"}, "ts is soon, not a time"),
        ({1: "0"}, "open is 0, not a decimal"),
        ({2: "NaN"}, "high is NaN"),
        ({3: "-1"}, "low is -1"),
        ({4: "1e400"}, "close is 1e400"),
        ({2: "8533.01"}, "are not within"),
        ({3: "8540"}, "are not within"),
        ({5: "-1"}, "volume is -1"),
        ({5: "0.0.0"}, "volume is 0.0.0"),
        ({5: None}, "volume is None"),
        ({8: "2"}, "confirm is 2"),
        ({8: 1}, "confirm is 1"),
    ],
)
def test_an_absurd_candle_is_refused(sink, changes, why):
    frame = orjson.loads(CANDLE)
    for index, value in changes.items():
        frame["data"][0][index] = value

    taken, _ = candles_from(sink, orjson.dumps(frame))

    assert taken == []
    assert len(sink.bad) == 1
    assert why in sink.bad[0]


@pytest.mark.parametrize("row", [[], ["1"] * 8, {}, "1", None])
def test_a_candle_that_is_no_list_of_nine_is_refused(sink, okx, row):
    taken, _ = candles_from(sink, okx.push("candle1m", "BTC-USDT", row))

    assert taken == []
    assert "not a list of 9" in sink.bad[0]


# --- books ---


def books_from(sink, *frames) -> OrderBooks:
    wanted = Wanted(books=OrderBooks())
    for raw in frames:
        read_frame(raw, LISTED, sink, LastSeen(), wanted)
    return wanted.books


def test_a_book_is_kept_in_base_units(sink, okx):
    raw = okx.book(5, [("99", "5"), ("98", "1")], [("101", "3")])

    book = books_from(sink, raw).snapshot("BTC/USDT", 5)

    assert [(level.price, level.quantity) for level in book.bids] == [
        (Decimal(99), Decimal("0.05")),
        (Decimal(98), Decimal("0.01")),
    ]
    assert (book.event_ms, sink.bad, sink.events) == (1005, [], [])


def test_the_newest_of_whole_books_is_kept(sink, okx):
    ask = [("101", "1")]
    frames = [okx.book(number, [(str(number), "1")], ask) for number in (5, 7, 6)]

    book = books_from(sink, *frames).snapshot("BTC/USDT", 5)

    assert book.bids[0].price == 7


def test_a_book_in_changes_is_kept_until_one_is_missing(sink, okx):
    def change(previous, number, price):
        return okx.book(
            number,
            [(price, "1")],
            [],
            channel="books",
            name="BTC-USDT",
            previous=previous,
            action="update",
            stamp=1597026383085 + number,
        )

    books = books_from(sink, BOOK, change(123456, 123460, "8476.975"))
    assert books.snapshot("BTC/USDT", 1).bids[0].price == Decimal("8476.975")
    assert sink.bad == []

    books = books_from(sink, BOOK, change(123459, 123460, "8476.975"))
    assert books.snapshot("BTC/USDT", 1) is None
    assert books.gaps == 1
    assert sink.bad == ["BTC-USDT books: a gap: it builds on 123459, which never came"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"bids": None}, "bids is None, not a list"),
        ({"bids": [["99"]]}, "bids holds a list, not price and size"),
        ({"bids": ["99"]}, "bids holds 99, not price and size"),
        ({"bids": [["-99", "1"]]}, "bids price is -99"),
        ({"asks": [["NaN", "1"]]}, "asks price is NaN"),
        ({"asks": [["101", "1e400"]]}, "asks size is 1e400"),
        ({"seqId": "5"}, "seqId is 5, not a sequence number"),
        ({"seqId": -2}, "seqId is -2"),
        ({"ts": 5}, "ts is 5, not a time"),
        ({"instId": "ETH-USDT"}, "instId is ETH-USDT"),
    ],
)
def test_an_absurd_book_is_refused(sink, okx, changes, why):
    frame = orjson.loads(okx.book(5, [("99", "5")], [("101", "3")]))
    frame["data"][0] |= changes

    books = books_from(sink, orjson.dumps(frame))

    assert books.snapshot("BTC/USDT", 5) is None
    assert len(sink.bad) == 1
    assert why in sink.bad[0]


# --- anything at all ---


SYMBOLS = {each.symbol for each in LISTED.values()}


class _StrictSink:
    """Fails on anything a sink must never see."""

    def on_frame(self):
        pass

    def on_trade(self, symbol, price, quantity, trade_id, event_ms):
        assert symbol in SYMBOLS
        assert float(price) > 0
        assert float(quantity) > 0
        assert int(trade_id) >= 0
        assert event_ms > 0

    def on_quote(self, symbol, bid, ask, update_id, event_ms):
        assert symbol in SYMBOLS
        assert 0 < float(bid) <= float(ask)
        assert int(update_id) >= 0
        assert event_ms > 0

    def on_mark(self, symbol, price, event_ms):
        assert symbol in SYMBOLS
        assert float(price) > 0
        assert event_ms > 0

    def on_bad_frame(self, why):
        assert why.isprintable()
        assert len(why) < 400


def check(candle):
    assert candle.symbol in SYMBOLS
    assert 0 < candle.low <= candle.open <= candle.high
    assert candle.volume >= 0


def read(raw):
    wanted = Wanted(ClosedCandles(check), OrderBooks())
    read_frame(raw, LISTED, _StrictSink(), LastSeen(), wanted)
    notice_in(raw)
    for symbol in SYMBOLS:
        book = wanted.books.snapshot(symbol, 5)
        if book is not None:
            assert all(level.price > 0 and level.quantity > 0 for level in (*book.bids, *book.asks))


KEYS = [
    "arg", "data", "event", "channel", "instId", "tradeId", "px", "sz", "ts", "bidPx", "askPx",
    "markPx", "bids", "asks", "seqId", "prevSeqId", "action", "code", "msg",
]  # fmt: skip
WORDS = [
    "0", "-1", "NaN", "1e999", "61800.30", "trades", "tickers", "mark-price", "candle1m", "books5",
    "books", "BTC-USDT", "BTC-USDT-SWAP", "update", "subscribe", "error", "notice", "64008",
]  # fmt: skip
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=50)
    | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=9) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=9)
    ),
    max_leaves=20,
)
enveloped = st.builds(
    lambda channel, name, rows: {"arg": {"channel": channel, "instId": name}, "data": rows},
    st.sampled_from(["trades", "tickers", "mark-price", "candle1m", "books5", "books"]),
    st.sampled_from(sorted(LISTED)),
    st.lists(json_values, max_size=4),
)


@given(st.binary(max_size=300) | st.text(max_size=100))
def test_no_bytes_raise(raw):
    read(raw)


@given(json_values | enveloped)
def test_no_json_raises(value):
    read(orjson.dumps(value))


@given(st.sampled_from([TRADE, TICKER, MARK, CANDLE, BOOK]), st.data())
def test_no_mutation_of_a_real_frame_raises_or_passes_a_bad_price(raw, data):
    frame = orjson.loads(raw)
    row = frame["data"][0]
    fields = sorted(row) if isinstance(row, dict) else range(len(row))
    field = data.draw(st.sampled_from(fields))
    if data.draw(st.booleans()):
        del row[field]
    else:
        row[field] = data.draw(json_values)
    mutated = bytearray(orjson.dumps(frame))
    for _ in range(data.draw(st.integers(0, 3))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))

    read(bytes(mutated))
