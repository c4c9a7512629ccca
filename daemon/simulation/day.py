"""One simulated day: lives of the daemon one after the other, what happens to them, the verdict."""

import asyncio
import gc
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path

import msgspec
import orjson

from daemon.assembly import Assembly
from daemon.config import load
from daemon.config_file import ConfigFile
from daemon.config_models import Config
from daemon.simulation.acts import Acts
from daemon.simulation.commands import Commands
from daemon.simulation.dreamer import Dreamer
from daemon.simulation.invariants import Judge
from daemon.simulation.life import Life, Setup, lived
from daemon.simulation.market import SimMarket
from daemon.simulation.outside import Outside
from daemon.simulation.plan import COMMANDS, TRADERS, Plan, Span, Step
from daemon.simulation.silence import Silence
from daemon.simulation.venue import BASES, SimVenue
from daemon.simulation.weather import SimWeather
from domain.ids import MANUAL, TraderName
from domain.order import Order, OrderStatus
from exchanges.sandbox.judge import ledger
from runtime.chance import SeededChance
from runtime.interleaved import InterleavedLoop

MONEY = Decimal(20_000)  # USDT to begin with
LOOK_EVERY_S = 1.0
_JUST_S = 2.0  # what has filled since then may not be told yet
_S = OrderStatus
_MOVING = {_S.INTENT, _S.SENDING, _S.TRIGGERED, _S.CANCEL_PENDING, _S.AMEND_PENDING}
_SETTLES_S = 20.0  # before the end the day is judged, in a moment without such fills
_YOUNG = 20_000  # objects, before they are looked through for cycles
_FAST_FILES = Path("/dev/shm")  # noqa: S108 - memory: nothing there is to outlive the day
_CONFIG = """
data_dir: {directory}
account: {{name: main, quote: USDT, venue: simulated}}
market: {{source: okx, kind: {kind}, symbols: [{symbols}]}}
venues:
  simulated:
    exchange: okx
    environment: demo
    unknown_positions: {unknown}
    outside_changes: {changes}
    urls: {{rest: "http://127.0.0.1:1", ws: "ws://127.0.0.1:1"}}
limits:
  max_positions: 40
  daily_drawdown_ratio: 30%
  total_drawdown_ratio: 60%
journal: {{snapshot_every_events: 400}}
protection: {{automatic_modification_every_s: 20, target_at_venue: {target}}}
metrics: {{enabled: false}}
traders:
"""
_TRADER = """  - name: {name}
    strategy: ema-cross
    symbols: [{symbols}]
    timeframe: {timeframe}
    size: {{by: notional, value: {size}}}
    limits: {{max_positions: 3, max_position_ratio: 1}}
"""


class Result(msgspec.Struct, frozen=True):
    """What a day came to."""

    seed: int
    violations: tuple[str, ...]
    digest: str
    days: float
    awake_s: float  # virtual, with a living daemon
    faults: int
    steps: int  # of the world outside
    checks: int
    positions: int  # that held something
    least: int  # of them, of the third busiest trader; people are one
    orders: int
    lives: int
    answers: int
    cpu_s: float
    story: tuple[str, ...] = ()


class Day:
    """Runs a plan."""

    def __init__(
        self, plan: Plan, directory: Path, patch: Callable[[Assembly], None] | None = None
    ) -> None:
        self.plan = plan
        self.outside = Outside(plan.seed)
        self.venue = SimVenue(self.outside, kind=plan.kind, quote=MONEY)
        self.market = SimMarket(self.outside, self.venue, plan.volatility)
        self.weather = SimWeather(self.outside, self.venue)
        self.acts = Acts(self.outside, self.venue, self.market, self.weather)
        self.commands = Commands(plan)
        self.judge = Judge(self.venue, self.commands)
        self.life: Life | None = None
        self.awake_s = 0.0
        self.journal_hash = ""
        self.setup = Setup(
            outside=self.outside,
            venue=self.venue,
            weather=self.weather,
            config=_config(plan, directory),
            strategies={
                TraderName(name): Dreamer(seed=f"{plan.seed}/{name}", shorts=plan.kind == "swap")
                for name in TRADERS[: plan.traders]
            },
            patch=patch,
        )

    def run(self) -> None:
        """Live the day."""
        for step in self.plan.steps:
            self.outside.at(step.at, self._step, step)
        for number, span in enumerate(self.plan.lives):
            self.outside.run_until(span.begin)
            is_last = number == len(self.plan.lives) - 1
            chance = SeededChance(f"{self.plan.seed}/{number}/loop")
            loop = InterleavedLoop(chance, start_s=self.outside.now_s)
            lived(loop, partial(self._live, span, number, is_last=is_last))

    async def _live(self, span: Span, number: int, *, is_last: bool) -> None:
        began_s = self.outside.now_s
        life = self.life = Life(self.setup, number)
        life.line.on_change = lambda endpoint, fields: self.judge.on_change(life, endpoint, fields)
        self.outside.tell(f"the daemon starts (life {number})")
        try:
            self.judge.recovered(life.store)
            self.venue.asleep_since_s = None
            self.market.wake()
            life.start()
            await self._until(life, span.end - (self.plan.calm_s if is_last else 0.0))
            if is_last and not life.is_dead:
                self.outside.tell("the calm begins")
                self.acts.clear()
                self.market.calm()
                for trader in range(self.plan.traders):  # or who was paused would stay so
                    again = Step(self.outside.now_s, "resume", (trader + 0.5) / len(TRADERS))
                    self.commands.act(life, again)
                await self._until(life, span.end - _SETTLES_S)
                while self.outside.now_s < span.end and self._is_moving(life):
                    await self._until(life, min(span.end, self.outside.now_s + _JUST_S))
                self.judge.settled(life)
            gc.collect(1)  # an error that nobody took is told when its task goes
            self.judge.errors(life)
            self.journal_hash = life.store.journal.journal_hash
            if span.ends == "stop" and not life.parts.system.failed.done():
                self.outside.tell("the daemon stops")
                await life.stop()
        finally:
            if not life.is_dead:
                self.outside.tell("the daemon is killed")
            self.life = None
            life.kill()
            self.market.sleep()
            self.venue.missed, self.venue.asleep_since_s = {}, self.outside.now_s
            self.awake_s += self.outside.now_s - began_s

    def _is_moving(self, life: Life) -> bool:
        """Whether something has just been traded, or is being asked for."""
        orders: list[Order] = life.world.states.latest_of("order")
        is_asked = any(order.status in _MOVING for order in orders)
        return is_asked or self.venue.filled_within(_JUST_S)

    async def _until(self, life: Life, until_s: float) -> None:
        """Look now and then."""
        while self.outside.now_s < until_s and not life.parts.system.failed.done():
            await asyncio.sleep(min(LOOK_EVERY_S, until_s - self.outside.now_s))
            self.judge.look(life)

    def _step(self, step: Step) -> None:
        if step.do not in COMMANDS:
            self.acts.act(self.life, step)
        elif self.life is not None:
            self.commands.act(self.life, step)

    def digest(self) -> str:
        """Return what identifies everything that happened."""
        told = hashlib.sha256()
        for at_s, text in self.outside.story:
            told.update(f"{at_s:.6f} {text}\n".encode())
        told.update(self.journal_hash.encode())
        told.update(orjson.dumps(ledger(self.venue.account), option=orjson.OPT_SORT_KEYS))
        return told.hexdigest()


def run(
    plan: Plan,
    *,
    patch: Callable[[Assembly], None] | None = None,
    with_story: bool = False,
) -> Result:
    """Run a plan from its first to its last second; deterministic."""
    base = _FAST_FILES if os.access(_FAST_FILES, os.W_OK) else None
    began_s = time.process_time()
    with ExitStack() as stack:
        stack.enter_context(_few_collections())
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="sim-", dir=base))
        silence = stack.enter_context(Silence())
        day = Day(plan, Path(directory), patch)
        silence.outside = day.outside if with_story else None
        day.run()
        for text in silence.bugs:
            day.judge.note("crash", text)
    folded = day.judge.folded.items()
    positions = [state for name, (_, state) in folded if name.startswith("position/")]
    owners = [one.trader for one in positions if one.fills]
    return Result(
        seed=plan.seed,
        violations=tuple(str(one) for one in day.judge.violations),
        digest=day.digest(),
        days=day.outside.now_s / 86_400,
        awake_s=round(day.awake_s, 1),
        faults=day.acts.happened,
        steps=day.outside.steps,
        checks=day.judge.checks,
        positions=len(owners),
        least=sorted((owners.count(name) for name in (*TRADERS, MANUAL)), reverse=True)[2],
        orders=len(day.venue.account.orders) + len(day.venue.account.algos),
        lives=len(plan.lives),
        answers=day.commands.answers,
        cpu_s=round(time.process_time() - began_s, 2),
        story=_story(day.outside) if with_story else (),
    )


@contextmanager
def _few_collections() -> Iterator[None]:
    """Let more garbage gather before it is looked for: what a day makes holds few cycles."""
    before = gc.get_threshold()
    gc.set_threshold(_YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _config(plan: Plan, directory: Path) -> Config:
    symbols = [f"{base}/USDT" for base in BASES]
    text = _CONFIG.format(
        directory=directory / "var",
        kind=plan.kind,
        symbols=", ".join(symbols),
        unknown="adopt" if plan.adopts else "quarantine",
        changes=plan.outside_changes,
        target=str(plan.target_at_venue).lower(),
    )
    if not plan.traders:
        text = text.replace("traders:\n", "")
    for number, name in enumerate(TRADERS[: plan.traders]):
        text += _TRADER.format(
            name=name,
            symbols=", ".join((symbols[number], symbols[(number + 1) % len(symbols)])),
            timeframe=("15s", "20s", "20s")[number],
            size=(300, 700, 1200)[number],
        )
    file = directory / "config.yaml"
    file.write_text(text)
    return load(ConfigFile(file)).config


def _story(outside: Outside) -> tuple[str, ...]:
    return tuple(f"{_clock(at_s)}  {text}" for at_s, text in outside.story)


def _clock(at_s: float) -> str:
    minutes, seconds = divmod(at_s, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:06.3f}"
