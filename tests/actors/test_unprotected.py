"""A position that nobody guards is not kept: an alarm, then out."""

import pytest
from msgspec.structs import replace

from domain.position import PositionStatus
from domain.protection import ExitReason
from tests.actors.box import Box, stop_at


@pytest.mark.parametrize(("alarm_s", "exit_s"), [(2.0, 5.0), (1.0, 2.0)])
def test_a_position_without_a_guard_raises_an_alarm_and_is_left_in_time(perform, alarm_s, exit_s):
    async def play(box: Box) -> None:
        await box.start("60000")
        world = box.parts.world
        world.rules = replace(world.rules, unprotected_after_s=alarm_s, exit_after_s=exit_s)
        feed = box.feed
        feed.tell = lambda _name, _message: True  # it confirms nothing
        position = await box.open("0.01", stop_at("59000"))
        filled_s = (position.opened_at - world.started_at).total_seconds()
        assert position.status is PositionStatus.OPEN_UNPROTECTED
        alarmed_s = None
        while not box.position().is_closed:
            await box.soon(0.01)
            box.say("60000")
            if alarmed_s is None and "UNPROTECTED" in box.ears.codes():
                alarmed_s = box.loop.time()
        assert alarmed_s is not None
        assert alarmed_s - filled_s == pytest.approx(alarm_s, abs=0.05)
        assert box.loop.time() - alarmed_s == pytest.approx(exit_s, abs=0.05)
        assert box.position().exit_reason is ExitReason.UNPROTECTED
        assert not box.portfolio.holdings

    perform(play)
