"""What a venue's stream may do wrong, with positions open: a table of faults, for both venues.

A real daemon for each venue watches a server on loopback that speaks as the venue does. Before each
fault positions are opened, long and short, whose stops, targets and trails the frames to come will
reach, and one of each side whose levels only a wrong price could reach. Then frames are played, and
spoiled. Every exit must be the one that an exact pass over the frames that count finds: none more,
none fewer, by the same trade at the same price; and so must the candles that a strategy sees. What was wrong is counted and told once; guards are
armed at the end; and while prices cannot be relied on, entries are refused.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count, pairwise
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from daemon.admin_requests import CloseAll, Open, TargetRequest
from domain.errors import Refusal
from domain.instrument import Direction
from tests.e2e.attempts import logged
from tests.e2e.brute_force import BruteForce, Market, Rules, Tick
from tests.e2e.conftest import RECORDED
from tests.e2e.fault_tape import SYMBOL, WORDS, Item, chunks, ticks_of, with_price
from tests.e2e.harness import Daemon, Processes, wait_until
from tests.e2e.scripted_venue import ScriptedVenue

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

D = Decimal
FEE = D(0)  # so that targets may be near
MARKET = Market(D("0.1"), D("0.001"), D("0.001"), D(5), FEE)
QUANTITY = D("0.02")
SECOND_MS = 1000
SILENCE_S = 1.5
SOON_S = 15.0
BACK_WITHIN_S = 5.0
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
        self, venue: str, processes: Processes, server: ScriptedVenue, directory: Path
    ) -> None:
        self.venue, self.server, self._processes = venue, server, processes
        self._clock = directory / "clock"
        self.daemon = self.start()
        self.words = WORDS[venue]
        self._chunks = chunks(venue, RECORDED / "usdm_btcusdt_20240808.gz")
        self._marks = count(1)
        self._mark_ms = 0
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
        self.server.send([item.raw for item in items], last=self._count(items))
        self._rested_s = monotonic()
        self.until_read()

    def _count(self, items: Sequence[Item]) -> str:
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
        self._open(Rules(1, stop=_whole(self.depth * D("0.995"))))
        wait_until(lambda: all(map(_is_armed, self.daemon.positions())), SOON_S, "all are armed")

    def _open(self, rules: Rules) -> None:
        position = self.daemon.ask(_request(rules))["position"]
        entry, quantity = D(position["entry_price"]), D(position["entry_quantity"])
        assert (entry, quantity) == (self.price, QUANTITY)
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
            expected[each.position_id] = ([_as_told(one) for one in each.brute.exits], each.brute.left)
            _filled_at_the_trigger(view)
            if each.brute.left:
                assert view["status"] == "open_protected"
                assert view["acknowledged_version"] == view["protection"]["version"]
        assert told == expected
        assert sum(each.brute.left > 0 for each in self.guarded) >= 2, "nothing is left to guard"
        return _exits(self)

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
        far = Rules(1, stop=_whole(self.price * D("0.8")))
        answer = self.daemon.client.ask(_request(far))
        return answer if isinstance(answer, Refusal) else None

    def bad_frames(self) -> int:
        found: int = self.daemon.health()["feed"]["bad_frames"]
        return found

    def check_candles(self, ticks: Sequence[Tick], rested_s: float) -> None:
        """Compare the candles that a strategy saw with an exact pass over a chunk.

        Those of the time that passed before it, and of its ends, were closed by time.
        """
        seen = [line["rationale"].split() for line in self.lines("decision")]
        opens = [int(figures[0]) for figures in seen]
        assert all(later > earlier for earlier, later in pairwise(opens)), "one came again"
        begin_ms = ticks[0].event_ms + int(rested_s * 1000) + 2 * SECOND_MS
        told = {int(open_ms): (int(number), *map(D, prices)) for open_ms, number, *prices in seen}
        expected = _candles(ticks, begin_ms)
        assert expected, "the chunk is too short"
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
    far = {"stop": _whole(price * (1 - sign * D("0.2")))}
    yield Rules(sign, stop=_whole(price - sign * loss * D("0.4")))
    near, half = _whole(price + sign * gain * D("0.3")), _whole(price + sign * gain * D("0.7"))
    yield Rules(sign, targets=((near, D("0.5")), (half, D("0.5"))), **far)
    yield Rules(sign, trail_distance=_whole(max((gain + loss) * D("0.3"), D("0.3"))))
    target = (_whole(price * (1 + sign * D("0.2"))), D("0.5"))
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


def _whole(price: Decimal) -> Decimal:
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


def _as_told(each: Any) -> tuple[object, ...]:
    tick = each.tick
    return (each.exit_id, each.reason, tick.tick_id, tick.price, each.level, each.quantity)


def _filled_at_the_trigger(view: dict[str, Any]) -> None:
    for each in view["exits"]:
        (fill,) = [one for one in view["fills"] if one["order"] == each["client_order_id"]]
        assert D(fill["price"]) == D(each["trigger"]["price"])
    assert len(view["fills"]) == 1 + len(view["exits"])


@pytest.fixture(scope="module", params=["binance", "okx"])
def started(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """One daemon for all faults of a venue."""
    directory: Path = tmp_path_factory.mktemp(f"faults-{request.param}")
    with ScriptedVenue() as server, Processes(directory) as processes:
        desk = Desk(request.param, processes, server, directory)
        desk.play(desk.chunk())
        yield desk


@pytest.fixture
def desk(started: Desk) -> Iterator[Desk]:
    """The daemon at rest: nothing is held, prices are believed. Afterwards it must be so again."""
    wait_until(started.may_open, SOON_S, "entries are allowed")
    yield started
    assert started.daemon.process.is_running
    assert not started.lines("actor_crashed")
    started.close_all()


# --- frames that are wrong


@dataclass(frozen=True)
class Spoiled:
    """What is sent in place of a chunk, and what is said of it."""

    items: list[Item]
    bad: int = 0  # frames that are counted as bad
    spikes: int = 0  # prices that are held back
    says: str = ""  # of the last bad frame


def among(items: Sequence[Item], extra: Callable[[Item], list[Item]], every: int = 20) -> list[Item]:
    """Put something before every so many trades."""
    found: list[Item] = []
    trades = 0
    for item in items:
        if item.tick is not None:
            trades += 1
            if trades % every == 0:
                found += extra(item)
        found.append(item)
    return found


def out_of_order(desk: Desk, items: list[Item]) -> Spoiled:
    """Every tenth trade comes after the next one, and one of the chunk's beginning returns."""
    first = next(item for item in items if item.tick is not None)
    found: list[Item] = []
    late: Item | None = None
    trades = 0
    for item in items:
        trades += item.tick is not None
        if item.tick is not None and trades % 10 == 0 and late is None:
            late = item
            continue
        found.append(item)
        if item.tick is not None and late is not None:
            old = with_price(first.raw, '"1.0"')
            found += [Item(late.raw), Item(old)]
            late = None
    return Spoiled(found)


def duplicated(desk: Desk, items: list[Item]) -> Spoiled:
    """Every frame comes twice, and the last fifty once more."""
    found: list[Item] = []
    for item in items:
        found += [item, Item(item.raw)]
        if len(found) % 200 == 0:
            found += [Item(each.raw) for each in found[-50:]]
    return Spoiled(found)


def truncated(desk: Desk, items: list[Item]) -> Spoiled:
    """Before a frame comes the first half of it."""
    found = among(items, lambda item: [Item(item.raw[: len(item.raw) // 2])])
    return Spoiled(found, bad=len(found) - len(items), says="not JSON")


def not_json(desk: Desk, items: list[Item]) -> Spoiled:
    """Pages, bytes and nothing at all."""
    noise = [Item(raw) for raw in (b"<html>busy</html>", b"\xff\xfe\x00", b"", b"[" * 3000)]
    found = among(items, lambda item: noise)
    return Spoiled(found, bad=len(found) - len(items), says="not JSON")


def wrong_shape(desk: Desk, items: list[Item]) -> Spoiled:
    """JSON, but not the venue's."""
    noise = [Item(raw) for raw in (b"[]", b"7", b'{"data":[7]}', b'{"arg":1,"data":{}}')]
    found = among(items, lambda item: noise)
    return Spoiled(found, bad=len(found) - len(items), says="neither ")


def wrong_symbol(desk: Desk, items: list[Item]) -> Spoiled:
    """Trades of another market, on its own stream and on ours, at a price that is none here."""
    found = among(items, desk.words.stranger)
    strangers = (len(found) - len(items)) // 2
    bad = strangers * desk.words.bad_strangers
    return Spoiled(found, bad=bad, says="instId is ETH-USDT-SWAP" if bad else "")


def spike(desk: Desk, items: list[Item]) -> Spoiled:
    """Now and then a single trade at a price far off, up and down."""
    found: list[Item] = []
    spikes = trades = 0
    for item in items:
        trades += item.tick is not None
        if item.tick is not None and trades % 40 == 20:
            away = D("0.7") if spikes % 2 else D("1.4")
            spikes += 1
            item = Item(with_price(item.raw, f'"{_whole(item.tick.price * away)}"'))  # noqa: PLW2901
        found.append(item)
    return Spoiled(found, spikes=spikes)


def candle_revised(desk: Desk, items: list[Item]) -> Spoiled:
    """The venue closes a candle and says something else of it later; trades come for it, too.

    A trade whose time is past is a trade all the same: it counts for guards, and for no candle.
    """

    def late(item: Item) -> list[Item]:
        assert item.tick is not None
        begin_ms = (item.tick.event_ms // 60_000 - 2) * 60_000
        told = (("61000", "0"), ("61000", "1"), ("1", "1"), ("99999", "1"))
        return [Item(desk.words.candle(begin_ms, *each)) for each in told]

    found = among(items, late)
    return Spoiled(
        [
            _late(item) if item.tick is not None and number % 50 == 25 else item
            for number, item in enumerate(found)
        ]
    )


def _late(item: Item) -> Item:
    assert item.tick is not None
    past_ms = item.tick.event_ms - 90_000
    raw = item.raw.replace(str(item.tick.event_ms).encode(), str(past_ms).encode())
    return Item(raw, replace(item.tick, event_ms=past_ms))


Spoil = Callable[[Desk, list[Item]], Spoiled]


def absurd(literal: str, says: str = "not a decimal above zero") -> Spoil:
    """Return what puts trades with this price among the others, each with the next one's number."""

    def spoil(desk: Desk, items: list[Item]) -> Spoiled:
        found = among(items, lambda item: [Item(with_price(item.raw, literal))])
        return Spoiled(found, bad=len(found) - len(items), says=says)

    return spoil


SPOILED: dict[str, Spoil] = {
    "out of order": out_of_order,
    "duplicated": duplicated,
    "truncated": truncated,
    "not JSON": not_json,
    "wrong shape": wrong_shape,
    "wrong symbol": wrong_symbol,
    "price 0": absurd('"0.0"'),
    "price below 0": absurd('"-61800.0"'),
    "price NaN": absurd('"NaN"'),
    "price inf": absurd('"Infinity"'),
    "price 1e400": absurd('"1e400"'),
    "price of text": absurd('"cheap"'),
    "price bare NaN": absurd("NaN", says="not JSON"),
    "price bare 1e400": absurd("1e400", says=""),
    "price null": absurd("null"),
    "spike of one tick": spike,
    "candle revised": candle_revised,
}


@pytest.mark.parametrize("fault", SPOILED)
def test_wrong_frames_fire_nothing_and_hide_nothing(desk: Desk, fault: str) -> None:
    spoiled = SPOILED[fault](desk, desk.chunk())
    bad, held = desk.bad_frames(), len(desk.lines("spike_held"))
    desk.open_positions(spoiled.items)
    rested_s = desk.rested_s()

    desk.play(spoiled.items)

    assert desk.check_exits() > 0
    desk.check_candles(ticks_of(spoiled.items), rested_s)
    assert desk.bad_frames() - bad == spoiled.bad
    if spoiled.bad:
        assert spoiled.says in desk.daemon.health()["feed"]["last_bad_frame"]
    assert len(desk.lines("spike_held")) - held == spoiled.spikes


def test_frames_faster_than_they_are_read_all_count(desk: Desk) -> None:
    """The daemon stands still until the venue cannot send any more; then it reads on."""
    items = desk.chunk()
    quotes = [item for item in items if item.is_quote]
    flood = [each for item in items for each in (item, *(Item(q.raw) for q in quotes[:20]))]
    desk.open_positions(items)

    os.kill(desk.daemon.process.pid, signal.SIGSTOP)
    try:
        last = desk._count(items)
        sending = desk.server.begin_to_send([item.raw for item in flood], last)
        stuck = _stuck(desk.server)
        wait_until(lambda: sending.done() or stuck(), SOON_S, "no more can be sent")
    finally:
        os.kill(desk.daemon.process.pid, signal.SIGCONT)
    sending.result(SOON_S)
    desk.until_read()

    assert desk.check_exits() > 0
    assert desk.server.connections > 0


def _stuck(server: ScriptedVenue) -> Callable[[], bool]:
    seen = [(-1, monotonic())]

    def look() -> bool:
        if server.sent != seen[-1][0]:
            seen.append((server.sent, monotonic()))
        return monotonic() - seen[-1][1] > 0.3

    return look


# --- streams that are gone, or seem to be there


def halves(items: list[Item]) -> tuple[list[Item], list[Item]]:
    middle = len(items) // 2
    return items[:middle], items[middle:]


def ask_only(desk: Desk) -> Tick:
    """Let the market fall where only REST tells it, below a stop that the tape never reaches."""
    moved = Tick(0, 0, SYMBOL, "asked", _whole(desk.depth * D("0.99")), 0)
    desk.server.last = str(moved.price)
    before = _exits(desk)
    desk.pass_over([moved])
    assert _exits(desk) > before
    desk.until_fired()
    return moved


def _exits(desk: Desk) -> int:
    return sum(len(each.brute.exits) for each in desk.guarded)


def resume(desk: Desk, moved: Tick, rest: list[Item]) -> None:
    """Let the stream tell the price that REST told, then the rest."""
    number = next(n for n, item in enumerate(rest) if item.tick is not None)
    bridge = desk.words.priced(rest[number], str(moved.price))
    desk.server.send([bridge.raw], last=str(moved.price))
    desk.pass_over(ticks_of([bridge]))
    wait_until(desk.may_open, SOON_S, "the stream is believed again")
    desk.play(rest[number + 1 :])


def refused_as_stale(desk: Desk) -> None:
    refusal = desk.refusal()
    assert refusal is not None
    assert refusal.rule in ("STALE_PRICE", "NO_ENTRY_MODE"), refusal
    assert refusal.remedy
    assert not desk.shown()["is_fresh"]


def test_a_stream_that_answers_pings_and_nothing_else_is_found_out(desk: Desk) -> None:
    first, rest = halves(desk.chunk())
    desk.open_positions([*first, *rest])
    desk.play(first)
    lost = len(desk.lines("disconnected"))

    desk.server.is_silent = True
    moved = ask_only(desk)
    refused_as_stale(desk)
    wait_until(lambda: len(desk.lines("disconnected")) > lost, SOON_S, "it is given up")
    desk.server.is_silent = False
    resume(desk, moved, rest)

    assert desk.check_exits() > 0
    assert desk.lines("disconnected")[lost]["why"] == f"no frame for {SILENCE_S} s"


def test_a_connection_that_is_half_open_is_left_for_another(desk: Desk) -> None:
    first, rest = halves(desk.chunk())
    desk.open_positions([*first, *rest])
    desk.play(first)
    lost, up = len(desk.lines("disconnected")), len(desk.lines("connected"))

    desk.server.go_half_open()
    moved = ask_only(desk)
    wait_until(lambda: desk.server.connections > 0, SOON_S, "it has connected anew")
    resume(desk, moved, rest)

    assert desk.check_exits() > 0
    (line,) = desk.lines("disconnected")[lost:]
    assert line["why"] == f"no frame for {SILENCE_S} s"
    assert len(desk.lines("connected")) - up == 1


def test_nothing_but_bad_frames_is_no_price(desk: Desk) -> None:
    first, rest = halves(desk.chunk())
    desk.open_positions([*first, *rest])
    desk.play(first)
    stale = len(desk.lines("price_stale"))
    trade = next(item for item in rest if item.tick is not None)

    desk.server.repeat(with_price(trade.raw, '"NaN"'))
    moved = ask_only(desk)
    refused_as_stale(desk)
    resume(desk, moved, rest)

    assert desk.check_exits() > 0
    (line,) = desk.lines("price_stale")[stale:]
    assert str(moved.price) in line["why"]


def test_a_server_that_goes_away_is_found_again(desk: Desk) -> None:
    first, rest = halves(desk.chunk())
    desk.open_positions([*first, *rest])
    desk.play(first)
    lost, up = len(desk.lines("disconnected")), len(desk.lines("connected"))

    desk.server.go_away()
    wait_until(lambda: desk.daemon.status()["mode"] == "NO_ENTRY", SOON_S, "the loss is noticed")
    refused_as_stale(desk)
    moved = ask_only(desk)
    desk.server.come_back()
    began = monotonic()
    wait_until(lambda: desk.server.connections > 0, SOON_S, "it has connected anew")
    took_s = monotonic() - began
    resume(desk, moved, rest)

    assert took_s < BACK_WITHIN_S
    assert desk.check_exits() > 0
    assert len(desk.lines("disconnected")) - lost == 1
    assert len(desk.lines("connected")) - up == 1


# --- a wall clock that is set


def test_a_clock_that_is_set_while_it_runs_changes_nothing(desk: Desk) -> None:
    items = desk.chunk()
    third = len(items) // 3
    lost, stale = len(desk.lines("disconnected")), len(desk.lines("price_stale"))
    desk.open_positions(items)

    for hours, part in ((1, items[:third]), (-1, items[third : 2 * third]), (0, items[2 * third :])):
        desk.set_clock(hours)
        desk.play(part)
        wait_until(lambda: _beat_since(desk), SOON_S, "a second has passed with that clock")
        assert desk.may_open()

    assert desk.check_exits() > 0
    assert len(desk.lines("disconnected")) == lost
    assert len(desk.lines("price_stale")) == stale


def _beat_since(desk: Desk) -> bool:
    """Whether the price was checked with the venue, or trades: the feed's beat has run."""
    return desk.shown()["is_fresh"] and desk.shown()["source"] == "quiet"


@pytest.mark.parametrize("hours", [1, -1], ids=["an hour forward", "an hour back"])
def test_a_clock_that_is_set_between_two_lives_loosens_nothing(desk: Desk, hours: int) -> None:
    first, rest = halves(desk.chunk())
    desk.open_positions([*first, *rest])
    desk.play(first)
    desk.check_exits()

    assert desk.daemon.process.stop() == 0
    desk.set_clock(hours)
    try:
        desk.start()
        wait_until(desk.may_open, SOON_S, "entries are allowed")
        desk.play(rest)
        assert desk.check_exits() > 0
    finally:
        desk.set_clock(0)

