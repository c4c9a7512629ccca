"""The paper venue's matching engine: synchronous, in memory, told the time.

How orders meet the market, which here is the stream of executed trades:

- MARKET executes at the last price, moved against the order by a drawn slippage, but no better than
  what the other side has quoted since that trade.
- LIMIT at or beyond the last price and the other side's best quote, where one is known, executes
  like a market order, but never beyond its limit. Otherwise it rests and fills as maker at its
  limit when a trade goes *through* it, or a quote crosses it; a mere touch does not fill it,
  because at a real venue others queue before it. IOC: what cannot execute at once is canceled.
- STOP and TARGET rest with a trigger on the last price and become market orders when it is
  touched; one that is already touched when it arrives fires at once. The child may be rejected.
- Some orders fill in parts (`partial_fill_chance`): market orders in two or three, each at its own
  price; limit orders at two touches.
- An order opens, unless it is reduce-only or sells spot: see the table in `rules.py`.
- Reduce-only: refused when there is nothing to reduce. It executes no more than the holding; when
  nothing remains to be reduced, the rest of it is canceled with the reason REDUCE_ONLY (so an
  order is FILLED only when all of its quantity was executed).
- Spot cannot be sold short. A resting spot sale (a stop or target too) locks the base asset.

Every method leaves its effects in memory and in `take_changes()`; nobody may hear of them before
they are committed.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal

from msgspec.structs import replace

from domain.ids import ClientOrderId, Symbol, TradeId
from domain.instrument import Instrument, Side
from domain.money import ZERO, Fee
from domain.order import Fill, OrderStatus, OrderTerms, OrderType, TimeInForce
from exchanges.paper.account import Account
from exchanges.paper.book import Book, is_touched, price_from
from exchanges.paper.draws import Draws
from exchanges.paper.records import Cash, Changes, Execution, PaperOrder, Records, charged
from exchanges.paper.rules import PaperRules, notional_refusal, refusal_of, slipped
from exchanges.port import Accepted, Refused

# Ids known in memory; an older one that comes again is stopped by the ledger's unique key.
RECENT_IDS = 10_000


class Matching:
    """Orders in play, their books and the account."""

    def __init__(
        self,
        instruments: Iterable[Instrument],
        rules: PaperRules,
        draws: Draws,
        held_by: Iterable[Instrument] = (),
    ) -> None:
        """`held_by`: the rules by which what is held was opened, where they may differ by now."""
        self._held_by = tuple(held_by)
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self.books = {symbol: Book(instrument) for symbol, instrument in self._instruments.items()}
        self._rules = rules
        self._draws = draws
        self.load(Records(cash=Cash(amount=rules.starting_balance)))

    def load(self, records: Records) -> None:
        """Take what the ledger holds in place of what is in memory; the last prices stay."""
        self.account = Account(records, self._instruments, self._rules)
        self.open: dict[ClientOrderId, PaperOrder] = {}
        self._recent = deque(records.recent_ids, maxlen=RECENT_IDS)
        self._known = set(self._recent)
        self._parts: dict[ClientOrderId, list[Decimal]] = {}  # quantities still to execute
        self._to_continue: list[ClientOrderId] = []
        self._changes = Changes()
        for book in self.books.values():
            book.clear()
        for order in records.open_orders:
            self._take_up(order)

    def take_changes(self) -> Changes:
        """Return and forget what has changed since the last call."""
        changes, self._changes = self._changes, Changes()
        if not changes.is_empty:
            changes.cash = self.account.cash
        return changes

    def take_to_continue(self) -> list[ClientOrderId]:
        """Return and forget orders whose next part is to execute a moment later, see `resume`."""
        orders, self._to_continue = self._to_continue, []
        return orders

    def place(self, terms: OrderTerms, now: datetime) -> Accepted | Refused:
        """Take an order in, and execute what can be executed."""
        refused = self._refusal(terms)
        if refused is not None:
            return refused
        cash = replace(self.account.cash, orders=self.account.cash.orders + 1)
        self.account.cash = cash
        order = PaperOrder(
            number=cash.orders,
            terms=terms,
            status=OrderStatus.OPEN,
            created_at=now,
            updated_at=now,
        )
        self._remember(order.id)
        self.open[order.id] = order
        self._begin(order, self.books[terms.symbol], now)
        return Accepted(order.venue_order_id)

    def cancel(self, symbol: Symbol, order_id: ClientOrderId, now: datetime) -> Accepted | None:
        """Take an open order out; None when it is not open."""
        order = self.open.get(order_id)
        if order is None or order.terms.symbol != symbol:
            return None
        self._become(order, OrderStatus.CANCELED, now)
        return Accepted(order.venue_order_id)

    def trade(self, book: Book, now: datetime) -> None:
        """Let the last trade's price act on what rests."""
        price = book.price
        if price is None:
            return
        for order in self._still_open(book.take_unfinished()):
            self._fill_at_market(order, order.remaining, book, now)
        for order in self._still_open(book.bids.passed(price) + book.asks.passed(price)):
            self._make(order, book, now)
        for order in self._still_open(book.falling.touched(price) + book.rising.touched(price)):
            self._fire(order, book, now)

    def quote(self, book: Book, bid: str, ask: str, now: datetime) -> None:
        """Fill resting limit orders that somebody's quote crosses."""
        crossed: list[ClientOrderId] = []
        lowest_ask, highest_bid = price_from(ask), price_from(bid)
        if lowest_ask is not None:
            crossed += book.bids.touched(lowest_ask)
        if highest_bid is not None:
            crossed += book.asks.touched(highest_bid)
        for order in self._still_open(crossed):
            self._make(order, book, now)

    def resume(self, order_id: ClientOrderId, now: datetime) -> None:
        """Execute the next part of a market order, if it still has one."""
        order = self.open.get(order_id)
        if order is not None and self._parts.get(order_id):
            self._next_part(order, self.books[order.terms.symbol], now)

    # What is refused

    def _refusal(self, terms: OrderTerms) -> Refused | None:
        book = self.books.get(terms.symbol)
        if book is None:
            return Refused("UNKNOWN_SYMBOL", f"{terms.symbol} is not listed here")
        if terms.client_order_id in self._known or terms.client_order_id in self.open:
            return Refused("DUPLICATE_ID", f"{terms.client_order_id} was used before")
        # A trigger may wait for the first price, and its margin is asked for when it fires.
        reference = terms.price if terms.type is OrderType.LIMIT else terms.trigger_price
        if terms.type is OrderType.MARKET:
            reference = book.price
        return (
            self._rules_refusal(terms, book.instrument, reference)
            or self.account.refusal(terms, self._dearest(terms, book))
            or self._chance_refusal()
        )

    def _rules_refusal(
        self, terms: OrderTerms, instrument: Instrument, reference: Decimal | None
    ) -> Refused | None:
        """Judge the terms by today's rules; what reduces also by those it was opened with."""
        wrong = _judged(terms, instrument, reference)
        if wrong is None or not terms.reduce_only:
            return wrong
        before = (each for each in self._held_by if each.symbol == terms.symbol)
        passes = any(_judged(terms, each, reference) is None for each in before)
        return None if passes else wrong

    def _chance_refusal(self) -> Refused | None:
        if self._draws.happens(self._rules.reject_chance):
            return Refused("BUSY", "the venue could not take the order, as happens")
        return None

    def _dearest(self, terms: OrderTerms, book: Book) -> Decimal | None:
        """Return the worst price to ask margin for; None for a trigger: it asks when it fires."""
        if terms.type is OrderType.LIMIT:
            return terms.price
        last = book.price if terms.type is OrderType.MARKET else None
        if last is None or terms.side is Side.SELL:
            return last
        price = slipped(last, self._rules.slippage_high, Side.BUY, book.instrument.tick_size)
        return book.no_better(Side.BUY, price)

    # How orders live

    def _begin(self, order: PaperOrder, book: Book, now: datetime) -> None:
        last = book.price
        match order.terms.type:
            case OrderType.MARKET:
                self._go_to_market(order, book, now)
            case OrderType.LIMIT:
                if book.is_marketable(order.terms):
                    quantity = self._draws.parts(order.remaining, book.instrument.lot_size)[0]
                    price = self._taker_price(order.terms, book)
                    order = self._fill(order, quantity, price, now=now)
                if order.is_open and order.terms.time_in_force is TimeInForce.IOC:
                    self._become(order, OrderStatus.CANCELED, now, reason="IOC")
                elif order.is_open:
                    self._rest(order, book, now)
            case OrderType.STOP | OrderType.TARGET:
                if last is not None and is_touched(order.terms, last):
                    self._fire(order, book, now)
                else:
                    self._rest(order, book, now)

    def _rest(self, order: PaperOrder, book: Book, now: datetime) -> None:
        frozen = self.account.to_freeze(order, order.terms.price)
        self._become(order, order.status, now, frozen=frozen)
        book.add(order)

    def _make(self, order: PaperOrder, book: Book, now: datetime) -> None:
        """Fill a resting limit order at its price; the second part of one takes all the rest."""
        assert order.terms.price is not None
        quantity = order.remaining
        if not order.filled:
            quantity = self._draws.parts(quantity, book.instrument.lot_size)[0]
        self._fill(order, quantity, order.terms.price, maker=True, now=now)

    def _fire(self, order: PaperOrder, book: Book, now: datetime) -> None:
        """Turn a stop or target into a market order, which may be rejected like any other."""
        book.remove(order)
        order = self._become(order, OrderStatus.TRIGGERED, now, frozen=ZERO)
        refused = self.account.refusal(order.terms, book.price) or self._chance_refusal()
        if refused is None:
            self._go_to_market(order, book, now)
        else:
            reason = f"{refused.code}: {refused.text}"
            self._become(order, OrderStatus.REJECTED, now, reason=reason)

    def _go_to_market(self, order: PaperOrder, book: Book, now: datetime) -> None:
        self._parts[order.id] = self._draws.parts(order.remaining, book.instrument.lot_size)
        self._next_part(order, book, now)

    def _next_part(self, order: PaperOrder, book: Book, now: datetime) -> None:
        parts = self._parts[order.id]
        order = self._fill_at_market(order, parts.pop(0), book, now)
        if order.is_open and self._draws.is_instant:
            self._next_part(order, book, now)
        elif order.is_open:
            self._become(order, order.status, now, frozen=self.account.to_freeze(order, book.price))
            self._to_continue.append(order.id)

    def _fill_at_market(
        self, order: PaperOrder, quantity: Decimal, book: Book, now: datetime
    ) -> PaperOrder:
        return self._fill(order, quantity, self._taker_price(order.terms, book), now=now)

    def _fill(
        self,
        order: PaperOrder,
        wanted: Decimal,
        price: Decimal,
        *,
        now: datetime,
        maker: bool = False,
    ) -> PaperOrder:
        """Execute up to `wanted`. Only here does money move."""
        terms = order.terms
        reduces = self.account.reduces(terms)
        quantity = min(wanted, self.account.held(terms)) if reduces else wanted
        if quantity:
            order = self._execute(order, quantity, price, maker=maker, now=now)
        if order.is_open and reduces and not self.account.held(terms):
            reason = f"REDUCE_ONLY: nothing left of {terms.symbol} to {terms.side.value}"
            return self._become(order, OrderStatus.CANCELED, now, reason=reason)
        return order

    def _execute(
        self, order: PaperOrder, quantity: Decimal, price: Decimal, *, maker: bool, now: datetime
    ) -> PaperOrder:
        terms = order.terms
        rate = self._rules.maker_fee if maker else self._rules.taker_fee
        fee = charged(quantity * price * rate)
        realized = self.account.apply(order, quantity, price, fee)
        number = self.account.cash.trades
        fill = Fill(
            trade_id=TradeId(f"P{number}"),
            client_order_id=order.id,
            symbol=terms.symbol,
            side=terms.side,
            quantity=quantity,
            price=price,
            fee=Fee(amount=fee, asset=self._rules.quote_asset),
            at=now,
            maker=maker,
        )
        self._changes.executions.append(Execution(number=number, fill=fill, realized=realized))
        holding = self.account.holding_of(terms)
        self._changes.holdings[holding.key] = holding
        self._changes.updates.append(fill)
        return self._become(
            order,
            OrderStatus.PARTIAL if quantity < order.remaining else OrderStatus.FILLED,
            now,
            filled=order.filled + quantity,
            value=order.value + quantity * price,
            frozen=self.account.frozen_after(order, quantity),
        )

    def _become(
        self, order: PaperOrder, status: OrderStatus, now: datetime, **changes: Decimal | str
    ) -> PaperOrder:
        """Change an order in memory, in the changes to store and in the updates to push."""
        order = replace(order, status=status, updated_at=now, **changes)
        if order.is_open:
            self.open[order.id] = order
            self.account.freeze(order)
        else:
            order = replace(order, frozen=ZERO)
            self._leave(order)
        self._changes.orders[order.id] = order
        shown = order.as_venue_order()
        if not self._changes.updates or self._changes.updates[-1] != shown:
            self._changes.updates.append(shown)
        return order

    def _leave(self, order: PaperOrder) -> None:
        self.open.pop(order.id, None)
        self._parts.pop(order.id, None)
        self.account.release(order.id)
        if order.terms.symbol in self.books:
            self.books[order.terms.symbol].remove(order)

    def _take_up(self, order: PaperOrder) -> None:
        """Let a stored order rest again; one that was executing goes on at the next trade."""
        self.open[order.id] = order
        book = self.books.get(order.terms.symbol)
        if book is None:
            return  # no longer listed: it can be seen and canceled
        self.account.freeze(order)
        waits = order.terms.type is OrderType.LIMIT or order.status is OrderStatus.OPEN
        if waits and order.terms.type is not OrderType.MARKET:
            book.add(order)
        else:
            book.finish_at_next_trade(order)

    # What is drawn

    def _taker_price(self, terms: OrderTerms, book: Book) -> Decimal:
        last = book.price
        assert last is not None  # an order executes only after a price was seen
        ratio = self._draws.slippage()
        price = slipped(last, ratio, terms.side, book.instrument.tick_size)
        price = book.no_better(terms.side, price)
        if terms.type is not OrderType.LIMIT or terms.price is None:
            return price
        return (min if terms.side is Side.BUY else max)(price, terms.price)

    # Small questions

    def _still_open(self, order_ids: Iterable[ClientOrderId]) -> Iterator[PaperOrder]:
        """Yield those that what happened before in the same step has left open."""
        for order_id in order_ids:
            order = self.open.get(order_id)
            if order is not None:
                yield order

    def _remember(self, order_id: ClientOrderId) -> None:
        if len(self._recent) == RECENT_IDS:
            self._known.discard(self._recent[0])
        self._recent.append(order_id)
        self._known.add(order_id)


def _judged(terms: OrderTerms, instrument: Instrument, reference: Decimal | None) -> Refused | None:
    wrong = refusal_of(terms, instrument)
    if wrong is not None:
        return wrong
    if reference is None:
        return Refused("NO_PRICE", f"{terms.symbol} has not traded yet")
    return notional_refusal(terms, instrument, reference)
