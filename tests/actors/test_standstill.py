"""A process that stood still opens nothing on what it hears first."""

from msgspec.structs import replace

from actors import names
from domain.ids import MANUAL
from domain.position import PositionStatus
from domain.protection import ExitReason
from tests.actors.box import BTC, Box, stop_at


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


def test_a_sleep_of_the_computer_is_a_standstill_though_the_loop_did_not_notice(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        box.say("60000")
        box.clock.sleep(hours=8)
        market = box.parts.world.prices.market(BTC)
        assert not market.is_fresh
        await box.soon(1.5)
        assert box.ears.codes() == ["WAS_STOPPED"]
        await box.soon(3)  # the old price is no newer by then
        assert set(box.parts.world.causes) <= {"DOWNTIME_UNCHECKED"}
        request = box.request(number=2)
        answer = await box.ask(
            names.trader(MANUAL), lambda request_id: replace(request, request_id=request_id)
        )
        assert answer.refusal.rule == "STALE_PRICE"
        await box.open(number=2)  # a new price has come

    perform(play)


def test_the_time_limit_of_a_position_runs_on_while_the_computer_sleeps(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000", max_holding_s=600.0))
        box.clock.sleep(seconds=300)
        await box.soon(2)
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        box.clock.sleep(seconds=299)
        await box.soon(2)
        assert box.position().exit_reason is ExitReason.TIME_EXIT

    perform(play)
