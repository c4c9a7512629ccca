"""What guards a position: a stop, targets, a trailing stop, a breakeven move, a time limit.

Every rule knows when it fires, exactly: prices are decimals, a level fires when it is touched. The
trigger index finds candidates fast and may err toward firing; `has_crossed` here is the judge.
"""

from datetime import datetime
from decimal import Decimal
from enum import Enum

import msgspec

from domain.ids import ExitId
from domain.instrument import Direction, PriceSource
from domain.money import ONE, ZERO

STOP = ExitId("stop")
TRAIL = ExitId("trail")
BREAKEVEN = ExitId("breakeven")  # not an exit: moves the stop
TIME = ExitId("time")
CLOSE = ExitId("close")  # all of it, by command, kill switch or for want of a guard


class ExitReason(Enum):
    """Why a position, or a part of it, was closed."""

    STOP_LOSS = "STOP_LOSS"
    TAKE_PROFIT = "TAKE_PROFIT"
    TRAILING_STOP = "TRAILING_STOP"
    MANUAL_CLOSE = "MANUAL_CLOSE"
    DECISION_CLOSE = "DECISION_CLOSE"
    TIME_EXIT = "TIME_EXIT"
    KILL_SWITCH = "KILL_SWITCH"
    UNPROTECTED = "UNPROTECTED"  # no guard could be set in time
    LIQUIDATED = "LIQUIDATED"
    EXTERNAL = "EXTERNAL"
    NEVER_FILLED = "NEVER_FILLED"
    ENTRIES_STOPPED = "ENTRIES_STOPPED"  # its entry filled though it was being canceled


class Stop(msgspec.Struct, frozen=True):
    """Close everything when the price comes back to `price`."""

    price: Decimal
    watches: PriceSource = PriceSource.LAST


class Target(msgspec.Struct, frozen=True):
    """Close `part` of the entry quantity when the price reaches `price`."""

    exit_id: ExitId  # "target-1", …: never reused within a position
    price: Decimal
    part: Decimal  # of the entry quantity, 0 < part <= 1
    watches: PriceSource = PriceSource.LAST
    fired: bool = False


class Trail(msgspec.Struct, frozen=True):
    """Close everything when the price falls back from its best by `ratio` or by `distance`."""

    anchor: Decimal  # the best price when the trail was set, quote
    ratio: Decimal | None = None  # 0.02: 2 % below the best
    distance: Decimal | None = None  # quote
    watches: PriceSource = PriceSource.LAST
    since: datetime | None = None  # extremes count from here; None until the feed has armed it

    def level(self, direction: Direction, best: Decimal) -> Decimal:
        """Return the price that fires, given the best price since it was armed."""
        if self.ratio is not None:
            return best * (ONE - direction.sign * self.ratio)
        if self.distance is None:  # the validators exclude it
            message = "a trail has a ratio or a distance"
            raise ValueError(message)
        return best - direction.sign * self.distance


class Breakeven(msgspec.Struct, frozen=True):
    """Once the price reaches `trigger_price`, move the stop to `stop_price`; once."""

    trigger_price: Decimal
    stop_price: Decimal
    watches: PriceSource = PriceSource.LAST
    done: bool = False


class Protection(msgspec.Struct, frozen=True):
    """All rules of one position; `version` grows by one with every change."""

    stop: Stop | None = None
    targets: tuple[Target, ...] = ()
    trail: Trail | None = None
    breakeven: Breakeven | None = None
    time_exit: datetime | None = None
    version: int = 1

    @property
    def guards_loss(self) -> bool:
        """Whether some rule bounds the loss."""
        return self.stop is not None or self.trail is not None

    def open_targets(self) -> tuple[Target, ...]:
        """Return targets that have not fired."""
        return tuple(target for target in self.targets if not target.fired)

    def target(self, exit_id: ExitId) -> Target | None:
        """Find one of the targets."""
        return next((target for target in self.targets if target.exit_id == exit_id), None)


class Level(msgspec.Struct, frozen=True):
    """A price that the feed watches for a position: fires at or beyond `price`."""

    exit_id: ExitId
    price: Decimal
    below: bool  # fires when the price is at or below; else at or above
    watches: PriceSource


class TrailLevel(msgspec.Struct, frozen=True):
    """A trailing level that the feed watches for a position."""

    exit_id: ExitId
    trail: Trail
    below: bool  # of a long: fires below the best price


def levels_of(protection: Protection, direction: Direction) -> tuple[Level | TrailLevel, ...]:
    """Return what the feed must watch.

    Stops before targets, the order in which one tick is judged.
    """
    long = direction is Direction.LONG
    levels: list[Level | TrailLevel] = []
    stop, trail, even = protection.stop, protection.trail, protection.breakeven
    if stop is not None:
        levels.append(Level(STOP, stop.price, long, stop.watches))
    if trail is not None:
        levels.append(TrailLevel(TRAIL, trail, long))
    if protection.targets:
        levels.extend(
            Level(target.exit_id, target.price, not long, target.watches)
            for target in protection.open_targets()
        )
    if even is not None and not even.done:
        levels.append(Level(BREAKEVEN, even.trigger_price, not long, even.watches))
    return tuple(levels)


def has_crossed(*, level: Decimal, below: bool, price: Decimal) -> bool:
    """Whether `price` touches or passes `level`; exact."""
    return price <= level if below else price >= level


def is_tighter(direction: Direction, *, new: Decimal, old: Decimal) -> bool:
    """Whether a stop at `new` risks less than one at `old`."""
    return (new - old) * direction.sign > ZERO
