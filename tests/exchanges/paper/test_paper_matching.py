"""How orders meet prices at the paper venue."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from domain.order import OrderStatus, TimeInForce
from exchanges.paper import matching
from exchanges.paper.matching import Matching
from exchanges.port import Accepted, Refused

D = Decimal


def prices(desk):
    return [str(fill.price) for fill in desk.fills]


def quantities(desk):
    return [str(fill.quantity) for fill in desk.fills]


# Market orders


def test_without_slippage_a_market_order_gets_exactly_the_last_price(desk):
    desk.price("100.07")  # even off the tick: it is what was traded

    assert isinstance(desk.send("buy", "1"), Accepted)

    assert prices(desk) == ["100.07"]
    assert desk.statuses == ["filled"]


@pytest.mark.parametrize(("side", "worst"), [("buy", "100.2"), ("sell", "99.8")])
def test_slippage_goes_against_the_order_to_the_next_tick(make_desk, side, worst):
    desk = make_desk(slippage_low=D("0.0011"), slippage_high=D("0.0011"))

    desk.send(side, "1")

    assert prices(desk) == [worst]


def test_a_market_order_before_the_first_trade_is_refused(desk):
    desk.price("")

    assert desk.send("buy", "1").code == "NO_PRICE"


def test_an_order_filled_in_parts_ends_whole_and_on_the_lot(make_desk):
    desk = make_desk(partial_fill_chance=1.0)

    desk.send("buy", "0.1")

    assert len(desk.fills) in {2, 3}
    assert sum(fill.quantity for fill in desk.fills) == D("0.1")
    assert all(fill.quantity % D("0.001") == 0 for fill in desk.fills)
    assert desk.statuses[:-1] == ["partial"] * (len(desk.fills) - 1)
    assert desk.statuses[-1] == "filled"


def test_one_lot_cannot_be_split(make_desk):
    desk = make_desk(partial_fill_chance=1.0)
    desk.price("10000")

    desk.send("buy", "0.001")

    assert quantities(desk) == ["0.001"]


def test_with_latency_each_part_gets_the_price_of_its_own_moment(make_desk):
    desk = make_desk(partial_fill_chance=1.0, latency_high_s=0.1)

    desk.send("buy", "1")
    desk.price("101")
    desk.resume()
    desk.resume()

    assert prices(desk)[:2] == ["100", "101"]
    assert sum(fill.quantity for fill in desk.fills) == 1
    assert desk.statuses[-1] == "filled"


def test_what_remains_between_parts_is_set_aside(make_desk):
    desk = make_desk(partial_fill_chance=1.0, latency_high_s=0.1, starting_balance=D(150))

    desk.send("buy", "1")

    assert desk.send("buy", "1").code == "INSUFFICIENT_BALANCE"
    assert desk.account.available == 50


def test_chance_may_refuse_an_order(make_desk):
    desk = make_desk(reject_chance=1.0)

    assert desk.send("buy", "1").code == "BUSY"
    assert desk.updates == []


# Limit orders


def test_a_limit_beyond_the_market_executes_at_the_market_as_taker(desk):
    desk.send("buy", "1", limit="110")

    assert prices(desk) == ["100"]
    assert not desk.fills[0].maker


def test_slippage_never_carries_a_limit_order_beyond_its_limit(make_desk):
    desk = make_desk(slippage_low=D("0.01"), slippage_high=D("0.01"))

    desk.send("buy", "1", limit="100.5")
    desk.send("sell", "1", limit="99.5")

    assert prices(desk) == ["100.5", "99.5"]


def test_a_touch_does_not_fill_a_resting_limit_but_a_trade_through_it_does_at_its_limit(desk):
    desk.send("buy", "1", limit="99")

    desk.price("99")
    assert desk.fills == []
    desk.price("98.9")

    assert prices(desk) == ["99"]
    assert desk.fills[0].maker
    assert desk.statuses == ["open", "filled"]


def test_a_resting_sale_fills_when_a_trade_passes_above_it(desk):
    desk.send("sell", "1", limit="101")

    desk.price("101")
    desk.price("101.1")

    assert prices(desk) == ["101"]


@pytest.mark.parametrize(
    ("side", "limit", "bid", "ask"), [("buy", "99", "98.9", "99"), ("sell", "101", "101", "101.1")]
)
def test_a_quote_that_crosses_a_resting_limit_fills_it(desk, side, limit, bid, ask):
    desk.send(side, "1", limit=limit)

    desk.quote("99.5", "100.5")
    assert desk.fills == []
    desk.quote(bid, ask)

    assert prices(desk) == [limit]


def test_an_empty_side_of_the_market_fills_nothing(desk):
    desk.send("buy", "1", limit="99")

    desk.quote("98", "0")

    assert desk.fills == []


def test_of_two_limits_at_one_price_the_older_fills_first_and_a_nearer_one_before_both(desk):
    for order_id, limit in (("first", "98"), ("second", "98"), ("near", "99")):
        desk.send("buy", "1", limit=limit, id=order_id)

    desk.price("97")

    assert [fill.client_order_id for fill in desk.fills] == ["near", "first", "second"]


def test_a_resting_limit_that_fills_in_parts_takes_two_touches(make_desk):
    desk = make_desk(partial_fill_chance=1.0)
    desk.send("buy", "1", limit="99")

    desk.price("98")
    assert 0 < sum(fill.quantity for fill in desk.fills) < 1
    desk.price("98")

    assert sum(fill.quantity for fill in desk.fills) == 1
    assert desk.statuses == ["open", "partial", "filled"]


def test_a_marketable_limit_that_fills_in_part_rests_with_the_remainder(make_desk):
    desk = make_desk(partial_fill_chance=1.0)

    desk.send("buy", "1", limit="100")
    assert desk.statuses == ["partial"]
    desk.price("99.9")

    assert [fill.maker for fill in desk.fills] == [False, True]
    assert desk.statuses == ["partial", "filled"]


def test_what_an_ioc_order_cannot_get_at_once_is_canceled(make_desk):
    desk = make_desk(partial_fill_chance=1.0)

    desk.send("buy", "1", limit="99", time_in_force=TimeInForce.IOC, id="away")
    desk.send("buy", "1", limit="100", time_in_force=TimeInForce.IOC, id="near")

    assert desk.statuses == ["canceled", "partial", "canceled"]
    assert desk.matching.open == {}


# Stops and targets


@pytest.mark.parametrize("text", ["nan", "inf", "0", "-1"])
def test_a_price_that_is_none_moves_nothing(desk, text):
    desk.send("sell", "1", stop="95")
    desk.send("buy", "1", stop="105")
    desk.send("buy", "1", limit="99")

    desk.price(text)

    assert desk.fills == []


@pytest.mark.parametrize(
    ("side", "words", "before", "touch"),
    [
        ("sell", {"stop": "95"}, "95.1", "95"),
        ("sell", {"target": "105"}, "104.9", "105"),
        ("buy", {"stop": "105"}, "104.9", "105"),
        ("buy", {"target": "95"}, "95.1", "95"),
    ],
)
def test_a_trigger_fires_when_the_last_price_touches_it(desk, side, words, before, touch):
    desk.send(side, "1", **words)

    desk.price(before)
    assert desk.statuses == ["open"]
    desk.price(touch)

    assert prices(desk) == [touch]
    assert desk.statuses == ["open", "triggered", "filled"]


def test_a_stop_gets_the_price_after_a_gap_not_the_one_it_wished(desk):
    desk.send("sell", "1", stop="95")

    desk.price("80")

    assert prices(desk) == ["80"]


def test_a_stop_already_passed_when_it_arrives_fires_at_once(desk):
    desk.send("sell", "1", stop="105")

    assert prices(desk) == ["100"]


def test_a_stop_may_wait_for_the_first_price(desk):
    desk.price("")
    desk.send("sell", "1", stop="95")

    desk.price("95")

    assert prices(desk) == ["95"]


def test_a_stop_whose_holding_is_gone_is_rejected_when_it_fires(desk):
    desk.send("buy", "1")
    desk.send("sell", "1", stop="95", reduce_only=True, id="stop")
    desk.send("sell", "1", reduce_only=True)

    desk.price("95")

    assert desk.statuses[-2:] == ["triggered", "rejected"]
    assert desk.updates[-1].reason.startswith("REDUCE_ONLY")
    assert desk.positions() == []


def test_a_stop_entry_that_cannot_be_paid_is_rejected_when_it_fires(make_desk):
    desk = make_desk(starting_balance=D(100))
    desk.send("buy", "1", stop="105")

    desk.price("105")

    assert desk.updates[-1].status is OrderStatus.REJECTED
    assert desk.updates[-1].reason.startswith("INSUFFICIENT_BALANCE")


def test_chance_may_reject_a_stop_when_it_fires(make_desk):
    desk = make_desk()
    desk.send("sell", "1", stop="95")
    desk.matching._rules = make_desk(reject_chance=1.0).rules

    desk.price("95")

    assert desk.updates[-1].reason.startswith("BUSY")


# Two sides


@pytest.mark.parametrize(
    ("side", "reduce_only", "long", "short"),
    [("buy", False, 3, 2), ("sell", False, 2, 3), ("buy", True, 2, 1), ("sell", True, 1, 2)],
)
def test_which_side_an_order_means_follows_from_its_terms(desk, side, reduce_only, long, short):
    desk.send("buy", "2")
    desk.send("sell", "2")

    desk.send(side, "1", reduce_only=reduce_only)

    assert (desk.held("long"), desk.held("short")) == (long, short)


@pytest.mark.parametrize("words", [{}, {"limit": "100"}, {"stop": "100"}, {"target": "100"}])
@pytest.mark.parametrize("entry", ["buy", "sell"])
def test_the_exit_of_one_side_executes_however_much_the_other_side_holds(desk, entry, words):
    exit_ = "sell" if entry == "buy" else "buy"
    desk.send(entry, "1")
    desk.send(exit_, "5")

    assert isinstance(desk.send(exit_, "1", reduce_only=True, **words), Accepted)

    (left,) = desk.positions()
    assert abs(left.quantity) == 5
    assert desk.statuses[-1] == "filled"


def test_the_stops_of_a_long_and_of_a_short_both_guard_their_own(desk):
    desk.send("buy", "1")
    desk.send("sell", "1")
    desk.send("sell", "1", stop="95", reduce_only=True)
    desk.send("buy", "1", stop="105", reduce_only=True)

    desk.price("94")
    assert (desk.held("long"), desk.held("short")) == (0, 1)
    desk.price("106")

    assert desk.positions() == []
    assert prices(desk)[2:] == ["94", "106"]


# Reduce-only


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_reduce_only_without_anything_to_reduce_is_refused(desk, side):
    desk.send(side, "1")

    assert desk.send(side, "1", reduce_only=True).code == "REDUCE_ONLY"


def test_reduce_only_beyond_the_holding_is_cut_and_the_rest_canceled(desk):
    desk.send("buy", "1")

    desk.send("sell", "3", reduce_only=True, id="exit")

    assert quantities(desk) == ["1", "1"]
    assert desk.positions() == []
    assert desk.updates[-1].status is OrderStatus.CANCELED
    assert desk.updates[-1].reason.startswith("REDUCE_ONLY")
    assert desk.updates[-1].filled == 1


def test_a_resting_reduce_only_order_never_flips_what_has_shrunk(desk):
    desk.send("buy", "2")
    desk.send("sell", "2", limit="105", reduce_only=True)
    desk.send("sell", "1.5", reduce_only=True)

    desk.price("106")

    assert desk.positions() == []
    assert desk.statuses[-2:] == ["partial", "canceled"]


def test_reduce_only_swaps_may_be_smaller_than_the_min_notional(desk):
    desk.send("buy", "1")

    assert isinstance(desk.send("sell", "0.001", reduce_only=True), Accepted)


# Spot


def test_spot_cannot_be_sold_short(desk, eth):
    assert desk.send("sell", "1", symbol=eth.symbol).code == "INSUFFICIENT_BALANCE"


def test_a_resting_spot_stop_locks_the_base_asset_until_it_is_canceled(desk, eth):
    desk.send("buy", "2", symbol=eth.symbol)
    desk.send("sell", "2", symbol=eth.symbol, stop="45", id="stop")

    assert desk.send("sell", "1", symbol=eth.symbol).code == "INSUFFICIENT_BALANCE"
    desk.cancel("stop", eth.symbol)
    assert isinstance(desk.send("sell", "1", symbol=eth.symbol), Accepted)


def test_a_spot_stop_that_fires_sells_what_it_locked(desk, eth):
    desk.send("buy", "2", symbol=eth.symbol)
    desk.send("sell", "2", symbol=eth.symbol, stop="45")

    desk.price("44", eth.symbol)

    assert desk.positions() == []
    assert desk.statuses[-1] == "filled"


def test_a_reduce_only_spot_sale_is_cut_to_the_holding(desk, eth):
    desk.send("buy", "1", symbol=eth.symbol)

    desk.send("sell", "5", symbol=eth.symbol, reduce_only=True)

    assert desk.positions() == []
    assert desk.statuses[-1] == "canceled"


def test_a_spot_sale_sells_the_one_holding_with_or_without_reduce_only(desk, eth):
    desk.send("buy", "3", symbol=eth.symbol)

    desk.send("sell", "1", symbol=eth.symbol)
    desk.send("sell", "1", symbol=eth.symbol, reduce_only=True)

    assert desk.held("long", eth.symbol) == 1
    assert desk.held("short", eth.symbol) == 0


# What is refused


@pytest.mark.parametrize(
    ("code", "side", "quantity", "words"),
    [
        ("UNKNOWN_SYMBOL", "buy", "1", {"symbol": "XRP/USDT"}),
        ("INVALID_ID", "buy", "1", {"id": "with-hyphen"}),
        ("INVALID_ID", "buy", "1", {"id": "x" * 33}),
        ("INVALID_QUANTITY", "buy", "0", {}),
        ("INVALID_QUANTITY", "buy", "-1", {}),
        ("INVALID_QUANTITY", "buy", "NaN", {}),
        ("INVALID_QUANTITY", "buy", "1e40", {}),
        ("NOT_ON_LOT", "buy", "1.0005", {}),
        ("BELOW_MIN_QUANTITY", "buy", "0.01", {"symbol": "ETH/USDT", "limit": "5000"}),
        ("BELOW_MIN_NOTIONAL", "buy", "0.01", {}),
        ("BELOW_MIN_NOTIONAL", "sell", "0.01", {"stop": "90"}),
        ("INVALID_PRICE", "buy", "1", {"limit": "0"}),
        ("INVALID_PRICE", "buy", "1", {"limit": "Infinity"}),
        ("NOT_ON_TICK", "buy", "1", {"limit": "99.95"}),
        ("NOT_ON_TICK", "sell", "1", {"stop": "95.01"}),
        ("INVALID_LEVERAGE", "buy", "1", {"leverage": "21"}),
        ("INVALID_LEVERAGE", "buy", "1", {"leverage": "0.5"}),
        ("INVALID_LEVERAGE", "buy", "1", {"symbol": "ETH/USDT", "leverage": "2"}),
        ("NOT_ON_LOT", "sell", "1.0005", {"reduce_only": True}),
        ("REDUCE_ONLY", "sell", "1", {"reduce_only": True}),
        ("REDUCE_ONLY", "sell", "1", {"reduce_only": True, "stop": "95"}),
        ("REDUCE_ONLY", "buy", "1", {"reduce_only": True, "symbol": "ETH/USDT"}),
        ("INSUFFICIENT_BALANCE", "buy", "101", {}),
        ("INSUFFICIENT_BALANCE", "sell", "101", {"limit": "100.5"}),
    ],
)
def test_the_venue_checks_for_itself(desk, code, side, quantity, words):
    before = desk.records()

    refused = desk.send(side, quantity, **words)

    assert isinstance(refused, Refused)
    assert refused.code == code
    assert desk.updates == []
    assert desk.records() == before


@pytest.mark.parametrize(
    "today",
    [{"lot_size": D("0.01")}, {"min_quantity": D(1)}, {"max_leverage": D(2)}],
    ids=["lot", "least", "leverage"],
)
def test_what_reduces_passes_by_the_rules_it_was_opened_with(make_desk, btc, eth, today):
    instruments = (replace(btc, **today), replace(eth, min_notional=D(1000)))
    desk = make_desk(instruments=instruments, held_by=(eth, btc))
    desk.send("buy", "2", leverage="2")
    desk.send("buy", "30", symbol=eth.symbol)

    assert isinstance(desk.send("sell", "0.015", reduce_only=True, leverage="10"), Accepted)
    sold = desk.send("sell", "0.5", reduce_only=True, symbol=eth.symbol)

    assert isinstance(sold, Accepted)
    assert desk.send("sell", "0.0155", reduce_only=True).code == "NOT_ON_LOT"
    assert desk.send("buy", "0.015", leverage="10").code in {
        "NOT_ON_LOT",
        "BELOW_MIN_QUANTITY",
        "INVALID_LEVERAGE",
    }


def test_an_id_is_used_once_and_for_ever(desk):
    desk.send("buy", "1", id="same")

    assert desk.send("buy", "1", id="same").code == "DUPLICATE_ID"
    assert len(desk.fills) == 1


def test_only_so_many_ids_are_kept_in_memory(desk, monkeypatch):
    monkeypatch.setattr(matching, "RECENT_IDS", 2)
    desk.matching.load(desk.records())
    for order_id in ("a", "b", "c"):
        desk.send("buy", "1", id=order_id)

    assert desk.send("buy", "1", id="b").code == "DUPLICATE_ID"
    assert desk.matching._known == {"b", "c"}  # "a" is the ledger's business now


def test_a_refused_id_is_free_again(desk):
    desk.send("buy", "101", id="same")

    assert isinstance(desk.send("buy", "1", id="same"), Accepted)


# Cancels


def test_a_canceled_order_fills_no_more_and_gives_back_its_margin(desk):
    desk.send("buy", "1", limit="99", id="resting")
    assert desk.account.available == D(10_000) - 99

    assert isinstance(desk.cancel("resting"), Accepted)
    desk.price("90")

    assert desk.fills == []
    assert desk.account.available == D(10_000)
    assert desk.statuses == ["open", "canceled"]


def test_a_book_from_which_all_is_gone_is_quiet_again(desk):
    for order_id, words in (("a", {"limit": "99"}), ("b", {"stop": "110"}), ("c", {"limit": "98"})):
        desk.send("buy", "1", id=order_id, **words)
    desk.price("98.5")
    assert not desk.matching.books["BTC/USDT:USDT"].quiet

    desk.cancel("b")
    desk.cancel("c")

    assert desk.matching.books["BTC/USDT:USDT"].quiet


def test_a_cancel_of_nothing_open_is_left_to_the_ledger(desk):
    desk.send("buy", "1", id="done")

    assert desk.cancel("done") is None
    assert desk.cancel("never") is None


def test_an_order_is_canceled_only_under_its_own_symbol(desk, eth):
    desk.send("buy", "1", limit="99", id="resting")

    assert desk.cancel("resting", eth.symbol) is None
    assert "resting" in desk.matching.open


# Memory


def test_orders_taken_up_again_keep_their_place_and_their_money(desk, make_desk, eth):
    desk.send("buy", "2", symbol=eth.symbol)
    desk.send("sell", "1", symbol=eth.symbol, stop="45")
    desk.send("buy", "1", limit="98", id="first")
    desk.send("buy", "1", limit="98", id="second")
    again = make_desk()

    again.matching.load(desk.records())
    again.price("97")

    assert [fill.client_order_id for fill in again.fills] == ["first", "second"]
    assert again.send("sell", "2", symbol=eth.symbol).code == "INSUFFICIENT_BALANCE"


def test_a_market_order_cut_off_between_parts_goes_on_at_the_next_trade(make_desk):
    rules = {"partial_fill_chance": 1.0, "latency_high_s": 0.1}
    desk, again = make_desk(**rules), make_desk(**rules)
    desk.send("buy", "1", id="halfway")

    again.matching.load(desk.records())
    again.price("103")

    assert prices(again) == ["103"]
    assert desk.fills[0].quantity + again.fills[0].quantity == 1
    assert again.statuses == ["filled"]
    assert again.held("long") == 1


def test_an_order_of_a_symbol_no_longer_listed_can_still_be_canceled(desk, eth):
    desk.send("buy", "1", limit="98", id="orphan")
    without_btc = Matching((eth,), desk.rules, desk.draws)

    without_btc.load(desk.records())

    assert isinstance(without_btc.cancel("BTC/USDT:USDT", "orphan", desk.now), Accepted)
    assert without_btc.take_changes().orders["orphan"].status is OrderStatus.CANCELED
