"""A stop that came with its entry: expected, found, replaced, taken out, never twice."""

from typing import Any

import pytest
from msgspec.structs import replace

from actors import names
from domain.ids import MANUAL, identity_of
from domain.order import OrderStatus, OrderType
from domain.position import Position, PositionStatus
from exchanges.port import Fill, VenueOrder
from tests.actors.box import Box, D
from tests.actors.faulty_venue import answer_lost, refused

AFTER_ITS_SECOND_S = 1.5


async def started(box: Box, **rules: Any) -> Box:
    box.parts.world.rules = replace(
        box.parts.world.rules, stops_at_venue=True, amends_stops=True, attaches_stops=True, **rules
    )
    return await box.start("60000")


def resting(box: Box) -> list[tuple[int, Any, Any]]:
    """Return epoch, price and quantity of the stops at the venue."""
    found = []
    for terms in box.venue.resting():
        identity = identity_of(terms.client_order_id)
        assert identity is not None
        assert identity.leg == "guard-0"
        found.append((identity.epoch, terms.trigger_price, terms.quantity))
    return found


def stops_sent(box: Box) -> list[Any]:
    return [each for each in box.venue.sent if each.type is OrderType.STOP]


def is_guarded(position: Position) -> bool:
    return position.status is PositionStatus.OPEN_PROTECTED and position.at_venue.settled


def test_it_rests_at_the_venue_and_nothing_but_the_entry_was_sent(perform):
    async def play(box: Box) -> None:
        await started(box)
        position = await box.open()
        assert resting(box) == [(0, D(59_000), D("0.01"))]
        assert len(box.venue.sent) == 1
        assert is_guarded(position)
        assert not box.ears.alarms

    perform(play)


def test_it_is_expected_though_it_is_heard_of_before_the_fill(perform):
    async def play(box: Box) -> None:
        await started(box)
        box.venue.hold_back(Fill)
        box.tell(names.trader(MANUAL), box.request())
        await box.soon(0.1)
        assert len(box.venue.resting()) == 1
        assert box.position().status is PositionStatus.ENTRY_PENDING
        box.venue.let_go()
        await box.soon()
        assert is_guarded(box.position())
        assert not box.venue.canceled
        assert len(box.venue.sent) == 1

    perform(play)


def test_one_that_fires_as_its_entry_fills_is_booked_after_it(perform):
    async def play(box: Box) -> None:
        await started(box)
        held: list[Any] = []

        def hold(update: Any) -> tuple[Any, ...]:
            held.append(update)
            return ()

        box.venue.pushes = hold
        box.tell(names.trader(MANUAL), box.request())
        await box.soon(0.1)
        box.say("58990")
        await box.soon(0.1)
        box.venue.pushes = lambda update: (update,)
        for update in sorted(held, key=lambda each: isinstance(each, Fill)):
            box.venue.push(update)  # what the stop did is told before what the entry bought
        await box.soon()
        assert box.position().status is PositionStatus.CLOSED
        assert box.portfolio.balance == 100_000 + box.position().ledger.realized_pnl
        assert not box.portfolio.holdings

    perform(play)


def test_one_that_nobody_reports_is_asked_for(perform):
    async def play(box: Box) -> None:
        await started(box)
        box.venue.pushes = lambda update: (
            ()
            if isinstance(update, VenueOrder) and update.terms.type is OrderType.STOP
            else (update,)
        )
        await box.open()
        await box.soon()
        assert is_guarded(box.position())
        assert not stops_sent(box)

    perform(play)


def test_one_that_never_appears_is_replaced_after_a_second_under_the_next_id(perform):
    async def play(box: Box) -> None:
        await started(box)
        box.venue.attaches = False
        position = await box.open()
        assert position.acknowledged_version == position.protection.version  # the daemon watches
        assert not stops_sent(box)
        await box.soon(AFTER_ITS_SECOND_S)
        assert resting(box) == [(1, D(59_000), D("0.01"))]
        assert is_guarded(box.position())
        assert not box.ears.alarms

    perform(play)


def test_one_that_appears_after_all_is_taken_out(perform):
    async def play(box: Box) -> None:
        await started(box)
        box.venue.attaches = False
        await box.open()
        await box.soon(AFTER_ITS_SECOND_S)
        box.venue.attach(box.entry().terms.client_order_id)
        await box.soon()
        assert resting(box) == [(1, D(59_000), D("0.01"))]
        assert is_guarded(box.position())

    perform(play)


def test_an_entry_whose_stop_the_venue_refuses_opens_nothing(perform):
    async def play(box: Box) -> None:
        await started(box)
        box.venue.submits.append(refused("51280", "the stop would trigger at once"))
        await box.open()
        await box.soon(AFTER_ITS_SECOND_S)
        assert box.entry().status is OrderStatus.REJECTED
        assert box.position().status is PositionStatus.CLOSED
        assert len(box.venue.sent) == 1
        assert resting(box) == []

    perform(play)


def test_an_entry_whose_answer_is_lost_has_its_stop_all_the_same(perform):
    async def play(box: Box) -> None:
        await started(box)
        box.venue.submits.append(answer_lost)
        await box.open()
        await box.soon(AFTER_ITS_SECOND_S)
        assert resting(box) == [(0, D(59_000), D("0.01"))]
        assert is_guarded(box.position())
        assert len(box.venue.sent) == 1

    perform(play)


@pytest.mark.parametrize("appears", [True, False])
def test_a_close_before_it_appears_leaves_nothing_at_the_venue(perform, appears):
    async def play(box: Box) -> None:
        await started(box)
        box.venue.attaches = False
        await box.open()
        assert (await box.close()).refusal is None
        if appears:
            box.venue.attach(box.entry().terms.client_order_id)
        await box.soon(AFTER_ITS_SECOND_S)
        assert resting(box) == []
        assert box.position().status is PositionStatus.CLOSED
        held = await box.paper.positions()
        assert held == ()

    perform(play)


@pytest.mark.parametrize("attaches", [True, False])
def test_after_a_kill_it_is_known_by_the_id_that_its_entry_told(perform, attaches):
    async def first(box: Box) -> None:
        await started(box)
        box.venue.attaches = attaches
        box.venue.hold_back(object)  # it hears of nothing any more
        await box.open()
        assert len(box.venue.resting()) == attaches
        box.kill()

    async def second(box: Box) -> None:
        await started(box)
        await box.soon(AFTER_ITS_SECOND_S)
        assert resting(box) == [(int(not attaches), D(59_000), D("0.01"))]
        assert is_guarded(box.position())
        assert len(box.venue.sent) == (not attaches)

    perform(first, second)


def test_a_limit_order_has_its_stop_placed_as_it_fills(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open(limit="59900")
        box.say("59890")
        await box.soon()
        assert box.venue.sent[0].attached is None
        assert resting(box) == [(0, D(59_000), D("0.01"))]
        assert is_guarded(box.position())

    perform(play)
