"""What executions do to cash, holdings and what may still be spent."""

from decimal import Decimal

D = Decimal


def test_a_position_in_one_symbol_is_one_net_position_at_its_average_price(desk):
    desk.send("buy", "1")
    desk.price("110")
    desk.send("buy", "1")

    (position,) = [held.as_position() for held in desk.account.holdings.values()]

    assert (position.quantity, position.average_price) == (2, 105)


def test_closing_a_part_realizes_its_part_at_average_cost(desk):
    desk.send("buy", "2")
    desk.price("110")

    desk.send("sell", "1")

    assert desk.account.cash.amount == 10_010
    assert desk.held() == 1


def test_a_short_earns_when_the_price_falls(desk):
    desk.send("sell", "2")
    desk.price("90")

    desk.send("buy", "2")

    assert desk.account.cash.amount == 10_020
    assert desk.account.holding("BTC/USDT:USDT").cost == 0


def test_an_order_beyond_the_position_closes_it_and_opens_the_other_way(desk):
    desk.send("buy", "1")
    desk.price("110")

    desk.send("sell", "3")

    assert desk.held() == -2
    assert desk.account.cash.amount == 10_010
    assert desk.account.holding("BTC/USDT:USDT").as_position().average_price == 110


def test_fees_are_charged_on_the_notional_by_who_took_and_who_made(make_desk):
    desk = make_desk(taker_fee=D("0.0005"), maker_fee=D("0.0002"))

    desk.send("buy", "1")
    desk.send("sell", "1", limit="120")
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

    desk.send("sell", "5")

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

    desk.send("sell", "100", limit="110")

    assert desk.account.available == 0


def test_a_losing_account_can_close_but_not_open(make_desk):
    desk = make_desk(starting_balance=D(100), taker_fee=D("0.0005"))
    desk.send("buy", "15", leverage=20)
    desk.price("90")

    assert desk.send("sell", "15").venue_order_id
    assert desk.account.cash.amount < 0
    assert desk.send("buy", "1", leverage=20).code == "INSUFFICIENT_BALANCE"


def test_a_market_order_must_be_payable_at_the_worst_slippage(make_desk):
    desk = make_desk(starting_balance=D(100), slippage_high=D("0.001"))

    assert desk.send("buy", "1").code == "INSUFFICIENT_BALANCE"
    assert desk.send("buy", "0.9").venue_order_id
