"""Stops and targets at the sandbox: they wait, fire, fail, are amended, come along with orders."""

from decimal import Decimal

import pytest

from exchanges.sandbox.rows import order_row
from tests.exchanges.sandbox.desk import SPOT, SWAP, Desk, refusal


def child_of(desk: Desk, algo: dict) -> dict:
    return order_row(desk.account.orders[desk.algo(algo)["ordId"]])


def long_swap() -> Desk:
    desk = Desk()
    desk.place(SWAP, sz="10")
    return desk


def test_a_stop_fires_at_its_price_and_its_child_names_it() -> None:
    desk = long_swap()
    stop = desk.stop(SWAP, sz="10", slTriggerPx="59000", reduceOnly="true", algoClOrdId="g1")
    desk.price("59000.1", SWAP)
    assert desk.algo(stop)["state"] == "live"

    desk.price("59000", SWAP)

    algo, child = desk.algo(stop), child_of(desk, stop)
    assert (algo["state"], algo["actualSide"], algo["actualSz"]) == ("effective", "sl", "10")
    assert algo["ordIdList"] == [child["ordId"]]
    assert (child["algoId"], child["algoClOrdId"], child["clOrdId"]) == (algo["algoId"], "g1", "")
    assert (child["state"], child["reduceOnly"]) == ("filled", "true")
    assert desk.held() == 0


def test_the_pushes_of_a_stop_that_fires_come_in_order() -> None:
    desk = long_swap()
    desk.stop(SWAP, sz="10", slTriggerPx="59000", algoClOrdId="g1")
    desk.pushed.clear()

    desk.price("58000", SWAP)

    told = [(name, row["state"]) for name, row in desk.pushed if name.startswith("orders")]
    assert told == [("orders-algo", "effective"), ("orders", "live"), ("orders", "filled")]


def test_a_stop_may_watch_the_mark() -> None:
    desk = long_swap()
    stop = desk.stop(SWAP, sz="10", slTriggerPx="59000", slTriggerPxType="mark")

    desk.price("58000", SWAP, mark="59500")
    assert desk.algo(stop)["state"] == "live"
    desk.venue.market.mark(SWAP, Decimal(58900))

    assert desk.algo(stop)["state"] == "effective"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"slTriggerPx": "60000"}, "51280"),
        ({"side": "buy", "slTriggerPx": "59999"}, "51278"),
        ({"tpTriggerPx": "60000"}, "51279"),
        ({"side": "buy", "tpTriggerPx": "60001"}, "51277"),
        ({}, "50015"),
        ({"slTriggerPx": "59000", "slOrdPx": ""}, "51000"),
        ({"slTriggerPx": "59000.05"}, "51000"),
        ({"slTriggerPx": "59000", "sz": "0.001"}, "51020"),
        ({"slTriggerPx": "59000", "algoClOrdId": "no-dash"}, "51000"),
        ({"ordType": "oco", "slTriggerPx": "59000"}, "50015"),
    ],
)
def test_a_stop_that_makes_no_sense_is_refused(fields: dict, code: str) -> None:
    desk = long_swap()

    assert refusal(lambda: desk.stop(SWAP, **{"sz": "10", **fields})) == code

    assert not desk.account.algos


def test_of_two_that_cancel_each_other_the_stop_goes_first() -> None:
    desk = long_swap()
    both = desk.stop(SWAP, sz="10", ordType="oco", slTriggerPx="59000", tpTriggerPx="61000")

    desk.price("61000", SWAP)

    assert desk.algo(both)["actualSide"] == "tp"
    assert desk.held() == 0


def test_a_trailing_stop_follows_the_best_price() -> None:
    desk = long_swap()
    trail = desk.stop(SWAP, sz="10", ordType="move_order_stop", callbackRatio="0.01")
    for last in ("61000", "62000", "61400"):
        desk.price(last, SWAP)
    assert desk.algo(trail)["moveTriggerPx"] == "61380"

    desk.price("61380", SWAP)

    assert desk.algo(trail)["state"] == "effective"
    assert desk.told("algo-advance")[-1]["state"] == "effective"


def test_a_trailing_stop_waits_for_its_activation() -> None:
    desk = long_swap()
    trail = desk.stop(
        SWAP, sz="10", ordType="move_order_stop", callbackSpread="100", activePx="61000"
    )
    desk.price("59000", SWAP)
    assert desk.algo(trail)["state"] == "live"

    desk.price("61000", SWAP)
    desk.price("60900", SWAP)

    assert desk.algo(trail)["state"] == "effective"


def test_a_trigger_order_fires_from_either_side() -> None:
    desk = Desk()
    above = desk.stop(SWAP, side="buy", sz="1", ordType="trigger", triggerPx="61000", orderPx="-1")
    below = desk.stop(SWAP, side="buy", sz="1", ordType="trigger", triggerPx="59000", orderPx="-1")

    desk.price("61000", SWAP)

    assert (desk.algo(above)["state"], desk.algo(below)["state"]) == ("effective", "live")


def test_a_child_that_is_refused_leaves_the_stop_failed_with_the_code() -> None:
    desk = long_swap()
    stop = desk.stop(SWAP, sz="10", slTriggerPx="59000")
    desk.account.reject_children.append("51008")

    desk.price("58000", SWAP)

    algo = desk.algo(stop)
    assert (algo["state"], algo["failCode"], algo["ordId"]) == ("order_failed", "51008", "")
    assert desk.held() == 10


def test_a_reduce_only_stop_without_a_position_fails_when_it_fires() -> None:
    desk = long_swap()
    stop = desk.stop(SWAP, sz="10", slTriggerPx="59000", reduceOnly="true")
    desk.place(SWAP, side="sell", sz="10")

    desk.price("58000", SWAP)

    assert desk.algo(stop)["failCode"] == "51169"
    assert desk.held() == 0


def test_a_stop_for_the_whole_position_goes_with_it() -> None:
    desk = long_swap()
    stop = desk.stop(SWAP, sz="", closeFraction="1", slTriggerPx="59000", reduceOnly="true")

    desk.place(SWAP, side="sell", sz="10")

    assert desk.algo(stop)["state"] == "canceled"


def test_a_stop_for_the_whole_position_closes_what_there_is() -> None:
    desk = long_swap()
    desk.stop(SWAP, sz="", closeFraction="1", slTriggerPx="59000", reduceOnly="true")
    desk.place(SWAP, sz="5")

    desk.price("58000", SWAP)

    assert desk.held() == 0


def test_a_spot_stop_binds_the_coins_it_would_sell() -> None:
    desk = Desk()
    desk.place(sz="0.1")
    stop = desk.stop(sz="0.0999", slTriggerPx="59000")

    assert desk.free("BTC") == 0
    assert refusal(lambda: desk.place(side="sell", sz="0.05")) == "51008"
    assert refusal(lambda: desk.stop(sz="0.05", slTriggerPx="58000")) == "51008"

    desk.cancel_stop(stop)
    assert desk.free("BTC") == Decimal("0.0999")


def test_a_spot_stop_sells_what_it_bound() -> None:
    desk = Desk()
    desk.place(sz="0.1")
    desk.stop(sz="0.0999", slTriggerPx="59000")

    desk.price("58000", SPOT)

    assert desk.cash("BTC") == 0
    assert desk.account.asset("BTC").frozen == 0


def test_an_amended_stop_keeps_its_id_and_moves() -> None:
    desk = long_swap()
    stop = desk.stop(SWAP, sz="10", slTriggerPx="59000", algoClOrdId="g1")

    moved = desk.amend_stop(stop, newSlTriggerPx="59500", newSz="5")

    assert (moved["algoId"], moved["slTriggerPx"], moved["sz"]) == (stop["algoId"], "59500", "5")
    assert desk.told("orders-algo")[-1]["slTriggerPx"] == "59500"


def test_an_amendment_that_would_fire_at_once_changes_nothing() -> None:
    desk = long_swap()
    stop = desk.stop(SWAP, sz="10", slTriggerPx="59000")

    assert refusal(lambda: desk.amend_stop(stop, newSlTriggerPx="60000")) == "51280"

    assert desk.algo(stop)["slTriggerPx"] == "59000"


def test_a_trailing_stop_cannot_be_amended() -> None:
    desk = long_swap()
    trail = desk.stop(SWAP, sz="10", ordType="move_order_stop", callbackRatio="0.01")

    assert refusal(lambda: desk.amend_stop(trail, newSz="5")) == "51506"


def test_an_id_of_a_stop_is_taken_once() -> None:
    desk = long_swap()
    stop = desk.stop(SWAP, sz="10", slTriggerPx="59000", algoClOrdId="g1")
    desk.cancel_stop(stop)

    assert (
        refusal(lambda: desk.stop(SWAP, sz="10", slTriggerPx="59000", algoClOrdId="g1")) == "51065"
    )


def test_an_entry_brings_stop_and_target_along() -> None:
    desk = Desk()
    attached = {"attachAlgoClOrdId": "x1", "slTriggerPx": "59000", "slOrdPx": "-1"}

    entry = desk.place(sz="0.1", attachAlgoOrds=[attached])

    (algo,) = desk.account.algos.values()
    assert (algo.client_id, algo.size, algo.parent_id) == ("x1", Decimal("0.0999"), entry["ordId"])
    assert entry["attachAlgoOrds"][0]["attachAlgoClOrdId"] == "x1"
    desk.price("58000", SPOT)
    assert desk.cash("BTC") == 0


def test_a_stop_comes_along_with_what_an_order_filled_before_it_was_canceled() -> None:
    desk = Desk()
    desk.venue.market.quote(SWAP).liquidity = Decimal(4)
    attached = {"slTriggerPx": "59000", "slOrdPx": "-1"}
    entry = desk.place(SWAP, sz="10", px="60000.1", attachAlgoOrds=[attached])
    assert not desk.account.algos

    desk.cancel(entry)

    assert [one.size for one in desk.account.algos.values()] == [Decimal(4)]


def test_a_stop_that_comes_along_must_make_sense_too() -> None:
    attached = {"slTriggerPx": "61000", "slOrdPx": "-1"}

    assert refusal(lambda: Desk().place(sz="0.1", attachAlgoOrds=[attached])) == "51280"
