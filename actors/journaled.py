"""The shell that all owners of facts share.

Journal what was decided, release its effects once it is durable.
"""

from collections.abc import Callable, Sequence
from typing import Any

from actors import names
from actors.messages import Append, Committed
from actors.world import World
from runtime.actor import Actor, Terminated, handles


class Stream:
    """One stream that an actor writes: its version, what of it is durable, what waits for that."""

    __slots__ = ("durable", "held", "name", "state", "version")

    def __init__(self, name: str, version: int, durable: int, state: Any) -> None:
        self.name = name
        self.version = version
        self.durable = durable
        self.state = state
        self.held: list[
            tuple[int, Any]
        ] = []  # (version it waits for, effect); a deque takes 0.7 kB


class Journaled(Actor):
    """An actor whose facts are streams of events.

    State evolves at once, effects wait: what the world sees never runs ahead of the disk. `release`
    is called for every effect, in order.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.streams: dict[str, Stream] = {}

    def open_stream(self, name: str) -> Stream:
        """Go on with a stream from its latest state; a new one starts at version 0."""
        version, state = self.world.states.latest.get(name, (0, None))
        durable, _ = self.world.states.durable.get(name, (0, None))
        stream = self.streams[name] = Stream(name, version, durable, state)
        return stream

    def journal(
        self,
        stream: Stream,
        events: Sequence[Any],
        evolve: Callable[[Any, Any], Any],
        then: Sequence[Any] = (),
    ) -> None:
        """Evolve the stream by `events`, send them to the journal, hold `then` until durable."""
        if events:
            first = stream.version + 1
            states = []
            for event in events:
                stream.state = evolve(stream.state, event)
                states.append(stream.state)
            stream.version += len(events)
            self.world.states.latest[stream.name] = (stream.version, stream.state)
            self.tell(
                names.PERSISTENCE,
                Append(
                    writer=self.name,
                    stream=stream.name,
                    first_version=first,
                    events=tuple(events),
                    states=tuple(states),
                    at=self.world.clock.now(),
                    leads_on=any(map(self.leads_on, then)),
                ),
            )
        for effect in then:
            at_once = self.leads_on(effect) or self.may_leave_at_once(effect)
            if stream.durable >= stream.version or at_once:
                self.release(effect)
            else:
                stream.held.append((stream.version, effect))

    @handles(Committed)
    def on_committed(self, committed: Committed) -> None:
        """Release what waited for these events."""
        stream = self.streams.get(committed.stream)
        if stream is None:
            return
        stream.durable = max(stream.durable, committed.version)
        held = stream.held
        while held and held[0][0] <= stream.durable:
            self.release(held.pop(0)[1])

    @handles(Terminated)
    def on_terminated(self, terminated: Terminated) -> None:
        """A watched neighbor is gone for good, as in a shutdown."""

    def tell_positions(self, message: Any) -> None:
        """Tell every live position; cheaper than if each watched us, and only after a restart."""
        for position in self.world.states.latest_of("position"):
            self.tell(names.position(position.id), message)

    def may_leave_at_once(self, effect: Any) -> bool:
        """Whether an effect needs no durable event before it."""
        del effect
        return False

    def leads_on(self, effect: Any) -> bool:
        """Whether whoever gets an effect, which leaves at once, journals more before it acts.

        The journal has one order: when what follows is durable, so is what it follows from.
        """
        del effect
        return False

    def release(self, effect: Any) -> None:
        """Do what an effect says: usually, tell somebody."""
        raise NotImplementedError
