"""Who is restarted, when, how often, and what happens when that is too often."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.actor import Actor, Restarted, Terminated, handles
from runtime.chance import SeededChance
from runtime.lifecycle import ORPHAN_GRACE_S
from runtime.messages import RestartsExhaustedError
from runtime.record import Record
from runtime.specs import Backoff, ChildSpec, Exhausted, Intensity, Restart, Strategy
from runtime.supervisor import Supervisor


class Note(msgspec.Struct, frozen=True):
    text: str


class Stop(msgspec.Struct, frozen=True):
    pass


class Child(Actor):
    """Logs its life."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def on_start(self) -> None:
        self.log.append(f"{self.name}{self.incarnation} starts")

    def on_stop(self) -> None:
        self.log.append(f"{self.name}{self.incarnation} stops")

    def on_failure(self, exc: BaseException) -> None:
        self.log.append(f"{self.name}{self.incarnation} fails")

    @handles(Note)
    def note(self, message: Note) -> None:
        self.log.append(f"{self.name}{self.incarnation} gets {message.text}")

    @handles(Stop)
    def end(self, message: Stop) -> None:
        self.stop()


class Unable(Actor):
    def on_start(self) -> None:
        raise ValueError("cannot start")


def kill(stage, *names: str) -> None:
    for name in names:
        assert stage.system.kill(name)
    stage.drain()


def family(log: list[str], names: str = "abc", **spec) -> list[ChildSpec]:
    return [ChildSpec(name, lambda: Child(log), **spec) for name in names]


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


# --- intensity and backoff


def test_more_crashes_than_the_intensity_allows_exhaust_it(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(
            lambda: Child([]), intensity=Intensity(3, 10.0), on_exhausted=Exhausted.STOP
        )
        for _ in range(3):
            kill(stage, "a")
            assert ref.is_alive()
        kill(stage, "a")
        assert not ref.is_alive()

    perform(play)


def test_old_crashes_are_forgiven(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(lambda: Child([]), intensity=Intensity(2, 10.0))
        for _ in range(20):
            await asyncio.sleep(5.0)
            kill(stage, "a")
        assert ref.incarnation == 21

    perform(play)


@given(
    gaps=st.lists(st.floats(0, 40), max_size=30),
    most=st.integers(0, 4),
    period=st.floats(0.5, 60),
)
def test_no_window_ever_holds_more_restarts_than_allowed(gaps, most, period) -> None:
    record, intensity = Record(), Intensity(most, period)
    now, restarts = 0.0, []
    for gap in gaps:
        now += gap
        in_window = sum(when > now - period for when in restarts)
        allowed = record.may_restart(now, intensity)
        assert allowed == (in_window < most)
        if allowed:
            restarts.append(now)


def test_backoff_doubles_up_to_its_limit_and_begins_anew_after_a_quiet_period() -> None:
    record, intensity = Record(), Intensity(None, 60.0)
    backoff, chance = Backoff(0.2, 5.0, 0.0), SeededChance(1)
    delays = []
    for now in (0, 1, 2, 3, 4, 5, 6, 100):
        assert record.may_restart(now, intensity)
        delays.append(record.delay(backoff, chance))
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.2]


@given(
    attempts=st.integers(1, 2000),
    first=st.floats(0.001, 10),
    most=st.floats(0.001, 100),
    jitter=st.floats(0, 1),
    seed=st.integers(0, 10),
)
def test_jitter_shortens_a_wait_within_its_ratio(attempts, first, most, jitter, seed) -> None:
    record, chance = Record(), SeededChance(seed)
    record.attempts = attempts
    full = record.delay(Backoff(first, most, 0.0), chance)
    delay = record.delay(Backoff(first, most, jitter), chance)
    assert full * (1 - jitter) <= delay <= full <= most


def test_a_restart_waits_for_its_backoff(perform) -> None:
    async def play(stage) -> None:
        starts = []

        class Timed(Actor):
            def on_start(self) -> None:
                starts.append(self.system.loop.time())

        stage.start(Timed, intensity=Intensity(None, 60), backoff=Backoff(0.2, 5.0, 0.5))
        waits = []
        for _ in range(8):
            kill(stage, "a")
            crashed_s = stage.loop.time()
            await asyncio.sleep(6.0)
            waits.append(starts[-1] - crashed_s)
        # Six seconds pass between the crashes, so none is forgiven within the period of sixty.
        for wait, full in zip(waits, (0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0), strict=True):
            assert full / 2 <= wait + 1e-9
            assert wait <= full + 1e-9
        assert len({round(wait, 6) for wait in waits}) == 8

    perform(play)


# --- exhaustion


def test_a_quarantined_child_gets_no_more_messages(perform) -> None:
    async def play(stage) -> None:
        log = []
        ref = stage.start(
            lambda: Child(log), intensity=Intensity(0, 60), on_exhausted=Exhausted.QUARANTINE
        )
        ref.tell(Note("waiting"))
        kill(stage, "a")
        assert stage.root.quarantined == ["a"]
        assert "a" in stage.root.children
        assert not ref.is_alive()
        assert ref.tell(Note("late")) is False
        assert stage.letters() == [("a", "quarantined")] * 2
        assert log == ["a1 starts", "a1 fails"]

    perform(play)


def test_a_quarantined_child_can_be_given_a_new_life_or_forgotten(perform) -> None:
    async def play(stage) -> None:
        spec = {"intensity": Intensity(0, 60), "on_exhausted": Exhausted.QUARANTINE}
        ref = stage.start(lambda: Child([]), **spec)
        kill(stage, "a")
        assert stage.start(lambda: Child([]), **spec) is ref
        assert ref.is_alive()
        assert ref.incarnation == 2
        kill(stage, "a")
        stage.root.stop_child("a")
        assert "a" not in stage.system.directory

    perform(play)


def test_a_quarantined_sibling_is_left_alone(perform) -> None:
    log = []

    def root() -> Supervisor:
        fragile = ChildSpec(
            "b", Unable, intensity=Intensity(0, 60), on_exhausted=Exhausted.QUARANTINE
        )
        return Supervisor([*family(log, "a"), fragile, *family(log, "c")], Strategy.ONE_FOR_ALL)

    async def play(stage) -> None:
        stage.drain()
        del log[:]
        kill(stage, "a")
        assert log == ["a1 fails", "c1 stops", "a2 starts", "c2 starts"]

    perform(play, root)


def test_an_escalated_failure_restarts_the_supervisor_and_all_below(perform) -> None:
    log = []

    def middle() -> Supervisor:
        return Supervisor(family(log, intensity=Intensity(0, 60)))

    async def play(stage) -> None:
        ref = stage.root.start_child(ChildSpec("m", middle))
        kill(stage, "b")
        assert ref.incarnation == 2
        assert log == [
            "a1 starts",
            "b1 starts",
            "c1 starts",
            "b1 fails",
            "c1 stops",
            "a1 stops",
            "a2 starts",
            "b2 starts",
            "c2 starts",
        ]
        assert [name for name, _ in stage.root.failures] == ["m"]
        assert "b failed more than 0 times in 60 s" in stage.root.failures[0][1]

    perform(play)


def test_a_mailbox_survives_the_restart_of_the_supervisor(perform) -> None:
    log = []

    def middle() -> Supervisor:
        return Supervisor(family(log))

    async def play(stage) -> None:
        backoff = Backoff(1.0, 5.0, 0.0)
        stage.root.start_child(ChildSpec("m", middle, backoff=backoff))
        kill(stage, "m")
        assert stage.system.tell("b", Note("kept")) is True
        await asyncio.sleep(2)
        assert log[-2:] == ["c2 starts", "b2 gets kept"]

    perform(play)


def test_a_child_its_supervisor_does_not_start_again_is_buried_after_a_grace(perform) -> None:
    async def play(stage) -> None:
        m = stage.root.start_child(ChildSpec("m", Supervisor))
        m.actor.start_child(ChildSpec("m/1", lambda: Child([])))
        m.actor.start_child(ChildSpec("m/2", lambda: Child([])))
        kill(stage, "m")
        stage.system.tell("m/1", Note("kept"))
        stage.system.tell("m/2", Note("lost"))
        m.actor.start_child(ChildSpec("m/1", lambda: Child([])))
        await asyncio.sleep(ORPHAN_GRACE_S + 1)
        assert stage.system.find("m/") == ["m/1"]
        assert stage.letters() == [("m/2", "orphaned")]

    perform(play)


def test_an_error_in_a_supervisors_hook_crashes_the_supervisor(perform) -> None:
    class Nervous(Supervisor):
        def on_child_failed(self, name: str, exc: BaseException) -> None:
            raise ValueError("what now?")

    async def play(stage) -> None:
        m = stage.root.start_child(ChildSpec("m", lambda: Nervous(family([], "a"))))
        kill(stage, "a")
        assert m.incarnation == 2
        assert stage.root.failures == [("m", "ValueError('what now?')")]

    perform(play)


def test_an_exhausted_root_fails_the_system(perform) -> None:
    async def play(stage) -> None:
        assert not stage.system.failed.done()
        kill(stage, "root")
        assert not stage.system.failed.done()
        kill(stage, "root")
        with pytest.raises(RestartsExhaustedError, match="root failed more than 1 times in 60 s"):
            await stage.system.failed

    perform(play)


def test_a_hook_may_see_to_a_failed_child_itself(perform) -> None:
    class Strict(Supervisor):
        def on_child_failed(self, name: str, exc: BaseException) -> None:
            self.stop_child(name)

    async def play(stage) -> None:
        ref = stage.start(lambda: Child([]))
        kill(stage, "a")
        assert not ref.is_alive()
        assert list(stage.root.children) == []

    perform(play, Strict)


def test_a_supervisor_that_crashes_takes_its_waiting_group_along(perform) -> None:
    log = []

    def middle() -> Supervisor:
        return Supervisor(family(log, backoff=Backoff(5.0, 5.0, 0.0)), Strategy.ONE_FOR_ALL)

    async def play(stage) -> None:
        stage.root.start_child(ChildSpec("m", middle))
        kill(stage, "b")
        kill(stage, "m")
        await asyncio.sleep(20)
        assert [entry for entry in log if entry.endswith("starts")] == [
            f"{name}{incarnation} starts" for incarnation in "12" for name in "abc"
        ]

    perform(play)


def test_a_child_that_kills_its_parked_supervisor_is_not_halted_in_its_handler(perform) -> None:
    log = []

    class Busy(Supervisor):
        @handles(Note)
        async def work(self, message: Note) -> None:
            await asyncio.sleep(1000)

    class Parricide(Child):
        @handles(Note)
        def kill(self, message: Note) -> None:
            assert self.system.kill("m")
            self.after(1.0, Stop())  # still possible: it lives until its handler has ended
            self.log.append("killed")

    async def play(stage) -> None:
        m = stage.root.start_child(
            ChildSpec("m", lambda: Busy([ChildSpec("c", lambda: Parricide(log))]))
        )
        m.tell(Note("work"))
        await asyncio.sleep(1)
        stage.system.tell("c", Note("kill"))
        await asyncio.sleep(5)
        assert log == ["c1 starts", "killed", "c1 stops", "c2 starts"]
        assert stage.system.find("") == ["c", "m", "root"]
        stage.system.kill("m")  # it is parked again, over the message it was not to blame for

    perform(play)


def test_orphans_are_buried_when_the_system_stops(perform) -> None:
    async def play(stage) -> None:
        m = stage.root.start_child(ChildSpec("m", Supervisor))
        m.actor.start_child(ChildSpec("m/1", lambda: Child([])))
        kill(stage, "m")
        stage.system.tell("m/1", Note("lost"))
        assert await stage.system.stop(1.0)
        assert stage.letters() == [("m/1", "orphaned")]

    perform(play)


def test_children_of_a_supervisor_that_crashes_while_stopping_are_buried_too(perform) -> None:
    async def play(stage) -> None:
        class Slow(Child):
            @handles(Note)
            async def work(self, message: Note) -> None:
                await asyncio.sleep(5.0)

        m = stage.root.start_child(ChildSpec("m", Supervisor))
        ref = m.actor.start_child(ChildSpec("m/1", lambda: Slow([])))
        ref.tell(Note("work"))
        stage.drain()
        stage.loop.call_later(1.0, stage.system.kill, "m")
        assert await stage.system.stop(10.0)
        assert stage.loop.time() == 1.0
        assert stage.letters() == [("m/1", "orphaned")]

    perform(play)


# --- death watch


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
