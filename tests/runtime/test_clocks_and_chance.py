"""Clocks, chance and ids, real and virtual."""

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

from runtime.chance import SeededChance, SeededIds, SystemIds
from runtime.clocks import SystemClock, VirtualClock
from runtime.virtual import run_virtual

START = datetime(2024, 8, 8, 12, tzinfo=UTC)


def test_the_system_clock_is_utc_and_its_durations_do_not_step_back() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    moments = [clock.monotonic() for _ in range(100)]
    assert moments == sorted(moments)


def test_a_virtual_clock_starts_when_told_and_follows_the_loop() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(5)
        clock = VirtualClock(loop, START)
        assert clock.now() == START
        await asyncio.sleep(1.25)
        assert clock.now() == START + timedelta(seconds=1.25)
        assert clock.monotonic() == 6.25

    run_virtual(main)


def test_a_virtual_clock_speaks_utc_and_refuses_naive_times() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        clock = VirtualClock(loop, START.astimezone(timezone(timedelta(hours=2))))
        assert clock.now().tzinfo is UTC
        with pytest.raises(ValueError, match="an aware time"):
            VirtualClock(loop, datetime(2024, 8, 8))  # noqa: DTZ001

    run_virtual(main)


def test_the_same_seed_gives_the_same_chance() -> None:
    one, same, other = SeededChance(1), SeededChance(1), SeededChance(2)
    drawn = [one.random() for _ in range(5)] + [one.uniform(2, 3)]
    assert drawn == [same.random() for _ in range(5)] + [same.uniform(2, 3)]
    assert drawn != [other.random() for _ in range(5)] + [other.uniform(2, 3)]
    assert all(0 <= each < 1 for each in drawn[:5])
    assert 2 <= drawn[5] <= 3


def test_seeded_ids_are_uuids_that_repeat() -> None:
    ids, same = SeededIds(SeededChance(1)), SeededIds(SeededChance(1))
    drawn = [ids.uuid() for _ in range(100)]
    assert drawn == [same.uuid() for _ in range(100)]
    assert len(set(drawn)) == 100
    assert all(uuid.UUID(each).version == 4 for each in drawn)


def test_system_ids_are_uuids_unlike_any_other() -> None:
    ids = SystemIds()
    drawn = {ids.uuid() for _ in range(100)}
    assert len(drawn) == 100
    assert all(str(uuid.UUID(each)) == each for each in drawn)


def test_the_system_clock_counts_what_the_computer_sleeps(monkeypatch) -> None:
    before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before_s <= SystemClock().monotonic() <= time.clock_gettime(time.CLOCK_BOOTTIME)
    slept = {time.CLOCK_MONOTONIC: 1.0, time.CLOCK_BOOTTIME: 28801.0}
    monkeypatch.setattr(time, "clock_gettime", slept.__getitem__)
    assert SystemClock().monotonic() == 28801.0
