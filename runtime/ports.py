"""What the world offers the daemon, as protocols: time, chance, ids, disk, net, workers.

The daemon runs on the real ones, a replay or a simulation on virtual ones; nothing else touches the
world.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Two clocks: the wall for stamps, a monotonic one for durations.

    Unlike the loop's, by which timers run, it goes on while the computer sleeps: see
    `ActorSystem.wake`.
    """

    def now(self) -> datetime:
        """Return wall time, UTC, aware."""

    def monotonic(self) -> float:
        """Return seconds that never step back, those of a sleep included."""


class Chance(Protocol):
    """Randomness; seeded where a run must repeat."""

    def uniform(self, low: float, high: float) -> float:
        """Return a float in [low, high]."""

    def random(self) -> float:
        """Return a float in [0, 1)."""


class Ids(Protocol):
    """Fresh identifiers."""

    def uuid(self) -> str:
        """Return a UUID as text."""


class Worker(Protocol):
    """Runs blocking calls one after another, off the loop (or inline, with virtual latency)."""

    def call(self, function: Callable[[], T], then: Callable[[T | BaseException], None]) -> None:
        """Run `function`; call `then` on the loop with its result or the exception it raised."""

    def give_way(self) -> None:
        """Run the calls that wait, from within one that takes long."""

    def close(self) -> None:
        """Finish what was asked, then stop."""


class Disk(Protocol):
    """Files other than databases: written whole, durable when the call returns."""

    def write_atomically(self, path: Path, data: bytes) -> None:
        """Write beside, sync, rename over `path`, sync the directory."""

    def read(self, path: Path) -> bytes:
        """Return the whole file."""

    def free_bytes(self, path: Path) -> int:
        """Return what a new file under `path` may still take. Raises `OSError`."""


class WebSocket(Protocol):
    """A client connection."""

    def __aiter__(self) -> AsyncIterator[bytes | str]:
        """Yield messages until the connection ends."""

    async def send(self, message: str) -> None:
        """Send a text message."""


class Net(Protocol):
    """Outgoing connections."""

    def websocket(self, url: str) -> AbstractAsyncContextManager[WebSocket]:
        """Connect. Raises `OSError` or `TimeoutError` when that fails."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer that arrived whole; whether it is a good one is for the caller to judge."""

    status: int
    body: bytes
    headers: Mapping[str, str]  # names in lower case


class Http(Protocol):
    """Outgoing requests that change nothing."""

    async def get(self, url: str, *, deadline_s: float, max_bytes: int) -> HttpReply:
        """Fetch `url`, once, within `deadline_s` in all; redirects are answers.

        Raises `OSError` with a reason when no whole answer of at most `max_bytes` came in time.
        """

    async def close(self) -> None:
        """Let go of connections."""
