"""A stop that rests at the venue: placed, moved, shared with exits, fired there, restored."""

from typing import Any

from msgspec.structs import replace

from actors import names
from domain.commands import ModificationType
from domain.instrument import Side
from domain.order import OrderType
from domain.position import PositionStatus
from domain.protection import ExitReason
from tests.actors.box import Box, D, pid

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
