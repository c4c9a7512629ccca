"""The system as a whole: names, dead letters, counters, stopping, and nothing left behind."""

import asyncio
import gc
import sys
import weakref

import msgspec
import pykka
import pytest

from runtime.actor import Actor, handles
from runtime.chance import SeededChance
from runtime.clocks import SystemClock
from runtime.dead_letters import KEPT, DeadLetters
from runtime.specs import ChildSpec, Restart
from runtime.supervisor import Supervisor
from runtime.system import ActorSystem


class Note(msgspec.Struct, frozen=True):
    number: int = 0


class Wait(msgspec.Struct, frozen=True):
    seconds: float


class Quiet(Actor):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[int] = []

    @handles(Note)
    def note(self, message: Note) -> int:
        self.notes.append(message.number)
        return message.number

    @handles(Wait)
    async def wait(self, message: Wait) -> None:
        await asyncio.sleep(message.seconds)


class Brief(Actor):
    """A position in short: watches, sets a timer, runs a task, and ends."""

    def on_start(self) -> None:
        self.watch("root")
        self.every(1.0, Note())
        self.run(asyncio.sleep(1000))

    @handles(Note)
    def end(self, message: Note) -> None:
        self.stop()


def test_names_are_found_by_their_beginning(perform) -> None:
    async def play(stage) -> None:
        for name in ("position/2", "position/1", "feed/binance"):
            stage.start(Quiet, name)
        assert stage.system.find("position/") == ["position/1", "position/2"]
        assert stage.system.find("") == ["feed/binance", "position/1", "position/2", "root"]
        assert "feed/binance" in stage.system.directory
        assert next(iter(stage.system.directory)) is stage.root_ref

    perform(play)


def test_a_message_to_nobody_is_a_dead_letter(perform) -> None:
    async def play(stage) -> None:
        logged = []
        stage.system.dead_letters.on_letter = logged.append
        assert stage.system.tell("ghost", Note(1)) is False
        assert stage.root.tell("ghost", Note(2)) is False
        assert [letter.message for letter in logged] == [Note(1), Note(2)]
        assert stage.system.dead_letters.count_by_reason == {"unknown": 2}

    perform(play)


def test_dead_letters_are_a_ring_with_a_count() -> None:
    letters = DeadLetters()
    for number in range(KEPT + 5):
        letters.add("a", number, "stopped")
    assert letters.total == KEPT + 5
    assert [letter.message for letter in letters.last()] == list(range(5, KEPT + 5))


def test_depths_are_reported_by_name(perform) -> None:
    async def play(stage) -> None:
        stage.start(Quiet, "idle")
        busy = stage.start(Quiet, "busy")
        for number in range(3):
            busy.tell(Note(number))
        assert stage.system.mailbox_depths() == {"busy": 3}

    perform(play)


def test_a_ref_shows_its_name_and_state(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Quiet)
        assert repr(ref) == "<Ref a idle>"
        assert ref.actor_urn == "a"

    perform(play)


def test_killing_nobody_is_refused(perform) -> None:
    async def play(stage) -> None:
        assert not stage.system.kill("ghost")

    perform(play)


def test_the_tree_stops_from_the_youngest_to_the_eldest_children_first(perform) -> None:
    async def play(stage) -> None:
        order = []

        class Noting(Supervisor):
            def on_stop(self) -> None:
                order.append(self.name)

        class Leaf(Actor):
            def on_stop(self) -> None:
                order.append(self.name)

        for name in ("m", "n"):
            ref = stage.start(Noting, name)
            for leaf in "12":
                ref.actor.start_child(ChildSpec(f"{name}/{leaf}", Leaf))
        assert await stage.system.stop(1.0)
        assert order == ["n/2", "n/1", "n", "m/2", "m/1", "m"]

    perform(play)


def test_actors_handle_what_they_were_told_before_the_system_stops(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Quiet)
        actor = ref.actor
        ref.tell(Wait(5.0))
        ref.tell(Note(1))
        assert await stage.system.stop(10.0)
        assert actor.notes == [1]
        assert stage.loop.time() == 5.0

    perform(play)


def test_what_takes_longer_than_the_timeout_is_cut_short(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Quiet)
        ref.tell(Wait(1000.0))
        ref.tell(Note(1))
        assert not await stage.system.stop(2.0)
        assert stage.loop.time() == 2.0
        assert stage.letters() == [("a", "stopped"), ("a", "stopped")]

    perform(play)


def test_one_that_crashes_while_the_system_stops_is_not_restarted(perform) -> None:
    class Failing(Quiet):
        @handles(Note)
        def fail(self, message: Note) -> None:
            raise ValueError

    async def play(stage) -> None:
        ref = stage.start(Failing)
        ref.tell(Note())
        assert await stage.system.stop(1.0)
        assert ref.incarnation == 1

    perform(play)


def test_an_ask_under_way_fails_when_its_actor_is_cut_short(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Quiet)
        answer = ref.ask(Wait(1000.0), 5000.0)
        await asyncio.sleep(1.0)
        await stage.system.stop(1.0)
        with pytest.raises(pykka.ActorDeadError):
            await answer

    perform(play)


def test_ten_thousand_actors_leave_nothing_behind(perform) -> None:
    async def play(stage) -> None:
        async def generation(number: int) -> list[weakref.ref]:
            traces = []
            for each in range(number):
                name = f"position/{each}"
                ref = stage.start(Brief, name, restart=Restart.TRANSIENT)
                traces += [weakref.ref(ref), weakref.ref(ref.actor)]
            await asyncio.sleep(2.0)
            return traces

        await generation(100)  # whatever is allocated once is allocated now
        gc.collect()
        before = sys.getallocatedblocks()
        traces = await generation(10_000)
        del traces[::2]  # refs of refs would count
        await asyncio.sleep(1.0)
        assert stage.system.find("position/") == []
        assert list(stage.root.children) == []
        assert not any(trace() for trace in traces)
        del traces
        gc.collect()
        assert not stage.root_ref.watchers
        assert not stage.system.lifecycle.ending
        assert sys.getallocatedblocks() - before < 2_000

    perform(play)


def test_an_ended_actor_is_freed_without_the_garbage_collector(perform) -> None:
    async def play(stage) -> None:
        gc.collect()
        gc.disable()
        try:
            ref = stage.start(Brief, restart=Restart.TRANSIENT)
            trace = weakref.ref(ref.actor)
            await asyncio.sleep(3.0)
            assert trace() is None
        finally:
            gc.enable()

    perform(play)


def test_a_threading_actor_answers_through_tell_threadsafe() -> None:
    """Code that blocks lives in a Pykka thread and tells its results by name."""

    class Lookup(msgspec.Struct, frozen=True):
        key: str
        reply_to: str

    class Found(msgspec.Struct, frozen=True):
        value: str

    class Archive(pykka.ThreadingActor):
        use_daemon_thread = True

        def __init__(self, system: ActorSystem) -> None:
            super().__init__()
            self.system = system

        def on_receive(self, message: Lookup) -> None:
            self.system.tell_threadsafe(message.reply_to, Found(message.key.upper()))

    class Reader(Actor):
        def __init__(self, archive: pykka.ActorRef, done: asyncio.Future) -> None:
            super().__init__()
            self.archive = archive
            self.done = done

        def on_start(self) -> None:
            self.archive.tell(Lookup("key", self.name))

        @handles(Found)
        def found(self, message: Found) -> None:
            self.done.set_result(message.value)

    async def main() -> str:
        loop = asyncio.get_running_loop()
        system = ActorSystem(loop, SystemClock(), chance=SeededChance(1))
        archive = Archive.start(system)
        done = loop.create_future()
        try:
            system.spawn_root(ChildSpec("reader", lambda: Reader(archive, done)))
            return await done
        finally:
            await system.stop(1.0)
            archive.stop()

    assert asyncio.run(main()) == "KEY"
