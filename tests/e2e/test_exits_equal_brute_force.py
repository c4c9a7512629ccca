"""A real daemon, real websockets, real files: every exit is the one that brute force finds.

A server holds a recording at its opening, a daemon connects to it, positions are opened, the server
is released and plays on as fast as it is read, and then every exit's reason, triggering trade,
level, quantity and price are compared with `brute_force.py`. Once without slippage and latency,
where the fill is the price that triggered; once with both, where it lies within their bounds.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from time import time

import pytest

from domain.ids import Symbol
from domain.instrument import Instrument, Kind
from exchanges.recording import FrameWriter
from exchanges.simulated_market import MarketShape, simulated_frames
from tests.e2e.brute_force import BruteForce, Exit, Market, Tape, read_tape, slipped
from tests.e2e.harness import Daemon, Processes, Server, wait_until
from tests.e2e.plans import Plan, plans

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(110)]

D = Decimal
FEE = D("0.0001")
MIN_NOTIONAL = D(100)
MARKETS = {
    "BTC/USDT": Market(D("0.1"), D("0.001"), D("0.001"), MIN_NOTIONAL, FEE),
    "ETH/USDT": Market(D("0.01"), D("0.001"), D("0.001"), MIN_NOTIONAL, FEE),
}
BTC = {"BTCUSDT": "BTC/USDT"}
BTC_AND_ETH = {"BTCUSDT": "BTC/USDT", "ETHUSDT": "ETH/USDT"}
OVER_THE_COMMAND_LINE = 3  # positions; the others over the admin socket, as the command line does
SLIPPAGE = (D("0.0005"), D("0.001"))
LATENCY_MS = (2, 5)
PLAYED_WITHIN_S = 60.0
SEED = 13
RECORDED_S = 60
START_NS = 1_767_323_045 * 10**9

CONFIG = """
market:
  source: binance
  kind: swap
  url: {url}
  symbols: [{symbols}]
  max_silence_s: 600 # a held server is silent
  stale_after_s: 600
instruments:
{instruments}
paper:
  balance: 10000000
  slippage: [{slippage[0]}, {slippage[1]}]
  latency_ms: [{latency_ms[0]}, {latency_ms[1]}]
  taker_fee: {fee}
limits:
  max_positions: 200
  max_leverage: 1000
  daily_drawdown_ratio: 1
  total_drawdown_ratio: 1
traders: []
metrics:
  port: 0
log:
  format: json
"""


@dataclass
class Play:
    """A recording that was played to a daemon, and the positions that it held."""

    tape: Tape
    daemon: Daemon
    opened: dict[str, Plan]
    released_at: float
    speed: float


def play(
    processes: Processes,
    files: list[Path],
    symbols: Mapping[str, str],
    *,
    slippage: tuple[Decimal, Decimal] = (D(0), D(0)),
    latency_ms: tuple[int, int] = (0, 0),
    speed: float = 0,
    changed: bool = False,
) -> Play:
    """Open every plan during the hold, then play to the end and wait until all exits are done.

    With `changed`, also those that are changed after they were opened.
    """
    tape = read_tape(files, symbols)
    server = processes.serve(*files, speed=speed)
    config = CONFIG.format(
        url=server.url,
        symbols=", ".join(symbols.values()),
        instruments="\n".join(
            f"  {symbol}: {{min_notional: {MIN_NOTIONAL}}}" for symbol in symbols.values()
        ),
        slippage=slippage,
        latency_ms=latency_ms,
        fee=FEE,
    )
    daemon = processes.run(config)
    wait_until(lambda: daemon.frames() == tape.opening, 10, "the opening was played")
    wait_until(lambda: daemon.status()["mode"] == "NORMAL", 10, "entries are allowed")
    prices = {each["symbol"]: D(each["last"]) for each in daemon.status()["prices"]}
    assert prices == {symbol: tape.held(symbol) for symbol in symbols.values()}
    wanted = [plan for symbol in symbols.values() for plan in plans(tape, symbol, MARKETS[symbol])]
    opened = _open_all(daemon, [plan for plan in wanted if changed or not plan.changes])
    assert daemon.frames() == tape.opening, "something was played during the hold"
    released_at = time()
    server.release()
    _play_to_the_end(server, daemon, tape)
    return Play(tape, daemon, opened, released_at, speed)


def _open_all(daemon: Daemon, wanted: list[Plan]) -> dict[str, Plan]:
    opened = {}
    for number, plan in enumerate(wanted):
        by_hand = number < OVER_THE_COMMAND_LINE
        answer = daemon.cli(*plan.arguments()) if by_hand else daemon.ask(plan.request())
        position_id = answer["position"]["id"]
        for command, *words in plan.changes:
            daemon.cli(command, position_id, *words)
        opened[position_id] = plan
    assert len(opened) == len(wanted)
    wait_until(lambda: all(_is_armed(each) for each in daemon.positions()), 10, "all are armed")
    for position_id, plan in opened.items():
        view = daemon.position(position_id)
        rules = plan.rules
        has_guard = rules.stop or rules.trail_ratio or rules.trail_distance
        assert view["status"] == ("open_protected" if has_guard else "open_unprotected"), plan
        assert view["acknowledged_version"] == view["protection"]["version"], plan
        assert D(view["entry_quantity"]) == plan.quantity
    return opened


def _is_armed(row: dict) -> bool:
    return row["status"] in {"open_protected", "open_unprotected"}


def _play_to_the_end(server: Server, daemon: Daemon, tape: Tape) -> None:
    wait_until(lambda: server.status()["finished"], PLAYED_WITHIN_S, "the recording was played")
    wait_until(lambda: daemon.frames() == tape.frames, PLAYED_WITHIN_S, "every frame came through")
    seen: list[int] = []

    def is_quiet() -> bool:
        """Whether nothing is under way: no order works, and the journal has stopped to grow."""
        seen.append(daemon.health()["journal"]["last_seq"])
        all_armed = all(_is_armed(each) for each in daemon.positions())
        return all_armed and daemon.status()["orders_working"] == 0 and seen[-1] in seen[:-1]

    wait_until(is_quiet, 10, "every exit is filled")


# --- comparing

Told = tuple[str, str, int, str, int, Decimal, Decimal, Decimal]


def _told(view: dict) -> list[Told]:
    """Return every exit of a position as the daemon tells it, in the order of firing."""
    return [
        (
            each["exit_id"],
            each["reason"],
            each["trigger"]["frame"],
            each["trigger"]["tick_id"],
            round(_moment(each["trigger"]["at"]) * 1000),
            D(each["trigger"]["price"]),
            D(each["trigger"]["level"]),
            D(each["quantity"]),
        )
        for each in view["exits"]
    ]


def _as_told(each: Exit) -> Told:
    tick = each.tick
    return (
        each.exit_id,
        each.reason,
        tick.frame,
        tick.tick_id,
        tick.event_ms,
        tick.price,
        each.level,
        each.quantity,
    )


def _compare(played: Play) -> list[tuple[Exit, dict, Plan]]:
    """Compare every position with brute force; return all exits with their fills."""
    told, expected, exits = {}, {}, []
    for position_id, plan in played.opened.items():
        view = played.daemon.position(position_id)
        market = MARKETS[plan.symbol]
        entry, quantity = D(view["entry_price"]), D(view["entry_quantity"])
        brute = BruteForce(plan.rules, market, entry, quantity)
        found = brute.run(played.tape.after_hold(plan.symbol))
        name = f"{plan.symbol} {plan.name}"
        told[name] = (_told(view), D(view["remaining_quantity"]))
        expected[name] = ([_as_told(each) for each in found], brute.left)
        exits += [(each, fill, plan) for each, fill in zip(found, _fills(view), strict=False)]
    assert told == expected
    print(f"{len(exits)} exits of {len(told)} positions, {played.tape.frames} frames")
    return exits


def _fills(view: dict) -> list[dict]:
    """Return the one fill of every exit of a position, complete and once."""
    fills = []
    for each in view["exits"]:
        (fill,) = [one for one in view["fills"] if one["order"] == each["client_order_id"]]
        assert each["done"]
        assert each["quantity"] == each["filled"] == fill["quantity"]
        fills.append(fill)
    assert len(view["fills"]) == 1 + len(fills)
    assert (view["status"] == "closed") == (D(view["remaining_quantity"]) == 0)
    return fills


def _fills_within_the_band(played: Play, exits: list[tuple[Exit, dict, Plan]]) -> None:
    """Require that every fill is a price of the time when its order arrived, plus slippage.

    The order meets the last price when it arrives: that of the trigger or a later trade, but none
    that the server had yet to send when the fill was stamped. When it sends what is known: never
    before its time, counted from the release.
    """
    for each, fill, plan in exits:
        passed_s = _moment(fill["time"]) - played.released_at
        assert passed_s >= 0
        until_ns = played.tape.pace_ns + passed_s * played.speed * 1e9
        window = played.tape.between(plan.symbol, each.tick.frame, until_ns)
        assert window[0] == each.tick
        paid = D(fill["price"])
        assert any(
            _is_slipped(paid, tick.price, plan, buys=plan.rules.sign < 0) for tick in window
        ), (
            plan,
            each,
            fill,
            window,
        )


def _is_slipped(paid: Decimal, price: Decimal, plan: Plan, *, buys: bool) -> bool:
    tick_size = MARKETS[plan.symbol].tick_size
    ends = [slipped(price, ratio, tick_size, buys=buys) for ratio in SLIPPAGE]
    return min(ends) <= paid <= max(ends)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _entries_within_the_band(played: Play) -> None:
    for position_id, plan in played.opened.items():
        paid = D(played.daemon.position(position_id)["fills"][0]["price"])
        held = played.tape.held(plan.symbol)
        assert _is_slipped(paid, held, plan, buys=plan.rules.sign > 0), (plan, paid)


def _shows_all_kinds(exits: list[tuple[Exit, dict, Plan]]) -> None:
    """Require that the recording made every rule act, on both sides."""
    seen = Counter((plan.direction.value, each.reason) for each, _, plan in exits)
    reasons = ("STOP_LOSS", "TAKE_PROFIT", "TRAILING_STOP")
    assert {(side, reason) for side in ("long", "short") for reason in reasons} <= set(seen), seen
    moved = [plan for each, _, plan in exits if each.exit_id == "stop" and plan.rules.breakeven]
    assert {plan.direction.value for plan in moved} == {"long", "short"}, "no stop was moved"


# --- recordings


def simulated(directory: Path) -> Path:
    """Record a minute of the simulated market: lively, with gaps, the same every time."""
    instrument = Instrument(
        symbol=Symbol("BTC/USDT"),
        venue_symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        kind=Kind.SWAP,
        tick_size=D("0.1"),
        lot_size=D("0.001"),
        min_quantity=D("0.001"),
        min_notional=MIN_NOTIONAL,
    )
    shape = MarketShape(
        ticks_per_second=20, volatility=0.001, gap_every_s=15, gap_low=0.002, gap_high=0.01
    )
    start = {instrument.symbol: D(61_800)}
    file = directory / "simulated.gz"
    with FrameWriter(file) as writer:
        for at_ns, raw in simulated_frames(SEED, [instrument], start, shape, start_ns=START_NS):
            if at_ns > RECORDED_S * 10**9:
                break
            writer.write(START_NS + at_ns, raw)
    return file


@pytest.fixture(
    params=["simulated", pytest.param("recorded", marks=pytest.mark.recorded)],
)
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "simulated":
        return simulated(tmp_path)
    found: Path = request.getfixturevalue("recorded_btc")
    return found


# --- tests


def _fills_at_the_trigger(exits: list[tuple[Exit, dict, Plan]]) -> None:
    assert [D(fill["price"]) for _, fill, _ in exits] == [each.tick.price for each, _, _ in exits]


def test_every_exit_is_the_one_that_brute_force_finds(processes: Processes, recording: Path):
    played = play(processes, [recording], BTC, changed=True)
    exits = _compare(played)
    _fills_at_the_trigger(exits)
    _shows_all_kinds(exits)
    for position_id in list(played.opened)[:OVER_THE_COMMAND_LINE]:
        over_the_command_line = played.daemon.cli("position", position_id)["position"]
        assert over_the_command_line["exits"] == played.daemon.position(position_id)["exits"]


def test_with_slippage_and_latency_the_same_trades_trigger(processes: Processes, recording: Path):
    speed = 20 if recording.name.startswith("simulated") else 50
    played = play(
        processes, [recording], BTC, slippage=SLIPPAGE, latency_ms=LATENCY_MS, speed=speed
    )
    exits = _compare(played)
    _entries_within_the_band(played)
    _fills_within_the_band(played, exits)


@pytest.mark.recorded
def test_two_markets_do_not_mix(processes: Processes, recorded_btc: Path, recorded_eth: Path):
    played = play(processes, [recorded_btc, recorded_eth], BTC_AND_ETH)
    exits = _compare(played)
    _fills_at_the_trigger(exits)
    _shows_all_kinds(exits)
    assert {plan.symbol for _, _, plan in exits} == set(BTC_AND_ETH.values())
