"""Words to write tests with: instruments, fills, positions in a given state."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from uuid import UUID

from domain.commands import ProtectionPlan, TargetPlan
from domain.effects import SubmitOrder
from domain.ids import AccountName, PositionId, Symbol, TradeId, TraderName, client_order_id
from domain.inputs import Armed, BeginEntry, Crossed, FillReported, OrderEnded
from domain.instrument import Direction, Instrument, Kind, PriceSource, Side
from domain.modifications import Market
from domain.money import Fee
from domain.order import Fill, OrderStatus
from domain.position import Position
from domain.position_decide import Decision, PositionInput, decide
from domain.position_draft import PositionRules
from domain.position_life import evolve

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ACCOUNT = AccountName("paper")
BTC = Symbol("BTC/USDT")
_numbers = count(1)


def D(text: str | int) -> Decimal:  # noqa: N802 - reads like the literal it stands for
    return Decimal(text)


def position_id(number: int = 1) -> PositionId:
    return PositionId(str(UUID(int=number)))


def swap(**changes: object) -> Instrument:
    fields: dict[str, object] = {
        "symbol": BTC,
        "venue_symbol": "BTCUSDT",
        "base": "BTC",
        "quote": "USDT",
        "kind": Kind.SWAP,
        "tick_size": D("0.1"),
        "lot_size": D("0.001"),
        "min_quantity": D("0.001"),
        "min_notional": D("5"),
        "max_leverage": D("20"),
    }
    return Instrument(**{**fields, **changes})


def plan(
    stop: str | None = "90",
    targets: Iterable[tuple[str, str]] = (),
    **others: object,
) -> ProtectionPlan:
    return ProtectionPlan(
        stop_price=None if stop is None else D(stop),
        targets=tuple(TargetPlan(D(price), D(part)) for price, part in targets),
        **others,
    )


def market(price: str = "100", *, fresh: bool = True) -> Market:
    return Market(D(price), fresh)


class Life:
    """A position driven by messages; keeps what it decided."""

    def __init__(self, rules: PositionRules | None = None, last: str = "100") -> None:
        self.rules = rules or PositionRules()
        self.position: Position | None = None
        self.now = NOW
        self.last = last
        self.fresh = True
        self.events: list[object] = []
        self.effects: list[object] = []
        self.decision = Decision()

    @property
    def p(self) -> Position:
        assert self.position is not None
        return self.position

    def tell(self, message: PositionInput) -> "Life":
        seen = market(self.last, fresh=self.fresh)
        self.decision = decide(self.position, message, self.now, self.rules, seen)
        for event in self.decision.events:
            self.position = evolve(self.position, event)
        self.events += self.decision.events
        self.effects += self.decision.effects
        return self

    def after(self, seconds: float) -> "Life":
        self.now += timedelta(seconds=seconds)
        return self

    def sent(self) -> list[SubmitOrder]:
        return [effect for effect in self.effects if isinstance(effect, SubmitOrder)]

    def exits_sent(self) -> list[SubmitOrder]:
        return [effect for effect in self.sent() if effect.terms.reduce_only]

    def last_exit(self) -> SubmitOrder:
        return self.exits_sent()[-1]

    def begin(
        self,
        quantity: str = "1",
        protection: ProtectionPlan | None = None,
        direction: Direction = Direction.LONG,
        limit: str | None = None,
        instrument: Instrument | None = None,
    ) -> "Life":
        return self.tell(
            BeginEntry(
                position_id=position_id(),
                account=ACCOUNT,
                trader=TraderName("manual"),
                instrument=instrument or swap(),
                direction=direction,
                client_order_id=client_order_id(ACCOUNT, position_id(), "entry-0", 0),
                quantity=D(quantity),
                limit_price=None if limit is None else D(limit),
                leverage=D(1),
                plan=protection or plan(),
                expires_at=NOW + timedelta(seconds=5),
            )
        )

    def fill(
        self,
        quantity: str,
        at: str,
        order: str | None = None,
        trade: str | None = None,
        fee: str = "0",
        fee_asset: str = "USDT",
    ) -> "Life":
        """Report a fill of the entry, or of the named order."""
        p = self.p
        order_id = order or p.entry.client_order_id
        entry = order_id == p.entry.client_order_id
        side = p.direction.entry_side if entry else p.direction.exit_side
        fill = a_fill(quantity, at, side, order_id, trade, fee, fee_asset, self.now)
        return self.tell(FillReported(p.id, fill))

    def fill_exit(self, at: str, quantity: str | None = None, **others: str) -> "Life":
        terms = self.last_exit().terms
        return self.fill(quantity or str(terms.quantity), at, terms.client_order_id, **others)

    def arm(self) -> "Life":
        return self.tell(Armed(self.p.id, self.p.protection.version, self.now))

    def cross(
        self, exit_id: str, price: str, best: str | None = None, version: int | None = None
    ) -> "Life":
        return self.tell(
            Crossed(
                position_id=self.p.id,
                exit_id=exit_id,
                version=self.p.protection.version if version is None else version,
                price=D(price),
                source=PriceSource.LAST,
                frame=7,
                tick_id="t7",
                at=self.now,
                best=None if best is None else D(best),
            )
        )


def a_fill(
    quantity: str,
    price: str,
    side: Side,
    order: str,
    trade: str | None = None,
    fee: str = "0",
    fee_asset: str = "USDT",
    at: datetime = NOW,
) -> Fill:
    return Fill(
        trade_id=TradeId(trade or f"x{next(_numbers)}"),
        client_order_id=order,
        symbol=BTC,
        side=side,
        quantity=D(quantity),
        price=D(price),
        fee=Fee(D(fee), fee_asset),
        at=at,
    )


def opened(
    quantity: str = "1",
    at: str = "100",
    protection: ProtectionPlan | None = None,
    direction: Direction = Direction.LONG,
    **others: object,
) -> Life:
    """A position whose entry has filled and whose levels are armed."""
    life = Life(last=at).begin(quantity, protection, direction, **others)
    life.fill(quantity, at)
    life.tell(_entry_done(life))
    return life.arm()


def _entry_done(life: Life) -> PositionInput:
    return OrderEnded(life.p.id, life.p.entry.client_order_id, OrderStatus.FILLED, "")
