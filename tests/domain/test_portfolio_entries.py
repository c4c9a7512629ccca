"""Which entries an account takes, and what it says about those it does not."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.commands import EntryRequest, ProtectionPlan, RequestedBy, SizeBy, TargetPlan
from domain.errors import Refusal
from domain.ids import AccountName, ClientOrderId, PositionId, Symbol, TradeId, TraderName
from domain.instrument import Direction, Instrument, Kind
from domain.modes import Mode, ModeCause, operator_stop
from domain.money import Fee
from domain.order import Fill
from domain.portfolio import (
    EntryReserved,
    PortfolioOpened,
    approve_entry,
    available,
    book_fill,
    close_holding,
    equity,
    evolve,
    exposure,
    stop_entries,
)
from domain.risk import AccountLimits, TraderLimits

D = Decimal
LONG, SHORT = Direction.LONG, Direction.SHORT
NOW = datetime(2024, 8, 8, 12, tzinfo=UTC)
ETH = Instrument(
    symbol=Symbol("ETH/USDT"),
    venue_symbol="ETHUSDT",
    base="ETH",
    quote="USDT",
    kind=Kind.SWAP,
    tick_size=D("0.01"),
    lot_size=D("0.001"),
    min_quantity=D("0.001"),
    min_notional=D(10),
    max_leverage=D(20),
)
SPOT = replace(ETH, kind=Kind.SPOT, max_leverage=D(1))
STOP = ProtectionPlan(stop_price=D(1900))
FREE = TraderLimits(max_positions=100, max_risk_ratio=D(1), max_position_ratio=D(100))
WIDE = AccountLimits(max_positions=100)


def account(balance="10000"):
    return evolve(
        None,
        PortfolioOpened(account=AccountName("paper"), quote="USDT", balance=D(balance), at=NOW),
    )


def entry(value="1", *, by=SizeBy.QUANTITY, plan=STOP, position="p1", trader="ema", **more):
    return EntryRequest(
        position_id=PositionId(position),
        trader=TraderName(trader),
        symbol=more.pop("symbol", ETH.symbol),
        direction=more.pop("direction", LONG),
        size_by=by,
        size=D(value),
        plan=plan,
        **more,
    )


def ask(request, portfolio=None, **more):
    return approve_entry(
        account() if portfolio is None else portfolio,
        request,
        more.pop("instrument", ETH),
        price=D(more.pop("price", "2000")),
        client_order_id=ClientOrderId(more.pop("order", f"{request.position_id}-E0")),
        trader_limits=more.pop("trader_limits", FREE),
        account_limits=more.pop("account_limits", WIDE),
        extra_causes=more.pop("causes", ()),
        marks=more.pop("marks", {}),
        now=NOW,
        held_risk=D(more.pop("held_risk", 0)),
        is_net=more.pop("is_net", False),
        one_leverage=more.pop("one_leverage", False),
    )


def rule(answer):
    assert isinstance(answer, Refusal), answer
    assert answer.message.endswith(".")
    assert answer.remedy.endswith(".")
    return answer.rule


def holding(*requests, portfolio=None, **more):
    portfolio = portfolio or account()
    for request in requests:
        portfolio = evolve(portfolio, ask(request, portfolio, **more))
    return portfolio


def filled(portfolio, position="p1", quantity="1", price="2000"):
    reserved = portfolio.holdings[PositionId(position)]
    fill = Fill(
        trade_id=TradeId(f"{position}-{quantity}"),
        client_order_id=ClientOrderId(f"{position}-E0"),
        symbol=reserved.pair.symbol,
        side=reserved.direction.entry_side,
        quantity=D(quantity),
        price=D(price),
        fee=Fee(amount=D(0), asset="USDT"),
        at=NOW,
    )
    events = book_fill(
        portfolio,
        PositionId(position),
        fill,
        is_entry=True,
        instrument=ETH,
        direction=reserved.direction,
    )
    for event in events:
        portfolio = evolve(portfolio, event)
    return portfolio


def test_an_entry_that_passes_is_sized_and_its_balance_set_aside():
    reserved = ask(entry("1.2345"))

    assert isinstance(reserved, EntryReserved)
    assert reserved.quantity == D("1.234")
    assert reserved.price == 2000
    assert reserved.amount == D("1.234") * D("2000") * D("1.001") * D("1.001")
    assert reserved.risk == D("1.234") * 100
    assert reserved.symbol == ETH.symbol


def test_leverage_lowers_what_is_set_aside_but_not_the_fee():
    reserved = ask(entry("1", leverage=D(5)))

    assert reserved.amount == 2000 * D("1.001") * (D("0.2") + D("0.001"))


def test_a_limit_entry_sets_aside_its_limit_without_slippage():
    reserved = ask(entry("1", limit_price=D(1950)))

    assert (reserved.price, reserved.amount) == (1950, 1950 * D("1.001"))


def test_a_short_limit_above_the_market_is_sized_at_its_limit():
    stop = ProtectionPlan(stop_price=D(2300))
    reserved = ask(entry("1", direction=SHORT, limit_price=D(2100), plan=stop))

    assert (reserved.price, reserved.risk) == (2100, 200)


def test_two_orders_never_spend_the_same_balance():
    portfolio = holding(entry("4"))

    answer = ask(entry("4", position="p2"), portfolio)

    assert rule(answer) == "INSUFFICIENT_BALANCE"


def test_an_expired_request_is_refused():
    answer = ask(entry(expires_at=NOW))

    assert rule(answer) == "EXPIRED"
    assert isinstance(ask(entry(expires_at=NOW + timedelta(seconds=1))), EntryReserved)


def test_a_request_under_way_is_not_reserved_for_twice():
    assert rule(ask(entry(), holding(entry()))) == "DUPLICATE_ORDER"


def test_a_closed_position_takes_no_entry():
    portfolio = filled(holding(entry()))
    (closed,) = close_holding(portfolio, PositionId("p1"), now=NOW)

    assert rule(ask(entry(), evolve(portfolio, closed))) == "POSITION_CLOSED"


def test_a_cause_in_the_journal_stops_entries_with_its_way_out():
    portfolio = account()
    (stopped,) = stop_entries(portfolio, operator_stop("ada"), now=NOW)

    answer = ask(entry(), evolve(portfolio, stopped))

    assert rule(answer) == "NO_ENTRY_MODE"
    assert answer.message == "No entries in mode NO_ENTRY: Entries stopped by ada."
    assert answer.remedy == "Take it back: holdfast resume-entries."


def test_the_worst_of_journaled_and_passing_causes_is_told():
    stale = ModeCause(
        code="DISK_FULL", mode=Mode.PROTECT_ONLY, message="Disk full.", way_out="Make room."
    )
    portfolio = account()
    (stopped,) = stop_entries(portfolio, operator_stop("ada"), now=NOW)

    answer = ask(entry(), evolve(portfolio, stopped), causes=[stale])

    assert (answer.actual, answer.remedy) == ("PROTECT_ONLY", "Make room.")


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity"])
def test_no_entry_at_a_price_that_is_none(price):
    assert rule(ask(entry(), price=price)) == "INVALID_PRICE"
    assert rule(ask(entry(limit_price=D(price)))) == "INVALID_PRICE"


@pytest.mark.parametrize(
    ("asked", "nearest"), [("1999.123", "1999.12"), ("1999.129", "1999.13"), ("0.001", "0.01")]
)
def test_a_limit_off_tick_is_refused_with_the_nearest_allowed(asked, nearest):
    answer = ask(entry(limit_price=D(asked)))

    assert rule(answer) == "OFF_TICK"
    assert answer.remedy == f"The nearest allowed price is {nearest}."
    assert answer.limit == nearest


def test_nobody_shorts_what_must_be_owned():
    stop = ProtectionPlan(stop_price=D(2100))

    assert rule(ask(entry(direction=SHORT, plan=stop), instrument=SPOT)) == "SHORT_ON_SPOT"


def test_an_instrument_in_another_quote_is_refused():
    other = replace(ETH, quote="EUR")

    assert rule(ask(entry(), instrument=other)) == "WRONG_INSTRUMENT"
    assert rule(ask(entry(symbol=Symbol("BTC/USDT")))) == "WRONG_INSTRUMENT"


@pytest.mark.parametrize(
    ("leverage", "instrument", "code", "limit"),
    [
        ("11", ETH, "MAX_LEVERAGE", "10"),
        ("2", SPOT, "MAX_LEVERAGE", "1"),
        ("0.5", ETH, "INVALID_LEVERAGE", "10"),
        ("NaN", ETH, "INVALID_LEVERAGE", "10"),
    ],
)
def test_leverage_is_bounded_by_account_and_venue(leverage, instrument, code, limit):
    answer = ask(entry(leverage=D(leverage)), instrument=instrument)

    assert rule(answer) == code
    assert answer.limit == limit


def test_the_plan_is_checked_against_where_the_entry_will_fill():
    between = ProtectionPlan(stop_price=D(1970))

    assert isinstance(ask(entry(plan=between)), EntryReserved)
    assert rule(ask(entry(plan=between, limit_price=D(1950)))) == "STOP_ON_WRONG_SIDE"
    assert rule(ask(entry(plan=ProtectionPlan(stop_price=D(2050)), limit_price=D(2100)))) == (
        "STOP_ON_WRONG_SIDE"
    )


def test_a_stop_too_far_away_is_refused():
    answer = ask(entry(plan=ProtectionPlan(stop_price=D(900))))

    assert rule(answer) == "STOP_TOO_FAR"
    assert answer.remedy == "Set it within 1000 of 2000."


def test_a_stop_that_liquidation_would_come_before_is_refused():
    assert rule(ask(entry("0.1", plan=ProtectionPlan(stop_price=D(1700)), leverage=D(8)))) == (
        "STOP_BEYOND_LIQUIDATION"
    )


@pytest.mark.parametrize("by", [RequestedBy.RULE_ENGINE, RequestedBy.AI_ANALYSIS])
def test_only_a_person_enters_without_a_stop(by):
    bare = ProtectionPlan()
    trailing = ProtectionPlan(trail_ratio=D("0.02"))

    assert rule(ask(entry(plan=bare, requested_by=by))) == "NO_STOP"
    assert isinstance(ask(entry(plan=trailing, requested_by=by)), EntryReserved)
    assert ask(entry(plan=bare)).risk is None


def test_an_entry_by_risk_without_a_stop_has_no_size_though_a_person_asks():
    asked = entry("0.01", by=SizeBy.RISK_RATIO, plan=ProtectionPlan())

    assert rule(ask(asked)) == "SIZE_NEEDS_STOP"


def test_low_confidence_is_refused():
    careful = TraderLimits(min_confidence=D("0.7"))

    assert rule(ask(entry(confidence=D("0.6")), trader_limits=careful)) == "LOW_CONFIDENCE"
    assert rule(ask(entry(confidence=D("NaN")), trader_limits=careful)) == "LOW_CONFIDENCE"


def test_a_trader_holds_so_many_positions_and_no_more():
    three = [entry("0.1", position=f"p{number}") for number in range(3)]
    portfolio = holding(*three)
    limits = TraderLimits(max_positions=3)

    answer = ask(entry("0.1", position="p9"), portfolio, trader_limits=limits)
    other = ask(entry("0.1", position="p9", trader="rsi"), portfolio, trader_limits=limits)

    assert rule(answer) == "MAX_POSITIONS_TRADER"
    assert answer.message == "Trader ema holds 3 of at most 3 positions."
    assert isinstance(other, EntryReserved)


def test_an_account_holds_so_many_positions_and_no_more():
    two = [entry("0.1", position=f"p{number}", trader=f"t{number}") for number in range(2)]
    few = AccountLimits(max_positions=2)

    answer = ask(entry("0.1", position="p9"), holding(*two), account_limits=few)

    assert rule(answer) == "MAX_POSITIONS_ACCOUNT"


def test_a_notional_below_the_minimum_says_how_much_is_enough():
    answer = ask(entry("3", by=SizeBy.NOTIONAL, plan=ProtectionPlan()))

    assert rule(answer) == "BELOW_MIN_NOTIONAL"
    assert answer.message == "Notional 2 below min notional 10 for ETH/USDT."
    assert answer.remedy == "Increase size to 0.005 ETH (10 USDT) or more."


def test_less_than_a_lot_says_how_much_is_enough_for_every_rule():
    answer = ask(entry("0.0004"))

    assert rule(answer) == "QUANTITY_BELOW_LOT"
    assert answer.message == "Quantity 0.0004 below lot 0.001 for ETH/USDT."
    assert answer.remedy == "Increase size to 0.006 ETH (12 USDT) or more."


def test_a_quantity_below_the_venues_minimum_is_refused():
    answer = ask(entry("0.04"), instrument=replace(ETH, min_quantity=D("0.05")))

    assert rule(answer) == "BELOW_MIN_QUANTITY"
    assert answer.remedy == "Increase size to 0.05 ETH (100 USDT) or more."


def test_every_slice_of_the_targets_must_be_sellable():
    plan = ProtectionPlan(
        stop_price=D(1900),
        targets=(
            TargetPlan(price=D(2100), part=D("0.9")),
            TargetPlan(price=D(2200), part=D("0.1")),
        ),
    )

    answer = ask(entry("0.049", plan=plan))

    assert rule(answer) == "TARGET_TOO_SMALL"
    assert answer.message == (
        "Target 2 sells 0.004 ETH at 2200, below the smallest order 0.005 for ETH/USDT."
    )
    assert answer.remedy == "Increase size to 0.06 ETH (120 USDT) or more."


def test_what_the_stop_may_have_left_to_sell_must_be_sellable_there():
    answer = ask(entry("0.005"))

    assert rule(answer) == "EXIT_TOO_SMALL"
    assert answer.remedy == "Increase size to 0.006 ETH (12 USDT) or more."


def test_on_spot_the_fee_comes_out_of_what_can_be_sold():
    plan = ProtectionPlan()

    assert isinstance(ask(entry("0.005", plan=plan)), EntryReserved)
    assert rule(ask(entry("0.005", plan=plan), instrument=SPOT)) == "EXIT_TOO_SMALL"


@pytest.mark.parametrize(
    ("limits", "code", "largest"),
    [
        ({"trader_limits": TraderLimits(max_position_ratio=D(9))}, "MAX_RISK_TRADER", "2"),
        ({"trader_limits": TraderLimits()}, "MAX_POSITION_SHARE", "1"),
        ({"account_limits": AccountLimits(max_leverage=D(1))}, "MAX_EXPOSURE", "4.491"),
        ({"account_limits": AccountLimits(daily_loss_cap=D(150))}, "DAILY_LOSS_CAP", "1.5"),
        ({}, "INSUFFICIENT_BALANCE", "4.491"),
    ],
)
def test_each_limit_says_the_largest_size_that_passes(limits, code, largest):
    request = entry("2" if code == "MAX_POSITION_SHARE" else "6", leverage=D(1))

    answer = ask(request, **limits)

    assert rule(answer) == code
    assert answer.remedy.startswith(f"Reduce size to {largest} ETH (")


@pytest.mark.parametrize("limit_price", [None, D(2000)])
def test_no_more_is_entered_than_one_order_at_market_can_sell(limit_price):
    most = replace(ETH, max_market=D("1.5"))

    answer = ask(entry("2", limit_price=limit_price), instrument=most)

    assert rule(answer) == "MAX_MARKET_ORDER"
    assert answer.remedy == "Reduce size to 1.5 ETH (3000 USDT) or less."
    assert isinstance(ask(entry("1.5", limit_price=limit_price), instrument=most), EntryReserved)


def test_an_addition_is_added_to_what_one_order_at_market_must_sell():
    most = replace(ETH, max_market=D("1.5"))
    portfolio = filled(holding(entry("1")))
    resting = evolve(portfolio, ask(entry("0.2"), portfolio, order="p1-E1", instrument=most))

    answer = ask(entry("0.4"), resting, order="p1-E2", instrument=most)

    assert rule(answer) == "MAX_MARKET_ORDER"
    assert (answer.actual, answer.limit) == ("1.6", "1.5")
    assert answer.remedy.startswith("Reduce size to 0.3 ETH")


def test_of_spot_the_largest_order_at_market_is_an_amount_of_money():
    most = replace(SPOT, max_market_value=D(3000))

    answer = ask(entry("2"), instrument=most)

    assert rule(answer) == "MAX_MARKET_ORDER"
    assert (answer.actual, answer.limit) == ("4000", "3000")
    assert answer.remedy == "Reduce size to 1.5 ETH (3000 USDT) or less."


def test_a_refused_share_shows_its_numbers():
    answer = ask(entry("2"), trader_limits=TraderLimits())

    assert answer.message == (
        "Notional 4000 above 2000 USDT (20 % of equity, trader ema) for ETH/USDT."
    )
    assert (answer.actual, answer.limit) == ("4000", "2000")


def test_when_no_size_passes_the_refusal_says_so():
    portfolio = holding(entry("4.49"))

    answer = ask(entry("1", position="p2"), portfolio)

    assert rule(answer) == "INSUFFICIENT_BALANCE"
    assert answer.remedy.startswith("No size passes now: the smallest is 0.006 ETH (12 USDT)")


def test_a_day_that_lost_its_cap_takes_no_entry():
    portfolio = filled(holding(entry("1")))
    capped = AccountLimits(daily_loss_cap=D(100))

    answer = ask(
        entry("0.1", position="p2"), portfolio, account_limits=capped, marks={ETH.symbol: D(1900)}
    )

    assert rule(answer) == "DAILY_LOSS_CAP"
    assert answer.message == "Loss of the day 100 USDT reached 100."


def test_an_addition_is_judged_together_with_what_is_held():
    portfolio = filled(holding(entry("1")))
    limits = TraderLimits(max_positions=1, max_risk_ratio=D(1), max_position_ratio=D("0.3"))

    more = ask(entry("0.6"), portfolio, order="p1-E1", trader_limits=limits)
    some = ask(entry("0.5"), portfolio, order="p1-E1", trader_limits=limits)

    assert rule(more) == "MAX_POSITION_SHARE"
    assert more.remedy.startswith("Reduce size to 0.5 ETH")
    assert isinstance(some, EntryReserved)


def test_the_risk_of_what_is_held_and_of_the_addition_together_stays_within_the_limit():
    portfolio = filled(holding(entry("1", plan=ProtectionPlan(stop_price=D(1900)))))
    limits = TraderLimits(max_risk_ratio=D("0.02"), max_position_ratio=D(1))  # 200 of 10,000
    plan = ProtectionPlan(stop_price=D(1900))

    more = ask(
        entry("1.1", plan=plan), portfolio, order="p1-E1", trader_limits=limits, held_risk=100
    )
    some = ask(
        entry("0.9", plan=plan), portfolio, order="p1-E1", trader_limits=limits, held_risk=100
    )

    assert rule(more) == "MAX_RISK_TRADER"
    assert isinstance(some, EntryReserved)


def test_nothing_is_added_beyond_a_limit_on_positions_that_was_lowered_below_what_is_held():
    portfolio = filled(holding(entry("1")))
    more = entry("0.1")

    answer = ask(more, portfolio, order="p1-E1", trader_limits=TraderLimits(max_positions=0))
    assert rule(answer) == "MAX_POSITIONS_TRADER"
    answer = ask(more, portfolio, order="p1-E1", account_limits=AccountLimits(max_positions=0))
    assert rule(answer) == "MAX_POSITIONS_ACCOUNT"


@pytest.mark.parametrize("change", [{"trader": "rsi"}, {"leverage": D(2)}])
def test_an_addition_must_match_its_position(change):
    portfolio = filled(holding(entry("1")))

    assert rule(ask(entry("1", **change), portfolio, order="p1-E1")) == "ADDITION_DIFFERS"


@pytest.mark.parametrize("trail", [{"trail_distance": D("0.5")}, {"trail_ratio": D("0.0001")}])
def test_the_trail_of_what_is_held_stands_in_the_way_of_no_addition(trail):
    plan = ProtectionPlan(**trail)
    portfolio = filled(holding(entry("1")))

    assert isinstance(ask(entry("0.1", plan=plan), portfolio, order="p1-E1"), EntryReserved)
    assert rule(ask(entry("0.1", plan=plan))) == "TRAIL_TOO_CLOSE"


sizes = st.one_of(
    st.tuples(st.just(SizeBy.QUANTITY), st.decimals("0.0001", "100", places=4)),
    st.tuples(st.just(SizeBy.NOTIONAL), st.decimals("1", "200000", places=2)),
    st.tuples(st.just(SizeBy.EQUITY_RATIO), st.decimals("0.001", "1", places=3)),
    st.tuples(st.just(SizeBy.RISK_RATIO), st.decimals("0.001", "1", places=3)),
)
ratios = st.integers(1, 100).map(lambda whole: D(whole) / 100)
PARTS = [(), ("1",), ("0.5", "0.5"), ("0.333", "0.2"), ("0.9", "0.07")]


@st.composite
def cases(draw):
    direction = draw(st.sampled_from(Direction))
    instrument = ETH if direction is SHORT else draw(st.sampled_from([ETH, SPOT]))
    price = draw(st.integers(100, 10**6).map(lambda ticks: D(ticks) / 100))
    tick = price * D("0.01") * direction.sign
    stop = draw(st.none() | st.integers(1, 40).map(lambda steps: price - steps * tick))
    targets = tuple(
        TargetPlan(price=price + (index + 1) * tick, part=D(part))
        for index, part in enumerate(draw(st.sampled_from(PARTS)))
    )
    by, value = draw(sizes)
    request = entry(
        str(value),
        by=by,
        direction=direction,
        plan=ProtectionPlan(stop_price=stop, targets=targets),
        leverage=D(1) if instrument is SPOT else D(draw(st.integers(1, 2))),
    )
    limits = {
        "trader_limits": TraderLimits(
            max_risk_ratio=draw(ratios), max_position_ratio=draw(ratios) * 3
        ),
        "account_limits": AccountLimits(
            max_leverage=D(draw(st.integers(2, 10))),
            balance_buffer_ratio=draw(ratios) / 2,
            daily_loss_cap=draw(st.none() | st.integers(1, 10**4).map(D)),
        ),
        "instrument": instrument,
        "price": price,
    }
    return account(str(draw(st.integers(10, 10**6)))), request, limits


def suggested(answer):
    """Read the size out of a refusal's advice, in base and in quote; None when none would pass."""
    size = re.fullmatch(
        r"(?:Increase|Reduce) size to ([\d.]+) ETH \(([\d.]+) USDT\) or (?:more|less)\.",
        answer.remedy,
    )
    assert size or answer.remedy.startswith("No size passes now"), answer
    return size and size.groups()


TOO_SMALL, TOO_LARGE = "0.0001", "1000000000"


@given(cases(), st.sampled_from([TOO_SMALL, TOO_LARGE]))
def test_the_size_that_a_refusal_suggests_passes_when_it_is_asked_for(case, size):
    portfolio, request, limits = case
    answer = ask(replace(request, size_by=SizeBy.QUANTITY, size=D(size)), portfolio, **limits)
    suggestion = suggested(answer)

    for by, value in zip((SizeBy.QUANTITY, SizeBy.NOTIONAL), suggestion or (), strict=False):
        again = ask(replace(request, size_by=by, size=D(value)), portfolio, **limits)
        assert isinstance(again, EntryReserved), again
        assert again.quantity == D(suggestion[0])


@given(cases(), st.sampled_from([TOO_SMALL, TOO_LARGE]))
def test_one_lot_beyond_the_suggested_size_does_not_pass(case, size):
    portfolio, request, limits = case
    answer = ask(replace(request, size_by=SizeBy.QUANTITY, size=D(size)), portfolio, **limits)
    suggestion = suggested(answer)
    if suggestion is None:
        return

    beyond = D(suggestion[0]) + (ETH.lot_size if size == TOO_LARGE else -ETH.lot_size)
    again = ask(replace(request, size_by=SizeBy.QUANTITY, size=beyond), portfolio, **limits)

    assert isinstance(again, Refusal)


@given(cases())
def test_an_approved_entry_exceeds_no_limit(case):
    portfolio, request, limits = case
    reserved = ask(request, portfolio, **limits)
    assume(isinstance(reserved, EntryReserved))
    trader, whole = limits["trader_limits"], limits["account_limits"]

    after = evolve(portfolio, reserved)
    worth = equity(after, {})

    assert reserved.quantity % ETH.lot_size == 0
    assert reserved.quantity * reserved.price >= ETH.min_notional
    assert reserved.quantity * reserved.price <= worth * trader.max_position_ratio
    assert reserved.risk is None or reserved.risk <= worth * trader.max_risk_ratio
    assert exposure(after, {}) <= worth * whole.max_leverage
    buffer = whole.balance_buffer_ratio * after.balance
    assert available(after, {}) >= buffer - D("1e-12")
    for target in request.plan.targets:
        share = D(1) - whole.fee_ratio if limits["instrument"] is SPOT else D(1)
        slice_ = ETH.whole_lots(reserved.quantity * target.part * share)
        assert slice_ * target.price >= ETH.min_notional


@given(
    st.builds(
        entry,
        st.decimals(allow_nan=False, allow_infinity=False).map(str),
        by=st.sampled_from(SizeBy),
        limit_price=st.none() | st.decimals(),
        leverage=st.decimals(),
        confidence=st.decimals(),
        volatility=st.none() | st.decimals(),
    )
)
def test_no_number_in_a_request_makes_the_decision_fail(request_):
    assert isinstance(ask(request_), EntryReserved | Refusal)


def test_where_a_swap_has_one_leverage_an_entry_does_not_change_it_for_what_is_held():
    held = holding(entry(leverage=D("2")))
    other = entry(position="p2", leverage=D("3"))

    refusal = ask(other, held, one_leverage=True)

    assert rule(refusal) == "OTHER_LEVERAGE"
    assert "leverage 2" in refusal.message
    assert isinstance(ask(other, held), EntryReserved)  # where each position has its own
    same = entry(position="p2", leverage=D("2"))
    assert isinstance(ask(same, held, one_leverage=True), EntryReserved)


def test_in_net_mode_nothing_is_opened_against_a_position_of_the_same_symbol():
    held = holding(entry())
    short = entry(position="p2", direction=SHORT, plan=ProtectionPlan(stop_price=D("2100")))

    refusal = ask(short, held, is_net=True)

    assert rule(refusal) == "OPPOSITE_POSITION"
    assert "p1" in refusal.message
    assert isinstance(ask(short, held), EntryReserved)  # where long and short are two positions
    assert isinstance(ask(entry(position="p2"), held, is_net=True), EntryReserved)
