"""From what was asked to base units."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.commands import EntryRequest, ProtectionPlan, SizeBy
from domain.errors import Refusal
from domain.ids import PositionId, Symbol, TraderName
from domain.instrument import Direction, Instrument, Kind
from domain.performance import TradeRecord
from domain.sizing import kelly_ratio, quantity_for

D = Decimal
ETH = Instrument(
    symbol=Symbol("ETH/USDT"),
    venue_symbol="ETHUSDT",
    base="ETH",
    quote="USDT",
    kind=Kind.SPOT,
    tick_size=D("0.01"),
    lot_size=D("0.001"),
    min_quantity=D("0.001"),
    min_notional=D(10),
)
# 60 % wins of 20 against losses of 10: Kelly says 0.6 - 0.4 / 2.
GOOD = TradeRecord(wins=24, losses=16, won=D(480), lost=D(160))


def size(by, value, *, record=None, equity="10000", price="2000", **more):
    request = EntryRequest(
        position_id=PositionId("p"),
        trader=TraderName("ema"),
        symbol=ETH.symbol,
        direction=Direction.LONG,
        size_by=by,
        size=D(value),
        plan=more.pop("plan", ProtectionPlan(stop_price=D(1900))),
        **more,
    )
    return quantity_for(request, price=D(price), instrument=ETH, equity=D(equity), record=record)


@pytest.mark.parametrize(
    ("by", "value", "quantity"),
    [
        (SizeBy.QUANTITY, "1.5", "1.5"),
        (SizeBy.NOTIONAL, "500", "0.25"),
        (SizeBy.EQUITY_RATIO, "0.1", "0.5"),
        (SizeBy.RISK_RATIO, "0.01", "1"),
    ],
)
def test_each_way_to_size_gives_base_units(by, value, quantity):
    assert size(by, value) == D(quantity)


def test_by_volatility_one_average_range_moves_the_asked_part_of_equity():
    quantity = size(SizeBy.VOLATILITY, "0.01", volatility=D(50))

    assert quantity * 50 == D("0.01") * 10_000


def test_by_kelly_the_stake_is_a_fraction_of_what_the_record_justifies():
    assert kelly_ratio(GOOD) == D("0.4")
    assert size(SizeBy.KELLY, "0.25", record=GOOD) * 2000 == D("0.25") * D("0.4") * 10_000


def test_risk_is_measured_to_the_trail_when_there_is_no_stop():
    quantity = size(SizeBy.RISK_RATIO, "0.01", plan=ProtectionPlan(trail_ratio=D("0.05")))

    assert quantity == 1


def test_quantities_are_rounded_down_to_lots():
    assert size(SizeBy.QUANTITY, "0.0019999") == D("0.001")
    assert size(SizeBy.NOTIONAL, "3999.999") == D("1.999")


def refused(answer):
    assert isinstance(answer, Refusal)
    assert answer.message
    assert answer.remedy
    return answer.rule


def test_less_than_a_lot_is_refused_with_the_lot():
    answer = size(SizeBy.QUANTITY, "0.0005")

    assert refused(answer) == "QUANTITY_BELOW_LOT"
    assert answer.message == "Quantity 0.0005 below lot 0.001 for ETH/USDT."
    assert answer.remedy == "Increase size to 0.001 ETH or more."


@pytest.mark.parametrize("value", ["0", "-1", "NaN", "Infinity", "1e30"])
@pytest.mark.parametrize("by", SizeBy)
def test_what_is_no_size_is_refused(by, value):
    assert refused(size(by, value)) == "INVALID_SIZE"


@pytest.mark.parametrize(
    "by", [SizeBy.EQUITY_RATIO, SizeBy.RISK_RATIO, SizeBy.VOLATILITY, SizeBy.KELLY]
)
def test_a_percent_given_as_a_ratio_is_refused(by):
    answer = size(by, "2", volatility=D(50), record=GOOD)

    assert refused(answer) == "INVALID_SIZE"
    assert answer.remedy == "A ratio is a fraction: 0.02 means 2 %."


def test_a_part_of_equity_may_exceed_it_as_far_as_leverage_goes():
    assert size(SizeBy.EQUITY_RATIO, "2", leverage=D(2)) == 10


def test_risk_without_a_stop_has_no_size():
    assert refused(size(SizeBy.RISK_RATIO, "0.01", plan=ProtectionPlan())) == "SIZE_NEEDS_STOP"


@pytest.mark.parametrize("volatility", [None, D(0), D("NaN")])
def test_volatility_must_be_known(volatility):
    answer = size(SizeBy.VOLATILITY, "0.01", volatility=volatility)

    assert refused(answer) == "SIZE_NEEDS_VOLATILITY"


@pytest.mark.parametrize(
    "record",
    [
        None,
        TradeRecord(wins=17, losses=12, won=D(300), lost=D(100)),
        TradeRecord(wins=40, won=D(300)),
        TradeRecord(losses=40, lost=D(300)),
    ],
)
def test_kelly_needs_enough_wins_and_losses(record):
    assert refused(size(SizeBy.KELLY, "0.25", record=record)) == "KELLY_NEEDS_RECORD"


def test_kelly_refuses_a_trader_without_an_edge():
    poor = TradeRecord(wins=20, losses=20, won=D(100), lost=D(200))

    assert refused(size(SizeBy.KELLY, "0.25", record=poor)) == "KELLY_NOT_POSITIVE"


def test_without_equity_no_part_of_it_can_be_staked():
    assert refused(size(SizeBy.EQUITY_RATIO, "0.1", equity="0")) == "NO_EQUITY"


@given(
    by=st.sampled_from(SizeBy),
    value=st.decimals("0.0001", "1", places=4),
    equity=st.integers(1, 10**9),
    stop=st.integers(1, 1999),
)
def test_a_size_is_whole_lots_and_never_more_than_asked(by, value, equity, stop):
    plan = ProtectionPlan(stop_price=D(stop))
    quantity = size(by, value, equity=equity, plan=plan, volatility=D(50), record=GOOD)
    if isinstance(quantity, Refusal):
        assert quantity.rule == "QUANTITY_BELOW_LOT"
        return

    used = {
        SizeBy.QUANTITY: quantity,
        SizeBy.NOTIONAL: quantity * 2000,
        SizeBy.EQUITY_RATIO: quantity * 2000 / equity,
        SizeBy.RISK_RATIO: quantity * (2000 - stop) / equity,
        SizeBy.VOLATILITY: quantity * 50 / equity,
        SizeBy.KELLY: quantity * 2000 / equity / D("0.4"),
    }

    assert quantity % ETH.lot_size == 0
    assert used[by] <= value
