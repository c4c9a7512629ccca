"""Handlers: how they are found, what their values become, and what asynchronous ones do."""

import asyncio

import msgspec
import pykka
import pytest

from runtime.actor import Actor, handles
from runtime.messages import UnhandledMessageError


class Add(msgspec.Struct, frozen=True):
    amount: int


class AddTwice(Add, frozen=True):
    """A subclass of a handled message."""


class Reset(msgspec.Struct, frozen=True):
    pass


class Total(msgspec.Struct, frozen=True):
    pass


class Wait(msgspec.Struct, frozen=True):
    seconds: float


class Counter(Actor):
    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.total = start

    @handles(Add)
    def add(self, message: Add) -> int:
        self.total += message.amount
        return self.total

    @handles(Reset | Total)
    def show(self, message: Reset | Total) -> int:
        if isinstance(message, Reset):
            self.total = 0
        return self.total


class Doubling(Counter):
    def add(self, message: Add) -> int:  # no second decorator: it is found by name
        self.total += 2 * message.amount
        return self.total


class Slow(Counter):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []

    @handles(Add)
    def add(self, message: Add) -> int:
        self.log.append(f"add {message.amount}")
        return super().add(message)

    @handles(Wait)
    async def wait(self, message: Wait) -> str:
        self.log.append("wait begins")
        await asyncio.sleep(message.seconds)
        self.log.append("wait ends")
        return "waited"


def test_a_handler_is_found_by_the_messages_type(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Counter)
        ref.tell(Add(2))
        ref.tell(Add(3))
        assert await ref.ask(Total(), 1.0) == 5

    perform(play)


def test_a_union_is_handled_by_one_method(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(lambda: Counter(5))
        assert await ref.ask(Reset(), 1.0) == 0

    perform(play)


def test_an_inherited_handler_may_be_overridden_without_a_decorator(perform) -> None:
    async def play(stage) -> None:
        assert await stage.start(Doubling).ask(Add(2), 1.0) == 4

    perform(play)


def test_a_subclass_of_a_handled_message_is_not_handled(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Counter)
        ref.tell(AddTwice(1))
        stage.drain()
        assert ref.actor.total == 0
        assert stage.letters() == [("a", "unhandled")]

    perform(play)


def test_asking_what_is_not_handled_fails_and_does_no_harm(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Counter)
        with pytest.raises(UnhandledMessageError, match="a does not handle AddTwice"):
            await ref.ask(AddTwice(1), 1.0)
        assert stage.letters() == [("a", "unhandled")]
        assert ref.incarnation == 1

    perform(play)


def test_handling_a_message_twice_in_one_class_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="Confused handles Add twice"):

        class Confused(Actor):
            @handles(Add)
            def one(self, message: Add) -> None:
                pass

            @handles(Add)
            def other(self, message: Add) -> None:
                pass


def test_an_actor_cannot_tell_before_it_has_a_name() -> None:
    class Hasty(Actor):
        def __init__(self) -> None:
            super().__init__()
            self.tell("anyone", Reset())

    with pytest.raises(RuntimeError, match="no name before on_start"):
        Hasty()


def test_an_actor_knows_its_name_system_and_incarnation_from_on_start_on(perform) -> None:
    async def play(stage) -> None:
        seen = []

        class Curious(Actor):
            def on_start(self) -> None:
                seen.append((self.name, self.system, self.incarnation))

        stage.start(Curious)
        assert seen == [("a", stage.system, 1)]

    perform(play)


def test_an_asynchronous_handler_parks_the_actor_and_order_holds(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Slow)
        ref.tell(Add(1))
        ref.tell(Wait(5.0))
        ref.tell(Add(2))
        stage.drain()
        await asyncio.sleep(4.9)
        assert ref.actor.log == ["add 1", "wait begins"]
        ref.tell(Add(3))
        await asyncio.sleep(0.2)
        assert ref.actor.log == ["add 1", "wait begins", "wait ends", "add 2", "add 3"]

    perform(play)


def test_others_run_while_an_actor_is_parked(perform) -> None:
    async def play(stage) -> None:
        slow, quick = stage.start(Slow, "slow"), stage.start(Counter, "quick")
        slow.tell(Wait(5.0))
        assert await quick.ask(Add(1), 1.0) == 1

    perform(play)


def test_an_asynchronous_handler_answers_an_ask(perform) -> None:
    async def play(stage) -> None:
        assert await stage.start(Slow).ask(Wait(1.0), 2.0) == "waited"
        assert stage.loop.time() == 1.0

    perform(play)


def test_an_ask_times_out_and_the_late_answer_is_dropped(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Slow)
        with pytest.raises(TimeoutError, match=r"a did not answer Wait within 1\.0 s"):
            await ref.ask(Wait(3.0), 1.0)
        assert stage.loop.time() == 1.0
        await asyncio.sleep(3.0)
        assert ref.actor.log == ["wait begins", "wait ends"]
        assert ref.is_alive()

    perform(play)


def test_an_ask_that_timed_out_before_its_turn_is_definitely_not_done(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Slow)
        ref.tell(Wait(3.0))
        with pytest.raises(TimeoutError):
            await ref.ask(Add(1), 1.0)
        await asyncio.sleep(3.0)
        assert ref.actor.total == 0
        assert stage.letters() == [("a", "expired")]

    perform(play)


def test_asking_nobody_fails(perform) -> None:
    async def play(stage) -> None:
        with pytest.raises(pykka.ActorDeadError, match="there is no actor 'ghost'"):
            await stage.system.ask("ghost", Total(), 1.0)
        assert stage.letters() == [("ghost", "unknown")]

    perform(play)


def test_an_asynchronous_on_start_comes_before_the_first_message(perform) -> None:
    class Preparing(Slow):
        async def on_start(self) -> None:
            await asyncio.sleep(1.0)
            self.log.append("ready")

    async def play(stage) -> None:
        ref = stage.start(Preparing)
        ref.tell(Add(1))
        await asyncio.sleep(2.0)
        assert ref.actor.log == ["ready", "add 1"]

    perform(play)


def test_an_actor_that_stops_itself_handles_no_further_message(perform) -> None:
    class Closing(Counter):
        @handles(Reset)
        def close(self, message: Reset) -> None:
            self.stop()

    async def play(stage) -> None:
        stopped = []
        Closing.on_stop = lambda self: stopped.append(self.total)
        ref = stage.start(Closing, restart=stage.transient)
        for message in (Add(1), Reset(), Add(2)):
            ref.tell(message)
        pending = ref.ask(Total(), 1.0)
        with pytest.raises(pykka.ActorDeadError, match="a is stopped"):
            await pending
        assert stopped == [1]
        assert not ref.is_alive()
        assert ref.tell(Add(1)) is False
        assert stage.system.tell("a", Add(1)) is False
        assert stage.letters() == [("a", "stopped"), ("a", "stopped"), ("a", "unknown")]

    perform(play)


def test_nothing_can_be_begun_for_an_actor_that_has_ended(perform) -> None:
    async def work() -> None:
        raise AssertionError("never run")

    async def play(stage) -> None:
        actor = stage.start(Counter).actor
        stage.root.stop_child("a")
        for begin in (
            lambda: actor.after(1.0, Reset()),
            lambda: actor.every(1.0, Reset()),
            lambda: actor.watch("root"),
            lambda: actor.run(work()),
        ):
            with pytest.raises(RuntimeError, match="this incarnation of a has ended"):
                begin()
        actor.stop()  # is what it is already

    perform(play)
