"""The paper venue's own file: what it has acknowledged stays true over a crash.

One SQLite database (WAL, `synchronous=FULL`), one connection, owned by the thread that the worker
runs. A batch of changes is one transaction: all of it is visible afterwards, or nothing. Money is
stored as decimal text. A lock file beside the database keeps a second process out; readers may
look at any time.

The log's first megabytes are taken from the disk when it is opened. A real venue does not stop for
a full disk of ours, so neither does this one: what exits write finds its place.

Damage is noticed: opening checks the file's structure, each row carries a seal, the account counts
rows, and what SQLite dropped from a damaged log is told in `problems`.

All methods block; the venue calls them through its worker.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from domain.ids import ClientOrderId
from domain.order import Fill
from exchanges.paper.records import Cash, Changes, PaperOrder, Records
from exchanges.paper.rows import (
    APPLICATION_ID,
    OPEN_ORDERS,
    SAVE_ACCOUNT,
    SAVE_FILL,
    SAVE_ORDER,
    SAVE_POSITION,
    SCHEMA,
    SCHEMA_VERSION,
    DamagedRowError,
    account_row,
    add_seals,
    cash_from,
    fill_from,
    fill_row,
    holding_from,
    holding_row,
    order_from,
    order_row,
    stamp,
)
from runtime.wal import WalContent, make_durable, read_wal

_ROOM = 8 * 1024 * 1024  # bytes; SQLite begins anew at 4 MB if it can: hundreds of exits if not


class LedgerError(Exception):
    """The ledger cannot be used: foreign, damaged, of another asset. The text says what to do."""


class LedgerLockedError(LedgerError):
    """Another process has the ledger open."""


class LedgerVersionError(LedgerError):
    """The ledger was written by a newer program."""


class PaperLedger:
    """The file. Nothing happens before `open`."""

    def __init__(self, path: Path, cash: Cash, asset: str, recent_ids: int) -> None:
        """Remember where it is and, for a new one, the starting balance.

        Args:
            path: the database; its directory is created when missing.
            cash: what a new account holds.
            asset: the quote asset; an existing ledger must be of the same.
            recent_ids: how many of the latest order ids to load.
        """
        self._path = path
        self._cash = cash
        self._asset = asset
        self._recent_ids = recent_ids
        self._lock: int | None = None
        self._connection: sqlite3.Connection | None = None
        self.problems: tuple[str, ...] = ()  # what opening found and could not mend

    def open(self) -> Records:
        """Lock, connect, create or check the schema, and load. Raises `LedgerError`."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            log = read_wal(self._path)
        except OSError as error:
            raise LedgerError(f"the paper ledger {self._path} cannot be used: {error}") from error
        try:
            records = self._load_from(self._connect(create=True))
            self.problems = self._dropped(log)
            self._take_room()
        except BaseException:
            self.close()
            raise
        return records

    def reopen(self) -> Records:
        """Connect anew and load what is committed. Raises `LedgerError`.

        After a failed commit nothing that the old connection held in memory can be trusted. It is
        closed only when the new one stands: a full disk has no room to set up the shared memory
        again. A file that has vanished is not created anew.
        """
        try:
            make_durable(self._path)
        except OSError as error:
            raise LedgerError(f"the paper ledger {self._path} cannot be used: {error}") from error
        return self._load_from(self._connect(create=False))

    def write(self, changes: Changes) -> None:
        """Commit all changes or none. Raises `sqlite3.Error`; then `reopen` tells which."""
        connection = self._connected()
        with _transaction(connection):
            if changes.cash is not None:
                connection.execute(SAVE_ACCOUNT, account_row(self._asset, changes.cash))
            connection.executemany(SAVE_POSITION, map(holding_row, changes.holdings.values()))
            connection.executemany(SAVE_ORDER, map(order_row, changes.orders.values()))
            connection.executemany(SAVE_FILL, map(fill_row, changes.executions))

    def _dropped(self, log: WalContent) -> tuple[str, ...]:
        """Return what SQLite did not accept of the log as it was found."""
        with self._naming_the_file():
            rows = self._connected().execute("PRAGMA wal_checkpoint(PASSIVE)")
            _, frames, _ = rows.fetchone()
        dropped = log.commits_after(frames)
        if not dropped and not log.is_damaged:
            return ()
        what = f"{dropped} transaction(s)" if dropped else "all"
        why = "power failed while it was written, or it is damaged"
        return (f"SQLite dropped {what} of the log of the paper ledger {self._path}: {why}",)

    def order(self, order_id: ClientOrderId) -> PaperOrder | None:
        """Return an order, open or ended."""
        query = "SELECT * FROM orders WHERE client_order_id = ?"
        with self._naming_the_file():
            return next(map(order_from, self._connected().execute(query, (order_id,))), None)

    def fills(self, since: datetime | None) -> tuple[Fill, ...]:
        """Return executions at or after `since`, oldest first."""
        query = "SELECT * FROM fills WHERE at >= ? ORDER BY number"
        with self._naming_the_file():
            rows = self._connected().execute(query, (stamp(since) if since else "",))
            return tuple(map(fill_from, rows))

    def connection(self) -> sqlite3.Connection:
        """Return the connection, for its own thread. Raises `sqlite3.ProgrammingError` without."""
        return self._connected()

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._disconnect()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        # Not on the database itself: closing any descriptor of it would drop SQLite's own locks.
        path = self._path.with_name(self._path.name + ".lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            message = f"the paper ledger {self._path} is open in another process; stop that first"
            raise LedgerLockedError(message) from None
        self._lock = descriptor

    def _take_room(self) -> None:
        """Give the log its blocks before the disk is full.

        SQLite starts it anew after a checkpoint and leaves it its length.
        """
        log = self._path.with_name(self._path.name + "-wal")
        with suppress(OSError):  # too little room already: then a commit says so
            descriptor = os.open(log, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.posix_fallocate(descriptor, 0, _ROOM)
            finally:
                os.close(descriptor)

    def _connect(self, *, create: bool) -> sqlite3.Connection:
        address = f"{self._path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
        with self._naming_the_file():
            connection = sqlite3.connect(address, uri=True, isolation_level=None)
        try:
            with self._naming_the_file():
                self._prepare(connection, create=create)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection, *, create: bool) -> None:
        is_new = self._is_new(connection)  # before anything is changed in a file that is not ours
        if is_new and not create:
            raise LedgerError(f"the paper ledger {self._path} has been emptied")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise LedgerError(f"the paper ledger {self._path} needs WAL, its disk offers {mode}")
        connection.execute("PRAGMA synchronous = FULL")
        if is_new:
            self._create(connection)
            return
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < SCHEMA_VERSION:
            with _transaction(connection):
                add_seals(connection)
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise LedgerError(f"the paper ledger {self._path} is damaged: {found}")

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application == 0 and tables == 0:
            return True
        if application != APPLICATION_ID:
            raise LedgerError(f"{self._path} is a database, but no paper ledger; name another file")
        if version > SCHEMA_VERSION:
            message = f"the paper ledger {self._path} has schema {version}, this program knows"
            raise LedgerVersionError(f"{message} {SCHEMA_VERSION}; use the newer program")
        return False

    def _load_from(self, connection: sqlite3.Connection) -> Records:
        """Make `connection` ours in place of the one before, and load."""
        self._disconnect()
        self._connection = connection
        with self._naming_the_file():
            return self._load(connection)

    @contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, ArithmeticError) as error:  # what is in it
            raise LedgerError(f"the paper ledger {self._path} cannot be used: {error}") from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("the paper ledger is not open")
        return self._connection

    def _create(self, connection: sqlite3.Connection) -> None:
        with _transaction(connection):
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(SAVE_ACCOUNT, account_row(self._asset, self._cash))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _load(self, connection: sqlite3.Connection) -> Records:
        (row,) = connection.execute("SELECT * FROM account")
        asset = row[1]
        if asset != self._asset:
            message = f"the paper ledger {self._path} keeps its balance in {asset}"
            raise LedgerError(f"{message}, not {self._asset}; name another file")
        holdings = connection.execute("SELECT * FROM positions ORDER BY symbol, direction")
        recent = connection.execute(
            "SELECT client_order_id FROM orders ORDER BY number DESC LIMIT ?", (self._recent_ids,)
        ).fetchall()
        cash = cash_from(row[1:])
        for table, count in (("orders", cash.orders), ("fills", cash.trades)):
            (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
            if found != count:
                raise DamagedRowError(f"it has {found} {table}, the account counts {count}")
        return Records(
            cash=cash,
            holdings=tuple(map(holding_from, holdings)),
            open_orders=tuple(map(order_from, connection.execute(OPEN_ORDERS))),
            recent_ids=tuple(ClientOrderId(order_id) for (order_id,) in reversed(recent)),
        )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # the connection is given up after a failure anyway
            connection.execute("ROLLBACK")
        raise
