"""One call to the file layer fails, or all of them for a while; the whole daemon lives through it.

A short day is played in virtual time on a simulated disk: positions are opened, their stops moved,
one is closed by hand, one stop is crossed. The same day is played again and again, each time with
the next call failing. Afterwards all must be as if nothing had happened but a delay: what was
answered is journaled, the chain whole, venue and journal agree, the crossed stop has sold, entries
are open again. Then the power is cut, and the next start must find all that had been durable.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from actors import names
from actors.streams import registry
from daemon.assembly import open_store
from domain.commands import ModificationType
from domain.modes import Mode
from domain.position import PositionStatus
from exchanges.paper.ledger import LedgerError
from runtime.disk import RealDisk
from runtime.ports import Disk
from runtime.virtual import run_virtual
from storage.admin import verify_open
from storage.connection import NAME
from storage.errors import StorageError
from storage.store import Store
from tests.actors import box as box_module
from tests.actors.box import Box, D, stop_at
from tests.actors.test_persistence_actor import check_settled
from tests.disk.simulated import Call, Fault, SimulatedDisk
from tests.disk.specimens import lay

DATA = "var"  # where the daemon keeps its files, below its directory
LONG_S = 4.0  # virtual; how long a lasting fault lasts
_PATIENCE_S = 40.0  # virtual; until all is well again


@dataclass(frozen=True)
class Plan:
    """Which call fails, how, and for how long.

    It is the first one from `number` on that can fail so.
    """

    number: int  # of calls on the victim's files
    fault: Fault
    lasts_s: float = 0.0  # 0: only this call
    victim: str = NAME  # the journal's database or the paper venue's ledger


@dataclass
class Outcomes:
    """What became of the days."""

    days: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    calls: int = 0  # that failed

    def absorb(self, other: "Outcomes") -> None:
        self.days += other.days
        self.faults += other.faults
        self.calls += other.calls


_KIND = {Fault.FULL: "write", Fault.SHORT: "write", Fault.LOST: "sync"}  # the other may hit any


class Trouble:
    """Makes the calls of a plan fail."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self.disk = SimulatedDisk(directory, counts_reads=True)
        self.disk.fault = self._fault
        self.loop: asyncio.AbstractEventLoop | None = None
        self.seen = 0  # calls on the victim's files
        self.hits = 0
        self.is_over = False  # looking at what came of it is not disturbed
        self._ends_s: float | None = None

    def _fault(self, call: Call) -> Fault | None:
        plan = self.plan
        if not call.path.name.startswith(plan.victim):
            return None
        self.seen += 1
        kind = _KIND.get(plan.fault, call.kind)
        if self.is_over or self.seen < plan.number or call.kind != kind:
            return None
        if plan.lasts_s and self.loop is not None:
            if self._ends_s is None:
                self._ends_s = self.loop.time() + plan.lasts_s
            if self.loop.time() >= self._ends_s:
                return None
        elif self.hits:
            return None
        self.hits += 1
        return plan.fault


@contextmanager
def _place(scratch: Path, template: Path) -> Iterator[Path]:
    with TemporaryDirectory(dir=scratch) as parent:
        (Path(parent) / DATA).mkdir(mode=0o700)
        shutil.copy(template, Path(parent) / DATA / NAME)
        yield Path(parent)


@contextmanager
def _closed_at_the_end() -> Iterator[None]:
    """Close stores that a start left open when it failed later on; a process would have ended."""
    stores: list[Store] = []

    def opened(directory: Path, disk: Disk) -> Store:
        stores.append(open_store(directory, disk))
        return stores[-1]

    before, box_module.open_store = box_module.open_store, opened
    try:
        yield
    finally:
        box_module.open_store = before
        for store in stores:
            store.close()


async def _day(box: Box, trouble: Trouble) -> list[str]:
    """Play it; return what is wrong at its end."""
    await box.start("60000")
    asked = [
        asyncio.ensure_future(_opened(box, number, stop))
        for number, stop in ((1, "59000"), (2, "58000"), (3, "57000"))
    ]
    await asyncio.sleep(1)
    move = asyncio.ensure_future(_done(box.modify(ModificationType.MOVE_SL, 2, price=D(58_100))))
    await asyncio.sleep(0.3)
    close = asyncio.ensure_future(_done(box.close(3)))
    await asyncio.sleep(0.3)
    box.say("58990")
    for _ in range(int(_PATIENCE_S)):
        await asyncio.sleep(1)
        box.say("58990")
    opened = await asyncio.gather(*asked)
    trouble.is_over = True
    wrong = [f"position {number} was never answered" for number, is_in in opened if is_in is None]
    wrong += _wrong(box, {number for number, is_in in opened if is_in})
    if await move and box.position(2).protection.stop.price != D(58_100):
        wrong.append("a stop that was said to be moved is not")
    if await close and box.position(3).status is not PositionStatus.CLOSED:
        wrong.append("a position that was said to close is open")
    held = {each.symbol: each.quantity for each in await box.paper.positions()}
    ours = sum(box.position(n).remaining for n in (1, 2, 3) if _is_known(box, n))
    if sum(held.values()) != ours:
        wrong.append(f"the venue holds {sum(held.values())}, the journal {ours}")
    return wrong


async def _opened(box: Box, number: int, stop: str) -> tuple[int, bool | None]:
    try:
        await box.open(number=number, plan=stop_at(stop))
    except TimeoutError:
        return number, None
    except AssertionError:  # refused
        return number, False
    return number, True


async def _done(asked: object) -> bool:
    try:
        return (await asked).refusal is None  # type: ignore[misc]
    except (TimeoutError, AssertionError):
        return False


def _is_known(box: Box, number: int) -> bool:
    return box.position(number) is not None


def _wrong(box: Box, opened: set[int]) -> list[str]:
    wrong = [f"position {n} was acknowledged and is gone" for n in opened if not _is_known(box, n)]
    mode = box.actor(names.PORTFOLIO).mode
    if mode is not Mode.NORMAL:
        wrong.append(f"the mode is {mode.value}: {box.portfolio.causes}")
    if 1 in opened and box.position(1).status is not PositionStatus.CLOSED:
        wrong.append(f"a crossed stop did not sell: {box.position(1).status}")
    try:
        check_settled(box)
    except AssertionError as error:
        wrong.append(f"memory and journal differ: {error}")
    if not verify_open(box.store.database, registry(), RealDisk()).is_sound:
        wrong.append("the journal is not sound")
    letters = box.letters("poison")
    if letters:
        wrong.append(f"a handler raised: {letters}")
    return wrong


def calls_of(victim: str, scratch: Path, template: Path) -> int:
    """Return how many calls a day makes on a victim's files when none fails."""
    return played(Plan(10**9, Fault.EIO, victim=victim), scratch, template)[1]


def played(plan: Plan, scratch: Path, template: Path, seed: int = 1) -> tuple[Outcomes, int]:
    """Play a day with one plan; return what became of it, and how many calls there were."""
    found = Outcomes()
    with _place(scratch, template) as directory:
        trouble = Trouble(plan, directory)
        durable: dict[str, object] = {}

        async def life() -> list[str]:
            trouble.loop = asyncio.get_running_loop()
            box = Box(directory)
            box.store.disk = trouble.disk
            try:
                wrong = await _day(box, trouble)
                durable.update(registry().without_retired(box.parts.world.states.durable))
                noticed = {"JOURNAL_DOWN"} & set(box.ears.codes())
                found.days["protected, then well" if noticed else "well"] += 1
                cut.update(trouble.disk.after_power_cut(Random(seed)))
            finally:
                box.kill()
            return wrong

        cut: dict[str, bytes] = {}
        with trouble.disk.mounted(), _closed_at_the_end():
            try:
                wrong = run_virtual(life)
            except (StorageError, LedgerError):
                found.days["start refused"] += 1
                wrong = []
            except Exception as error:  # noqa: BLE001 - which one is what this is to find out
                wrong = [f"it raised {error!r}"]
        found.calls += trouble.hits
        if cut:
            wrong += _after(cut, durable, directory)
        else:
            open_store(directory / DATA, RealDisk()).close()  # nothing stays broken
        if wrong:
            found.days["broken"] += 1
            found.faults += [f"{plan}: {each}" for each in wrong]
    return found, trouble.seen


def _after(cut: dict[str, bytes], durable: dict[str, object], directory: Path) -> list[str]:
    """Start from what a power cut leaves; return what is missing."""
    data = {name.removeprefix(f"{DATA}/"): content for name, content in cut.items()}
    lay(directory / DATA, {k: v for k, v in data.items() if k.startswith((NAME, "snapshots/"))})
    try:
        with Store(directory / DATA, registry(), RealDisk()) as store:
            recovered = store.recovered.streams
    except StorageError as error:
        return [f"after a power cut the start was refused: {error}"]
    gone = [name for name, held in durable.items() if recovered.get(name, (0,))[0] < held[0]]  # type: ignore[index]
    return [f"after a power cut {gone} lack what was durable"] if gone else []


def plans(calls: int, victim: str, step: int = 1) -> Iterator[Plan]:
    """Yield every call with every fault, once and for a while."""
    for number in range(1, calls + 1, step):
        for fault in Fault:
            yield Plan(number, fault, victim=victim)
            if fault is not Fault.SHORT:
                yield Plan(number, fault, LONG_S, victim)


def template(scratch: Path) -> Path:
    """Make a migrated database to begin each day with."""
    open_store(scratch / "template", RealDisk()).close()
    return scratch / "template" / NAME
