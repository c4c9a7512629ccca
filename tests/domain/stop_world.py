"""A position and a venue that holds its stop, in any order of events: for property tests.

Every step is one of those that could come next: a request arrives or is refused or gets lost, the
stop fires, its child fills or is refused, somebody meddles on the site, a timer runs out, the disk
writes, the process dies. The venue keeps its own books, by which the position is judged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from domain.commands import ClosePosition, ModificationType, ModifyProtection
from domain.effects import AmendOrder, Arm, AskOrders, CancelOrder, SubmitOrder, WakeAfter
from domain.inputs import (
    Armed,
    Crossed,
    ExitLocked,
    FillReported,
    OrderEnded,
    OrderReported,
    OutsideReported,
    Wake,
)
from domain.instrument import Kind, PriceSource, Side
from domain.order import RESTING, OrderStatus, OrderTerms, OrderType
from domain.position import PositionStatus
from domain.position_decide import resume
from domain.position_draft import HOLDS, PositionRules
from domain.position_life import evolve
from domain.venue import Outside
from domain.venue_stop_align import should_rest
from domain.venue_stop_reports import left_before_the_crash
from tests.builders import D, Life, a_fill, plan, swap

_S = OrderStatus
ZERO = Decimal(0)


@dataclass
class Order:
    """An order as the venue has it; `flying` until its request has arrived."""

    terms: OrderTerms
    status: str = "flying"  # flying, open, triggered, over; attached: until its entry is done
    end: OrderStatus | None = None
    why: str = ""
    fills: list[Any] = field(default_factory=list)
    is_attached: bool = False  # came with the entry
    at_target: bool = False  # it fired there

    @property
    def left(self) -> Decimal:
        return self.terms.quantity - sum((fill.quantity for fill in self.fills), ZERO)


class World:
    """One position of 1 BTC at 100 with a stop at 90, or a trail, and where it is traded."""

    def __init__(self, kind: Kind, abilities: Sequence[str] = ()) -> None:
        """`abilities` of the venue: amends, trails, attaches, targets; `shared`: others hold it."""
        self.is_shared = "shared" in abilities
        trails, targets = "trails" in abilities, "targets" in abilities
        self.rules = PositionRules(
            stops_at_venue=True,
            amends_stops="amends" in abilities,
            trails_at_venue=trails,
            attaches_stops="attaches" in abilities,
            targets_at_venue=targets,
        )
        self.life = Life(self.rules)
        self.kind = kind
        self.orders: dict[str, Order] = {}
        self.bought = ZERO
        self.sold = ZERO
        self.wire: list[tuple[str, Any]] = []  # amends and cancels on their way
        self.changes: dict[str, int] = {}
        self.told: list[Any] = []  # to the position, first in first out
        self.timers: list[WakeAfter] = []
        self.held: list[tuple[int, Any]] = []  # effects that wait for the disk
        self.journal: list[Any] = []
        self.durable = 0
        self.armed_on_disk: set[str] = set()
        self.moves = 0
        self.outside: list[Any] = []
        self.has_crashed = False
        self.superseded: set[str] = set()
        instrument = swap(kind=kind)
        stop, ratio = (None, D("0.1")) if trails else ("90", None)
        part = "1" if targets else "0.4"
        protection = plan(stop, [("110", part)], trail_ratio=ratio)
        self.life.begin("1", protection, instrument=instrument)
        self._decided()
        self.commit()

    # --- what may come next ---

    def options(self) -> list[Callable[[], None]]:
        """Return every step that is possible now."""
        found: list[Callable[[], None]] = []
        flying = [each for each in self.orders.values() if each.status == "flying"]
        for order in flying:
            found += [lambda o=order: self.arrive(o), lambda o=order: self.refuse(o)]
            found.append(lambda o=order: self.lose(o))
            if not order.terms.reduce_only:
                found.append(lambda o=order: self.arrive_in_part(o))
        for order in self.orders.values():
            if order.status == "triggered" and not order.terms.reduce_only:
                found += [lambda o=order: self.fill(o, o.left), lambda o=order: self.fill_part(o)]
        for order in self.orders.values():
            if order.is_attached and order.status == "flying":
                found.append(lambda o=order: self.appear_early(o))
            if self._may_come_late(order):
                found.append(lambda o=order: self.appear_late(o))
        for order in self.stops("open"):
            found += [
                lambda o=order: self.trigger(o),
                lambda o=order: self.trigger(o, quietly=True),
            ]
            if order.terms.target_price is not None:
                found.append(lambda o=order: self.trigger(o, at_target=True))
                found.append(lambda o=order: self.trigger(o, at_target=True, quietly=True))
            found += [lambda o=order: self.take_out(o), lambda o=order: self.move(o)]
        for order in self.stops("triggered"):
            found += [lambda o=order: self.fill(o, o.left), lambda o=order: self.fill_part(o)]
            found.append(lambda o=order: self.finish(o, _S.REJECTED, "51008: no balance"))
        if self.bought > self.sold and self.kind is Kind.SWAP:
            found.append(self.reduce_outside)
        for number in range(len(self.wire)):
            found += [lambda n=number: self.deliver(n), lambda n=number: self.refuse_change(n)]
        if self.told:
            found += [self.hear, self.hear, self.hear]
        for number in range(len(self.timers)):
            found.append(lambda n=number: self.ring(n))
        if self.durable < len(self.journal):
            found += [self.commit, self.commit]
        found += [self.crash, self.cross_stop, self.cross_target, self.close_part, self.move_stop]
        if len(self.journal) > 25:  # else all histories are short
            found.append(self.close_all)
        return found

    def stops(self, status: str) -> list[Order]:
        """Return stops in a state."""
        return [
            each
            for each in self.orders.values()
            if each.status == status and each.terms.type in RESTING
        ]

    # --- the venue ---

    def arrive(self, order: Order) -> None:
        terms = order.terms
        if terms.type in RESTING:
            order.status = "open"
            self.say(order, _S.OPEN)
            return
        order.status = "triggered"
        self.fill(order, order.left)

    def appear_early(self, order: Order) -> None:
        """Rest, and be heard of before anything else that is on its way."""
        before, self.told = self.told, []
        self.arrive(order)
        self.told += before

    def _may_come_late(self, order: Order) -> bool:
        """Whether a stop may appear that was believed absent.

        Spot has no balance for it where another one rests or is on its way.
        """
        return order.is_attached and order.end is _S.ABSENT and self.kind is Kind.SWAP

    def appear_late(self, order: Order) -> None:
        """Appear although another one has been placed: the exchange takes it out unasked."""
        order.status, order.end = "open", None
        self.wire.append(("cancel", order.terms.client_order_id))

    def _attach(self, entry: Order) -> None:
        """Let what the entry brought along come into being, for what that has filled."""
        for order in self.orders.values():
            if order.status == "attached" and entry.fills:
                filled = entry.terms.quantity - entry.left
                order.terms = replace(order.terms, quantity=filled)
                order.status = "flying"

    def arrive_in_part(self, order: Order) -> None:
        order.status = "triggered"
        self.fill_part(order)

    def refuse(self, order: Order) -> None:
        if not order.terms.reduce_only:
            return self.arrive(order)
        code = "51280: wrong side" if order.terms.type in RESTING else "50013: busy"
        return self.finish(order, _S.REJECTED, code)

    def lose(self, order: Order) -> None:
        if order.terms.reduce_only:
            self.finish(order, _S.ABSENT, "never was")
        else:
            self.arrive(order)

    def trigger(self, order: Order, *, quietly: bool = False, at_target: bool = False) -> None:
        order.status, order.at_target = "triggered", at_target
        if not quietly:
            self.say(order, _S.TRIGGERED, at_target=at_target)

    def fill_part(self, order: Order) -> None:
        part = (order.left / 2).quantize(D("0.001"))
        self.fill(order, part if part > 0 else order.left)

    def fill(self, order: Order, quantity: Decimal) -> None:
        terms = order.terms
        if terms.side is Side.BUY:
            self.bought += quantity
        else:
            if self.kind is Kind.SWAP:  # reduce-only
                quantity = min(quantity, self.bought - self.sold)
            self.sold += quantity
        if quantity > 0:
            price = "111" if order.at_target else "95"
            fill = a_fill(str(quantity), price, terms.side, terms.client_order_id)
            order.fills.append(fill)
            self.told.append(FillReported(terms.position_id, fill))
        if order.left <= 0:
            self.finish(order, _S.FILLED)
        elif self.kind is Kind.SWAP and self.bought == self.sold:
            self.finish(order, _S.CANCELED, "nothing left")

    def finish(self, order: Order, end: OrderStatus, why: str = "") -> None:
        order.status, order.end, order.why = "over", end, why
        if not order.terms.reduce_only:
            self._attach(order)
        self.told.append(self._end(order))

    def _end(self, order: Order) -> OrderEnded:
        terms = order.terms
        assert order.end is not None
        return OrderEnded(terms.position_id, terms.client_order_id, order.end, order.why)

    def say(self, order: Order, status: OrderStatus, **others: Any) -> None:
        if status is _S.OPEN and self._is_changing(order):
            return  # told when nothing that was asked is outstanding
        change = self.changes.get(order.terms.client_order_id, 0)
        report = OrderReported(order.terms.position_id, status, order.terms, change, **others)
        self.told.append(report)

    def reduce_outside(self) -> None:
        """Close a part on the site."""
        left = self.bought - self.sold
        part = (left / 3).quantize(D("0.001")) or left
        self.sold += part
        fill = a_fill(str(part), "101", Side.SELL, "")
        self.outside.append(OutsideReported(self.life.p.id, fill, Outside.PERSON))
        self.told.append(self.outside[-1])

    def take_out(self, order: Order) -> None:
        """Cancel it on the site."""
        self.finish(order, _S.CANCELED)

    def move(self, order: Order) -> None:
        """Change it on the site."""
        self.moves += 1
        if order.terms.trigger_price is None:
            order.terms = replace(order.terms, quantity=order.terms.quantity / 2)
        else:
            order.terms = replace(order.terms, trigger_price=D(80 + self.moves % 5))
        self.say(order, _S.OPEN, outside=True)

    def deliver(self, number: int) -> None:
        """Let a change or a cancel arrive; what has not arrived itself is waited for."""
        what, payload = self.wire[number]
        order_id = payload if what == "cancel" else payload.client_order_id
        order = self.orders.get(order_id)
        if order is not None and order.status in {"flying", "attached"}:
            return
        del self.wire[number]
        if order is None or order.status != "open":
            return
        if what == "cancel":
            self.finish(order, _S.CANCELED)
        else:
            order.terms = payload
            self.say(order, _S.OPEN)

    def _deliverable(self) -> int | None:
        """Return the first change that may arrive: not one of a stop whose entry is under way."""
        for number, (what, payload) in enumerate(self.wire):
            order = self.orders.get(payload if what == "cancel" else payload.client_order_id)
            if order is None or order.status != "attached":
                return number
        return None

    def _is_changing(self, order: Order) -> bool:
        return any(
            order.terms.client_order_id == (each if what == "cancel" else each.client_order_id)
            for what, each in self.wire
        )

    def refuse_change(self, number: int) -> None:
        what, payload = self.wire[number]
        order = self.orders.get(payload if what == "cancel" else payload.client_order_id)
        if what == "cancel" or order is None or order.status != "open":
            self.deliver(number)  # a cancel is asked for until it is done
            return
        del self.wire[number]
        self.say(order, _S.OPEN, refused="50013: busy")

    # --- the daemon ---

    def hear(self) -> None:
        self.tell(self.told.pop(0))

    def tell(self, message: Any) -> None:
        self.life.tell(message)
        self._decided()

    def _decided(self) -> None:
        decision = self.life.decision
        if self._has_not_heard():
            self.superseded |= {
                each.terms.client_order_id
                for each in decision.effects
                if isinstance(each, SubmitOrder) and each.terms.reduce_only
            }
        self.journal += decision.events
        for effect in decision.effects:
            if self._leaves_at_once(effect):
                self.release(effect)
            else:
                self.held.append((len(self.journal), effect))

    def _leaves_at_once(self, effect: Any) -> bool:
        if isinstance(effect, SubmitOrder):
            order_id = effect.terms.client_order_id
            return effect.armed and order_id in self.armed_on_disk
        if isinstance(effect, CancelOrder | AmendOrder):
            return effect.at_once
        return isinstance(effect, WakeAfter)

    def commit(self) -> None:
        self.durable = len(self.journal)
        self.armed_on_disk = {each.client_order_id for each in self.life.p.armed}
        held, self.held = self.held, []
        for _, effect in held:
            self.release(effect)

    def release(self, effect: Any) -> None:
        match effect:
            case SubmitOrder(terms=terms):
                self._submit(terms)
            case CancelOrder(client_order_id=order_id):
                if order_id in self.orders:
                    self.wire.append(("cancel", order_id))
                elif order_id[24] == "G":
                    self._say_denied(order_id)
            case AmendOrder(terms=terms, number=number):
                self.wire.append(("amend", terms))
                self.changes[terms.client_order_id] = number
            case WakeAfter():
                self.timers.append(effect)
            case Arm(version=version):
                self.told.append(Armed(self.life.p.id, version, self.life.now))
            case AskOrders():
                self._answer(effect)
            case _:
                pass

    def _submit(self, terms: OrderTerms) -> None:
        order_id = terms.client_order_id
        if terms.type in RESTING:
            stop = self.life.p.at_venue.find(order_id)
            if stop is None or stop.state.value != "placing":
                self._say_denied(order_id)
                return
        if order_id in self.orders:  # told again, never sent twice
            self._tell_again(self.orders[order_id])
            return
        if order_id in self.superseded:
            self._say_denied(order_id)  # superseded: another exit had left before the crash
            return
        if self._is_locked(terms):
            self.told.append(ExitLocked(terms.position_id, order_id))
            return
        self.orders[order_id] = Order(terms)
        if terms.attached is not None:
            stop = OrderTerms(
                client_order_id=terms.attached.client_order_id,
                position_id=terms.position_id,
                symbol=terms.symbol,
                side=terms.side.opposite,
                type=OrderType.STOP,
                quantity=terms.quantity,
                trigger_price=terms.attached.trigger_price,
                target_price=terms.attached.target_price,
                reduce_only=True,
            )
            self.orders[stop.client_order_id] = Order(stop, "attached", is_attached=True)

    def _is_locked(self, terms: OrderTerms) -> bool:
        """Whether the exchange keeps an exit back: a stop may sell the same, others hold it too."""
        leads = any(
            each.client_order_id == terms.client_order_id and each.beside
            for each in self.life.p.exits
        )
        own = [each for each in self.orders.values() if each.terms.reduce_only]
        going = [each for each in own if each.status in {"flying", "open", "triggered"}]
        coming = [
            each.may_sell
            for each in self.life.p.at_venue.live
            if each.client_order_id not in self.orders
        ]
        locked = any(each.terms.type in RESTING for each in going) or bool(coming)
        selling = sum((each.left for each in going), sum(coming, ZERO))
        is_too_much = terms.quantity + selling > self.life.p.remaining
        return self.is_shared and leads and locked and is_too_much

    def _has_not_heard(self) -> bool:
        """Whether an exit that left before the crash is still news to the position."""
        booked = {fill.trade_id for fill in self.life.p.fills}
        return self.has_crashed and any(
            fill.trade_id not in booked
            for each in self.orders.values()
            if each.terms.type is OrderType.MARKET and each.terms.reduce_only
            for fill in each.fills
        )

    def _say_denied(self, order_id: Any) -> None:
        self.told.append(OrderEnded(self.life.p.id, order_id, _S.DENIED, "never sent"))

    def _tell_again(self, order: Order) -> None:
        self.told += [FillReported(order.terms.position_id, fill) for fill in order.fills]
        if order.end is not None:
            self.told.append(self._end(order))
        elif order.terms.type in RESTING and order.status in {"open", "triggered"}:
            if order.status == "open":
                self.say(order, _S.OPEN)
            else:
                self.say(order, _S.TRIGGERED, at_target=order.at_target)

    def _answer(self, ask: AskOrders) -> None:
        for terms in ask.terms:
            order = self.orders.get(terms.client_order_id)
            if order is not None:
                self._tell_again(order)
            elif terms.type in RESTING:
                self._say_denied(terms.client_order_id)
            else:  # from now on it is known, and not sent any more
                self.orders[terms.client_order_id] = Order(terms)
                self.finish(self.orders[terms.client_order_id], _S.ABSENT, "never was")

    def ring(self, number: int) -> None:
        timer = self.timers.pop(number)
        self.life.after(timer.delay_s)
        self.tell(Wake(timer.purpose, timer.exit_id, timer.version, timer.crossed))

    def crash(self) -> None:
        """Die, and live again from what the disk has; nothing is on the wire by then."""
        for number, order in enumerate(list(self.orders.values())):
            if order.status == "flying":
                (self.arrive if number % 2 else self.lose)(order)
            if order.status == "triggered" and order.terms.type is OrderType.MARKET:
                self.fill(order, order.left)
        del self.journal[self.durable :]
        self.changes, self.has_crashed = {}, True
        self.held, self.wire, self.told, self.timers = [], [], [], []
        position = None
        for event in self.journal:
            position = evolve(position, event)
        self.life.position = position
        assert position is not None
        for event in left_before_the_crash(position, self.life.now):
            self.journal.append(event)
            self.life.position = position = evolve(position, event)
        for order in self.orders.values():
            if order.fills or order.end is None:  # the exchange looks what is missing
                self._tell_again(order)
        self.told += self.outside
        for effect in resume(position, self.life.now, self.rules):
            self.release(effect)

    # --- prices and people ---

    def cross_stop(self) -> None:
        stop = self.life.p.protection.stop
        if stop is not None:
            self._cross("stop", str(stop.price))
        elif self.life.p.protection.trail is not None:
            self._cross("trail", "50")

    def cross_target(self) -> None:
        if self.life.p.protection.open_targets():
            self._cross("target-1", "111")

    def _cross(self, exit_id: Any, price: str) -> None:
        p = self.life.p
        crossed = Crossed(
            position_id=p.id,
            exit_id=exit_id,
            version=p.protection.version,
            price=D(price),
            source=PriceSource.LAST,
            frame=1,
            tick_id="t",
            at=self.life.now,
        )
        self.tell(crossed)

    def close_part(self) -> None:
        self.tell(ClosePosition(self.life.p.id, part=D("0.3")))

    def close_all(self) -> None:
        self.tell(ClosePosition(self.life.p.id))

    def move_stop(self) -> None:
        stop = self.life.p.protection.stop
        price = D("91") if stop is None else min(stop.price + D("0.1"), D("99"))
        self.tell(ModifyProtection(self.life.p.id, ModificationType.MOVE_SL, price=price))

    # --- what must hold ---

    def check(self) -> None:
        """Check what holds at every instant."""
        assert self.sold <= self.bought, "sold more than was held"
        if self.kind is Kind.SPOT:
            under_way = sum(
                (each.left for each in self.orders.values() if self._may_sell(each)), ZERO
            )
            assert under_way <= self.bought - self.sold, "two exits for the same units"
        p = self.life.p
        if p.status is PositionStatus.OPEN_PROTECTED and not p.at_venue.missing:
            assert p.at_venue.settled or should_rest(p, self.rules) is None

    @staticmethod
    def _may_sell(order: Order) -> bool:
        return order.status not in {"over", "attached"} and order.terms.reduce_only

    def settle(self) -> None:
        """Let everything come to rest, with a venue that does as asked."""
        for _ in range(300):
            self.commit()
            if self.told:
                self.hear()
            elif flying := [each for each in self.orders.values() if each.status == "flying"]:
                self.arrive(flying[0])
            elif (number := self._deliverable()) is not None:
                self.deliver(number)
            elif triggered := [x for x in self.orders.values() if x.status == "triggered"]:
                self.fill(triggered[0], triggered[0].left)
            elif self.timers:
                self.life.after(1)
                self.ring(0)
            else:
                break
            self.check()
        else:
            raise AssertionError("it does not come to rest")

    def check_end(self) -> None:
        """Check what holds once everything has come to rest: it is closed, or protected."""
        p = self.life.p
        resting = self.stops("open")
        if p.is_closed:
            assert not resting
            assert self.bought - self.sold < p.instrument.lot_size
            return
        assert p.remaining == self.bought - self.sold
        if p.status is PositionStatus.ENTRY_PENDING:
            return
        assert p.status in HOLDS, p.status
        wanted = should_rest(p, self.rules)
        assert wanted is not None
        assert [_says(each.terms) for each in resting] == [_says(wanted)]
        assert p.status is PositionStatus.OPEN_PROTECTED


def _says(one: Any) -> tuple[Any, ...]:
    return one.trigger_price, one.trail_ratio, one.quantity, one.target_price


def replayed(world: World) -> Any:
    """Return the position as its journal tells it."""
    position = None
    for event in world.journal:
        position = evolve(position, event)
    return position
