"""The ledger: what a position earned, whatever way its orders were cut into fills."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.errors import InvariantError
from domain.ids import ClientOrderId, Symbol, TradeId
from domain.instrument import Direction, Instrument, Kind, Side
from domain.money import Fee
from domain.order import Fill
from domain.pnl import Ledger, breakeven_price, fee_in_quote, net_quantity, opened, reduced

D = Decimal
LONG, SHORT = Direction.LONG, Direction.SHORT
AT = datetime(2024, 8, 8, 12, tzinfo=UTC)


def instrument(kind=Kind.SPOT):
    return Instrument(
        symbol=Symbol("ETH/USDT"),
        venue_symbol="ETHUSDT",
        base="ETH",
        quote="USDT",
        kind=kind,
        tick_size=D("0.01"),
        lot_size=D("0.0001"),
        min_quantity=D("0.0001"),
        min_notional=D(10),
    )


SPOT, SWAP = instrument(), instrument(Kind.SWAP)


def fill(side, quantity, at, fee="0", asset="USDT", trade="t"):
    return Fill(
        trade_id=TradeId(trade),
        client_order_id=ClientOrderId("o"),
        symbol=Symbol("ETH/USDT"),
        side=side,
        quantity=D(quantity),
        price=D(at),
        fee=Fee(amount=D(fee), asset=asset),
        at=AT,
    )


def bought(quantity, at, **more):
    return fill(Side.BUY, quantity, at, **more)


def sold(quantity, at, **more):
    return fill(Side.SELL, quantity, at, **more)


def test_a_long_earns_what_it_is_sold_for_above_its_cost_less_fees():
    ledger = opened(Ledger(), bought("2", "100", fee="0.2"), SPOT)

    ledger = reduced(ledger, sold("2", "110", fee="0.22"), SPOT, LONG)

    assert (ledger.gross_pnl, ledger.fees, ledger.realized_pnl) == (D(20), D("0.42"), D("19.58"))
    assert ledger.remaining == 0


def test_a_short_earns_when_it_is_bought_back_lower():
    ledger = opened(Ledger(), sold("2", "100"), SWAP)

    assert reduced(ledger, bought("2", "90"), SWAP, SHORT).gross_pnl == 20


def test_entries_at_two_prices_have_their_weighted_average():
    ledger = opened(opened(Ledger(), bought("1", "100"), SPOT), bought("3", "120"), SPOT)

    assert (ledger.quantity, ledger.average_price) == (4, 115)


def test_an_addition_after_a_partial_exit_mixes_into_what_remains():
    ledger = opened(Ledger(), bought("1", "100"), SPOT)
    ledger = reduced(ledger, sold("0.5", "110"), SPOT, LONG)

    added = opened(ledger, bought("0.5", "120"), SPOT)

    assert added.gross_pnl == ledger.gross_pnl == 5, "what was realized stays realized"
    assert (added.average_price, added.remaining, added.quantity) == (110, 1, D("1.5"))


def test_what_remains_has_an_unrealized_profit_by_direction():
    long = opened(Ledger(), bought("2", "100"), SWAP)
    short = opened(Ledger(), sold("2", "100"), SWAP)

    assert long.unrealized_pnl(D(103), LONG) == 6
    assert short.unrealized_pnl(D(103), SHORT) == -6


def test_a_fee_in_base_on_spot_comes_out_of_the_holding_and_is_valued_at_the_fill():
    ledger = opened(Ledger(), bought("1", "100", fee="0.001", asset="ETH"), SPOT)

    assert (ledger.remaining, ledger.quantity) == (D("0.999"), D("0.999"))
    assert (ledger.fees, ledger.average_price) == (D("0.1"), 100)


def test_profit_with_a_fee_in_base_equals_the_change_in_cash():
    ledger = opened(Ledger(), bought("1", "100", fee="0.001", asset="ETH"), SPOT)

    ledger = reduced(ledger, sold("0.999", "110", fee="0.10989"), SPOT, LONG)

    assert ledger.realized_pnl == D("0.999") * 110 - D("0.10989") - 100


def test_a_fee_in_base_on_a_swap_leaves_the_quantity():
    assert net_quantity(bought("1", "100", fee="0.001", asset="ETH"), SWAP) == 1
    assert fee_in_quote(bought("1", "100", fee="0.001", asset="ETH"), SWAP) == D("0.1")


def test_a_sale_that_pays_in_base_takes_more_than_it_sells_but_never_more_than_is_held():
    ledger = opened(Ledger(), bought("1", "100"), SPOT)

    some = reduced(ledger, sold("0.5", "100", fee="0.001", asset="ETH"), SPOT, LONG)
    everything = reduced(ledger, sold("1", "100", fee="0.001", asset="ETH"), SPOT, LONG)

    assert some.remaining == D("0.499")
    assert (everything.remaining, everything.realized_pnl) == (0, D("-0.1"))


def test_a_rebate_is_a_negative_fee():
    assert opened(Ledger(), bought("1", "100", fee="-0.01"), SPOT).realized_pnl == D("0.01")


def test_a_fee_in_a_third_asset_is_kept_apart():
    ledger = opened(Ledger(), bought("1", "100", fee="0.01", asset="BNB"), SPOT)
    ledger = reduced(ledger, sold("1", "100", fee="0.02", asset="BNB"), SPOT, LONG)

    assert ledger.fees == 0
    assert ledger.other_fees == (Fee(amount=D("0.03"), asset="BNB"),)
    assert fee_in_quote(bought("1", "100", fee="0.01", asset="BNB"), SPOT) is None


def test_an_exit_of_more_than_is_held_closes_what_is_held():
    ledger = reduced(opened(Ledger(), bought("1", "100"), SPOT), sold("1.1", "110"), SPOT, LONG)

    assert ledger.remaining == 0
    assert ledger.gross_pnl == 10


def test_an_entry_eaten_up_by_its_fee_is_a_bug():
    with pytest.raises(InvariantError, match="opens 0"):
        opened(Ledger(), bought("1", "100", fee="1", asset="ETH"), SPOT)


@given(direction=st.sampled_from(Direction), price=st.integers(1, 10**6), fee=st.integers(0, 99))
def test_leaving_at_breakeven_earns_exactly_the_fees(direction, price, fee):
    ratio = D(fee) / 1000
    even = breakeven_price(direction, D(price), ratio)

    earned = (even - price) * direction.sign

    assert abs(earned - ratio * (even + price)) < D("1e-15") * price


quantities = st.integers(1, 10**6).map(lambda lots: D(lots) / 10**4)
prices = st.integers(1, 10**7).map(lambda ticks: D(ticks) / 100)
weights = st.lists(st.integers(1, 50), min_size=1, max_size=5)


def split(whole, parts):
    """Cut a fill into pieces of whole lots (as the venue would), its fee along with them."""
    lots, total, pieces, start = int(whole.quantity * 10**4), sum(parts), [], 0
    for index in range(len(parts)):
        end = lots * sum(parts[: index + 1]) // total
        share = D(end - start) / 10**4
        if share:
            fee = Fee(amount=share * D("0.001"), asset=whole.fee.asset)
            pieces.append(
                Fill(
                    trade_id=TradeId(f"{whole.trade_id}-{index}"),
                    client_order_id=whole.client_order_id,
                    symbol=whole.symbol,
                    side=whole.side,
                    quantity=share,
                    price=whole.price,
                    fee=fee,
                    at=whole.at,
                )
            )
        start = end
    return pieces


@st.composite
def lives(draw):
    """Draw entries and exits in any order that never sells more than is held; each with a split."""
    direction = draw(st.sampled_from(Direction))
    kind = Kind.SWAP if direction is SHORT else draw(st.sampled_from(Kind))
    asset = draw(st.sampled_from(["USDT", "ETH", "BNB"]))
    steps, held = [], D(0)
    for index in range(draw(st.integers(1, 8))):
        if held and draw(st.booleans()):
            lots = int(held * 10**4)
            if not lots:
                continue
            quantity = D(draw(st.integers(1, lots))) / 10**4
            # A fee in base would take more than the exit; the venue takes it from what is sold for.
            paid = "USDT" if asset == "ETH" else asset
            step = (False, fill(direction.exit_side, quantity, draw(prices), trade=str(index)))
        else:
            quantity, paid = draw(quantities), asset
            step = (True, fill(direction.entry_side, quantity, draw(prices), trade=str(index)))
        fee = Fee(amount=quantity * D("0.001"), asset=paid)
        made = Fill(
            **{name: getattr(step[1], name) for name in Fill.__struct_fields__} | {"fee": fee}
        )
        net = net_quantity(made, instrument(kind))
        held += net if step[0] else -net
        steps.append((step[0], made, draw(weights)))
    return direction, instrument(kind), steps


def booked(direction, traded, steps):
    ledger = Ledger()
    for is_entry, each in steps:
        ledger = (
            opened(ledger, each, traded) if is_entry else reduced(ledger, each, traded, direction)
        )
    return ledger


@given(lives())
def test_profit_is_the_same_for_any_split_of_fills(life):
    direction, traded, steps = life
    whole = booked(direction, traded, [(entry, each) for entry, each, _ in steps])
    pieces = [(entry, piece) for entry, each, cut in steps for piece in split(each, cut)]

    assert booked(direction, traded, pieces) == whole


@given(lives())
def test_a_closed_position_earned_exactly_what_came_in_less_what_went_out(life):
    direction, traded, steps = life
    fills = [(entry, each) for entry, each, _ in steps]
    ledger = booked(direction, traded, fills)
    if ledger.remaining:
        last = fill(direction.exit_side, ledger.remaining, "123.45", trade="last")
        fills.append((False, last))
        ledger = reduced(ledger, last, traded, direction)

    flow = sum(
        net_quantity(each, traded) * each.price * (-1 if each.side is Side.BUY else 1)
        for _, each in fills
    )
    fees = sum(fee_in_quote(each, traded) or D(0) for _, each in fills)

    assert ledger.gross_pnl == flow
    assert ledger.realized_pnl == flow - fees
    assert ledger.cost == 0


@given(lives(), prices)
def test_realized_and_unrealized_together_are_the_value_at_the_mark(life, price):
    direction, traded, steps = life
    fills = [(entry, each) for entry, each, _ in steps]
    ledger = booked(direction, traded, fills)

    flow = sum(
        net_quantity(each, traded) * each.price * (-1 if each.side is Side.BUY else 1)
        for _, each in fills
    )
    worth = ledger.remaining * price * direction.sign

    assert ledger.gross_pnl + ledger.unrealized_pnl(price, direction) == flow + worth


def test_a_part_carries_its_share_of_what_the_whole_was_entered_for():
    held = booked(
        LONG, SWAP, [(True, fill(Side.BUY, "3", "100")), (True, fill(Side.BUY, "1", "120"))]
    )

    ledger = reduced(held, fill(Side.SELL, "1", "115", trade="out"), SWAP, LONG)

    assert ledger.gross_pnl == 10  # entered at 105 on average
    assert ledger.cost == 315


def test_funding_that_was_received_is_earned_and_that_which_was_paid_is_not():
    ledger = Ledger(gross_pnl=D(10), fees=D(1))
    assert replace(ledger, funding=D(2)).realized_pnl == 11
    assert replace(ledger, funding=D(-2)).realized_pnl == 7


def test_no_fee_is_no_fee_in_any_asset():
    assert fee_in_quote(fill(Side.BUY, "1", "100", fee="0", asset="BNB"), SPOT) == 0
    assert fee_in_quote(fill(Side.BUY, "1", "100", fee="1", asset="BNB"), SPOT) is None
