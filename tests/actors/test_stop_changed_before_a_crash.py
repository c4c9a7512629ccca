"""The daemon changes its stop at the venue and dies at once: the next life does not blame a person.

What frees units for an exit is asked of the venue before the disk has it, so a crash can take the
memory of it. A change that nobody here can have asked for is still said.
"""

from typing import Any

from msgspec.structs import replace

from actors import names
from domain.commands import ClosePosition
from domain.order import OrderType
from domain.position import PositionStatus
from tests.actors.box import BTC, Box, D, pid, stop_at
from tests.actors.test_covered import sold
from tests.actors.test_venue_stop import started

NAME = names.position(pid())


def told_of(box: Box) -> list[Any]:
    return [code for code in box.ears.codes() if code.startswith("STOP_")]


def resting(box: Box, number: int = 1) -> list[tuple[Any, Any]]:
    """The stops of one position."""
    own = box.position(number).entry.client_order_id[:24]
    return [
        (each.trigger_price, each.quantity)
        for each in box.venue.resting()
        if each.client_order_id.startswith(own)
    ]


async def begin(box: Box) -> None:
    """Hold two positions of one symbol: an exit of either waits for its stop."""
    await started(box)
    await box.open(plan=stop_at("59000", ("61000", "0.5")))
    await box.open(number=2)
    await box.soon(2)


async def go_on(box: Box, price: str = "60000") -> None:
    await started(box, price)
    await box.soon(10)


async def a_target_fires_and_the_journal_never_learns(box: Box) -> None:
    await begin(box)
    box.disk.hold()
    box.say("61000")
    await box.soon(0.1)
    assert resting(box) == [(D(59_000), D("0.005"))]
    box.kill()


async def a_close_begins_and_the_journal_never_learns(box: Box) -> None:
    await begin(box)
    box.disk.hold()
    box.tell(NAME, ClosePosition(pid()))
    await box.soon(0.1)
    assert resting(box) == []
    box.kill()


def test_a_stop_that_was_made_smaller_for_a_target_blames_nobody(perform):
    async def second(box: Box) -> None:
        await go_on(box)
        assert told_of(box) == ["STOP_CHANGED_WHILE_DOWN"]
        position = box.position()
        assert position.status is PositionStatus.OPEN_PROTECTED
        assert resting(box) == [(D(59_000), position.remaining)]
        assert position.remaining == D("0.01") - await sold(box)

    perform(a_target_fires_and_the_journal_never_learns, second)


def test_a_stop_that_was_taken_out_for_a_close_blames_nobody(perform):
    async def second(box: Box) -> None:
        await go_on(box)
        assert told_of(box) == ["STOP_CHANGED_WHILE_DOWN"]
        assert box.position().status is PositionStatus.CLOSED
        assert resting(box) == []
        assert await sold(box) == D("0.01")

    perform(a_close_begins_and_the_journal_never_learns, second)


def test_a_level_that_was_moved_while_nobody_was_here_was_moved_by_somebody_else(perform):
    async def first(box: Box) -> None:
        await begin(box)
        box.disk.hold()
        stop = box.venue.resting()[0]
        box.venue.change(replace(stop, trigger_price=D(58_000)))
        await box.soon(0.1)
        box.kill()

    async def second(box: Box) -> None:
        await go_on(box)
        assert told_of(box) == ["STOP_CHANGED_OUTSIDE"]
        assert resting(box) == [(D(59_000), D("0.01"))]

    perform(first, second)


def test_what_is_made_smaller_while_the_daemon_lives_is_somebody_elses_doing(perform):
    async def play(box: Box) -> None:
        await begin(box)
        stop = box.venue.resting()[0]
        assert stop.type is OrderType.STOP
        box.venue.change(replace(stop, quantity=D("0.005")))
        await box.soon(1)
        assert told_of(box) == ["STOP_CHANGED_OUTSIDE"]
        assert resting(box) == [(D(59_000), D("0.01"))]
        stop = box.venue.resting()[0]
        box.venue.take_out(BTC, stop.client_order_id)
        await box.soon(1)
        assert told_of(box) == ["STOP_CHANGED_OUTSIDE"] * 2

    perform(play)
