"""The supervisor of positions.

Gives birth to one actor per approved entry, quarantines one that keeps failing. What is in
quarantine is held and unguarded but for a stop at the venue, so it is given another life after a
while: what made it fail may be gone.
"""

from collections.abc import Sequence

import structlog

from actors import names
from actors.messages import Append, Beat, Committed, Revive
from actors.position import PositionActor
from actors.supervision import TellingSupervisor
from actors.world import World
from domain.ids import PositionId
from domain.inputs import AdoptPosition, BeginEntry, Wake
from domain.position import PositionStatus
from domain.position_events import PositionQuarantined
from domain.position_life import evolve
from runtime.actor import handles
from runtime.ref import State
from runtime.specs import Backoff, ChildSpec, Exhausted, Intensity, Restart

log = structlog.get_logger("system.error")
POSITION_INTENSITY = Intensity(max_restarts=5, period_s=60)
REVIVE_AFTER_S = (60.0, 300.0, 900.0)  # the last one again and again
POSITION_BACKOFF = Backoff(first_s=0.0, max_s=1.0, jitter_ratio=0.1)


class PositionsSupervisor(TellingSupervisor):
    """Supervises positions one for one."""

    def __init__(self, world: World, recovered: Sequence[PositionId]) -> None:
        super().__init__(world, [self.spec(world, position_id) for position_id in recovered])
        self.recovered = tuple(recovered)
        self.revivals: dict[str, int] = {}  # by name, of what is in quarantine

    def on_start(self) -> None:
        """Look once, for all recovered positions, whether their guards were confirmed in time."""
        if self.recovered:
            self.after(self.world.rules.unprotected_after_s, Beat())

    @handles(Beat)
    def on_beat(self, beat: Beat) -> None:
        """Ask every recovered position: the guarded ones ignore it."""
        del beat
        recovered, self.recovered = self.recovered, ()
        living = self.world.states.latest
        for position_id in recovered:
            name = names.position(position_id)
            if name in living:
                self.tell(name, Wake("unprotected"))

    @staticmethod
    def spec(world: World, position_id: PositionId) -> ChildSpec:
        """Return how a position's actor is made; it takes its state from the journal."""
        return ChildSpec(
            name=names.position(position_id),
            factory=lambda: PositionActor(world, position_id),
            restart=Restart.TRANSIENT,
            intensity=POSITION_INTENSITY,
            backoff=POSITION_BACKOFF,
            on_exhausted=Exhausted.QUARANTINE,
            drops_fills=False,  # it would go on without what it holds
        )

    @handles(BeginEntry, AdoptPosition)
    def on_begin(self, begin: BeginEntry | AdoptPosition) -> None:
        """Start the actor of a new position and hand it its entry; a second birth is none."""
        if names.position(begin.position_id) in self.children:
            log.error("position_born_twice", position_id=begin.position_id)
            return
        self.start_child(self.spec(self.world, begin.position_id))
        self.tell(names.position(begin.position_id), begin)

    def on_quarantined(self, name: str, exc: BaseException) -> None:
        """Hands off for a while: the venue's stop stays, a person must look."""
        log.error("position_quarantined", name=name, error=repr(exc))
        self.world.telemetry.alarm("QUARANTINED", name)
        version, position = self.world.states.latest.get(name, (0, None))
        if position is None or position.is_closed:
            return
        tries = self.revivals.get(name, 0)
        self.revivals[name] = tries + 1
        delay_s = REVIVE_AFTER_S[min(tries, len(REVIVE_AFTER_S) - 1)]
        self.after(delay_s, Revive(position.id))
        if position.status is PositionStatus.QUARANTINED:
            return
        now = self.world.clock.now()
        event = PositionQuarantined(repr(exc), now)
        quarantined = evolve(position, event)  # its actor is gone: this stream has no other writer
        self.world.states.latest[name] = (version + 1, quarantined)
        append = Append(self.name, name, version + 1, (event,), (quarantined,), now)
        self.tell(names.PERSISTENCE, append)

    @handles(Revive)
    def on_revive(self, revive: Revive) -> None:
        """Give it another life, unless it lives or is over."""
        name = names.position(revive.position_id)
        position = self.world.position(revive.position_id)
        living = self.children.get(name)
        if position is None or position.is_closed:
            self.revivals.pop(name, None)
        elif living is None or living.state is State.QUARANTINED:
            log.warning("position_revived", name=name)
            self.start_child(self.spec(self.world, revive.position_id))

    @handles(Committed)
    def on_committed(self, committed: Committed) -> None:
        """The quarantine is durable; nothing waits for that."""
