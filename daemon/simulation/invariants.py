"""What must hold, by the numbers of the invariants; the venue's own ledger is the judge.

While it runs: I1 (no order without a durable intent), I3 (nothing held without a guard), I6
(reservations fit the balance), I11 (every question answered), and no error that nobody planned. At
each start: I7 (what was recovered is a fold of the journal). In the calm end: I2, I4, I5, I9.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from actors import names
from actors.money import TOLERANCE
from daemon.simulation import slow_cancel
from daemon.simulation.commands import Commands
from daemon.simulation.events import wrong_with
from daemon.simulation.kept import Kept
from daemon.simulation.life import Life
from daemon.simulation.network import parameters
from daemon.simulation.promises import Promises, held_there
from daemon.simulation.venue import SimVenue
from domain.errors import InvariantError
from domain.ids import ClientOrderId, Symbol, account_tag, identity_of
from domain.money import ZERO
from domain.order import Fill, Order, OrderStatus
from domain.portfolio_events import HoldingClosed
from domain.portfolio_state import Portfolio, equity
from domain.position import Position, PositionStatus
from domain.position_draft import HOLDS
from domain.position_events import (
    PositionAdopted,
    PositionFilled,
    PositionReducedOutside,
    ProtectionModified,
)
from domain.protection import is_tighter
from domain.venue_stop_align import should_rest
from exchanges.sandbox.catalog import QUOTE
from exchanges.sandbox.endpoints import Endpoint
from exchanges.sandbox.judge import OF_POSITION, intent_of, is_ours
from exchanges.sandbox.records import Algo
from storage.chain import Tail
from storage.compare import row_problems
from storage.store import Store

GUARDED_WITHIN_S = 12.0  # after two alarms' time a position is closed; and what a round trip takes
_CENT = Decimal("0.01")  # quote
_PLACES = frozenset({"trade/order", "trade/order-algo"})
_ENDED = frozenset({PositionStatus.CLOSED, PositionStatus.CLOSED_WITH_DUST})
# Reasons for a safer mode that a day may leave behind and that are no fault of the daemon.
_LASTING = frozenset({"DAILY_DRAWDOWN", "TOTAL_DRAWDOWN", "KILL_SWITCH", "CLOSING_ALL"})


class Violation(Exception):  # noqa: N818 - a verdict, not an error of the simulation
    """An invariant does not hold."""

    def __init__(self, rule: str, text: str) -> None:
        self.rule = rule
        self.text = text
        super().__init__(f"{rule}: {text}")


class Judge:
    """Looks at one day."""

    def __init__(self, venue: SimVenue, commands: Commands) -> None:
        self.venue = venue
        self.commands = commands
        self.folded: dict[str, tuple[int, Any]] = {}
        self.folded_to: Tail | None = None
        self.checks = 0
        self.violations: list[Violation] = []
        self._bare_since: dict[tuple[str, int], float] = {}
        self._life: Life | None = None
        self._promises = Promises(venue, self.note)
        self._kept = Kept(commands, self.note)
        self._closed_with: dict[str, Decimal] = {}  # what the account booked of a position, quote
        self._adopted: dict[str, Decimal] = {}  # contracts, by what ids of a position begin with
        self._gone: dict[str, Decimal] = defaultdict(Decimal)  # closed by others, as believed here
        self._beyond: dict[str, Decimal] = defaultdict(Decimal)  # by stops of before others closed
        self._of_strangers: dict[str, Decimal] = {}  # contracts, by a stop beside an exit

    def note(self, rule: str, text: str) -> None:
        """Keep a violation, the same one once."""
        if all((one.rule, one.text) != (rule, text) for one in self.violations):
            self.violations.append(Violation(rule, text))
            self.venue.outside.tell(f"VIOLATION {rule}: {text}")

    def _expect(self, rule: str, holds: bool, text: str) -> None:  # noqa: FBT001 - an assertion
        self.checks += 1
        if not holds:
            self.note(rule, text)

    # --- with each request

    def on_change(self, life: Life, endpoint: Endpoint, fields: Any) -> None:
        """I1: whatever is placed was intended durably before, or is an exit that was armed so."""
        row = parameters(fields)
        if endpoint.path == slow_cancel.PATH:
            self._promises.cancels.update(str(row.get(each)) for each in ("ordId", "clOrdId"))
        if endpoint.path not in _PLACES:
            return
        order_id = ClientOrderId(str(row.get("clOrdId") or row.get("algoClOrdId") or ""))
        self._only_reduces(order_id, row)
        self._as_intended(life, order_id, row)
        durable = life.world.states.durable
        if names.order_stream(order_id) in durable:
            held = durable[names.order_stream(order_id)][1]
            self._expect("I1", held is not None, f"{order_id} without intent")
            identity = identity_of(order_id)
            if identity is not None and identity.leg.startswith("entry"):
                is_first = identity.leg == "entry-0"
                self._promises.on_entry(life, identity.position_id, is_first=is_first)
            return
        identity = identity_of(order_id)
        self._expect("I1", identity is not None, f"{order_id} is no id of ours")
        if identity is None:
            return
        _, position = durable.get(names.position(identity.position_id), (0, None))
        # One that had to wait for the stop's end has fired durably, and is armed no more.
        named = position is not None and any(
            each.client_order_id == order_id for each in (*position.armed, *position.exits)
        )
        self._expect("I1", named, f"{order_id} was sent and is not durable")

    def _as_intended(self, life: Life, order_id: ClientOrderId, row: Any) -> None:
        """I14: what leaves for the book is what was decided: side, price, size."""
        _, order = life.world.states.latest.get(names.order_stream(order_id), (0, None))
        if order is None or "sz" not in row or "clOrdId" not in row:
            return
        terms = order.terms
        listing = self.venue.world.venue.market.quotes[row["instId"]].listing
        size = Decimal(str(row["sz"])) * listing.contract_value
        price = row.get("px")
        sent = (row["side"], None if price is None else Decimal(str(price)), size)
        meant = (terms.side.value, terms.price, terms.quantity)
        self._expect("I14", sent == meant, f"{order_id} was sent as {sent}, and meant as {meant}")

    def _only_reduces(self, order_id: ClientOrderId, row: Any) -> None:
        """I4: an exit of a swap cannot turn the position."""
        identity = identity_of(order_id)
        if self.venue.kind == "swap" and identity is not None:
            is_exit = not identity.leg.startswith("entry")
            reduces = row.get("reduceOnly") in {True, "true"}
            self._expect("I4", is_exit is reduces, f"{order_id} with reduceOnly {reduces}")

    # --- every second or so

    def look(self, life: Life) -> None:
        """Check what is cheap."""
        if life is not self._life:
            self._life, self._bare_since = life, {}
        self.errors(life)
        portfolio = life.world.portfolio()
        if portfolio is not None:
            self._reserved(portfolio)
        positions: list[Position] = life.world.states.latest_of("position")
        self._guards(life, positions)
        self._promises.look(life, positions)
        for text in self.commands.overdue(life.outside.now_s):
            self.note("I11", f"nobody answered: {text}")
        self._kept.look(life)

    def errors(self, life: Life) -> None:
        """No actor crashes but by murder."""
        for error in life.errors:
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            code = "" if where is None else where.tb_frame.f_code.co_name
            self.note("crash", f"{type(error).__name__}: {error} in {code}")
        life.errors.clear()
        self._expect("crash", not life.parts.system.failed.done(), "the root failed")

    def _reserved(self, portfolio: Portfolio) -> None:
        """I6."""
        total = sum((each.open_amount for each in portfolio.reservations.values()), ZERO)
        self._expect("I6", total == portfolio.reserved, f"reserved {portfolio.reserved}, {total}")

    def _guards(self, life: Life, positions: list[Position]) -> None:
        """I3: what is held has a stop at the venue, an armed level, an exit under way, an alarm."""
        now_s = life.outside.now_s
        feed = life.actor(names.FEED)
        held = [each for each in positions if each.remaining]
        bare = set()
        for position in held:
            if feed is None or self._is_guarded(life, feed, position):
                continue
            if abs(held_there(self.venue, position.instrument)) < position.instrument.lot_size:
                continue  # somebody else has closed it: nothing is left to guard
            is_dust = not position.instrument.whole_lots(position.remaining)
            if is_dust and position.status is PositionStatus.CLOSING:
                continue  # it waits for what became of an entry
            key = (position.id, len(position.exits))  # each exit that is tried starts it anew
            bare.add(key)
            since_s = self._bare_since.setdefault(key, now_s)
            if now_s - since_s > GUARDED_WITHIN_S:
                text = f"{position.id} {position.status.value} {position.remaining}"
                self.note("I3", f"{text} without a guard since {since_s:.0f} s")
        self.checks += len(held)
        self._bare_since = {key: at for key, at in self._bare_since.items() if key in bare}

    def _is_guarded(self, life: Life, feed: Any, position: Position) -> bool:
        if position.status is PositionStatus.QUARANTINED or _is_to_be_bare(position):
            return True
        if any(not each.done for each in position.exits):
            return True
        algos = self.venue.account.algo_by_client
        for stop in position.at_venue.live:
            algo = algos.get(stop.client_order_id)
            if algo is not None and algo.state == "live":
                return True
        line = feed.lines.get(position.instrument.symbol)
        armed = line is not None and any(
            each.key == position.id for index in line.indices() for each in index.armed()
        )
        return armed or any(position.id in message for _, _, message in life.ears.alarms)

    # --- at a start

    def recovered(self, store: Store) -> None:
        """I7: snapshot and tail are a fold of the whole journal."""
        self._fold(store)
        self._expect("I7", not store.recovered.problems, f"{store.recovered.problems}")
        for stream, (version, state) in store.recovered.streams.items():
            ours = self.folded.get(stream)
            same = ours is not None and ours == (version, state)
            self._expect("I7", same, f"{stream} is not recovered as it was journaled")
        for stream in store.registry.without_retired(self.folded):
            self._expect("I7", stream in store.recovered.streams, f"{stream} is not recovered")
        self._promises.on_start(store.recovered.streams)

    def _fold(self, store: Store) -> None:
        registry = store.registry
        for record in store.journal.read(self.folded_to):
            event = registry.codec.decode(record.type, record.schema_version, record.payload)
            _, state = self.folded.get(record.stream, (0, None))
            self.folded_to = Tail(record.seq, record.hash)
            try:
                after = registry.kind_of(record.stream).evolve(state, event)
            except InvariantError as error:
                self.note("I7", f"record {record.seq} does not follow: {error}")
                continue
            self._event(event, state, after)
            self.folded[record.stream] = (record.version, after)
        self._kept.folded(self.folded)

    def _event(self, event: Any, before: Any, after: Any) -> None:
        """I2: nothing closes more than is held. I14: no program loosens a stop. And `events.py`."""
        if isinstance(event, PositionFilled) and event.exit_id is not None:
            self._closes(event.fill, before)
        for rule, text in wrong_with(event, before, after):
            self.note(rule, text)
        if isinstance(event, HoldingClosed):
            self._closed_with[event.position_id] = event.realized_pnl
        if isinstance(event, PositionAdopted):
            contracts = event.fill.quantity / event.instrument.contract_size
            self._adopted[event.entry.client_order_id[:OF_POSITION]] = contracts
        if isinstance(event, PositionReducedOutside):
            self._gone[after.instrument.symbol] += event.fill.quantity
        if not isinstance(event, ProtectionModified) or event.modification.requested_by.is_manual:
            return
        old, new = event.modification.previous.stop, event.modification.new.stop
        if old is not None:
            looser = new is None or is_tighter(after.direction, new=old.price, old=new.price)
            self._expect("I14", not looser, f"the stop of {after.id} went from {old} to {new}")

    def _closes(self, fill: Fill, position: Position) -> None:
        """I2: but a stop at the venue may be as large as its position was before others closed.

        And it rests beside an exit until that is told: what a person opens of the symbol by then
        may be closed by it.
        """
        too_much = fill.quantity - position.remaining
        if too_much <= ZERO:
            return
        by_others = sum((each.quantity for each in position.outside_fills), ZERO)
        stops = {each.client_order_id for each in position.exits if each.at_venue}
        if fill.client_order_id in stops and too_much <= by_others:
            self._beyond[position.instrument.symbol] += too_much  # gone from a neighbor
        elif (
            stops
            and any(each.beside for each in position.exits)
            and (too_much <= self._opened_by_strangers(position))
        ):
            self._beyond[position.instrument.symbol] += too_much
            contracts = too_much / position.instrument.contract_size
            self._of_strangers[position.entry.client_order_id[:OF_POSITION]] = contracts
        else:
            self.note("I2", f"{too_much} more closed than {position.id} held: {fill}")

    def _opened_by_strangers(self, position: Position) -> Decimal:
        entry_side = position.direction.exit_side.opposite.value
        return sum(
            (
                each.filled * each.listing.contract_value
                for each in self.venue.account.orders.values()
                if not is_ours(intent_of(each))
                and each.side == entry_side
                and f"{each.listing.base}/USDT" == position.instrument.symbol
            ),
            ZERO,
        )

    # --- at the end

    def settled(self, life: Life) -> None:
        """Everything agrees, now that nothing has gone wrong for a while."""
        self._fold(life.store)
        self.recovered_live(life)
        self._judged()
        self._orders(life)
        self._holdings(life)
        self._resting(life)
        self._stops(life)
        self._taken()
        self._earned()
        self._accounted(life)
        self._money(life)
        self._mode(life)
        self._tables(life.store)

    def recovered_live(self, life: Life) -> None:
        """I7: what lives in memory is a fold of the journal, but for what is being written."""
        for stream, held in life.world.states.durable.items():
            ours = self.folded.get(stream)
            same = ours == held or (ours is not None and ours[0] > held[0])
            self._expect("I7", same, f"{stream} is not as journaled")

    def _judged(self) -> None:
        """I2, I4: by the venue's judge."""
        found = self.venue.judge()
        for row in found["duplicates"]:
            if not self._closed_again(row["orders"]):
                self.note("I2", f"doubled: {row['leg']} filled {row['filled']} of {row['asked']}")
        for row in found["oversold"]:
            taken_in = self._adopted.get(row["position"], ZERO)  # the venue saw nobody open it
            taken_in += self._of_strangers.get(row["position"], ZERO)
            if Decimal(row["closed"]) <= Decimal(row["opened"]) + taken_in:
                continue
            self.note("I4", f"closed {row['closed']} of {row['opened']}: {row['position']}")
        for order_id in found["resent"]:
            self.note("I2", f"sent again: {order_id}")
        self.checks += 3

    def _closed_again(self, order_ids: Iterable[str]) -> bool:
        """Whether a leg that had filled went on to close what was there since.

        All there was: it had grown, or another exit had failed; I4 counts the whole. Or its part of
        what was bought meanwhile.
        """
        known = [self.folded.get(names.order_stream(ClientOrderId(one))) for one in order_ids]
        filled = [order for _, order in filter(None, known) if order.filled]
        if not filled:
            return False
        _, position = self.folded[names.position(filled[0].terms.position_id)]
        whole = {each.client_order_id for each in position.exits if each.whole}
        exits = {each.client_order_id: each.stands_for for each in position.exits}
        target = position.protection.target(exits.get(filled[0].terms.client_order_id))
        if target is not None:
            entry_side = position.direction.entry_side
            entered = sum(each.quantity for each in position.fills if each.side is entry_side)
            most = target.part * entered + position.instrument.lot_size
            if sum(order.filled for order in filled) <= most:
                return True
        return all(order.terms.client_order_id in whole for order in filled[1:])

    def _orders(self, life: Life) -> None:
        """I1, I2, I9: every order there is known here, with what it filled."""
        filled: dict[str, Decimal] = defaultdict(Decimal)
        for one in self.venue.account.orders.values():
            if is_ours(intent_of(one)):
                filled[intent_of(one)] += one.filled * one.listing.contract_value
        for order_id, quantity in filled.items():
            _, order = self.folded.get(names.order_stream(ClientOrderId(order_id)), (0, None))
            if order is None:
                self._expect("I1", not quantity, f"{order_id} filled {quantity}, and is not known")
                continue
            told = f"{order_id} is {order.status.value}, filled {order.filled}; there {quantity}"
            self._expect("I9", order.filled == quantity, told)
            if identity_of(order.terms.client_order_id).leg.startswith("entry"):  # type: ignore[union-attr]
                self._expect("I2", quantity <= order.terms.quantity, f"entry {told}")
        orders: list[Order] = life.world.states.latest_of("order")
        for each in orders:
            known = each.status is not OrderStatus.UNKNOWN
            self._expect("I5", known, f"{each.terms.client_order_id} is left unknown")

    def _holdings(self, life: Life) -> None:
        """I5: what is held is the same on both sides."""
        ours: dict[str, Decimal] = defaultdict(Decimal)
        quarantined = life.world.quarantined
        for each in life.world.states.latest_of("position"):
            ours[each.instrument.symbol] += each.direction.sign * each.remaining
        theirs: dict[str, Decimal] = defaultdict(Decimal)
        for base, inst in self.venue.names.items():
            quote = self.venue.world.venue.market.quotes[inst]
            symbol = f"{base}/USDT"
            theirs[symbol] = held_there(self.venue, life.world.instruments[Symbol(symbol)])
            if symbol in quarantined:
                continue
            lacks = ours[symbol] - theirs[symbol]
            # On spot, coins that nobody here bought are a person's own; less than a lot is dust.
            lot = life.world.instruments[Symbol(symbol)].lot_size
            same = not lacks if quote.listing.is_swap else lacks < lot
            told = f"{symbol}: here {ours[symbol]}, there {theirs[symbol]}"
            self._expect("I5", same, told)

    def _resting(self, life: Life) -> None:
        """I5: what rests there with an id of ours is alive here."""
        account = self.venue.account
        tag = account_tag(life.world.account)
        resting: list[Any] = [one for some in account.working.values() for one in some.values()]
        resting += [one for some in account.armed.values() for one in some.values()]
        for one in resting:
            order_id = one.client_id if isinstance(one, Algo) else intent_of(one)
            if not order_id.startswith(tag):
                continue
            _, order = life.world.states.latest.get(
                names.order_stream(ClientOrderId(order_id)), (0, None)
            )
            alive = order is not None and not order.is_terminal
            self._expect("I5", alive, f"{order_id} rests there, and is over here")

    def _stops(self, life: Life) -> None:
        """I5: for what is held, the stop that should rest there does."""
        rules = life.world.rules
        armed = [one for some in self.venue.account.armed.values() for one in some.values()]
        for position in life.world.states.latest_of("position"):
            is_left_alone = position.instrument.symbol in life.world.quarantined
            if position.status not in HOLDS or is_left_alone:
                continue
            there = [each for each in armed if _position_of(each.client_id) == position.id]
            rests = [(each.size * each.listing.contract_value, each.sl_trigger) for each in there]
            wanted = should_rest(position, rules)
            due = [] if wanted is None else [(wanted.quantity, wanted.trigger_price)]
            self._expect("I5", rests == due, f"stops of {position.id}: due {due}, there {rests}")

    def _taken(self) -> None:
        """I5: what is believed closed by others was traded by others."""
        traded: dict[str, Decimal] = defaultdict(Decimal)
        for one in self.venue.account.orders.values():
            if not is_ours(intent_of(one)):
                symbol = f"{one.listing.base}/USDT"
                traded[symbol] += one.filled * one.listing.contract_value
        for symbol, gone in self._gone.items():
            told = f"{gone} {symbol} closed by others, who traded {traded[symbol]}"
            self._expect("I5", gone <= traded[symbol] + self._beyond[symbol], told)

    def _earned(self) -> None:
        """I5: a position earned what came in for it at the venue, less what went out."""
        came_in: dict[str, Decimal] = defaultdict(Decimal)
        for order in self.venue.account.orders.values():
            position_id = _position_of(intent_of(order))
            for fill in order.fills:
                value = fill.price * fill.size * order.listing.contract_value
                came_in[position_id] += value if order.side == "sell" else -value
                came_in[position_id] += fill.fee if fill.fee_asset == QUOTE else ZERO
        for stream, (_, position) in self.folded.items():
            if not stream.startswith("position/") or position.outside is not None:
                continue
            if position.status not in _ENDED or position.outside_fills:
                continue
            if position.entry.client_order_id[:OF_POSITION] in self._of_strangers:
                continue  # what the stop closed of somebody else's came in as well
            # What is left over was paid for, and has brought nothing yet.
            left_over = position.ledger.cost * position.direction.sign
            earned = position.realized_pnl - position.ledger.funding - left_over
            told = f"{position.id} earned {earned}, at the venue {came_in[position.id]}"
            self._expect("I5", abs(earned - came_in[position.id]) < _CENT, told)
            booked = self._closed_with.get(position.id, position.realized_pnl)
            told = f"{position.id} earned {position.realized_pnl}, in the account {booked}"
            self._expect("I5", booked == position.realized_pnl, told)

    def _accounted(self, life: Life) -> None:
        """I5: the account holds what its positions hold, and nothing for those that are over."""
        portfolio = life.world.portfolio()
        if portfolio is None:
            return
        open_ones = {
            each.id: each.remaining
            for each in life.world.states.latest_of("position")
            if each.fills and not each.is_closed
        }
        held = {
            position_id: each.ledger.remaining
            for position_id, each in portfolio.holdings.items()
            if each.ledger.quantity
        }
        self._expect("I5", held == open_ones, f"the account holds {held}, positions {open_ones}")

    def _tables(self, store: Store) -> None:
        """I7: the tables that people read say what the journal says."""
        problems = row_problems(store.database, store.registry, store.tables, store.disk)
        self._expect("I7", not problems, "; ".join(problems))

    def _money(self, life: Life) -> None:
        """I5: the same money."""
        portfolio = life.world.portfolio()
        if portfolio is None or self.venue.kind != "swap" or life.world.quarantined:
            return
        marks = {
            Symbol(f"{base}/USDT"): self.venue.world.venue.market.quotes[name].mark
            for base, name in self.venue.names.items()
        }
        # The venue mixes the positions of a symbol: what they are worth is the same, not the cash.
        ours, theirs = equity(portfolio, marks), self.venue.account.equity("USDT")
        self._expect(
            "I5", abs(ours - theirs) < TOLERANCE, f"worth {ours} USDT here, {theirs} there"
        )

    def _mode(self, life: Life) -> None:
        """I5: nothing but what a person must see to is in the way of entries."""
        for code, cause in life.world.causes.items():
            self._expect("I5", code in _LASTING, f"{code} stays: {cause.message}")


def _is_to_be_bare(position: Position) -> bool:
    """Whether it was opened without a guard, as a person may."""
    plan = position.plan
    return plan.stop_price is None and plan.trail_ratio is None and plan.trail_distance is None


def _position_of(order_id: str) -> str:
    identity = identity_of(ClientOrderId(order_id))
    return "" if identity is None else identity.position_id
