"""How often and how fast a child is restarted, and what happens when that is too often."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.actor import Actor, handles
from runtime.chance import SeededChance
from runtime.lifecycle import ORPHAN_GRACE_S
from runtime.messages import RestartsExhaustedError
from runtime.record import Record
from runtime.specs import Backoff, ChildSpec, Exhausted, Intensity, Strategy
from runtime.supervisor import Supervisor
from tests.runtime.lives import Child, Note, Stop, Unable, family, kill

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
