"""OKX's private frames become updates of the port: once, in order, whatever the text is."""

from decimal import Decimal
from itertools import permutations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.instrument import Direction
from domain.order import Fill, OrderStatus
from exchanges.dialect import PONG, Answer, LoginRefused, ShutdownNotice, Unlisted
from exchanges.okx_private_frames import notice_in, read_frame
from exchanges.okx_private_told import Told
from exchanges.port import (
    Balance,
    BalanceReport,
    Outside,
    OutsideFill,
    PositionReport,
    VenueOrder,
)
from tests.exchanges.okx_account_frames import (
    INSTRUMENTS,
    AccountLog,
    account,
    algo_row,
    algos,
    balance_row,
    both,
    filled_row,
    order_row,
    orders,
    position_row,
    positions,
    push,
)
from tests.exchanges.okx_rows import OURS

D = Decimal
STOP = OURS[:24] + "G000001"
S = OrderStatus


def read(*frames, told=None, sink=None):
    """Read frames one after the other; return what was said."""
    sink, told = sink or AccountLog(), told or Told()
    for frame in frames:
        assert read_frame(frame, INSTRUMENTS, sink, told) is None
    return sink


def statuses(sink):
    return [each.status for each in sink.updates if isinstance(each, VenueOrder)]


def trades(sink):
    return [each.trade_id for each in sink.updates if isinstance(each, Fill)]


# Orders


def test_a_filled_row_tells_the_fill_and_then_the_order():
    sink = read(orders(filled_row()))

    fill, order = sink.updates
    assert (fill.client_order_id, fill.trade_id) == (OURS, "BTC-USDT-SWAP:1323")
    assert (fill.quantity, fill.price) == (D("0.02"), D(60000))
    assert fill.fee.amount == D("0.3")  # paid is above zero
    assert (order.status, order.filled) == (S.FILLED, D("0.02"))


def test_the_life_of_an_order_is_told_as_it_happens():
    sink = read(
        orders(order_row()),
        orders(filled_row("1", "0.5", "0.5", uTime="1718000000600")),
        orders(filled_row("2", "1.5", "2", uTime="1718000000700")),
    )

    assert [type(each) for each in sink.updates] == [
        VenueOrder, Fill, VenueOrder, Fill, VenueOrder,
    ]  # fmt: skip
    assert statuses(sink) == [S.OPEN, S.PARTIAL, S.FILLED]
    assert sink.bad == []


def test_a_canceled_rest_keeps_what_was_filled():
    sink = read(
        orders(filled_row("1", "0.5", "0.5")),
        orders(order_row(state="canceled", accFillSz="0.5", avgPx="60000", uTime="1718000000900")),
    )

    assert statuses(sink) == [S.PARTIAL, S.CANCELED]
    assert sink.updates[-1].filled == D("0.005")


def test_what_is_pushed_again_is_told_once_even_with_another_time():
    frame = orders(filled_row())
    sink = read(frame, frame, orders(filled_row(uTime="1718000009999")))

    assert len(sink.updates) == 2


def test_a_row_that_comes_late_takes_nothing_back_but_its_fill_counts():
    sink = read(
        orders(filled_row("2", "1.5", "2", uTime="1718000000700")),
        orders(filled_row("1", "0.5", "0.5", uTime="1718000000600")),
        orders(order_row()),
    )

    assert trades(sink) == ["BTC-USDT-SWAP:2", "BTC-USDT-SWAP:1"]
    assert statuses(sink) == [S.FILLED]


def test_an_amended_order_is_told_again():
    sink = read(
        orders(order_row(ordType="limit", px="59000")),
        orders(order_row(ordType="limit", px="59100", uTime="1718000000800")),
    )

    assert [each.terms.price for each in sink.updates] == [D(59000), D(59100)]


def test_a_stop_that_was_moved_is_told_even_if_its_row_has_no_time_of_that():
    row = algo_row(algoClOrdId=STOP) | {"uTime": ""}
    sink = read(algos(row), algos(row), algos(row | {"slTriggerPx": "58500"}))

    assert [each.terms.trigger_price for each in sink.updates] == [D(58000), D(58500)]


@pytest.mark.parametrize(
    ("category", "cause"),
    [
        ("normal", Outside.PERSON),
        ("full_liquidation", Outside.LIQUIDATION),
        ("partial_liquidation", Outside.LIQUIDATION),
        ("adl", Outside.ADL),
    ],
)
def test_a_fill_without_an_id_of_ours_is_somebody_elses(category, cause):
    row = filled_row(clOrdId="", category=category, posSide="long", side="sell")
    sink = read(orders(row), orders(row))

    (outside,) = sink.updates  # and nothing is told of the order itself
    assert isinstance(outside, OutsideFill)
    assert (outside.cause, outside.direction) == (cause, Direction.LONG)
    assert (outside.fill.client_order_id, outside.fill.quantity) == ("", D("0.02"))


def test_another_programs_order_is_told_of_and_its_fill_is_outside():
    sink = read(orders(filled_row(clOrdId="b15")))

    outside, order = sink.updates
    assert isinstance(outside, OutsideFill)
    assert order.terms.client_order_id == "b15"


# Orders with a trigger


def test_a_stop_that_fires_is_told_under_its_own_id_until_it_is_filled():
    child = {"clOrdId": "", "algoClOrdId": STOP, "algoId": "77", "side": "sell", "ordId": "9001"}
    sink = read(
        algos(algo_row(algoClOrdId=STOP)),
        algos(algo_row(algoClOrdId=STOP, state="effective", ordId="9001", uTime="1718000002000")),
        orders(order_row(**child)),
        orders(filled_row("1", "0.5", "0.5", **child)),
        orders(filled_row("2", "1.5", "2", **child)),
    )

    assert statuses(sink)[0] is S.OPEN
    assert S.TRIGGERED in statuses(sink)
    assert statuses(sink)[-1] is S.FILLED
    assert {each.client_order_id for each in sink.updates if isinstance(each, Fill)} == {STOP}
    assert {
        each.terms.client_order_id for each in sink.updates if isinstance(each, VenueOrder)
    } == {STOP}


def test_the_order_of_the_two_connections_does_not_matter():
    child = {"clOrdId": "", "algoClOrdId": STOP, "ordId": "9001", "side": "sell"}
    frames = [
        algos(algo_row(algoClOrdId=STOP)),
        algos(algo_row(algoClOrdId=STOP, state="effective", ordId="9001", uTime="1718000002000")),
        orders(filled_row("1", "0.5", "0.5", **child)),
        orders(filled_row("2", "1.5", "2", **child)),
    ]

    for shuffled in permutations(frames):
        sink = read(*shuffled)
        assert statuses(sink)[-1] is S.FILLED
        assert sorted(trades(sink)) == ["BTC-USDT-SWAP:1", "BTC-USDT-SWAP:2"]


def test_a_child_that_does_not_name_its_stop_is_known_by_the_stops_word():
    bare = {"clOrdId": "", "algoClOrdId": "", "ordId": "9001", "side": "sell"}
    fired = algo_row(algoClOrdId=STOP, state="effective", ordIdList=["9001"])
    sink = read(algos(fired), orders(filled_row(**bare)))

    assert [each.client_order_id for each in sink.updates if isinstance(each, Fill)] == [STOP]
    assert statuses(sink) == [S.TRIGGERED, S.FILLED]


def test_a_stop_whose_order_the_venue_refused_is_rejected_with_the_reason():
    failed = algo_row(algoClOrdId=STOP, state="order_failed", failCode="51008")
    sink = read(algos(algo_row(algoClOrdId=STOP)), algos(failed))

    assert statuses(sink) == [S.OPEN, S.REJECTED]
    assert "51008" in sink.updates[-1].reason


def test_a_trail_comes_by_the_channel_of_its_own():
    row = algo_row(
        algoClOrdId=STOP, ordType="move_order_stop", callbackRatio="0.02", slTriggerPx=""
    )
    sink = read(push("algo-advance", row, instType="ANY"))

    assert sink.updates[0].terms.trail_ratio == D("0.02")


def test_a_stop_that_a_person_placed_is_not_told_of():
    assert read(algos(algo_row(algoClOrdId=""))).updates == []


# Balances and positions


def test_balances_come_as_one_report_and_an_older_state_is_passed_over():
    sink = read(
        account(balance_row(), balance_row(ccy="BTC", cashBal="0.5", availEq="", availBal="0.4")),
        account(balance_row(cashBal="1", uTime="1718000000400")),
    )

    assert sink.updates == [
        BalanceReport((Balance("USDT", D(10000), D("9000.2")), Balance("BTC", D("0.5"), D("0.4"))))
    ]


def test_what_the_venue_says_every_few_seconds_is_told_when_it_changed():
    sink = read(
        account(balance_row()),
        positions(position_row()),
        account(balance_row(uTime="1718000005500")),
        positions(position_row(uTime="1718000005500", markPx="60020")),
        account(balance_row(uTime="1718000010500"), balance_row(ccy="BTC", cashBal="1")),
        positions(position_row(uTime="1718000010500", liqPx="41000.6")),
    )

    assert [type(each) for each in sink.updates] == [BalanceReport, PositionReport] * 2
    assert [each.asset for each in sink.updates[2].balances] == ["BTC"]


def test_an_asset_that_cannot_be_read_does_not_spoil_the_others():
    sink = read(account(balance_row(cashBal="a lot", eq="a lot"), balance_row(ccy="BTC")))

    assert [each.asset for each in sink.updates[0].balances] == ["BTC"]
    assert len(sink.bad) == 1


def test_a_position_is_told_in_base_units_with_what_the_venue_says_of_its_risk():
    (report,) = read(positions(position_row())).updates

    (held,) = report.positions
    assert (held.quantity, held.average_price) == (D("0.02"), D(60000))
    assert (held.liquidation_price, held.leverage) == (D("41000.5"), D(3))


def test_a_position_gone_flat_is_told_as_zero():
    sink = read(
        positions(position_row()), positions(position_row(pos="0", avgPx="", uTime="1718000000900"))
    )

    assert [each.positions[0].quantity for each in sink.updates] == [D("0.02"), D(0)]


def test_in_hedge_mode_a_side_gone_flat_does_not_hide_the_other():
    long, short = {"posSide": "long"}, {"posSide": "short", "pos": "3"}
    sink = read(
        positions(position_row(**long), position_row(**short)),
        positions(position_row(posSide="long", pos="0", avgPx="", uTime="1718000000900")),
        positions(position_row(posSide="short", pos="0", avgPx="", uTime="1718000001000")),
    )

    assert [[each.quantity for each in report.positions] for report in sink.updates] == [
        [D("0.02"), D("-0.03")],
        [D("-0.03")],
        [D(0)],
    ]


def test_the_channel_that_tells_less_does_not_take_the_liquidation_price_away():
    sink = read(
        positions(position_row()),
        both(position_row()),
        both(position_row(pos="1", uTime="1718000000700")),
    )

    assert len(sink.updates) == 2
    assert sink.updates[1].positions[0].quantity == D("0.01")
    assert sink.updates[1].positions[0].liquidation_price == D("41000.5")


def test_an_older_position_is_passed_over():
    sink = read(positions(position_row(pos="5", uTime="1718000000900")), positions(position_row()))

    assert [each.positions[0].quantity for each in sink.updates] == [D("0.05")]


def test_a_new_connection_forgets_positions_because_it_names_only_what_is_held():
    told = Told()
    long = position_row(posSide="long")
    read(positions(long, position_row(posSide="short", pos="3")), told=told)
    told.begin()

    (report,) = read(positions(long), told=told).updates
    assert len(report.positions) == 1


# What is not for us


def test_rows_of_what_is_not_traded_here_are_counted_and_passed_over():
    sink = read(
        orders(filled_row(instId="XRP-USDT-SWAP"), filled_row()),
        positions(position_row(instId="BTC-USDT", instType="MARGIN")),
        push("deposit-info", {"ccy": "USDT"}),
    )

    assert sink.unlisted == ["XRP-USDT-SWAP", "BTC-USDT", "deposit-info"]
    assert len(sink.updates) == 2


@pytest.mark.parametrize(
    "frame",
    [
        b"{",
        b"[]",
        b"null",
        b'{"arg":{"channel":"orders"}}',
        b'{"arg":{"channel":7},"data":[]}',
        b'{"arg":"orders","data":[]}',
        orders("row"),
        orders(order_row(side="both")),
        orders(order_row(state="lost")),
        orders(order_row(accFillSz="-1")),
        algos(algo_row(sz="NaN")),
        account("USDT"),
        positions(position_row(pos="1e999999999")),
    ],
)
def test_nonsense_is_noted_and_says_nothing(frame):
    sink = read(frame)

    assert sink.frames == 1
    assert len(sink.bad) == 1
    assert sink.updates == []


def test_a_fill_is_told_even_if_the_rest_of_its_row_is_wrong():
    sink = read(orders(filled_row() | {"state": "lost"}))

    assert trades(sink) == ["BTC-USDT-SWAP:1323"]
    assert len(sink.bad) == 1


def test_a_wrong_row_does_not_spoil_the_others_of_its_frame():
    sink = read(orders(order_row(side="both"), filled_row()))

    assert len(sink.updates) == 2


# Notices


def event(**fields) -> bytes:
    return orjson.dumps(fields | {"connId": "a4d3ae55"})


@pytest.mark.parametrize(
    ("frame", "notice"),
    [
        (b"pong", PONG),
        (event(event="login", code="0", msg=""), Answer("login", "")),
        (
            event(event="subscribe", arg={"channel": "orders", "instType": "ANY"}),
            Answer("orders", ""),
        ),
        (
            event(event="error", code="60012", msg="Invalid request: {}"),
            Answer(None, "60012 Invalid request:"),
        ),
        (event(event="error", code="50107", msg="No"), LoginRefused("50107 No", is_final=True)),
        (event(event="notice", code="64008", msg="The connection…"), ShutdownNotice()),
        (event(event="channel-conn-count", channel="orders", connCount="2"), None),
        (event(event="unsubscribe", arg={"channel": "orders"}), None),
        (b"no json", None),
        (b"[1]", None),
    ],
)
def test_events_are_understood(frame, notice):
    assert notice_in(frame) == notice


@pytest.mark.parametrize("code", ["60005", "60007", "60009", "60024", "60032", "50101", "50110"])
def test_a_refused_login_says_what_to_do_and_is_final(code):
    refused = notice_in(event(event="error", code=code, msg="Some words."))

    assert isinstance(refused, LoginRefused)
    assert refused.is_final
    start = f"{code} Some words. "
    assert refused.error.startswith(start)
    assert len(refused.error) > len(start) + 10


@pytest.mark.parametrize("code", ["60004", "60006"])
def test_a_login_refused_for_its_time_is_tried_again_soon(code):
    refused = notice_in(event(event="error", code=code, msg="Timestamp request expired"))

    assert isinstance(refused, LoginRefused)
    assert not refused.is_final


def test_a_login_that_the_venue_repeats_in_its_refusal_is_not_repeated_by_us():
    echo = 'Invalid request: {"op":"login","args":[{"passphrase":"Open.Sesame.1"}]}'
    refused = notice_in(event(event="error", code="60012", msg=echo))

    assert "Sesame" not in refused.error


def test_only_a_channel_one_can_do_without_may_be_missing():
    words = "Wrong URL or channel:{},instType:ANY doesn't exist. Please use the correct URL."
    trails = event(event="error", code="60018", msg=words.format("algo-advance"))
    stops = event(event="error", code="60018", msg=words.format("orders"))

    assert isinstance(notice_in(trails), Unlisted)
    assert notice_in(stops) == Answer(None, "60018 " + words.format("orders")[:60] + "…")


def test_too_many_connections_of_an_account_are_told():
    full = event(event="channel-conn-count-error", channel="orders", connCount="30")

    assert "too many connections" in notice_in(full).error


# Whatever comes


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
_CHANNELS = st.sampled_from(
    ["orders", "orders-algo", "algo-advance", "account", "positions", "balance_and_position"]
)


@given(st.binary(max_size=200) | st.text(max_size=200) | _JSON.map(orjson.dumps))
def test_no_text_at_all_raises(raw):
    read_frame(raw, INSTRUMENTS, AccountLog(), Told())
    notice_in(raw)


@given(
    _CHANNELS, st.sampled_from([order_row(), algo_row(), filled_row(), position_row()]), st.data()
)
def test_no_row_with_a_field_of_any_kind_raises(channel, row, data):
    field = data.draw(st.sampled_from(sorted(row)))
    changed = row | {field: data.draw(_JSON)}
    told = Told()

    read_frame(push(channel, row), INSTRUMENTS, AccountLog(), told)
    read_frame(push(channel, changed), INSTRUMENTS, AccountLog(), told)


@given(st.data())
def test_however_frames_are_repeated_and_mixed_each_fill_comes_once_and_the_end_stands(data):
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    frames, total = [orders(order_row(sz=str(sum(sizes))))], 0
    for number, size in enumerate(sizes, start=1):
        total += size
        over = {"state": "filled" if number == len(sizes) else "partially_filled"}
        row = filled_row(str(number), str(size), str(total)) | over
        row |= {"sz": str(sum(sizes)), "uTime": str(1718000000500 + number)}
        frames.append(orders(row))
    heard = data.draw(st.permutations(frames + data.draw(st.lists(st.sampled_from(frames)))))

    sink = read(*heard)

    assert sorted(trades(sink)) == sorted(f"BTC-USDT-SWAP:{n}" for n in range(1, len(sizes) + 1))
    assert statuses(sink)[-1] is S.FILLED
    assert [each.filled for each in sink.updates if isinstance(each, VenueOrder)] == sorted(
        each.filled for each in sink.updates if isinstance(each, VenueOrder)
    )


def test_a_sink_that_fails_has_not_been_told():
    class Failing(AccountLog):
        def on_update(self, update):
            raise RuntimeError("a bug")

    told = Told()
    with pytest.raises(RuntimeError):
        read(orders(filled_row()), told=told, sink=Failing())

    assert len(read(orders(filled_row()), told=told).updates) == 2


def test_memory_is_bounded_and_forgets_the_oldest():
    told = Told(limit=10)
    frames = [
        orders(filled_row(str(number), ordId=str(number), clOrdId=OURS[:-2] + f"{number:02}"))
        for number in range(1, 31)
    ]
    sink = read(*frames, *frames[-5:], told=told)
    assert len(sink.updates) == 60

    assert len(read(frames[0], told=told).updates) == 2  # again, and known by its id


def test_a_report_of_positions_says_all_of_a_symbol():
    (report,) = read(positions(position_row(), position_row(mgnMode="isolated", pos="1"))).updates

    assert isinstance(report, PositionReport)
    assert sum(each.quantity for each in report.positions) == D("0.03")
