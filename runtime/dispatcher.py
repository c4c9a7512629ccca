"""One run queue for all actors of a loop.

An actor with messages stands in the queue once. Its turn handles a quantum of them at most, then it
queues again, so that a busy one does not keep the others waiting; a loop callback handles a budget
of them at most, so that sockets get their turn. The loop hears of the dispatcher only when there is
work.

A turn's inner loop is the hottest code of the kernel: look up the handler, call it, look whether
anything interrupted. Everything unusual (urgent lanes, a kill, a stop, asks, timers, coroutines)
either raises a bit in `ref.signal` or is an entry in the handler table.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from runtime.actor import Handler, unhandled
from runtime.mailbox import COMMANDS, EXITS, Lane
from runtime.messages import FATAL, Killed, ReentrancyError
from runtime.record import NOTHING
from runtime.ref import IDLE, KILL, PARKED, QUEUED, RETRY, RUNNING, STOP, URGENT, Ask, Ref

if TYPE_CHECKING:
    from runtime.lifecycle import Lifecycle
    from runtime.owned import Owned

QUANTUM: Final = 64  # messages in one actor's turn
TURN_BUDGET: Final = 512  # messages in one turn of the loop
DRAIN_LIMIT: Final = 1_000_000
EAGER_ASKS: Final = 64  # asks answered at once between two turns of the loop


class Dispatcher:
    """Runs actors, one message after another, on one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.lifecycle: Lifecycle  # this and the marker are set by the system that owns them
        self.crash_marker: Ref  # never has a turn: where it stands in the queue, a crash waits
        self.queue: deque[Ref] = deque()
        self._crashes: deque[tuple[Ref, int, BaseException]] = deque()
        self.asleep = True  # nothing queued, nothing scheduled
        self.working = False  # a handler may be on the stack
        self.handled = 0  # messages, ever
        self._eager_asks_left = EAGER_ASKS

    # --- called by others

    def enqueue(self, ref: Ref) -> None:
        """Give `ref`, whose state says QUEUED, a turn."""
        self.queue.append(ref)
        if self.asleep:
            self.wake()

    def wake(self) -> None:
        """Ask the loop for a callback."""
        self.asleep = False
        self.loop.call_soon(self._run)

    def drain(self, limit: int = DRAIN_LIMIT) -> int:
        """Run the queue until it is empty or some `limit` messages were handled; return how many.

        What an asynchronous handler or a task has yet to do is not waited for. Raises
        `ReentrancyError` in a handler.
        """
        if self.working:
            raise ReentrancyError("drain() inside a handler: the queue is being run already")
        return self._work(limit)

    def ask(self, ref: Ref, ask: Ask, lane: Lane) -> None:
        """Put `ask` into the mailbox and run the queue at once, without a turn of the loop.

        Only a few times in a row: then the asker has to wait for the loop, which looks after
        sockets before.
        """
        if self.working:
            raise ReentrancyError("ask inside a handler: actors tell, a reply is a message")
        if self._eager_asks_left == 0:
            ref.put(ask, lane)
            return
        self._eager_asks_left -= 1
        was_asleep, self.asleep = self.asleep, False  # nothing to schedule if the queue gets empty
        try:
            ref.put(ask, lane)
            self._work(TURN_BUDGET)
        finally:
            if was_asleep:
                self._sleep_or_schedule()

    def report(self, ref: Ref, error: BaseException) -> None:
        """Leave a crash to the supervisor: next, as soon as no handler is on the stack."""
        self._crashes.append((ref, ref.incarnation, error))
        self.queue.appendleft(self.crash_marker)
        if self.asleep:
            self.wake()

    # --- the run queue

    def _run(self) -> None:
        self._eager_asks_left = EAGER_ASKS
        try:
            self._work(TURN_BUDGET)
        finally:
            self._sleep_or_schedule()

    def _sleep_or_schedule(self) -> None:
        self.asleep = True
        if self.queue:
            self.wake()

    def _work(self, budget: int) -> int:
        """Give turns until nothing is queued or `budget` messages were handled; return how many."""
        queue = self.queue
        turn = self._turn
        left = budget
        self.working = True
        try:
            while queue:
                left -= turn(queue.popleft())
                if left <= 0:
                    break
        finally:
            self.working = False
            self.handled += budget - left
        return budget - left

    # --- one turn

    def _turn(self, ref: Ref) -> int:
        """Let `ref`'s actor handle a batch; return how many messages that were."""
        if ref.state is not QUEUED:
            if ref is not self.crash_marker:
                return 0  # it ended, or ended and was started again, while it stood in the queue
            self.handled -= 1
            self.lifecycle.settle(*self._crashes.popleft())
            return 1  # so that one that fails without end does not block the loop
        lane = COMMANDS
        batch = ref.commands
        if ref.signal or batch is None:
            lane, batch = self._next_batch(ref)
            if not batch:
                return 0
        elif len(batch) <= QUANTUM:
            ref.commands = None
        else:
            waiting, batch = batch, batch[:QUANTUM]
            del waiting[:QUANTUM]
        ref.state = RUNNING
        actor = ref.actor
        lookup = ref.lookup
        rest = iter(batch)
        message: Any = NOTHING
        kind: type | None = None
        handler: Handler
        try:
            for message in rest:
                if message.__class__ is not kind:  # often the same as before
                    kind = message.__class__
                    handler = lookup(kind, unhandled)
                if (result := handler(actor, message)) is not None or ref.signal:
                    if result.__class__ is CoroutineType:
                        self.park(ref, result, message)
                        break
                    if ref.signal:
                        break
            else:
                if (
                    lane is COMMANDS  # so nothing urgent waits, or it had raised the signal
                    and ref.commands is None
                    and ref.prices is None
                    and ref.record is None
                ):
                    ref.state = IDLE
                    return len(batch)
        except FATAL:
            self._interrupt(ref, lane, list(rest))
            raise
        except BaseException as error:  # noqa: BLE001  a CancelledError, too, is this actor's crash and no one else's
            remaining = list(rest)
            ref.put_back(lane, remaining)
            self.lifecycle.crash(ref, error, message)
        else:
            remaining = list(rest)
            self._interrupt(ref, lane, remaining)
        return len(batch) - len(remaining)

    def _next_batch(self, ref: Ref) -> tuple[Lane, list[Any]]:
        """Take what goes next when it is not just a command; nothing if the actor ends here."""
        signal = ref.signal
        if signal & KILL:
            self.lifecycle.crash(ref, Killed(f"{ref.name} was killed"))
        elif signal & STOP:
            self.lifecycle.stop_itself(ref)
        elif signal & RETRY and ref.record is not None:
            ref.signal &= ~RETRY
            ref.record.tried = True
            return COMMANDS, [ref.record.retry]
        else:
            ref.signal &= ~URGENT  # from here on it means: something urgent arrived meanwhile
            lane, batch = ref.take(QUANTUM)
            if batch:
                return lane, batch
            self.resume(ref)
        return COMMANDS, []

    def _interrupt(self, ref: Ref, lane: Lane, remaining: list[Any]) -> None:
        """End a turn that was not quite ordinary."""
        ref.put_back(lane, remaining)
        if ref.state is RUNNING:
            # A fill or an exit that arrived among commands goes next, without another round of the
            # queue.
            self.resume(ref, first=bool(remaining) and lane > EXITS and ref.urgent())

    def resume(self, ref: Ref, *, first: bool = False) -> None:
        """Decide what comes after a turn, an asynchronous handler or a start."""
        record = ref.record
        if record is not None and record.tried:
            record.retry, record.tried = NOTHING, False  # handled this time
        if ref.fills is not None or ref.exits is not None:
            ref.signal |= URGENT
        if ref.signal or ref.commands is not None or ref.prices is not None:
            ref.state = QUEUED
            if first:
                self.queue.appendleft(ref)
            else:
                self.enqueue(ref)
        elif record is not None and record.closing:
            self.lifecycle.finish(ref, "stopped")
        else:
            ref.state = IDLE

    # --- asynchronous handlers

    def park(
        self,
        ref: Ref,
        coroutine: Coroutine[Any, Any, Any],
        message: object,
        then: Callable[[Ref], None] | None = None,
    ) -> None:
        """Let `coroutine` finish before `ref`'s actor handles anything else; then `then`."""
        ref.state = PARKED
        assert ref.actor is not None
        owned = ref.actor.actor_own()
        owned.message = message
        owned.handler = self.loop.create_task(coroutine, name=ref.name)
        owned.handler.add_done_callback(partial(self._unpark, ref, owned, then or self.resume))

    def _unpark(
        self, ref: Ref, owned: "Owned", then: Callable[[Ref], None], task: asyncio.Task[Any]
    ) -> None:
        if owned.handler is not task:
            return  # the actor ended meanwhile and disowned it
        message, owned.message = owned.message, NOTHING
        owned.handler = None
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            if isinstance(message, Ask):
                message.fail(error)
            self.lifecycle.crash(ref, error, message)
            return
        if isinstance(message, Ask):
            message.answer(task.result())
        ref.state = RUNNING
        then(ref)
