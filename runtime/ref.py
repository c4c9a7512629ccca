"""A name one can tell things to.

A ref belongs to the name, not to the actor that lives under it at the moment: while that one is
down its messages wait here, and the next incarnation takes them over. What Pykka's ref offers by
blocking (`ask(block=True)`, `proxy()`) has no place on a loop.
"""

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pykka

from runtime.mailbox import (
    COMMANDS,
    Lane,
    Mailbox,
    MailboxFullError,
    Overflow,
    lane_for,
    plain_commands,
)
from runtime.timers import Timer

if TYPE_CHECKING:
    from runtime.actor import Actor, Lookup
    from runtime.record import Record
    from runtime.specs import ChildSpec
    from runtime.supervisor import Supervisor
    from runtime.system import ActorSystem


class State(Enum):
    """Where a name stands. Messages are taken in all states but the last two."""

    IDLE = "idle"  # nothing to do
    QUEUED = "queued"  # in the run queue
    RUNNING = "running"  # a handler is on the stack, or the actor is being started
    PARKED = "parked"  # an asynchronous handler has not finished
    DOWN = "down"  # crashed or halted; its supervisor will decide or has decided to restart it
    ORPHANED = (
        "orphaned"  # its supervisor went down; whoever starts the name again inherits the mailbox
    )
    QUARANTINED = "quarantined"  # failed too often; hands off
    STOPPED = "stopped"


# By name, because looking a member up on its enumeration takes as long as handling a message.
IDLE, QUEUED, RUNNING, PARKED, DOWN, ORPHANED, QUARANTINED, STOPPED = State

# Bits of `Ref.signal`: why the ordinary course of a turn must stop after the message at hand.
URGENT: Final = 1  # a fill or an exit waits
KILL: Final = 2
STOP: Final = 4
RETRY: Final = 8  # the message that crashed the last incarnation goes first

_CLOSED: Final = (QUARANTINED, STOPPED)


_find_nothing: Final = dict[type, Any]().get


class Ask:
    """A message whose sender waits for the handler's return value."""

    __slots__ = ("future", "message")

    def __init__(self, message: object, future: asyncio.Future[Any]) -> None:
        self.message = message
        self.future = future

    def answer(self, value: object) -> None:
        """Give the answer, unless nobody waits any more."""
        if not self.future.done():
            self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Give an error as the answer; what a future cannot carry, as the cause of one it can."""
        if self.future.done():
            return
        if not isinstance(error, Exception) or isinstance(error, StopIteration):
            dead = pykka.ActorDeadError(f"the handler was ended by {error!r}")
            dead.__cause__ = error
            error = dead
        self.future.set_exception(error)


class Ref(Mailbox, pykka.ActorRef[Any]):
    """Reference to a name.

    For all: `tell`, `ask`, `is_alive`, `name`, `incarnation`; the rest is the kernel's. Slots
    because there are as many refs as positions.
    """

    __slots__ = (
        "actor",
        "incarnation",
        "lookup",
        "name",
        "parent",
        "record",
        "signal",
        "spec",
        "state",
        "system",
        "watchers",
    )

    # Not calling Pykka's constructor is the point: it wants an actor with a uuid and a
    # threading.Event.
    def __init__(self, spec: "ChildSpec", parent: "Supervisor", system: "ActorSystem") -> None:
        self.limit = spec.limits.commands
        self.price_limit = spec.limits.prices
        self.commands: list[Any] | None = None
        self.fills = self.exits = self.prices = None
        self.conflated = 0
        self.name = spec.name
        self.spec = spec
        self.parent = parent
        self.system = system
        self.actor: Actor | None = None
        self.lookup: Lookup = _find_nothing  # the actor's handlers, here for speed
        self.incarnation = 0
        self.state = DOWN
        self.signal = 0
        self.watchers: dict[str, None] | None = None  # a dict keeps their order
        self.record: Record | None = None  # only of those that had trouble

    def __repr__(self) -> str:
        return f"<Ref {self.name} {self.state.value}>"

    __str__ = __repr__

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """The name: what identifies an actor here."""
        return self.name

    def is_alive(self) -> bool:
        """Tell whether messages are taken; also while the actor is down, before a restart."""
        return self.state not in _CLOSED

    def tell(self, message: object) -> bool | Overflow:  # type: ignore[override]
        """Put `message` into the mailbox: True, an `Overflow`, or False if nobody will read it.

        Whatever is not taken is a dead letter too. Only on the loop's thread; see
        `ActorSystem.tell_threadsafe`.
        """
        if message.__class__ in plain_commands:
            waiting = self.commands
            if waiting is not None:  # then the actor is not idle: it has or will get its turn
                if len(waiting) < self.limit:
                    waiting.append(message)
                    return True
            elif self.state is IDLE:
                self.commands = [message]
                self.state = QUEUED
                dispatcher = self.system.dispatcher
                dispatcher.queue.append(self)
                if dispatcher.asleep:
                    dispatcher.wake()
                return True
        return self.put(message, lane_for(message))

    def put(self, message: object, lane: Lane) -> bool | Overflow:
        """Do what `tell` does, for any lane and state."""
        if self.state in _CLOSED:
            self.bounce(message, self.state.value)
            return False
        if not self.store(message, lane):
            overflow = Overflow(self.name, lane, self.limit)
            self.bounce(message, "overflow", MailboxFullError(overflow))
            return overflow
        if lane < COMMANDS:
            self.signal |= URGENT
        if self.state is IDLE:
            self.enqueue()
        return True

    def enqueue(self) -> None:
        """Ask for a turn."""
        self.state = QUEUED
        self.system.dispatcher.enqueue(self)

    def bounce(self, message: object, reason: str, error: Exception | None = None) -> None:
        """See to a message that will not be handled: answer an ask, bury anything else."""
        if isinstance(message, Ask):
            message.fail(error or pykka.ActorDeadError(f"{self.name} is {reason}"))
        else:
            letter = message.bounced() if isinstance(message, Timer) else message
            if letter is not None:
                self.system.dead_letters.add(self.name, letter, reason)

    def ask(self, message: object, timeout: float) -> asyncio.Future[Any]:  # type: ignore[override]
        """Return a future of the handler's return value; `timeout` in seconds.

        It fails with `TimeoutError`, with `MailboxFullError`, with `pykka.ActorDeadError`, with
        `UnhandledMessageError`, or with what the handler raised (which crashes the actor too). Only
        for the edge: inside a handler it raises `ReentrancyError`.
        """
        system = self.system
        future: asyncio.Future[Any] = system.loop.create_future()
        system.dispatcher.ask(self, Ask(message, future), lane_for(message))
        if not future.done():
            timer = system.loop.call_later(timeout, _expire, future, self.name, message, timeout)
            future.add_done_callback(lambda _: timer.cancel())
        return future

    def proxy(self) -> NoReturn:
        """Refuse: a proxy turns every attribute access into a blocking ask. Raises `TypeError`."""
        raise TypeError("an actor on the loop has no proxy: tell it a message")

    def stop(self, **_: object) -> NoReturn:
        """Refuse: an actor is stopped by its supervisor or itself. Raises `TypeError`."""
        raise TypeError("refs do not stop actors: use the supervisor's stop_child")


def _expire(future: asyncio.Future[Any], name: str, message: object, timeout: float) -> None:
    if not future.done():
        what = type(message).__name__
        future.set_exception(TimeoutError(f"{name} did not answer {what} within {timeout} s"))
