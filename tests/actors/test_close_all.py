"""Closing everything by command: what is answered is durable."""

import asyncio

from daemon.admin_requests import Close, CloseAll, MoveStop
from domain.errors import Refusal
from domain.position import PositionStatus
from domain.position_events import ExitFired
from tests.actors.box import Box, D, pid
from tests.actors.desks import desk_of


def test_the_answer_to_close_all_waits_until_a_crash_cannot_forget_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for number in (1, 2, 3):
            await box.open(number=number)
        box.disk.hold()
        answer = asyncio.ensure_future(desk_of(box).handle(CloseAll()))
        await box.soon()
        assert not answer.done()
        box.disk.go_on()
        result = await answer
        assert len(result["closing"]) == 3
        assert "refused" not in result
        assert sum(isinstance(event, ExitFired) for event in box.journal()) == 3
        await box.soon()
        assert all(box.position(number).status is PositionStatus.CLOSED for number in (1, 2, 3))

    perform(play)


def test_positions_that_end_already_are_not_refusals_of_close_all(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for number in (1, 2):
            await box.open(number=number)
        assert (await box.close(1)).refusal is None
        result = await desk_of(box).handle(CloseAll())
        assert "refused" not in result
        await box.soon()
        assert box.position(2).status is PositionStatus.CLOSED
        assert (await desk_of(box).handle(CloseAll())) == {"closing": []}

    perform(play)


async def with_one_in_quarantine(box: Box) -> None:
    await box.start("60000")
    await box.open(number=1)
    await box.open(number=2)
    for _ in range(6):
        box.parts.system.kill(f"position/{pid(1)}")
        await box.soon(0.1)
    assert box.position(1).status is PositionStatus.QUARANTINED


def test_what_cannot_be_closed_is_named_with_what_helps(perform):
    async def play(box: Box) -> None:
        await with_one_in_quarantine(box)

        result = await desk_of(box).handle(CloseAll())

        assert result["closing"] == [pid(2)]
        (refused,) = result["refused"]
        assert (refused["position"], refused["rule"]) == (pid(1), "QUARANTINED")
        assert "Restart the daemon" in refused["remedy"]

    perform(play)


def test_a_position_in_quarantine_says_so_instead_of_being_busy(perform):
    async def play(box: Box) -> None:
        await with_one_in_quarantine(box)
        desk = desk_of(box)

        closing = await desk.handle(Close(position=pid(1)))
        moving = await desk.handle(MoveStop(position=pid(1), price=D(59_500)))

        assert isinstance(closing, Refusal)
        assert isinstance(moving, Refusal)
        assert (closing.rule, moving.rule) == ("QUARANTINED", "QUARANTINED")
        assert "Restart the daemon" in closing.remedy

    perform(play)
