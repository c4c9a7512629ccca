"""Supervisors that tell what fails: a crash is a bug, and somebody must see its trace."""

from collections.abc import Sequence

import structlog

from actors.world import World
from runtime.messages import Killed
from runtime.specs import ChildSpec, Strategy
from runtime.supervisor import Supervisor

log = structlog.get_logger("system.error")


class TellingSupervisor(Supervisor):
    """Logs every crash once, with its trace; an actor given up on is an alarm."""

    def __init__(
        self,
        world: World,
        children: Sequence[ChildSpec] = (),
        strategy: Strategy = Strategy.ONE_FOR_ONE,
    ) -> None:
        super().__init__(children, strategy)
        self.world = world

    def on_child_failed(self, name: str, exc: BaseException) -> None:
        """Say what crashed and why; the restart follows."""
        if isinstance(exc, Killed):
            log.warning("actor_killed", name=name)
            return
        log.error("actor_crashed", name=name, exc_info=exc)
        self.world.telemetry.alarm("ACTOR_CRASHED", name)

    def on_quarantined(self, name: str, exc: BaseException) -> None:
        """It failed too often and is left alone."""
        log.error("actor_given_up", name=name, error=repr(exc))
        self.world.telemetry.alarm("ACTOR_GIVEN_UP", name)
