"""What a strategy is: a pure function from closed candles to wishes.

A strategy is a frozen struct whose fields are its parameters, so a configuration file can fill them
and an error can name them. What it remembers between candles is a value, its `State`: `on_candle`
takes the state before a candle and returns the state after it, with a decision or without. Nothing
else is available: no clock, chance, files or network. That is why the same strategy runs live, in a
replay and in a test, and why its owner can save the state and go on after a crash.

A decision is a wish. The trader that owns the strategy has it sized and checked, and it may be
refused; a strategy learns what came of it from the next `View`. Prices in decisions need not lie on
the venue's grid: the core rounds them.
"""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, ClassVar, assert_never

import msgspec

from domain.candles import Candle
from domain.commands import ProtectionPlan, TargetPlan
from domain.ids import PositionId, Symbol
from domain.instrument import Direction
from domain.money import ONE, ZERO


class ParameterError(ValueError):
    """A strategy was given a parameter that makes no sense; the message names it."""


def require(condition: bool, message: str) -> None:  # noqa: FBT001 - reads like an assertion
    """Raise `ParameterError` with `message` unless `condition` holds; for `__post_init__`."""
    if not condition:
        raise ParameterError(message)


class Action(Enum):
    """What a strategy wants."""

    LONG = "LONG"
    SHORT = "SHORT"
    ADD = "ADD"  # enlarge what is held by one more entry of the trader's size
    CLOSE = "CLOSE"
    PARTIAL_TP = "PARTIAL_TP"
    MOVE_SL = "MOVE_SL"
    WATCH = "WATCH"  # nothing yet, but look here
    NO_TRADE = "NO_TRADE"  # considered, and no; kept in the journal with its reason


class Held(msgspec.Struct, frozen=True):
    """The position that this strategy holds in the symbol."""

    position_id: PositionId
    direction: Direction
    entry_price: Decimal  # average, quote
    quantity: Decimal  # base units that remain
    stop_price: Decimal | None  # where the stop is now
    unrealized: Decimal  # at the last price, relative to the entry: 0.01 is 1 % up
    additions: int = 0  # so far, those that did not fill included


class View(msgspec.Struct, frozen=True):
    """What a strategy may know besides the candle."""

    symbol: Symbol
    now: datetime  # UTC
    last: Decimal  # last price
    equity: Decimal  # of the account, quote
    bid: Decimal | None = None
    ask: Decimal | None = None
    held: Held | None = None
    is_entering: bool = False  # an entry was asked for, or rests, and nothing of it has filled

    @property
    def is_free(self) -> bool:
        """Nothing is held and nothing is on its way."""
        return self.held is None and not self.is_entering


class Decision(msgspec.Struct, frozen=True):
    """What to do, how sure, and why. Raises `ValueError` when it contradicts itself."""

    action: Action
    rationale: str
    confidence: Decimal = ONE  # 0 to 1
    plan: ProtectionPlan | None = None  # of an entry
    limit_price: Decimal | None = None  # of an entry or an addition; None: at market
    volatility: Decimal | None = None  # ATR in quote, for sizing by volatility
    part: Decimal | None = None  # of what remains, to take now
    stop_price: Decimal | None = None  # where to move the stop

    def __post_init__(self) -> None:
        if not ZERO <= self.confidence <= ONE:
            message = f"confidence is between 0 and 1, not {self.confidence}"
            raise ValueError(message)
        match self.action:
            case Action.LONG | Action.SHORT:
                plan = self.plan
                if plan is None or (
                    plan.stop_price is None
                    and plan.trail_ratio is None
                    and plan.trail_distance is None
                ):
                    message = f"{self.action.value} needs a plan with a stop or a trail"
                    raise ValueError(message)
            case Action.PARTIAL_TP:
                if self.part is None or not ZERO < self.part <= ONE:
                    message = f"PARTIAL_TP needs a part above 0 and up to 1, not {self.part}"
                    raise ValueError(message)
            case Action.MOVE_SL:
                if self.stop_price is None or self.stop_price <= 0:
                    message = f"MOVE_SL needs a positive stop_price, not {self.stop_price}"
                    raise ValueError(message)
            case Action.CLOSE:
                if self.part not in {None, ONE}:
                    message = f"CLOSE closes all; for a part use PARTIAL_TP, not part={self.part}"
                    raise ValueError(message)
            case Action.ADD | Action.WATCH | Action.NO_TRADE:
                pass
            case _ as never:
                assert_never(never)


def checked(decision: object) -> Decision:
    """Return a decision with the types that it declares: what anybody may keep and read again.

    A float where a decimal belongs becomes one, "mark" the price source. Raises `TypeError` or
    `ValueError` for what is no decision, a number that is not finite and a text that is none.
    """
    made = msgspec.convert(msgspec.to_builtins(decision), Decision)
    made.rationale.encode()  # half of a surrogate pair cannot be written
    if not is_finite(msgspec.to_builtins(made, builtin_types=(Decimal,))):
        message = f"a decision holds a number that is not finite: {made}"
        raise ValueError(message)
    return made


class Step(msgspec.Struct, frozen=True):
    """What a candle leads to: the state after it, and what to do, if anything."""

    state: Any
    decision: Decision | None = None


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    """A state as bytes, with the strategy and the parameters it belongs to."""

    identity: str
    state: msgspec.Raw


class Strategy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all strategies; see `docs/strategies.md` for how to write one.

    A subclass gives its parameters as fields with defaults, `State` when it remembers something,
    and `on_candle`. The first line of its docstring is what a listing shows.
    """

    State: ClassVar[Any] = None  # the type of what it remembers: a frozen struct

    @property
    def warm_up(self) -> int:
        """Return how many candles it must see before it can decide anything.

        After a hole of so many candles, of its longest timeframe, its state begins anew.
        """
        return 0

    @property
    def timeframes(self) -> tuple[str, ...]:
        """Return timeframes it wants to see besides the trader's own, such as ("15m", "1h").

        Their candles come to `on_candle` as well, told apart by `candle.timeframe`. Where several
        close at one moment, the longest comes first.
        """
        return ()

    def initial(self) -> Any:
        """Return the state before the first candle."""
        return None if self.State is None else self.State()

    def on_candle(self, state: Any, candle: Candle, view: View) -> Step:
        """Return what a closed candle leads to. Candles of a series come in order, each once.

        A candle that is not `whole` was seen in part only: a price, but no range.
        """
        raise NotImplementedError

    @property
    def identity(self) -> str:
        """Return class and parameters as text; two strategies with the same decide the same."""
        return f"{type(self).__qualname__} {msgspec.json.encode(self).decode()}"

    def save(self, state: Any) -> bytes:
        """Encode a state. Raises `TypeError` when it holds what msgspec cannot encode."""
        encoded = msgspec.Raw(msgspec.msgpack.encode(state))
        return msgspec.msgpack.encode(_Saved(self.identity, encoded))

    def decoded(self, data: bytes) -> Any:
        """Decode a saved state.

        Raises `msgspec.DecodeError` when it belongs to another strategy, to other parameters or to
        another shape of `State`.
        """
        saved = msgspec.msgpack.decode(data, type=_Saved)
        if saved.identity != self.identity:
            message = f"the state belongs to {saved.identity}, not to {self.identity}"
            raise msgspec.ValidationError(message)
        return msgspec.msgpack.decode(saved.state, type=Any if self.State is None else self.State)

    def restored(self, data: bytes) -> Any:
        """Decode a saved state; where `decoded` would raise, begin anew.

        Averages over other periods would be wrong without anybody noticing, so they are not used.
        """
        try:
            return self.decoded(data)
        except msgspec.DecodeError:
            return self.initial()


def as_price(value: float) -> Decimal:
    """Turn an indicator's float into a price. Raises `ValueError` when it is not above zero."""
    price = decimal_of(value)
    if price <= 0:
        message = f"{value} is no price"
        raise ValueError(message)
    return price


def decimal_of(value: float) -> Decimal:
    """Turn an indicator's float into a decimal of 12 significant digits, finer than any tick.

    Raises `ValueError` for NaN and infinity.
    """
    if not isfinite(value):
        message = f"{value} is no amount"
        raise ValueError(message)
    return Decimal(f"{value:.12g}")


def is_finite(value: object) -> bool:
    """Whether there is neither NaN nor infinity in a value and what it contains."""
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_finite, value))
    return not isinstance(value, float | Decimal) or isfinite(value)


def targets_at(
    direction: Direction, entry: Decimal, risk: Decimal, *steps: tuple[Decimal, Decimal]
) -> tuple[TargetPlan, ...]:
    """Return targets at multiples of the risk; `steps` are (multiple, part).

    `risk` is the distance from entry to stop, in quote. Targets at or below zero, as shorts may
    have far away, are left out.
    """
    prices = ((entry + direction.sign * multiple * risk, part) for multiple, part in steps)
    return tuple(TargetPlan(price=price, part=part) for price, part in prices if price > 0)


def enter(
    direction: Direction,
    rationale: str,
    plan: ProtectionPlan,
    *,
    confidence: Decimal = ONE,
    limit_price: Decimal | None = None,
    volatility: Decimal | None = None,
) -> Decision:
    """Wish to open a position with the guards in `plan`."""
    return Decision(
        action=Action.LONG if direction is Direction.LONG else Action.SHORT,
        rationale=rationale,
        confidence=confidence,
        plan=plan,
        limit_price=limit_price,
        volatility=volatility,
    )


def go_long(
    rationale: str,
    *,
    stop_price: Decimal,
    targets: tuple[TargetPlan, ...] = (),
    trail_ratio: Decimal | None = None,
    confidence: Decimal = ONE,
) -> Decision:
    """Wish to buy at market; `enter` takes all the rest a plan can hold."""
    plan = ProtectionPlan(stop_price=stop_price, targets=targets, trail_ratio=trail_ratio)
    return enter(Direction.LONG, rationale, plan, confidence=confidence)


def go_short(
    rationale: str,
    *,
    stop_price: Decimal,
    targets: tuple[TargetPlan, ...] = (),
    trail_ratio: Decimal | None = None,
    confidence: Decimal = ONE,
) -> Decision:
    """Wish to sell at market; `enter` takes all the rest a plan can hold."""
    plan = ProtectionPlan(stop_price=stop_price, targets=targets, trail_ratio=trail_ratio)
    return enter(Direction.SHORT, rationale, plan, confidence=confidence)


def add(
    rationale: str,
    *,
    limit_price: Decimal | None = None,
    volatility: Decimal | None = None,
    confidence: Decimal = ONE,
) -> Decision:
    """Wish to enlarge what is held by one more entry of the trader's size, under its stop."""
    return Decision(
        action=Action.ADD,
        rationale=rationale,
        confidence=confidence,
        limit_price=limit_price,
        volatility=volatility,
    )


def close(rationale: str, *, confidence: Decimal = ONE) -> Decision:
    """Wish to close what is held; where an entry rests and nothing has filled, to cancel it."""
    return Decision(action=Action.CLOSE, rationale=rationale, confidence=confidence)


def take_part(part: Decimal, rationale: str, *, confidence: Decimal = ONE) -> Decision:
    """Wish to close `part` of what remains, 0 < part <= 1."""
    return Decision(action=Action.PARTIAL_TP, rationale=rationale, confidence=confidence, part=part)


def move_stop(stop_price: Decimal, rationale: str, *, confidence: Decimal = ONE) -> Decision:
    """Wish to tighten the stop; a strategy may not loosen it."""
    return Decision(
        action=Action.MOVE_SL, rationale=rationale, confidence=confidence, stop_price=stop_price
    )


def watch(rationale: str, *, confidence: Decimal = ONE) -> Decision:
    """Point to a market without acting."""
    return Decision(action=Action.WATCH, rationale=rationale, confidence=confidence)


def no_trade(rationale: str, *, confidence: Decimal = ONE) -> Decision:
    """Put on record that an opportunity was considered and left."""
    return Decision(action=Action.NO_TRADE, rationale=rationale, confidence=confidence)
