"""A daemon whose positions are compared with an exact pass over the frames that a test sends.

`Desk` opens positions, long and short, with levels that the frames to come will reach and some that
only a wrong price could reach. It plays frames, and compares exits and candles. The daemon's wall
clock can be set.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import count, pairwise
from pathlib import Path
from time import monotonic
from typing import Any

from daemon.admin_requests import CloseAll, Open, TargetRequest
from domain.errors import Refusal
from domain.instrument import Direction
from tests.e2e.attempts import logged
from tests.e2e.brute_force import BruteForce, Exit, Market, Rules, Tick
from tests.e2e.fault_tape import SYMBOL, WORDS, Item, chunks, ticks_of
from tests.e2e.harness import Daemon, Processes, wait_until
from tests.e2e.scripted_venue import ScriptedVenue

D = Decimal
FEE = D(0)  # so that targets may be near
MARKET = Market(D("0.1"), D("0.001"), D("0.001"), D(5), FEE)
QUANTITY = D("0.02")
SECOND_MS = 1000
SILENCE_S = 1.5
SOON_S = 15.0
WITNESS = f"{Path(__file__).with_name('candle_witness.py')}:Witness"
STEPPED_CLOCK = Path(__file__).with_name("stepped_clock.py")
CONFIG = """
market:
  source: {source}
  kind: swap
  symbols: [BTC/USDT]
  url: {ws}
  rest_url: {rest}
  max_silence_s: {silence}
instruments: {{BTC/USDT: {{lot_size: 0.001, min_quantity: 0.001, min_notional: 5}}}}
paper: {{balance: 10000000, slippage: 0, latency_ms: 0, partial_fill_chance: 0, taker_fee: {fee}}}
limits:
  {{max_positions: 200, max_leverage: 1000, daily_drawdown_ratio: 1, total_drawdown_ratio: 1}}
traders:
  - {{name: witness, strategy: "{witness}", symbols: [BTC/USDT], timeframe: 1s}}
metrics: {{port: 0}}
log: {{format: json}}
"""


@dataclass
class Guarded:
    """A position that was opened, and what an exact pass makes of it."""

    position_id: str
    brute: BruteForce


class Desk:
    """A daemon, the venue that it watches, and the tape that the venue plays."""

    def __init__(
        self, venue: str, processes: Processes, server: ScriptedVenue, recording: Path
    ) -> None:
        self.venue, self.server, self._processes = venue, server, processes
        self._clock = processes.directory / "clock"
        self.daemon = self.start()
        self.words = WORDS[venue]
        self._chunks = chunks(venue, recording)
        self._marks = count(1)
        self._mark_ms = 0
        self.candle_checks = self.candles_compared = 0
        self._rested_s = monotonic()  # when the last frame was sent
        self.price = self.depth = D(0)  # the last one; the lowest one to come
        self.guarded: list[Guarded] = []

    # --- the process

    def start(self) -> Daemon:
        """Start a daemon in the directory, whose wall clock is right."""
        config = CONFIG.format(
            source=self.venue,
            ws=self.server.ws_url,
            rest=self.server.rest_url,
            silence=SILENCE_S,
            fee=FEE,
            witness=WITNESS,
        )
        clock = (sys.executable, str(STEPPED_CLOCK), str(self._clock))
        if not self._clock.exists():
            self.set_clock(0)
        self.daemon = self._processes.run(config, inside=clock)
        wait_until(lambda: self.server.connections > 0, SOON_S, "it has subscribed")
        return self.daemon

    def set_clock(self, hours: int) -> None:
        """Set the daemon's wall clock so many hours off."""
        after = self._clock.with_suffix(".next")
        after.write_text(str(hours * 3600))
        after.replace(self._clock)

    # --- the market

    def chunk(self) -> list[Item]:
        """Return the next piece of the tape."""
        return next(self._chunks)

    def play(self, items: Sequence[Item]) -> None:
        """Send it all, and wait until the daemon has read it."""
        self.server.send([item.raw for item in items], last=self.count_in(items))
        self._rested_s = monotonic()
        self.until_read()

    def count_in(self, items: Sequence[Item]) -> str:
        """Let the exact pass see what counts; return the last price."""
        ticks = ticks_of(items)
        self.pass_over(ticks)
        quotes = [item.raw for item in items if item.is_quote]
        if quotes:
            self.server.repeat(quotes[-1])
        return str(self.price)

    def pass_over(self, ticks: Sequence[Tick]) -> None:
        for each in self.guarded:
            each.brute.run(ticks)
        if ticks:
            self.price = ticks[-1].price
            self._mark_ms = max(self._mark_ms, *(tick.event_ms for tick in ticks))

    def until_read(self) -> None:
        """Send a mark price like no other, and wait until the daemon shows it."""
        self._mark_ms += 1
        mark = str(self.price + D(next(self._marks)).scaleb(-6))
        self.server.send([self.words.mark(mark, self._mark_ms)])
        wait_until(lambda: self.shown()["mark"] == mark, SOON_S, "all of it was read")

    def shown(self) -> dict[str, Any]:
        """Return what the daemon shows of the price."""
        found: dict[str, Any] = self.daemon.status()["prices"][0]
        return found

    # --- the positions

    def open_positions(self, to_come: Sequence[Item]) -> None:
        """Open both sides, with levels that the trades to come will reach and one that none may."""
        prices = [tick.price for tick in ticks_of(to_come)]
        for sign in (1, -1):
            for rules in _rules(sign, self.price, prices):
                self._open(rules)
        self.depth = min(self.price, *prices)
        self._open(Rules(1, stop=whole(self.depth * D("0.995"))))
        wait_until(lambda: all(map(_is_armed, self.daemon.positions())), SOON_S, "all are armed")

    def _open(self, rules: Rules) -> None:
        position = self.daemon.ask(_request(rules))["position"]
        entry, quantity = D(position["entry_price"]), D(position["entry_quantity"])
        quote = D(self.shown()["ask" if rules.sign > 0 else "bid"] or self.price)
        worst = max(self.price * rules.sign, quote * rules.sign) * rules.sign
        assert entry in {self.price, worst}  # the other side may have moved since the last trade
        assert quantity == QUANTITY
        brute = BruteForce(rules, MARKET, entry, quantity)
        self.guarded.append(Guarded(position["id"], brute))

    def check_exits(self) -> int:
        """Compare every position with the exact pass; return how many exits there were.

        Entries must be possible. What is opened here is in the journal behind all that was decided
        on the frames before, so nothing of that is still on its way.
        """
        assert self.refusal() is None
        wait_until(self._is_at_rest, SOON_S, "every exit is filled")
        told, expected = {}, {}
        for each in self.guarded:
            view = self.daemon.position(each.position_id)
            told[each.position_id] = (_told(view), D(view["remaining_quantity"]))
            expected[each.position_id] = (
                [_as_told(one) for one in each.brute.exits],
                each.brute.left,
            )
            _filled_at_the_trigger(view)
            if each.brute.left:
                assert view["status"] == "open_protected"
                assert view["acknowledged_version"] == view["protection"]["version"]
        assert told == expected
        assert sum(each.brute.left > 0 for each in self.guarded) >= 2, "nothing is left to guard"
        return self.exits()

    def exits(self) -> int:
        """Return how many exits the exact pass has by now."""
        return sum(len(each.brute.exits) for each in self.guarded)

    def _is_at_rest(self) -> bool:
        armed = all(map(_is_armed, self.daemon.positions()))
        return armed and self.daemon.status()["orders_working"] == 0

    def until_fired(self) -> None:
        """Wait for as many exits as the exact pass has by now."""
        wanted = {each.position_id: len(each.brute.exits) for each in self.guarded}
        wait_until(
            lambda: wanted == {key: len(self.daemon.position(key)["exits"]) for key in wanted},
            SOON_S,
            "what was crossed has fired",
        )

    def close_all(self) -> None:
        """Start afresh."""
        self.daemon.ask(CloseAll())
        wait_until(lambda: not self.daemon.positions(), SOON_S, "all are closed")
        self.guarded.clear()

    # --- what it says

    def may_open(self) -> bool:
        status = self.daemon.status()
        return status["mode"] == "NORMAL" and status["prices"][0]["is_fresh"]

    def refusal(self) -> Refusal | None:
        """Ask for one more entry; return why it is refused."""
        far = Rules(1, stop=whole(self.price * D("0.8")))
        answer = self.daemon.client.ask(_request(far))
        return answer if isinstance(answer, Refusal) else None

    def bad_frames(self) -> int:
        found: int = self.daemon.health()["feed"]["bad_frames"]
        return found

    def check_candles(self, ticks: Sequence[Tick], rested_s: float) -> None:
        """Compare the candles that a strategy saw with an exact pass over a chunk.

        Those of the time that passed before it, and of its ends, were closed by time; where a busy
        machine took longer than the chunk lasts, none is left to compare.
        """
        seen = [line["rationale"].split() for line in self.lines("decision")]
        opens = [int(figures[0]) for figures in seen]
        assert all(later > earlier for earlier, later in pairwise(opens)), "one came again"
        begin_ms = ticks[0].event_ms + int(rested_s * 1000) + 2 * SECOND_MS
        told = {int(open_ms): (int(number), *map(D, prices)) for open_ms, number, *prices in seen}
        expected = _candles(ticks, begin_ms)
        self.candle_checks += 1
        self.candles_compared += len(expected)
        assert {key: told.get(key) for key in expected} == expected

    def rested_s(self) -> float:
        """Return how long nothing was traded."""
        return monotonic() - self._rested_s

    def lines(self, event: str) -> list[dict[str, Any]]:
        return logged(self.daemon, event)


def _rules(sign: int, price: Decimal, prices: Sequence[Decimal]) -> Iterator[Rules]:
    best, worst = (max(prices), min(prices)) if sign > 0 else (min(prices), max(prices))
    gain = max(sign * (best - price), D("0.4"))
    loss = max(sign * (price - worst), D("0.4"))
    far = {"stop": whole(price * (1 - sign * D("0.2")))}
    yield Rules(sign, stop=whole(price - sign * loss * D("0.4")))
    near, half = whole(price + sign * gain * D("0.3")), whole(price + sign * gain * D("0.7"))
    yield Rules(sign, targets=((near, D("0.5")), (half, D("0.5"))), **far)
    yield Rules(sign, trail_distance=whole(max((gain + loss) * D("0.3"), D("0.3"))))
    target = (whole(price * (1 + sign * D("0.2"))), D("0.5"))
    yield Rules(sign, targets=(target,), trail_ratio=D("0.15"), **far)


def _candles(ticks: Sequence[Tick], begin_ms: int) -> dict[int, tuple[object, ...]]:
    """Return the candles of whole seconds from `begin_ms` on: how many trades, and prices."""
    found: dict[int, list[Decimal]] = {}
    latest = 0
    for tick in ticks:
        open_ms = tick.event_ms // SECOND_MS * SECOND_MS
        if open_ms >= latest:  # else its candle has closed
            latest = open_ms
            found.setdefault(open_ms, []).append(tick.price)
    found.pop(latest)
    return {
        open_ms: (len(prices), prices[0], max(prices), min(prices), prices[-1])
        for open_ms, prices in found.items()
        if open_ms >= begin_ms
    }


def whole(price: Decimal) -> Decimal:
    """Round to a price that can be traded."""
    return price.quantize(MARKET.tick_size)


def _request(rules: Rules) -> Open:
    return Open(
        symbol=SYMBOL,
        direction=Direction.LONG if rules.sign > 0 else Direction.SHORT,
        quantity=QUANTITY,
        stop=rules.stop,
        targets=tuple(TargetRequest(price=price, part=part) for price, part in rules.targets),
        trail_ratio=rules.trail_ratio,
        trail_distance=rules.trail_distance,
    )


def _is_armed(row: dict[str, Any]) -> bool:
    return row["status"] == "open_protected"


def _told(view: dict[str, Any]) -> list[tuple[object, ...]]:
    return [
        (
            each["exit_id"],
            each["reason"],
            each["trigger"]["tick_id"],
            D(each["trigger"]["price"]),
            D(each["trigger"]["level"]),
            D(each["quantity"]),
        )
        for each in view["exits"]
    ]


def _as_told(each: Exit) -> tuple[object, ...]:
    tick = each.tick
    return (each.exit_id, each.reason, tick.tick_id, tick.price, each.level, each.quantity)


def _filled_at_the_trigger(view: dict[str, Any]) -> None:
    for each in view["exits"]:
        (fill,) = [one for one in view["fills"] if one["order"] == each["client_order_id"]]
        assert D(fill["price"]) == D(each["trigger"]["price"])
    assert len(view["fills"]) == 1 + len(view["exits"])
