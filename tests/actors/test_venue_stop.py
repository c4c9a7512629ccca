"""A stop that rests at the venue: placed, moved, shared with exits, fired there, restored."""

from typing import Any

import pytest
from msgspec.structs import replace

from actors import names
from domain.commands import ClosePosition, ModificationType
from domain.ids import TradeId
from domain.instrument import Side
from domain.money import Fee
from domain.order import Fill, OrderStatus, OrderType
from domain.position import PositionStatus
from domain.position_draft import OutsideChanges
from domain.protection import ExitReason
from exchanges.port import VenueOrder
from tests.actors.box import BTC, START, Box, D, pid, stop_at
from tests.actors.faulty_venue import (
    answer_lost,
    answered_after,
    broken_line,
    never_arrives,
    passed,
    refused,
    reset,
)

NAME = names.position(pid())
MOVE = ModificationType.MOVE_SL


async def started(box: Box, price: str = "60000", *, amends: bool = True, **rules: Any) -> Box:
    box.parts.world.rules = replace(
        box.parts.world.rules, stops_at_venue=True, amends_stops=amends, **rules
    )
    return await box.start(price)


def resting(box: Box) -> list[tuple[Any, Any]]:
    return [(terms.trigger_price, terms.quantity) for terms in box.venue.resting()]


def at_market(box: Box) -> list[Any]:
    """The exits that were sent."""
    return [each for each in box.venue.sent if each.reduce_only and each.type is OrderType.MARKET]


async def sold(box: Box) -> Any:
    fills = await box.paper.fills(None)
    return sum((fill.quantity for fill in fills if fill.side is Side.SELL), D(0))


def test_after_the_first_fill_the_venue_holds_the_stop_and_the_daemon_watches_too(perform):
    async def play(box: Box) -> None:
        await started(box)
        position = await box.open()
        assert resting(box) == [(D(59_000), D("0.01"))]
        assert box.levels() == {"stop": 59_000}
        assert position.status is PositionStatus.OPEN_PROTECTED
        assert position.at_venue.settled
        assert not box.ears.alarms

    perform(play)


def test_a_closed_position_leaves_nothing_at_the_venue(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        assert (await box.close()).refusal is None
        await box.soon()
        assert resting(box) == []
        assert box.position().status is PositionStatus.CLOSED
        assert box.position().exit_reason is ExitReason.MANUAL_CLOSE
        assert await sold(box) == D("0.01")
        assert not box.ears.alarms

    perform(play)


def test_the_stop_fires_at_the_venue_and_nothing_is_sold_twice(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        box.say("58900")
        await box.soon(3)
        position = box.position()
        assert position.status is PositionStatus.CLOSED
        assert position.exit_reason is ExitReason.STOP_LOSS
        assert not at_market(box)
        assert await sold(box) == D("0.01")
        assert not box.ears.alarms

    perform(play)


# --- moved and resized ---


@pytest.mark.parametrize("amends", [True, False])
def test_a_stop_that_is_moved_is_moved_at_the_venue_and_targets_are_untouched(perform, amends):
    async def play(box: Box) -> None:
        await started(box, amends=amends)
        await box.open(plan=stop_at("59000", ("62000", "0.5")))
        assert (await box.modify(MOVE, price=D(59_500))).refusal is None
        await box.soon()
        assert resting(box) == [(D(59_500), D("0.01"))]
        assert len(box.venue.amended) == amends
        position = box.position()
        assert position.status is PositionStatus.OPEN_PROTECTED
        assert len(position.protection.open_targets()) == 1
        assert not box.ears.alarms

    perform(play)


@pytest.mark.parametrize("amends", [True, False])
def test_a_target_shrinks_the_stop_before_it_sells(perform, amends):
    async def play(box: Box) -> None:
        await started(box, amends=amends)
        await box.open(plan=stop_at("59000", ("61000", "0.4")))
        box.say("61000")
        await box.soon()
        assert resting(box) == [(D(59_000), D("0.006"))]
        assert await sold(box) == D("0.004")
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        box.say("58900")
        await box.soon()
        assert await sold(box) == D("0.01")
        assert box.position().status is PositionStatus.CLOSED

    perform(play)


def test_a_change_whose_answer_is_lost_is_found_to_be_done(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        box.venue.amends.append(reset)
        await box.modify(MOVE, price=D(59_500))
        await box.soon(2)
        assert resting(box) == [(D(59_500), D("0.01"))]
        assert box.position().at_venue.settled
        assert len(box.venue.amended) == 1

    perform(play)


def test_a_change_that_never_arrived_is_asked_for_again(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        box.venue.amends.append(broken_line)
        await box.modify(MOVE, price=D(59_500))
        await box.soon(2)
        assert resting(box) == [(D(59_500), D("0.01"))]
        assert box.position().at_venue.settled
        assert len(box.venue.amended) == 2

    perform(play)


def test_a_change_that_is_refused_is_made_by_another_stop(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        box.venue.amends.append(refused("51503"))
        await box.modify(MOVE, price=D(59_500))
        await box.soon(2)
        assert resting(box) == [(D(59_500), D("0.01"))]
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


# --- two guards, one exit ---


def test_a_stop_that_the_venue_does_not_fire_is_taken_out_and_sold_after_the_grace(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        deaf(box)
        box.say("58900")
        await box.soon(0.9)
        assert not at_market(box)
        await box.soon(0.5)
        assert len(at_market(box)) == 1
        assert resting(box) == []
        assert await sold(box) == D("0.01")
        assert box.position().exit_reason is ExitReason.STOP_LOSS

    perform(play)


def deaf(box: Box) -> None:
    """Let the venue not hear of prices at which its stops would fire."""
    for book in box.paper._books.values():
        book.falling.touched = lambda _price: []


def test_an_exit_of_a_swap_leaves_after_the_grace_and_the_stop_goes_after_it(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        deaf(box)
        box.venue.cancels.append(never_arrives)
        box.say("58900")
        await box.soon(0.9)
        assert not at_market(box)
        await box.soon(0.3)
        assert len(at_market(box)) == 1
        assert await sold(box) == D("0.01")
        await box.soon(10)
        assert resting(box) == []
        assert box.position().status is PositionStatus.CLOSED

    perform(play)


def test_without_a_stop_at_the_venue_a_crossing_fires_at_once(perform):
    async def play(box: Box) -> None:
        await started(box)
        box.venue.submits += [passed, *[refused("50001")] * 3]
        await box.open()
        assert resting(box) == []
        box.say("58900")
        await box.soon(0.05)
        assert len(at_market(box)) == 1
        await box.soon()
        assert await sold(box) == D("0.01")

    perform(play)


def test_a_stop_that_fires_and_whose_order_is_refused_is_followed_by_an_exit_at_once(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        refusals = iter([True, False])
        box.paper._matching._draws.happens = lambda _chance: next(refusals, False)
        box.say("58900")
        await box.soon()
        assert "STOP_FAILED" in box.ears.codes()
        assert await sold(box) == D("0.01")
        assert box.position().status is PositionStatus.CLOSED

    perform(play)


# --- what people do on the site ---


def test_a_stop_taken_out_on_the_site_is_placed_again_within_a_second(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        (stop,) = box.venue.resting()
        box.venue.take_out(BTC, stop.client_order_id)
        await box.soon(1)
        (again,) = box.venue.resting()
        assert again.client_order_id != stop.client_order_id
        assert again.trigger_price == 59_000
        assert "STOP_CHANGED_OUTSIDE" in box.ears.codes()
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


@pytest.mark.parametrize(("policy", "price"), [("restore", 59_000), ("adopt", 58_500)])
def test_a_stop_moved_on_the_site_is_put_back_or_taken_over(perform, policy, price):
    async def play(box: Box) -> None:
        await started(box, outside_changes=OutsideChanges(policy))
        await box.open()
        (stop,) = box.venue.resting()
        box.venue.change(replace(stop, trigger_price=D(58_500)))
        await box.soon(1)
        assert resting(box) == [(D(price), D("0.01"))]
        assert box.position().protection.stop.price == price
        assert box.levels() == {"stop": price}
        assert box.ears.codes() == ["STOP_CHANGED_OUTSIDE"]
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


# --- trouble ---


def test_a_stop_that_the_venue_does_not_take_is_said_to_be_missing_and_tried_on(perform):
    async def play(box: Box) -> None:
        await started(box)
        box.venue.submits += [passed, *[refused("50001")] * 6]
        await box.open()
        await box.soon(2)
        position = box.position()
        assert position.at_venue.missing
        assert position.status is PositionStatus.OPEN_PROTECTED  # by the daemon
        assert {"VENUE_STOP_REFUSED", "VENUE_STOP_MISSING"} <= set(box.ears.codes())
        await box.soon(30)
        assert resting(box) == [(D(59_000), D("0.01"))]
        assert not box.position().at_venue.missing

    perform(play)


def test_a_stop_on_the_wrong_side_of_the_venues_price_means_leaving_now(perform):
    async def play(box: Box) -> None:
        await started(box)
        box.venue.submits += [passed, refused("51280", "SL trigger price above the last price")]
        await box.open()
        await box.soon()
        assert await sold(box) == D("0.01")
        assert box.position().exit_reason is ExitReason.STOP_LOSS

    perform(play)


@pytest.mark.parametrize("fault", [reset, answer_lost, broken_line, answered_after(1)])
def test_a_stop_whose_placing_is_in_doubt_is_placed_once(perform, fault):
    async def play(box: Box) -> None:
        await started(box)
        box.venue.submits += [passed, fault]
        await box.open()
        await box.soon(12)
        assert resting(box) == [(D(59_000), D("0.01"))]
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


def test_an_exit_that_is_refused_again_and_again_leaves_the_stop_back_in_place(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        box.venue.submits += [refused("BUSY"), refused("BUSY")]
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(0.15)
        assert resting(box) == [(D(59_000), D("0.01"))]
        await box.soon(5)
        assert box.position().status is PositionStatus.CLOSED
        assert resting(box) == []
        assert await sold(box) == D("0.01")

    perform(play)


# --- death and rebirth ---


def test_after_a_kill_the_stop_is_known_and_not_placed_twice(perform):
    async def first(box: Box) -> None:
        await started(box)
        await box.open()
        box.kill()

    async def second(box: Box) -> None:
        await started(box)
        await box.soon(3)
        assert resting(box) == [(D(59_000), D("0.01"))]
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        assert [each for each in box.venue.sent if each.type is OrderType.STOP] == []
        box.say("58900")
        await box.soon()
        assert box.position().status is PositionStatus.CLOSED
        assert await sold(box) == D("0.01")

    perform(first, second)


def test_a_stop_that_fired_while_the_daemon_was_dead_closes_the_position(perform):
    async def first(box: Box) -> None:
        await started(box)
        await box.open()
        box.kill()

    async def second(box: Box) -> None:
        box.paper._on_update = None
        await started(box, "58000")
        await box.soon(3)
        assert box.position().status is PositionStatus.CLOSED
        assert await sold(box) == D("0.01")

    perform(first, second)


@pytest.mark.parametrize("name", [NAME, names.EXCHANGE, names.FEED])
def test_an_actor_that_dies_leaves_the_stop_as_it_is(perform, name):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        await box.restarted(name)
        await box.soon(3)
        assert resting(box) == [(D(59_000), D("0.01"))]
        assert (await box.modify(MOVE, price=D(59_200))).refusal is None
        await box.soon()
        assert resting(box) == [(D(59_200), D("0.01"))]
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


def test_with_a_full_disk_an_exit_leaves_all_the_same(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        box.disk.hold()
        box.tell(NAME, ClosePosition(pid()))
        await box.soon(0.2)
        assert len(at_market(box)) == 1
        assert await sold(box) == D("0.01")
        box.disk.go_on()
        await box.soon()
        assert resting(box) == []
        assert box.position().exit_reason is ExitReason.MANUAL_CLOSE

    perform(play)


def test_a_stop_that_was_smaller_at_the_venue_than_known_leaves_the_rest_at_market(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        (stop,) = box.venue.resting()
        box.venue.hold_back(VenueOrder)  # nobody hears that a person made it smaller
        box.venue.change(replace(stop, quantity=D("0.004")))
        box.say("58900")
        await box.soon(3)
        assert await sold(box) == D("0.01")
        box.venue.let_go()
        await box.soon(3)
        assert box.position().status is PositionStatus.CLOSED

    perform(play)


def test_of_a_stop_that_the_venue_splits_the_first_order_that_is_done_is_not_the_end(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        (stop,) = box.venue.resting()
        told = await box.venue.order(BTC, stop.client_order_id)
        assert isinstance(told, VenueOrder)
        together = replace(told, status=OrderStatus.PARTIAL, filled=D("0.006"))
        box.venue.order = answering(together)  # what all its orders have come to
        box.venue.push(replace(told, status=OrderStatus.TRIGGERED))
        box.venue.push(part_of(stop, "1", "0.006"))
        child = replace(together.terms, type=OrderType.MARKET, quantity=D("0.006"))
        box.venue.push(replace(together, terms=child, status=OrderStatus.FILLED))
        await box.soon(3)
        assert not at_market(box)  # the second one sells the rest
        assert box.position().remaining == D("0.004")
        box.venue.push(part_of(stop, "2", "0.004"))
        await box.soon()
        assert box.position().status is PositionStatus.CLOSED
        assert box.position().exit_reason is ExitReason.STOP_LOSS
        assert not at_market(box)
        assert not box.ears.alarms

    perform(play)


def test_the_end_of_a_stop_that_may_be_a_part_is_asked_for_until_the_venue_answers(perform):
    async def play(box: Box) -> None:
        await started(box)
        await box.open()
        (stop,) = box.venue.resting()
        told = await box.venue.order(BTC, stop.client_order_id)
        assert isinstance(told, VenueOrder)
        box.venue.hold_back(VenueOrder)  # but for what is pushed here
        box.venue.take_out(BTC, stop.client_order_id)
        box.venue.reads_fail = True
        smaller = replace(told.terms, quantity=D("0.004"))
        box.venue.push(replace(told, terms=smaller, status=OrderStatus.CANCELED))
        await box.soon(0.1)
        assert resting(box) == []
        box.venue.reads_fail = False
        await box.soon(3)
        assert resting(box) == [(D(59_000), D("0.01"))]

    perform(play)


def answering(order: VenueOrder) -> Any:
    async def ask(*_: Any) -> VenueOrder:
        return order

    return ask


def part_of(stop: Any, trade_id: str, quantity: str) -> Fill:
    return Fill(
        trade_id=TradeId(trade_id),
        client_order_id=stop.client_order_id,
        symbol=BTC,
        side=Side.SELL,
        quantity=D(quantity),
        price=D(58900),
        fee=Fee(D("0.1"), "USDT"),
        at=START,
    )
