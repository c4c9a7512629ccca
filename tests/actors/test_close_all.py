"""Closing everything by command: what is answered is durable."""

import asyncio

from daemon.admin_requests import CloseAll
from daemon.archive import Archive
from daemon.background import Background
from daemon.desk import Desk
from daemon.desk_reads import DeskReads
from daemon.desk_watch import DeskWatch
from daemon.recent import Recent
from domain.position import ExitFired, PositionStatus
from tests.actors.box import Box


def desk_of(box: Box) -> Desk:
    archive = Archive(box.store, Background(box.disk))
    reads = DeskReads(box.parts, archive)
    watch = DeskWatch(reads, Recent(), asyncio.get_running_loop())
    return Desk(box.parts, reads, lambda: None, watch, _never)


async def _never():
    raise AssertionError("nobody asked for a reload")


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
