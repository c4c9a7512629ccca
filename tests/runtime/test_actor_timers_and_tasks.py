"""What an actor has running besides its handlers, and that none of it outlives the actor."""

import asyncio

import msgspec
import pytest

from runtime.actor import Actor, handles
from runtime.mailbox import Limits
from runtime.messages import Killed


class Tick(msgspec.Struct, frozen=True):
    tag: str = ""


class Crash(msgspec.Struct, frozen=True):
    pass


class Wait(msgspec.Struct, frozen=True):
    seconds: float


class Timed(Actor):
    """Logs (virtual time, tag) of its ticks."""

    def __init__(self, log: list) -> None:
        super().__init__()
        self.log = log

    @handles(Tick)
    def tick(self, message: Tick) -> None:
        self.log.append((self.system.loop.time(), message.tag))

    @handles(Crash)
    def crash(self, message: Crash) -> None:
        raise ValueError("as told")

    @handles(Wait)
    async def wait(self, message: Wait) -> None:
        await asyncio.sleep(message.seconds)


def test_after_delivers_once_at_its_time(perform) -> None:
    async def play(stage) -> None:
        log = []
        stage.start(lambda: Timed(log)).actor.after(2.5, Tick("a"))
        await asyncio.sleep(10)
        assert log == [(2.5, "a")]

    perform(play)


def test_timers_of_the_same_instant_come_in_the_order_they_were_set(perform) -> None:
    async def play(stage) -> None:
        log = []
        actor = stage.start(lambda: Timed(log)).actor
        for tag in "abcdefgh":
            actor.after(1.0, Tick(tag))
        await asyncio.sleep(2)
        assert "".join(tag for _, tag in log) == "abcdefgh"

    perform(play)


def test_every_keeps_its_grid(perform) -> None:
    async def play(stage) -> None:
        log = []
        stage.start(lambda: Timed(log)).actor.every(0.5, Tick())
        await asyncio.sleep(2.2)
        assert [when for when, _ in log] == [0.5, 1.0, 1.5, 2.0]

    perform(play)


def test_every_never_has_two_messages_waiting(perform) -> None:
    async def play(stage) -> None:
        log = []
        ref = stage.start(lambda: Timed(log))
        ref.actor.every(1.0, Tick())
        ref.tell(Wait(5.5))
        await asyncio.sleep(7.2)
        assert [when for when, _ in log] == [5.5, 6.0, 7.0]

    perform(play)


def test_after_a_sleep_timers_come_when_they_are_due_by_the_clock(perform, monkeypatch) -> None:
    async def play(stage) -> None:
        log = []
        ref = stage.start(lambda: Timed(log))
        for delay_s in (0.5, 100.0, 1000.0):
            ref.actor.after(delay_s, Tick(f"after {delay_s}"))
        ref.actor.every(30.0, Tick("every"))
        ref.tell(Wait(1.0))
        await asyncio.sleep(0.6)  # the first has fired, and waits
        monkeypatch.setattr(stage.system.clock, "monotonic", lambda: stage.loop.time() + 101)
        ref.actor.after(1.0, Tick("set since"))
        stage.system.wake()
        stage.system.wake()
        await asyncio.sleep(1.4)
        assert [(round(when, 6), tag) for when, tag in log] == [
            (1.0, "after 0.5"),
            (1.0, "every"),
            (1.0, "after 100.0"),
            (1.6, "set since"),
        ]
        await asyncio.sleep(1000)
        times = [when for when, tag in log if tag == "every"][1:3]
        assert times == [19.0, 49.0]  # 120 and 150 by the clock
        assert (899.0, "after 1000.0") in log

    perform(play)


def test_a_period_must_be_positive(perform) -> None:
    async def play(stage) -> None:
        with pytest.raises(ValueError, match="a period must be positive, not 0 s"):
            stage.start(lambda: Timed([])).actor.every(0, Tick())

    perform(play)


def test_a_canceled_timer_is_not_heard_of_again(perform) -> None:
    async def play(stage) -> None:
        log = []
        actor = stage.start(lambda: Timed(log)).actor
        actor.after(1.0, Tick("once")).cancel()
        periodic = actor.every(1.0, Tick("each"))
        await asyncio.sleep(2.5)
        periodic.cancel()
        periodic.cancel()
        await asyncio.sleep(5)
        assert log == [(1.0, "each"), (2.0, "each")]

    perform(play)


def test_a_timer_canceled_after_it_fired_is_not_handled_either(perform) -> None:
    async def play(stage) -> None:
        log = []
        ref = stage.start(lambda: Timed(log))
        timer = ref.actor.after(1.0, Tick())
        ref.tell(Wait(2.0))
        await asyncio.sleep(1.5)
        assert ref.depth() == 1  # fired, and waits behind the asynchronous handler
        timer.cancel()
        await asyncio.sleep(2)
        assert log == []

    perform(play)


@pytest.mark.parametrize("end", ["stop", "crash", "kill"])
def test_timers_end_with_their_actor(perform, end) -> None:
    async def play(stage) -> None:
        log = []
        ref = stage.start(lambda: Timed(log))
        ref.actor.after(1.0, Tick())
        ref.actor.every(1.0, Tick())
        if end == "stop":
            stage.root.stop_child("a")
        elif end == "crash":
            ref.tell(Crash())
        else:
            stage.system.kill("a")
        await asyncio.sleep(5)
        assert log == []

    perform(play)


def test_a_timer_that_fired_does_not_reach_the_next_incarnation(perform) -> None:
    async def play(stage) -> None:
        log = []
        ref = stage.start(lambda: Timed(log))
        ref.actor.after(1.0, Tick())
        ref.tell(Wait(2.0))
        await asyncio.sleep(1.5)
        stage.system.kill("a")
        await asyncio.sleep(3)
        assert ref.incarnation == 2
        assert log == []

    perform(play)


def test_a_timer_message_that_does_not_fit_is_a_dead_letter(perform) -> None:
    async def play(stage) -> None:
        log = []
        ref = stage.start(lambda: Timed(log), limits=Limits(commands=1))
        ref.actor.after(1.0, Tick("late"))
        ref.tell(Wait(3.0))
        await asyncio.sleep(0.5)
        ref.tell(Tick("first"))
        await asyncio.sleep(5)
        assert log == [(3.0, "first")]
        assert stage.letters() == [("a", "overflow")]
        assert stage.system.dead_letters.last()[0].message == Tick("late")

    perform(play)


def test_an_exception_in_an_owned_task_crashes_the_owner(perform) -> None:
    async def fail() -> None:
        await asyncio.sleep(1.0)
        raise ValueError("in a task")

    class Worried(Timed):
        def on_failure(self, exc: BaseException) -> None:
            self.log.append(repr(exc))

    async def play(stage) -> None:
        log = []
        ref = stage.start(lambda: Worried(log))
        ref.actor.run(fail())
        await asyncio.sleep(2)
        assert log == ["ValueError('in a task')"]
        assert ref.incarnation == 2
        assert stage.root.failures == [("a", "ValueError('in a task')")]

    perform(play)


def test_a_task_that_ends_well_does_nothing_to_its_owner(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(lambda: Timed([]))
        task = ref.actor.run(asyncio.sleep(1.0, "done"))
        await asyncio.sleep(2)
        assert task.result() == "done"
        assert ref.incarnation == 1
        assert not ref.actor.actor_owned.tasks

    perform(play)


def test_a_task_the_owner_cancels_does_not_crash_it(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(lambda: Timed([]))
        ref.actor.run(asyncio.sleep(10)).cancel()
        await asyncio.sleep(1)
        assert ref.incarnation == 1

    perform(play)


def test_a_task_canceled_from_within_crashes_its_owner(perform) -> None:
    async def wait_for_what_was_canceled() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def play(stage) -> None:
        ref = stage.start(lambda: Timed([]))
        ref.actor.run(wait_for_what_was_canceled())
        await asyncio.sleep(1)
        assert ref.incarnation == 2

    perform(play)


@pytest.mark.parametrize("end", ["stop", "crash"])
def test_tasks_are_canceled_with_their_actor(perform, end) -> None:
    async def play(stage) -> None:
        ref = stage.start(lambda: Timed([]))
        task = ref.actor.run(asyncio.sleep(100))
        if end == "stop":
            stage.root.stop_child("a")
        else:
            ref.tell(Crash())
        await asyncio.sleep(1)
        assert task.cancelled()
        assert not stage.system.lifecycle.ending

    perform(play)


def test_an_error_in_a_task_that_was_canceled_with_its_actor_goes_to_the_loop(perform) -> None:
    async def fail_on_the_way_out() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            raise ValueError("clumsy")

    async def play(stage) -> None:
        reported = []
        stage.loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        ref = stage.start(lambda: Timed([]))
        ref.actor.run(fail_on_the_way_out())
        await asyncio.sleep(1)
        stage.root.stop_child("a")
        await asyncio.sleep(1)
        assert [repr(error) for error in reported] == ["ValueError('clumsy')"]

    perform(play)


def test_a_crash_in_an_asynchronous_handler_is_a_crash(perform) -> None:
    class Failing(Timed):
        @handles(Wait)
        async def wait(self, message: Wait) -> None:
            await asyncio.sleep(message.seconds)
            raise ValueError("after a while")

    async def play(stage) -> None:
        ref = stage.start(lambda: Failing([]))
        with pytest.raises(ValueError, match="after a while"):
            await ref.ask(Wait(1.0), 2.0)
        stage.drain()
        assert ref.incarnation == 2

    perform(play)


def test_a_kill_reaches_an_actor_that_is_parked(perform) -> None:
    async def play(stage) -> None:
        log = []
        ref = stage.start(lambda: Timed(log))
        ref.tell(Wait(1000.0))
        ref.tell(Tick())
        await asyncio.sleep(1)
        assert stage.system.kill("a")
        await asyncio.sleep(1)
        assert stage.root.failures == [("a", repr(Killed("a was killed")))]
        # The handler was not to blame: its message is handled again, before what waits behind it.
        await asyncio.sleep(2000)
        assert log == [(1001.0, "")]

    perform(play)


def test_a_task_may_stop_its_owner(perform) -> None:
    class Patient(Timed):
        async def wait_and_stop(self) -> None:
            await asyncio.sleep(1.0)
            self.stop()

    async def play(stage) -> None:
        ref = stage.start(lambda: Patient([]), restart=stage.transient)
        ref.actor.run(ref.actor.wait_and_stop())
        await asyncio.sleep(2)
        assert not ref.is_alive()
        assert stage.root.failures == []

    perform(play)
