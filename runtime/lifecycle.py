"""How an actor's life begins and ends.

There are three ways to end it:

    crash   something raised: `on_failure`, the name goes DOWN, its supervisor decides
    halt    taken along by a restart of its group or supervisor: `on_stop`, the name goes DOWN
    finish  it is done, or told to stop: `on_stop`, the name is buried

All of them cancel the actor's timers, tasks and watches. The first two leave the mailbox for the
next incarnation, together with the message that was being handled: retried once if the actor
crashed over it, then a dead letter; or, where a fill must not be dropped, the end of restarts.
"""

import asyncio
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from runtime.mailbox import FILLS, lane_for
from runtime.messages import FATAL, Restarted, StoppedByItselfError, Terminated
from runtime.record import NOTHING, Record
from runtime.ref import (
    DOWN,
    IDLE,
    KILL,
    ORPHANED,
    PARKED,
    QUARANTINED,
    RETRY,
    RUNNING,
    STOPPED,
    URGENT,
    Ask,
    Ref,
)
from runtime.specs import ChildSpec, Restart
from runtime.timers import Timer

if TYPE_CHECKING:
    from runtime.actor import Actor
    from runtime.supervisor import Supervisor
    from runtime.system import ActorSystem

# How long the mailboxes of a crashed supervisor's children wait for its next incarnation to start
# them again.
ORPHAN_GRACE_S: Final = 60.0

_ABSENT: Final = (DOWN, ORPHANED, QUARANTINED)

Orphans = tuple[tuple[Ref, int], ...]  # with their incarnations


class Lifecycle:
    """Starts and ends the actors of one system, as supervisors and actors decide."""

    def __init__(self, system: "ActorSystem") -> None:
        self.system = system
        self.restarts_total = 0
        self.ending: set[asyncio.Task[Any]] = set()  # canceled with their owner, not over yet
        self._farewells: dict[str, asyncio.Future[None]] = {}
        self._orphans: dict[Orphans, asyncio.TimerHandle] = {}

    # --- beginning

    def admit(self, spec: ChildSpec, parent: "Supervisor") -> Ref:
        """Return the ref for a new child; an orphaned or quarantined namesake leaves its own.

        Raises `ValueError` when the name is taken.
        """
        directory = self.system.directory
        ref = directory.refs.get(spec.name)
        if ref is None:
            ref = Ref(spec, parent, self.system)
            directory.refs[spec.name] = ref
            return ref
        if ref.state is QUARANTINED:
            ref.record = None  # who starts it again has looked at why it failed
            ref.parent.forget(ref)
        elif ref.state is not ORPHANED:
            raise ValueError(f"the name {spec.name!r} is taken by a living actor")
        ref.spec, ref.parent = spec, parent
        ref.limit, ref.price_limit = spec.limits.commands, spec.limits.prices
        ref.state = DOWN
        return ref

    def start(self, ref: Ref) -> None:
        """Make the actor and call its `on_start`; if either raises, it crashed."""
        system = self.system
        dispatcher = system.dispatcher
        was_working, dispatcher.working = dispatcher.working, True
        ref.state = RUNNING  # what it is told meanwhile waits
        ref.incarnation += 1
        try:
            actor = ref.spec.factory()
            actor.actor_bind(ref)
            ref.actor = actor
            ref.lookup = actor.actor_lookup
            result = actor.actor_begin()
        except FATAL:
            raise
        except BaseException as error:  # noqa: BLE001  it ends anyway; the supervisor raises the alarm
            self.crash(ref, error)
        else:
            if result is not None and result.__class__ is CoroutineType:
                dispatcher.park(ref, result, NOTHING, self._started)
            elif (
                ref.incarnation > 1
                or ref.signal
                or ref.record is not None
                or ref.commands
                or ref.prices
            ):
                self._started(ref)
            else:
                ref.state = IDLE  # a first life and an empty mailbox: what most starts are
        finally:
            dispatcher.working = was_working

    def _started(self, ref: Ref) -> None:
        record = ref.record
        if record is not None and record.retry is not NOTHING:
            ref.signal |= RETRY
        if ref.incarnation > 1:
            self.restarts_total += 1
            self.system.restarts[ref.name] += 1
            self._tell_watchers(ref, Restarted(ref.name, ref.incarnation))
        self.system.dispatcher.resume(ref)

    # --- crashing

    def crash(self, ref: Ref, error: BaseException, message: object = NOTHING) -> None:
        """End the actor because of `error`, raised over `message` if one was being handled."""
        actor = self._take_down(ref)
        self._keep(ref, message)
        if actor is not None:
            try:
                actor.on_failure(error)
            except FATAL:
                raise
            except BaseException as second:  # noqa: BLE001  the first error is the one to report
                error.add_note(f"on_failure of {ref.name} raised as well: {second!r}")
            actor.actor_abandon()
            self._release(ref, actor)
        self.system.dispatcher.report(ref, error)

    def kill(self, ref: Ref, error: Exception) -> bool:
        """Make the actor crash before its next message, or out of an asynchronous handler."""
        if ref.actor is None:
            return False
        if ref.state is PARKED:
            if self.system.dispatcher.working:  # the handler on the stack may be a child's
                self.system.loop.call_soon(self.kill, ref, error)
            else:
                self.crash(ref, error)
            return True
        ref.signal |= KILL
        if ref.state is IDLE:
            ref.enqueue()
        return True

    def settle(self, ref: Ref, incarnation: int, error: BaseException) -> None:
        """Let the supervisor decide about a crash, unless it was settled along with another's."""
        if ref.state is not DOWN or ref.incarnation != incarnation:
            return
        parent = ref.parent
        try:
            parent.supervise(ref, error)
        except FATAL:
            raise
        except BaseException as worse:  # noqa: BLE001  an escalation, or a bug in the supervisor's hooks
            self.crash(parent.actor_ref, worse)

    # --- halting

    def halt(self, ref: Ref) -> None:
        """End the actor so that it can be started anew; nothing if it is down already."""
        if ref.record is not None:
            ref.record.cancel_timer()
        actor = self._take_down(ref)
        if actor is not None:
            actor.actor_abandon()
            self._say_goodbye(ref, actor)
            self._release(ref, actor)

    def orphan(self, refs: tuple[Ref, ...]) -> None:
        """Halt the children of a supervisor that goes down; for a while their mailboxes wait."""
        for ref in refs:
            self.halt(ref)
            ref.state = ORPHANED
        orphans = tuple((ref, ref.incarnation) for ref in refs)
        if orphans:
            loop = self.system.loop
            self._orphans[orphans] = loop.call_later(ORPHAN_GRACE_S, self._sweep, orphans)
            if self.system.stopping:
                self.sweep()

    def sweep(self) -> None:
        """Bury all orphans now."""
        for orphans, handle in tuple(self._orphans.items()):
            handle.cancel()
            self._sweep(orphans)

    def _sweep(self, orphans: Orphans) -> None:
        del self._orphans[orphans]
        for ref, incarnation in orphans:
            if ref.state is ORPHANED and ref.incarnation == incarnation:
                self.bury(ref, "orphaned")

    # --- finishing

    def close(self, ref: Ref) -> None:
        """Stop the actor after what it has been told already."""
        if ref.state is IDLE:
            self.finish(ref, "stopped")
        elif ref.state in _ABSENT:
            self.bury(ref, "stopped")
        elif ref.state is not STOPPED:
            self.recorded(ref).closing = True

    def stop_itself(self, ref: Ref) -> None:
        """Stop the actor because it asked for it; a permanent one is restarted then."""
        closing = ref.record is not None and ref.record.closing
        if ref.spec.restart is not Restart.PERMANENT or closing or self.system.stopping:
            self.finish(ref, "stopped")
        else:
            self.halt(ref)
            error = StoppedByItselfError(f"{ref.name} is permanent and stopped by itself")
            self.system.dispatcher.report(ref, error)

    def finish(self, ref: Ref, reason: str) -> None:
        """Stop the actor now; what waits for it becomes dead letters."""
        if ref.state is STOPPED:
            return
        actor = self._take_down(ref)
        if actor is not None:
            actor.actor_finish()
            self._say_goodbye(ref, actor)
            self._release(ref, actor)
        self.bury(ref, reason)

    def quarantine(self, ref: Ref) -> None:
        """Leave the name taken but refuse all messages."""
        ref.state = QUARANTINED
        self._leave(ref, "quarantined")

    def bury(self, ref: Ref, reason: str) -> None:
        """Forget the name."""
        if ref.state is STOPPED:
            return
        ref.state = STOPPED
        self.system.directory.remove(ref)
        ref.parent.forget(ref)
        self._leave(ref, reason)
        self.system.restarts.pop(ref.name, None)
        self.system.conflated_of_buried += ref.conflated
        farewell = self._farewells.pop(ref.name, None)
        if farewell is not None and not farewell.done():
            farewell.set_result(None)

    async def gone(self, ref: Ref) -> None:
        """Wait until the name is buried."""
        if ref.state is not STOPPED:
            loop = self.system.loop
            await self._farewells.setdefault(ref.name, loop.create_future())

    # --- death watch

    def watch(self, watcher: Ref, name: str) -> bool:
        """Tell `watcher` of `name`'s restarts and end; at once, and return False, if it is gone."""
        target = self.system.directory.get(name)
        if target is None or not target.is_alive():
            reason = "unknown" if target is None else target.state.value
            watcher.tell(Terminated(name, reason))
            return False
        if target.watchers is None:
            target.watchers = {}
        target.watchers[watcher.name] = None
        return True

    def unwatch(self, watcher: Ref, name: str) -> None:
        """Undo `watch`."""
        target = self.system.directory.get(name)
        if target is not None and target.watchers is not None:
            target.watchers.pop(watcher.name, None)

    def _tell_watchers(self, ref: Ref, news: Restarted | Terminated) -> None:
        refs = self.system.directory.refs
        for name in tuple(ref.watchers or ()):
            watcher = refs.get(name)
            if watcher is not None:
                watcher.tell(news)

    # --- the parts they share

    def recorded(self, ref: Ref) -> Record:
        """Return the name's record, begun now if it had none."""
        if ref.record is None:
            ref.record = Record()
        return ref.record

    def disown(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task whose owner has ended; an error on its way out goes to the loop."""
        task.cancel()
        self.ending.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.ending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            what = f"a task of {task.get_name()}, canceled as its owner ended, raised"
            self.system.loop.call_exception_handler({"message": what, "exception": error})

    def _take_down(self, ref: Ref) -> "Actor | None":
        actor, ref.actor = ref.actor, None
        ref.state = DOWN
        ref.signal &= URGENT
        owned = actor.actor_owned if actor is not None else None
        if owned is not None and owned.handler is not None:
            interrupted, owned.message = owned.message, NOTHING
            if isinstance(interrupted, Ask):
                ref.bounce(interrupted, "stopped")
            elif interrupted is not NOTHING and not isinstance(interrupted, Timer):
                record = self.recorded(ref)
                record.retry, record.tried = interrupted, False
        return actor

    def _keep(self, ref: Ref, message: object) -> None:
        """Keep the message that crashed the actor for one more try, or give it up after that."""
        record = ref.record
        if record is not None and record.tried:
            record.tried = False
            if lane_for(record.retry) is FILLS and not ref.spec.drops_fills:
                record.stuck = True
                return
            poison, record.retry = record.retry, NOTHING
            self.system.dead_letters.add(ref.name, poison, "poison")
        elif message is not NOTHING and not isinstance(message, Ask | Timer):
            # An ask has been answered with the error; a timer ended with its actor.
            self.recorded(ref).retry = message

    def _say_goodbye(self, ref: Ref, actor: "Actor") -> None:
        try:
            actor.on_stop()
        except FATAL:
            raise
        except BaseException as error:  # noqa: BLE001  it ends anyway; the supervisor raises the alarm
            ref.parent.on_child_failed(ref.name, error)

    def _release(self, ref: Ref, actor: "Actor") -> None:
        owned = actor.actor_owned
        if owned is not None:
            owned.release(self.disown)
            for name in owned.watched:
                self.unwatch(ref, name)
            owned.watched.clear()

    def _leave(self, ref: Ref, reason: str) -> None:
        """See to what a name leaves behind: messages, a pending restart, watchers."""
        record, ref.record = ref.record, None
        ref.signal = 0
        left = ref.empty()
        if record is not None:
            record.cancel_timer()
            if record.retry is not NOTHING:
                left.insert(0, record.retry)
        for message in left:
            ref.bounce(message, reason)
        watchers = ref.watchers
        if watchers is not None:
            self._tell_watchers(ref, Terminated(ref.name, reason))
            ref.watchers = None
