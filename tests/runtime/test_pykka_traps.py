"""Each trap of stock Pykka, shown on Pykka itself, and that our actors do not fall into it."""

import asyncio
import threading
import tracemalloc
import uuid

import msgspec
import pykka
import pytest

from runtime.actor import Actor, handles
from runtime.specs import ChildSpec, Restart


class Move(msgspec.Struct, frozen=True):
    amount: int


class Balance(msgspec.Struct, frozen=True):
    pass


class Cancel(msgspec.Struct, frozen=True):
    pass


class Stock(pykka.ThreadingActor):
    """Moves money from one place to the other, and stumbles in between over odd amounts."""

    use_daemon_thread = True

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = 10, 0

    def on_receive(self, message: object) -> object:
        match message:
            case Move(amount):
                self.left -= amount
                if amount % 2:
                    raise ValueError("odd")
                self.right += amount
            case Cancel():
                raise asyncio.CancelledError
        return self.left + self.right


class Ours(Actor):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = 10, 0

    @handles(Move)
    def move(self, message: Move) -> None:
        self.left -= message.amount
        if message.amount % 2:
            raise ValueError("odd")
        self.right += message.amount

    @handles(Balance)
    def balance(self, message: Balance) -> int:
        return self.left + self.right

    @handles(Cancel)
    def cancel(self, message: Cancel) -> None:
        raise asyncio.CancelledError


@pytest.fixture
def stock():
    """Start stock actors and stop them afterwards."""
    yield lambda kind=Stock, *args: kind.start(*args)
    pykka.ActorRegistry.stop_all()


# --- `Future.__await__` blocks the loop


class Awaited(pykka.ThreadingActor):
    """Answers whether the loop sets the event while the loop awaits the answer."""

    use_daemon_thread = True

    def on_receive(self, message: threading.Event) -> bool:
        return message.wait(timeout=0.3)


def test_awaiting_a_stock_future_blocks_the_loop(stock) -> None:
    async def main() -> bool:
        event = threading.Event()
        asyncio.get_running_loop().call_later(0.05, event.set)
        return await stock(Awaited).ask(event, block=False)

    assert asyncio.run(main()) is False


def test_awaiting_our_future_lets_the_loop_run(perform) -> None:
    class Waiting(Actor):
        @handles(asyncio.Event)
        async def wait(self, event: asyncio.Event) -> bool:
            return await event.wait()

    async def play(stage) -> None:
        event = asyncio.Event()
        stage.loop.call_later(0.05, event.set)
        assert await stage.start(Waiting).ask(event, 1.0) is True

    perform(play)


# --- an exception under `ask` leaves the actor alive with half-changed state


def test_a_stock_actor_lives_on_half_changed_after_an_exception_under_ask(stock) -> None:
    ref = stock()
    with pytest.raises(ValueError, match="odd"):
        ref.ask(Move(3))
    assert ref.is_alive()
    assert ref.ask(Balance()) == 7  # three are gone


def test_our_actor_answers_the_exception_and_crashes(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Ours)
        with pytest.raises(ValueError, match="odd"):
            await ref.ask(Move(3), 1.0)
        assert await ref.ask(Balance(), 1.0) == 10
        assert ref.incarnation == 2

    perform(play)


# --- any BaseException, so also CancelledError, stops all actors


def test_a_canceled_error_in_one_stock_actor_stops_all_of_them(stock) -> None:
    culprit, bystander = stock(), stock()
    stopped = bystander.actor_stopped
    culprit.tell(Cancel())
    assert stopped.wait(timeout=10)
    assert pykka.ActorRegistry.get_all() == []


def test_a_canceled_error_in_one_of_our_actors_is_its_own_crash(perform, stock) -> None:
    thread = stock()

    async def play(stage) -> None:
        culprit, bystander = stage.start(Ours, "a"), stage.start(Ours, "b")
        with pytest.raises(pykka.ActorDeadError):
            await culprit.ask(Cancel(), 1.0)
        stage.drain()
        assert [culprit.incarnation, bystander.incarnation] == [2, 1]
        assert await bystander.ask(Balance(), 1.0) == 10

    perform(play)
    assert thread.is_alive()


# --- the registry is global and O(n)


def test_the_stock_registry_is_one_list_that_every_stop_searches(stock) -> None:
    compared = []

    class Counted(pykka.ActorRef):
        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return self is other

        __hash__ = pykka.ActorRef.__hash__

    ref = stock()
    refs = [Counted(ref._actor_weakref()) for _ in range(50)]
    for each in refs:
        pykka.ActorRegistry.register(each)
    pykka.ActorRegistry.unregister(refs[-1])
    assert len(compared) >= 50
    for each in refs[:-1]:
        pykka.ActorRegistry.unregister(each)


def test_our_actors_are_never_in_the_registry(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Ours)
        assert pykka.ActorRegistry.get_all() == []
        assert isinstance(ref, pykka.ActorRef)
        assert isinstance(ref.actor, pykka.Actor)
        with pytest.raises(TypeError, match="started by a supervisor"):
            Ours.start()

    perform(play)


# --- uuid4 and threading.Event per actor


def test_each_stock_actor_draws_a_uuid_and_makes_an_event(stock, monkeypatch) -> None:
    made = _count(monkeypatch)
    stock()
    assert "uuid4" in made
    assert "Event" in made


def test_our_actors_do_neither(perform, monkeypatch) -> None:
    async def play(stage) -> None:
        made = _count(monkeypatch)
        stage.start(Ours)
        assert made == []

    perform(play)


def _count(monkeypatch) -> list[str]:
    made: list[str] = []
    for module, name in ((uuid, "uuid4"), (threading, "Event")):
        original = getattr(module, name)

        def counted(*args, name=name, original=original):
            made.append(name)
            return original(*args)

        monkeypatch.setattr(module, name, counted)
    return made


def test_an_idle_actor_takes_at_most_600_bytes(perform) -> None:
    class Idle(Actor):
        @handles(Balance)
        def balance(self, message: Balance) -> int:
            return 0

    async def play(stage) -> None:
        count = 10_000
        specs = [ChildSpec(f"position/{each}", Idle, Restart.TRANSIENT) for each in range(count)]
        tracemalloc.start()
        try:
            for spec in specs:
                stage.root.start_child(spec)
            started = tracemalloc.get_traced_memory()[0] / count
            for spec in specs:
                stage.system.tell(spec.name, Balance())
            stage.drain()
            used = tracemalloc.get_traced_memory()[0] / count
        finally:
            tracemalloc.stop()
        assert started <= 600
        assert used <= 600  # a mailbox that was used and is empty again takes nothing

    perform(play)


# --- proxies


def test_a_stock_proxy_blocks_on_every_attribute(stock) -> None:
    assert stock().proxy().left.get() == 10


def test_our_refs_offer_no_proxy_and_no_stop(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Ours)
        with pytest.raises(TypeError, match="no proxy"):
            ref.proxy()
        with pytest.raises(TypeError, match="stop_child"):
            ref.stop()

    perform(play)
