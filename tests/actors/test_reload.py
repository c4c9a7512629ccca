"""Another configuration, put in force while the actors run: each owner goes by its part."""

import asyncio
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from actors import names
from actors.messages import SetAccountLimits
from daemon import admin_requests as ask
from daemon.config import load
from daemon.config_file import ConfigFile
from daemon.config_models import Config
from daemon.logs import Logs
from daemon.notify import Notifier
from daemon.reload import Reloader
from domain.ids import TraderName
from domain.limit_changes import AccountOverrides
from domain.portfolio_events import LimitsConfigured
from domain.trader_state import TraderConfigured
from tests.actors.box import CONFIG, Box, D, stop_at
from tests.actors.desks import desk_of

WITH_TRADER = (
    CONFIG
    + """
traders:
  - {name: trend, strategy: ema-cross, symbols: [BTC/USDT], timeframe: 1m, size: {value: 500}}
"""
)
TREND = TraderName("trend")


def config_of(directory: Path, text: str) -> Config:
    """Read a configuration as the box reads its own."""
    (directory / "config.yaml").write_text(text)
    return load(ConfigFile(directory / "config.yaml")).config


async def put(box: Box, *pairs: tuple[str, str], text: str = WITH_TRADER) -> None:
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    config = config_of(box.directory, text)
    loaded = load(ConfigFile(box.directory / "config.yaml"))
    with closing(Notifier({})) as notifier:
        logs = Logs(stream=StringIO())
        Reloader(loaded, box.parts, logs, notifier).put_in_force(config)
    await box.soon()


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the file on the virtual loop, which has no threads."""

    async def call(function: Any, *args: Any) -> Any:
        return function(*args)

    monkeypatch.setattr("asyncio.to_thread", call)


async def reloaded(box: Box, limits: str) -> Any:
    """Reload with other limits, from what is in force, through the file."""
    file = ConfigFile(box.directory / "config.yaml")
    before = "max_positions: 1000, balance_buffer_ratio: 0, daily_drawdown_ratio: 1, "
    before += "total_drawdown_ratio: 1"
    assert before in WITH_TRADER
    after = f"balance_buffer_ratio: 0, daily_drawdown_ratio: 1, {limits}"
    with closing(Notifier({})) as notifier:
        reloader = Reloader(load(file), box.parts, Logs(stream=StringIO()), notifier)
        (box.directory / "config.yaml").write_text(WITH_TRADER.replace(before, after))
        return await reloader.reload()


def played(perform: Any, play: Any) -> None:
    perform(play, config=WITH_TRADER)


def test_limits_hold_for_the_next_entry_and_are_journaled(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        await put(box, ("max_positions: 1000", "max_positions: 1"))
        box.say("60000")
        refused = await box.ask(
            names.trader("manual"),
            lambda request_id: replace(box.request(number=2), request_id=request_id),
        )
        assert refused.refusal.rule == "MAX_POSITIONS_ACCOUNT"
        (event,) = [each for each in box.journal() if isinstance(each, LimitsConfigured)]
        assert event.limits.max_positions == 1
        assert box.portfolio.holdings  # the account is as it was

    played(perform, play)


def test_a_trader_trades_by_its_new_size_also_after_it_was_restarted(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await put(box, ("{value: 500}", "{value: 50}"))
        assert box.actor(names.trader(TREND)).settings.size == D(50)
        events = box.journal("trader/trend")
        assert [type(each) for each in events] == [TraderConfigured]
        await box.restarted(names.trader(TREND))
        assert box.actor(names.trader(TREND)).settings.size == D(50)
        assert box.parts.settings[TREND].size == D(50)

    played(perform, play)


def test_the_feed_judges_spikes_by_the_new_ratio_also_after_it_was_restarted(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.say("60000", "61000")  # 1.7 %: plausible
        assert box.parts.world.prices.prices["BTC/USDT"].last == "61000"
        await put(box, ("market: {", "market: {spike_ratio: 1%, "))
        box.say("60000")
        assert box.parts.world.prices.prices["BTC/USDT"].last == "61000"  # held
        await box.soon(1)
        await box.restarted(names.FEED)
        guard = box.feed.lines["BTC/USDT"].guard
        assert guard.ratio == 0.01

    played(perform, play)


def test_less_free_disk_than_newly_wanted_stops_entries_and_back(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await put(box, ("market: {", "journal: {min_free_mb: 1000000000}\nmarket: {"))
        await box.soon(2)
        assert "DISK_LOW" in box.parts.world.causes
        await put(box)
        await box.soon(2)
        assert box.parts.world.causes == {}

    played(perform, play)


def test_times_of_protection_and_staleness_hold_from_now_on(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        timing = (
            "protection: {unprotected_after_s: 1, exit_after_s: 9}\nmarket: {stale_after_s: 2, "
        )
        await put(box, ("market: {", timing))
        assert box.parts.world.rules.unprotected_after_s == 1
        assert box.parts.world.rules.exit_after_s == 9
        await box.soon(3)
        assert not box.parts.world.prices.is_fresh("BTC/USDT")

    played(perform, play)


def test_a_kill_switch_is_not_reloaded_below_the_drawdown_of_the_moment(perform, inline):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("1", stop_at("40000"))
        box.say("59400")
        await box.soon(2.5)  # 0.6 % below the peak

        refused = await reloaded(box, "total_drawdown_ratio: 0.5%, max_positions: 7")
        assert refused.rule == "LIMIT_PASSED"
        assert "What is in force stays" in refused.message
        assert box.parts.world.limits.max_positions == 1000
        await box.soon(2.5)
        assert not box.position().is_closed

        done = await reloaded(box, "total_drawdown_ratio: 1%, max_positions: 7")
        assert {each["key"] for each in done["applied"]} == {
            "limits.total_drawdown_ratio",
            "limits.max_positions",
        }
        await box.soon(2.5)
        assert not box.position().is_closed
        box.say("58000")
        await box.soon(2.5)
        assert box.position().is_closed

    played(perform, play)


def test_a_kill_switch_that_a_person_has_set_counts_and_not_the_one_in_the_file(perform, inline):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("1", stop_at("40000"))
        await box.ask(
            names.PORTFOLIO,
            lambda request_id: SetAccountLimits(
                AccountOverrides(total_drawdown_ratio=D("0.5")),
                reset=False,
                by="ann",
                request_id=request_id,
            ),
        )
        box.say("59400")
        await box.soon(2.5)
        done = await reloaded(box, "total_drawdown_ratio: 0.5%, max_positions: 1000")
        assert [each["key"] for each in done["overridden"]] == ["limits.total_drawdown_ratio"]
        await box.soon(2.5)
        assert not box.position().is_closed

    played(perform, play)


def test_a_journal_with_a_reload_in_it_is_recovered(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open()
        await put(box, ("max_positions: 1000", "max_positions: 7"), ("{value: 500}", "{value: 5}"))
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        assert box.store.recovered.problems == ()
        assert box.parts.world.limits.max_positions == 1000  # what the file says counts
        assert box.position().remaining == D("0.01")

    perform(first, second, config=WITH_TRADER)


def test_what_is_as_before_is_told_to_nobody(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        before = len(box.journal())
        await put(box)
        assert len(box.journal()) == before

    played(perform, play)


def test_a_limit_that_a_person_has_set_is_not_called_in_force(perform, inline):
    async def play(box: Box) -> None:
        await box.start("60000")
        desk = desk_of(box)
        await desk.handle(ask.SetAccountLimits(max_leverage=D(8)))
        await desk.handle(ask.SetTraderLimits(trader=TREND, max_positions=2))
        config = (box.directory / "config.yaml").read_text()
        file = ConfigFile(box.directory / "config.yaml")
        with closing(Notifier({})) as notifier:
            reloader = Reloader(load(file), box.parts, Logs(stream=StringIO()), notifier)
            now = config.replace("max_positions: 1000", "max_positions: 900, max_leverage: 2")
            now = now.replace("timeframe: 1m", "timeframe: 1m, limits: {max_positions: 5}")
            (box.directory / "config.yaml").write_text(now)
            answer: Any = await reloader.reload()

        assert [each["key"] for each in answer["applied"]] == ["limits.max_positions"]
        assert answer["overridden"] == [
            {
                "key": "limits.max_leverage",
                "was": "10",
                "now": "2",
                "in_force": "8",
                "ends_by": "holdfast portfolio set-limits --reset",
            },
            {
                "key": "traders.trend.limits.max_positions",
                "was": "3",
                "now": "5",
                "in_force": "2",
                "ends_by": "holdfast traders set-limits trend --reset",
            },
        ]

    played(perform, play)


def test_a_file_that_never_answers_is_waited_for_on_one_thread_only(perform, monkeypatch):
    waiting, answers = [], asyncio.Event()

    async def call(function: Any, *args: Any) -> Any:
        waiting.append(function)
        await answers.wait()
        return function(*args)

    async def play(box: Box) -> None:
        await box.start("60000")
        monkeypatch.setattr("asyncio.to_thread", call)
        loaded = load(ConfigFile(box.directory / "config.yaml"))
        with closing(Notifier({})) as notifier:
            reloader = Reloader(loaded, box.parts, Logs(stream=StringIO()), notifier)

            refused = [await reloader.reload() for _ in range(3)]
            assert [each.rule for each in refused] == ["INVALID_CONFIG"] * 3
            assert len(waiting) == 1

            answers.set()
            await box.soon()
            assert isinstance(await reloader.reload(), dict)

    played(perform, play)
