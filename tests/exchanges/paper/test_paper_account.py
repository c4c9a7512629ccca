"""What executions do to cash, holdings and what may still be spent."""

from decimal import Decimal

import pytest

from domain.instrument import Direction

D = Decimal
BTC = "BTC/USDT:USDT"


def test_what_is_entered_twice_is_one_holding_at_its_average_price(desk):
    desk.send("buy", "1")
    desk.price("110")
    desk.send("buy", "1")

    (position,) = desk.positions()
    assert (position.quantity, position.average_price) == (2, 105)


def test_closing_a_part_realizes_its_part_at_average_cost(desk):
    desk.send("buy", "2")
    desk.price("110")

    desk.send("sell", "1", reduce_only=True)

    assert desk.account.cash.amount == 10_010
    assert desk.held("long") == 1


def test_a_short_earns_when_the_price_falls(desk):
    desk.send("sell", "2")
    desk.price("90")

    desk.send("buy", "2", reduce_only=True)

    assert desk.account.cash.amount == 10_020
    assert desk.account.holding(BTC, Direction.SHORT).cost == 0


def test_a_short_is_opened_beside_a_long_and_realizes_nothing(desk):
    desk.send("buy", "1")
    desk.price("110")

    desk.send("sell", "3")

    assert [(each.quantity, each.average_price) for each in desk.positions()] == [
        (1, 100),
        (-3, 110),
    ]
    assert desk.account.cash.amount == 10_000


@pytest.mark.parametrize(
    ("exit_side", "closed", "kept", "earned"),
    [("sell", "long", "short", 10), ("buy", "short", "long", -10)],
)
def test_closing_one_side_leaves_the_other_as_it_was(desk, exit_side, closed, kept, earned):
    desk.send("buy", "1", leverage=10)
    desk.send("sell", "1", leverage=5)
    untouched = desk.account.holding(BTC, Direction(kept))
    desk.price("110")

    desk.send(exit_side, "1", reduce_only=True)

    assert desk.held(closed) == 0
    assert desk.account.holding(BTC, Direction(kept)) == untouched
    assert desk.account.cash.amount == 10_000 + earned


def test_a_long_and_a_short_of_one_symbol_each_need_their_own_margin(desk):
    desk.send("buy", "10", leverage=10)
    desk.send("sell", "10", leverage=5)

    assert desk.account.available == 10_000 - 100 - 200


def test_a_short_cannot_be_paid_with_the_margin_of_a_long(desk):
    desk.send("buy", "60")

    assert desk.send("sell", "60").code == "INSUFFICIENT_BALANCE"
    assert desk.send("sell", "60", limit="120").code == "INSUFFICIENT_BALANCE"
    assert desk.held("short") == 0


def test_a_resting_entry_sets_margin_aside_whatever_is_held_on_the_other_side(desk):
    desk.send("sell", "10", leverage=10)

    desk.send("buy", "10", limit="99", leverage=10)

    assert desk.account.available == 10_000 - 100 - 99


def test_fees_are_charged_on_the_notional_by_who_took_and_who_made(make_desk):
    desk = make_desk(taker_fee=D("0.0005"), maker_fee=D("0.0002"))

    desk.send("buy", "1")
    desk.send("sell", "1", limit="120", reduce_only=True)
    desk.price("121")

    assert [fill.fee.amount for fill in desk.fills] == [D("0.05"), D("0.024")]
    assert {fill.fee.asset for fill in desk.fills} == {"USDT"}
    assert desk.account.cash.amount == D(10_000) - D("0.05") + 20 - D("0.024")


def test_leverage_divides_the_margin_that_a_position_needs(desk):
    desk.send("buy", "10", leverage=10)

    assert desk.account.cash.amount == 10_000
    assert desk.account.available == 9_900


def test_closing_half_gives_back_half_of_the_margin(desk):
    desk.send("buy", "10", leverage=10)

    desk.send("sell", "5", reduce_only=True)

    assert desk.account.available == 9_950


def test_spot_is_held_with_its_whole_cost_as_margin(desk, eth):
    desk.send("buy", "100", symbol=eth.symbol)

    assert desk.account.cash.amount == 10_000
    assert desk.account.available == 5_000


def test_a_resting_limit_sets_aside_margin_and_fee(make_desk):
    desk = make_desk(taker_fee=D("0.001"))

    desk.send("buy", "10", limit="99", leverage=10)

    assert desk.account.available == 10_000 - D(99) - D("0.99")


def test_of_a_limit_filled_in_part_only_the_rest_stays_set_aside(make_desk):
    desk = make_desk(partial_fill_chance=1.0, taker_fee=D("0.001"))
    desk.send("buy", "10", limit="99", leverage=10)

    desk.price("98")

    made = desk.fills[0].quantity
    rest = 10 - made
    margin, fee = D(99) / 10, D(99) / 1000  # for each base unit
    assert desk.account.available == 10_000 - made * margin - rest * (margin + fee)


def test_what_was_set_aside_becomes_margin_when_it_fills(desk):
    desk.send("buy", "10", limit="99", leverage=10)

    desk.price("98")

    assert desk.account.available == 10_000 - D(99)


def test_a_limit_that_only_closes_sets_nothing_aside(desk):
    desk.send("buy", "100")

    desk.send("sell", "100", limit="110", reduce_only=True)

    assert desk.account.available == 0


def test_a_losing_account_can_close_but_not_open(make_desk):
    desk = make_desk(starting_balance=D(100), taker_fee=D("0.0005"))
    desk.send("buy", "15", leverage=20)
    desk.price("90")

    assert desk.send("sell", "15", reduce_only=True).venue_order_id
    assert desk.account.cash.amount < 0
    assert desk.send("buy", "1", leverage=20).code == "INSUFFICIENT_BALANCE"


def test_a_market_order_must_be_payable_at_the_worst_slippage(make_desk):
    desk = make_desk(starting_balance=D(100), slippage_high=D("0.001"))

    assert desk.send("buy", "1").code == "INSUFFICIENT_BALANCE"
    assert desk.send("buy", "0.9").venue_order_id
