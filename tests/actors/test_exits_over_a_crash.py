"""Exits that left just before a crash, and others after it: each unit is sold once."""

from actors import names
from domain.commands import ClosePosition
from domain.instrument import PriceSource
from domain.position import PositionStatus
from domain.protection import ExitReason
from tests.actors.asked import Asked
from tests.actors.box import BTC, CONFIG, Box, D, pid, stop_at
from tests.actors.test_catch_up import history

LAST = PriceSource.LAST
IN_PARTS = CONFIG.replace("latency_ms: 0", "latency_ms: 2000, partial_fill_chance: 1")


async def trail_fires_and_the_journal_never_learns(box: Box) -> None:
    """Hold two positions; the trail of the first one fires, and the process dies before the disk.

    The best price was not reported either: after the crash the stop is nearer than the trail.
    """
    await box.start("60000")
    await box.open(number=1, plan=stop_at("59600", trail_distance=D(500)))
    await box.open(number=2, plan=stop_at("50000"))
    await box.soon(2)
    box.disk.hold()
    box.say("60800", "60200")
    await box.soon(0.1)
    assert len(await box.paper.fills(None)) == 3  # it was executed
    box.kill()


async def settled(box: Box) -> None:
    await box.soon(10)
    one, two = box.position(1), box.position(2)
    assert (one.status, one.exit_reason) == (PositionStatus.CLOSED, ExitReason.TRAILING_STOP)
    assert (two.status, two.remaining) == (PositionStatus.OPEN_PROTECTED, D("0.01"))
    (held,) = await box.paper.positions()
    assert held.quantity == D("0.01")
    assert not box.letters("poison")


def test_a_stop_that_fires_before_the_venue_was_asked_does_not_sell_what_the_trail_sold(perform):
    async def second(box: Box) -> None:
        box.venue.reads_fail = True
        await box.start("59550")
        await box.soon(0.2)
        assert [each.exit_id for each in box.position().exits] == ["stop"]
        box.venue.reads_fail = False
        await settled(box)

    perform(trail_fires_and_the_journal_never_learns, second)


def test_a_close_before_the_venue_was_asked_does_not_sell_what_the_trail_sold(perform):
    async def second(box: Box) -> None:
        box.venue.reads_fail = True
        await box.start("60700")
        box.tell(names.position(pid(1)), ClosePosition(pid(1)))
        box.venue.reads_fail = False
        await settled(box)

    perform(trail_fires_and_the_journal_never_learns, second)


def test_candles_of_the_downtime_do_not_sell_what_the_trail_sold(perform):
    async def second(box: Box) -> None:
        box.venue.reads_fail = True
        await box.start("60700")
        await box.soon(3)
        box.venue.reads_fail = False
        await settled(box)

    reads = Asked(BTC="60700")
    reads.history[BTC, LAST] = history({3: ("59550", "59550", "59520", "59550")})
    perform(trail_fires_and_the_journal_never_learns, second, reads=reads, pause_s=600)


def test_a_close_waits_for_the_rest_of_what_another_exit_sells(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open("0.02", number=1, plan=stop_at("59600", trail_distance=D(500)))
        await box.open("0.02", number=2, plan=stop_at("50000"))
        await box.soon(15)
        box.disk.hold()
        before = len(await box.paper.fills(None))
        box.say("60800", "60200")
        while len(await box.paper.fills(None)) == before:
            await box.soon(0.1)
        assert len(await box.paper.fills(None)) == before + 1  # the rest is still to come
        box.kill()

    async def second(box: Box) -> None:
        box.venue.reads_fail = True
        await box.start()
        box.tell(names.position(pid(1)), ClosePosition(pid(1)))
        box.venue.reads_fail = False
        await box.soon(2)
        assert [each.exit_id for each in box.position(1).exits] == ["close", "trail"]
        assert box.position(1).remaining
        box.venue.pushes = lambda _update: ()  # nobody says how it ends: it is asked
        box.say("59990")
        await box.soon(20)
        one, two = box.position(1), box.position(2)
        assert (one.status, one.exit_reason) == (PositionStatus.CLOSED, ExitReason.TRAILING_STOP)
        assert (two.status, two.remaining) == (PositionStatus.OPEN_PROTECTED, D("0.02"))
        (held,) = await box.paper.positions()
        assert held.quantity == D("0.02")
        assert not box.letters("poison")

    perform(first, second, config=IN_PARTS)
