"""An actor: state that nobody else touches, changed by one message at a time.

    class Greeter(Actor):
        @handles(Greet)
        def greet(self, message: Greet) -> None:
            self.tell(message.reply_to, Greeted(by=self.name))

Handlers are found by the message's exact type in a table built per class. An ordinary handler runs
to its end before anything else happens on the loop. An `async def` handler parks the actor: its
mailbox waits until it has finished, so order holds, but a guard must not do that. What takes time
is better a `self.run(...)` that tells the result.

These are Pykka's actors without its thread, uuid, event and registry; `pykka.ThreadingActor` is
there for code that blocks.
"""

import asyncio
from collections.abc import Callable, Coroutine
from types import CoroutineType, UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Protocol, TypeVar, get_args

from runtime.mailbox import Overflow
from runtime.messages import Restarted, Terminated, UnhandledMessageError
from runtime.owned import Owned
from runtime.ref import IDLE, STOP, Ask, Ref
from runtime.timers import Timer

if TYPE_CHECKING:
    from runtime.system import ActorSystem

    class PykkaActor:
        """Stands in for `pykka.Actor`, whose `on_failure` takes three arguments, ours one."""
else:
    from pykka import Actor as PykkaActor

__all__ = ["Actor", "Restarted", "Terminated", "Timer", "handles"]

H = TypeVar("H", bound=Callable[..., Any])
Handler = Callable[[Any, Any], Any]


class Lookup(Protocol):
    """The `get` of a handler table."""

    def __call__(self, message_type: type, otherwise: Handler, /) -> Handler: ...


def handles(*message_types: type | UnionType) -> Callable[[H], H]:
    """Mark a method as the handler of these message types or a union's; not of subclasses."""

    def mark(method: H) -> H:
        types: list[type] = []
        for message_type in message_types:
            types.extend(
                get_args(message_type) if isinstance(message_type, UnionType) else [message_type]
            )
        method.__dict__["handled_types"] = tuple(types)
        return method

    return mark


def unhandled(actor: "Actor", message: object) -> None:
    """Handle a message of a type that `actor` has no handler for."""
    actor.system.dead_letters.add(actor.name, message, "unhandled")


def _answer(actor: "Actor", ask: Ask) -> object:
    """Handle the message of an ask; an error is answered and then crashes the actor."""
    message = ask.message
    if ask.future.done():
        actor.system.dead_letters.add(actor.name, message, "expired")  # definitely not done
        return None
    handler = actor.actor_lookup(message.__class__, unhandled)
    if handler is unhandled:
        ask.fail(UnhandledMessageError(f"{actor.name} does not handle {type(message).__name__}"))
        unhandled(actor, message)
        return None
    try:
        result = handler(actor, message)
    except BaseException as error:
        ask.fail(error)
        raise
    if result.__class__ is CoroutineType:
        return result  # answered when it has finished
    ask.answer(result)
    return None


def _timed(actor: "Actor", timer: Timer) -> object:
    if timer.delivered():
        handler = actor.actor_lookup(timer.message.__class__, unhandled)
        return handler(actor, timer.message)
    return None


class _Unbound(dict[str, Ref]):
    def get(self, *_: object) -> NoReturn:
        raise RuntimeError("an actor has no name before on_start: do not tell in __init__")


_UNBOUND: Final = _Unbound()


class Actor(PykkaActor):
    """Base of all actors on the loop.

    Subclasses take what they need in `__init__`; name and system are known from `on_start` on.
    Names that begin with `actor_` are the kernel's (as in Pykka).
    """

    __slots__ = ("_peers", "_ref", "actor_owned")

    actor_lookup: ClassVar[Lookup]  # of the handler table, made once per class
    _handler_names: ClassVar[dict[type, str]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        names: dict[type, str] = {}
        for base in reversed(cls.__mro__[1:]):
            names.update(vars(base).get("_handler_names", {}))
        own: dict[type, str] = {}
        for name, method in vars(cls).items():
            for message_type in getattr(method, "handled_types", ()):
                if message_type in own:
                    raise TypeError(f"{cls.__name__} handles {message_type.__name__} twice")
                own[message_type] = name
        cls._handler_names = names | own
        # By name, so that overriding an inherited handler needs no second decorator.
        table: dict[type, Handler] = {}
        for message_type, name in cls._handler_names.items():
            table[message_type] = getattr(cls, name)
        table[Ask] = _answer
        table[Timer] = _timed
        cls.actor_lookup = table.get

    def __init__(self) -> None:
        self._ref: Ref | None = None
        self._peers: dict[str, Ref] = _UNBOUND
        self.actor_owned: Owned | None = None

    # --- who and where

    @property
    def name(self) -> str:
        """The name messages reach this actor by."""
        return self.actor_ref.name

    @property
    def system(self) -> "ActorSystem":
        """The system it lives in."""
        return self.actor_ref.system

    @property
    def incarnation(self) -> int:
        """1 in the first life of the name, one more after each restart."""
        return self.actor_ref.incarnation

    # --- hooks

    def on_start(self) -> Coroutine[Any, Any, None] | None:
        """Begin; the first message comes after. May be `async def`: the mailbox waits meanwhile."""

    def on_stop(self) -> None:
        """End in good order; not called after a crash."""

    def on_failure(self, exc: BaseException) -> None:
        """End after a crash: the state may be half changed. The supervisor decides what follows."""

    # --- what an actor can do

    def tell(self, name: str, message: object) -> bool | Overflow:
        """Send `message`: True, an `Overflow`, or False where it became a dead letter."""
        ref = self._peers.get(name)
        if ref is None:
            self.system.dead_letters.add(name, message, "unknown")
            return False
        return ref.tell(message)

    def after(self, delay_s: float, message: object) -> Timer:
        """Get `message` in `delay_s` seconds, unless canceled, stopped or crashed until then."""
        return Timer(self._living(), self.actor_own(), delay_s, message, repeat=False)

    def every(self, period_s: float, message: object) -> Timer:
        """Get `message` each `period_s` seconds; never two at a time, missed ones are skipped."""
        if period_s <= 0:
            raise ValueError(f"a period must be positive, not {period_s} s")
        return Timer(self._living(), self.actor_own(), period_s, message, repeat=True)

    def watch(self, name: str) -> None:
        """Get `Restarted` and `Terminated` of `name`; `Terminated` at once if there is no such."""
        if self.system.lifecycle.watch(self._living(), name):
            self.actor_own().watched[name] = None

    def unwatch(self, name: str) -> None:
        """Undo `watch`."""
        self.system.lifecycle.unwatch(self.actor_ref, name)
        self.actor_own().watched.pop(name, None)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `coroutine` beside the mailbox; canceled when the actor ends; its error crashes."""
        try:
            loop = self._living().system.loop
        except RuntimeError:
            coroutine.close()
            raise
        task = loop.create_task(coroutine, name=self.name)
        self.actor_own().tasks[task] = None
        task.add_done_callback(self._task_done)
        return task

    def stop(self) -> None:
        """End after the message at hand; what waits becomes dead letters."""
        ref = self.actor_ref
        if ref.actor is self:
            ref.signal |= STOP
            if ref.state is IDLE:
                ref.enqueue()

    # --- the kernel's side

    @property
    def actor_ref(self) -> Ref:
        """The ref of its name. Raises `RuntimeError` before the actor has one."""
        if self._ref is None:
            raise RuntimeError("an actor has no name before on_start")
        return self._ref

    def actor_bind(self, ref: Ref) -> None:
        """Give the actor its name. Raises `RuntimeError` when it had one."""
        try:
            before = self._ref
        except AttributeError:  # a subclass that does not call our __init__
            before = None
        if before is not None:
            raise RuntimeError(f"the factory of {ref.name} must make a new actor each time")
        self._ref = ref
        self._peers = ref.system.directory.refs
        self.actor_owned = None

    def actor_own(self) -> Owned:
        """Return what it owns."""
        if self.actor_owned is None:
            self.actor_owned = Owned()
        return self.actor_owned

    def actor_begin(self) -> Coroutine[Any, Any, None] | None:
        """Start; a supervisor starts its children first."""
        return self.on_start()

    def actor_abandon(self) -> None:
        """Prepare to end with a restart in view; a supervisor's children are orphaned."""

    def actor_finish(self) -> None:
        """Prepare to end for good; a supervisor's children are finished first."""

    def _living(self) -> Ref:
        """Return its ref. Raises `RuntimeError` after its end: nothing may outlive it."""
        ref = self.actor_ref
        if ref.actor is not self:
            raise RuntimeError(f"this incarnation of {ref.name} has ended")
        return ref

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        owned = self.actor_owned
        if owned is None or task not in owned.tasks:
            return  # the actor has ended and disowned it
        del owned.tasks[task]
        if not task.cancelled():
            error = task.exception()
        elif task.cancelling():
            error = None  # somebody meant it
        else:
            error = asyncio.CancelledError("a task waited for something that was canceled")
        if error is not None:
            self.system.lifecycle.crash(self.actor_ref, error)

    # --- what Pykka wants of an actor, and a loop actor has no use for

    @classmethod
    def start(cls, *_: object, **__: object) -> NoReturn:
        """Refuse: Pykka would enter the actor into its global registry. Raises `TypeError`."""
        raise TypeError("actors on the loop are started by a supervisor from a ChildSpec")

    _create_actor_inbox = _create_future = _start_actor_loop = start
