from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.ids import ClientOrderId, PositionId
from domain.instrument import PriceSource, Side
from domain.order import AttachedStop, OrderTerms, OrderType, TimeInForce
from exchanges.okx_orders import AccountModes, amend, attached, place, size_of
from exchanges.port import PositionMode, Refused
from exchanges.translate import algo_from_row
from tests.exchanges.okx_rows import BTC_SPOT, BTC_SWAP, INSTRUMENTS, OURS, algo_row

NET = AccountModes("cross", PositionMode.NET)
HEDGE = AccountModes("isolated", PositionMode.HEDGE)


def terms(type_: OrderType = OrderType.MARKET, **changes: Any) -> OrderTerms:
    return replace(
        OrderTerms(
            client_order_id=ClientOrderId(OURS),
            position_id=PositionId(""),
            symbol=BTC_SWAP.symbol,
            side=Side.SELL,
            type=type_,
            quantity=Decimal("0.02"),
        ),
        **changes,
    )


STOP = terms(OrderType.STOP, trigger_price=Decimal(58000), reduce_only=True)
TARGET = terms(OrderType.TARGET, trigger_price=Decimal(70000), reduce_only=True)
BOTH = replace(STOP, target_price=Decimal(70000))
TRAIL = terms(OrderType.TRAIL, trail_ratio=Decimal("0.02"), reduce_only=True)


def test_a_limit_order_has_a_price_and_may_be_for_now_only() -> None:
    order = terms(OrderType.LIMIT, price=Decimal("60000.10"))

    body = place(order, BTC_SWAP, NET)
    now = place(replace(order, time_in_force=TimeInForce.IOC), BTC_SWAP, NET)

    assert isinstance(body, dict)
    assert isinstance(now, dict)
    assert (body["ordType"], body["px"], now["ordType"]) == ("limit", "60000.1", "ioc")


@pytest.mark.parametrize(
    ("side", "reduce_only", "pos_side"),
    [
        (Side.BUY, False, "long"),
        (Side.SELL, True, "long"),
        (Side.SELL, False, "short"),
        (Side.BUY, True, "short"),
    ],
)
def test_in_hedge_mode_each_order_names_its_position(
    side: Side, reduce_only: bool, pos_side: str
) -> None:
    body = place(terms(side=side, reduce_only=reduce_only), BTC_SWAP, HEDGE)

    assert isinstance(body, dict)
    assert (body["posSide"], body["tdMode"]) == (pos_side, "isolated")
    assert "reduceOnly" not in body


def test_a_spot_stop_is_paid_in_cash_and_counts_base_units() -> None:
    body = place(STOP, BTC_SPOT, NET)

    assert isinstance(body, dict)
    assert (body["tdMode"], body["tgtCcy"], body["sz"]) == ("cash", "base_ccy", "0.02")
    assert "reduceOnly" not in body


def test_a_trail_follows_by_a_ratio() -> None:
    body = place(TRAIL, BTC_SWAP, NET)

    assert isinstance(body, dict)
    assert (body["ordType"], body["callbackRatio"]) == ("move_order_stop", "0.02")


@pytest.mark.parametrize("watches", [PriceSource.LAST, PriceSource.BID, PriceSource.ASK])
def test_a_stop_that_watches_no_price_of_the_venues_watches_the_last(
    watches: PriceSource,
) -> None:
    body = place(replace(TARGET, watches=watches), BTC_SWAP, NET)

    assert isinstance(body, dict)
    assert (body["tpTriggerPx"], body["tpTriggerPxType"], body["tpOrdPx"]) == (
        "70000",
        "last",
        "-1",
    )


def test_a_stop_and_a_target_can_be_one_order() -> None:
    body = place(BOTH, BTC_SWAP, NET)

    assert isinstance(body, dict)
    assert (body["ordType"], body["slTriggerPx"], body["tpTriggerPx"]) == ("oco", "58000", "70000")
    assert body["algoClOrdId"] == STOP.client_order_id


def test_both_prices_of_such_an_order_are_moved_in_place() -> None:
    body = amend(BOTH, BTC_SWAP)

    assert isinstance(body, dict)
    assert (body["newSlTriggerPx"], body["newTpTriggerPx"]) == ("58000", "70000")


def test_a_stop_can_be_attached_to_an_entry() -> None:
    assert attached(BOTH) == [
        {
            "attachAlgoClOrdId": STOP.client_order_id,
            "slTriggerPx": "58000",
            "slTriggerPxType": "last",
            "slOrdPx": "-1",
            "tpTriggerPx": "70000",
            "tpTriggerPxType": "last",
            "tpOrdPx": "-1",
        }
    ]


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, "58000"), (Side.SELL, "62000")])
def test_an_entry_brings_its_stop_along(side: Side, price: str) -> None:
    stop = AttachedStop(ClientOrderId("guard"), Decimal(price), PriceSource.MARK)

    body = place(terms(side=side, attached=stop), BTC_SWAP, NET)

    assert isinstance(body, dict)
    assert body["ordType"] == "market"
    assert "reduceOnly" not in body
    assert body["attachAlgoOrds"] == [
        {
            "attachAlgoClOrdId": "guard",
            "slTriggerPx": price,
            "slTriggerPxType": "mark",
            "slOrdPx": "-1",
        }
    ]


def test_a_target_is_moved_in_place() -> None:
    body = amend(replace(TARGET, watches=PriceSource.MARK), BTC_SWAP)

    assert body == {
        "instId": "BTC-USDT-SWAP",
        "newSz": "2",
        "algoClOrdId": TARGET.client_order_id,
        "newTpTriggerPx": "70000",
        "newTpTriggerPxType": "mark",
        "newTpOrdPx": "-1",
    }


@pytest.mark.parametrize(
    "refused",
    [
        place(terms(OrderType.LIMIT), BTC_SWAP, NET),
        place(terms(OrderType.STOP), BTC_SWAP, NET),
        place(terms(OrderType.TRAIL), BTC_SWAP, NET),
        place(terms(quantity=Decimal(0)), BTC_SWAP, NET),
        place(terms(quantity=Decimal("-0.02")), BTC_SWAP, NET),
        place(terms(quantity=Decimal("0.00005")), BTC_SWAP, NET),
        attached(TRAIL),
        amend(TRAIL, BTC_SWAP),
        amend(STOP, BTC_SPOT),
        amend(terms(), BTC_SWAP),
    ],
)
def test_what_cannot_be_said_to_the_venue_is_refused(refused: object) -> None:
    assert isinstance(refused, Refused)


@given(st.integers(1, 10**9))
def test_a_size_at_the_venue_is_exactly_the_quantity(lots: int) -> None:
    quantity = lots * BTC_SWAP.lot_size
    size = size_of(quantity, BTC_SWAP)

    assert isinstance(size, str)
    assert Decimal(size) * BTC_SWAP.contract_size == quantity


@given(
    st.sampled_from([STOP, TARGET]),
    st.decimals("0.1", 10**6, places=1),
    st.integers(1, 10**6),
    st.sampled_from([PriceSource.LAST, PriceSource.MARK]),
)
def test_a_stop_comes_back_as_it_was_sent(
    order: OrderTerms, price: Decimal, lots: int, watches: PriceSource
) -> None:
    sent = replace(order, trigger_price=price, quantity=lots * BTC_SWAP.lot_size, watches=watches)
    body = place(sent, BTC_SWAP, NET)
    assert isinstance(body, dict)
    told = {key: ("true" if value is True else value) for key, value in body.items()}

    back = algo_from_row(algo_row(lever="", slTriggerPx="") | told, INSTRUMENTS)

    assert back.terms == sent
