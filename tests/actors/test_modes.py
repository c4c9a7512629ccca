"""Every cause of a mode: what it shows, what it refuses, what still works, what ends it.

Driven on a whole daemon in virtual time, asked as `holdfast` asks it.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from actors import names
from actors.calendar import DAY_STANDS_S
from actors.messages import VenueReported
from daemon import admin_requests as ask
from daemon.lifecycle import _settled
from domain.commands import ClosePosition
from domain.errors import Refusal
from domain.ids import ClientOrderId, identity_of
from domain.instrument import Direction, Side
from domain.order import OrderStatus, OrderTerms, OrderType
from domain.portfolio_events import KillSwitchReset
from exchanges.port import VenueOrder
from tests.actors.box import BTC, CONFIG, Box, D, pid, stop_at
from tests.actors.desks import desk_of
from tests.actors.troubles import LowDisk, fill_up, steal

Act = Callable[[Box], Awaitable[Any]]


def with_limit(**limits: str) -> str:
    config = CONFIG
    for name, value in limits.items():
        before = f"{name}: 1"
        config = (
            config.replace(before, f"{name}: {value}")
            if before in config
            else config.replace("max_positions: 1000", f"max_positions: 1000, {name}: {value}")
        )
    return config


# --- how each begins, and how it ends ---


async def cut_the_line(box: Box) -> None:
    box.market.sink.on_disconnected("the line is cut")


async def mend_the_line(box: Box) -> None:
    box.market.sink.on_connected()


async def stop_entries(box: Box) -> None:
    await desk_of(box).handle(ask.StopEntries())


async def resume_entries(box: Box) -> None:
    await desk_of(box).handle(ask.ResumeEntries())


async def lose(box: Box) -> None:
    """Lose 200 of 100,000."""
    await box.open("1", stop_at(None), number=9)
    box.say("59800")
    await box.soon(2.5)


async def next_day(box: Box) -> None:
    box.clock.step(days=1)
    for _ in range(int(DAY_STANDS_S) + 2):
        box.say("59800")
        await box.soon(1)


async def reset(box: Box) -> None:
    answer = await desk_of(box).handle(ask.ResetKillSwitch())
    assert not isinstance(answer, Refusal)


async def meet_a_stranger(box: Box) -> None:
    terms = OrderTerms(
        ClientOrderId("somebodyelse"), pid(99), BTC, Side.BUY, OrderType.LIMIT, D("0.01"), D(50_000)
    )
    order = VenueOrder(terms, "77", OrderStatus.OPEN, D(0), D(0), "", box.now)
    box.tell(names.EXCHANGE, VenueReported(order))


async def drain(box: Box) -> None:
    await _settled(box.parts)


async def run_low(box: Box) -> None:
    box.store.disk = LowDisk(box.store.disk)
    await box.soon(2)


async def free_some(box: Box) -> None:
    box.store.disk = box.store.disk.real
    await box.soon(2)


FULL = {}


async def run_full(box: Box) -> None:
    FULL[box] = await fill_up(box)


async def make_room(box: Box) -> None:
    FULL.pop(box).make_room()
    await box.soon(3)


async def be_taken_over(box: Box) -> None:
    steal(box)
    await desk_of(box).handle(ask.StopEntries())  # the next thing to be written finds out


async def fall_behind(box: Box) -> None:
    """The venue does not answer what a start asks; see `test_reconciling…`."""


async def none(box: Box) -> None:
    """Nothing but a new start ends it."""


class Cause(NamedTuple):
    code: str
    mode: str
    begin: Act
    end: Act  # `none`: the next start
    part: str = ""  # which part `health` says is not well
    config: str = CONFIG
    changes: bool = True  # whether a stop may still be moved
    closed: bool = False  # everything has been closed


CAUSES = [
    Cause("FEED_DOWN", "NO_ENTRY", cut_the_line, mend_the_line, "feed"),
    Cause("OPERATOR_STOP", "NO_ENTRY", stop_entries, resume_entries),
    Cause(
        "DAILY_DRAWDOWN",
        "NO_ENTRY",
        lose,
        next_day,
        config=with_limit(daily_drawdown_ratio="0.0015"),
    ),
    Cause("DAILY_LOSS", "NO_ENTRY", lose, next_day, config=with_limit(daily_loss_cap="150")),
    Cause(
        "KILL_SWITCH",
        "NO_ENTRY",
        lose,
        reset,
        config=with_limit(total_drawdown_ratio="0.0015"),
        closed=True,
    ),
    Cause("FOREIGN_ORDERS", "NO_ENTRY", meet_a_stranger, none),
    Cause("DRAINING", "NO_ENTRY", drain, none),
    Cause("DISK_LOW", "PROTECT_ONLY", run_low, free_some, "persistence", changes=False),
    Cause("JOURNAL_DOWN", "PROTECT_ONLY", run_full, make_room, "persistence", changes=False),
    Cause("FENCED", "FENCED", be_taken_over, none, "persistence", changes=False),
]


def an_entry(number: int) -> ask.Open:
    return ask.Open(
        symbol=BTC,
        direction=Direction.LONG,
        quantity=D("0.01"),
        stop=D(50_000),
        position_id=pid(number),
    )


async def check_shown(box: Box, cause: Cause) -> str:
    """Mode, status and portfolio name it and its way out, which is returned; health what is ill."""
    desk = desk_of(box)
    way_out = ""
    for request in (ask.Mode(), ask.Status(), ask.ShowPortfolio(), ask.Health()):
        shown = await desk.handle(request)
        assert shown["mode"] == cause.mode
        (told,) = [each for each in shown["causes"] if each["code"] == cause.code]
        assert told["mode"] == cause.mode
        assert told["message"].endswith(".")
        assert told["way_out"].endswith(".")
        way_out = told["way_out"]
    ill = {part["name"]: part["why"] for part in shown["parts"] if not part["ok"]}
    assert set(ill) == ({cause.part} if cause.part else set())
    assert all(ill.values())
    return way_out


async def check_refused(box: Box, cause: Cause, way_out: str) -> None:
    """Nothing is opened or enlarged, and the refusal says what ends it."""
    desk = desk_of(box)
    for request in (an_entry(20), ask.Add(position=pid(1), quantity=D("0.01"))):
        if cause.closed and isinstance(request, ask.Add):
            continue
        refusal = await desk.handle(request)
        assert refusal.rule in {"NO_ENTRY_MODE", cause.mode}
        assert refusal.remedy == way_out
    assert not any(terms.position_id == pid(20) for terms in box.venue.sent)
    if cause.closed:
        return
    moved = await desk.handle(ask.MoveStop(position=pid(1), price=D(57_500), widen=True))
    assert isinstance(moved, Refusal) is not cause.changes


async def check_exits(box: Box) -> None:
    """A close by command and a stop by price leave at once."""
    box.tell(names.position(pid(2)), ClosePosition(pid(2)))
    await box.soon()
    box.say("58200")
    await box.soon()
    sent = [identity_of(each.client_order_id) for each in box.venue.sent if each.reduce_only]
    assert {(each.position_id, each.leg) for each in sent} == {
        (pid(2), "close-0"),
        (pid(3), "stop-0"),
    }


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.code)
def test_each_cause_is_shown_refuses_what_it_must_and_has_a_way_out(perform, cause):
    async def stands(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01", stop_at("58000"), number=1)
        await box.open("0.01", stop_at("58000"), number=2)
        await box.open("0.01", stop_at("58300"), number=3)
        await cause.begin(box)
        await box.soon()
        box.say(box.parts.world.prices.prices[BTC].last)
        way_out = await check_shown(box, cause)
        await check_refused(box, cause, way_out)
        if cause.closed:
            assert await box.paper.positions() == ()
        else:
            await check_exits(box)
        if cause.end is none:
            box.kill()
            return
        await cause.end(box)
        await back_to_normal(box)

    async def started_anew(box: Box) -> None:
        await box.start("58200")
        await back_to_normal(box)

    perform(stands, *([started_anew] if cause.end is none else []), config=cause.config)


async def back_to_normal(box: Box) -> None:
    await box.soon(3)
    box.say(box.parts.world.prices.prices[BTC].last)
    desk = desk_of(box)
    assert await desk.handle(ask.Mode()) == {"mode": "NORMAL", "causes": []}
    opened = await desk.handle(an_entry(30))
    assert not isinstance(opened, Refusal), opened
    box.say(box.parts.world.prices.prices[BTC].last)
    health = await desk.handle(ask.Health())
    assert [part for part in health["parts"] if not part["ok"]] == []


def test_reconciling_holds_orders_back_until_the_venue_has_answered(perform):
    cause = Cause("RECONCILING", "NO_ENTRY", fall_behind, none, "exchange")

    async def before(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01", stop_at("58300"), number=1)
        box.kill()

    async def after(box: Box) -> None:
        box.venue.reads_fail = True
        await box.start("60000")
        way_out = await check_shown(box, cause)
        await check_refused(box, cause, way_out)
        box.say("57400")
        await box.soon()
        assert box.venue.sent == []  # it may have been sent before the crash: first the venue
        box.venue.reads_fail = False
        await box.soon(3)
        assert [identity_of(each.client_order_id).leg for each in box.venue.sent] == ["stop-0"]
        await back_to_normal(box)

    perform(before, after)


def test_the_worst_cause_is_told_and_the_others_stand_when_it_ends(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await stop_entries(box)
        await run_low(box)
        desk = desk_of(box)
        assert (await desk.handle(ask.Mode()))["mode"] == "PROTECT_ONLY"

        await free_some(box)

        left = await desk.handle(ask.Mode())
        assert (left["mode"], [each["code"] for each in left["causes"]]) == (
            "NO_ENTRY",
            ["OPERATOR_STOP"],
        )

    perform(play)


def test_a_limit_that_was_reached_cannot_be_resumed_away(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await lose(box)
        await desk_of(box).handle(ask.ResumeEntries())
        assert (await desk_of(box).handle(ask.Mode()))["mode"] == "NO_ENTRY"

    perform(play, config=with_limit(daily_loss_cap="150"))


def test_a_reset_of_the_kill_switch_says_who_and_counts_drawdown_anew(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await lose(box)
        assert box.position(9).is_closed
        peak = box.portfolio.high_water_mark
        await reset(box)
        (done,) = [each for each in box.journal() if isinstance(each, KillSwitchReset)]
        assert done.by.startswith("uid ")
        assert box.portfolio.high_water_mark == done.equity < peak
        for _ in range(5):
            box.say("59800")
            await box.soon(1)
        await back_to_normal(box)

    perform(play, config=with_limit(total_drawdown_ratio="0.0015"))


def test_a_kill_switch_that_has_not_fired_needs_no_reset(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        answer = await desk_of(box).handle(ask.ResetKillSwitch())
        assert answer["note"] == "it had not fired"
        assert not any(isinstance(each, KillSwitchReset) for each in box.journal())

    perform(play)


def test_health_names_what_rests_or_is_quarantined(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01", stop_at("58000"), number=1)
        for _ in range(6):
            box.killed(names.position(pid(1)))
            await box.soon(2)

        shown = await desk_of(box).handle(ask.Health())

        parts = {part["name"]: part for part in shown["parts"]}
        assert not parts["positions"]["ok"]
        assert "quarantined" in parts["positions"]["why"]
        assert parts["trader/manual"] == {"name": "trader/manual", "ok": True, "why": ""}

    perform(play)
