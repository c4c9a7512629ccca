"""Retrying what failed and making test orders, at the desk of a running daemon."""

from typing import Any

from daemon import admin_requests as ask
from domain.commands import Source
from domain.errors import Refusal
from domain.instrument import Direction
from tests.actors.box import BTC, Box, D, pid, stop_at
from tests.actors.desks import desk_of
from tests.actors.faulty_venue import answer_lost, refused


def open_request(quantity: str = "0.01", **others: Any) -> ask.Open:
    return ask.Open(
        symbol=BTC, direction=Direction.LONG, quantity=D(quantity), stop=D(59_000), **others
    )


async def listed(box: Box, **wanted: Any) -> list[dict[str, Any]]:
    answer = await desk_of(box).handle(ask.ListExecutions(**wanted))
    assert not isinstance(answer, Refusal)
    found: Any = answer["executions"]
    return found[::-1]


def test_a_refused_entry_is_tried_again_as_a_new_decision(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await desk.handle(ask.StopEntries())
        refusal = await desk.handle(open_request())
        assert refusal.rule == "NO_ENTRY_MODE"
        again = await desk.handle(ask.Retry())
        assert again.rule == "NO_ENTRY_MODE"  # the same checks
        await desk.handle(ask.ResumeEntries())
        box.say("60000")

        told = await desk.handle(ask.Retry())

        assert told["retried"] == "manual.1"
        assert told["position"]["status"] == "open_protected"
        assert told["position"]["stop"] == "59000"
        skipped, placed = await listed(box)
        assert (skipped["status"], placed["status"]) == ("SKIPPED", "PLACED")
        assert skipped["position_id"] != placed["position_id"]
        assert placed["user"].startswith("uid ")

    perform(play)


def test_an_entry_the_venue_refused_is_tried_again_with_its_plan_and_a_fresh_id(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        box.venue.submits = [refused("51008", "not enough")]
        await desk.handle(open_request(position_id=pid(1)))
        (failed,) = await listed(box, failed=True)
        shown = await desk.handle(ask.Status())
        assert shown["latest_execution_error"]["execution_id"] == failed["execution_id"]
        box.say("60000")

        told = await desk.handle(ask.Retry(execution=failed["execution_id"]))

        assert told["position"]["id"] != pid(1)
        assert told["position"]["stop"] == "59000"
        first, second = box.venue.sent
        assert first.client_order_id != second.client_order_id

    perform(play)


def test_an_addition_is_tried_again_as_an_addition(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await box.open(number=1)
        box.venue.submits = [refused("51008")]
        box.say("60000")
        await desk.handle(ask.Add(position=pid(1), quantity=D("0.02")))
        await box.soon()
        box.say("60000")

        told = await desk.handle(ask.Retry())

        assert told["position"]["id"] == pid(1)
        await box.soon()
        assert box.position(1).remaining == D("0.03")

    perform(play)


def test_what_did_not_fail_is_not_tried_again(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        assert (await desk.handle(ask.Retry())).rule == "NOTHING_FAILED"
        assert (await desk.handle(ask.Retry(execution="manual.9"))).rule == "UNKNOWN_EXECUTION"
        await box.open(number=1)
        (placed,) = await listed(box)
        again = await desk.handle(ask.Retry(execution=placed["execution_id"]))
        assert again.rule == "NOT_FAILED"
        box.venue.submits = [refused("50000")]
        await box.close(1)
        await box.soon(1)
        exit_ = (await listed(box, failed=True))[0]
        again = await desk.handle(ask.Retry(execution=exit_["execution_id"]))
        assert again.rule == "RETRIED_BY_POSITION"

    perform(play)


def test_attempts_are_listed_by_what_one_looks_for(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1, plan=stop_at("59500"))
        box.say("59400")
        await box.soon()
        box.say("59400")
        await desk_of(box).handle(open_request("0.0001"))

        assert len(await listed(box)) == 3
        assert [each["side"] for each in await listed(box, source=Source.SYSTEM)] == ["sell"]
        assert [each["code"] for each in await listed(box, failed=True)] == ["QUANTITY_BELOW_LOT"]
        assert len(await listed(box, position_id=pid(1))) == 2
        assert await listed(box, trader="nobody") == []
        assert len(await listed(box, limit=1)) == 1

    perform(play)


def test_a_test_order_buys_the_least_and_closes_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")

        told = await desk_of(box).handle(ask.TestOrder(venue="paper", symbol=BTC))

        assert told["passed"] is True
        assert [each["step"] for each in told["steps"]] == ["approved", "bought", "closed"]
        assert [each["side"] for each in told["executions"]] == ["sell", "buy"]
        assert [each["status"] for each in told["executions"]] == ["PLACED", "PLACED"]
        assert await box.paper.positions() == ()
        latency = await desk_of(box).handle(ask.Latency())
        assert {row["type"] for row in latency["latency"]} == {"market", "market exit"}

    perform(play)


def test_a_test_order_goes_nowhere_but_to_the_venue_named(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)

        other = await desk.handle(ask.TestOrder(venue="okx-live", symbol=BTC))
        unknown = await desk.handle(ask.TestOrder(venue="paper", symbol="XYZ/USDT"))

        assert (other.rule, unknown.rule) == ("OTHER_VENUE", "UNKNOWN_SYMBOL")
        assert box.venue.sent == []

    perform(play)


def test_a_test_order_that_gets_no_answer_says_how_far_it_came(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.reads_fail = True
        box.venue.submits = [answer_lost]
        box.venue.hold_back(object)

        told = await desk_of(box).handle(ask.TestOrder(venue="paper", symbol=BTC))

        assert told["passed"] is False
        assert [each["step"] for each in told["steps"]] == ["approved"]
        assert [each["status"] for each in told["executions"]] == ["UNKNOWN"]
        box.venue.reads_fail = False
        box.venue.let_go()
        await box.soon(20)
        assert await box.paper.positions() == ()  # nobody wanted it any more

    perform(play)
