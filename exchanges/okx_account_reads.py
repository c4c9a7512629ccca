"""What an account at OKX says of itself: orders, fills, money, holdings, through REST.

Every read is the venue's word or `Unknown`: only a whole, well-formed answer with code 0 can say
"nothing". Rows of instruments that are not traded here are passed over.

An order that a triggered stop created, and its fills, are told of under the stop's id.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from domain.ids import ClientOrderId, Symbol, identity_of
from domain.instrument import Instrument, Kind
from domain.money import ZERO
from domain.order import Fill, OrderStatus
from exchanges import okx_answers as okx
from exchanges.ccxt_wire import Reply, Wire
from exchanges.okx_account_rows import cash_flow_from_row
from exchanges.okx_fields import Row, if_above_zero, maybe, optional, text
from exchanges.okx_fill_owners import MOST_KNOWN, FillOwners
from exchanges.okx_forgotten import SETTLED, forgotten
from exchanges.okx_pages import Pages, Rows
from exchanges.okx_rules import Rules
from exchanges.port import (
    Balance,
    CashFlow,
    NotFound,
    OutsideFill,
    Unknown,
    VenueOrder,
    VenuePosition,
)
from exchanges.recent import Recent
from exchanges.rest import LieError, stamp_ms
from exchanges.translate import (
    UnlistedError,
    algo_from_row,
    balance_from_row,
    cash_from_row,
    children_of,
    fill_from_row,
    inst_id,
    instant,
    is_listed,
    order_from_row,
    outside_fill,
    position_from_row,
    with_children,
)
from exchanges.verdict import Verdict
from runtime.ports import Clock

T = TypeVar("T")

_NO_RULES = Unknown("the venue has not told yet what a contract is")
# What can be asked for at once: only these two together (docs-v5/en: "Algo order list", ordType).
_RESTING_KINDS = ("conditional,oco", "move_order_stop", "trigger")
_ENDED_STATES = ("effective", "canceled", "order_failed")
_LATEST_FILLS = timedelta(days=3) - timedelta(minutes=5)  # what `trade/fills` goes back
_LATEST_BILLS = timedelta(days=7) - timedelta(minutes=5)
_SAYS_NO = frozenset({Verdict.REFUSED, Verdict.GONE})


class AccountReads:
    """Reads one account; remembers which order belongs to which stop."""

    def __init__(self, wire: Wire, clock: Clock, rules: Rules) -> None:
        self._wire = wire
        self._clock = clock
        self._rules = rules
        self._pages = Pages(wire, clock)
        self.margins: Mapping[str, frozenset[str]] = {}  # of what is held, by the venue's ids
        self.owners = FillOwners(rules, self._pages, clock, self._order_of_fill)
        self.algo_ids: Recent[ClientOrderId, str] = Recent(MOST_KNOWN)  # the venue's, of stops

    @property
    def listed(self) -> Mapping[str, Instrument]:
        """What is traded, by the venue's ids."""
        return self._rules.listed

    @property
    def _kinds(self) -> list[Kind]:
        return self._rules.kinds

    # Orders

    async def order(
        self, symbol: Symbol, order_id: ClientOrderId
    ) -> VenueOrder | NotFound | Unknown:
        """Look an order up by our id, among those in the book and those that wait to trigger."""
        instrument = self._rules.of(symbol)
        if instrument is None:
            return Unknown(f"{symbol}: the venue has told no rules of it")
        looks = [self._plain_order, self.algo]
        if is_guard(order_id) or order_id in self.algo_ids:
            looks.reverse()
        for look in looks:
            found = await look(instrument, order_id)
            if not isinstance(found, NotFound):
                return found
        return NotFound()

    async def algo(
        self, instrument: Instrument, order_id: ClientOrderId
    ) -> VenueOrder | NotFound | Unknown:
        """Look up what rests to be triggered, with what its order has come to."""
        answer = await self._wire.ask(okx.ALGO, {"algoClOrdId": order_id}, urgent=True)
        if okx.is_not_found(answer):
            return NotFound()
        rows = okx.read(answer, lambda rows: rows)
        if isinstance(rows, Unknown):
            says_no = isinstance(answer, Reply) and answer.verdict in _SAYS_NO
            if not (says_no or okx.has_no_such_place(answer)):
                return rows
            rows = []
        if not rows:  # not how the venue says "no such order": believe it only if the lists agree
            listed = await self._listed_algo(instrument, order_id)
            if isinstance(listed, Unknown) or listed is None:
                return NotFound() if listed is None else listed
            rows = [listed]
        try:
            row = okx.only_row(rows)
            algo = algo_from_row(row, self.listed)
            children = children_of(row)
        except LieError as lie:
            return Unknown(str(lie))
        if algo.terms.client_order_id != order_id:
            return Unknown("the answer is about another order")
        self.algo_ids.set(order_id, algo.venue_order_id)
        if algo.status is not OrderStatus.TRIGGERED or not children:
            return algo
        return await self._with_children(instrument, algo, children)

    async def open_orders(self) -> tuple[VenueOrder, ...] | Unknown:
        """Return all that rest at the venue, with or without a trigger."""
        if not self._rules.are_known:
            return _NO_RULES
        lists = await asyncio.gather(
            self._pages.all(okx.OPEN_ORDERS, {}, "ordId"),
            *(
                self._pages.all(okx.OPEN_ALGOS, {"ordType": kind}, "algoId")
                for kind in _RESTING_KINDS
            ),
        )
        found: list[VenueOrder] = []
        for number, rows in enumerate(lists):
            if isinstance(rows, Unknown):
                return rows
            orders = self._each(rows, self._resting if number else self._order)
            if isinstance(orders, Unknown):
                return orders
            found += orders
        return tuple(found)

    # Fills and money

    async def fills(self, since: datetime | None) -> tuple[Fill, ...] | Unknown:
        """Return executions of orders with an id, ours or another program's, oldest first."""
        found = await self._executions(since)
        return found if isinstance(found, Unknown) else tuple(fill for _, fill in found)

    async def outside_fills(self, since: datetime) -> tuple[OutsideFill, ...] | Unknown:
        """Return executions of orders without an id of ours, oldest first.

        Where the list is too long, of the latest ones: what came of older ones the holdings say.
        """
        found = await self._executions(since, lambda owner: identity_of(owner) is None, cut=True)
        if isinstance(found, Unknown):
            return found
        try:
            return tuple(outside_fill(row, fill) for row, fill in found)
        except LieError as lie:
            return Unknown(str(lie))

    async def cash_flows(
        self, since: datetime, *, hedged: bool = False
    ) -> tuple[CashFlow, ...] | Unknown:
        """Return what moved money besides fills, oldest first; `hedged`: the position mode."""
        since = self._pages.by_venue_clock(since)
        rows = await self._pages.since(
            since, _LATEST_BILLS, (okx.BILLS, {}), ((okx.PAST_BILLS, {}),)
        )
        if isinstance(rows, Unknown):
            return rows
        flows = self._each(rows, lambda row: cash_flow_from_row(row, self.listed, hedged=hedged))
        if isinstance(flows, Unknown):
            return flows
        known = {flow.flow_id: flow for flow in flows if flow is not None and flow.at >= since}
        return tuple(sorted(known.values(), key=lambda flow: (flow.at, flow.flow_id)))

    async def balances(self) -> tuple[Balance, ...] | Unknown:
        """Return the money in each asset.

        One that nothing here is paid in, and that is not told in full, is left out; of what is paid
        with, it makes all unknown: an asset that is not named has nothing.
        """
        details = await self._details()
        if isinstance(details, Unknown):
            return details
        quotes = {each.quote for each in (*self.listed.values(), *self._rules.untold.values())}
        found = []
        for row in details:
            try:
                found.append(balance_from_row(row))
            except LieError as lie:
                if not quotes or text(row, "ccy") in quotes:
                    return Unknown(str(lie))
        return tuple(found)

    async def positions(self) -> tuple[VenuePosition, ...] | Unknown:
        """Return holdings that are not zero.

        Of spot it is what the account holds of the base asset: purchases less the fees that were
        taken from them, and whatever was there before.
        """
        if not self._rules.are_known:
            return _NO_RULES
        found: list[VenuePosition] = []
        kinds = self._rules.kinds
        if Kind.SWAP in kinds:
            answer = await self._wire.ask(okx.POSITIONS, {"instType": "SWAP"})
            rows = okx.read(answer, lambda rows: rows)
            if isinstance(rows, Unknown):
                return rows
            unread = {optional_id(row) for row in rows} & self._rules.untold.keys()
            if unread:  # that is not flat: how much it is cannot be said
                return Unknown(f"the venue has told no rules of {', '.join(sorted(unread))}")
            swaps = self._each(rows, lambda row: position_from_row(row, self.listed))
            if isinstance(swaps, Unknown):
                return swaps
            self.margins = _margins(rows)
            found += swaps
        if Kind.SPOT in kinds:
            details = await self._details()
            if isinstance(details, Unknown):
                return details
            try:
                found += self._coins(details)
            except LieError as lie:
                return Unknown(str(lie))
        return tuple(each for each in found if each.quantity)

    # What the reads share

    async def _with_children(
        self, instrument: Instrument, algo: VenueOrder, venue_ids: Sequence[str]
    ) -> VenueOrder | Unknown:
        children = []
        for venue_id in venue_ids:  # their fills are the stop's, whatever is found of them
            self.owners.note(venue_id, algo.terms.client_order_id)
        for venue_id in venue_ids:
            child = await self._by_venue_id(instrument, venue_id)
            if isinstance(child, NotFound):
                if self._pages.by_venue_clock(self._clock.now()) - algo.updated_at < SETTLED:
                    return Unknown(f"triggered; its order {venue_id} is not to be found")
                child = await forgotten(self._pages, algo, venue_id, instrument)
            if isinstance(child, Unknown):
                return child
            children.append(child)
        return with_children(algo, children)

    async def _plain_order(
        self, instrument: Instrument, order_id: ClientOrderId
    ) -> VenueOrder | NotFound | Unknown:
        found = await self._lookup(instrument, {"clOrdId": order_id})
        if isinstance(found, VenueOrder) and found.terms.client_order_id != order_id:
            return Unknown("the answer is about another order")
        return found

    async def _by_venue_id(
        self, instrument: Instrument, venue_id: str
    ) -> VenueOrder | NotFound | Unknown:
        found = await self._lookup(instrument, {"ordId": venue_id})
        if isinstance(found, VenueOrder) and found.venue_order_id != venue_id:
            return Unknown("the answer is about another order")
        return found

    async def _order_of_fill(self, row: Row, venue_id: str) -> VenueOrder | NotFound | Unknown:
        return await self._by_venue_id(self.listed[optional_id(row)], venue_id)

    async def _lookup(
        self, instrument: Instrument, key: dict[str, str]
    ) -> VenueOrder | NotFound | Unknown:
        parameters = {"instId": inst_id(instrument)} | key
        answer = await self._wire.ask(okx.ORDER, parameters, urgent=True)
        is_gone = okx.is_unlisted(answer) and self._rules.is_absent(instrument)  # with its orders
        if is_gone or okx.is_not_found(answer):
            return NotFound()
        row = okx.read(answer, okx.only_row)
        if not isinstance(row, Unknown):
            row = await self._named(row)
        if isinstance(row, Unknown):
            return row
        try:
            return self._order(row)
        except LieError as lie:
            return Unknown(str(lie))

    async def _named(self, row: Row) -> Row | Unknown:
        """Return an order's row with the id of the stop that created it, which some rows lack."""
        algo_id = row.get("algoId")
        if not isinstance(algo_id, str) or not algo_id or row.get("algoClOrdId"):
            return row
        answer = await self._wire.ask(okx.ALGO, {"algoId": algo_id}, urgent=True)
        if okx.is_not_found(answer):
            return row
        algo = okx.read(answer, okx.only_row)
        if isinstance(algo, Unknown):
            return algo
        return {**row, "algoClOrdId": algo.get("algoClOrdId", "")}

    async def _listed_algo(
        self, instrument: Instrument, order_id: ClientOrderId
    ) -> Mapping[str, Any] | Unknown | None:
        """Search the lists of waiting and of ended orders."""
        of_it = {} if self._rules.is_absent(instrument) else {"instId": inst_id(instrument)}
        for kind in _RESTING_KINDS:
            wanted = {"ordType": kind} | of_it
            asked = [(okx.OPEN_ALGOS, wanted)]
            asked += [(okx.PAST_ALGOS, wanted | {"state": state}) for state in _ENDED_STATES]
            for endpoint, parameters in asked:
                rows = await self._pages.all(endpoint, parameters, "algoId")
                if isinstance(rows, Unknown):
                    return rows
                for row in rows:
                    if row.get("algoClOrdId") == order_id:
                        return row
        return None

    async def _executions(
        self,
        since: datetime | None,
        wants: Callable[[ClientOrderId], bool] = bool,
        *,
        cut: bool = False,
    ) -> list[tuple[Row, Fill]] | Unknown:
        """Return rows and what they say, of orders whose id `wants`, oldest first."""
        if not self._rules.are_known:
            return _NO_RULES
        if since is not None:
            since = self._pages.by_venue_clock(since)
        past = [(okx.PAST_FILLS, {"instType": kind.value.upper()}) for kind in self._kinds]
        rows = await self._pages.since(since, _LATEST_FILLS, (okx.FILLS, {}), past, cut=cut)
        if isinstance(rows, Unknown):
            return rows
        rows = [row for row in rows if is_listed(row, self.listed)]
        await self.owners.learn(rows, since)
        found: dict[str, tuple[Row, Fill]] = {}
        for row in rows:
            owner = await self.owners.of(row)
            if isinstance(owner, Unknown):
                return owner
            if not wants(owner):
                continue
            try:
                fill = fill_from_row(row, self.listed, owner)
            except LieError as lie:
                return Unknown(str(lie))
            if since is None or fill.at >= since:
                found[f"{fill.trade_id} {fill.side.value}"] = (row, fill)
        return sorted(found.values(), key=lambda each: (each[1].at, each[1].trade_id))

    async def _details(self) -> Rows | Unknown:
        return okx.read(await self._wire.ask(okx.BALANCE), _details)

    def _coins(self, details: Rows) -> list[VenuePosition]:
        """Return what is held of the bases of spot instruments; each asset counts once."""
        held = {text(row, "ccy"): row for row in details}
        found = []
        for instrument in (*self.listed.values(), *self._rules.untold.values()):
            row = held.pop(instrument.base, None) if instrument.kind is Kind.SPOT else None
            if row is not None:
                price = if_above_zero(row, "openAvgPx") or ZERO
                total, at = cash_from_row(row), optional(row, "uTime")
                updated_at = instant(stamp_ms(at)) if at else None
                coins = VenuePosition(instrument.symbol, total, price, updated_at=updated_at)
                found.append(coins)
        return found

    def _each(self, rows: Rows, read: Callable[[Row], T]) -> list[T] | Unknown:
        """Read all rows of instruments that are traded here; one bad row spoils the answer."""
        found = []
        for row in rows:
            try:
                found.append(read(row))
            except UnlistedError:
                continue
            except LieError as lie:
                return Unknown(str(lie))
        return found

    def _order(self, row: Row) -> VenueOrder:
        order = order_from_row(row, self.listed)
        if optional(row, "algoClOrdId"):
            self.owners.note(order.venue_order_id, order.terms.client_order_id)
        return order

    def _resting(self, row: Row) -> VenueOrder:
        order = algo_from_row(row, self.listed)
        if order.terms.client_order_id:
            self.algo_ids.set(order.terms.client_order_id, order.venue_order_id)
        return order


def _details(rows: Rows) -> Rows:
    details = okx.only_row(rows).get("details")
    if not isinstance(details, list):
        raise LieError("details is no list")
    for row in okx.rows_of(details):
        text(row, "ccy")
        cash_from_row(row)
        if optional(row, "uTime"):
            stamp_ms(optional(row, "uTime"))
    return details


def _margins(rows: Rows) -> dict[str, frozenset[str]]:
    """Return in which margin modes each instrument is held."""
    found: dict[str, set[str]] = {}
    for row in rows:
        if maybe(row, "pos", signed=True):
            found.setdefault(optional_id(row), set()).add(optional(row, "mgnMode"))
    return {name: frozenset(modes) for name, modes in found.items()}


def is_guard(order_id: ClientOrderId) -> bool:
    """Whether an id of ours is of an order that rests to be triggered."""
    identity = identity_of(order_id)
    return identity is not None and identity.leg.startswith("guard")


def optional_id(row: Row) -> str:
    """Return the instrument of a row as far as it is one."""
    name = row.get("instId")
    return name if isinstance(name, str) else ""
