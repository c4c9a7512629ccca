"""Actors whose whole business is to live, fail and end, for tests of those who watch over them."""

import msgspec

from runtime.actor import Actor, handles
from runtime.specs import ChildSpec


class Note(msgspec.Struct, frozen=True):
    text: str


class Stop(msgspec.Struct, frozen=True):
    pass


class Child(Actor):
    """Logs its life."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def on_start(self) -> None:
        self.log.append(f"{self.name}{self.incarnation} starts")

    def on_stop(self) -> None:
        self.log.append(f"{self.name}{self.incarnation} stops")

    def on_failure(self, exc: BaseException) -> None:
        self.log.append(f"{self.name}{self.incarnation} fails")

    @handles(Note)
    def note(self, message: Note) -> None:
        self.log.append(f"{self.name}{self.incarnation} gets {message.text}")

    @handles(Stop)
    def end(self, message: Stop) -> None:
        self.stop()


class Unable(Actor):
    def on_start(self) -> None:
        raise ValueError("cannot start")


def kill(stage, *names: str) -> None:
    for name in names:
        assert stage.system.kill(name)
    stage.drain()


def family(log: list[str], names: str = "abc", **spec) -> list[ChildSpec]:
    return [ChildSpec(name, lambda: Child(log), **spec) for name in names]
