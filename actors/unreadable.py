"""Streams that do not fold: who goes on from what does, and what nobody may drive.

A record that no state follows from is a bug. Its stream keeps the state before, so its owner does
not know all that was decided. What that means depends on what it is the history of:

    position   nobody drives it, for an exit may be wrong: QUARANTINED, its stop at the venue stays
    order      its position's own history is whole, so that goes on; the order is UNKNOWN until the
               venue has told what became of it. Nothing folds: its position is quarantined
    portfolio  goes on: exits need no balance, and positions tell again what is not booked
    trader     goes on from what it remembers
    feed       likewise

While something may be held that is not guarded, or a limit may not be known, nothing is opened.
"""

import structlog

from actors import names
from actors.world import World
from domain.errors import Refusal
from domain.feed_state import FeedState
from domain.ids import ClientOrderId, identity_of
from domain.modes import Mode, ModeCause
from domain.position import PositionStatus
from domain.position_events import PositionQuarantined
from domain.position_life import evolve
from domain.trader_state import Trader
from storage.recovery import Recovered

log = structlog.get_logger("system.error")
UNREADABLE = "UNREADABLE"
_POSITION, _ORDER, _PORTFOLIO = "position/", "order/", "portfolio/"
_WHY = "its history does not fold"
_MOST = 3  # streams are named
_WAY_OUT = (
    "See the alarm RECOVERY_PROBLEM. It ends with a Holdfast that reads them, or with a backup from"
    " before."
)


def set_aside(world: World, recovered: Recovered) -> None:
    """Keep everybody from driving what is not known, and say so. Before anything runs."""
    left_alone = _left_alone(recovered)
    world.unreadable = frozenset((*recovered.broken, *left_alone))
    for name, version in recovered.unread.items():
        _begin_anew(world, name, version)
    for name in left_alone:
        _quarantine(world, name)
    doubtful = [name for name in recovered.broken if _is_doubtful(name, recovered)]
    if doubtful:
        world.causes[UNREADABLE] = ModeCause(
            UNREADABLE,
            Mode.NO_ENTRY,
            f"The journal has streams that do not fold: {_listed(doubtful)}. Something may be open"
            " and not be guarded here; a stop at the venue stays.",
            f"Look at the venue, and close there what nothing guards. {_WAY_OUT}",
        )


def no_snapshot(broken: tuple[str, ...]) -> Refusal:
    """Return why there is no snapshot while streams do not fold."""
    why = f"Nothing may be built on streams that do not fold: {_listed(broken)}."
    return Refusal(UNREADABLE, why, _WAY_OUT)


def _begin_anew(world: World, name: str, version: int) -> None:
    """Let the owner of a stream of which nothing folds begin behind its last record."""
    if name.startswith(_PORTFOLIO):
        world.states.latest[name] = (version, None)  # it is opened at once
    elif not name.startswith((_POSITION, _ORDER)):
        state = Trader() if name.startswith("trader/") else FeedState()
        world.states.latest[name] = world.states.durable[name] = (version, state)


def _listed(streams: tuple[str, ...] | list[str]) -> str:
    more = len(streams) - _MOST
    return ", ".join(streams[:_MOST]) + (f" and {more} more" if more > 0 else "")


def _left_alone(recovered: Recovered) -> list[str]:
    """Return the positions that nobody may drive."""
    positions = [name for name in recovered.broken if name.startswith(_POSITION)]
    positions += [_owner_of(name) for name in recovered.unread if name.startswith(_ORDER)]
    return list(dict.fromkeys(positions))


def _owner_of(order: str) -> str:
    identity = identity_of(ClientOrderId(order.removeprefix(_ORDER)))
    return "" if identity is None else names.position(identity.position_id)


def _quarantine(world: World, name: str) -> None:
    version, position = world.states.latest.get(name, (0, None))
    if position is None:
        return  # over, or nothing is known of it
    log.error("position_quarantined", name=name, error=_WHY)
    world.telemetry.alarm("QUARANTINED", f"{name}: {_WHY}")
    if position.is_closed or position.status is PositionStatus.QUARANTINED:
        return
    # Not journaled: the next start finds out anew, and a later version may read it.
    state = evolve(position, PositionQuarantined(_WHY, world.clock.now()))
    world.states.latest[name] = world.states.durable[name] = (version, state)


def _is_doubtful(name: str, recovered: Recovered) -> bool:
    """Whether something may be open, or a limit stand, that is not known for this stream."""
    _, state = recovered.streams.get(name, (0, None))
    if name.startswith(_PORTFOLIO):
        return True
    if name.startswith(_POSITION):
        return name in recovered.unread or (state is not None and not state.is_settled)
    if name.startswith(_ORDER):
        if name in recovered.unread:
            owner = _owner_of(name)
            return owner in recovered.streams or owner in recovered.unread
        return state is not None and not state.is_terminal
    return False
