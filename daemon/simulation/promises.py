"""What must not stay wrong for long, seen from the venue; told to the judge.

Looked at once a second while a daemon lives. A promise that is broken at one look may be on its way
to being kept; one that has been broken at every look for its time is a violation.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from actors import names
from actors.catch_up import DOWNTIME_UNCHECKED
from actors.persistence import JOURNAL_DOWN
from daemon.simulation.life import Life
from daemon.simulation.trails import FIRES_WITHIN_S, TrailWatch, is_calm
from daemon.simulation.venue import SimVenue
from domain.ids import ClientOrderId, ExitId, PositionId, Symbol, account_tag, identity_of
from domain.instrument import Instrument, Kind
from domain.money import ZERO
from domain.order import Order, OrderStatus, is_entry
from domain.portfolio_state import limits_of
from domain.position import Position, PositionStatus
from domain.position_draft import HOLDS, PositionRules
from domain.protection import BREAKEVEN, STOP, ExitReason, has_crossed, levels_of
from domain.triggers import Watched
from domain.venue_stop import Resting
from domain.venue_stop_align import should_rest
from exchanges.sandbox.judge import intent_of, is_ours
from exchanges.sandbox.records import Algo

WATCHED_WITHIN_S = 20.0
RESTS_WITHIN_S = 60.0  # through refusals that follow each other
MADE_UP_WITHIN_S = 60.0  # of a start: candles are asked for when all else has been told
CANCELS_WITHIN_S = 25.0  # tries it, that is: the venue is asked first after a start
LEAVES_WITHIN_S = 60.0  # of the end of its position, a stop has left the venue
TRIES_WITHIN_S = 45.0  # of its failure, an exit is tried again: its pause, and what it waits for
BOOKED_WITHIN_S = 45.0  # while neither stream nor list may tell of it for a while
RESERVED_WITHIN_S = 10.0
UNKNOWN_WITHIN_S = 60.0  # so long a position's fills may be missing, or its entry be asked for
IN_FORCE_S = 10.0  # after this a pause, a limit, a mode or a stale price stops every entry
_RESTS = frozenset({OrderStatus.OPEN, OrderStatus.PARTIAL})
TRIES_AGAIN = HOLDS | {PositionStatus.CLOSING}
_OFF_PRICE = Decimal("0.1")
# What the daemon says when money has moved in spite of what it believed.
_SAID_OF_A_POSITION = "the rest was not this position's"  # the judge of its fills knows better
_BELIEVED_WRONGLY = {"LATE_FILL": "I9", "OVER_FILL": "I2", "FOREIGN_FILL": "I9"}

Note = Callable[[str, str], None]


class Due(NamedTuple):
    """What a position asks for, as long as it does not change."""

    position: Position
    rules: PositionRules
    levels: frozenset[ExitId]  # that are to be watched
    stop: Resting | None  # that is to rest at the venue


class Promises:
    """Watches over one day."""

    def __init__(self, venue: SimVenue, note: Note) -> None:
        self.venue = venue
        self.note = note
        self.cancels: set[str] = set()  # orders of which this life has tried to cancel one
        self._life: Life | None = None
        self._heard = 0
        self._is_guessed = False  # the cost of something that others did
        self._broken: dict[tuple[str, str], float] = {}  # since when
        self._seen: set[tuple[str, str]] = set()
        self._even: set[str] = set()  # orders of which all that filled is booked
        self._fired: set[str] = set()  # orders of exits
        self._limits: dict[str, deque[tuple[float, int]]] = {}
        self._trails = TrailWatch(venue, note, self._within)
        self._due: dict[PositionId, Due] = {}
        self._missed: dict[PositionId, frozenset[str]] = {}  # exits, before this life
        # Levels that have been crossed, at how many looks one after the other.
        self._crossing: dict[PositionId, dict[str, tuple[Decimal, int]]] = {}
        self._kills = 0  # of actors, in this life

    def look(self, life: Life, positions: list[Position]) -> None:
        """Look at everything."""
        if life is not self._life:
            self._life, self._heard = life, 0
            self._fired.update(one.client_order_id for each in positions for one in each.exits)
            self._broken.clear()
            self._limits.clear()
            self.cancels.clear()
            self._crossing.clear()
        self._seen = set()
        orders: list[Order] = life.world.states.latest_of("order")
        self._alarms(life)
        self._reservations(life, orders)
        self._booked(life)
        self._left_behind(life, orders)
        self._taken_back(life)
        held = [each for each in positions if each.status in HOLDS and is_calm(each)]
        for each in positions:
            is_given_up = each.is_closed or each.status is PositionStatus.QUARANTINED
            if not is_given_up and life.actor(names.position(each.id)) is None:
                self._within(WATCHED_WITHIN_S, "I3", f"nobody looks after {each.id}")
            self._tried_again(each, life)
        feed = life.actor(names.FEED)
        armed = [] if feed is None else list(_armed(feed))
        traders = [name for name in life.world.states.latest if name.startswith("trader/")]
        self._watched(life, held, None if feed is None else armed)
        self._quarantines(life, positions)
        self._levels(life, positions)
        self._made_up_for(life, positions)
        if feed is not None:
            self._trails.look(life, feed, armed, positions)
        self._forbidden(life, traders)
        self._broken = {key: at for key, at in self._broken.items() if key in self._seen}

    def on_start(self, streams: Mapping[str, tuple[int, Any]]) -> None:
        """Take down what targets the market has reached while nobody was there."""
        self._missed = {}
        for name, (_, position) in streams.items():
            if not name.startswith("position/") or position.status not in HOLDS:
                continue
            extremes = self.venue.missed.get(position.instrument.symbol.partition("/")[0])
            if extremes is not None and not position.exits:
                far = extremes[position.direction.sign > 0]
                targets = (each for each in _crossed(position, far) if each != STOP)
                self._missed[position.id] = frozenset(targets)

    def _made_up_for(self, life: Life, positions: list[Position]) -> None:
        """I12: what was crossed while nobody was there fires after the start."""
        if any(code == DOWNTIME_UNCHECKED for _, code, _ in life.ears.alarms):
            return
        for position in positions:
            missed = self._missed.get(position.id, frozenset())
            if position.status not in HOLDS or not is_calm(position):
                continue
            for exit_id, _ in _levels_of(position):
                if exit_id in missed:
                    text = f"{exit_id} of {position.id} was crossed while nobody was there"
                    self._within(MADE_UP_WITHIN_S, "I12", text)

    def _within(self, seconds: float, rule: str, text: str) -> None:
        """Note what is broken if it has been for so long."""
        now_s = self.venue.outside.now_s
        key = (rule, text)
        self._seen.add(key)
        since_s = self._broken.setdefault(key, now_s)
        if now_s - since_s > seconds:
            self.note(rule, f"{text} since {since_s:.0f} s")

    def _price(self, symbol: Symbol) -> Decimal:
        return self.venue.price(symbol.partition("/")[0])

    def _alarms(self, life: Life) -> None:
        """I2, I5, I9: the daemon itself found that it had believed something wrong."""
        alarms = life.ears.alarms
        for _, code, text in alarms[self._heard :]:
            if code in _BELIEVED_WRONGLY and not text.endswith(_SAID_OF_A_POSITION):
                self.note(_BELIEVED_WRONGLY[code], text)
            self._is_guessed |= code == "ADOPTED" or "is a guess" in text
            if code == "BALANCE_CORRECTED" and not self._is_guessed and not self._others_opened():
                self.note("I5", f"nothing explains {text}")
        self._heard = len(alarms)

    def _others_opened(self) -> bool:
        """Whether somebody else has had a position: what it earned or cost is not ours."""
        orders = self.venue.account.orders.values()
        return any(not is_ours(intent_of(one)) and not one.reduce_only for one in orders)

    def _reservations(self, life: Life, orders: list[Order]) -> None:
        """I6: what may still be bought is reserved, and nothing else. I9: what is over is over."""
        portfolio = life.world.portfolio()
        if portfolio is None or life.journal_disk.is_failing:
            return  # nobody is told of what is not durable
        known = {order.terms.client_order_id: order for order in orders}
        for order_id, order in known.items():
            if order.is_terminal:
                self._is_over(order_id, order)
            elif is_entry(order.terms):
                kept = portfolio.reservations.get(order_id)
                left = None if kept is None else kept.quantity - kept.filled
                if left != order.remaining:
                    self._within(RESERVED_WITHIN_S, "I6", f"{order_id} may fill, reserved: {left}")
        for order_id in portfolio.reservations:
            gone = known.get(order_id)
            if gone is not None and gone.is_terminal:
                self._within(RESERVED_WITHIN_S, "I6", f"{order_id} is over, and reserved for")
            elif gone is None and not self._is_wanted(life, order_id):
                self._within(UNKNOWN_WITHIN_S, "I6", f"{order_id} is nobody's, and reserved for")
        for position_id, holding in portfolio.holdings.items():
            _, position = life.world.states.latest.get(names.position(position_id), (0, None))
            if holding.ledger.quantity and (position is None or position.is_closed):
                self._within(UNKNOWN_WITHIN_S, "I5", f"{position_id} is over, and in the account")

    def _is_wanted(self, life: Life, order_id: ClientOrderId) -> bool:
        """Whether a position lives that has this entry, which may wait to leave."""
        identity = identity_of(order_id)
        position = None if identity is None else life.world.position(identity.position_id)
        return (
            position is not None
            and not position.is_closed
            and position.entry_of(order_id) is not None
        )

    def _is_over(self, order_id: ClientOrderId, order: Order) -> None:
        one = self.venue.account.order_by_client.get(order_id)
        if one is not None and one.is_working:
            self.note("I9", f"{order_id} is {order.status.value} here, and works there")

    def _booked(self, life: Life) -> None:
        """I9: what fills there is booked here, whatever the stream did not tell."""
        filled: dict[str, Decimal] = defaultdict(Decimal)
        for one in self.venue.account.orders.values():
            intent = intent_of(one)
            if one.filled and intent not in self._even and is_ours(intent):
                filled[intent] += one.filled * one.listing.contract_value
        for intent, quantity in filled.items():
            _, order = life.world.states.latest.get(
                names.order_stream(ClientOrderId(intent)), (0, None)
            )
            if order is not None and order.filled < quantity:
                self._within(BOOKED_WITHIN_S, "I9", f"{intent} filled {quantity}, not booked")
            elif order is None or order.is_terminal:
                self._even.add(intent)

    def _left_behind(self, life: Life, orders: list[Order]) -> None:
        """I5: no stop outlives its position at the venue."""
        live = {order.terms.client_order_id for order in orders if not order.is_terminal}
        tag = account_tag(life.world.account)
        for some in self.venue.account.armed.values():
            for algo in some.values():
                if not algo.client_id.startswith(tag):
                    continue
                identity = identity_of(ClientOrderId(algo.client_id))
                position = None if identity is None else life.world.position(identity.position_id)
                if algo.client_id not in live or position is None or position.is_closed:
                    text = f"{algo.client_id} rests there for what is over here"
                    self._within(LEAVES_WITHIN_S, "I5", text)

    def _taken_back(self, life: Life) -> None:
        """I11: an entry that nobody wants any more leaves the venue."""
        for some in self.venue.account.working.values():
            for one in some.values():
                identity = identity_of(ClientOrderId(intent_of(one)))
                if identity is None or not identity.leg.startswith("entry"):
                    continue
                position = life.world.position(identity.position_id)
                is_unwanted = position is not None and (
                    position.withdrawn is not None
                    or position.is_closed
                    or position.status is PositionStatus.CLOSING
                )
                if not is_unwanted:
                    continue
                text = f"{one.client_id} rests there, and nobody wants it"
                self._within(LEAVES_WITHIN_S, "I11", text)
                _, order = life.world.states.latest.get(
                    names.order_stream(ClientOrderId(one.client_id)), (0, None)
                )
                is_known = order is not None and order.status in _RESTS
                if is_known and self.cancels.isdisjoint({one.client_id, one.order_id}):
                    self._within(CANCELS_WITHIN_S, "I11", f"{text}, nor cancels it")

    def _tried_again(self, position: Position, life: Life) -> None:
        """I3: a close that came to nothing is tried again until nothing remains."""
        whole = [each for each in position.exits if each.whole]
        if not whole or position.status not in TRIES_AGAIN:
            return
        for each in position.exits:
            _, order = life.world.states.latest.get(
                names.order_stream(each.client_order_id), (0, None)
            )
            if not each.done and not each.waits and order is not None and order.is_terminal:
                text = f"{each.client_order_id} is over, and its position waits for it"
                self._within(TRIES_WITHIN_S, "I3", text)
        last, lot = whole[-1], position.instrument.lot_size
        came_short = last.done and last.filled < last.quantity and position.free_quantity >= lot
        if came_short and last.reason is not ExitReason.TAKE_PROFIT and not last.at_venue:
            what = f"{last.client_order_id} came to nothing"
            text = f"{what}, the {len(position.exits)}th exit, and none follows"
            self._within(TRIES_WITHIN_S, "I3", text)

    def _watched(self, life: Life, held: list[Position], armed: list[Watched] | None) -> None:
        """I3: the levels of what is held are watched here, and its stop rests at the venue."""
        watched: dict[PositionId, set[ExitId]] = defaultdict(set)
        for each in armed or ():
            watched[each.key].add(each.exit_id)
        rests = [one for some in self.venue.account.armed.values() for one in some.values()]
        for position in held:
            due = self._due_of(position, life.world.rules)
            if armed is not None and due.levels != watched[position.id]:
                self._within(WATCHED_WITHIN_S, "I3", f"levels of {position.id} are not watched")
            wanted = due.stop
            if wanted is None or not self._is_there(position, held):
                continue
            if not any(_is_it(one, position, wanted) for one in rests):
                text = f"the stop of {position.id} does not rest as it should"
                self._within(RESTS_WITHIN_S, "I3", text)

    def _due_of(self, position: Position, rules: PositionRules) -> Due:
        due = self._due.get(position.id)
        if due is None or due.position is not position or due.rules is not rules:
            levels = levels_of(position.protection, position.direction)
            stop = should_rest(position, rules)
            due = Due(position, rules, frozenset(each.exit_id for each in levels), stop)
            self._due[position.id] = due
        return due

    def _quarantines(self, life: Life, positions: list[Position]) -> None:
        """I5: nothing is in quarantine of which the venue holds what is held here."""
        for symbol in life.world.quarantined:
            same = (each for each in positions if each.instrument.symbol == symbol)
            ours = sum((each.direction.sign * each.remaining for each in same), ZERO)
            if held_there(self.venue, life.world.instruments[symbol]) == ours:
                text = f"{symbol} is in quarantine, though nothing differs"
                self._within(RESTS_WITHIN_S, "I5", text)

    def _is_there(self, position: Position, held: list[Position]) -> bool:
        """Whether the venue holds what is held here of a symbol: others may have sold it."""
        symbol = position.instrument.symbol
        same = (each for each in held if each.instrument.symbol == symbol)
        ours = sum((each.direction.sign * each.remaining for each in same), ZERO)
        return abs(held_there(self.venue, position.instrument)) >= abs(ours)

    def _levels(self, life: Life, positions: list[Position]) -> None:
        """I12: what is crossed fires. I10: at a price that was one."""
        now = life.outside.now
        for position in positions:
            price = self._price(position.instrument.symbol)
            for order in position.exits:
                if order.client_order_id in self._fired:
                    continue
                self._fired.add(order.client_order_id)
                trigger = order.trigger
                fired_at = price if trigger is None or trigger.while_down else trigger.price
                if abs(fired_at - price) > _OFF_PRICE * price:
                    self.note("I10", f"{order.client_order_id} fired at {fired_at}, not {price}")
            if position.status not in HOLDS or not is_calm(position):
                self._crossing.pop(position.id, None)
                continue
            for exit_id in _crossed(position, price):
                text = f"{exit_id} of {position.id} is crossed and does not fire"
                self._within(FIRES_WITHIN_S, "I12", text)
            self._note_crossed(life, position, price)
            limit_s = position.plan.max_holding_s
            if limit_s is None:
                continue
            held_s = (now - position.fills[0].at).total_seconds()
            if held_s > limit_s + FIRES_WITHIN_S:
                text = f"{position.id} is held for longer than {limit_s:.0f} s"
                self._within(FIRES_WITHIN_S, "I12", text)

    def _note_crossed(self, life: Life, position: Position, price: Decimal) -> None:
        """I12: what was crossed at two looks, and told, fires though the price comes back.

        Unless an actor was killed, which may have known of it alone.
        """
        if self._kills != len(life.kills):
            self._kills = len(life.kills)
            self._crossing.clear()
        known = life.world.prices.prices.get(position.instrument.symbol)
        is_told = known is not None and bool(known.last) and Decimal(known.last) == price
        levels = dict(_levels_of(position))
        crossed = set(_crossed(position, price)) if is_told else set()
        before = self._crossing.pop(position.id, {})
        now = self._crossing[position.id] = {}
        for exit_id, level in levels.items():
            known_level, looks = before.get(exit_id, (level, 0))
            looks = looks if known_level == level else 0
            if looks > 1:
                now[exit_id] = level, looks
                text = f"{exit_id} of {position.id} was crossed and does not fire"
                self._within(FIRES_WITHIN_S, "I12", text)
            elif exit_id in crossed:
                now[exit_id] = level, looks + 1

    # --- entries ---

    def _forbidden(self, life: Life, traders: list[str]) -> None:
        """Keep since when something has stood against entries; the next one that leaves tells."""
        now_s = life.outside.now_s
        for what in self._against(life, traders):
            self._seen.add(("entries", what))
            self._broken.setdefault(("entries", what), now_s)
        self._note_limits(life, traders)

    def _note_limits(self, life: Life, traders: list[str]) -> None:
        for name in traders:
            actor = life.actor(name)
            if actor is not None:
                self._note_limit(name, actor.limits.max_positions)
        portfolio = life.world.portfolio()
        if portfolio is not None:
            most = limits_of(portfolio, life.world.limits).max_positions
            self._note_limit(names.PORTFOLIO, most)

    def _note_limit(self, whose: str, most: int) -> None:
        now_s = self.venue.outside.now_s
        limits = self._limits.setdefault(whose, deque())
        limits.append((now_s, most))
        while limits[0][0] < now_s - IN_FORCE_S:
            limits.popleft()

    def _against(self, life: Life, traders: list[str]) -> Iterator[str]:
        """Yield what stands against entries now: the mode, a symbol's price, a trader's pause."""
        world = life.world
        portfolio = world.portfolio()
        causes = list(world.causes.values()) + list(portfolio.causes if portfolio else ())
        # One by one: between two looks one may end and another begin, and an entry pass.
        yield from sorted({f"mode {one.code}" for one in causes if not one.mode.allows_entries})
        for symbol, price in world.prices.prices.items():
            told = price.told or price.last
            if told and Decimal(told) != self._price(symbol):
                yield f"{symbol} at {told}"
        for name in traders:
            _, trader = world.states.latest.get(name, (0, None))
            if trader is not None and trader.paused:
                yield name

    def on_entry(self, life: Life, position_id: PositionId, *, is_first: bool) -> None:
        """I10, I14: an entry leaves; nothing may have stood against it for long."""
        position = life.world.position(position_id)
        if position is None:
            return
        trader = names.trader(position.trader)
        symbol = position.instrument.symbol
        for what in self._against(life, [trader]):
            since_s = self._broken.get(("entries", what), life.outside.now_s)
            if what == f"mode {JOURNAL_DOWN}":  # it may have ended and begun again since the look
                alarms = (at for at, code, _ in life.ears.alarms if code == JOURNAL_DOWN)
                since_s = max(since_s, *alarms)
            rule = "I10" if what.startswith(("mode ", f"{symbol} at ")) else None
            if what == trader and is_first:  # a person may add to what a paused trader has opened
                rule = "I14"
            if rule is not None and life.outside.now_s - since_s > IN_FORCE_S:
                told = f"{what} since {since_s:.0f} s"
                self.note(rule, f"an entry of {position_id} leaves against {told}")
        portfolio = life.world.portfolio()
        if portfolio is None or not is_first:
            return
        self._note_limits(life, [trader])  # it may have been raised since the last look
        own = sum(each.trader == position.trader for each in portfolio.holdings.values())
        for whose, count in ((trader, own), (names.PORTFOLIO, len(portfolio.holdings))):
            most = max((most for _, most in self._limits.get(whose, ())), default=count)
            if count > most:
                self.note("I14", f"{whose} opens {position_id}, its {count}th of at most {most}")


def held_there(venue: SimVenue, instrument: Instrument) -> Decimal:
    """Return what the venue holds of an instrument, base units, signed."""
    if instrument.kind is Kind.SPOT:
        return venue.account.asset(instrument.base).cash
    there = venue.account.open_positions(venue.names[instrument.base])
    return sum((one.signed * one.listing.contract_value for one in there), ZERO)


def _is_it(algo: Algo, position: Position, wanted: Resting) -> bool:
    """Whether an order at the venue is the stop that should rest there."""
    identity = identity_of(ClientOrderId(algo.client_id))
    if identity is None or identity.position_id != position.id:
        return False
    size = algo.size * algo.listing.contract_value
    return (size, algo.sl_trigger) == (wanted.quantity, wanted.trigger_price)


def _crossed(position: Position, price: Decimal) -> Iterator[str]:
    """Yield the stop, the targets and the move to breakeven that a price is beyond."""
    below = position.direction.sign > 0
    for exit_id, level in _levels_of(position):
        if has_crossed(level=level, below=below is (exit_id == STOP), price=price):
            yield exit_id


def _levels_of(position: Position) -> Iterator[tuple[str, Decimal]]:
    """Yield what is to fire, and where; trails are looked at elsewhere."""
    protection = position.protection
    if protection.stop is not None:
        yield STOP, protection.stop.price
    for target in protection.open_targets():
        yield target.exit_id, target.price
    even = protection.breakeven
    if even is not None and not even.done:
        yield BREAKEVEN, even.trigger_price


def _armed(feed: Any) -> Iterator[Watched]:
    for line in feed.lines.values():
        for index in line.indices():
            yield from index.armed()
