"""The actors of one loop, and the doors to them from outside."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, NoReturn

import pykka

from runtime.dead_letters import DeadLetters
from runtime.directory import Directory
from runtime.dispatcher import Dispatcher
from runtime.lifecycle import Lifecycle
from runtime.mailbox import Overflow
from runtime.messages import Killed, RestartsExhaustedError
from runtime.ports import Chance, Clock
from runtime.ref import Ref
from runtime.specs import ChildSpec
from runtime.supervisor import Supervisor

SLEEP_S = 0.1  # the two clocks are not read at the same instant


class ActorSystem:
    """Owns a loop's actors. Everything is called on the loop's thread, but for `tell_threadsafe`.

    `failed` gets the error of a root that failed more often than its spec allows: the process
    should end then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, *, chance: Chance) -> None:
        self.loop = loop
        self.clock = clock
        self.chance = chance
        self.directory = Directory()
        self.dead_letters = DeadLetters()
        self.dispatcher = Dispatcher(loop)
        self.lifecycle = self.dispatcher.lifecycle = Lifecycle(self)
        self.failed: asyncio.Future[None] = loop.create_future()
        self.stopping = False
        self.restarts: Counter[str] = Counter()  # by living name
        self.conflated_of_buried = 0
        self._was_ahead_s = self.ahead_s
        self._guardian = _Guardian(self)
        self.dispatcher.crash_marker = self._guardian.actor_ref

    # --- sending

    def spawn_root(self, spec: ChildSpec) -> Ref:
        """Start the root of a tree. Raises `ValueError` when the name is taken."""
        return self._guardian.start_child(spec)

    def tell(self, name: str, message: object) -> bool | Overflow:
        """Send `message`: True, an `Overflow`, or False where it became a dead letter."""
        ref = self.directory.refs.get(name)
        if ref is None:
            self.dead_letters.add(name, message, "unknown")
            return False
        return ref.tell(message)

    def tell_threadsafe(self, name: str, message: object) -> None:
        """Send `message` from any thread. Raises `RuntimeError` when the loop is closed."""
        self.loop.call_soon_threadsafe(self.tell, name, message)

    def ask(self, name: str, message: object, timeout_s: float) -> asyncio.Future[Any]:
        """Return a future of the handler's return value; see `Ref.ask`. Only for the edge."""
        ref = self.directory.refs.get(name)
        if ref is not None:
            return ref.ask(message, timeout_s)
        self.dead_letters.add(name, message, "unknown")
        future: asyncio.Future[Any] = self.loop.create_future()
        future.set_exception(pykka.ActorDeadError(f"there is no actor {name!r}"))
        return future

    def wake(self) -> None:
        """Let timers come when they are due, if the computer has slept since the last time."""
        ahead_s = self.ahead_s
        if ahead_s - self._was_ahead_s < SLEEP_S:
            return
        self._was_ahead_s = ahead_s
        for ref in self.directory:
            owned = None if ref.actor is None else ref.actor.actor_owned
            if owned is not None:
                for timer in owned.timers:
                    timer.look_again()

    # --- looking

    @property
    def ahead_s(self) -> float:
        """How far the clock is ahead of the loop's time; a sleep makes it more."""
        return self.clock.monotonic() - self.loop.time()

    def find(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with `prefix`, sorted."""
        return self.directory.find(prefix)

    @property
    def handled(self) -> int:
        """Messages handled, ever."""
        return self.dispatcher.handled

    @property
    def restarts_total(self) -> int:
        """Restarts, ever, also of names that are gone."""
        return self.lifecycle.restarts_total

    @property
    def conflated_total(self) -> int:
        """Prices dropped for newer ones, ever."""
        return self.conflated_of_buried + sum(ref.conflated for ref in self.directory)

    def mailbox_depths(self) -> dict[str, int]:
        """Return how many messages wait, by name, without those that have none."""
        return {ref.name: depth for ref in self.directory if (depth := ref.depth())}

    # --- ending

    def kill(self, name: str) -> bool:
        """Make an actor crash before its next message, as a drill; False if there is none alive."""
        ref = self.directory.get(name)
        return ref is not None and self.lifecycle.kill(ref, Killed(f"{name} was killed"))

    def fail(self, error: BaseException) -> None:
        """Report that the system cannot go on."""
        if not self.failed.done():
            self.failed.set_exception(error)

    async def stop(self, timeout_s: float) -> bool:
        """Stop every actor, children before their supervisor, the youngest first.

        Each handles what it was told already. After `timeout_s` seconds the rest is stopped as it
        stands; returns whether that was not needed.
        """
        self.stopping = True
        in_time = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._stop_children(self._guardian)
        except TimeoutError:
            in_time = False
            self._guardian.actor_finish()
        self.lifecycle.sweep()
        if self.lifecycle.ending:  # canceled, but a task may take its time
            await asyncio.wait(tuple(self.lifecycle.ending), timeout=timeout_s)
        return in_time

    async def _stop_children(self, supervisor: Supervisor) -> None:
        while supervisor.children:
            ref = supervisor.youngest()
            if isinstance(ref.actor, Supervisor):
                await self._stop_children(ref.actor)
            self.lifecycle.close(ref)
            await self.lifecycle.gone(ref)


class _Guardian(Supervisor):
    """Supervises the roots, and is no actor itself: there is nobody to restart it."""

    def __init__(self, system: ActorSystem) -> None:
        super().__init__()
        self.actor_bind(Ref(ChildSpec("", _no_second_guardian), self, system))

    def escalate(self, ref: Ref, error: BaseException) -> None:
        try:
            super().escalate(ref, error)
        except RestartsExhaustedError as exhausted:
            self.system.lifecycle.bury(ref, "exhausted")
            self.system.fail(exhausted)


def _no_second_guardian() -> NoReturn:
    raise AssertionError("the guardian is not restarted")
