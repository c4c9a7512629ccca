"""Opening under an id that the sender chose, at the desk of a running daemon."""

import asyncio
from typing import Any

import pytest

from daemon import admin_requests as ask
from domain.errors import Refusal
from domain.instrument import Direction
from tests.actors.box import BTC, ETH, Box, D, pid
from tests.actors.desks import desk_of
from tests.actors.faulty_venue import answer_lost, refused


def request(**others: Any) -> ask.Open:
    fields = {"symbol": BTC, "direction": Direction.LONG, "notional": D(600), "stop": D(59_000)}
    return ask.Open(**(fields | {"position_id": pid(1)} | others))


def test_equal_requests_at_once_open_one_position_and_all_hear_of_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)

        async def asked(after_ms: float) -> Any:
            await asyncio.sleep(after_ms / 1000)
            return await desk.handle(request())

        answers = await asyncio.gather(*(asked(each) for each in (0, 0.3, 0.6, 1, 1.5, 2)))

        assert [each["position"]["status"] for each in answers] == ["open_protected"] * 6
        assert len(box.venue.sent) == 1
        assert box.parts.world.failures.latest is None  # a repeated request is no failed attempt

    perform(play)


@pytest.mark.parametrize("after_ms", [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3])
def test_who_asks_again_after_giving_up_hears_of_the_position_whenever_it_comes(perform, after_ms):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        first = asyncio.create_task(desk.handle(request()))
        await asyncio.sleep(after_ms / 1000)
        first.cancel()

        again = await desk.handle(request())

        assert again["position"]["status"] == "open_protected"
        assert len(box.venue.sent) == 1

    perform(play)


def test_a_position_that_is_written_and_not_known_yet_is_not_called_closed(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        answers: list[asyncio.Task[Any]] = []
        box.disk.on_done = lambda: answers.append(asyncio.create_task(desk.handle(request())))
        first = asyncio.create_task(desk.handle(request()))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0.01)
        box.disk.on_done = lambda: None

        told = await asyncio.gather(*answers)

        assert {each["position"]["status"] for each in told} == {"open_protected"}
        assert len(box.venue.sent) == 1

    perform(play)


def test_what_is_not_on_the_disk_in_time_is_of_unknown_outcome(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        desk.reads.archive.background = _Elsewhere()  # reads go on where writes hang
        box.disk.hold()
        first = asyncio.create_task(desk.handle(request()))
        await asyncio.sleep(0.01)
        first.cancel()

        again = await desk.handle(request())

        assert again.rule == "NO_ANSWER"
        box.disk.go_on()
        await box.soon()
        assert (await desk.handle(request()))["position"]["status"] == "open_protected"
        assert len(box.venue.sent) == 1

    perform(play)


class _Elsewhere:
    async def call(self, function: Any) -> Any:
        return function()


def test_an_id_that_a_closed_position_had_opens_nothing(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await desk.handle(request())
        await desk.handle(ask.Close(position=pid(1)))
        await box.soon()

        again = await desk.handle(request())

        assert again.rule == "ALREADY_CLOSED"
        assert len(box.venue.sent) == 2

    perform(play)


def test_an_id_in_use_is_refused_to_another_request_with_what_differs(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.say("3000", symbol=ETH)
        desk = desk_of(box)
        target = ask.TargetRequest(D(66_000), D("0.5"))
        await desk.handle(request(targets=(target,)))

        same = await desk.handle(request(notional=D("600.0"), targets=(target,)))
        other = await desk.handle(
            request(symbol=ETH, direction=Direction.SHORT, notional=D(900), stop=D(3100))
        )
        in_base = await desk.handle(request(notional=None, quantity=D(600), targets=(target,)))

        assert same["position"]["id"] == pid(1)
        assert other.rule == "ID_IN_USE"
        for difference in (
            "symbol BTC/USDT, not ETH/USDT",
            "side long, not short",
            "stop price 59000, not 3100",
            "targets 66000:0.5, not none",
            "size 600 in quote, not 900 in quote",
        ):
            assert difference in other.message
        assert "size 600 in quote, not 600 base units" in in_base.message
        assert len(box.venue.sent) == 1

    perform(play)


def test_a_refused_request_may_come_again_with_its_id(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await desk.handle(ask.StopEntries())
        assert (await desk.handle(request())).rule == "NO_ENTRY_MODE"
        await desk.handle(ask.ResumeEntries())
        box.say("60000")

        assert (await desk.handle(request()))["position"]["status"] == "open_protected"

    perform(play)


def test_a_repeated_request_for_an_entry_in_doubt_sends_no_second_order(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        box.venue.submits = [answer_lost]

        answers = await asyncio.gather(desk.handle(request()), desk.handle(request()))

        assert {each["position"]["id"] for each in answers} == {pid(1)}
        assert len(box.venue.sent) == 1

    perform(play)


def test_a_close_that_does_not_get_through_is_not_told_as_done(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await box.open(number=1)
        box.venue.submits = [refused("51008")] * 20

        told = await desk.handle(ask.Close(position=pid(1)))
        part = await desk.handle(ask.Close(position=pid(1), part=D("0.5")))

        assert told["under_way"]
        assert "NOT CLOSED YET" in told["note"]
        assert isinstance(part, Refusal) or part["under_way"]

    perform(play)


def test_a_close_that_gets_through_is_done(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await box.open(number=1)

        part = await desk.handle(ask.Close(position=pid(1), part=D("0.5")))
        box.say("60000")
        told = await desk.handle(ask.Close(position=pid(1)))

        assert "under_way" not in part
        assert "under_way" not in told
        assert told["position"]["status"] == "closed"

    perform(play)
