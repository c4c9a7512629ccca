"""What a stream of events is the history of, and how its state follows from them.

A stream is named "kind/rest": "order/<client_order_id>". Its kind says which state its events fold
to, with which function, and when that state needs no place in memory any more. Storage itself knows
no kind; the daemon registers them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import msgspec

from storage.codec import EventCodec, Upcaster, schema_version_of
from storage.errors import NewerSchemaError

Versioned = tuple[int, Any]  # version of the last event, state after it
Streams = dict[str, Versioned]


def _nobody(_state: Any) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamKind:
    """One kind of stream.

    `events` is a union of event classes or a tuple of them. A state that is `is_retired` is dropped
    from memory once the stream that `owner` names, if any, is retired or gone; should it get one
    more event, it is folded anew from the journal. `intents` gives, for the events that intend an
    order, the `client_order_id`: it may come once only.
    """

    name: str
    state_type: type[msgspec.Struct]
    evolve: Callable[[Any, Any], Any]
    events: Any
    is_retired: Callable[[Any], bool]
    owner: Callable[[Any], str | None] = _nobody
    intents: Mapping[type, Callable[[Any], str]] = field(default_factory=dict)
    upcasters: Mapping[tuple[str, int], Upcaster] = field(default_factory=dict)

    @property
    def event_types(self) -> tuple[type[msgspec.Struct], ...]:
        """The event classes."""
        if isinstance(self.events, tuple):
            return self.events
        return get_args(self.events) or (self.events,)


def _streams_of(state_type: type[msgspec.Struct]) -> Any:
    return dict[str, tuple[int, state_type]]  # type: ignore[valid-type]


class StreamRegistry:
    """All kinds of stream of a daemon.

    Raises `ValueError` when two kinds give one name to different events.
    """

    def __init__(self, kinds: Iterable[StreamKind]) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self.intents: dict[type, Callable[[Any], str]] = {}
        event_types: dict[str, type[msgspec.Struct]] = {}
        upcasters: dict[tuple[str, int], Upcaster] = {}
        for kind in self._kinds.values():
            for event_type in kind.event_types:
                if event_types.setdefault(event_type.__name__, event_type) is not event_type:
                    message = f"two event classes are named {event_type.__name__}"
                    raise ValueError(message)
            self.intents.update(kind.intents)
            upcasters.update(kind.upcasters)
        self.codec = EventCodec(event_types, upcasters)
        self._encode_states = msgspec.msgpack.Encoder().encode
        self._decoders = {
            name: msgspec.msgpack.Decoder(_streams_of(kind.state_type))
            for name, kind in self._kinds.items()
        }

    def kind_of(self, stream: str) -> StreamKind:
        """Return the kind of "kind/rest".

        Raises `NewerSchemaError` for one that this version does not know.
        """
        kind = self._kinds.get(stream[: stream.find("/")])
        if kind is None:
            known = ", ".join(sorted(self._kinds))
            raise NewerSchemaError(f"stream {stream}", "a kind unknown here", f"the kinds {known}")
        return kind

    def state_versions(self) -> dict[str, int]:
        """Return the shape of each kind's state; a snapshot of other shapes is not used."""
        return {kind.name: schema_version_of(kind.state_type) for kind in self._kinds.values()}

    def encode_states(self, streams: Streams) -> bytes:
        """Return streams of one kind as a snapshot keeps them: without what equals its default."""
        return self._encode_states(streams)

    def decode_states(self, kind: str, data: memoryview) -> Streams:
        """Return streams of a known kind from a snapshot. Raises `msgspec.ValidationError`."""
        streams: Streams = self._decoders[kind].decode(data)
        return streams

    def is_needed(self, stream: str, streams: Mapping[str, Versioned]) -> bool:
        """Whether a state must stay in memory: not retired, or its owner is not."""
        kind = self.kind_of(stream)
        state = streams[stream][1]
        return not _is_over(kind, state) or self._has_owner(kind, state, streams)

    def without_retired(self, streams: Mapping[str, Versioned]) -> Streams:
        """Return the streams whose states must stay in memory."""
        kinds = self._kinds
        retired = {}
        for name, (_, state) in streams.items():
            kind = kinds.get(name[: name.find("/")]) or self.kind_of(name)
            if _is_over(kind, state):
                retired[name] = kind.owner(state)
        kept = dict(streams)
        for name, owner in retired.items():
            if owner in retired or owner not in streams:
                del kept[name]
        return kept

    def _has_owner(self, kind: StreamKind, state: Any, streams: Mapping[str, Versioned]) -> bool:
        owner = kind.owner(state)
        held = None if owner is None else streams.get(owner)
        return held is not None and not _is_over(self.kind_of(owner or ""), held[1])


def _is_over(kind: StreamKind, state: Any) -> bool:
    """Whether a stream is retired. One of which nothing folds is not, as far as is known."""
    return state is not None and kind.is_retired(state)
