"""Who is restarted, after which end, and together with whom."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.actor import Actor
from runtime.specs import Backoff, ChildSpec, Intensity, Restart, Strategy
from runtime.supervisor import Supervisor
from tests.runtime.lives import Child, Note, Stop, Unable, family, kill


def test_a_crashed_child_is_made_anew(perform) -> None:
    async def play(stage) -> None:
        log = []
        ref = stage.start(lambda: Child(log))
        first = ref.actor
        kill(stage, "a")
        assert ref.actor is not first
        assert log == ["a1 starts", "a1 fails", "a2 starts"]
        assert stage.system.restarts == {"a": 1}
        assert stage.system.restarts_total == 1

    perform(play)


def test_a_factory_that_returns_the_old_actor_is_a_mistake(perform) -> None:
    async def play(stage) -> None:
        actor = Child([])
        stage.start(lambda: actor, intensity=Intensity(1, 60))
        kill(stage, "a")
        assert "must make a new actor each time" in stage.root.failures[1][1]

    perform(play)


@pytest.mark.parametrize(
    ("restart", "after_crash", "after_stop"),
    [
        (Restart.PERMANENT, 2, 2),
        (Restart.TRANSIENT, 2, None),
        (Restart.TEMPORARY, None, None),
    ],
)
def test_the_kind_of_restart_says_after_which_end(
    perform, restart, after_crash, after_stop
) -> None:
    async def play(stage) -> None:
        for end, incarnation in (("crash", after_crash), ("stop", after_stop)):
            ref = stage.start(lambda: Child([]), end, restart=restart)
            if end == "crash":
                kill(stage, end)
            else:
                ref.tell(Stop())
                stage.drain()
            assert (ref.incarnation if ref.is_alive() else None) == incarnation
            assert (end in stage.root.children) == (incarnation is not None)

    perform(play)


def test_a_child_stopped_by_its_supervisor_handles_what_it_was_told_first(perform) -> None:
    async def play(stage) -> None:
        log = []
        ref = stage.start(lambda: Child(log))
        ref.tell(Note("x"))
        assert stage.root.stop_child("a")
        ref.tell(Note("y"))
        stage.drain()
        assert log == ["a1 starts", "a1 gets x", "a1 gets y", "a1 stops"]
        assert not ref.is_alive()
        assert not stage.root.stop_child("a")

    perform(play)


def test_a_name_is_taken_while_its_actor_lives(perform) -> None:
    async def play(stage) -> None:
        stage.start(lambda: Child([]))
        with pytest.raises(ValueError, match="the name 'a' is taken by a living actor"):
            stage.start(lambda: Child([]))
        stage.root.stop_child("a")
        stage.start(lambda: Child([]))

    perform(play)


def test_messages_wait_while_a_child_is_down(perform) -> None:
    async def play(stage) -> None:
        log = []
        ref = stage.start(lambda: Child(log), backoff=Backoff(1.0, 5.0, 0.0))
        ref.tell(Note("before"))
        kill(stage, "a")
        assert ref.tell(Note("meanwhile")) is True
        assert ref.is_alive()
        assert stage.system.mailbox_depths() == {"a": 2}
        assert not stage.system.kill("a")  # it is down already
        await asyncio.sleep(1.5)
        assert log[1:] == ["a1 fails", "a2 starts", "a2 gets before", "a2 gets meanwhile"]

    perform(play)


def test_a_child_stopped_during_its_backoff_stays_stopped(perform) -> None:
    async def play(stage) -> None:
        log = []
        ref = stage.start(lambda: Child(log), backoff=Backoff(1.0, 5.0, 0.0))
        kill(stage, "a")
        ref.tell(Note("lost"))
        stage.root.stop_child("a")
        await asyncio.sleep(5)
        assert log == ["a1 starts", "a1 fails"]
        assert stage.letters() == [("a", "stopped")]

    perform(play)


def test_a_child_that_cannot_start_is_a_crash_like_any_other(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Unable, intensity=Intensity(2, 60))
        stage.drain()
        assert len(stage.root.failures) == 3
        assert not ref.is_alive()

    perform(play)


def test_one_that_fails_without_end_does_not_block_the_loop(perform) -> None:
    async def play(stage) -> None:
        stage.start(Unable, intensity=Intensity(None, 60))
        for _ in range(3):
            await asyncio.sleep(0)
        assert 0 < len(stage.root.failures) < 10_000
        stage.root.stop_child("a")

    perform(play)


def test_an_error_in_on_stop_is_heard_and_the_child_ends_anyway(perform) -> None:
    class Sulking(Actor):
        def on_stop(self) -> None:
            raise ValueError("no")

    async def play(stage) -> None:
        stage.start(Sulking)
        stage.root.stop_child("a")
        assert stage.root.failures == [("a", "ValueError('no')")]
        assert "a" not in stage.system.directory

    perform(play)


def test_an_error_in_on_failure_is_noted_on_the_first_one(perform) -> None:
    class Clumsy(Actor):
        def on_failure(self, exc: BaseException) -> None:
            raise ValueError("as well")

    notes = []

    class Listening(Supervisor):
        def on_child_failed(self, name: str, exc: BaseException) -> None:
            notes.extend(getattr(exc, "__notes__", []))

    async def play(stage) -> None:
        stage.start(Clumsy)
        kill(stage, "a")
        assert notes == ["on_failure of a raised as well: ValueError('as well')"]

    perform(play, Listening)


# --- strategies


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.ONE_FOR_ONE, ["b1 fails", "b2 starts"]),
        (Strategy.REST_FOR_ONE, ["b1 fails", "c1 stops", "b2 starts", "c2 starts"]),
        (
            Strategy.ONE_FOR_ALL,
            ["b1 fails", "c1 stops", "a1 stops", "a2 starts", "b2 starts", "c2 starts"],
        ),
    ],
)
def test_the_strategy_says_who_is_restarted_with_a_child(perform, strategy, expected) -> None:
    log = []

    async def play(stage) -> None:
        del log[:]
        kill(stage, "b")
        assert log == expected
        del log[:]
        for name in "abc":
            stage.system.tell(name, Note("x"))
        stage.drain()
        assert len(log) == 3

    def root() -> Supervisor:
        return Supervisor(family(log), strategy)

    perform(play, root)


@pytest.mark.parametrize("strategy", [Strategy.REST_FOR_ONE, Strategy.ONE_FOR_ALL])
def test_a_group_comes_back_together_after_the_longest_backoff(perform, strategy) -> None:
    log = []

    async def play(stage) -> None:
        del log[:]
        stage.system.tell("c", Note("kept"))
        kill(stage, "c", "b")  # c is down when b crashes
        assert not any("starts" in entry for entry in log)
        await asyncio.sleep(1.9)
        assert not any("starts" in entry for entry in log)
        await asyncio.sleep(0.2)
        starts = [entry for entry in log if entry.endswith("starts")]
        assert starts == [f"{name}2 starts" for name in "abc"[strategy is Strategy.REST_FOR_ONE :]]
        assert "c2 gets kept" in log

    def root() -> Supervisor:
        return Supervisor(family(log, backoff=Backoff(2.0, 5.0, 0.0)), strategy)

    perform(play, root)


def test_a_temporary_sibling_does_not_come_back_with_its_group(perform) -> None:
    log = []

    async def play(stage) -> None:
        stage.root.start_child(ChildSpec("t", lambda: Child(log), Restart.TEMPORARY))
        kill(stage, "a")
        assert "t" not in stage.system.directory
        assert log[-1] == "c2 starts"

    perform(play, lambda: Supervisor(family(log), Strategy.ONE_FOR_ALL))


async def fail() -> None:
    raise ValueError("in a task")


def test_two_who_crash_at_the_same_time_are_each_restarted_once(perform) -> None:
    log = []

    async def play(stage) -> None:
        del log[:]
        for name in "ac":
            stage.root.children[name].actor.run(fail())
        await asyncio.sleep(1)
        assert log == ["a1 fails", "c1 fails", "b1 stops", "a2 starts", "b2 starts", "c2 starts"]

    perform(play, lambda: Supervisor(family(log), Strategy.ONE_FOR_ALL))


@given(
    strategy=st.sampled_from(list(Strategy)),
    kills=st.lists(st.sampled_from("abcd"), max_size=6),
)
def test_after_any_crashes_the_family_is_complete_and_in_order(perform, strategy, kills) -> None:
    log = []

    async def play(stage) -> None:
        for name in kills:
            kill(stage, name)
        assert list(stage.root.children) == list("abcd")
        for name, ref in stage.root.children.items():
            ways = {
                Strategy.ONE_FOR_ONE: kills.count(name),
                Strategy.REST_FOR_ONE: sum(each <= name for each in kills),
                Strategy.ONE_FOR_ALL: len(kills),
            }
            assert ref.incarnation == 1 + ways[strategy]
            assert ref.actor is not None

    many = Intensity(None, 60)
    perform(play, lambda: Supervisor(family(log, "abcd", intensity=many), strategy))
