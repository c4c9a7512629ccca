"""The run queue: fairness, budgets, draining, and that exceptions stay where they belong."""

import asyncio

import msgspec
import pytest

from runtime.actor import Actor, handles
from runtime.dispatcher import EAGER_ASKS, QUANTUM, TURN_BUDGET
from runtime.messages import ReentrancyError


class Note(msgspec.Struct, frozen=True):
    number: int = 0


class Ping(msgspec.Struct, frozen=True):
    to: str
    left: int


class Raise(msgspec.Struct, frozen=True):
    pass


class Drain(msgspec.Struct, frozen=True):
    pass


class Ask(msgspec.Struct, frozen=True):
    pass


class Player(Actor):
    def __init__(self, log: list | None = None, error: type[BaseException] = ValueError) -> None:
        super().__init__()
        self.log = [] if log is None else log
        self.error = error

    @handles(Note)
    def note(self, message: Note) -> int:
        self.log.append((self.name, message.number))
        return message.number

    @handles(Ping)
    def ping(self, message: Ping) -> None:
        self.log.append((self.name, message.left))
        if message.left:
            self.tell(message.to, Ping(self.name, message.left - 1))

    @handles(Raise)
    def fail(self, message: Raise) -> None:
        raise self.error

    @handles(Drain)
    def drain(self, message: Drain) -> None:
        self.system.dispatcher.drain()

    @handles(Ask)
    def ask_oneself(self, message: Ask) -> None:
        self.system.ask(self.name, Note(), 1.0)


def test_a_busy_actor_keeps_others_waiting_for_one_quantum_only(perform) -> None:
    async def play(stage) -> None:
        log = []
        busy, other = stage.start(lambda: Player(log), "a"), stage.start(lambda: Player(log), "b")
        for number in range(3 * QUANTUM):
            busy.tell(Note(number))
        other.tell(Note(0))
        stage.drain()
        assert log.index(("b", 0)) == QUANTUM
        assert [number for name, number in log if name == "a"] == list(range(3 * QUANTUM))

    perform(play)


def test_the_loop_gets_its_turn_within_a_budget(perform) -> None:
    async def play(stage) -> None:
        log = []
        ref = stage.start(lambda: Player(log))
        for number in range(3 * TURN_BUDGET):
            ref.tell(Note(number))
        handled = []
        while len(log) < 3 * TURN_BUDGET:
            await asyncio.sleep(0)
            handled.append(len(log))
        assert handled == [TURN_BUDGET, 2 * TURN_BUDGET, 3 * TURN_BUDGET]

    perform(play)


def test_an_endless_exchange_of_messages_does_not_starve_the_loop(perform) -> None:
    async def play(stage) -> None:
        a, _ = stage.start(Player, "a"), stage.start(Player, "b")
        a.tell(Ping("b", 10**9))
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(a.actor.log) == 5 * TURN_BUDGET // 2
        stage.system.kill("a")

    perform(play)


def test_drain_runs_all_that_follows_from_what_was_told(perform) -> None:
    async def play(stage) -> None:
        log = []
        stage.start(lambda: Player(log), "a")
        stage.start(lambda: Player(log), "b")
        stage.system.tell("a", Ping("b", 3))
        assert stage.drain() == 4
        assert log == [("a", 3), ("b", 2), ("a", 1), ("b", 0)]
        assert stage.drain() == 0

    perform(play)


def test_drain_leaves_what_exceeds_its_limit_to_the_loop(perform) -> None:
    async def play(stage) -> None:
        log = []
        stage.start(lambda: Player(log), "a")
        stage.start(lambda: Player(log), "b")
        stage.system.tell("a", Ping("b", 9))
        assert stage.system.dispatcher.drain(limit=4) == 4
        await asyncio.sleep(0)
        assert len(log) == 10

    perform(play)


@pytest.mark.parametrize("message", [Drain(), Ask()])
def test_a_handler_neither_drains_nor_asks(perform, message) -> None:
    async def play(stage) -> None:
        ref = stage.start(Player)
        with pytest.raises(ReentrancyError):
            await ref.ask(message, 1.0)

    perform(play)


def test_an_ask_is_answered_without_a_turn_of_the_loop(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Player)
        assert ref.ask(Note(7), 1.0).result() == 7

    perform(play)


def test_what_was_told_before_an_ask_is_handled_before_it(perform) -> None:
    async def play(stage) -> None:
        log = []
        a, b = stage.start(lambda: Player(log), "a"), stage.start(lambda: Player(log), "b")
        a.tell(Note(1))
        b.tell(Note(2))
        await b.ask(Note(3), 1.0)
        assert log == [("a", 1), ("b", 2), ("b", 3)]

    perform(play)


def test_one_who_asks_without_end_lets_the_loop_run_too(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Player)
        turns = []

        async def asker() -> None:
            for number in range(3 * EAGER_ASKS):
                await ref.ask(Note(number), 1.0)
                turns.append("ask")

        async def other() -> None:
            for _ in range(4):
                turns.append("loop")
                await asyncio.sleep(0)

        await asyncio.gather(asker(), other())
        assert turns[EAGER_ASKS : EAGER_ASKS + 2] == ["loop", "loop"]
        assert turns.count("ask") == 3 * EAGER_ASKS

    perform(play)


@pytest.mark.parametrize(
    "error", [ValueError, asyncio.CancelledError, GeneratorExit, IndexError, StopIteration]
)
def test_an_exception_of_any_kind_ends_only_the_actor_that_raised_it(perform, error) -> None:
    async def play(stage) -> None:
        log = []
        a, b = stage.start(lambda: Player(log, error), "a"), stage.start(lambda: Player(log), "b")
        a.tell(Note(1))
        a.tell(Raise())
        a.tell(Note(2))
        b.tell(Note(3))
        stage.drain()
        assert log == [("a", 1), ("b", 3), ("a", 2)]
        assert [a.incarnation, b.incarnation] == [3, 1]  # the message was tried twice

    perform(play)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_goes_through_and_loses_no_other_message(perform, error) -> None:
    async def play(stage) -> None:
        ref = stage.start(lambda: Player(None, error))
        for message in (Note(1), Raise(), Note(2)):
            ref.tell(message)
        with pytest.raises(error):
            stage.drain()
        stage.drain()
        assert ref.actor.log == [("a", 1), ("a", 2)]
        assert ref.incarnation == 1

    perform(play)


def test_messages_handled_are_counted(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Player)
        before = stage.system.handled
        for message in (Note(1), Note(2), Raise()):
            ref.tell(message)
        stage.drain()
        assert stage.system.handled - before == 4  # the last one twice

    perform(play)
