"""Lists: one shape for rows in memory and of the read table; the name of nobody is refused."""

from daemon.admin_requests import ListOrders, ListPositions, Pause, Resume, Why
from domain.errors import Refusal
from tests.actors.box import Box, stop_at
from tests.actors.desks import desk_of


def test_an_order_at_its_end_has_values_of_the_same_types_as_one_under_way(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("50000"), number=1, limit="55000")
        (working,) = (await desk_of(box).handle(ListOrders()))["orders"]
        await box.open(number=2)
        await box.soon()
        rows = (await desk_of(box).handle(ListOrders(all=True)))["orders"]
        ended = next(row for row in rows if row["status"] == "filled")
        for key in ("reduce_only", "late_fill", "reason", "filled", "quantity", "leverage"):
            assert type(ended[key]) is type(working[key]), key
        assert set(working) - set(ended) == {"fees"}

    perform(play)


def test_positions_of_nobody_are_refused_with_the_names_there_are(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for closed in (False, True):
            refusal = await desk_of(box).handle(ListPositions(trader="tren", closed=closed))
            assert isinstance(refusal, Refusal)
            assert refusal.rule == "UNKNOWN_TRADER"
            assert "manual" in refusal.remedy
            answer = await desk_of(box).handle(ListPositions(trader="manual", closed=closed))
            assert answer["positions"] == []

    perform(play)


def test_who_paused_a_trader_is_told(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await desk.handle(Pause(trader="manual"))
        await desk.handle(Resume(trader="manual"))
        events = (await desk.handle(Why(subject="manual")))["events"]
        assert [event["event"] for event in events] == ["TraderPaused", "TraderResumed"]
        assert all(event["fields"]["by"].startswith("uid ") for event in events)

    perform(play)
