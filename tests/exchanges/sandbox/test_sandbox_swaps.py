"""Swaps at the sandbox: net and hedged positions, margin, leverage, liquidation, funding."""

from decimal import Decimal

from exchanges.sandbox.endpoints_trade import close_position
from exchanges.sandbox.margin import pay_funding, set_leverage, set_position_mode
from exchanges.sandbox.money_rows import balance_row, bill_row, position_row
from exchanges.sandbox.outside import liquidate
from exchanges.sandbox.params import Params
from tests.exchanges.sandbox.desk import SWAP, Desk, refusal

HEDGE = "long_short_mode"


def shown(desk: Desk) -> dict:
    (position,) = desk.account.open_positions()
    return position_row(desk.account, position)


def test_a_long_counts_contracts_and_pays_its_fee_in_quote() -> None:
    desk = Desk()

    row = desk.place(SWAP, sz="10")

    assert (row["fee"], row["feeCcy"], row["avgPx"]) == ("-3.000005", "USDT", "60000.1")
    assert (shown(desk)["pos"], shown(desk)["posSide"]) == ("10", "net")
    assert desk.cash("USDT") == Decimal("9996.999995")


def test_a_position_binds_margin_by_its_leverage() -> None:
    desk = Desk()
    set_leverage(desk.account, SWAP, "cross", "net", Decimal(10))

    desk.place(SWAP, sz="10")

    row = shown(desk)
    assert (row["lever"], row["imr"], row["notionalUsd"]) == ("10", "600", "6000")


def test_closing_half_books_half_of_the_profit() -> None:
    desk = Desk()
    desk.place(SWAP, side="sell", sz="10")
    desk.price("59000", SWAP)

    row = desk.place(SWAP, side="buy", sz="5", reduceOnly="true")

    assert row["pnl"] == text_of(Decimal("999.9") * Decimal("0.05"))
    assert shown(desk)["pos"] == "-5"
    assert shown(desk)["avgPx"] == "60000"


def text_of(value: Decimal) -> str:
    return format(value.normalize(), "f")


def test_an_order_larger_than_the_position_turns_it_unless_it_may_only_reduce() -> None:
    turned, reduced = Desk(), Desk()
    for desk in (turned, reduced):
        desk.place(SWAP, sz="5")

    turned.place(SWAP, side="sell", sz="8")
    row = reduced.place(SWAP, side="sell", sz="8", reduceOnly="true")

    assert turned.held() == -3
    assert reduced.held() == 0
    assert (row["accFillSz"], row["state"]) == ("5", "canceled")


def test_a_resting_reduce_only_order_goes_when_the_position_is_gone() -> None:
    desk = Desk()
    desk.place(SWAP, sz="5")
    resting = desk.place(SWAP, side="sell", sz="5", px="61000", reduceOnly="true")
    desk.place(SWAP, side="sell", sz="5")

    desk.price("61500", SWAP)

    assert desk.order(resting)["state"] == "canceled"
    assert desk.held() == 0


def test_hedge_mode_keeps_long_and_short_apart_and_needs_the_side() -> None:
    desk = Desk(HEDGE)
    assert refusal(lambda: desk.place(SWAP, sz="5")) == "51000"

    desk.place(SWAP, sz="5", posSide="long")
    desk.place(SWAP, side="sell", sz="3", posSide="short")

    sizes = {one.pos_side: one.size for one in desk.account.open_positions()}
    assert sizes == {"long": Decimal(5), "short": Decimal(3)}


def test_hedge_mode_passes_reduce_only_over() -> None:
    desk = Desk(HEDGE)

    desk.place(SWAP, sz="5", posSide="long", reduceOnly="true")

    assert desk.held() == 5


def test_a_stop_of_the_short_side_leaves_the_long_alone() -> None:
    desk = Desk(HEDGE)
    desk.place(SWAP, sz="5", posSide="long")
    desk.place(SWAP, side="sell", sz="3", posSide="short")
    desk.stop(SWAP, side="buy", sz="3", posSide="short", slTriggerPx="61000")

    desk.price("61000", SWAP)

    assert {one.pos_side for one in desk.account.open_positions()} == {"long"}


def test_hedge_mode_closes_only_what_is_there() -> None:
    desk = Desk(HEDGE)
    assert refusal(lambda: desk.place(SWAP, side="sell", sz="1", posSide="long")) == "51169"
    desk.place(SWAP, sz="5", posSide="long")
    desk.place(SWAP, side="sell", sz="4", px="61000", posSide="long")

    assert refusal(lambda: desk.place(SWAP, side="sell", sz="2", posSide="long")) == "51112"

    desk.price("61000", SWAP)
    assert desk.held() == 1


def test_the_position_mode_stays_while_something_is_open() -> None:
    desk = Desk()
    desk.place(SWAP, sz="5")

    assert refusal(lambda: set_position_mode(desk.account, HEDGE)) == "59000"

    desk.place(SWAP, side="sell", sz="5")
    set_position_mode(desk.account, HEDGE)
    assert desk.account.position_mode == HEDGE


def test_leverage_has_a_limit() -> None:
    desk = Desk()

    assert (
        refusal(lambda: set_leverage(desk.account, SWAP, "cross", "net", Decimal(101))) == "59102"
    )


def test_an_isolated_position_is_liquidated_by_its_own_margin() -> None:
    desk = Desk()
    set_leverage(desk.account, SWAP, "isolated", "net", Decimal(10))
    desk.place(SWAP, sz="10", tdMode="isolated")
    price = Decimal(shown(desk)["liqPx"])

    desk.price(str(price + 10), SWAP)
    assert desk.held() == 10
    desk.price(str(price - 10), SWAP)

    assert desk.held() == 0
    order = desk.told("orders")[-1]
    assert (order["category"], order["clOrdId"]) == ("full_liquidation", "")
    assert desk.account.fills[-1].sub_type == "104"
    assert desk.told("balance_and_position")[-1]["eventType"] == "liquidation"


def money(desk: Desk) -> dict[str, Decimal]:
    (row,) = balance_row(desk.account, ("USDT",))["details"]
    return {name: Decimal(row[name]) for name in ("cashBal", "isoEq", "isoUpl", "eq", "availEq")}


def isolated_desk() -> Desk:
    desk = Desk(margin="isolated")
    set_leverage(desk.account, SWAP, "isolated", "net", Decimal(10))
    desk.place(SWAP, sz="10")
    return desk


def test_the_margin_of_an_isolated_position_is_out_of_the_cash() -> None:
    desk = isolated_desk()
    desk.price("60100.1", SWAP)

    told = money(desk)
    bill = bill_row(desk.account.bills[-1])
    assert told["cashBal"] == Decimal(10_000) - Decimal("3.000005") - Decimal("600.001")
    assert told["availEq"] == told["cashBal"]
    assert (told["isoEq"], told["isoUpl"]) == (Decimal("610.001"), 10)
    assert told["eq"] == told["cashBal"] + told["isoEq"]
    assert (bill["balChg"], bill["posBalChg"]) == ("-603.001005", "600.001")
    assert shown(desk)["margin"] == bill["posBal"] == "600.001"


def test_a_closed_part_of_an_isolated_position_gives_its_share_of_the_margin_back() -> None:
    desk = isolated_desk()
    desk.place(SWAP, side="sell", sz="4", reduceOnly="true")
    assert shown(desk)["margin"] == "360.0006"

    desk.place(SWAP, side="sell", sz="16")  # turned around
    assert shown(desk)["margin"] == "600"
    desk.place(SWAP, side="buy", sz="10", reduceOnly="true")

    told = money(desk)
    assert told["isoEq"] == told["isoUpl"] == 0
    assert told["cashBal"] == 10_000 + sum(one.pnl + one.fee for one in desk.account.fills)


def test_funding_that_an_isolated_position_pays_leaves_its_margin() -> None:
    desk = isolated_desk()
    before, liquidation = money(desk), Decimal(shown(desk)["liqPx"])

    pay_funding(desk.account, SWAP, Decimal("0.001"))

    bill = bill_row(desk.account.bills[-1])
    assert (bill["balChg"], bill["posBalChg"]) == ("0", "-6")
    assert money(desk)["cashBal"] == before["cashBal"]
    assert money(desk)["isoEq"] == before["isoEq"] - 6
    assert Decimal(shown(desk)["liqPx"]) > liquidation

    pay_funding(desk.account, SWAP, Decimal("-0.001"))
    assert money(desk)["cashBal"] == before["cashBal"] + 6


def test_another_leverage_moves_the_margin_of_an_isolated_position() -> None:
    desk = isolated_desk()
    before = money(desk)

    set_leverage(desk.account, SWAP, "isolated", "net", Decimal(5))

    bill = bill_row(desk.account.bills[-1])
    assert (bill["type"], bill["balChg"], bill["posBalChg"]) == ("6", "-600.001", "600.001")
    assert money(desk)["isoEq"] == before["isoEq"] + Decimal("600.001")
    assert money(desk)["eq"] == before["eq"]


def test_a_cross_position_is_liquidated_by_all_of_the_money() -> None:
    desk = Desk()
    set_leverage(desk.account, SWAP, "cross", "net", Decimal(100))
    desk.place(SWAP, side="sell", sz="100")
    price = Decimal(shown(desk)["liqPx"])

    desk.price(str(price - 10), SWAP)
    assert desk.held() == -100
    desk.price(str(price + 10), SWAP)

    assert desk.held() == 0
    assert desk.cash("USDT") >= 0


def test_what_a_crash_takes_beyond_the_money_is_borne_by_the_venue() -> None:
    desk = Desk()
    set_leverage(desk.account, SWAP, "cross", "net", Decimal(100))
    desk.place(SWAP, sz="100")

    desk.price("20000", SWAP)

    assert desk.cash("USDT") == 0


def test_a_deleveraged_position_is_told_as_adl() -> None:
    desk = Desk()
    desk.place(SWAP, side="sell", sz="10")

    liquidate(desk.account, SWAP, "adl")

    assert desk.told("orders")[-1]["category"] == "adl"
    assert desk.account.fills[-1].sub_type == "126"


def test_a_trade_of_the_venue_itself_has_a_number_below_zero_and_none_in_the_order() -> None:
    desk = Desk()
    desk.place(SWAP, side="sell", sz="10")

    liquidate(desk.account, SWAP, "adl")

    assert int(desk.account.fills[0].trade_id) > 0 > int(desk.account.fills[-1].trade_id)
    assert desk.told("orders")[-1]["tradeId"] == "0"


def test_a_long_pays_funding_and_the_bill_says_so() -> None:
    desk = Desk()
    desk.place(SWAP, sz="10")
    before = desk.cash("USDT")

    pay_funding(desk.account, SWAP, Decimal("0.001"))

    bill = desk.account.bills[-1]
    assert desk.cash("USDT") - before == Decimal(-6)
    assert (bill.type, bill.sub_type, bill.change) == ("8", "173", Decimal(-6))


def test_funding_comes_by_itself_every_eight_hours() -> None:
    desk = Desk()
    desk.place(SWAP, side="sell", sz="10")

    desk.pass_time(8 * 3_600_000)

    assert [bill.sub_type for bill in desk.account.bills if bill.type == "8"] == ["174"]


def test_two_positions_in_one_swap_pay_funding_once_each() -> None:
    desk = Desk(HEDGE)
    desk.place(SWAP, sz="5", posSide="long")
    desk.place(SWAP, side="sell", sz="3", posSide="short")

    desk.pass_time(8 * 3_600_000)

    assert len([bill for bill in desk.account.bills if bill.type == "8"]) == 2


def test_a_position_is_closed_by_one_call() -> None:
    desk = Desk()
    desk.place(SWAP, sz="10")
    stop = desk.stop(SWAP, sz="10", slTriggerPx="59000", reduceOnly="true")

    close_position(desk.account, Params({"instId": SWAP, "mgnMode": "cross", "autoCxl": "true"}))

    assert desk.held() == 0
    assert desk.algo(stop)["state"] == "canceled"
    again = Params({"instId": SWAP, "mgnMode": "cross"})
    assert refusal(lambda: close_position(desk.account, again)) == "51023"
