"""Every single byte of a file changed, one at a time: is it noticed, or does it change nothing?

What is compared is all that a start takes from the files: the states and the end of the journal;
for the paper venue cash, holdings, orders and fills. The read tables, which follow from the journal
and which people read, are compared too: there `holdfast journal verify` has to notice what a start
does not look at.
"""

import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from actors.streams import registry
from daemon.assembly import LEDGER, open_store
from exchanges.paper import ledger as ledger_module
from exchanges.paper.ledger import LedgerError, PaperLedger
from exchanges.paper.records import Cash
from runtime.disk import RealDisk
from storage import migrate
from storage.admin import verify
from storage.connection import NAME, Database
from storage.errors import SqliteError, StorageError
from storage.projections import PROJECTIONS
from storage.read_tables import ReadTables
from storage.schema import metadata
from tests.disk.specimens import Specimen, lay

MASKS = (0x01, 0x80, 0xFF)  # the lowest bit, the highest, all of them
HANG_S = 10.0
_NO_STATE = {"alembic_version", "journal", "quarantine", "meta", "archives"}  # looked at by name
_DISK = RealDisk()
REGISTRY = registry()
TABLES = ReadTables(PROJECTIONS)

# What became of one changed byte.
NOTICED = "noticed"  # the start refused, or raised an alarm
SAME = "same"  # nothing that is recovered differs
VERIFY = "noticed by verify"  # only rows that people read differ, and `journal verify` says so
SILENT = "silent"  # something differs and nothing says so
CRASH = "crash"  # an error of no known kind
HANG = "hang"

Case = tuple[int, int]  # place in the file, mask
Look = Callable[[Path], tuple[Any, Any, Any]]  # what counts, what is read, the alarms


@dataclass
class Found:
    """What so many changed bytes came to."""

    outcomes: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)  # of the bad outcomes

    def add(self, outcome: str, case: Case, text: str) -> None:
        self.outcomes[outcome] += 1
        if outcome in {SILENT, CRASH, HANG} and len(self.examples) < 40:
            self.examples.append(f"{outcome} at byte {case[0]} ^ {case[1]:#x}: {text}")

    def absorb(self, other: "Found") -> None:
        self.outcomes += other.outcomes
        self.examples += other.examples


def look_at_journal(directory: Path) -> tuple[Any, Any, Any]:
    """Return what a start recovers, what people read, and the alarms."""
    with open_store(directory, _DISK) as store:
        found = store.recovered
        connection = store.database.connection
        connection.text_factory = bytes
        try:
            rows = {
                name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}")))
                for name in metadata.tables
                if name not in _NO_STATE
            }
        except SqliteError as error:
            rows = {"": [repr(error)]}
    return (found.streams, found.last_seq, found.last_hash), rows, found.problems


def look_at_ledger(directory: Path) -> tuple[Any, Any, Any]:
    """Return what the paper venue starts from, and what it can be asked."""
    ledger_module._ROOM = 1024  # else most of the time goes into making it
    ledger = PaperLedger(directory / LEDGER, Cash(Decimal(1)), "USDT", 1_000)
    try:
        records = ledger.open()
        fills = ledger.fills(None)
        orders = [ledger.order(each) for each in records.recent_ids]
    finally:
        ledger.close()
    return (records, fills, orders), None, ledger.problems


@contextmanager
def _deadline() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _quick_migration() -> Iterator[None]:
    """Make the tables of a new file from a copy: a malformed one is written anew each time."""
    with TemporaryDirectory() as parent:
        path = Path(parent) / NAME
        Database(path).close()
        with closing(sqlite3.connect(path)) as connection:
            statements = [line for line in connection.iterdump() if not line.startswith(_FRAME)]

    def upgrade(connection: sqlite3.Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    before, migrate._upgrade = migrate._upgrade, upgrade
    try:
        yield
    finally:
        migrate._upgrade = before


_FRAME = ("BEGIN", "COMMIT")


class Judge:
    """Compares what is made of changed files with what is made of the good ones."""

    def __init__(self, specimen: Specimen, directory: Path) -> None:
        self.specimen = specimen
        self.directory = directory
        self.look: Look = look_at_journal if NAME in specimen.files else look_at_ledger
        lay(directory, specimen.files)
        self.core, self.rows, self.alarms = self.look(directory)

    def outcome(self, case: Case) -> tuple[str, str]:
        """Change one byte and look; return what it came to, and why."""
        self._lay(case)
        try:
            with _deadline():
                core, rows, alarms = self.look(self.directory)
        except (StorageError, LedgerError) as error:
            return NOTICED, str(error)
        except TimeoutError:
            return HANG, ""
        except Exception as error:  # noqa: BLE001 - which one is what this is to find out
            return CRASH, repr(error)
        if alarms != self.alarms:
            return NOTICED, ""
        if core != self.core:
            return SILENT, "what is recovered differs"
        if rows == self.rows:
            return SAME, ""
        self._lay(case)
        try:
            report = verify(self.directory, REGISTRY, _DISK, tables=TABLES)
        except StorageError as error:
            return VERIFY, str(error)
        if report.is_sound:
            return SILENT, f"rows differ in {[n for n in rows if rows[n] != self.rows[n]]}"
        return VERIFY, ""

    def _lay(self, case: Case) -> None:
        place, mask = case
        spoiled = bytearray(self.specimen.content)
        spoiled[place] ^= mask
        lay(self.directory, self.specimen.files | {self.specimen.damaged: bytes(spoiled)})


def judged(specimen: Specimen, cases: Iterable[Case], scratch: Path) -> Found:
    """Try some cases in this process."""
    found = Found()
    with _quick_migration():
        judge = Judge(specimen, scratch)
        for case in cases:
            outcome, text = judge.outcome(case)
            found.add(outcome, case, text)
    return found


def every_case(specimen: Specimen, step: int = 1, masks: Iterable[int] = MASKS) -> list[Case]:
    """Return every byte, or every so-manieth, with each mask."""
    return [(place, mask) for mask in masks for place in range(0, len(specimen.content), step)]


def _part(specimen: Specimen, cases: list[Case], parent: Path) -> Found:
    os.nice(10)
    with TemporaryDirectory(dir=parent) as own:
        return judged(specimen, cases, Path(own) / "data")


def judged_in_parallel(
    specimen: Specimen, cases: list[Case], parent: Path, processes: int = 2
) -> Found:
    """Try the cases in so many processes."""
    found = Found()
    with get_context("fork").Pool(processes) as pool:
        parts = [(specimen, cases[start::processes], parent) for start in range(processes)]
        for part in pool.starmap(_part, parts):
            found.absorb(part)
    return found
