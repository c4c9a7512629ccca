"""A stage for actors: a system on a virtual-time loop with one supervisor to start them under."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from runtime.actor import Actor
from runtime.chance import SeededChance
from runtime.clocks import VirtualClock
from runtime.ref import Ref
from runtime.specs import ChildSpec, Exhausted, Intensity, Restart, Strategy
from runtime.supervisor import Supervisor
from runtime.system import ActorSystem
from runtime.virtual import VirtualLoop, run_virtual

START = datetime(2024, 8, 8, tzinfo=UTC)


class Recording(Supervisor):
    """Remembers what its hooks are told."""

    def __init__(self, children=(), strategy=Strategy.ONE_FOR_ONE) -> None:
        super().__init__(children, strategy)
        self.failures: list[tuple[str, str]] = []
        self.quarantined: list[str] = []

    def on_child_failed(self, name: str, exc: BaseException) -> None:
        self.failures.append((name, repr(exc)))

    def on_quarantined(self, name: str, exc: BaseException) -> None:
        self.quarantined.append(name)


class Stage:
    """The system, its root supervisor "root", and shorthand for tests."""

    transient = Restart.TRANSIENT

    def __init__(self, loop: VirtualLoop, root: Callable[[], Supervisor] = Recording) -> None:
        self.loop = loop
        self.system = ActorSystem(loop, VirtualClock(loop, START), chance=SeededChance(7))
        self.root_ref = self.system.spawn_root(
            ChildSpec("root", root, intensity=Intensity(1, 60.0))
        )

    @property
    def root(self) -> Any:
        return self.root_ref.actor

    def start(self, factory: Callable[[], Actor], name: str = "a", **spec: Any) -> Ref:
        spec.setdefault("on_exhausted", Exhausted.STOP)
        return self.root.start_child(ChildSpec(name, factory, **spec))

    def drain(self) -> int:
        return self.system.dispatcher.drain()

    def letters(self) -> list[tuple[str, str]]:
        """Dead letters as (name, reason)."""
        return [(letter.name, letter.reason) for letter in self.system.dead_letters.last()]


@pytest.fixture(scope="session")
def perform() -> Callable[..., Any]:
    """Run an `async def play(stage)` in virtual time and stop its actors afterwards."""

    def run(
        play: Callable[[Stage], Coroutine[Any, Any, Any]],
        root: Callable[[], Supervisor] = Recording,
    ) -> Any:
        async def main() -> Any:
            stage = Stage(asyncio.get_running_loop(), root)
            result = await play(stage)
            await stage.system.stop(10)
            assert len(stage.system.directory) == 0
            return result

        return run_virtual(main)

    return run
