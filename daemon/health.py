"""How the daemon is: the verdicts, the counts, and each part.

Every actor is a part but the positions, which are told together.
"""

from actors import names
from actors.world import World
from daemon.assembly import Assembly
from daemon.position_views import NOWHERE, where_stop_lives
from daemon.pulse import Pulse
from daemon.view_text import View
from daemon.vitals import liveness, passed, readiness
from domain.money import ZERO
from domain.order import OrderStatus
from domain.position import Position, PositionStatus
from domain.trader_state import Trader
from exchanges.breaker import BreakerState
from runtime.ref import State

_POSITION = "position/"
_TRADER = "trader/"
_SHOWN = 3
_DOWN = {
    State.DOWN: "it crashed and is being restarted",
    State.ORPHANED: "what supervises it crashed; both are being restarted",
    State.QUARANTINED: "it failed too often and rests until the next start",
}


def health_view(assembly: Assembly, pulse: Pulse, mode: View) -> View:
    """Return every part, well or not."""
    system = assembly.system
    feed = assembly.actor(names.FEED)
    persistence = assembly.actor(names.PERSISTENCE)
    trouble = None if persistence is None else persistence.trouble
    prices = None if feed is None else feed.checks
    vitals = pulse.look()
    checks = readiness(vitals)
    return {
        **mode,
        "live": passed(liveness(vitals)),
        "ready": passed(checks),
        "checks": [{"what": each.what, "ok": each.ok, "why": each.why} for each in checks],
        "actors": len(system.find("")),
        "restarts": dict(system.restarts),
        "dead_letters": system.dead_letters.total,
        "mailboxes": system.mailbox_depths(),
        "loop_late_ms": pulse.loop_late_ms(),
        "feed": {
            "connected": feed is not None and feed.connected,
            "frames": assembly.world.prices.frames,
            "bad_frames": 0 if feed is None else feed.bad_frames,
            "last_bad_frame": None if feed is None else feed.last_bad_frame or None,
            "armed_positions": assembly.armed(),
            "stale": _stale(assembly.world),
            "reads": None if prices is None else dict(prices.answers),
        },
        "journal": {
            "last_seq": assembly.store.journal.tail.seq,
            "trouble": None if trouble is None else str(trouble),
            "waiting": 0 if persistence is None else len(persistence.backlog.waiting),
        },
        "parts": parts_of(assembly),
    }


def _stale(world: World) -> list[dict[str, str]]:
    """Return the symbols whose price nobody may rely on, and why."""
    return [
        {"symbol": symbol, "why": price.why}
        for symbol, price in world.prices.prices.items()
        if price.is_stale and price.last
    ]


def parts_of(assembly: Assembly) -> list[View]:
    """Return each part: its name, whether it is well, and what is to be said about it."""
    found = []
    for ref in assembly.system.directory:
        if ref.name.startswith(_POSITION):
            continue
        why = _DOWN.get(ref.state, "")
        ok = not why
        if ok:
            ok, why = _inside(assembly, ref.name)
        found.append({"name": ref.name, "ok": ok, "why": why})
    return found


def _inside(assembly: Assembly, name: str) -> tuple[bool, str]:
    """Say how an actor that lives does."""
    match name:
        case names.PERSISTENCE:
            return _journal(assembly)
        case names.EXCHANGE:
            return _venue(assembly)
        case names.RECONCILER:
            return _reconciler(assembly)
        case names.FEED:
            return _prices(assembly)
        case names.POSITIONS:
            return _positions(assembly)
        case _ if name.startswith(_TRADER):
            held = assembly.world.states.durable.get(name)
            return _trader(None if held is None else held[1])
        case _:
            return True, ""


def _trader(trader: Trader | None) -> tuple[bool, str]:
    if trader is None or not trader.paused:
        return True, ""
    if trader.hung is not None:
        return False, "its strategy hung; it is not asked until the trader is resumed"
    return True, "paused"


def _journal(assembly: Assembly) -> tuple[bool, str]:
    actor = assembly.actor(names.PERSISTENCE)
    if actor is None:
        return False, "it is being restarted"
    if actor.is_fenced:
        return False, "another process writes the journal; nothing is written here any more"
    if actor.trouble is not None:
        return False, str(actor.trouble)
    why = "" if actor.room is None else actor.room.value
    return not why, why


def _venue(assembly: Assembly) -> tuple[bool, str]:
    actor = assembly.actor(names.EXCHANGE)
    if actor is None or not actor.reconciled:
        return False, "orders and fills are being compared with the venue"
    if assembly.distant is not None:
        health, link = assembly.distant.health(), assembly.world.link
        if health.state is not BreakerState.CLOSED:
            return False, f"the venue does not answer: {health.why}"
        if link.stream_up is False:
            return (
                False,
                f"no private stream, the venue is asked instead: {link.stream_why}",
            )
    orders = assembly.world.states.of_kind("order")
    unknown = sum(order.status is OrderStatus.UNKNOWN for order in orders)
    return unknown == 0, f"{unknown} orders are unknown and being asked for" if unknown else ""


def _reconciler(assembly: Assembly) -> tuple[bool, str]:
    actor = assembly.actor(names.RECONCILER)
    report = None if actor is None else actor.report
    if report is None:
        return True, ""
    if report.failed:
        return False, "; ".join(report.failed)
    differing = [row.symbol for row in report.rows if row.differs]
    if differing:
        return False, f"the venue holds other than we believe of {', '.join(differing[:_SHOWN])}"
    return True, ""


def _prices(assembly: Assembly) -> tuple[bool, str]:
    actor = assembly.actor(names.FEED)
    if actor is None or not actor.connected:
        return False, "the stream of prices is not connected, and nothing is watched"
    board = assembly.world.prices
    stale = [symbol for symbol in board.prices if not board.is_fresh(symbol)]
    if not stale:
        return True, ""
    shown = ", ".join(stale[:_SHOWN]) + (", …" if len(stale) > _SHOWN else "")
    return len(stale) < len(board.prices), f"no fresh price of {shown}"


def _positions(assembly: Assembly) -> tuple[bool, str]:
    positions: list[Position] = assembly.world.states.of_kind("position")
    held = [each for each in positions if not each.is_closed and each.remaining > ZERO]
    quarantined = sum(each.status is PositionStatus.QUARANTINED for each in held)
    if quarantined:
        return False, f"{quarantined} quarantined: nothing guards them"
    naked = sum(
        each.protection.guards_loss
        and each.status is not PositionStatus.CLOSING
        and where_stop_lives(each) == NOWHERE
        for each in held
    )
    if naked:
        return False, f"{naked} whose guard is not in force"
    return True, f"{len(held)} open" if held else ""
