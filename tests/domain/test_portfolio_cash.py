"""Money that comes and goes without a fill: funding, transfers, and what nobody explains."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.errors import InvariantError
from domain.ids import AccountName
from domain.instrument import Direction, Kind, Side
from domain.money import Fee
from domain.portfolio import (
    DayRolled,
    EquityMarked,
    FillBooked,
    HoldingAdopted,
    HoldingClosed,
    PortfolioOpened,
    daily_drawdown,
    daily_loss,
    drawdown,
    equity,
    evolve,
    exposure,
    mark,
)
from domain.portfolio_cash import (
    OPENING,
    correct_cash,
    funding_shares,
    identify,
    move_cash,
    open_cash,
    write_off,
)
from domain.portfolio_events import AccountIdentified, AccountMoved, DustGone, FlowsRead
from domain.portfolio_life import REMEMBERED_FLOWS
from domain.portfolio_state import cash
from domain.risk import AccountLimits
from domain.venue import CashFlow, CashKind, VenueAccount
from tests.builders import BTC, NOW, D, a_fill, position_id, swap

MINUTE = timedelta(minutes=1)
LATER = NOW + MINUTE
NOTHING = {}


def account(*events, balance="1000"):
    state = None
    for event in (PortfolioOpened(AccountName("main"), "USDT", D(balance), NOW), *events):
        state = evolve(state, event)
    return state


def after(state, *events):
    for event in events:
        state = evolve(state, event)
    return state


def flow(amount, kind=CashKind.FUNDING, number=1, at=LATER, **others):
    symbol = BTC if kind is CashKind.FUNDING else None
    return CashFlow(f"f{number}", kind, "USDT", D(amount), at, symbol, **others)


def holding(number, quantity, at="100", direction=Direction.LONG, kind=Kind.SWAP, fee=None):
    fill = a_fill(quantity, at, direction.entry_side, f"o{number}", f"t{number}")
    if fee is not None:
        fill = replace(fill, fee=Fee(D(fee), "BTC"))
    return (
        HoldingAdopted(
            position_id(number), "manual", swap(kind=kind), direction, leverage=D(1), at=NOW
        ),
        FillBooked(position_id(number), fill, is_entry=True, at=NOW),
    )


# --- whose it is ---


def test_a_journal_from_before_takes_over_whose_account_it_is():
    held = after(account(), *holding(1, "1"))

    (told,) = identify(held, VenueAccount("7"), now=LATER)

    assert told == AccountIdentified(VenueAccount("7"), LATER)
    assert after(held, told) == replace(held, venue_account=VenueAccount("7"))


def test_whose_account_it_is_is_noted_once():
    state = account(AccountIdentified(VenueAccount("7"), NOW))
    assert identify(state, VenueAccount("7"), now=LATER) == ()


def test_another_account_begins_anew():
    state = account(AccountIdentified(VenueAccount("7"), NOW))

    moved = after(state, *identify(state, VenueAccount("7", is_demo=True), now=LATER))

    assert moved.venue_account == VenueAccount("7", is_demo=True)
    assert (moved.venue, moved.balance, moved.flows_from) == (state.venue, 0, None)


def test_an_account_that_moves_is_nobodys_until_the_venue_has_told():
    state = account(AccountIdentified(VenueAccount("7"), NOW))
    assert after(state, AccountMoved("okx", D(0), LATER)).venue_account is None


# --- opening ---


def test_the_first_balance_told_is_no_gain():
    state = account(balance="0")
    state = after(state, open_cash(state, D(5000), now=NOW))
    assert (state.balance, state.high_water_mark, state.day_start_equity) == (5000, 5000, 5000)
    assert drawdown(state, NOTHING) == 0
    assert OPENING in state.flows


def test_what_moved_before_the_opening_is_in_its_balance():
    state = account(balance="0")
    state = after(state, open_cash(state, D(5000), now=NOW))
    old = flow("100", CashKind.TRANSFER, at=NOW - timedelta(seconds=1))
    assert move_cash(state, old, NOTHING) == ()


# --- flows ---


def test_a_flow_told_twice_is_booked_once():
    state = account()
    (moved,) = move_cash(state, flow("-2"), NOTHING)
    state = after(state, moved)
    assert state.balance == 998
    assert move_cash(state, flow("-2"), NOTHING) == ()
    with pytest.raises(InvariantError):
        evolve(state, moved)


def test_what_was_read_is_remembered_and_moves_nothing():
    state = account()
    assert after(state, FlowsRead(LATER)) == replace(state, flows_read=LATER)


def test_a_flow_of_another_asset_moves_nothing():
    deposit = replace(flow("3", CashKind.TRANSFER), asset="BTC")
    assert move_cash(account(), deposit, NOTHING) == ()


def test_flows_long_forgotten_are_not_booked_again():
    state = account()
    flows = [
        flow("1", number=number, at=NOW + timedelta(seconds=number))
        for number in range(REMEMBERED_FLOWS + 5)
    ]
    for each in flows:
        state = after(state, *move_cash(state, each, NOTHING))
    assert len(state.flows) == REMEMBERED_FLOWS
    for each in flows:
        assert move_cash(state, each, NOTHING) == ()


def test_funding_paid_is_a_loss_of_the_position_and_of_the_account():
    state = account(*holding(1, "2"))
    (moved,) = move_cash(state, flow("-3"), NOTHING)
    state = after(state, moved)
    held = state.holdings[position_id(1)]
    assert held.ledger.funding == -3
    assert held.ledger.realized_pnl == -3
    assert (state.balance, state.high_water_mark) == (997, 1000)
    closed = HoldingClosed(position_id(1), held.ledger.realized_pnl, D(0), LATER)
    assert after(state, closed).balance == 997


def test_funding_of_a_position_that_is_over_is_the_accounts():
    state = after(account(), *move_cash(account(), flow("-3"), NOTHING))
    assert state.balance == 997


def test_funding_in_net_mode_goes_to_the_side_that_outweighs_the_other():
    state = account(*holding(1, "3"), *holding(2, "1", direction=Direction.SHORT))
    assert funding_shares(state, flow("-4")) == ((position_id(1), D(-4)),)


def test_funding_in_hedge_mode_goes_to_the_side_that_the_venue_names():
    state = account(*holding(1, "3"), *holding(2, "1", direction=Direction.SHORT))
    shares = funding_shares(state, flow("4", direction=Direction.SHORT))
    assert shares == ((position_id(2), D(4)),)


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=6),
    st.decimals(-1000, 1000, places=8, allow_nan=False),
)
def test_funding_is_split_to_the_last_digit(quantities, amount):
    events = [
        event
        for number, quantity in enumerate(quantities, 1)
        for event in holding(number, str(Decimal(quantity) / 1000))
    ]
    shares = funding_shares(account(*events), flow(amount))
    assert sum(share for _, share in shares) == amount
    assert len(shares) == len(quantities)


# --- transfers ---


@pytest.mark.parametrize("amount", ["900", "-700"])
def test_a_transfer_is_neither_gain_nor_loss(amount):
    state = account(*holding(1, "2"))
    marks = {BTC: D(50)}  # 100 lost: 10 %
    assert drawdown(state, marks) == D("0.1")
    moved = move_cash(state, flow(amount, CashKind.TRANSFER), marks)
    state = after(state, *moved)
    assert equity(state, marks) == 900 + D(amount)
    assert round(drawdown(state, marks), 9) == D("0.1")
    assert round(daily_drawdown(state, marks), 9) == D("0.1")
    assert daily_loss(state, marks) == 100


@pytest.mark.parametrize("left", ["0", "-5"])
def test_who_withdraws_everything_after_a_loss_has_lost_no_more(left):
    state = account()
    state = after(state, *move_cash(state, flow("-100", CashKind.OTHER), NOTHING))
    out = flow(str(D(left) - 900), CashKind.TRANSFER, 2, LATER + MINUTE)
    state = after(state, *move_cash(state, out, NOTHING))
    assert (state.balance, state.high_water_mark, state.day_start_equity) == (D(left),) * 3
    assert daily_loss(state, NOTHING) == 100
    limits = AccountLimits(daily_drawdown_ratio=D("0.5"), total_drawdown_ratio=D("0.5"))
    assert [type(each) for each in mark(state, NOTHING, limits, LATER)] == [EquityMarked]
    back = flow("2000", CashKind.TRANSFER, 3, LATER + 2 * MINUTE)
    state = after(state, *move_cash(state, back, NOTHING))
    assert (drawdown(state, NOTHING), daily_drawdown(state, NOTHING)) == (0, 0)


def test_a_new_day_forgets_what_transfers_did_to_the_old_one():
    state = account(*holding(1, "2"))
    marks = {BTC: D(50)}
    state = after(state, *move_cash(state, flow("900", CashKind.TRANSFER), marks))
    state = after(state, DayRolled(LATER.date(), D(1800), LATER))
    assert daily_loss(state, marks) == 0


def test_interest_counts_as_gain():
    state = after(account(), *move_cash(account(), flow("5", CashKind.OTHER), NOTHING))
    assert (state.balance, state.high_water_mark) == (1005, 1000)


# --- corrections ---


def test_what_nobody_explains_is_taken_from_the_venue_and_closes_nothing():
    state = account()
    state = after(state, *correct_cash(state, D(-600), NOTHING, "no flow explains it", now=LATER))
    assert cash(state) == 400
    assert drawdown(state, NOTHING) == 0
    assert correct_cash(state, D(0), NOTHING, "", now=LATER) == ()


# --- dust, and what the venue calls the balance ---


def left_over(direction=Direction.LONG, kind=Kind.SWAP, number=1):
    """Return the events of a position of 2 at 100, of which 0.1 is left over at its end."""
    sold = a_fill("1.9", "100", direction.exit_side, f"x{number}", f"t1{number}")
    return (
        *holding(number, "2", direction=direction, kind=kind),
        FillBooked(position_id(number), sold, is_entry=False, at=NOW),
        HoldingClosed(position_id(number), D(0), D("0.1"), NOW),
    )


def test_dust_of_a_swap_is_paid_for_only_as_the_venue_says():
    state = account(*left_over())
    assert cash(state, {BTC: D("9.9")}) == 1000 - D("0.1")  # its average was 99
    assert cash(state, {}) == 1000  # it has been sold there
    state = after(state, *holding(2, "1", at="110"))
    assert cash(state, {BTC: D(120)}) == 1000


def test_dust_of_a_swap_has_not_been_paid_for_where_coins_are_traded_now():
    state = account(*left_over())
    assert cash(state, {BTC: D(0)}) == 1000


def test_dust_that_is_gone_is_written_off_at_its_cost():
    state = account(*left_over())
    (dust,) = state.dust
    state = after(state, *write_off(state, dust, D("0.04"), now=LATER))
    (rest,) = state.dust
    assert (rest.quantity, rest.cost, state.margin) == (D("0.04"), 4, 4)
    assert equity(state, {BTC: D(200)}) == 1004
    assert write_off(state, dust, D(0), now=LATER) == (), "it is other dust by now"
    state = after(state, *write_off(state, rest, D(0), now=LATER))
    assert (state.dust, state.margin, exposure(state, {})) == ((), 0, 0)


def test_of_dust_that_is_not_there_nothing_can_go():
    gone = DustGone(BTC, Direction.LONG, is_spot=True, quantity=D("0.1"), at=LATER)
    with pytest.raises(InvariantError, match="no dust"):
        after(account(*left_over()), gone)
    with pytest.raises(InvariantError, match="no dust"):
        after(account(*left_over(kind=Kind.SPOT)), replace(gone, quantity=D("0.2")))


def test_dust_of_coins_has_been_paid_for():
    state = account(*left_over(kind=Kind.SPOT))
    assert cash(state) == 990
    assert cash(state, spot_is_paid=False) == 1000


def test_swaps_leave_the_cash_alone():
    assert cash(account(*holding(1, "2")), {BTC: D(200)}) == 1000


def test_a_venue_that_averages_two_positions_realizes_another_part_and_still_agrees():
    state = account(*holding(1, "1", at="100"), *holding(2, "1", at="110"))
    sold = a_fill("1", "110", Side.SELL, "x", "t9")
    state = after(state, FillBooked(position_id(1), sold, is_entry=False, at=NOW))
    assert state.balance == 1010
    assert cash(state, {BTC: D(105)}) == 1005  # the venue's average was 105


def test_a_venue_that_nets_a_long_and_a_short_has_realized_both():
    state = account(*holding(1, "1", at="100"), *holding(2, "1", "110", Direction.SHORT))
    assert state.balance == 1000
    assert cash(state) == 1010


def test_spot_coins_are_paid_for_in_cash_their_fee_in_coins_included():
    state = account(*holding(1, "2", kind=Kind.SPOT, fee="0.002"))
    assert cash(state) == 800
    sold = a_fill("1.998", "110", Side.SELL, "x", "t9", fee="0.1")
    state = after(state, FillBooked(position_id(1), sold, is_entry=False, at=NOW))
    assert cash(state) == 800 + D("1.998") * 110 - D("0.1")
