"""What holds at the paper venue whatever happens: random orders, prices and accidents."""

import tempfile
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.instrument import Direction, Kind, Side
from domain.order import OrderType
from exchanges.paper.ledger import PaperLedger
from exchanges.paper.matching import Matching
from exchanges.paper.records import Cash

D = Decimal
START = D(10_000)

WORDS = ("", "limit", "stop", "target")
PRICES = st.tuples(st.just("price"), st.booleans(), st.integers(900, 1100))
QUOTES = st.tuples(st.just("quote"), st.booleans(), st.integers(900, 1100), st.integers(1, 50))
SENDS = st.tuples(
    st.just("send"),
    st.booleans(),  # which symbol
    st.sampled_from(["buy", "sell"]),
    st.integers(100, 3000),  # thousandths, made whole lots below
    st.sampled_from(WORDS),
    st.integers(950, 1050),
    st.sampled_from([False, False, True]),  # reduce-only
    st.integers(1, 10),
)
CANCELS = st.tuples(st.just("cancel"), st.integers(0, 40))
RESUMES = st.tuples(st.just("resume"))
STEPS = st.one_of(SENDS, PRICES, SENDS, QUOTES, SENDS, CANCELS, RESUMES)


class Trial:
    """A desk under random steps, and what a bystander would note."""

    def __init__(self, make_desk, btc, eth, *, latency):
        self.instruments = {False: btc, True: eth}
        self.desk = make_desk(
            slippage_low=D("0.0005"),
            slippage_high=D("0.001"),
            latency_high_s=latency,
            maker_fee=D("0.0002"),
            taker_fee=D("0.0005"),
            partial_fill_chance=0.4,
            reject_chance=0.1,
        )
        self.last = {btc.symbol: D(100), eth.symbol: D(50)}
        self.terms = {}
        self.seen = 0
        self.held = defaultdict(D)  # by symbol and direction: base units
        self.signed = defaultdict(D)  # by symbol and direction: quote spent, less quote received

    def step(self, step):
        match step:
            case ("price", spot, level):
                self.price(self.instruments[spot], D(level) / 10)
            case ("quote", spot, level, spread):
                bid, ask = D(level) / 10, D(level + spread) / 10
                self.desk.quote(str(bid), str(ask), self.instruments[spot].symbol)
            case ("send", spot, side, size, word, level, reduce_only, leverage):
                self.send(spot, side, size, word, level, reduce_only, leverage)
            case ("cancel", number):
                for symbol in self.last:
                    self.desk.cancel(f"t{number}", symbol)
            case ("resume",):
                self.desk.resume()
        self.check_fills()

    def price(self, instrument, price):
        self.last[instrument.symbol] = price
        self.desk.price(str(price), instrument.symbol)

    def send(self, spot, side, size, word, level, reduce_only, leverage):
        instrument = self.instruments[spot]
        levels = {word: str(D(level) / 10)} if word else {}
        order_id = f"t{len(self.terms)}"
        self.terms[order_id] = None
        self.desk.send(
            side,
            instrument.whole_lots(D(size) / 1000),
            id=order_id,
            symbol=instrument.symbol,
            reduce_only=reduce_only,
            leverage=1 if spot else leverage,
            **levels,
        )

    def check_fills(self):
        """Judge the fills of the last step against the last price and the sides before them."""
        fills = self.desk.fills[self.seen :]
        self.seen += len(fills)
        orders = {o.id: o for changes in self.desk.changes for o in changes.orders.values()}
        for fill in fills:
            terms = orders[fill.client_order_id].terms
            key, reduces = self.meant(terms)
            self.held[key] += -fill.quantity if reduces else fill.quantity
            self.signed[key] += fill.quantity * fill.price * (1 if fill.side is Side.BUY else -1)
            assert self.held[key] >= 0  # a side never turns into the other
            self.check_price(fill, terms)
        for instrument in self.instruments.values():
            for direction in Direction:  # what was not meant did not change
                key = instrument.symbol, direction
                assert self.desk.account.holding(*key).quantity == self.held[key]

    def meant(self, terms):
        """Which side an order is about, and whether it reduces it."""
        sells = terms.side is Side.SELL
        if terms.symbol == self.instruments[True].symbol:
            assert sells or not terms.reduce_only  # spot has no short to reduce
            return (terms.symbol, Direction.LONG), sells
        short = sells is not terms.reduce_only
        return (terms.symbol, Direction.SHORT if short else Direction.LONG), terms.reduce_only

    def check_price(self, fill, terms):
        if terms.type is OrderType.LIMIT:
            assert (fill.price - terms.price) * (1 if fill.side is Side.BUY else -1) <= 0
        if fill.maker:
            assert fill.price == terms.price
        elif terms.type is not OrderType.LIMIT:
            last = self.last[fill.symbol]
            tick = next(i.tick_size for i in self.instruments.values() if i.symbol == fill.symbol)
            worse = (fill.price - last) * (1 if fill.side is Side.BUY else -1)
            assert last * D("0.0005") <= worse < last * D("0.001") + tick


def check_books(trial):
    desk = trial.desk
    executions = [e for changes in desk.changes for e in changes.executions]
    cash = desk.account.cash
    realized = sum((e.realized for e in executions), D(0))
    fees = sum((e.fill.fee.amount for e in executions), D(0))
    spent = sum(
        (e.fill.quantity * e.fill.price * (1 if e.fill.side is Side.BUY else -1))
        for e in executions
    )
    cost = sum((h.direction.sign * h.cost for h in desk.account.holdings.values()), D(0))
    assert cash.amount == START + realized - fees
    assert cash.amount == START - spent - fees + cost  # money only changes its form
    assert (cash.realized, cash.fees, cash.trades) == (realized, fees, len(executions))
    assert len({e.fill.trade_id for e in executions}) == len(executions)


def check_holdings(trial):
    desk = trial.desk
    realized = realized_by_side(trial)
    for instrument in trial.instruments.values():
        for direction in Direction:
            held = desk.account.holding(instrument.symbol, direction)
            assert held.quantity == trial.held[held.key]
            assert min(held.quantity, held.cost, held.margin) >= 0
            assert direction.sign * held.cost == trial.signed[held.key] + realized[held.key]
            if instrument.kind is Kind.SPOT:
                assert direction is Direction.LONG or not held.quantity
                assert held.margin == held.cost
            if not held.quantity:
                assert held.cost == held.margin == 0


def realized_by_side(trial):
    orders = {o.id: o for changes in trial.desk.changes for o in changes.orders.values()}
    realized = defaultdict(D)
    for changes in trial.desk.changes:
        for execution in changes.executions:
            key, reduces = trial.meant(orders[execution.fill.client_order_id].terms)
            assert reduces or not execution.realized
            realized[key] += execution.realized
    return realized


def check_orders(trial):
    filled = defaultdict(D)
    for fill in trial.desk.fills:
        filled[fill.client_order_id] += fill.quantity
    for changes in trial.desk.changes:
        for order in changes.orders.values():
            assert 0 <= order.filled <= order.terms.quantity
            latest = order
            assert latest.frozen >= 0
    final = {o.id: o for changes in trial.desk.changes for o in changes.orders.values()}
    assert {o.id: o.filled for o in final.values() if o.filled} == filled
    assert {o.id for o in final.values() if o.is_open} == set(trial.desk.matching.open)


def check_ledger(trial):
    """Write every change to a real file, in batches of ten, and start again from it."""
    desk = trial.desk
    with tempfile.TemporaryDirectory() as directory:
        ledger = PaperLedger(Path(directory) / "paper.db", Cash(amount=START), "USDT", 100)
        ledger.open()
        changes = desk.changes
        for start in range(0, len(changes), 10):
            batch, *more = changes[start : start + 10]
            for later in more:
                batch.absorb(later)
            ledger.write(batch)
        records = ledger.reopen()
        fills = ledger.fills(None)
        ledger.close()
    live = desk.records()
    assert records.cash == live.cash
    assert records.open_orders == live.open_orders
    assert set(records.holdings) == set(live.holdings)
    assert list(fills) == desk.fills
    again = Matching(tuple(trial.instruments.values()), desk.rules, desk.draws)
    again.load(records)
    assert again.account.available == desk.account.available
    assert again.open == desk.matching.open


@settings(max_examples=50, deadline=None, derandomize=True)
@given(steps=st.lists(STEPS, min_size=30, max_size=80), latency=st.sampled_from([0.0, 0.1]))
def test_money_is_conserved_and_the_ledger_tells_the_same_story(
    make_desk, btc, eth, steps, latency
):
    trial = Trial(make_desk, btc, eth, latency=latency)

    for step in steps:
        trial.step(step)

    check_books(trial)
    check_holdings(trial)
    check_orders(trial)
    check_ledger(trial)


TRADES = st.tuples(
    st.sampled_from(["long", "short"]),
    st.booleans(),  # enter, else leave
    st.integers(100, 900),  # thousandths
    st.integers(900, 1100),  # tenths: the price
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(trades=st.lists(TRADES, min_size=10, max_size=40))
def test_a_long_and_a_short_trader_on_one_account_fare_as_each_would_alone(make_desk, trades):
    shared, alone = make_desk(), {"long": make_desk(), "short": make_desk()}
    for direction, enters, size, level in trades:
        side = Direction(direction).entry_side if enters else Direction(direction).exit_side
        answers = []
        for desk in (shared, alone[direction]):
            desk.price(str(D(level) / 10))
            answers.append(desk.send(side.value, D(size) / 1000, reduce_only=not enters))
        assert type(answers[0]) is type(answers[1])

    for direction, desk in alone.items():
        assert shared.held(direction) == desk.held(direction)
    assert shared.account.cash.amount - START == sum(
        desk.account.cash.amount - START for desk in alone.values()
    )
    assert START - shared.account.available == sum(
        START - desk.account.available for desk in alone.values()
    )
