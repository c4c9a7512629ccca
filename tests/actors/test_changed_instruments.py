"""The configuration changes the rules of a symbol that is held at the paper venue."""

from datetime import datetime

import pytest

from domain.position import PositionStatus
from tests.actors.box import CONFIG, Box, D, later, stop_at

CHANGES = {
    "max_leverage": {"max_leverage": 5},
    "a lot it is no multiple of": {"lot_size": 0.01, "min_quantity": 0.01},
    "a least order above it": {"min_quantity": 0.05},
    "a lot above it": {"lot_size": 0.05, "min_quantity": 0.05},
}


def changed(rules: dict[str, float]) -> str:
    given = ", ".join(f"{name}: {value}" for name, value in rules.items())
    return CONFIG + f"instruments: {{BTC/USDT: {{{given}}}}}\n"


async def opens(box: Box) -> datetime:
    """Open by the rules of before; return when the next life begins."""
    await box.start("60000")
    await box.open("0.015", stop_at("59000", ("61000", "0.4")), leverage=D(10))
    return later(box)


@pytest.mark.parametrize("change", CHANGES)
def test_a_stop_closes_all_that_is_held_whatever_the_configuration_says_now(perform, change):
    async def stopped(box: Box) -> None:
        await box.start("60000")
        box.say("61000")
        await box.soon()
        assert box.position().remaining == D("0.009")
        box.say("58999")
        await box.soon()
        assert box.position().status is PositionStatus.CLOSED
        assert "EXIT_FAILED" not in box.ears.codes()
        assert await box.venue.positions() == ()

    perform(stopped, start=perform(opens), config=changed(CHANGES[change]))


def test_positions_of_before_and_of_after_a_change_each_close_by_their_own_rules(perform):
    async def both(box: Box) -> None:
        await box.start("60000")
        await box.open("0.05", number=2)
        box.say("58999")
        await box.soon()
        assert {box.position(each).status for each in (1, 2)} == {PositionStatus.CLOSED}
        assert "EXIT_FAILED" not in box.ears.codes()

    perform(both, start=perform(opens), config=changed(CHANGES["a lot above it"]))
