"""Exits and stops of positions that share a symbol: nobody sells what is another's."""

from collections.abc import Awaitable
from typing import Any

import pytest
from msgspec.structs import replace

from actors import names
from actors.reconcile_rules import ReconcileSettings
from domain.commands import ClosePosition, ModificationType
from domain.inputs import GridTold
from domain.instrument import Side
from domain.order import OrderTerms, OrderType
from domain.position import PositionStatus
from domain.protection import ExitReason
from exchanges.port import Abilities, Refused, Submission
from tests.actors.box import CONFIG, Box, D, pid
from tests.actors.faulty_venue import answer_lost, broken_line, never_arrives, refused
from tests.actors.shared_account import SharedAccount

NAME = names.position(pid())
VENUE_STOPS = {"stops_at_venue": True, "amends_stops": True}


async def started(box: Box, price: str = "60000") -> Box:
    box.parts.world.rules = replace(box.parts.world.rules, **VENUE_STOPS)
    return await box.start(price)


async def sold(box: Box, number: int = 1) -> Any:
    fills = await box.paper.fills(None)
    prefix = box.position(number).entry.client_order_id[:24]
    own = (each for each in fills if each.client_order_id.startswith(prefix))
    return sum((each.quantity for each in own if each.side is Side.SELL), D(0))


async def two(box: Box) -> None:
    await started(box)
    await box.open(number=1)
    await box.open(number=2)


async def held(box: Box) -> Any:
    positions = await box.paper.positions()
    return sum((each.quantity for each in positions), D(0))


@pytest.mark.parametrize("fault", [broken_line, never_arrives, answer_lost])
def test_an_exit_leaves_only_when_the_stop_that_shares_its_units_has_let_go(perform, fault):
    async def play(box: Box) -> None:
        await two(box)
        box.venue.cancels += [fault]
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(0.5)  # longer than an exit waits for its stop
        box.say("58990")  # the venue fires both stops
        await box.soon(20)
        assert await sold(box, 1) == D("0.01")
        assert await sold(box, 2) == D("0.01")
        assert await held(box) == 0
        assert "OVER_FILL" not in box.ears.codes()

    perform(play)


@pytest.mark.parametrize("fault", [broken_line, never_arrives])
def test_an_exit_whose_stop_does_not_let_go_waits_and_is_not_forgotten(perform, fault):
    async def play(box: Box) -> None:
        await two(box)
        box.venue.cancels += [fault]
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(20)
        assert box.position().status is PositionStatus.CLOSED
        assert await sold(box, 1) == D("0.01")
        assert box.position(2).status is PositionStatus.OPEN_PROTECTED
        assert await held(box) == D("0.01")
        assert [each.client_order_id[:24] for each in box.venue.resting()] == [
            box.position(2).entry.client_order_id[:24]
        ]

    perform(play)


def kinds(box: Box) -> list[OrderType]:
    return [each.type for each in box.venue.sent if each.reduce_only]


def test_an_exit_of_what_nobody_shares_leaves_while_its_stop_rests(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        box.venue.cancels += [never_arrives]
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(0.05)
        assert kinds(box) == [OrderType.STOP, OrderType.MARKET]
        assert await held(box) == 0
        await box.soon(20)
        assert box.position().status is PositionStatus.CLOSED
        assert not box.venue.resting()

    perform(play)


def test_an_exit_that_the_venue_refuses_leaves_the_stop_where_it_is(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        box.venue.submits += [refused("51030")] * 200
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(30)
        assert await held(box) == D("0.01")
        assert len(box.venue.resting()) == 1
        assert not box.venue.canceled
        box.say("58990")  # the venue fires it
        await box.soon(5)
        assert await held(box) == 0
        assert box.position().status is PositionStatus.CLOSED

    perform(play)


def test_nobody_begins_to_hold_a_symbol_while_the_stop_of_what_was_closed_still_rests(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        box.parts.world.entry_expires_s = 60.0
        box.venue.cancels += [never_arrives]
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(0.05)
        assert await held(box) == 0
        await box.open(number=2)
        assert not box.position(2).fills
        await box.soon(20)
        assert await held(box) == D("0.01")
        assert box.position(2).remaining == D("0.01")
        assert await sold(box, 1) == D("0.01")
        assert await sold(box, 2) == 0
        assert "OVER_FILL" not in box.ears.codes()

    perform(play)


def test_an_entry_that_waits_for_a_neighbors_stop_can_be_taken_back(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        box.venue.cancels += [never_arrives] * 3
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(0.05)
        await box.open(number=2)
        box.tell(names.position(pid(2)), ClosePosition(pid(2)))
        await box.soon(0.1)
        assert box.position(2).exit_reason is ExitReason.NEVER_FILLED
        await box.soon(30)
        assert await held(box) == 0

    perform(play)


def test_a_neighbor_whose_entry_may_have_filled_untold_shares_the_units_too(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        box.venue.submits += [answer_lost]
        box.venue.reads_fail = True
        pushes, box.venue.pushes = box.venue.pushes, lambda _: ()
        await box.open(number=2)
        assert not box.position(2).fills
        box.venue.cancels += [broken_line]
        box.tell(NAME, ClosePosition(pid()))
        box.say("58990")  # the venue fires the stop of the first, and tells nothing
        await box.soon(0.5)  # longer than an exit waits for its stop
        box.venue.reads_fail = False
        box.venue.pushes = pushes
        await box.soon(20)
        assert await sold(box, 1) == D("0.01")
        assert "OVER_FILL" not in box.ears.codes()

    perform(play)


def test_what_a_person_holds_beside_a_position_is_not_sold_either(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.soon(2)
        await box.open(number=1)
        await box.soon(7)
        box.venue.trades("0.01")
        await box.soon(1)
        box.venue.reads_fail = True
        pushes, box.venue.pushes = box.venue.pushes, lambda _: ()
        box.venue.cancels += [broken_line]
        box.tell(NAME, ClosePosition(pid()))
        box.say("58990")  # the venue fires the stop, and tells nothing
        await box.soon(0.5)  # longer than an exit waits for its stop
        box.venue.reads_fail = False
        box.venue.pushes = pushes
        await box.soon(20)
        assert box.position().is_closed
        assert [each.type for each in box.venue.sent if each.reduce_only] == [OrderType.STOP]

    perform(play, venue=SharedAccount, reconcile=ReconcileSettings())


def test_a_close_before_the_venue_was_asked_does_not_sell_what_its_stop_sold(perform):
    async def first(box: Box) -> None:
        await two(box)
        box.kill()

    async def second(box: Box) -> None:
        box.venue.reads_fail = True
        box.venue.pushes = lambda _: ()  # nor does it tell
        await started(box, "59500")
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(0.5)
        box.say("58990")  # the venue fires both stops
        await box.soon(0.2)
        box.venue.reads_fail = False
        await box.soon(20)
        assert await sold(box, 1) == D("0.01")
        assert await sold(box, 2) == D("0.01")
        assert await held(box) == 0
        assert "OVER_FILL" not in box.ears.codes()

    perform(first, second)


def test_while_an_exit_is_in_doubt_after_a_crash_the_stop_stays_at_the_venue(perform):
    async def first(box: Box) -> None:
        await two(box)
        box.venue.cancels += [never_arrives]
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(0.1)
        box.kill()

    async def second(box: Box) -> None:
        box.parts.world.rules = replace(box.parts.world.rules, **VENUE_STOPS)
        await box.start("60000")
        await box.soon(3)  # whether it had left is not proven yet
        assert len(box.venue.resting()) == 2
        await box.soon(20)
        assert box.position().status is PositionStatus.CLOSED
        assert await sold(box, 1) == D("0.01")
        assert len(box.venue.resting()) == 1

    perform(first, second)


def test_what_was_read_before_a_change_was_known_does_not_look_like_somebody_elses(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        exchange = box.actor(names.EXCHANGE)
        before = await box.paper.open_orders()
        asked_s = box.parts.world.clock.monotonic()
        await box.soon(0.1)
        assert (await box.modify(ModificationType.MOVE_SL, price=D(59_500))).refusal is None
        await box.soon()
        for order in before:
            exchange._apply(order, asked_s=asked_s)
        await box.soon()
        assert "STOP_CHANGED_OUTSIDE" not in box.ears.codes()
        assert len(box.venue.amended) == 1

    perform(play)


def test_dust_of_a_swap_does_not_stand_in_the_way_of_proving_that_an_order_never_was(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.025")
        box.tell(names.position(pid()), GridTold(pid(), D("0.01"), D("0.01")))
        await box.close()
        await box.soon(5)
        assert box.position().status is PositionStatus.CLOSED_WITH_DUST
        await box.open("0.02", number=2)
        box.venue.submits += [never_arrives]
        await box.close(2)
        await box.soon(12)
        assert box.position(2).status is PositionStatus.CLOSED
        assert "DISPUTED_POSITION" not in box.ears.codes()

    perform(play)


class SaysWhatIsNotHeld(SharedAccount):
    """A venue that has a code for an exit of what is not there."""

    abilities = Abilities(spot_is_paid=False, not_held=frozenset({"51169"}))


def test_an_exit_of_what_a_person_closed_does_not_sell_what_a_neighbor_holds(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        await box.soon(7)
        await box.open(number=2)  # just now: until that has settled nothing missing is booked
        box.venue.trades("-0.01")  # a person closes what the first one holds
        await box.soon(1)
        box.venue.submits += [refused("51169")]
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(20)
        assert await sold(box, 1) == 0
        assert box.position(1).status is PositionStatus.CLOSED_EXTERNAL
        assert box.position(2).status is PositionStatus.OPEN_PROTECTED

    perform(play, venue=SaysWhatIsNotHeld, reconcile=ReconcileSettings())


def test_nor_is_its_stop_put_back_to_sell_what_a_neighbor_holds(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        await box.soon(7)
        await box.open(number=2)
        (_, other) = box.venue.resting()
        box.venue.trades("-0.01")  # a person closes what the first one holds
        await box.soon(1)
        box.venue.submits += [refused("51169")]
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(1)
        assert [each.client_order_id for each in box.venue.resting()] == [other.client_order_id]
        await box.soon(20)
        assert await sold(box, 1) == 0
        assert box.position(1).status is PositionStatus.CLOSED_EXTERNAL
        assert box.position(2).status is PositionStatus.OPEN_PROTECTED

    perform(play, venue=SaysWhatIsNotHeld, reconcile=ReconcileSettings())


def test_where_the_venue_holds_more_than_ours_a_refused_exit_is_tried_again(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        await box.open(number=2)
        box.venue.trades("0.01")  # a person buys beside them: in quarantine, for as long as it is
        await box.soon(40)
        box.venue.submits += [refused("51169")]  # for once, by an old look at what is held
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(5)
        assert await sold(box, 1) == D("0.01")

    perform(play, venue=SaysWhatIsNotHeld, reconcile=ReconcileSettings())


class RefusesWhatIsNotHeld(SaysWhatIsNotHeld):
    """As a real one: where nothing is held, there is nothing to close."""

    def submit(self, terms: OrderTerms) -> Awaitable[Submission]:
        return self._judged(terms)

    async def _judged(self, terms: OrderTerms) -> Submission:
        there = sum((each.quantity for each in await self._positions()), D(0))
        if terms.reduce_only and there <= 0:
            return Refused("51169", "nothing there")
        return await super().submit(terms)


def test_nor_is_it_where_the_venue_has_not_been_asked_since(perform):
    async def first(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        await box.soon(7)
        box.venue.tells = False  # its stream says nothing, and no read is answered
        box.venue.failing = {"positions"}
        box.venue.trades("-0.01")
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(0.3)
        await box.open(number=2)
        await box.soon(6)
        assert await sold(box, 1) == 0
        box.kill()

    async def second(box: Box) -> None:
        box.venue.tells = False
        box.venue.trades("-0.01")
        await started(box)
        await box.soon(20)
        assert await sold(box, 1) == 0
        assert box.position(1).status is PositionStatus.CLOSED_EXTERNAL
        assert box.position(2).status is PositionStatus.OPEN_PROTECTED

    perform(first, second, venue=RefusesWhatIsNotHeld, reconcile=ReconcileSettings())


def test_what_the_venue_holds_is_asked_at_once_where_it_had_none_to_close(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        await box.soon(7)
        box.venue.tells = False
        box.venue.trades("-0.01")
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(0.5)
        assert box.position(1).status is PositionStatus.CLOSED_EXTERNAL

    perform(play, venue=RefusesWhatIsNotHeld, reconcile=ReconcileSettings())


def test_an_exit_that_the_venue_refuses_for_once_waits_a_minute_at_most(perform):
    async def play(box: Box) -> None:
        await two(box)
        await box.soon(7)
        box.venue.failing = {"positions"}
        box.venue.submits += [refused("51169")]
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(55)
        assert await sold(box, 1) == 0
        await box.soon(15)
        assert await sold(box, 1) == D("0.01")

    perform(play, venue=RefusesWhatIsNotHeld, reconcile=ReconcileSettings())


def test_an_exit_of_spot_whose_coins_were_not_free_yet_does_not_wait_for_that(perform):
    async def play(box: Box) -> None:
        await two(box)
        await box.soon(7)
        box.venue.failing = {"positions"}
        box.venue.submits += [refused("51169")]
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(2)
        assert await sold(box, 1) == D("0.01")

    spot = CONFIG.replace("market: {", "market: {kind: spot, ")
    options = {"venue": RefusesWhatIsNotHeld, "reconcile": ReconcileSettings()}
    perform(play, config=spot, **options)


def test_an_exit_that_never_left_does_not_leave_again_to_sell_what_a_neighbor_bought(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        await box.soon(7)
        box.venue.submits += [broken_line]
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(0.5)
        box.venue.trades("-0.01")  # a person closes it instead
        await box.open(number=2)
        await box.soon(30)
        assert await sold(box, 1) == 0
        assert box.position(1).status is PositionStatus.CLOSED_EXTERNAL
        assert box.position(2).status is PositionStatus.OPEN_PROTECTED

    perform(play, venue=SharedAccount, reconcile=ReconcileSettings())


def test_it_leaves_again_where_the_venue_holds_more_than_ours(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(number=1)
        await box.open(number=2)
        await box.soon(7)
        box.venue.trades("0.5")  # a person opens some more, which differs too
        await box.soon(40)
        box.venue.submits += [broken_line]
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(7)
        assert await sold(box, 1) == D("0.01")
        assert box.position(1).status is PositionStatus.CLOSED

    perform(play, venue=SharedAccount, reconcile=ReconcileSettings())
