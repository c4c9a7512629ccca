"""Positions to open on a recording, with levels placed by the range that it will run through."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from daemon.admin_requests import Open, TargetRequest
from domain.instrument import Direction
from tests.e2e.brute_force import Market, Rules, Tape, round_to

D = Decimal
_LEAST_TRAIL = D("0.0015")  # of the price; nearer, slippage alone would fire it
_CENT = D("0.01")
_UNIT = D(100)  # quote; sizes count these


@dataclass(frozen=True)
class Plan:
    """A position as it is asked for, and what is changed before the market moves."""

    name: str
    symbol: str
    quantity: Decimal
    asked: Rules
    rules: Rules  # after the changes
    changes: tuple[tuple[str, ...], ...] = ()  # words for the command line

    @property
    def direction(self) -> Direction:
        return Direction.LONG if self.rules.sign > 0 else Direction.SHORT

    def request(self) -> Open:
        """Return it for the admin socket."""
        rules = self.asked
        return Open(
            symbol=self.symbol,
            direction=self.direction,
            quantity=self.quantity,
            stop=rules.stop,
            targets=tuple(TargetRequest(price=price, part=part) for price, part in rules.targets),
            trail_ratio=rules.trail_ratio,
            trail_distance=rules.trail_distance,
            breakeven=rules.breakeven,
        )

    def arguments(self) -> list[str]:
        """Return it for the command line."""
        rules = self.asked
        words = ["open", self.symbol, self.direction.value, "--quantity", str(self.quantity)]
        if rules.stop is not None:
            words += ["--stop", str(rules.stop)]
        for price, part in rules.targets:
            words += ["--target", f"{price}:{part * 100}%"]
        if rules.trail_ratio is not None:
            words += ["--trail", f"{rules.trail_ratio * 100}%"]
        if rules.trail_distance is not None:
            words += ["--trail", str(rules.trail_distance)]
        if rules.breakeven is not None:
            words += ["--breakeven", str(rules.breakeven)]
        return words


class _Scale:
    """Levels of one direction: how far the recording goes for it and against it."""

    def __init__(self, tape: Tape, symbol: str, market: Market, sign: int) -> None:
        prices = [tick.price for tick in tape.after_hold(symbol)]
        self.start, self.sign, self.market = tape.held(symbol), sign, market
        self.best, self.worst = (max(prices), min(prices))[:: 1 if sign > 0 else -1]
        self.even = self.start * (1 + sign * 2 * market.taker_fee)
        self.range = abs(self.best - self.worst)

    def gain(self, share: str) -> Decimal:
        """Return a price that earns: 0 is breakeven, 1 the best price there will be."""
        price = self.even + D(share) * (self.best - self.even)
        # Whole ticks are touched exactly, now and then; the others lie between two ticks.
        return round_to(price, self.market.tick_size if len(share) < 4 else _CENT, ROUND_HALF_UP)

    def loss(self, share: str) -> Decimal:
        """Return a price that loses: 0 is the entry, 1 the worst price there will be."""
        price = self.start + D(share) * (self.worst - self.start)
        return round_to(price, self.market.tick_size if len(share) < 4 else _CENT, ROUND_HALF_UP)

    def distance(self, share: str) -> Decimal:
        wide = max(D(share) * self.range, _LEAST_TRAIL * self.start)
        return round_to(wide, _CENT, ROUND_HALF_UP)

    def ratio(self, share: str) -> Decimal:
        return round_to(self.distance(share) / self.start, D("0.0000001"), ROUND_HALF_UP)


def plans(tape: Tape, symbol: str, market: Market) -> list[Plan]:
    """Return the positions to open: every rule alone and together, long and short."""
    found = []
    for sign in (1, -1):
        side = "long" if sign > 0 else "short"
        at = _Scale(tape, symbol, market, sign)
        unit = market.lot_size * max(1, round(_UNIT / (market.lot_size * at.start)))
        for name, size, rules in _kinds(at):
            plan = Rules(sign, **rules)
            found.append(Plan(f"{side}: {name}", symbol, unit * size, plan, plan))
        for name, size, before, after, *changes in _changed(at):
            asked, rules = Rules(sign, **before), Rules(sign, **before | after)
            found.append(Plan(f"{side}: {name}", symbol, unit * size, asked, rules, tuple(changes)))
    return found


def _kinds(at: _Scale) -> list[tuple[str, int, dict]]:
    """Return (what, size, rules); sizes are primes, so that parts do not come out even."""
    gain, loss = at.gain, at.loss
    half, third = D("0.5"), D("0.333")
    return [
        ("a stop", 7, {"stop": loss("0.3")}),
        (
            "a stop and two targets",
            13,
            {"stop": loss("0.8"), "targets": ((gain("0.2"), half), (gain("0.7"), half))},
        ),
        ("a trail by percent", 13, {"trail_ratio": at.ratio("0.15")}),
        ("a stop between two ticks", 11, {"stop": loss("0.617")}),
        ("a stop out of reach", 7, {"stop": loss("1.5"), "targets": ((gain("1.5"), D(1)),)}),
        ("a target", 5, {"targets": ((gain("0.5"), D(1)),)}),
        (
            "three targets, the last at the very best price",
            17,
            {
                "stop": loss("1.2"),
                "targets": (
                    (gain("0.123"), D("0.3")),
                    (gain("0.4"), D("0.3")),
                    (at.best, D("0.4")),
                ),
            },
        ),
        (
            "two thirds by targets, the rest by the stop",
            19,
            {"stop": loss("0.9"), "targets": ((gain("0.3"), third), (gain("0.456"), third))},
        ),
        (
            "targets that leave a rest",
            23,
            {"stop": loss("1.3"), "targets": ((gain("0.25"), D("0.4")),)},
        ),
        ("a wide trail by percent", 11, {"trail_ratio": at.ratio("0.61")}),
        ("a trail by distance", 7, {"trail_distance": at.distance("0.25")}),
        (
            "a trail, a stop and targets",
            17,
            {
                "stop": loss("0.95"),
                "trail_distance": at.distance("0.5"),
                "targets": ((gain("0.15"), third), (gain("0.85"), third)),
            },
        ),
        ("breakeven over a stop", 11, {"stop": loss("0.9"), "breakeven": gain("0.3")}),
        (
            "breakeven without a stop",
            13,
            {"breakeven": gain("0.222"), "targets": ((gain("0.95"), half),)},
        ),
        (
            "breakeven, a trail and a target",
            19,
            {
                "stop": loss("1.1"),
                "trail_ratio": at.ratio("0.7"),
                "breakeven": gain("0.45"),
                "targets": ((gain("0.5"), half),),
            },
        ),
    ]


def _changed(at: _Scale) -> list[tuple]:
    """Return (what, size, rules, what is changed of them, words); some no entry may have."""
    gain, loss = at.gain, at.loss
    stop, near, far = loss("1.2"), gain("0.1"), gain("0.6")
    trail = at.distance("0.4")
    return [
        (
            "a stop that was moved",
            7,
            {"stop": stop},
            {"stop": loss("0.55")},
            ("move-stop", str(loss("0.55"))),
        ),
        (
            "a target whose rest would be dust",
            13,
            {"stop": stop, "targets": ((far, D("0.5")),)},
            {"targets": ((gain("0.35"), D("0.98")),)},
            ("modify-target", "target-1", f"{gain('0.35')}:98%"),
        ),
        (
            "a part below the smallest order",
            7,
            {"stop": stop, "targets": ((far, D("0.8")),)},
            {"targets": ((far, D("0.8")), (near, D("0.01")))},
            ("add-target", f"{near}:1%"),
        ),
        (
            "a trail that came later, a target that went",
            11,
            {"stop": stop, "targets": ((near, D("0.5")),)},
            {"targets": (), "trail_distance": trail, "trail_from": at.start},
            ("trail-stop", str(trail)),
            ("cancel-target", "target-1"),
        ),
    ]
