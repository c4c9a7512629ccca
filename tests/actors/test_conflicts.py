"""A strategy's wish that met a person's change: shown, kept over a crash, accepted or refused."""

from daemon.admin_requests import AcceptConflict, ListConflicts, RefuseConflict, ShowPosition
from domain.commands import ModificationType, RequestedBy
from domain.errors import Refusal
from tests.actors.box import Box, D, pid, stop_at
from tests.actors.test_close_all import desk_of

SUGGESTED = {"requested_by": RequestedBy.RULE_ENGINE, "reason": "the trend is old"}
MOVE = ModificationType.MOVE_SL


async def suggest(box: Box, price: str) -> None:
    """Let a person move the stop, then a strategy wish for `price`."""
    await box.start("60000")
    await box.open(plan=stop_at("59000"))
    assert (await box.modify(MOVE, price=D(59_100))).refusal is None
    await box.soon()
    assert (await box.modify(MOVE, price=D(price), **SUGGESTED)).refusal.rule == "MANUAL_LOCK"


async def waiting(box: Box) -> list:
    return (await desk_of(box).handle(ListConflicts()))["conflicts"]


def test_a_suggestion_is_listed_with_what_it_would_change_and_survives_a_crash(perform):
    async def first(box: Box) -> None:
        await suggest(box, "59500")
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        (row,) = await waiting(box)
        assert (row["position"], row["id"], row["outdated"]) == (pid(), "c1", False)
        assert (row["previous"]["stop"], row["new"]["stop"]) == ("59100", "59500")
        assert (row["requested_by"], row["reason"]) == ("RULE_ENGINE", "the trend is old")
        shown = await desk_of(box).handle(ShowPosition(position=pid()))
        assert [each["id"] for each in shown["position"]["conflicts"]] == ["c1"]

    perform(first, second)


def test_what_is_accepted_is_armed_when_it_is_answered(perform):
    async def play(box: Box) -> None:
        await suggest(box, "59500")
        answer = await desk_of(box).handle(AcceptConflict(position=pid(), conflict="c1"))
        assert answer["position"]["stop"] == "59500"
        assert box.levels() == {"stop": 59_500}
        assert await waiting(box) == []

    perform(play)


def test_what_is_refused_changes_nothing_and_is_gone(perform):
    async def play(box: Box) -> None:
        await suggest(box, "59500")
        answer = await desk_of(box).handle(RefuseConflict(position=pid(), conflict="c1"))
        assert answer["position"]["stop"] == "59100"
        assert answer["position"]["conflicts"] == []
        again = await desk_of(box).handle(AcceptConflict(position=pid(), conflict="c1"))
        assert isinstance(again, Refusal)
        assert again.rule == "UNKNOWN_CONFLICT"

    perform(play)


def test_a_suggestion_that_would_fire_at_once_is_not_accepted(perform):
    async def play(box: Box) -> None:
        await suggest(box, "59500")
        box.say("59400")
        answer = await desk_of(box).handle(AcceptConflict(position=pid(), conflict="c1"))
        assert isinstance(answer, Refusal)
        assert answer.rule == "STOP_ON_WRONG_SIDE"
        assert box.levels() == {"stop": 59_100}

    perform(play)


def test_a_suggestion_made_before_another_change_is_shown_as_outdated(perform):
    async def play(box: Box) -> None:
        await suggest(box, "59500")
        assert (await box.modify(MOVE, price=D(59_200))).refusal is None
        await box.soon()
        (row,) = await waiting(box)
        assert row["outdated"]
        answer = await desk_of(box).handle(AcceptConflict(position=pid(), conflict="c1"))
        assert isinstance(answer, Refusal)
        assert answer.rule == "STALE_VERSION"

    perform(play)
