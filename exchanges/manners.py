"""How a venue's server behaves on one connection, pure: requests in, replies out.

The recorded server asks this of each connection, so that the client under test meets the manners of
the real venue: its errors, its paths, its limits, its silences.
"""

from collections.abc import Collection
from typing import Protocol

import msgspec


class Reply(msgspec.Struct, frozen=True):
    """What the venue does about a request."""

    texts: tuple[str, ...] = ()  # sent at once
    join: tuple[str, ...] = ()  # streams subscribed to
    leave: tuple[str, ...] = ()
    close: tuple[int, str] | None = None  # hang up, with code and reason


class Endpoint(Protocol):
    """One connection, as its path says."""

    @property
    def names(self) -> tuple[str, ...]:
        """Streams that are subscribed from the start."""

    @property
    def limit(self) -> tuple[int, float]:
        """How many requests within how many seconds."""

    @property
    def hangs_up_idle(self) -> bool:
        """Whether the venue closes a connection on which nothing was said for a while."""

    def counts(self, text: str | bytes) -> bool:
        """Whether a message counts against the limit."""

    def too_many(self) -> Reply:
        """Answer a request above the limit."""

    def reply(self, text: str | bytes, held: Collection[str]) -> Reply:
        """Answer a message of a client that is subscribed to `held`."""

    def carries(self, name: str) -> bool:
        """Whether this path sends the stream."""

    def repeats(self, name: str) -> bool:
        """Whether who subscribes is told at once what was said last."""

    def frame(self, name: str, raw: bytes) -> bytes:
        """Return a recorded frame in the shape this path has."""
