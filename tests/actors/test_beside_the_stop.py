"""Exits that leave beside a stop, and what else may leave then: nobody sells what is another's."""

from typing import Any

from msgspec.structs import replace

from actors import names
from actors.messages import ReconcileNow
from actors.reconcile_rules import ReconcileSettings
from domain.commands import ClosePosition
from domain.effects import CancelOrder
from domain.ids import NO_REQUEST
from domain.inputs import GridTold
from domain.order import OrderStatus, OrderType
from domain.position import PositionStatus
from domain.protection import ExitReason
from tests.actors.box import BTC, Box, D, pid, stop_at
from tests.actors.faulty_venue import arrives_after, broken_line, never_arrives
from tests.actors.shared_account import SharedAccount
from tests.actors.test_covered import held, sold, started

FAR = stop_at("50000")


async def dip(box: Box) -> None:
    """Let the price fall below a stop at 59000, for real."""
    for price in ("58990", "58989", "58988"):
        box.say(price)
        await box.soon(0.3)


def close(box: Box, number: int = 1) -> None:
    box.tell(names.position(pid(number)), ClosePosition(pid(number)))


async def looked(box: Box) -> None:
    """Let the venue be asked what it holds."""
    box.tell(names.RECONCILER, ReconcileNow(NO_REQUEST))
    await box.soon(0.1)


def test_a_second_exit_counts_what_the_first_one_may_still_sell(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open("0.01", stop_at("59000", ("61000", "0.6")), number=1)
        await box.open("0.01", FAR, number=2)
        box.venue.submits += [arrives_after(3.0)]  # the target's, which waited for its stop
        box.say("61000")
        await box.soon(0.3)
        close(box)
        await dip(box)
        await box.soon(20)
        assert await sold(box, 1) == D("0.01")
        assert await held(box) == D("0.01")

    perform(play)


def test_a_stop_that_waits_for_the_disk_does_not_follow_an_exit_that_did_not(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        await box.open("0.01", FAR, number=2)
        (stop,) = (each for each in box.venue.resting() if each.trigger_price == D(59_000))
        box.disk.hold()
        await box.soon(0.1)
        box.venue.take_out(stop.symbol, stop.client_order_id)
        await box.soon(0.1)
        box.venue.submits += [arrives_after(2.0)]
        close(box)
        await box.soon(0.1)
        box.disk.go_on()
        await box.soon(0.1)
        await dip(box)
        await box.soon(15)
        assert await sold(box, 1) == D("0.01")
        assert await held(box) == D("0.01")
        assert "OVER_FILL" not in box.ears.codes()

    perform(play)


def test_an_entry_that_is_let_in_and_taken_back_at_one_instant_is_not_sent(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        box.parts.world.entry_expires_s = 60.0
        box.venue.cancels += [never_arrives]
        close(box)
        await box.soon(0.05)
        await box.open(number=2, limit="59500")
        (stop,) = box.venue.resting()
        known = await box.paper.order(stop.symbol, stop.client_order_id)
        actor = box.actor(names.position(pid(2)))
        release, done = actor.release, []

        def at_that_instant(effect: Any) -> None:
            release(effect)
            if isinstance(effect, CancelOrder) and not done:
                done.append(effect)
                box.venue.push(replace(known, status=OrderStatus.CANCELED))
                box.venue.take_out(stop.symbol, stop.client_order_id)

        actor.release = at_that_instant
        close(box, 2)
        await box.soon(7)
        assert done
        assert box.position(2).exit_reason is ExitReason.NEVER_FILLED
        assert [each.client_order_id for each in await box.paper.open_orders()] == []

    perform(play)


def test_an_entry_that_is_kept_out_expires(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        box.venue.cancels += [broken_line] * 400
        close(box)
        await box.soon(0.05)
        await box.open(number=2)
        await box.soon(box.parts.world.entry_expires_s + 1)
        assert box.entry(2).status is OrderStatus.DENIED
        assert box.position(2).exit_reason is ExitReason.NEVER_FILLED
        assert not box.portfolio.reservations

    perform(play)


def test_many_entries_that_wait_are_looked_at_once_each_time(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        box.parts.world.entry_expires_s = 60.0
        box.venue.cancels += [broken_line] * 400
        close(box)
        await box.soon(0.05)
        for number in (2, 3, 4):
            await box.open(number=number, plan=FAR)
        looks: list[Any] = []
        unlock = box.exchange._unlock
        box.exchange._unlock = lambda position_id: (looks.append(position_id), unlock(position_id))
        await box.soon(10)
        assert len(box.exchange.locked[pid(1)]) == 3
        assert len(looks) <= 10 / 0.2 + 10  # and as often as the venue tells of the stop
        box.exchange._unlock = unlock

    perform(play)


def test_after_a_crash_the_stop_of_what_was_closed_still_keeps_others_out(perform):
    async def first(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        box.disk.hold()
        close(box)
        await box.soon(0.05)
        assert await held(box) == 0
        box.kill()

    async def second(box: Box) -> None:
        box.venue.cancels += [broken_line] * 400
        await started(box)
        await box.soon(3)
        await box.open(number=2, plan=FAR)
        assert not box.position(2).fills
        await dip(box)  # the old stop fires, and finds nothing to sell
        await box.soon(5)
        assert await held(box) == box.position(2).remaining

    perform(first, second)


def test_right_after_a_start_an_exit_waits_for_who_else_holds_and_the_stop_stays(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        box.parts.world.holdings_known = False
        close(box)
        await box.soon(1)
        assert len(box.venue.resting()) == 1
        assert await held(box) == D("0.01")
        box.parts.world.holdings_known = True
        await box.soon(0.3)
        assert await held(box) == 0
        assert [each.type for each in box.venue.sent if each.reduce_only][-1] is OrderType.MARKET

    perform(play)


def test_others_share_what_the_venue_holds_more_not_less_nor_what_an_old_read_tells(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.soon(2)
        box.venue.lag_s = 0.7
        await box.open(number=1)
        ever = set()
        for act in (lambda: box.close(1, "0.5"), box.soon):
            for _ in range(40):
                await looked(box)
                ever |= box.parts.world.differing
                assert not box.parts.world.shared
            await act()
        assert ever  # an old read told other than we held
        box.venue.lag_s = 0.0
        await box.soon(7)
        box.venue.tells_fills = False
        box.venue.trades("-0.004")
        await looked(box)
        assert box.parts.world.differing
        assert not box.parts.world.shared
        box.venue.trades("0.014")
        await looked(box)
        assert box.parts.world.shared

    perform(play, venue=SharedAccount, reconcile=ReconcileSettings())


def test_where_the_venue_has_not_told_who_holds_the_stop_goes_first(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        box.parts.world.holdings_known = False
        box.exchange.began_s -= 3  # so long an exit waits for that
        box.venue.cancels += [never_arrives]
        close(box)
        await box.soon(0.1)
        assert [each.type for each in box.venue.sent if each.reduce_only] == [OrderType.STOP]
        await box.soon(20)
        assert box.position().status is PositionStatus.CLOSED

    perform(play)


def test_somebody_who_is_found_by_the_read_that_an_exit_waits_for_counts(perform):
    async def first(box: Box) -> None:
        await started(box)
        await box.soon(2)
        await box.open(number=1)
        await box.soon(5)
        box.kill()

    async def second(box: Box) -> None:
        box.parts.world.holdings_known = False  # as at every start at a real venue
        box.venue.tells_fills = False
        box.venue.trades("0.01")
        box.venue.failing.add("positions")
        await started(box)
        await box.soon(0.5)
        close(box)
        await box.soon(0.3)
        assert len(box.venue.resting()) == 1
        box.venue.failing.clear()
        await looked(box)
        await box.soon(0.3)
        assert box.parts.world.shared
        assert len(box.venue.canceled) == 1  # the stop goes first

    perform(first, second, venue=SharedAccount, reconcile=ReconcileSettings())


def test_a_close_in_parts_that_a_crash_cuts_short_is_finished(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        await box.open("0.01", number=1)
        rules = box.parts.world.instruments[BTC]
        most = GridTold(pid(), rules.lot_size, rules.min_quantity, D("0.005"))
        box.tell(names.position(pid()), most)
        await box.soon(2)
        box.disk.hold()
        close(box)
        await box.soon(0.05)
        assert await held(box) == D("0.005")  # the second part waits for the disk
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon(10)
        assert box.position().status is PositionStatus.CLOSED
        assert await held(box) == 0

    perform(first, second)
