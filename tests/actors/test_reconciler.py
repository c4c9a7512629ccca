"""The reconciler against an account that others use too: it finds out, it never flattens."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from actors import names
from actors.messages import ReconcileNow
from actors.money import Money
from actors.reconcile_rules import ReconcileSettings
from domain.commands import ClosePosition
from domain.ids import client_order_id
from domain.instrument import Direction, Side
from domain.modes import Mode
from domain.order import OrderStatus, OrderTerms, OrderType
from domain.portfolio_events import FlowsRead
from domain.position import PositionStatus
from domain.protection import ExitReason
from domain.reconciliation import JUST_FILLED_S
from exchanges.port import Abilities, CashKind, Outside, StreamDown, StreamUp, VenueOrder
from tests.actors.box import BTC, START, Box, D, pid, stop_at
from tests.actors.faulty_venue import never_arrives, refused
from tests.actors.shared_account import SharedAccount
from tests.actors.troubles import fill_up

_S = PositionStatus
HOUR_S = 3600.0
QUARANTINES = ReconcileSettings()
ADOPTS = ReconcileSettings(adopts=True)


@pytest.fixture
def share(perform):
    """Run plays with a shared account that is reconciled all the time."""

    def run(*plays, reconcile=QUARANTINES, **options):
        return perform(*plays, venue=SharedAccount, reconcile=reconcile, **options)

    return run


async def opened(box: Box, quantity: str = "0.01", **others) -> None:
    await box.start("60000")
    await box.soon(2)
    await box.open(quantity, **others)
    await box.soon(7)  # what was read of it before counts again


def mode(box: Box) -> Mode:
    return box.actor(names.PORTFOLIO).mode


def causes(box: Box) -> set[str]:
    return set(box.parts.world.causes)


# --- closed by somebody else ---


def test_what_a_person_closed_is_booked_at_their_price_within_a_second(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.trades("-0.01", "60100")
        await box.soon(1)
        position = box.position()
        assert position.status is _S.CLOSED_EXTERNAL
        assert position.exit_reason is ExitReason.EXTERNAL
        assert position.fills[-1].price == 60_100
        assert position.realized_pnl == D("0.01") * 100 - D("0.01") * 60_000 * D("0.0005")
        assert not box.portfolio.holdings
        assert "CLOSED_OUTSIDE" in box.ears.codes()
        assert mode(box) is Mode.NORMAL

    share(play)


def test_without_a_stream_it_is_found_within_fifteen_seconds(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.tells = False
        box.venue.trades("-0.01", "60100")
        await box.soon(15)
        assert box.position().status is _S.CLOSED_EXTERNAL
        assert box.position().fills[-1].price == 60_100

    share(play)


def test_without_a_fill_that_tells_the_price_it_is_estimated_and_said(share):
    async def play(box: Box) -> None:
        await opened(box)
        await box.soon(JUST_FILLED_S)
        box.venue.tells_fills = False
        box.say("59500")
        box.venue.trades("-0.01")
        await box.soon(15)
        position = box.position()
        assert position.status is _S.CLOSED_EXTERNAL
        assert position.fills[-1].price == 59_500
        assert any("guess" in text for code, text in box.ears.alarms if code == "CLOSED_OUTSIDE")

    share(play)


def test_after_a_fill_of_ours_what_nothing_explains_stands_longer_before_it_is_believed(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.tells_fills = False
        box.venue.trades("-0.01")
        await box.soon(15)
        assert box.position().status is _S.OPEN_PROTECTED
        assert mode(box) is Mode.NO_ENTRY  # it is suspected all the same
        await box.soon(20)
        assert box.position().status is _S.CLOSED_EXTERNAL

    share(play)


def test_what_the_venue_refuses_to_close_for_want_of_it_is_believed_gone_sooner(perform):
    class SaysWhatIsNotHeld(SharedAccount):
        abilities = Abilities(spot_is_paid=False, not_held=frozenset({"51008"}))

    async def play(box: Box) -> None:
        await opened(box, plan=stop_at("59000"))
        box.venue.tells_fills = False
        box.venue.trades("-0.01")
        box.venue.submits = [refused("51008", "not enough")] * 20
        box.say("58900")
        await box.soon(15)
        assert box.position().status is _S.CLOSED_EXTERNAL

    perform(play, venue=SaysWhatIsNotHeld, reconcile=QUARANTINES)


def test_a_liquidation_ends_it_as_that(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.trades("-0.01", "55000", cause=Outside.LIQUIDATION)
        await box.soon(1)
        assert box.position().status is _S.LIQUIDATED
        assert box.position().exit_reason is ExitReason.LIQUIDATED
        assert "LIQUIDATED" in box.ears.codes()

    share(play)


def test_a_part_closed_by_a_person_leaves_the_rest_guarded(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.trades("-0.004", "60100")
        await box.soon(1)
        assert box.position().remaining == D("0.006")
        assert box.position().status is _S.OPEN_PROTECTED
        box.say("58900")
        await box.soon(1)
        assert box.venue.sent[-1].quantity == D("0.006")

    share(play)


def test_the_oldest_position_goes_first(share):
    async def play(box: Box) -> None:
        await opened(box)
        await box.open("0.02", number=2)
        await box.soon(7)
        box.venue.trades("-0.015", "60100")
        await box.soon(1)
        assert box.position(1).status is _S.CLOSED_EXTERNAL
        assert box.position(2).remaining == D("0.015")

    share(play)


def test_a_crash_before_the_portfolio_was_told_is_made_good(share):
    async def first(box: Box) -> None:
        await opened(box)
        box.venue.trades("-0.01", "60100")
        while not box.position().is_closed:
            await box.soon(0.0001)
        box.disk.on_told = box.kill
        await box.soon(1)
        assert box.is_dead

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        assert box.position().status is _S.CLOSED_EXTERNAL
        assert not box.portfolio.holdings
        assert box.portfolio.balance == 100_000 + 1 - D("0.3")

    share(first, second)


# --- more than ours ---


def test_a_position_nobody_opened_here_is_left_alone_and_nothing_is_opened_beside_it(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        box.venue.trades("0.02")
        await box.soon(8)
        assert not box.parts.world.states.latest_of("position")
        assert "FOREIGN_POSITION" in box.ears.codes()
        assert box.ears.codes().count("FOREIGN_POSITION") == 1
        answered = await box.ask(names.trader("manual"), lambda rid: box.request(request_id=rid))
        assert answered.refusal.rule == "SYMBOL_IN_QUARANTINE"
        assert mode(box) is Mode.NORMAL
        box.venue.trades("-0.02")
        await box.soon(15)
        box.say("60000")
        await box.open()

    share(play)


def test_by_policy_it_is_adopted_under_an_emergency_stop(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        box.venue.average_price = D(61_000)
        box.venue.trades("0.02")
        await box.soon(8)
        (position,) = box.parts.world.states.latest_of("position")
        assert position.status is _S.OPEN_PROTECTED
        assert position.trader == "manual"
        assert (position.remaining, position.entry_price) == (D("0.02"), 61_000)
        assert position.protection.stop.price == 57_000
        assert position.id in box.portfolio.holdings
        assert box.portfolio.balance == 100_000
        await box.soon(60)
        assert len(box.parts.world.states.latest_of("position")) == 1

    share(play, reconcile=ADOPTS)


def test_a_find_is_never_averaged_into_a_position_of_ours(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.trades("0.02")
        await box.soon(12)
        mine, found = sorted(
            box.parts.world.states.latest_of("position"), key=lambda each: each.intended_at
        )
        assert (mine.remaining, found.remaining) == (D("0.01"), D("0.02"))

    share(play, reconcile=ADOPTS)


def test_a_long_that_was_adopted_and_a_short_that_fills_then_close_each_other(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        plan = stop_at("63000")
        await box.open("0.05", plan, direction=Direction.SHORT, limit="60500")
        box.venue.trades("0.02")
        await box.soon(8)
        box.say("60510")
        await box.soon(1)
        found = {each.direction: each for each in box.parts.world.states.latest_of("position")}
        assert {way: each.remaining for way, each in found.items()} == {
            Direction.LONG: D("0.02"),
            Direction.SHORT: D("0.05"),
        }
        await box.soon(30)
        left = [each for each in box.parts.world.states.latest_of("position") if each.remaining]
        assert [(each.direction, each.status, each.remaining) for each in left] == [
            (Direction.SHORT, _S.OPEN_PROTECTED, D("0.03"))
        ]
        assert box.ears.codes().count("CLOSED_OUTSIDE") == 2
        assert not box.parts.world.quarantined

    share(play, reconcile=ADOPTS)


# --- what must not happen ---


def test_a_failed_read_is_not_flat(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.reads_fail = True
        await box.soon(60)
        assert box.position().status is _S.OPEN_PROTECTED
        assert "HOLDINGS_UNREAD" in causes(box)
        assert mode(box) is Mode.NO_ENTRY
        box.venue.reads_fail = False
        await box.soon(20)
        assert mode(box) is Mode.NORMAL

    share(play)


def test_a_read_that_is_wrong_once_changes_nothing(share):
    async def play(box: Box) -> None:
        await opened(box)
        real = box.venue.positions
        answers = [()]

        async def positions():
            return answers.pop() if answers else await real()

        box.venue.positions = positions
        await box.soon(60)
        assert box.position().status is _S.OPEN_PROTECTED
        assert mode(box) is Mode.NORMAL

    share(play)


@pytest.mark.parametrize("lag_s", [4.0, 20.0])
def test_reads_that_are_late_do_not_close_what_has_just_filled(share, lag_s):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        box.venue.lag_s = lag_s
        await box.open()
        for _ in range(60):
            await box.venue.push_positions()
            await box.soon(0.5)
        assert box.position().status is _S.OPEN_PROTECTED
        assert not set(box.ears.codes()) & {"CLOSED_OUTSIDE", "FOREIGN_POSITION"}
        await box.close()
        for _ in range(60):
            await box.soon(0.5)
        assert box.position().status is _S.CLOSED
        assert not set(box.ears.codes()) & {"CLOSED_OUTSIDE", "FOREIGN_POSITION"}

    share(play)


# --- money ---


def test_funding_is_a_cost_of_the_position(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.moves("-3", CashKind.FUNDING, BTC)
        await box.soon(20)
        assert box.position().ledger.funding == -3
        assert box.portfolio.balance == 100_000 - D("0.3") - 3
        await box.soon(60)
        assert box.portfolio.balance == 100_000 - D("0.3") - 3

    share(play)


@pytest.mark.parametrize("moved_before", [False, True])
def test_a_clock_that_is_ahead_when_the_account_opens_hides_no_flow(share, moved_before):
    async def play(box: Box) -> None:
        if moved_before:
            before = box.venue.moves("7", CashKind.TRANSFER)
            box.venue.flows[-1] = replace(before, at=before.at - timedelta(minutes=20))
        await box.start("60000")
        await box.soon(20)
        late = box.venue.moves("-3", CashKind.FUNDING)
        box.venue.flows[-1] = replace(late, at=late.at - timedelta(minutes=5))  # the venue's clock
        await box.soon(20)
        assert box.portfolio.balance == 100_000 + 7 * moved_before - 3
        assert "BALANCE_CORRECTED" not in box.ears.codes()

    share(play)


def test_a_deposit_is_no_gain_and_a_withdrawal_no_loss(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.moves("50000", CashKind.TRANSFER)
        await box.soon(20)
        assert box.portfolio.balance == 150_000 - D("0.3")
        box.venue.moves("-100000", CashKind.TRANSFER)
        await box.soon(20)
        assert box.portfolio.balance == 50_000 - D("0.3")
        box.say("60000")
        await box.soon(2)
        assert mode(box) is Mode.NORMAL

    share(play)


def test_what_moved_is_asked_for_an_hour_back_and_one_told_late_is_booked(share):
    async def play(box: Box) -> None:
        await opened(box)
        await box.soon(2 * HOUR_S)
        asked = box.venue.now() - box.venue.flows_asked[-1]
        assert timedelta(hours=1) < asked < timedelta(hours=1, minutes=1)
        late = box.venue.moves("-3", CashKind.FUNDING, BTC)
        box.venue.flows[-1] = replace(late, at=late.at - timedelta(minutes=50))
        await box.soon(20)
        assert box.portfolio.balance == 100_000 - D("0.3") - 3
        box.venue.failing.add("flows")
        await box.soon(HOUR_S)
        box.venue.failing.clear()
        await box.soon(20)
        assert box.venue.now() - box.venue.flows_asked[-1] > timedelta(hours=1, minutes=1)

    share(play)


def test_the_next_process_does_not_read_again_what_was_booked_long_ago(share):
    async def play(box: Box) -> None:
        await opened(box)
        await box.soon(4.5 * HOUR_S)
        noted = [each for each in box.journal() if isinstance(each, FlowsRead)]
        assert len(noted) == 5
        assert box.portfolio.flows_read == noted[-1].until
        assert box.now - noted[-1].until < timedelta(hours=1)
        of_another_process = Money(box.parts.world, box.tell, spot_is_paid=True, books=True)
        since = of_another_process.flows_since(START)
        assert since == noted[-1].until - timedelta(hours=1)

    share(play)


def test_a_balance_is_not_corrected_while_nothing_can_be_booked(share):
    async def play(box: Box) -> None:
        await opened(box)
        disk = await fill_up(box)
        box.venue.trades("-0.01", "61000", pnl="10")
        await box.soon(30)
        assert box.position().is_closed
        assert "BALANCE_CORRECTED" not in box.ears.codes()
        disk.make_room()
        await box.soon(30)
        assert not box.portfolio.holdings
        assert "BALANCE_CORRECTED" not in box.ears.codes()

    share(play)


def test_what_nothing_explains_is_corrected_and_said(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.cash -= 1000
        await box.soon(40)
        assert box.portfolio.balance == 99_000 - D("0.3")
        assert "BALANCE_CORRECTED" in box.ears.codes()

    share(play)


# --- orders ---


def test_a_resting_order_that_is_gone_at_the_venue_is_asked_for(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        await box.open("0.01", stop_at("50000"), limit="59000")
        entry = box.position().entry.client_order_id
        box.venue.pushes = lambda update: ()
        await box.paper.cancel(BTC, entry)
        await box.soon(7)
        assert box.position().exit_reason is ExitReason.NEVER_FILLED

    share(play)


def test_without_a_stream_a_fill_of_a_resting_order_is_found(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        await box.open("0.01", stop_at("50000"), limit="59000")
        box.venue.pushes = lambda update: ()
        box.say("58990")
        await box.soon(7)
        assert box.position().status is _S.OPEN_PROTECTED
        await box.soon(30)
        assert box.position().status is _S.OPEN_PROTECTED

    share(play)


def left_over(box: Box, position: int = 9, leg: str = "guard-0") -> VenueOrder:
    order_id = client_order_id(box.parts.world.account, pid(position), leg, 0)
    return at_venue(order_id)


def at_venue(order_id: str) -> VenueOrder:
    terms = OrderTerms(
        order_id, pid(9), BTC, Side.SELL, OrderType.STOP, D("0.02"), trigger_price=D(55_000)
    )
    return VenueOrder(terms, "v1", OrderStatus.OPEN, D(0), D(0), "", START)


def test_an_order_whose_position_is_over_is_canceled_by_its_id_once_seen_twice(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        await box.open(number=9)
        await box.close(9)
        await box.soon(2)
        order = left_over(box)
        box.venue.foreign = [order]
        before = len(box.venue.canceled)
        await box.soon(9)
        assert len(box.venue.canceled) == before
        await box.soon(11)
        assert box.venue.canceled[before] == order.terms.client_order_id
        assert "FOREIGN_ORDERS" not in box.parts.world.causes

    share(play)


def test_an_order_of_a_position_that_never_was_here_is_another_daemons_and_stays(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        box.venue.foreign = [left_over(box)]
        await box.soon(30)
        assert box.venue.canceled == []
        assert "FOREIGN_ORDERS" in box.parts.world.causes

    share(play)


def test_the_stop_of_what_nobody_here_remembers_is_left_where_it_is(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        box.venue.trades("0.02")
        box.venue.foreign = [left_over(box)]
        await box.soon(60)
        assert box.venue.canceled == []

    share(play)


def test_an_order_that_a_person_placed_by_hand_is_shown_and_not_touched(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        box.venue.foreign = [at_venue("")]
        await box.soon(30)
        assert box.venue.canceled == []
        assert "FOREIGN_ORDER" not in box.ears.codes()
        assert mode(box) is Mode.NORMAL
        (strange,) = box.actor(names.RECONCILER).report.strange
        assert strange.whose == "a person's"

    share(play)


# --- the stream ---


def test_while_the_private_stream_is_down_nothing_is_opened(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.push(StreamDown("cut"))
        await box.soon(0.1)
        assert "STREAM_DOWN" in causes(box)
        box.venue.tells = False
        box.venue.trades("-0.01", "60100")
        box.venue.push(StreamUp())
        await box.soon(0.01)
        assert {"RECONCILING", "HOLDINGS_UNREAD", "DRIFT"} & causes(box)
        await box.soon(1)
        assert box.position().status is _S.CLOSED_EXTERNAL
        assert mode(box) is Mode.NORMAL

    share(play)


def test_after_a_reconnect_nothing_is_opened_before_holdings_are_read(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.push(StreamDown("cut"))
        box.venue.failing = {"positions"}
        box.venue.push(StreamUp())
        await box.soon(20)
        assert "HOLDINGS_UNREAD" in causes(box)
        box.venue.failing = set()
        await box.soon(15)
        assert mode(box) is Mode.NORMAL

    share(play)


# --- people ---


async def reconciled(box: Box, **wishes):
    answered = await box.ask(names.RECONCILER, lambda rid: ReconcileNow(rid, **wishes))
    return answered.refusal, box.actor(names.RECONCILER).report


def test_what_could_not_be_read_is_not_called_equal(share):
    async def play(box: Box) -> None:
        await opened(box)
        _, report = await reconciled(box)
        assert [row.state for row in report.rows] == ["equal"]
        box.venue.reads_fail = True
        _, report = await reconciled(box)
        (row,) = report.rows
        assert (row.ours, row.venue, row.state) == (D("0.01"), None, "not read")
        assert (row.orders_venue, row.stops_venue, report.balance_venue) == (None, None, None)
        assert not report.agrees
        assert not row.differs

    share(play)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.tells = False
        box.venue.trades("-0.01", "60100")
        refusal, report = await reconciled(box, dry_run=True)
        assert refusal is None
        (row,) = report.rows
        assert (row.ours, row.venue, row.state) == (D("0.01"), 0, "differs")
        assert "60100" in row.action
        assert box.position().status is _S.OPEN_PROTECTED

    share(play, reconcile=ReconcileSettings(active=False))


def test_dry_runs_without_end_keep_nothing_from_being_booked(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.tells = False
        box.venue.trades("-0.01", "60100")
        for _ in range(30):
            await reconciled(box, dry_run=True)
            await box.soon(1)
        assert box.position().status is _S.CLOSED_EXTERNAL

    share(play)


def test_asked_by_a_person_it_deals_with_what_differs_before_it_answers(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.tells = False
        box.venue.trades("-0.01", "60100", pnl="1")
        _, report = await reconciled(box)
        assert box.position().status is _S.CLOSED_EXTERNAL
        assert report.balance_ours == report.balance_venue
        assert report.agrees
        assert len(report.done) == 1

    share(play, reconcile=ReconcileSettings(active=False))


def test_a_person_takes_over_what_is_in_quarantine(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        box.venue.trades("-0.02")
        await box.soon(8)
        refusal, report = await reconciled(box, adopt=BTC)
        assert refusal is None
        await box.soon()
        (position,) = box.parts.world.states.latest_of("position")
        assert position.status is _S.OPEN_PROTECTED
        assert position.direction is Direction.SHORT
        assert [row.state for row in report.rows] == ["equal"]
        assert not box.parts.world.quarantined

    share(play)


def test_there_must_be_something_to_take_over(share):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        refusal, _ = await reconciled(box, adopt=BTC)
        assert refusal.rule == "NOTHING_TO_ADOPT"
        refusal, _ = await reconciled(box, adopt="XRP/USDT")
        assert refusal.rule == "UNKNOWN_SYMBOL"

    share(play)


def test_the_paper_venue_agrees_and_is_looked_at_only_when_asked(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        await box.open("0.02", number=2)
        box.say("61000")
        await box.close(1)
        await box.soon(30)
        assert box.actor(names.RECONCILER).report is None
        _, report = await reconciled(box)
        assert report.agrees
        assert (report.rows[0].ours, report.balance_ours) == (D("0.02"), report.balance_venue)

    perform(play)


def test_after_a_crash_of_its_own_it_looks_anew(share):
    async def play(box: Box) -> None:
        await opened(box)
        await box.restarted(names.RECONCILER)
        box.venue.trades("-0.01", "60100")
        await box.soon(2)
        assert box.position().status is _S.CLOSED_EXTERNAL
        assert mode(box) is Mode.NORMAL

    share(play)


def test_what_a_person_closed_while_the_daemon_was_down_is_found(share):
    trades = []

    async def first(box: Box) -> None:
        await opened(box)
        box.venue.tells = False
        box.venue.trades("-0.01", "60100")
        trades.extend(box.venue.outside)
        box.kill()

    async def second(box: Box) -> None:
        box.venue.outside = trades
        box.venue.shifts[BTC] -= D("0.01")
        await box.start("60000")
        await box.soon(2)
        assert box.position().status is _S.CLOSED_EXTERNAL
        assert box.position().fills[-1].price == 60_100

    share(first, second, pause_s=600)


# --- an exit that was lost, beside what others trade ---


async def lost_exit(box: Box) -> None:
    box.venue.submits.append(never_arrives)
    box.tell(names.position(pid(1)), ClosePosition(pid(1)))


def test_an_exit_that_never_arrived_is_sent_anew_beside_a_holding_in_quarantine(share):
    async def play(box: Box) -> None:
        await opened(box)
        box.venue.trades("0.05")
        await box.soon(10)
        assert BTC in box.parts.world.quarantined
        await lost_exit(box)
        await box.soon(12)
        assert box.position().status is _S.CLOSED
        assert box.position().exit_reason is ExitReason.MANUAL_CLOSE

    share(play)


def test_an_exit_that_never_arrived_is_sent_anew_though_others_trade_meanwhile(share):
    async def play(box: Box) -> None:
        await opened(box)
        await lost_exit(box)
        box.venue.trades("0.05")
        await box.soon(40)
        assert box.position().status is _S.CLOSED
        assert box.position().exit_reason is ExitReason.MANUAL_CLOSE

    share(play)


def test_a_position_closed_on_the_site_just_when_our_own_exit_was_lost_is_closed_once(share):

    async def play(box: Box) -> None:
        await opened(box)
        await lost_exit(box)
        box.venue.trades("-0.01")
        await box.soon(160)
        assert box.position().is_closed
        assert box.position().remaining == 0

    share(play)


def test_what_is_told_again_after_a_reconnect_is_no_late_fill(share, monkeypatch):
    for module in ("actors.ownership", "domain.portfolio_life"):
        monkeypatch.setattr(f"{module}.REMEMBERED_CLOSED", 1)

    async def play(box: Box) -> None:
        await opened(box)
        for number in (2, 3):
            await box.open(number=number)
            await box.close(number)
        await box.soon(10)
        box.venue.push(StreamDown("cut"))
        box.venue.push(StreamUp())
        await box.soon(5)
        assert "LATE_FILL" not in box.ears.codes()
        assert mode(box) is Mode.NORMAL

    share(play)
