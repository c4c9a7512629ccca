"""Supervisors: let it crash, and start it again.

A child that failed is made anew by its factory, at most so often in so long; then the failure is
passed on, or the child is left alone, or dropped. The specs say which; this file does it. A
supervisor is an actor itself and has its own supervisor, up to the system.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from runtime.actor import Actor
from runtime.messages import RestartsExhaustedError
from runtime.ref import DOWN, QUARANTINED, Ref
from runtime.specs import Backoff, ChildSpec, Exhausted, Intensity, Restart, Strategy

__all__ = [
    "Backoff",
    "ChildSpec",
    "Exhausted",
    "Intensity",
    "Restart",
    "Strategy",
    "Supervisor",
]


class Supervisor(Actor):
    """Starts `children` in order, before its own `on_start`; more may follow at run time.

    One that stops takes its children along in reverse order. One that crashes leaves their
    mailboxes to the children of the same names that its next incarnation starts; those nobody
    starts within a minute are buried.
    """

    def __init__(
        self, children: Sequence[ChildSpec] = (), strategy: Strategy = Strategy.ONE_FOR_ONE
    ) -> None:
        super().__init__()
        self._specs = tuple(children)
        self._strategy = strategy
        self._children: dict[str, Ref] = {}  # in start order
        self._group: dict[str, None] = {}  # names that are restarted together when the time comes
        self._group_timer: asyncio.TimerHandle | None = None

    @property
    def children(self) -> Mapping[str, Ref]:
        """The children by name, in start order; a view."""
        return MappingProxyType(self._children)

    def youngest(self) -> Ref:
        """Return the child that was started last. Raises `StopIteration` when there is none."""
        return next(reversed(self._children.values()))

    def start_child(self, spec: ChildSpec) -> Ref:
        """Start a child now. Raises `ValueError` when the name is taken.

        The child's failures, even to start, are supervised and not raised. A quarantined child of
        the same name is given a new life.
        """
        lifecycle = self.system.lifecycle
        ref = lifecycle.admit(spec, self)
        self._children[spec.name] = ref
        lifecycle.start(ref)
        return ref

    def stop_child(self, name: str) -> bool:
        """Stop and forget a child once it has handled what it was told; False if there is none."""
        ref = self._children.get(name)
        if ref is None:
            return False
        self.system.lifecycle.close(ref)
        return True

    # --- hooks

    def on_child_failed(self, name: str, exc: BaseException) -> None:
        """Hear of each failure, before anything is decided; raising makes this supervisor crash."""

    def on_quarantined(self, name: str, exc: BaseException) -> None:
        """Hear that a child is left alone from now on."""

    # --- the kernel's side

    def supervise(self, ref: Ref, error: BaseException) -> None:
        """Decide what becomes of a child that went down; `RestartsExhaustedError` escalates."""
        self.on_child_failed(ref.name, error)
        if ref.state is not DOWN:
            return  # the hook has seen to it
        system, spec = self.system, ref.spec
        record = system.lifecycle.recorded(ref)
        is_stuck, record.stuck = record.stuck, False
        if spec.restart is Restart.TEMPORARY or record.closing or system.stopping:
            system.lifecycle.bury(ref, "crashed")
        elif not is_stuck and record.may_restart(system.clock.monotonic(), spec.intensity):
            delay_s = record.delay(spec.backoff, system.chance)
            if self._strategy is Strategy.ONE_FOR_ONE:
                self._restart(ref, delay_s)
            else:
                self._restart_group(self._affected(ref), delay_s)
        elif spec.on_exhausted is Exhausted.QUARANTINE:
            system.lifecycle.quarantine(ref)
            self.on_quarantined(ref.name, error)
        elif spec.on_exhausted is Exhausted.STOP:
            system.lifecycle.bury(ref, "exhausted")
        else:
            self.escalate(ref, error)

    def escalate(self, ref: Ref, error: BaseException) -> None:
        """Pass a failure on: by raising, which crashes this supervisor."""
        often = ref.spec.intensity
        raise RestartsExhaustedError(
            f"{ref.name} failed more than {often.max_restarts} times in {often.period_s:g} s"
        ) from error

    def forget(self, ref: Ref) -> None:
        """Drop a child that is gone."""
        if self._children.get(ref.name) is ref:
            del self._children[ref.name]

    def actor_begin(self) -> Coroutine[Any, Any, None] | None:
        """Start the children, then itself."""
        for spec in self._specs:
            self.start_child(spec)
        return super().actor_begin()

    def actor_abandon(self) -> None:
        """Orphan the children, the youngest first."""
        self._cancel_group()
        children = tuple(reversed(self._children.values()))
        self._children.clear()
        self.system.lifecycle.orphan(children)

    def actor_finish(self) -> None:
        """Stop the children as they stand, the youngest first."""
        self._cancel_group()
        for ref in tuple(reversed(self._children.values())):
            self.system.lifecycle.finish(ref, "stopped")

    # --- restarting

    def _restart(self, ref: Ref, delay_s: float) -> None:
        lifecycle = self.system.lifecycle
        if delay_s <= 0:
            lifecycle.start(ref)
            return
        record = lifecycle.recorded(ref)
        record.timer = self.system.loop.call_later(delay_s, self._backoff_over, ref)

    def _backoff_over(self, ref: Ref) -> None:
        if ref.record is not None:
            ref.record.timer = None
        self.system.lifecycle.start(ref)

    def _affected(self, failed: Ref) -> list[Ref]:
        """Return who goes down with `failed`, in start order, itself included."""
        living = [ref for ref in self._children.values() if ref.state is not QUARANTINED]
        if self._strategy is Strategy.ONE_FOR_ALL:
            return living
        return living[living.index(failed) :]

    def _restart_group(self, group: Sequence[Ref], delay_s: float) -> None:
        lifecycle = self.system.lifecycle
        for ref in reversed(group):
            if ref.spec.restart is Restart.TEMPORARY:
                lifecycle.finish(ref, "stopped")
            else:
                lifecycle.halt(ref)
                self._group[ref.name] = None
        if (
            self._group_timer is not None
        ):  # another member's backoff has not ended: the later one counts
            delay_s = max(delay_s, self._group_timer.when() - self.system.loop.time())
            self._group_timer.cancel()
            self._group_timer = None
        if delay_s <= 0:
            self._start_group()
        else:
            self._group_timer = self.system.loop.call_later(delay_s, self._start_group)

    def _start_group(self) -> None:
        self._group_timer = None
        names, self._group = self._group, {}
        for ref in [ref for name, ref in self._children.items() if name in names]:
            if ref.state is DOWN:
                self.system.lifecycle.start(ref)

    def _cancel_group(self) -> None:
        self._group.clear()
        if self._group_timer is not None:
            self._group_timer.cancel()
            self._group_timer = None
