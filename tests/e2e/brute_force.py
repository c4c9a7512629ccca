"""The exits that a recording must cause, found the slow way: every rule on every trade, exactly.

Written from the rules as people are told them, to be compared with what a daemon does. It shares no
code with the daemon: it reads the files, counts the frames and rounds by itself.

- The last price is the price of the latest trade. A level fires when a trade touches or passes it.
- A trail follows the best of the entry price (or of the price when it was set, if that was later)
  and all trades since, exactly; a trade counts as best before it is compared.
- Reaching the breakeven price moves the stop to where entry and exit fees are earned back, rounded
  to the tick away from loss, unless the stop is tighter already. It counts from the next trade on.
- Stop and trail close all that is left, and come before targets; among them the level that the
  price passed first.
- A target closes its part of the entry in whole lots, at least the smallest order. The last one of
  targets that make up the whole takes all that is left, and so does one that would leave less than
  could be sold.
"""

import gzip
import heapq
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from operator import itemgetter
from pathlib import Path

_STREAM = re.compile(rb'\{"stream":"([^"]+)"')
_SUBSCRIBED = ("trade", "bookTicker", "markPrice@1s")
_OPENING = ("trade", "aggTrade", "bookTicker")


@dataclass(frozen=True)
class Tick:
    """One trade."""

    frame: int  # how many frames a client has received with it
    stamp_ns: int
    symbol: str
    tick_id: str
    price: Decimal
    event_ms: int


@dataclass(frozen=True)
class Tape:
    """Recorded files as one client of the held server receives them."""

    ticks: tuple[Tick, ...]
    opening: int  # frames received before the hold
    frames: int  # in all
    pace_ns: int  # stamp of the first frame that waits for the release

    def held(self, symbol: str) -> Decimal:
        """Return the last price during the hold."""
        return [tick.price for tick in self._of(symbol) if tick.frame <= self.opening][-1]

    def after_hold(self, symbol: str) -> list[Tick]:
        return [tick for tick in self._of(symbol) if tick.frame > self.opening]

    def between(self, symbol: str, frame: int, until_ns: float) -> list[Tick]:
        """Return the trade that holds at `frame`, and the later ones up to a stamp."""
        ticks = self._of(symbol)
        first = max(n for n, tick in enumerate(ticks) if tick.frame <= frame)
        return [ticks[first], *(t for t in ticks[first + 1 :] if t.stamp_ns <= until_ns)]

    def _of(self, symbol: str) -> list[Tick]:
        return [tick for tick in self.ticks if tick.symbol == symbol]


def read_tape(files: Sequence[Path], symbols: Mapping[str, str]) -> Tape:
    """Read files as the server plays them to a client that watches `symbols` ("BTCUSDT": ours)."""
    received = {f"{name.lower()}@{end}": name for name in symbols for end in _SUBSCRIBED}
    awaited = {name for _, name, _ in _lines(files) if name.partition("@")[2] in _OPENING}
    ticks: list[Tick] = []
    frames, opening, pace_ns = 0, 0, 0
    for stamp_ns, name, raw in _lines(files):
        if not awaited and not pace_ns:
            opening, pace_ns = frames, stamp_ns
        awaited.discard(name)
        if name not in received:
            continue
        frames += 1
        if name.endswith("@trade"):
            data = json.loads(raw)["data"]
            if data.get("X", "MARKET") == "MARKET":
                price, number = Decimal(data["p"]), str(data["t"])
                symbol = symbols[received[name]]
                ticks.append(Tick(frames, stamp_ns, symbol, number, price, data["T"]))
    return Tape(tuple(ticks), opening, frames, pace_ns)


def _lines(files: Sequence[Path]) -> Iterator[tuple[int, str, bytes]]:
    """Yield (stamp, stream name, JSON) in the order they are played."""
    return heapq.merge(*(_lines_of(file) for file in files), key=itemgetter(0))


def _lines_of(file: Path) -> Iterator[tuple[int, str, bytes]]:
    latest = 0
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
        for line in lines:
            stamp, _, raw = line.partition(b" ")
            latest = max(latest, int(stamp))  # a recorder's clock may step back
            found = _STREAM.match(raw)
            yield latest, found[1].decode() if found else "", raw


@dataclass(frozen=True)
class Market:
    """An instrument's grid and what trading it costs."""

    tick_size: Decimal
    lot_size: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    taker_fee: Decimal


@dataclass(frozen=True)
class Rules:
    """What guards a position; prices in quote."""

    sign: int  # 1: long, -1: short
    stop: Decimal | None = None
    targets: tuple[tuple[Decimal, Decimal], ...] = ()  # (price, part of the entry)
    trail_ratio: Decimal | None = None
    trail_distance: Decimal | None = None
    trail_from: Decimal | None = None  # the price when it was set; None: with the entry
    breakeven: Decimal | None = None


@dataclass(frozen=True)
class Exit:
    """An exit that must happen."""

    exit_id: str
    reason: str
    tick: Tick
    level: Decimal
    quantity: Decimal


class BruteForce:
    """One position, trade by trade."""

    def __init__(self, rules: Rules, market: Market, entry: Decimal, quantity: Decimal) -> None:
        self.rules, self.market = rules, market
        self.entry, self.quantity = entry, quantity
        self.left = quantity
        self.stop = rules.stop
        self.best = entry if rules.trail_from is None else rules.trail_from
        self.is_even = rules.breakeven is None
        self.open_targets = {f"target-{n}": each for n, each in enumerate(rules.targets, start=1)}
        self.exits: list[Exit] = []

    def run(self, ticks: Iterable[Tick]) -> list[Exit]:
        """Return the exits, in order."""
        for tick in ticks:
            if not self.left:
                break
            self._see(tick)
        return self.exits

    def _see(self, tick: Tick) -> None:
        rules, price = self.rules, tick.price
        self.best = max(self.best, price) if rules.sign > 0 else min(self.best, price)
        guards = [guard for guard in self._guards() if self._is_behind(price, guard[0])]
        if guards:
            level, exit_id, reason = max(guards, key=lambda guard: rules.sign * guard[0])
            self._close(exit_id, reason, tick, level, self.left)
            return
        reached = [item for item in self.open_targets.items() if self._is_at(price, item[1][0])]
        for exit_id, (level, part) in sorted(reached, key=lambda item: rules.sign * item[1][0]):
            if self.left:
                del self.open_targets[exit_id]
                quantity = self._quantity_of(level, part)
                self._close(exit_id, "TAKE_PROFIT", tick, level, quantity)
        if self.left and not self.is_even and self._is_at(price, rules.breakeven):
            self.is_even = True
            even = self._even_price()
            if self.stop is None or rules.sign * (even - self.stop) > 0:
                self.stop = even

    def _guards(self) -> list[tuple[Decimal, str, str]]:
        rules, guards = self.rules, []
        if self.stop is not None:
            guards.append((self.stop, "stop", "STOP_LOSS"))
        if rules.trail_ratio is not None:
            level = self.best - rules.sign * rules.trail_ratio * self.best
            guards.append((level, "trail", "TRAILING_STOP"))
        if rules.trail_distance is not None:
            level = self.best - rules.sign * rules.trail_distance
            guards.append((level, "trail", "TRAILING_STOP"))
        return guards

    def _is_behind(self, price: Decimal, level: Decimal) -> bool:
        return price <= level if self.rules.sign > 0 else price >= level

    def _is_at(self, price: Decimal, level: Decimal | None) -> bool:
        assert level is not None
        return price >= level if self.rules.sign > 0 else price <= level

    def _even_price(self) -> Decimal:
        price = self.entry + self.rules.sign * 2 * self.market.taker_fee * self.entry
        rounding = ROUND_CEILING if self.rules.sign > 0 else ROUND_FLOOR
        return round_to(price, self.market.tick_size, rounding)

    def _quantity_of(self, level: Decimal, part: Decimal) -> Decimal:
        market = self.market
        wanted = round_to(part * self.quantity, market.lot_size, ROUND_FLOOR)
        wanted = max(wanted, market.min_quantity)
        rest = self.left - wanted
        is_last = not self.open_targets and sum(p for _, p in self.rules.targets) == 1
        if is_last or rest < market.min_quantity or rest * level < market.min_notional:
            return self.left
        return wanted

    def _close(
        self, exit_id: str, reason: str, tick: Tick, level: Decimal, quantity: Decimal
    ) -> None:
        self.left -= quantity
        self.exits.append(Exit(exit_id, reason, tick, level, quantity))


def round_to(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    return (value / step).quantize(Decimal(1), rounding) * step


def slipped(price: Decimal, ratio: Decimal, tick_size: Decimal, *, buys: bool) -> Decimal:
    """Return what a taker pays or gets when the price moves by `ratio` against it."""
    if buys:
        return round_to(price * (1 + ratio), tick_size, ROUND_CEILING)
    return round_to(price * (1 - ratio), tick_size, ROUND_FLOOR)
