"""A small data directory as a daemon leaves it, and the same in the states that damage may meet.

The whole daemon makes it, in virtual time on real files: positions opened, moved, closed; a
snapshot; more of the same; then the power is gone. So every kind of stream, table and file is in
it, and the log still holds the last commits.
"""

import shutil
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from msgspec.structs import replace

from actors import names
from actors.messages import TakeSnapshot
from actors.streams import registry
from daemon.assembly import LEDGER, open_store
from domain import trader_state
from domain.commands import ModificationType
from domain.trader_state import TraderPaused
from exchanges.paper.ledger import PaperLedger
from exchanges.paper.records import Cash, Changes
from runtime.disk import RealDisk
from runtime.virtual import run_virtual
from runtime.wal import wal_path
from storage.admin import archive
from storage.archiving import Wish
from storage.connection import NAME
from storage.journal import Entry
from storage.snapshot import snapshot_paths
from tests.actors.box import START, Box, D, stop_at

PAGE = 1024  # bytes; smaller than usual, so that there are fewer bytes that nobody uses

Files = dict[str, bytes]  # path below the directory: content


@dataclass(frozen=True)
class Specimen:
    """Files, and the one among them that is to be damaged."""

    name: str
    files: Files
    damaged: str

    @property
    def content(self) -> bytes:
        return self.files[self.damaged]


def files_of(directory: Path) -> Files:
    """Everything a data directory holds, but for lock files, which say nothing."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.suffix not in {".lock", ".sock"} and path.name != f"{LEDGER}-shm"
    }


def lay(directory: Path, files: Files) -> None:
    """Make a directory hold exactly these files."""
    with suppress(FileNotFoundError):
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    for name, content in files.items():
        path = directory / name
        if path.parent != directory:
            path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)


async def _life(directory: Path) -> Files:
    box = await Box(directory).start("60000")
    await box.open(number=1, plan=stop_at("59000", ("61000", "0.5"), ("62000", "0.5")))
    await box.open(number=2, plan=stop_at("59500", trail_distance=D(500)))
    box.say("60100")
    await box.modify(ModificationType.MOVE_SL, 1, price=D("59400"))
    await box.close(2)
    await box.soon()
    await box.ask(names.PERSISTENCE, TakeSnapshot)
    await box.open(number=3, limit="58000", plan=stop_at("57000"))
    box.say("61000")
    await box.soon(2)
    data = box.parts.ledger_path.parent
    box.disk.hold()
    found = files_of(data)
    box.kill()
    return found


def crashed(scratch: Path) -> Files:
    """What a daemon leaves behind that was killed."""
    scratch.mkdir(mode=0o700)
    return run_virtual(lambda: _life(scratch))


def _closed(scratch: Path, files: Files) -> Files:
    """The same after an orderly start and end: everything is in the database, the log is gone."""
    lay(scratch, files)
    open_store(scratch, RealDisk()).close()
    _with_small_pages(scratch / NAME)
    return files_of(scratch)


def _with_small_pages(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute(f"PRAGMA page_size = {PAGE}")
    connection.execute("VACUUM")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


def _ledger_closed(scratch: Path, files: Files) -> Files:
    """The paper venue's file after an orderly end."""
    lay(scratch, {name: data for name, data in files.items() if name.startswith(LEDGER)})
    _with_small_pages(scratch / LEDGER)
    return {LEDGER: (scratch / LEDGER).read_bytes()}


def _ledger_logged(scratch: Path, files: Files) -> Files:
    """The same, opened once more and killed after a few more commits."""
    lay(scratch, files)
    ledger = PaperLedger(scratch / LEDGER, Cash(D(1)), "USDT", 1)
    cash = ledger.open().cash
    for number in range(1, 4):
        ledger.write(Changes(cash=replace(cash, fees=cash.fees + number)))
    found = files_of(scratch)
    ledger.close()
    log = f"{LEDGER}-wal"
    return found | {log: found[log].rstrip(b"\0") + bytes(64)}  # of the room that it takes


def _archived(scratch: Path, files: Files) -> Files:
    """The same with its first half in an archive, and no snapshot left that could replace it."""
    lay(scratch, files)
    with open_store(scratch, RealDisk()) as store:
        store.write_snapshot(store.recovered.streams)
    archive(scratch, registry(), RealDisk(), Wish())
    for path in snapshot_paths(scratch):
        path.unlink()
    return files_of(scratch)


def _logged(scratch: Path, files: Files) -> Files:
    """The same, started once more and killed after a few more commits: they stand in the log."""
    lay(scratch, files)
    with open_store(scratch, RealDisk()) as store:
        state = None
        for number in range(1, 4):
            event = TraderPaused(by="me", at=START + timedelta(hours=number))
            state = trader_state.evolve(state, event)
            store.journal.append([Entry("trader/manual", number, event, event.at, state)])
        return files_of(scratch)


def specimens(scratch: Path) -> list[Specimen]:
    """All of them; `scratch` is made and may be removed afterwards."""
    scratch.mkdir(mode=0o700, exist_ok=True)
    files = crashed(scratch / "life")
    journal = {name: data for name, data in files.items() if not name.startswith(LEDGER)}
    closed = _closed(scratch / "closed", journal)
    bare = {NAME: closed[NAME]}
    logged = _logged(scratch / "logged", bare)
    (snapshot,) = (name for name in closed if name.startswith("snapshots/"))
    archived = _archived(scratch / "archived", closed)
    (old,) = (name for name in archived if name.startswith("archive/"))
    ledger = _ledger_closed(scratch / "paper", files)
    return [
        Specimen("database", bare, NAME),
        Specimen("log", logged, wal_path(Path(NAME)).name),
        Specimen("snapshot", closed, snapshot),
        Specimen("archive", archived, old),
        Specimen("database with archive", archived, NAME),
        Specimen("paper ledger", ledger, LEDGER),
        Specimen("paper log", _ledger_logged(scratch / "paper log", ledger), f"{LEDGER}-wal"),
    ]
