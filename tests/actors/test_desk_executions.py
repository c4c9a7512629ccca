"""Retrying what failed and making test orders, at the desk of a running daemon."""

import asyncio
from typing import Any

import pytest

from daemon import admin_requests as ask
from domain.commands import Source
from domain.errors import Refusal
from domain.instrument import Direction
from domain.position_additions import MAX_ADDITIONS
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
        assert told["position"]["remaining_quantity"] == "0.03"
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


async def refused_once(box: Box, **others: Any) -> None:
    """Ask for an entry while there are none, then let there be some."""
    desk = desk_of(box)
    await desk.handle(ask.StopEntries())
    assert (await desk.handle(open_request(**others))).rule == "NO_ENTRY_MODE"
    await desk.handle(ask.ResumeEntries())
    box.say("60000")


async def invitation(box: Box) -> Any:
    shown = await desk_of(box).handle(ask.Status())
    assert not isinstance(shown, Refusal)
    return shown["latest_execution_error"]


def test_what_was_retried_is_not_retried_twice_unless_one_says_so(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await refused_once(box)
        first = await desk.handle(ask.Retry(execution="manual.1"))

        twice = await desk.handle(ask.Retry(execution="manual.1"))
        unnamed = await desk.handle(ask.Retry())

        assert (twice.rule, unnamed.rule) == ("MADE_ALREADY", "NOTHING_FAILED")
        assert first["position"]["id"] in twice.message
        assert await invitation(box) is None
        assert len(box.venue.sent) == 1
        box.say("60000")
        more = await desk.handle(ask.Retry(execution="manual.1", again=True))
        assert more["position"]["id"] != first["position"]["id"]

    perform(play)


def test_two_retries_at_once_open_one_position(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await refused_once(box)

        answers = await asyncio.gather(*(desk.handle(ask.Retry()) for _ in range(3)))

        assert len([each for each in answers if isinstance(each, Refusal)]) == 2
        assert len(box.venue.sent) == 1

    perform(play)


def test_a_retry_is_known_after_a_crash(perform):
    async def play(box: Box) -> Any:
        await box.start("60000")
        await refused_once(box)
        opened = await desk_of(box).handle(ask.Retry(execution="manual.1"))
        box.kill()
        opened_ids.append(opened["position"]["id"])

    async def next_life(box: Box) -> None:
        await box.start("60000")

        again = await desk_of(box).handle(ask.Retry(execution="manual.1"))

        assert again.rule == "MADE_ALREADY"
        assert opened_ids[0] in again.message
        assert await invitation(box) is None

    opened_ids: list[str] = []
    perform(play, next_life)


def test_what_failed_last_is_remembered_over_a_crash_while_nobody_has_made_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=3)
        await box.soon()
        await refused_once(box)
        box.kill()

    async def next_life(box: Box) -> None:
        await box.start("60000")
        assert (await invitation(box))["execution_id"] == "manual.1"

    perform(play, next_life)


def test_what_a_person_opened_after_all_is_not_offered_again(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await refused_once(box, position_id=pid(1))

        await desk.handle(open_request(position_id=pid(1)))

        assert await invitation(box) is None
        assert (await desk.handle(ask.Retry())).rule == "NOTHING_FAILED"
        named = await desk.handle(ask.Retry(execution="manual.1"))
        more = await desk.handle(ask.Retry(execution="manual.1", again=True))
        assert named == more  # nobody said whether it is to be larger, or another
        assert named.rule == "MADE_ALREADY"
        assert f"holdfast add {pid(1)}" in named.remedy
        assert len(box.venue.sent) == 1

    perform(play)


def test_another_entry_leaves_what_failed_on_offer(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await refused_once(box)

        await desk_of(box).handle(
            ask.Open(symbol=BTC, direction=Direction.SHORT, quantity=D("0.01"), stop=D(61_000))
        )

        assert (await invitation(box))["execution_id"] == "manual.1"

    perform(play)


def test_a_retry_that_the_venue_refuses_may_be_retried_itself(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await refused_once(box)
        box.venue.submits = [refused("51008")]
        await desk.handle(ask.Retry())
        failed = await invitation(box)
        box.say("60000")

        told = await desk.handle(ask.Retry())

        assert told["retried"] == failed["execution_id"] != "manual.1"
        assert told["position"]["status"] == "open_protected"

    perform(play)


def test_a_retry_that_failed_too_is_named_and_not_called_done(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        box.venue.submits = [refused("51008"), refused("51008")]
        await desk.handle(open_request(position_id=pid(1)))
        first = (await invitation(box))["execution_id"]
        box.say("60000")
        await desk.handle(ask.Retry(execution=first))
        second = (await invitation(box))["execution_id"]

        twice = await desk.handle(ask.Retry(execution=first))

        assert twice.rule == "RETRY_FAILED"
        assert f"{first} was retried as {second}, which failed too" in twice.message
        assert twice.remedy.endswith(f"holdfast retry {second}")
        box.say("60000")
        told = await desk.handle(ask.Retry(execution=second))
        assert told["position"]["status"] == "open_protected"

    perform(play)


def test_an_addition_that_was_refused_often_enlarges_its_position_and_opens_no_other(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await box.open(number=1)
        await desk.handle(ask.StopEntries())
        for _ in range(MAX_ADDITIONS + 2):
            await desk.handle(ask.Add(position=pid(1), quantity=D("0.02")))
            for _ in range(11):  # the same refusal sooner is counted with the one before
                await box.soon(1)
                box.say("60000")
        assert len(await listed(box, failed=True)) == MAX_ADDITIONS + 2
        await desk.handle(ask.ResumeEntries())
        box.say("60000")

        told = await desk.handle(ask.Retry())
        await box.soon()

        assert told["position"]["id"] == pid(1)
        assert box.position(1).remaining == D("0.03")
        box.say("60000")
        await desk.handle(ask.Retry(execution="manual.1", again=True))
        await box.soon()
        assert box.position(1).remaining == D("0.05")
        assert len(box.parts.world.states.latest_of("position")) == 1

    perform(play)


def test_an_addition_that_was_refused_is_added_once(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await box.open(number=1)
        await desk.handle(ask.StopEntries())
        await desk.handle(ask.Add(position=pid(1), quantity=D("0.02")))
        await desk.handle(ask.ResumeEntries())
        box.say("60000")
        await desk.handle(ask.Retry(execution="manual.1"))
        await box.soon()
        box.say("60000")

        twice = await desk.handle(ask.Retry(execution="manual.1"))

        assert twice.rule == "MADE_ALREADY"
        assert box.position(1).remaining == D("0.03")
        await desk.handle(ask.Retry(execution="manual.1", again=True))
        await box.soon()
        assert box.position(1).remaining == D("0.05")

    perform(play)


@pytest.mark.parametrize("again", [False, True])
def test_an_addition_to_what_is_closed_by_now_opens_nothing(perform, again):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await box.open(number=1)
        await desk.handle(ask.StopEntries())
        await desk.handle(ask.Add(position=pid(1), quantity=D("0.02")))
        await desk.handle(ask.ResumeEntries())
        await box.close(1)
        await box.soon()
        box.say("60000")

        told = await desk.handle(ask.Retry(execution="manual.1", again=again))

        assert told.rule == "POSITION_CLOSED"
        assert len(box.venue.sent) == 2

    perform(play)


def test_a_retry_whose_entry_was_canceled_is_not_called_done(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await refused_once(box, limit_price=D(59_500))
        resting = await desk.handle(ask.Retry(execution="manual.1"))
        assert (await desk.handle(ask.Retry(execution="manual.1"))).rule == "MADE_ALREADY"
        await desk.handle(ask.Close(position=resting["position"]["id"]))
        await box.soon()

        twice = await desk.handle(ask.Retry(execution="manual.1"))

        assert twice.rule == "RETRIED_IN_VAIN"
        assert "has been done" not in twice.message
        assert resting["position"]["id"] in twice.message
        box.say("60000")
        again = await desk.handle(ask.Retry(execution="manual.1", again=True))
        assert again["position"]["id"] != resting["position"]["id"]

    perform(play)


def test_a_retried_addition_that_was_canceled_is_not_called_done(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await box.open(number=1)
        await desk.handle(ask.StopEntries())
        await desk.handle(ask.Add(position=pid(1), quantity=D("0.02"), limit_price=D(59_500)))
        await desk.handle(ask.ResumeEntries())
        box.say("60000")
        await desk.handle(ask.Retry(execution="manual.1"))
        assert (await desk.handle(ask.Retry(execution="manual.1"))).rule == "MADE_ALREADY"
        await desk.handle(ask.StopEntries())  # cancels what rests
        await box.soon()
        await desk.handle(ask.ResumeEntries())
        box.say("60000")

        twice = await desk.handle(ask.Retry(execution="manual.1"))

        assert twice.rule == "RETRIED_IN_VAIN"
        assert len(box.position(1).additions) == 1
        await desk.handle(ask.Retry(execution="manual.1", again=True))
        assert len(box.position(1).additions) == 2

    perform(play)
