"""Asking about orders in doubt: how often, in which order, and what proves nothing."""

from collections import Counter

from actors.doubting import ACCEPTANCE_WINDOW_S
from domain.instrument import Direction
from domain.order import OrderStatus
from tests.actors.box import Box, stop_at
from tests.actors.faulty_venue import arrives_after, broken_line, reset


async def open_many(box: Box, count: int) -> None:
    """Open positions whose answers are lost, all within a moment."""
    box.venue.submits = [reset] * count
    for number in range(1, count + 1):
        await box.open(number=number, plan=stop_at(None))


def count_reads(box: Box) -> Counter[str]:
    reads: Counter[str] = Counter()
    for name in ("fills", "positions"):
        original = getattr(box.venue.inner, name)

        def counted(*args, name=name, original=original):
            reads[name] += 1
            return original(*args)

        setattr(box.venue.inner, name, counted)
    return reads


def test_orders_that_are_found_cost_one_look_up_each_and_nothing_else(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        reads = count_reads(box)
        await open_many(box, 40)
        await box.soon(10)

        assert {box.entry(number).status for number in range(1, 41)} == {OrderStatus.FILLED}
        assert all(box.entry(number).venue_order_id for number in range(1, 41))
        assert len(box.venue.asked) <= 80
        assert reads == Counter()

    perform(play)


def test_fills_are_read_once_for_all_that_the_stream_did_not_tell(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        reads = count_reads(box)
        box.venue.pushes = lambda _update: ()
        box.venue.reads_fail = True
        await open_many(box, 40)
        box.venue.reads_fail = False
        await box.soon(20)

        assert {box.entry(number).status for number in range(1, 41)} == {OrderStatus.FILLED}
        assert reads["fills"] <= 4
        assert len(box.venue.sent) == 40

    perform(play)


def test_an_exit_is_asked_for_before_entries(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1, plan=stop_at("59500"))
        box.venue.reads_hang = True
        await open_many_hanging(box)
        box.venue.submits = [reset]
        box.venue.hold_back(object)
        box.say("59400")
        await box.soon(1)
        box.venue.asked.clear()
        box.venue.reads_hang = False
        await box.soon(8)

        exit_id = box.position(1).exits[0].client_order_id
        assert exit_id in box.venue.asked[:15]

    async def open_many_hanging(box: Box) -> None:
        box.venue.submits = [reset] * 150
        box.venue.hold_back(object)
        for number in range(2, 152):
            await box.open(number=number, plan=stop_at(None), quantity="0.001")

    perform(play)


def test_a_look_up_before_the_order_had_its_time_to_arrive_proves_nothing(perform):
    """It arrives while the venue thinks about the question that was asked before."""

    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits = [arrives_after(ACCEPTANCE_WINDOW_S - 0.05)]
        await box.open(number=1, plan=stop_at(None), limit="50000", direction=Direction.LONG)
        await box.soon(ACCEPTANCE_WINDOW_S + 3)

        assert box.entry(1).status is OrderStatus.OPEN

    perform(play)


def test_absence_of_one_is_proven_while_others_rest(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits = [reset, broken_line, reset]
        for number in (1, 2, 3):
            await box.open(number=number, plan=stop_at(None), limit="50000")
        await box.soon(12)

        statuses = [box.entry(number).status for number in (1, 2, 3)]
        assert statuses == [OrderStatus.OPEN, OrderStatus.ABSENT, OrderStatus.OPEN]

    perform(play)
