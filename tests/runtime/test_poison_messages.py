"""A message that crashes its actor: tried once more, then given up; those behind are not lost."""

import asyncio
from functools import partial
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.actor import Actor, handles
from runtime.mailbox import Lane
from runtime.specs import Backoff, ChildSpec, Exhausted, Intensity, Restart
from runtime.supervisor import Supervisor


class Work(msgspec.Struct, frozen=True):
    number: int
    crashes: int = 0  # how often handling it fails before it succeeds


class Fill(Work, frozen=True):
    lane: ClassVar[Lane] = Lane.FILLS


class SlowWork(msgspec.Struct, frozen=True):
    number: int


MANY = Intensity(None, 60)


class Worker(Actor):
    """Fails a message as often as it says; `tries` outlives the incarnations, as a venue would."""

    def __init__(self, done: list[int], tries: dict[object, int]) -> None:
        super().__init__()
        self.done = done
        self.tries = tries

    @handles(Work, Fill)
    def work(self, message: Work) -> int:
        self.tries[message] = self.tries.get(message, 0) + 1
        if self.tries[message] <= message.crashes:
            raise ValueError(message)
        self.done.append(message.number)
        return message.number

    @handles(SlowWork)
    async def work_slowly(self, message: SlowWork) -> None:
        self.tries[message] = self.tries.get(message, 0) + 1
        await asyncio.sleep(10.0)
        self.done.append(message.number)


def worker(stage, **spec):
    done: list[int] = []
    tries: dict[object, int] = {}
    spec.setdefault("intensity", MANY)
    ref = stage.start(lambda: Worker(done, tries), **spec)
    return ref, done, tries


def test_a_message_that_crashed_its_actor_is_tried_once_more_and_first(perform) -> None:
    async def play(stage) -> None:
        ref, done, _ = worker(stage)
        for message in (Work(1), Work(2, crashes=1), Work(3)):
            ref.tell(message)
        stage.drain()
        assert done == [1, 2, 3]
        assert ref.incarnation == 2
        assert stage.letters() == []

    perform(play)


def test_a_message_that_crashed_its_actor_twice_is_a_dead_letter(perform) -> None:
    async def play(stage) -> None:
        ref, done, tries = worker(stage)
        poison = Work(2, crashes=99)
        for message in (Work(1), poison, Work(3)):
            ref.tell(message)
        stage.drain()
        assert done == [1, 3]
        assert tries[poison] == 2
        assert ref.incarnation == 3
        assert [letter.message for letter in stage.system.dead_letters.last()] == [poison]
        assert stage.letters() == [("a", "poison")]

    perform(play)


def test_who_may_drop_no_fill_is_left_alone_after_one_that_crashed_it_twice(perform) -> None:
    async def play(stage) -> None:
        ref, done, tries = worker(stage, drops_fills=False, on_exhausted=Exhausted.QUARANTINE)
        poison = Fill(2, crashes=99)
        for message in (Fill(1), poison, Fill(3)):
            ref.tell(message)
        stage.drain()
        assert done == [1]
        assert tries[poison] == 2
        assert stage.root.quarantined == ["a"]
        assert [letter.message.number for letter in stage.system.dead_letters.last()] == [2, 3]
        assert stage.letters() == [("a", "quarantined")] * 2

    perform(play)


def test_who_may_drop_no_fill_takes_the_one_that_crashed_it_once_and_drops_others(perform) -> None:
    async def play(stage) -> None:
        ref, done, _ = worker(stage, drops_fills=False, on_exhausted=Exhausted.QUARANTINE)
        for message in (Fill(1, crashes=1), Work(2, crashes=99), Fill(3)):
            ref.tell(message)
        stage.drain()
        assert done == [1, 3]
        assert stage.letters() == [("a", "poison")]
        assert stage.root.quarantined == []

    perform(play)


def test_whose_supervisor_restarts_it_after_such_a_fill_is_given_it_again(perform) -> None:
    done, tries = [], {}
    tree = partial(Supervisor, [ChildSpec("a", lambda: Worker(done, tries), drops_fills=False)])

    async def play(stage) -> None:
        stage.system.tell("a", Fill(1, crashes=2))
        stage.drain()
        assert done == [1]
        assert stage.letters() == []
        stage.system.kill("a")  # it is over: no failure like any other ends its supervisor
        stage.drain()
        assert stage.root is not None

    perform(play, tree)


def test_the_retry_waits_for_the_backoff_and_goes_before_fills(perform) -> None:
    async def play(stage) -> None:
        ref, done, _ = worker(stage, backoff=Backoff(1.0, 1.0, 0.0))
        ref.tell(Work(1, crashes=1))
        stage.drain()
        ref.tell(Fill(2))
        await asyncio.sleep(2)
        assert done == [1, 2]

    perform(play)


def test_an_ask_that_crashed_its_actor_is_answered_and_not_tried_again(perform) -> None:
    async def play(stage) -> None:
        ref, done, tries = worker(stage)
        with pytest.raises(ValueError, match="crashes=1"):
            await ref.ask(Work(1, crashes=1), 1.0)
        stage.drain()
        assert ref.incarnation == 2
        assert list(tries.values()) == [1]
        assert done == []

    perform(play)


def test_a_message_is_not_blamed_for_a_kill(perform) -> None:
    async def play(stage) -> None:
        ref, done, tries = worker(stage)
        ref.tell(SlowWork(1))
        for _ in range(3):
            await asyncio.sleep(5)
            stage.system.kill("a")
        await asyncio.sleep(20)
        assert done == [1]
        assert list(tries.values()) == [4]
        assert stage.letters() == []

    perform(play)


def test_the_message_of_an_actor_that_is_not_restarted_is_a_dead_letter(perform) -> None:
    async def play(stage) -> None:
        ref, done, _ = worker(stage, restart=Restart.TEMPORARY)
        for message in (Work(1), Work(2, crashes=1), Work(3)):
            ref.tell(message)
        stage.drain()
        assert done == [1]
        assert stage.letters() == [("a", "crashed"), ("a", "crashed")]

    perform(play)


@given(crashes=st.lists(st.integers(0, 3), max_size=30))
def test_every_message_is_handled_once_in_order_or_is_a_dead_letter(perform, crashes) -> None:
    async def play(stage) -> None:
        ref, done, tries = worker(stage)
        messages = [Work(number, each) for number, each in enumerate(crashes)]
        for message in messages:
            ref.tell(message)
        stage.drain()
        assert done == [message.number for message in messages if message.crashes < 2]
        poison = [letter.message.number for letter in stage.system.dead_letters.last()]
        assert poison == [message.number for message in messages if message.crashes >= 2]
        assert all(tries[each] == min(each.crashes + 1, 2) for each in messages)
        assert ref.incarnation == 1 + sum(min(each, 2) for each in crashes)

    perform(play)
