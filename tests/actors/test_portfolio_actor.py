"""The portfolio actor: money is set aside before anything is asked for, and freed after it."""

import asyncio

import pytest
from msgspec.structs import replace

from actors import names
from actors.local_truth import live_positions
from actors.messages import (
    ClearCause,
    ReconcileNow,
    ResetKillSwitch,
    ResumeEntries,
    SetCause,
    StopEntries,
)
from actors.portfolio import EARLY_FOR_S
from actors.reconcile_rules import ReconcileSettings
from domain.commands import ClosePosition
from domain.ids import MANUAL
from domain.inputs import FillReported
from domain.instrument import Side
from domain.modes import KILL_SWITCH, OPERATOR_STOP, Mode, ModeCause
from domain.order import Fill, OrderIntended, OrderStatus
from domain.portfolio import FillBooked, HoldingClosed, KillSwitchTripped, ReservationReleased
from domain.portfolio_events import EntryReserved
from domain.position import PositionStatus
from domain.position_events import PositionIntended
from domain.protection import ExitReason
from tests.actors.box import BTC, COMMIT_S, CONFIG, ETH, Box, D, pid, stop_at
from tests.actors.faulty_venue import never_arrives, refused
from tests.actors.shared_account import SharedAccount
from tests.builders import a_fill

SMALL = CONFIG.replace("balance: 100000", "balance: 1000")
KILLS = CONFIG.replace("total_drawdown_ratio: 1", "total_drawdown_ratio: 0.05")
FAR = stop_at("35000")


def mode(box):
    return box.actor(names.PORTFOLIO).mode


async def try_to_open(box, number=1, **others):
    request = box.request(number=number, **others)
    return await box.ask(
        names.trader(MANUAL), lambda request_id: replace(request, request_id=request_id)
    )


# --- fills ---


def test_an_exit_that_is_told_before_its_entry_is_booked_after_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.hold_back(Fill)
        box.tell(names.trader(MANUAL), box.request())
        await box.soon(0.01)
        sold = a_fill("0.01", "61000", Side.SELL, "an exit")
        box.tell(names.PORTFOLIO, FillReported(pid(), sold))
        await box.soon(0.01)
        assert box.portfolio.balance == 100_000
        box.venue.let_go()
        await box.soon(1)
        ledger = box.portfolio.holdings[pid()].ledger
        assert (ledger.remaining, ledger.gross_pnl) == (0, 10)
        assert box.portfolio.balance == 100_000 + ledger.realized_pnl

    perform(play)


async def close_without_knowing_of(box: Box, fill: Fill) -> None:
    """Open and close a position; the portfolio alone is told of a fill more."""
    await box.start("60000")
    await box.soon(2)
    await box.open()
    box.tell(names.PORTFOLIO, FillReported(pid(), fill))
    await box.close()
    await box.soon()


def test_what_a_closed_position_does_not_know_is_said_once_and_gone_when_the_venue_lacks_it(
    perform,
):
    async def first(box: Box) -> None:
        await close_without_knowing_of(box, a_fill("0.01", "60000", Side.BUY, "late"))
        assert box.position().is_closed
        assert not box.portfolio.holdings
        assert [each.quantity for each in box.portfolio.dust] == [D("0.01")]
        assert box.ears.codes() == ["LATE_FILL"]

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon(60)
        assert (box.portfolio.dust, box.portfolio.margin) == ((), 0)
        assert box.ears.codes() == []

    perform(first, second, venue=SharedAccount, reconcile=ReconcileSettings())


def test_what_a_closed_position_does_not_know_and_the_venue_holds_a_person_may_take_over(perform):
    async def play(box: Box) -> None:
        await close_without_knowing_of(box, a_fill("0.01", "60000", Side.BUY, "late"))
        box.venue.trades("0.01")
        await box.soon(60)
        assert box.ears.codes() == ["LATE_FILL", "FOREIGN_POSITION"]
        answered = await box.ask(names.RECONCILER, lambda rid: ReconcileNow(rid, adopt=BTC))
        assert answered.refusal is None
        await box.soon(60)
        (position,) = [each for each in live_positions(box.parts.world) if each.remaining]
        assert position.status is PositionStatus.OPEN_PROTECTED
        assert list(box.portfolio.holdings) == [position.id]
        assert not box.portfolio.dust

    perform(play, venue=SharedAccount, reconcile=ReconcileSettings())


def test_an_entry_that_fills_while_the_end_of_its_position_is_written_is_left_over_too(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.tell(names.position(pid()), ClosePosition(pid()))
        while box.portfolio.holdings:
            await box.soon(COMMIT_S / 10)
        box.tell(names.PORTFOLIO, FillReported(pid(), a_fill("0.01", "60000", Side.BUY, "late")))
        await box.soon()
        assert not box.portfolio.holdings
        assert [each.quantity for each in box.portfolio.dust] == [D("0.01")]
        assert box.ears.codes() == ["LATE_FILL"]

    perform(play)


def test_an_exit_is_not_kept_waiting_for_an_entry_for_ever(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01", stop_at("50000"), limit="55000")
        sold = a_fill("0.01", "61000", Side.SELL, "an exit")
        box.tell(names.PORTFOLIO, FillReported(pid(), sold))
        await box.soon(EARLY_FOR_S - 1)
        assert not box.portfolio.holdings[pid()].trade_ids
        await box.soon(2)
        assert box.portfolio.holdings[pid()].trade_ids == {sold.trade_id}

    perform(play)


# --- reservations ---


def test_money_is_reserved_before_a_position_is_born_before_its_order_is_intended(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        kinds = [type(event) for event in box.journal()]
        places = [kinds.index(each) for each in (EntryReserved, PositionIntended, OrderIntended)]
        assert places == sorted(places)

    perform(play)


def test_no_entry_leaves_before_its_reservation_is_durable_which_is_one_commit_with_its_intent(
    perform,
):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.disk.hold()
        box.tell(names.trader(MANUAL), box.request())
        await box.soon(2)
        assert box.portfolio.reservations
        assert box.entry().status is OrderStatus.INTENT
        assert box.venue.sent == []
        before = len(box.ears.commits)
        box.disk.go_on()
        while not box.venue.sent:
            await box.soon(0.0001)
        assert len(box.ears.commits) == before + 1
        await box.soon()
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


def test_many_wishes_at_once_never_reserve_more_than_there_is(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        wishes = [asyncio.ensure_future(try_to_open(box, number)) for number in range(1, 6)]
        for _ in range(400):
            await box.soon(COMMIT_S / 5)
            assert box.portfolio.reserved + box.portfolio.margin <= box.portfolio.balance
        answers = [await wish for wish in wishes]
        assert [answer.refusal is None for answer in answers] == [True] + [False] * 4
        assert len(box.portfolio.holdings) == 1  # 600 of 1000

    perform(play, config=SMALL)


def test_a_reservation_whose_position_was_never_born_is_freed_after_the_crash(perform):
    async def first(box: Box) -> None:
        await box.start("60000")

        def die_when_reserved() -> None:
            if any(isinstance(event, EntryReserved) for event in box.journal()):
                box.kill()

        box.disk.on_done = die_when_reserved
        box.actor(names.PORTFOLIO).release = lambda _effect: None  # nobody hears of it
        box.tell(names.trader(MANUAL), box.request())
        await box.soon()
        assert box.is_dead

    async def second(box: Box) -> None:
        assert box.portfolio.reservations
        await box.start("60000")
        assert not box.portfolio.reservations
        assert not box.portfolio.holdings
        released = [each for each in box.journal() if isinstance(each, ReservationReleased)]
        assert [each.why for each in released] == ["no intent survived"]
        await box.open(number=2)  # and the money is there again

    perform(first, second)


def test_what_did_not_fill_is_freed_and_what_filled_is_margin(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.02", limit="59900")
        assert box.portfolio.reserved > 1_198
        box.say("59890")
        await box.soon()
        filled = box.position().remaining
        assert 0 < filled < D("0.02")
        assert box.portfolio.margin == filled * 59_900
        open_value = (D("0.02") - filled) * 59_900
        assert open_value < box.portfolio.reserved < open_value * D("1.01")

    perform(play, config=CONFIG.replace("latency_ms: 0", "latency_ms: 0, partial_fill_chance: 1"))


# --- death ---


@pytest.mark.parametrize("after_s", [n * COMMIT_S / 4 for n in range(33)])
def test_whenever_it_is_killed_while_a_position_opens_the_books_agree(perform, after_s):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.tell(names.trader(MANUAL), box.request())
        await box.soon(after_s)
        box.parts.system.kill(names.PORTFOLIO)
        await box.soon(10)
        held = await box.paper.positions()
        assert not box.portfolio.reservations
        assert bool(held) == bool(box.portfolio.holdings)
        if held:
            assert box.portfolio.holdings[pid()].ledger.remaining == D("0.01")
            assert box.position().remaining == D("0.01")
        assert box.journaled(names.portfolio("paper")) == box.portfolio

    perform(play)


@pytest.mark.parametrize("after_s", [n * COMMIT_S / 4 for n in range(33)])
def test_whenever_it_is_killed_while_a_position_closes_it_is_settled(perform, after_s):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.say("59000")
        await box.soon(after_s)
        box.parts.system.kill(names.PORTFOLIO)
        await box.soon(10)
        assert box.position().status is PositionStatus.CLOSED
        assert box.latest(names.position(pid())) is None
        assert not box.portfolio.holdings
        assert not box.exchange.streams
        events = box.journal(names.portfolio("paper"))
        assert len([each for each in events if isinstance(each, FillBooked)]) == 2
        assert len([each for each in events if isinstance(each, HoldingClosed)]) == 1
        balance = (await box.paper.balances())[0].total
        assert box.portfolio.balance == balance

    perform(play)


def test_fills_that_it_did_not_hear_of_before_the_crash_are_booked_after_it(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.venue.pushes = lambda update: ()
        box.say("58990")
        await box.soon(0.05)
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon()
        assert not box.portfolio.holdings
        assert box.portfolio.balance == (await box.paper.balances())[0].total

    perform(first, second)


# --- modes ---


def test_a_mode_is_the_worst_of_its_causes_and_ends_with_the_last(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for code, what in (("A", Mode.NO_ENTRY), ("B", Mode.PROTECT_ONLY)):
            box.tell(names.PORTFOLIO, SetCause(ModeCause(code, what, "", "")))
        assert mode(box) is Mode.PROTECT_ONLY
        assert (await try_to_open(box)).refusal.rule == "NO_ENTRY_MODE"
        box.tell(names.PORTFOLIO, ClearCause("B"))
        assert mode(box) is Mode.NO_ENTRY
        box.tell(names.PORTFOLIO, ClearCause("A"))
        assert mode(box) is Mode.NORMAL

    perform(play)


def test_a_cause_outlives_the_actor_that_keeps_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.feed.on_disconnected("the line is cut")
        box.parts.system.dispatcher.drain()
        assert mode(box) is Mode.NO_ENTRY
        await box.restarted(names.PORTFOLIO)
        assert mode(box) is Mode.NO_ENTRY
        box.feed.on_connected()
        box.parts.system.dispatcher.drain()
        assert mode(box) is Mode.NORMAL

    perform(play)


def test_a_disk_that_recovered_while_nobody_looked_is_noticed(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        real = box.store.disk

        class Low:
            def __getattr__(self, name):
                return getattr(real, name)

            def free_bytes(self, path):
                return 0

        box.store.disk = Low()
        await box.soon(2)
        assert mode(box) is Mode.PROTECT_ONLY
        box.parts.system.kill(names.PERSISTENCE)
        box.store.disk = real
        await box.soon(3)
        assert mode(box) is Mode.NORMAL

    perform(play)


def test_an_operators_stop_survives_a_crash_until_an_operator_lifts_it(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        assert (await box.ask(names.PORTFOLIO, lambda r: StopEntries(r, "me"))).refusal is None
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        assert mode(box) is Mode.NO_ENTRY
        assert [cause.code for cause in box.portfolio.causes] == [OPERATOR_STOP]
        assert (await try_to_open(box)).refusal.rule == "NO_ENTRY_MODE"
        assert (await box.ask(names.PORTFOLIO, lambda r: ResumeEntries(r, "me"))).refusal is None
        assert (await try_to_open(box)).refusal is None

    perform(first, second)


# --- refusals ---


def test_a_symbol_that_is_only_watched_has_prices_and_no_entries(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.say("3000", symbol=ETH)
        refusal = (await try_to_open(box, symbol=ETH)).refusal
        assert refusal.rule == "WATCHED_ONLY"
        assert "market.watch" in refusal.remedy
        assert box.parts.world.prices.last(ETH) == 3000
        assert (await try_to_open(box)).refusal is None

    only = CONFIG.replace("[BTC/USDT, ETH/USDT]", "[BTC/USDT], watch: [ETH/USDT]")
    perform(play, config=only)


def test_without_a_price_or_with_an_old_one_nothing_is_opened(perform):
    async def play(box: Box) -> None:
        await box.start()
        assert (await try_to_open(box)).refusal.rule == "NO_PRICE"
        box.say("60000")
        await box.soon(6)
        assert (await try_to_open(box)).refusal.rule == "STALE_PRICE"
        box.say("60000")
        assert (await try_to_open(box)).refusal is None

    perform(play)


def test_a_refusal_leaves_no_trace_in_the_books(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        before = box.portfolio
        for others in ({"quantity": "10"}, {"plan": stop_at("61000")}, {"quantity": "0.00001"}):
            assert (await try_to_open(box, **others)).refusal is not None
        assert box.portfolio == before
        assert not box.venue.sent

    perform(play)


# --- the kill switch ---


async def with_positions(box):
    await box.start("60000")
    for number in (1, 2, 3):
        await box.open("0.2", plan=FAR, number=number)
    await box.open("0.01", plan=FAR, number=4, limit="40000")


def test_the_kill_switch_closes_everything_and_lets_nothing_in(perform):
    async def first(box: Box) -> None:
        await with_positions(box)
        box.say("50000")
        await box.soon(2.5)
        assert await box.paper.positions() == ()
        assert await box.paper.open_orders() == ()
        assert {box.position(number).exit_reason for number in (1, 2, 3)} == {
            ExitReason.KILL_SWITCH
        }
        assert box.position(4).exit_reason is ExitReason.NEVER_FILLED
        assert "KILL_SWITCH" in box.ears.codes()
        box.say("50000")
        assert (await try_to_open(box, 5, plan=stop_at("49000"))).refusal.rule == "NO_ENTRY_MODE"
        box.kill()

    async def second(box: Box) -> None:
        await box.start("50000")
        assert mode(box) is Mode.NO_ENTRY
        answered = await box.ask(names.PORTFOLIO, lambda r: ResumeEntries(r, "me"))
        assert answered.refusal is None  # the operator's own stop; there is none
        assert mode(box) is Mode.NO_ENTRY
        assert (await box.ask(names.PORTFOLIO, lambda r: ResetKillSwitch(r, "me"))).refusal is None
        assert (await try_to_open(box, 6, plan=stop_at("49000"))).refusal is None

    perform(first, second, config=KILLS)


def test_a_kill_switch_that_tripped_just_before_the_crash_is_finished_after_it(perform):
    async def first(box: Box) -> None:
        await with_positions(box)
        tripped = KillSwitchTripped(
            drawdown=D("0.06"), limit=D("0.05"), equity=D(94_000), at=box.now
        )
        box.actor(names.PORTFOLIO)._record(tripped)  # and before it could tell anybody, the end
        await box.soon(0.01)
        assert len(await box.paper.positions()) == 1
        box.kill()

    async def second(box: Box) -> None:
        await box.start("50000")
        assert [cause.code for cause in box.portfolio.causes] == [KILL_SWITCH]
        for _ in range(20):
            box.say("50000")
            await box.soon(1)
        assert await box.paper.positions() == ()
        assert await box.paper.open_orders() == ()
        assert not box.portfolio.holdings

    perform(first, second, config=KILLS)


def test_the_kill_switch_does_not_give_up_on_what_the_venue_refuses(perform):
    async def play(box: Box) -> None:
        await with_positions(box)
        box.venue.submits = [refused("BUSY")] * 7
        box.say("50000")
        await box.soon(10)
        assert await box.paper.positions() == ()
        assert box.ears.codes().count("KILL_SWITCH") == 1

    perform(play, config=KILLS)


def test_an_entry_that_fills_after_the_kill_switch_is_closed_at_once(perform):
    async def play(box: Box) -> None:
        await with_positions(box)
        box.venue.cancels = [never_arrives]
        box.say("50000")
        await box.soon(1.2)
        box.say("39000")  # through the limit of the entry whose cancel was lost
        await box.soon(8)
        assert box.position(4).exit_reason is ExitReason.KILL_SWITCH
        assert await box.paper.positions() == ()

    perform(play, config=KILLS)
