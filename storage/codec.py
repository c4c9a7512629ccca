"""Events to rows and back.

A row names its event by class name and schema version, and holds it as JSON: decimals as text,
times as ISO. When an event's shape changes, its class raises `schema_version` and an upcaster, a
pure function from one dict to the next, turns what old versions wrote into what this one reads.
What a newer version wrote is refused, never guessed.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from storage.errors import NewerSchemaError

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
Encoded = tuple[str, int, str]  # type name, schema version, JSON


_WHOLE_SECONDS = len("2024-08-08T12:00:00Z")  # printed without a fraction


def schema_version_of(event_type: type) -> int:
    """Return the class attribute `schema_version`, 1 where there is none."""
    version = getattr(event_type, "schema_version", 1)
    assert isinstance(version, int)
    return version


def time_text(at: datetime) -> str:
    """Return UTC as text of one width, so that it sorts as time does.

    Raises `ValueError` for a naive time.
    """
    if at.tzinfo is None:
        message = f"{at} has no time zone"
        raise ValueError(message)
    text: str = msgspec.to_builtins(at if at.tzinfo is UTC else at.astimezone(UTC))
    return text if len(text) > _WHOLE_SECONDS else f"{text[:-1]}.000000Z"


class EventCodec:
    """Encodes and decodes the given event types.

    `upcasters` maps (type name, version) to the function that turns that version into the next one.
    A type that was renamed keeps its old name as a key of `event_types` as well.
    """

    def __init__(
        self,
        event_types: Mapping[str, type[msgspec.Struct]],
        upcasters: Mapping[tuple[str, int], Upcaster] | None = None,
    ) -> None:
        self._upcasters = dict(upcasters or {})
        # Sets have no order of their own, and the hash of a record must not depend on the process.
        self._encode = msgspec.json.Encoder(order="deterministic").encode
        self._names = {
            kind: (kind.__name__, schema_version_of(kind)) for kind in event_types.values()
        }
        self._decoders = {
            name: (schema_version_of(kind), msgspec.json.Decoder(kind))
            for name, kind in event_types.items()
        }
        self._check_upcasters()

    def encode(self, event: msgspec.Struct) -> Encoded:
        """Return the columns that say what the event is.

        Raises `KeyError` for a type that is not registered.
        """
        name, version = self._names[type(event)]
        return name, version, self._encode(event).decode()

    def decode(self, name: str, schema_version: int, payload: str) -> Any:
        """Return the event, in today's shape.

        Raises `NewerSchemaError`, or `msgspec.ValidationError` when the JSON does not fit the
        class.
        """
        known = self._decoders.get(name)
        if known is None:
            raise NewerSchemaError("a journal record", f"an event {name}", "events without it")
        current, decoder = known
        if schema_version == current:
            return decoder.decode(payload)
        if schema_version > current:
            raise NewerSchemaError(
                "a journal record", f"{name} version {schema_version}", f"version {current}"
            )
        return decoder.decode(self._upcast(name, schema_version, current, payload))

    def _upcast(self, name: str, found: int, current: int, payload: str) -> bytes:
        fields = msgspec.json.decode(payload)
        for version in range(found, current):
            fields = self._upcasters[name, version](fields)
        return msgspec.json.encode(fields)

    def _check_upcasters(self) -> None:
        for name, (current, _) in self._decoders.items():
            for version in range(1, current):
                if (name, version) not in self._upcasters:
                    message = f"no upcaster from {name} version {version} to {version + 1}"
                    raise ValueError(message)
