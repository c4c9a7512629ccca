"""What a venue's stream may do wrong, with positions open: a table of faults, for both venues.

A real daemon for each venue watches a server on loopback that speaks as the venue does. Before each
fault positions are opened, long and short, whose stops, targets and trails the frames to come will
reach, and one of each side whose levels only a wrong price could reach. Then frames are played, and
spoiled. Every exit must be the one that an exact pass over the frames that count finds: none more,
none fewer, by the same trade at the same price; and so must the candles that a strategy sees. What
was wrong is counted and told once; guards are armed at the end; and while prices cannot be relied
on, entries are refused.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from actors.checks import RENEW_EVERY_S
from tests.e2e.brute_force import Tick
from tests.e2e.conftest import RECORDED
from tests.e2e.fault_desk import SILENCE_S, SOON_S, D, Desk, whole
from tests.e2e.fault_tape import SYMBOL, Item, ticks_of, with_price
from tests.e2e.harness import Processes, wait_until
from tests.e2e.scripted_venue import ScriptedVenue
from tests.e2e.spoiled import SPOILED

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

RECORDING = RECORDED / "usdm_btcusdt_20240808.gz"  # made-up frames where it is not there
BACK_WITHIN_S = 5.0
TOLD_AGAIN_AFTER_S = 3.0
BELIEVED_WITHIN_S = RENEW_EVERY_S + SOON_S  # a stream that was just connected anew has to wait


@pytest.fixture(scope="module", params=["binance", "okx"])
def started(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """One daemon for all faults of a venue."""
    directory: Path = tmp_path_factory.mktemp(f"faults-{request.param}")
    with ScriptedVenue() as server, Processes(directory) as processes:
        desk = Desk(request.param, processes, server, RECORDING)
        desk.play(desk.chunk())
        yield desk
        assert desk.candles_compared or desk.candle_checks < len(SPOILED), "none was compared"


@pytest.fixture
def desk(started: Desk) -> Iterator[Desk]:
    """The daemon at rest: nothing is held, prices are believed. Afterwards it must be so again."""
    wait_until(started.may_open, SOON_S, "entries are allowed")
    yield started
    assert started.daemon.process.is_running
    assert not started.lines("actor_crashed")
    started.close_all()


# --- frames that are wrong


@pytest.mark.parametrize("fault", SPOILED)
def test_wrong_frames_fire_nothing_and_hide_nothing(desk: Desk, fault: str) -> None:
    spoiled = SPOILED[fault](desk.words, desk.chunk())
    bad, held = desk.bad_frames(), len(desk.lines("spike_held"))
    desk.open_positions(spoiled.items)
    rested_s = desk.rested_s()

    desk.play(spoiled.items)

    assert desk.check_exits() > 0
    desk.check_candles(ticks_of(spoiled.items), rested_s)
    assert desk.bad_frames() - bad == spoiled.bad
    if spoiled.bad:
        assert spoiled.says in desk.daemon.health()["feed"]["last_bad_frame"]
    assert len(desk.lines("spike_held")) - held == spoiled.spikes


def test_frames_faster_than_they_are_read_all_count(desk: Desk) -> None:
    """The daemon stands still until the venue cannot send any more; then it reads on."""
    items = desk.chunk()
    quotes = [item for item in items if item.is_quote]
    flood = [each for item in items for each in (item, *(Item(q.raw) for q in quotes[:20]))]
    desk.open_positions(items)

    os.kill(desk.daemon.process.pid, signal.SIGSTOP)
    try:
        last = desk.count_in(items)
        sending = desk.server.begin_to_send([item.raw for item in flood], last)
        stuck = _stuck(desk.server)
        wait_until(lambda: sending.done() or stuck(), SOON_S, "no more can be sent")
    finally:
        os.kill(desk.daemon.process.pid, signal.SIGCONT)
    sending.result(SOON_S)
    desk.until_read()

    assert desk.check_exits() > 0
    assert desk.server.connections > 0


def _stuck(server: ScriptedVenue) -> Callable[[], bool]:
    seen = [(-1, monotonic())]

    def look() -> bool:
        if server.sent != seen[-1][0]:
            seen.append((server.sent, monotonic()))
        return monotonic() - seen[-1][1] > 0.3

    return look


# --- streams that are gone, or seem to be there


def halves(items: list[Item]) -> tuple[list[Item], list[Item]]:
    middle = len(items) // 2
    return items[:middle], items[middle:]


def ask_only(desk: Desk) -> Tick:
    """Let the market fall where only REST tells it, below a stop that the tape never reaches."""
    moved = Tick(0, 0, SYMBOL, "asked", whole(desk.depth * D("0.99")), 0)
    desk.server.last = str(moved.price)
    before = desk.exits()
    desk.pass_over([moved])
    assert desk.exits() > before
    desk.until_fired()
    return moved


def resume(desk: Desk, moved: Tick, rest: list[Item]) -> None:
    """Let the stream tell the price that REST told, then the rest.

    It is told again while it is not believed: the daemon may have been connecting anew.
    """
    number = next(n for n, item in enumerate(rest) if item.tick is not None)
    bridge = desk.words.priced(rest[number], str(moved.price))
    desk.server.send([bridge.raw], last=str(moved.price))
    desk.pass_over(ticks_of([bridge]))
    told_s = monotonic()

    def is_believed() -> bool:
        nonlocal told_s
        if desk.may_open():
            return True
        if monotonic() - told_s > TOLD_AGAIN_AFTER_S:
            told_s = monotonic()
            desk.server.send([bridge.raw], last=str(moved.price))
        return False

    wait_until(is_believed, BELIEVED_WITHIN_S, "the stream is believed again")
    desk.play(rest[number + 1 :])


def refused_as_stale(desk: Desk) -> None:
    refusal = desk.refusal()
    assert refusal is not None
    assert refusal.rule in ("STALE_PRICE", "NO_ENTRY_MODE"), refusal
    assert refusal.remedy
    assert not desk.shown()["is_fresh"]


def test_a_stream_that_answers_pings_and_nothing_else_is_found_out(desk: Desk) -> None:
    first, rest = halves(desk.chunk())
    desk.open_positions([*first, *rest])
    desk.play(first)
    lost = len(desk.lines("disconnected"))

    desk.server.is_silent = True
    moved = ask_only(desk)
    refused_as_stale(desk)
    wait_until(lambda: len(desk.lines("disconnected")) > lost, SOON_S, "it is given up")
    desk.server.is_silent = False
    resume(desk, moved, rest)

    assert desk.check_exits() > 0
    assert desk.lines("disconnected")[lost]["why"] == f"no frame for {SILENCE_S} s"


def test_a_connection_that_is_half_open_is_left_for_another(desk: Desk) -> None:
    first, rest = halves(desk.chunk())
    desk.open_positions([*first, *rest])
    desk.play(first)
    lost, up = len(desk.lines("disconnected")), len(desk.lines("connected"))

    desk.server.go_half_open()
    moved = ask_only(desk)
    wait_until(lambda: desk.server.connections > 0, SOON_S, "it has connected anew")
    resume(desk, moved, rest)

    assert desk.check_exits() > 0
    (line,) = desk.lines("disconnected")[lost:]
    assert line["why"] == f"no frame for {SILENCE_S} s"
    assert len(desk.lines("connected")) - up == 1


def test_nothing_but_bad_frames_is_no_price(desk: Desk) -> None:
    first, rest = halves(desk.chunk())
    desk.open_positions([*first, *rest])
    desk.play(first)
    stale = len(desk.lines("price_stale"))
    trade = next(item for item in rest if item.tick is not None)

    desk.server.repeat(with_price(trade.raw, '"NaN"'))
    moved = ask_only(desk)
    refused_as_stale(desk)
    resume(desk, moved, rest)

    assert desk.check_exits() > 0
    (line,) = desk.lines("price_stale")[stale:]
    assert str(moved.price) in line["why"]


def test_a_server_that_goes_away_is_found_again(desk: Desk) -> None:
    first, rest = halves(desk.chunk())
    desk.open_positions([*first, *rest])
    desk.play(first)
    lost, up = len(desk.lines("disconnected")), len(desk.lines("connected"))

    desk.server.go_away()
    wait_until(lambda: desk.daemon.status()["mode"] == "NO_ENTRY", SOON_S, "the loss is noticed")
    refused_as_stale(desk)
    moved = ask_only(desk)
    desk.server.come_back()
    began = monotonic()
    wait_until(lambda: desk.server.connections > 0, SOON_S, "it has connected anew")
    took_s = monotonic() - began
    resume(desk, moved, rest)

    assert took_s < BACK_WITHIN_S
    assert desk.check_exits() > 0
    assert len(desk.lines("disconnected")) - lost == 1
    assert len(desk.lines("connected")) - up == 1


# --- a wall clock that is set


def test_a_clock_that_is_set_while_it_runs_changes_nothing(desk: Desk) -> None:
    items = desk.chunk()
    third = len(items) // 3
    lost, stale = len(desk.lines("disconnected")), len(desk.lines("price_stale"))
    desk.open_positions(items)

    for hours, part in (
        (1, items[:third]),
        (-1, items[third : 2 * third]),
        (0, items[2 * third :]),
    ):
        desk.set_clock(hours)
        desk.play(part)
        wait_until(lambda: _beat_since(desk), SOON_S, "a second has passed with that clock")
        assert desk.may_open()

    assert desk.check_exits() > 0
    assert len(desk.lines("disconnected")) == lost
    assert len(desk.lines("price_stale")) == stale


def _beat_since(desk: Desk) -> bool:
    """Whether the price was checked with the venue, or trades: the feed's beat has run."""
    return desk.shown()["is_fresh"] and desk.shown()["source"] == "quiet"


@pytest.mark.parametrize("hours", [1, -1], ids=["an hour forward", "an hour back"])
def test_a_clock_that_is_set_between_two_lives_loosens_nothing(desk: Desk, hours: int) -> None:
    first, rest = halves(desk.chunk())
    desk.open_positions([*first, *rest])
    desk.play(first)
    desk.check_exits()

    assert desk.daemon.process.stop() == 0
    desk.set_clock(hours)
    try:
        desk.start()
        wait_until(desk.may_open, SOON_S, "entries are allowed")
        desk.play(rest)
        assert desk.check_exits() > 0
    finally:
        desk.set_clock(0)
