"""Orders at the sandbox: taken and refused as the venue does, filled, amended, canceled."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from exchanges.sandbox.params import Params
from tests.exchanges.sandbox.desk import SPOT, SWAP, Desk, refusal


def test_a_spot_buy_pays_its_fee_in_base() -> None:
    desk = Desk()

    row = desk.place(sz="0.1")

    assert (row["state"], row["avgPx"], row["fee"], row["feeCcy"]) == (
        "filled",
        "60000.1",
        "-0.0001",
        "BTC",
    )
    assert desk.cash("BTC") == Decimal("0.0999")
    assert desk.cash("USDT") == Decimal(10000) - Decimal("6000.01")


def test_a_spot_sell_pays_its_fee_in_quote() -> None:
    desk = Desk(BTC="1")

    row = desk.place(side="sell", sz="0.1")

    assert (row["fee"], row["feeCcy"]) == ("-6", "USDT")
    assert desk.cash("USDT") == Decimal(5994)


def test_a_market_buy_counts_quote_unless_it_says_base() -> None:
    row = Desk().place(sz="600.001", tgtCcy="quote_ccy")

    assert (row["accFillSz"], row["state"]) == ("0.01", "filled")


def test_a_limit_order_rests_frozen_and_fills_at_its_own_price_as_maker() -> None:
    desk = Desk()
    row = desk.place(sz="0.1", px="59000")
    assert (row["state"], desk.free("USDT")) == ("live", Decimal(4100))

    desk.price("58000")

    row = desk.order(row)
    assert (row["state"], row["avgPx"], row["fee"]) == ("filled", "59000", "-0.00008")
    assert desk.account.asset("USDT").frozen == 0


def test_canceling_gives_the_frozen_money_back() -> None:
    desk = Desk()
    row = desk.place(sz="0.1", px="59000")

    assert desk.cancel(row)["state"] == "canceled"

    assert desk.free("USDT") == Decimal(10000)
    assert refusal(lambda: desk.cancel(row)) == "51400"


def test_an_order_that_the_market_fills_in_part_goes_on_when_there_is_more() -> None:
    desk = Desk()
    quote = desk.venue.market.quote(SPOT)
    quote.liquidity = Decimal("0.04")
    row = desk.place(sz="0.1", px="60000.1")
    assert (row["state"], row["accFillSz"]) == ("partially_filled", "0.04")
    assert desk.account.asset("USDT").frozen == Decimal("0.06") * Decimal("60000.1")

    quote.liquidity = None
    desk.price("60000")

    assert desk.order(row)["state"] == "filled"


def test_what_an_ioc_order_does_not_get_is_canceled() -> None:
    desk = Desk()
    desk.venue.market.quote(SPOT).liquidity = Decimal("0.04")

    row = desk.place(sz="0.1", px="60100", ordType="ioc")

    assert (row["state"], row["accFillSz"], row["cancelSource"]) == ("canceled", "0.04", "14")


def test_a_fok_order_gets_all_or_nothing() -> None:
    desk = Desk()
    desk.venue.market.quote(SPOT).liquidity = Decimal("0.04")

    row = desk.place(sz="0.1", px="60100", ordType="fok")

    assert (row["state"], row["accFillSz"]) == ("canceled", "0")


def test_a_post_only_order_that_would_take_is_canceled() -> None:
    row = Desk().place(px="60100", ordType="post_only")

    assert (row["state"], row["cancelSource"]) == ("canceled", "31")


def test_an_amended_order_freezes_what_it_needs_now() -> None:
    desk = Desk()
    row = desk.place(sz="0.1", px="59000")

    desk.amend(row, newSz="0.05", newPx="58000", reqId="r1")

    assert desk.account.asset("USDT").frozen == Decimal(2900)
    pushed = desk.told("orders")[-1]
    assert (pushed["amendResult"], pushed["reqId"], pushed["px"]) == ("0", "r1", "58000")


def test_an_amendment_that_is_refused_changes_nothing() -> None:
    desk = Desk()
    row = desk.place(sz="0.1", px="59000")

    assert refusal(lambda: desk.amend(row, newSz="10")) == "51008"

    assert desk.order(row)["sz"] == "0.1"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"sz": "0.000001"}, "51020"),
        ({"sz": "0.000000011"}, "51020"),
        ({"sz": "0.0100000001"}, "51121"),
        ({"inst_id": SWAP, "sz": "0.015"}, "51121"),
        ({"sz": "1"}, "51008"),
        ({"side": "sell"}, "51008"),
        ({"inst_id": "NOPE-USDT"}, "51001"),
        ({"px": "60000.05"}, "51000"),
        ({"px": "70000"}, "51137"),
        ({"side": "sell", "px": "50000"}, "51138"),
        ({"inst_id": SWAP, "sz": "1", "px": "70000"}, "51006"),
        ({"clOrdId": "with-dash"}, "51000"),
        ({"clOrdId": "a" * 33}, "51000"),
        ({"tdMode": "cross"}, "51010"),
        ({"inst_id": SWAP, "sz": "1", "tdMode": "cash"}, "51000"),
        ({"inst_id": SWAP, "sz": "1", "posSide": "long"}, "51000"),
        ({"inst_id": SWAP, "sz": "1", "reduceOnly": "true"}, "51169"),
        ({"inst_id": SWAP, "sz": "100"}, "51008"),
        ({"sz": "NaN"}, "51000"),
        ({"sz": "-1"}, "51000"),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_with_the_venues_code(
    fields: dict, code: str
) -> None:
    desk = Desk()

    assert refusal(lambda: desk.place(**fields)) == code

    assert not desk.account.orders
    assert not desk.pushed


@pytest.mark.parametrize(
    ("inst_id", "most", "taken", "refused"), [(SWAP, 5, "5", "6"), (SPOT, 600, "0.01", "0.011")]
)
def test_an_order_at_market_has_a_largest_size_in_contracts_or_in_money(
    inst_id: str, most: int, taken: str, refused: str
) -> None:
    desk = Desk(USDT="100000", BTC="1")
    quote = desk.venue.market.quote(inst_id)
    quote.listing = replace(quote.listing, max_market=Decimal(most))

    assert refusal(lambda: desk.place(inst_id, "sell", sz=refused)) == "51202"
    assert desk.place(inst_id, "sell", sz=taken)["state"] == "filled"
    assert desk.place(inst_id, "sell", sz=refused, px="61000")["state"] == "live"


def test_a_stop_of_a_swap_has_a_largest_size() -> None:
    desk = Desk()
    quote = desk.venue.market.quote(SWAP)
    quote.listing = replace(quote.listing, max_market=Decimal(5))
    desk.place(SWAP, sz="5")

    assert refusal(lambda: desk.stop(SWAP, sz="6", slTriggerPx="59000")) == "51202"
    assert desk.stop(SWAP, sz="5", slTriggerPx="59000")["state"] == "live"


def test_nothing_new_is_taken_in_a_suspended_instrument() -> None:
    desk = Desk()
    resting = desk.place(sz="0.01", px="59000")
    desk.venue.market.quote(SPOT).is_suspended = True

    assert refusal(lambda: desk.place(sz="0.01")) == "51022"
    assert desk.cancel(resting)["state"] == "canceled"


def test_a_client_order_id_is_taken_once_for_ever() -> None:
    desk = Desk()
    row = desk.place(sz="0.001", px="59000", clOrdId="mine1")
    desk.cancel(row)

    assert refusal(lambda: desk.place(sz="0.001", clOrdId="mine1")) == "51016"
    assert desk.account.resent == ["mine1"]


def test_each_step_is_pushed_with_the_fill_that_it_is_about() -> None:
    desk = Desk()

    desk.place(sz="0.1")

    live, filled = desk.told("orders")
    assert (live["state"], live["fillSz"], live["tradeId"]) == ("live", "0", "")
    assert (filled["state"], filled["fillSz"], filled["fillFee"]) == ("filled", "0.1", "-0.0001")
    assert (filled["fillFeeCcy"], filled["execType"]) == ("BTC", "T")
    assert desk.told("balance_and_position")[-1]["eventType"] == "filled"


def test_everything_is_canceled_when_nobody_called_in_time() -> None:
    desk = Desk()
    row = desk.place(sz="0.1", px="59000")
    desk.account.cancel_all_at_ms = desk.account.now_ms + 10_000

    desk.pass_time(10_000)

    assert desk.order(row)["cancelSource"] == "20"


def test_numbers_that_are_no_text_are_taken_as_the_venue_takes_them() -> None:
    assert Params({"sz": 5}).number("sz") == Decimal(5)
    assert refusal(lambda: Params({"sz": ["5"]}).number("sz")) == "51000"
