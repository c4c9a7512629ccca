"""Words for a position and its stop at the venue: bought, reported, guarded, ended."""

from domain.commands import ModificationType, ModifyProtection
from domain.effects import Alarm, AmendOrder
from domain.inputs import ExitLocked, OrderEnded, OrderReported
from domain.order import RESTING, OrderStatus, OrderType
from domain.position_draft import PositionRules
from tests.builders import D, Life

RULES = PositionRules(stops_at_venue=True, amends_stops=True, trails_at_venue=True)
_S = OrderStatus


def of(effects, kind):
    return [effect for effect in effects if isinstance(effect, kind)]


def codes(life):
    return [alarm.code for alarm in of(life.effects, Alarm)]


def bought(quantity="1", protection=None, *, rules=RULES, **others):
    """A position whose entry has filled; its stop has been asked of the venue."""
    life = Life(rules).begin(quantity, protection, **others).fill(quantity, "100")
    entry = life.p.entry.client_order_id
    return life.tell(OrderEnded(life.p.id, entry, _S.FILLED, "")).arm()


def stops_sent(life):
    return [each.terms for each in life.sent() if each.terms.type in RESTING]


def at_market(life):
    return [each for each in life.exits_sent() if each.terms.type is OrderType.MARKET]


def report(life, terms=None, status=_S.OPEN, **others):
    return life.tell(OrderReported(life.p.id, status, terms or stops_sent(life)[-1], **others))


def end(life, status, why="", order=None):
    order = order or life.p.at_venue.stops[-1].client_order_id
    return life.tell(OrderEnded(life.p.id, order, status, why))


def guarded(*args, **others):
    return report(bought(*args, **others))


def amended(life):
    """Let the last change be confirmed."""
    change = of(life.effects, AmendOrder)[-1]
    return report(life, change.terms, change=change.number)


def locked_out(life):
    """The exchange has not let the last exit leave: others hold the symbol."""
    return life.tell(ExitLocked(life.p.id, life.p.exits[-1].client_order_id))


def asked(life, kind):
    return of(life.decision.effects, kind)


def told(life, kind):
    return of(life.decision.events, kind)


def move(life, price):
    """Let a person move the stop."""
    return life.tell(ModifyProtection(life.p.id, ModificationType.MOVE_SL, price=D(price)))
