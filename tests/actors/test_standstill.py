"""A process that stood still opens nothing on what it hears first."""

from actors import names
from domain.position import PositionStatus
from tests.actors.box import Box


def stood_still(box: Box, seconds: float) -> None:
    box.actor(names.FEED).beat_s -= seconds


def test_after_a_standstill_nothing_is_opened_until_the_venue_was_asked_and_prices_are_new(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        asked = box.venue.open_orders
        looks = []
        box.venue.open_orders = lambda: looks.append(box.clock.monotonic()) or asked()
        stood_still(box, 60)
        box.say("60010")
        await box.soon(1)
        assert looks
        assert set(box.parts.world.causes) == {"WAS_STOPPED"}
        await box.soon(2)
        assert not box.parts.world.causes
        await box.open(number=2)

    perform(play)


def test_a_level_that_was_crossed_during_a_standstill_fires_at_once(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        stood_still(box, 60)
        box.say("58900")
        await box.soon()
        assert box.position().status is PositionStatus.CLOSED
        assert box.ears.codes() == ["WAS_STOPPED"]

    perform(play)


def test_a_beat_notices_where_no_price_comes(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        stood_still(box, 60)
        await box.soon(1.5)
        assert box.ears.codes() == ["WAS_STOPPED"]

    perform(play)
