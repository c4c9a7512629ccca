"""Watching a name: its restarts, its end, and the end of the watch itself."""

import asyncio

import pytest

from runtime.actor import Actor, Restarted, Terminated, handles
from runtime.specs import Exhausted, Intensity, Restart
from tests.runtime.lives import Child, kill


class Watcher(Actor):
    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names
        self.news: list[object] = []

    def on_start(self) -> None:
        for name in self.names:
            self.watch(name)

    @handles(Restarted, Terminated)
    def hear(self, news: object) -> None:
        self.news.append(news)


def test_a_watcher_hears_of_restarts_and_of_the_end(perform) -> None:
    async def play(stage) -> None:
        stage.start(lambda: Child([]))
        watcher = stage.start(lambda: Watcher("a"), "w")
        kill(stage, "a")
        kill(stage, "a")
        stage.root.stop_child("a")
        stage.drain()
        assert watcher.actor.news == [
            Restarted("a", 2),
            Restarted("a", 3),
            Terminated("a", "stopped"),
        ]

    perform(play)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"restart": Restart.TEMPORARY}, "crashed"),
        ({"intensity": Intensity(0, 1)}, "exhausted"),
        ({"intensity": Intensity(0, 1), "on_exhausted": Exhausted.QUARANTINE}, "quarantined"),
    ],
)
def test_a_watcher_hears_why_a_name_is_gone(perform, spec, reason) -> None:
    async def play(stage) -> None:
        stage.start(lambda: Child([]), **spec)
        watcher = stage.start(lambda: Watcher("a"), "w")
        kill(stage, "a")
        assert watcher.actor.news == [Terminated("a", reason)]

    perform(play)


def test_watching_nobody_is_answered_at_once(perform) -> None:
    async def play(stage) -> None:
        watcher = stage.start(lambda: Watcher("ghost"), "w")
        stage.drain()
        assert watcher.actor.news == [Terminated("ghost", "unknown")]

    perform(play)


def test_who_does_not_watch_any_more_hears_nothing(perform) -> None:
    async def play(stage) -> None:
        target = stage.start(lambda: Child([]))
        watcher = stage.start(lambda: Watcher("a"), "w")
        watcher.actor.unwatch("a")
        kill(stage, "a")
        assert watcher.actor.news == []
        assert not target.watchers

    perform(play)


def test_a_watch_ends_with_the_watcher(perform) -> None:
    async def play(stage) -> None:
        target = stage.start(lambda: Child([]))
        stage.start(lambda: Watcher("a"), "w")
        assert list(target.watchers) == ["w"]
        stage.root.stop_child("w")
        assert not target.watchers

    perform(play)


def test_no_restart_is_announced_before_the_child_has_started(perform) -> None:
    class Slow(Child):
        async def on_start(self) -> None:
            await asyncio.sleep(1.0)

    async def play(stage) -> None:
        stage.start(lambda: Slow([]))
        watcher = stage.start(lambda: Watcher("a"), "w")
        await asyncio.sleep(2.0)
        kill(stage, "a")
        assert watcher.actor.news == []
        await asyncio.sleep(1.5)
        assert watcher.actor.news == [Restarted("a", 2)]

    perform(play)
