"""The account: cash, holdings, reservations, days, drawdown."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain import modes
from domain.commands import EntryRequest, ProtectionPlan, SizeBy
from domain.errors import InvariantError, Refusal
from domain.ids import AccountName, ClientOrderId, PositionId, Symbol, TradeId, TraderName
from domain.instrument import Direction, Instrument, Kind
from domain.modes import Mode, operator_stop
from domain.money import Fee
from domain.order import Fill
from domain.performance import TradeRecord
from domain.portfolio import (
    DayRolled,
    EntriesResumed,
    EntriesStopped,
    EntryReserved,
    EquityMarked,
    FillBooked,
    HoldingAdopted,
    HoldingClosed,
    KillSwitchTripped,
    Portfolio,
    PortfolioOpened,
    ReservationReleased,
    SymbolBook,
    approve_entry,
    available,
    book_fill,
    close_holding,
    comes_too_early,
    daily_drawdown,
    drawdown,
    end_order,
    equity,
    evolve,
    exposure,
    mark,
    mode_of,
    reset_kill_switch,
    resume_entries,
    stop_entries,
    unpriced,
    unrealized_pnl,
    unvalued,
)
from domain.portfolio_events import CashMoved
from domain.portfolio_life import REMEMBERED_CLOSED
from domain.portfolio_state import cash
from domain.risk import AccountLimits, TraderLimits
from domain.venue import CashKind

D = Decimal
LONG, SHORT = Direction.LONG, Direction.SHORT
NOW = datetime(2024, 8, 8, 12, tzinfo=UTC)
ETH, BTC = Symbol("ETH/USDT"), Symbol("BTC/USDT")
LIMITS = AccountLimits()


def instrument(symbol=ETH, kind=Kind.SWAP):
    return Instrument(
        symbol=symbol,
        venue_symbol=symbol.replace("/", ""),
        base=symbol[:3],
        quote="USDT",
        kind=kind,
        tick_size=D("0.01"),
        lot_size=D("0.001"),
        min_quantity=D("0.001"),
        min_notional=D(10),
        max_leverage=D(10) if kind is Kind.SWAP else D(1),
    )


OPENED = PortfolioOpened(account=AccountName("paper"), quote="USDT", balance=D(10000), at=NOW)


def after(portfolio, events):
    for event in events:
        portfolio = evolve(portfolio, event)
    return portfolio


def account():
    return evolve(None, OPENED)


def reserved(portfolio, position="p1", quantity="1", price="100", **more):
    traded = more.pop("traded", instrument())
    leverage = more.pop("leverage", D(1))
    event = EntryReserved(
        position_id=PositionId(position),
        client_order_id=ClientOrderId(f"{position}-E0"),
        trader=TraderName("ema"),
        instrument=traded,
        direction=more.pop("direction", LONG),
        quantity=D(quantity),
        price=D(price),
        amount=D(quantity) * D(price) / leverage + D(more.pop("fee", "1")),
        leverage=leverage,
        risk=D(5),
        at=NOW,
    )
    return evolve(portfolio, event)


def fill(portfolio, position, quantity, price, trade, *, entry=True, fee="0", asset="USDT"):
    held = portfolio.holdings[PositionId(position)]
    side = held.direction.entry_side if entry else held.direction.exit_side
    return Fill(
        trade_id=TradeId(trade),
        client_order_id=ClientOrderId(f"{position}-{'E0' if entry else 'C0'}"),
        symbol=held.pair.symbol,
        side=side,
        quantity=D(quantity),
        price=D(price),
        fee=Fee(amount=D(fee), asset=asset),
        at=NOW,
    )


def booked(portfolio, made, *, entry=True):
    position = PositionId(made.client_order_id.partition("-")[0])
    held = portfolio.holdings[position]
    events = book_fill(
        portfolio,
        position,
        made,
        is_entry=entry,
        instrument=instrument(held.pair.symbol, held.pair.kind),
        direction=held.direction,
    )
    return after(portfolio, events)


def entered(portfolio, position="p1", quantity="1", price="100", *, fee="0", asset="USDT", **more):
    portfolio = reserved(portfolio, position, quantity, price, **more)
    made = fill(portfolio, position, quantity, price, f"{position}-in", fee=fee, asset=asset)
    return booked(portfolio, made)


def left(portfolio, position="p1", quantity="1", price="100", *, fee="0"):
    made = fill(portfolio, position, quantity, price, f"{position}-out", entry=False, fee=fee)
    return booked(portfolio, made, entry=False)


def closed(portfolio, position="p1", **more):
    return after(portfolio, close_holding(portfolio, PositionId(position), now=NOW, **more))


# Cash, holdings and reservations


def test_an_account_opens_flat_with_its_balance():
    portfolio = account()

    assert (equity(portfolio, {}), available(portfolio, {}), exposure(portfolio, {})) == (
        10000,
        10000,
        0,
    )
    assert (portfolio.high_water_mark, portfolio.day) == (10000, date(2024, 8, 8))


def test_a_reservation_lowers_what_is_available_and_adds_to_the_exposure():
    portfolio = reserved(account(), quantity="2", price="100")

    assert available(portfolio, {}) == 10000 - 201
    assert exposure(portfolio, {}) == 200
    assert equity(portfolio, {}) == 10000


def test_a_fill_turns_its_part_of_the_reservation_into_margin():
    portfolio = reserved(account(), quantity="4", price="100", fee="4")

    portfolio = booked(portfolio, fill(portfolio, "p1", "1", "100", "t1"))

    assert (portfolio.reserved, portfolio.margin) == (303, 100)
    assert exposure(portfolio, {ETH: D(110)}) == 110 + 300
    assert available(portfolio, {}) == 10000 - 303 - 100


def test_the_last_fill_ends_the_reservation():
    portfolio = entered(account())

    assert portfolio.reservations == {}
    assert (portfolio.reserved, portfolio.reserved_notional) == (0, 0)


def test_with_leverage_a_part_of_the_cost_is_margin():
    assert entered(account(), quantity="10", leverage=D(5)).margin == 200


def test_profit_reaches_the_balance_when_it_is_realized():
    portfolio = entered(account(), quantity="2", fee="0.2")
    marks = {ETH: D(110)}

    assert (portfolio.balance, equity(portfolio, marks)) == (D("9999.8"), D("10019.8"))

    portfolio = left(portfolio, quantity="2", price="110", fee="0.22")

    assert portfolio.balance == equity(portfolio, marks) == D("10019.58")
    assert (portfolio.margin, portfolio.books) == (0, {})


def test_a_short_gains_when_the_price_falls():
    portfolio = entered(account(), direction=SHORT)

    assert unrealized_pnl(portfolio, {ETH: D(90)}) == 10
    assert exposure(portfolio, {ETH: D(90)}) == 90


def test_a_long_and_a_short_of_one_symbol_offset_in_equity_but_not_in_exposure():
    portfolio = entered(entered(account()), "p2", direction=SHORT)

    assert unrealized_pnl(portfolio, {ETH: D(150)}) == 0
    assert exposure(portfolio, {ETH: D(150)}) == 300


def test_a_loss_not_yet_realized_is_not_available_and_a_gain_is_not_either():
    portfolio = entered(account())

    assert available(portfolio, {ETH: D(80)}) == 10000 - 100 - 20
    assert available(portfolio, {ETH: D(120)}) == 10000 - 100


def test_a_symbol_without_a_price_is_valued_at_its_cost():
    portfolio = entered(entered(account()), "p2", price="50", traded=instrument(BTC))

    assert equity(portfolio, {ETH: D(110)}) == 10010
    assert exposure(portfolio, {ETH: D(110)}) == 160
    assert unpriced(portfolio, {ETH: D(110)}) == (BTC,)


def test_figures_cost_one_step_a_symbol_however_many_positions():
    portfolio = account()
    for number in range(50):
        portfolio = entered(portfolio, f"p{number}")

    assert portfolio.books == {
        ETH: SymbolBook(
            net_quantity=D(50), net_cost=D(5000), gross_quantity=D(50), gross_cost=D(5000)
        )
    }


def test_a_fill_reported_twice_counts_once():
    portfolio = reserved(account(), quantity="2")
    made = fill(portfolio, "p1", "1", "100", "t1")

    once = booked(portfolio, made)

    assert booked(once, made) == once


def test_an_order_that_ends_gives_back_what_it_did_not_use():
    portfolio = reserved(account(), quantity="4")
    portfolio = booked(portfolio, fill(portfolio, "p1", "1", "100", "t1"))

    events = end_order(portfolio, ClientOrderId("p1-E0"), "canceled", now=NOW)
    portfolio = after(portfolio, events)

    assert (portfolio.reserved, available(portfolio, {})) == (0, 9900)
    assert PositionId("p1") in portfolio.holdings


def test_an_order_ends_once():
    portfolio = reserved(account())
    portfolio = after(portfolio, end_order(portfolio, ClientOrderId("p1-E0"), "late", now=NOW))

    assert end_order(portfolio, ClientOrderId("p1-E0"), "late", now=NOW) == ()


def test_a_position_that_never_filled_leaves_no_trace():
    portfolio = reserved(account())

    after_end = after(portfolio, end_order(portfolio, ClientOrderId("p1-E0"), "absent", now=NOW))

    assert after_end == account()
    assert closed(portfolio) == account(), "closing it first is as good"


def test_an_entry_that_fills_after_its_end_is_held_all_the_same():
    portfolio = reserved(account())
    late = fill(portfolio, "p1", "1", "100", "t1")
    portfolio = after(portfolio, end_order(portfolio, ClientOrderId("p1-E0"), "canceled", now=NOW))

    events = book_fill(
        portfolio,
        PositionId("p1"),
        late,
        is_entry=True,
        instrument=instrument(),
        direction=LONG,
        trader=TraderName("ema"),
    )
    portfolio = after(portfolio, events)

    assert [type(event) for event in events] == [HoldingAdopted, FillBooked]
    assert portfolio.margin == 100


# The end of a position


def test_a_closed_position_enters_the_record_of_its_trader():
    portfolio = closed(left(entered(account(), fee="0.1"), price="110", fee="0.1"))

    assert portfolio.records == {TraderName("ema"): TradeRecord(wins=1, won=D("9.8"))}
    assert not portfolio.holdings


def test_a_position_is_closed_once():
    assert close_holding(closed(entered(account())), PositionId("p1"), now=NOW) == ()


def test_a_fill_told_again_after_the_end_is_still_known():
    portfolio = entered(account())
    first = fill(portfolio, "p1", "1", "100", "p1-in")
    last = fill(portfolio, "p1", "1", "110", "p1-out", entry=False)
    portfolio = closed(booked(portfolio, last, entry=False))

    for made, is_entry in ((first, True), (last, False)):
        events = book_fill(
            portfolio,
            PositionId("p1"),
            made,
            is_entry=is_entry,
            instrument=instrument(),
            direction=LONG,
        )
        assert events == ()


def test_an_exit_of_what_is_not_held_closes_nothing():
    portfolio = entered(account())
    last = fill(portfolio, "p1", "1", "110", "t9", entry=False)

    events = book_fill(
        account(), PositionId("p1"), last, is_entry=False, instrument=instrument(), direction=LONG
    )

    assert events == ()


def test_closed_positions_are_remembered_within_bounds():
    portfolio = account()
    for number in range(REMEMBERED_CLOSED + 3):
        portfolio = closed(entered(portfolio, f"p{number}"), f"p{number}", keeps_dust=False)

    assert len(portfolio.closed) == REMEMBERED_CLOSED
    assert PositionId("p2") not in portfolio.closed


def test_closing_a_position_with_an_order_under_way_releases_it():
    portfolio = reserved(account(), quantity="4")
    portfolio = booked(portfolio, fill(portfolio, "p1", "1", "100", "t1"))

    portfolio = closed(left(portfolio))

    assert (portfolio.reserved, portfolio.reservations) == (0, {})


def test_what_cannot_be_sold_stays_in_the_account_as_dust():
    spot = instrument(kind=Kind.SPOT)
    portfolio = entered(account(), fee="0.001", asset="ETH", traded=spot)

    portfolio = closed(left(portfolio, quantity="0.998", price="110"))

    assert portfolio.balance == 10000 - D("0.1") + D("9.98")
    assert portfolio.books == {}
    assert [each.signed for each in portfolio.dust] == [D("0.001")]
    assert exposure(portfolio, {ETH: D(200)}) == D("0.2")
    assert exposure(portfolio, {}) == D("0.1")
    assert equity(portfolio, {ETH: D(200)}) == portfolio.balance + D("0.1")
    assert portfolio.margin == D("0.1")


def test_the_dust_of_a_short_is_owed_not_owned():
    portfolio = entered(account(), direction=SHORT)
    portfolio = closed(left(portfolio, quantity="0.9"))

    assert [each.signed for each in portfolio.dust] == [D("-0.1")]
    assert unrealized_pnl(portfolio, {ETH: D(90)}) == D(1)
    assert unrealized_pnl(portfolio, {}) == 0


def test_the_dust_of_two_positions_is_one():
    portfolio = closed(left(entered(account()), quantity="0.9"))
    portfolio = closed(left(entered(portfolio, "p2", price="110"), "p2", quantity="0.8"), "p2")

    (dust,) = portfolio.dust
    assert (dust.quantity, dust.cost, dust.margin) == (D("0.3"), 32, 32)
    assert portfolio.margin == 32


def test_dust_of_coins_and_of_a_swap_are_two_things():
    """Somebody traded coins, and then the same symbol as a swap."""
    spot = instrument(kind=Kind.SPOT)
    portfolio = closed(left(entered(account(), traded=spot), quantity="0.9"))
    portfolio = entered(portfolio, "p2", quantity="2", leverage=D(2))

    assert not portfolio.books[ETH].is_spot
    assert cash(portfolio, {ETH: D(200)}) == portfolio.balance - 10

    portfolio = closed(left(portfolio, "p2", quantity="1.5"), "p2")
    assert [(each.is_spot, each.quantity) for each in portfolio.dust] == [
        (True, D("0.1")),
        (False, D("0.5")),
    ]
    assert portfolio.margin == 10 + 25


def test_dust_without_a_price_keeps_nothing_from_being_judged():
    """Its symbol has been taken out of the configuration: nothing tells its price any more."""
    portfolio = closed(left(entered(account()), quantity="0.9"))
    portfolio = entered(portfolio, "p2", quantity="50", traded=instrument(BTC))

    portfolio = after(portfolio, mark(portfolio, {BTC: D(60)}, LIMITS, NOW))

    assert codes(portfolio) == [modes.DAILY_DRAWDOWN, modes.KILL_SWITCH]
    reset = reset_kill_switch(portfolio, {BTC: D(60)}, by="ada", now=NOW)
    assert not isinstance(reset, Refusal)


def test_what_left_by_another_way_is_written_off():
    portfolio = closed(entered(account()), keeps_dust=False)

    assert (portfolio.books, portfolio.margin, portfolio.balance) == ({}, 0, 10000)


# Days, drawdown, kill switch


def codes(portfolio):
    return [cause.code for cause in portfolio.causes]


def marked(portfolio, price, *, limits=LIMITS, at=NOW):
    return after(portfolio, mark(portfolio, {ETH: D(price)}, limits, at))


def test_equity_is_journaled_once_a_minute():
    portfolio = entered(account())

    assert mark(portfolio, {ETH: D(100)}, LIMITS, NOW + timedelta(seconds=59)) == ()
    (event,) = mark(portfolio, {ETH: D(99)}, LIMITS, NOW + timedelta(seconds=60))

    assert event == EquityMarked(
        equity=D(9999),
        balance=D(10000),
        at=NOW + timedelta(seconds=60),
        marks=((ETH, D(99)),),
    )
    assert evolve(portfolio, event).marked_at == NOW + timedelta(seconds=60)


def test_a_new_peak_is_journaled_at_once_when_it_is_one():
    portfolio = entered(account())

    assert mark(portfolio, {ETH: D(110)}, LIMITS, NOW) == ()
    assert marked(portfolio, "110.01").high_water_mark == D("10010.01")


def test_drawdown_is_counted_from_the_peak():
    portfolio = marked(entered(account(), quantity="50"), "140")

    assert drawdown(portfolio, {ETH: D(110)}) == D(1500) / 12000
    assert daily_drawdown(portfolio, {ETH: D(80)}) == D("0.1")


def test_a_daily_drawdown_stops_entries_until_the_next_utc_day():
    portfolio = entered(account(), quantity="50")

    portfolio = marked(portfolio, "90")

    assert codes(portfolio) == [modes.DAILY_DRAWDOWN]
    assert portfolio.causes[0].message == (
        "Equity 9500 is 5 % below 10000 of 00:00 UTC, the limit is 5 %."
    )
    assert portfolio.causes[0].way_out.startswith("Ends by itself at 00:01 UTC")
    assert mode_of(portfolio) is Mode.NO_ENTRY

    portfolio = marked(portfolio, "90", at=datetime(2024, 8, 8, 23, 59, 59, tzinfo=UTC))
    assert codes(portfolio) == [modes.DAILY_DRAWDOWN]

    portfolio = marked(portfolio, "90", at=datetime(2024, 8, 9, tzinfo=UTC))
    assert codes(portfolio) == []
    assert (portfolio.day, portfolio.day_start_equity) == (date(2024, 8, 9), 9500)


def test_a_limit_that_stands_is_not_journaled_again():
    portfolio = marked(entered(account(), quantity="50"), "90")

    assert mark(portfolio, {ETH: D(89)}, LIMITS, NOW) == ()


def test_a_daily_loss_cap_stops_entries_too():
    capped = AccountLimits(daily_loss_cap=D(100))

    portfolio = marked(entered(account(), quantity="50"), "98", limits=capped)

    assert codes(portfolio) == [modes.DAILY_LOSS]


def test_the_total_drawdown_trips_the_kill_switch_once():
    portfolio = entered(account(), quantity="50")

    events = mark(portfolio, {ETH: D(60)}, LIMITS, NOW)
    tripped = after(portfolio, events)

    assert [type(event) for event in events] == [EntriesStopped, KillSwitchTripped, EquityMarked]
    assert events[1].drawdown == D("0.2")
    assert codes(tripped) == [modes.DAILY_DRAWDOWN, modes.KILL_SWITCH]
    assert mark(tripped, {ETH: D(50)}, LIMITS, NOW) == ()


def test_a_new_day_does_not_reset_the_kill_switch():
    portfolio = marked(entered(account(), quantity="50"), "60")

    portfolio = marked(portfolio, "60", at=NOW + timedelta(days=1))

    assert codes(portfolio) == [modes.KILL_SWITCH]


def test_a_person_resets_the_kill_switch_and_drawdown_starts_anew():
    portfolio = marked(entered(account(), quantity="50"), "60")
    marks = {ETH: D(60)}

    portfolio = after(portfolio, reset_kill_switch(portfolio, marks, by="ada", now=NOW))

    assert codes(portfolio) == [modes.DAILY_DRAWDOWN]
    assert drawdown(portfolio, marks) == 0
    assert mark(portfolio, marks, LIMITS, NOW) == ()
    assert reset_kill_switch(portfolio, marks, by="ada", now=NOW) == ()


def test_nothing_is_judged_while_a_held_symbol_has_no_price():
    portfolio = entered(account(), quantity="50")

    assert mark(portfolio, {}, LIMITS, NOW + timedelta(days=2)) == ()


def test_what_has_had_no_price_for_long_counts_as_it_was_and_makes_no_peak():
    portfolio = entered(entered(account(), quantity="50"), "p2", traded=instrument(BTC))

    assert mark(portfolio, {ETH: D(60)}, LIMITS, NOW) == ()
    events = mark(portfolio, {ETH: D(60)}, LIMITS, NOW, despite_holes=True)
    assert [type(event) for event in events] == [EntriesStopped, KillSwitchTripped]
    assert mark(portfolio, {ETH: D(200)}, LIMITS, NOW, despite_holes=True) == ()
    assert mark(portfolio, {}, LIMITS, NOW, despite_holes=True) == (), "nothing to go by"

    portfolio = after(portfolio, events)
    asked = {"by": "ada", "now": NOW}
    assert reset_kill_switch(portfolio, {ETH: D(60)}, **asked).rule == "NO_PRICE"
    portfolio = after(
        portfolio, reset_kill_switch(portfolio, {ETH: D(60)}, **asked, despite_holes=True)
    )
    assert drawdown(portfolio, {ETH: D(60)}) == 0


def held_both(ether, *, limits=LIMITS):
    """Forty of each bought at 100; then a mark with ether at `ether`."""
    portfolio = entered(account(), quantity="40")
    portfolio = entered(portfolio, "p2", quantity="40", traded=instrument(BTC))
    at = NOW + timedelta(minutes=1)
    return after(portfolio, mark(portfolio, {ETH: D(ether), BTC: D(100)}, limits, at))


def test_a_gain_that_a_hole_hides_is_no_loss():
    wide = AccountLimits(daily_loss_cap=D(100))
    portfolio = held_both("140", limits=wide)
    assert portfolio.high_water_mark == 11600
    next_day = NOW + timedelta(days=1)

    rolled = mark(portfolio, {BTC: D(100)}, wide, next_day, despite_holes=True)

    assert [type(event) for event in rolled] == [DayRolled]
    portfolio = after(portfolio, rolled)
    assert (portfolio.day_start_equity, equity(portfolio, {BTC: D(100)})) == (11600, 11600)
    assert exposure(portfolio, {}) == 40 * 140 + 40 * 100
    assert mark(portfolio, {BTC: D(98)}, wide, next_day, despite_holes=True) == ()


def test_a_loss_known_before_the_hole_and_one_beside_it_add_up():
    portfolio = held_both("92")
    assert codes(portfolio) == []

    portfolio = after(portfolio, mark(portfolio, {BTC: D(95)}, LIMITS, NOW, despite_holes=True))

    assert codes(portfolio) == [modes.DAILY_DRAWDOWN]


def test_a_fill_is_the_price_known_of_what_was_not_marked_yet():
    portfolio = entered(held_both("140"), "p3", price="30", traded=instrument("SOL/USDT"))

    assert portfolio.last_marks == {ETH: D(140), BTC: D(100), "SOL/USDT": D(30)}
    assert unvalued(portfolio, {}) == ()
    portfolio = closed(left(portfolio, "p3", price="20"), "p3")
    assert portfolio.last_marks == {ETH: D(140), BTC: D(100)}


def test_nothing_is_judged_while_no_price_was_ever_noted_of_what_has_none():
    """A journal from before marks were noted: the gain of the hole may be in the peak."""
    portfolio = held_both("140")
    portfolio = evolve(portfolio, EquityMarked(equity=D(11600), balance=D(10000), at=NOW))

    assert unvalued(portfolio, {BTC: D(1)}) == (ETH,)
    assert mark(portfolio, {BTC: D(1)}, LIMITS, NOW, despite_holes=True) == ()


def test_a_clock_that_was_ahead_is_followed_back_and_no_limit_is_lifted_by_that():
    ahead = NOW + timedelta(days=365)
    portfolio = marked(entered(account(), quantity="50"), "100", at=ahead)
    portfolio = marked(portfolio, "90", at=ahead)
    start = portfolio.day_start_equity

    events = mark(portfolio, {ETH: D(90)}, LIMITS, NOW)
    assert [type(event) for event in events] == [DayRolled, EquityMarked]
    portfolio = after(portfolio, events)

    assert (portfolio.day, portfolio.day_start_equity) == (NOW.date(), start)
    assert codes(portfolio) == [modes.DAILY_DRAWDOWN]
    assert mark(portfolio, {ETH: D(90)}, LIMITS, NOW + timedelta(seconds=59)) == ()
    portfolio = marked(portfolio, "90", at=NOW + timedelta(days=1))
    assert (codes(portfolio), portfolio.day_start_equity) == ([], 9500)


def test_a_day_starts_with_the_last_mark_of_the_one_before():
    portfolio = marked(entered(account(), quantity="50"), "100", at=NOW + timedelta(minutes=1))
    midnight = datetime(2024, 8, 9, tzinfo=UTC)
    portfolio = after(portfolio, mark(portfolio, {ETH: D(90)}, LIMITS, midnight, day=NOW.date()))
    assert codes(portfolio) == [modes.DAILY_DRAWDOWN], "it is still the day before"

    portfolio = marked(portfolio, "90", at=midnight + timedelta(minutes=1))

    assert (portfolio.day, portfolio.day_start_equity) == (midnight.date(), 10000)
    assert codes(portfolio) == [modes.DAILY_DRAWDOWN], "and today it is reached as well"


def test_a_transfer_is_in_the_last_mark_that_the_next_day_starts_with():
    portfolio = marked(account(), "100", at=NOW + timedelta(minutes=1))
    moved = CashMoved("f1", CashKind.TRANSFER, "USDT", D(-5000), None, "", NOW, equity=D(10000))
    portfolio = evolve(portfolio, moved)

    portfolio = marked(portfolio, "100", at=NOW + timedelta(days=1))

    assert (portfolio.day_start_equity, codes(portfolio)) == (5000, [])


def test_an_operator_stops_and_resumes_entries():
    portfolio = account()

    portfolio = after(portfolio, stop_entries(portfolio, operator_stop("ada"), now=NOW))
    assert mode_of(portfolio) is Mode.NO_ENTRY
    assert stop_entries(portfolio, operator_stop("bob"), now=NOW) == ()

    portfolio = after(portfolio, resume_entries(portfolio, by="ada", now=NOW))
    assert mode_of(portfolio) is Mode.NORMAL
    assert resume_entries(portfolio, by="ada", now=NOW) == ()


@pytest.mark.parametrize("code", [modes.DAILY_DRAWDOWN, modes.KILL_SWITCH])
def test_what_a_limit_stopped_cannot_be_talked_away(code):
    portfolio = marked(entered(account(), quantity="50"), "60")

    answer = resume_entries(portfolio, by="ada", now=NOW, code=code)

    assert isinstance(answer, Refusal)
    assert answer.rule == "LIMIT_REACHED"
    assert answer.remedy


def test_the_mode_counts_causes_that_are_not_journaled():
    stop = replace(operator_stop("ada"), mode=Mode.FENCED)

    assert mode_of(account(), [stop]) is Mode.FENCED


# What cannot be


@pytest.mark.parametrize(
    "event",
    [
        ReservationReleased(client_order_id=ClientOrderId("x"), why="", at=NOW),
        HoldingClosed(position_id=PositionId("x"), realized_pnl=D(0), dust=D(0), at=NOW),
        OPENED,
    ],
)
def test_an_event_that_nothing_can_be_made_of_is_a_bug(event):
    with pytest.raises(InvariantError):
        evolve(account(), event)


def test_nothing_happens_before_an_account_is_opened():
    with pytest.raises(InvariantError, match="before the portfolio was opened"):
        evolve(None, EntriesResumed(code="X", by="ada", at=NOW))


def test_an_order_is_reserved_for_once_and_a_position_adopted_once():
    portfolio = reserved(account())
    adoption = HoldingAdopted(
        position_id=PositionId("p1"),
        trader=TraderName("x"),
        instrument=instrument(),
        direction=LONG,
        leverage=D(1),
        at=NOW,
    )

    with pytest.raises(InvariantError, match="twice"):
        reserved(portfolio)
    with pytest.raises(InvariantError, match="adopted though held"):
        evolve(portfolio, adoption)


# Over random lives


class Life:
    """An account lived through random orders, fills, exits and prices; keeps what happened."""

    def __init__(self, draw, kind):
        self.draw, self.kind = draw, kind
        self.portfolio, self.events = account(), [OPENED]
        self.price, self.now, self.orders, self.trades = D(100), NOW, {}, 0

    @property
    def marks(self):
        return {ETH: self.price}

    def happens(self, events):
        self.events.extend(events)
        self.portfolio = after(self.portfolio, events)

    def enter(self):
        number = len(self.orders)
        position = PositionId(str(UUID(int=number)))
        short = self.kind is Kind.SWAP and self.draw(st.booleans())
        request = EntryRequest(
            position_id=position,
            trader=TraderName(f"t{number % 3}"),
            symbol=ETH,
            direction=SHORT if short else LONG,
            size_by=SizeBy.NOTIONAL,
            size=D(self.draw(st.integers(10, 9000))),
            plan=ProtectionPlan(),
            leverage=D(1) if self.kind is Kind.SPOT else D(self.draw(st.integers(1, 3))),
        )
        answer = approve_entry(
            self.portfolio,
            request,
            instrument(kind=self.kind),
            price=self.price,
            client_order_id=ClientOrderId(f"{number}-E0"),
            trader_limits=TraderLimits(max_position_ratio=D(9), max_positions=4),
            account_limits=LIMITS,
            extra_causes=(),
            marks=self.marks,
            now=self.now,
        )
        if isinstance(answer, EntryReserved):
            self.orders[position] = answer
            self.happens((answer,))

    def fill(self):
        working = list(self.portfolio.reservations.items())
        if not working:
            return
        order_id, reservation = self.draw(st.sampled_from(working))
        open_lots = int((reservation.quantity - reservation.filled) * 1000)
        quantity = D(self.draw(st.integers(1, open_lots))) / 1000
        slipped = reservation.price * D(self.draw(st.sampled_from(["1", "0.999", "1.001"])))
        self.trade(reservation.position_id, order_id, quantity, slipped, is_entry=True)

    def exit(self):
        held = [each for each in self.portfolio.holdings.items() if each[1].ledger.remaining]
        if not held:
            return
        position, holding = self.draw(st.sampled_from(held))
        lots = int(holding.ledger.remaining * 1000)
        if lots:
            quantity = D(self.draw(st.integers(1, lots))) / 1000
            self.trade(position, ClientOrderId("C"), quantity, self.price, is_entry=False)

    def trade(self, position, order_id, quantity, price, *, is_entry):
        self.trades += 1
        terms = self.orders[position]
        in_base = is_entry and self.kind is Kind.SPOT
        fee = Fee(quantity * D("0.001"), "ETH") if in_base else Fee(quantity * price / 1000, "USDT")
        side = terms.direction.entry_side if is_entry else terms.direction.exit_side
        made = Fill(
            trade_id=TradeId(str(self.trades)),
            client_order_id=order_id,
            symbol=ETH,
            side=side,
            quantity=quantity,
            price=price,
            fee=fee,
            at=self.now,
        )
        for _ in range(2):  # venues repeat themselves
            self.happens(
                book_fill(
                    self.portfolio,
                    position,
                    made,
                    is_entry=is_entry,
                    instrument=terms.instrument,
                    direction=terms.direction,
                )
            )

    def end(self):
        if self.portfolio.reservations:
            order_id = self.draw(st.sampled_from(list(self.portfolio.reservations)))
            self.happens(end_order(self.portfolio, order_id, "canceled", now=self.now))

    def close(self):
        flat = [
            position
            for position, holding in self.portfolio.holdings.items()
            if holding.ledger.remaining < D("0.001")
        ]
        if flat:
            position = self.draw(st.sampled_from(flat))
            self.happens(close_holding(self.portfolio, position, now=self.now))

    def move(self):
        step = D(self.draw(st.integers(-5, 5))) / 100
        self.price = (self.price * (1 + step)).quantize(D("0.01"))
        self.now += timedelta(minutes=self.draw(st.integers(0, 600)))
        self.happens(mark(self.portfolio, self.marks, LIMITS, self.now))


def assert_sums_agree(portfolio):
    holdings = portfolio.holdings.values()
    book = portfolio.books.get(ETH, SymbolBook())
    held = sum(each.ledger.remaining for each in holdings)

    assert book.gross_quantity == held
    assert book.gross_cost == sum(each.ledger.cost for each in holdings)
    dust = sum(each.margin for each in portfolio.dust)
    assert portfolio.margin == dust + sum(each.margin for each in holdings)
    assert portfolio.reserved == sum(each.open_amount for each in portfolio.reservations.values())
    assert portfolio.reserved_notional == sum(
        each.open_notional for each in portfolio.reservations.values()
    )
    for holding in holdings:
        assert holding.pending or holding.ledger.quantity, "nothing holds a place for nothing"


ACTS = ["enter", "enter", "fill", "fill", "exit", "end", "close", "move"]


@settings(max_examples=60)
@given(st.data(), st.sampled_from(Kind), st.lists(st.sampled_from(ACTS), max_size=40))
def test_over_any_life_sums_agree_and_no_balance_is_spent_twice(data, kind, acts):
    life = Life(data.draw, kind)
    for act in acts:
        getattr(life, act)()
        portfolio = life.portfolio
        assert_sums_agree(portfolio)
        assert 0 <= portfolio.reserved <= portfolio.balance
        if kind is Kind.SPOT:
            assert portfolio.reserved + portfolio.margin <= portfolio.balance

    realized = sum(
        event.realized_pnl for event in life.events if isinstance(event, HoldingClosed)
    ) + sum(holding.ledger.realized_pnl for holding in life.portfolio.holdings.values())
    assert life.portfolio.balance == 10000 + realized


@settings(max_examples=60)
@given(st.data(), st.sampled_from(Kind), st.lists(st.sampled_from(ACTS), max_size=40))
def test_replay_from_text_equals_live(data, kind, acts):
    life = Life(data.draw, kind)
    for act in acts:
        getattr(life, act)()

    replayed = None
    for event in life.events:
        text = msgspec.json.encode(event)
        replayed = evolve(replayed, msgspec.json.decode(text, type=type(event)))

    assert replayed == life.portfolio
    assert msgspec.json.decode(msgspec.json.encode(replayed), type=Portfolio) == replayed


@settings(max_examples=60)
@given(st.data(), st.lists(st.integers(1, 999), min_size=1, max_size=6, unique=True))
def test_the_account_is_the_same_for_any_split_of_its_fills(data, cuts):
    price = D(data.draw(st.integers(1, 10**6))) / 100
    exit_price = D(data.draw(st.integers(1, 10**6))) / 100
    edges = [0, *sorted(cuts), 1000]
    pieces = [D(high - low) / 1000 for low, high in pairwise(edges)]

    def lived(quantities):
        portfolio = reserved(account(), leverage=D(3), fee="0")
        for is_entry, at in ((True, price), (False, exit_price)):
            for index, quantity in enumerate(quantities):
                fee = str(quantity * D("0.001"))
                trade = f"{is_entry}-{index}"
                made = fill(portfolio, "p1", quantity, at, trade, entry=is_entry, fee=fee)
                portfolio = booked(portfolio, made, entry=is_entry)
        return closed(portfolio)

    whole, split = lived([D(1)]), lived(pieces)

    assert replace(split, closed={}) == replace(whole, closed={})


# --- an exit before its entry ---


def early(portfolio, quantity, trade="x"):
    made = fill(portfolio, "p1", quantity, "110", trade, entry=False)
    return comes_too_early(portfolio.holdings[PositionId("p1")], made)


def test_an_exit_of_more_than_is_booked_waits_while_an_entry_is_to_come():
    waiting = reserved(account(), "p1", "2", "100")
    assert early(waiting, "1")
    half = booked(waiting, fill(waiting, "p1", "1", "100", "p1-in"))
    assert not early(half, "1")
    assert early(half, "1.5")
    full = booked(half, fill(half, "p1", "1", "100", "p1-in-2"))
    assert not early(full, "2.5")  # nothing is to come: it is an over-fill
    assert not early(half, "1.5", "p1-in")  # booked before
