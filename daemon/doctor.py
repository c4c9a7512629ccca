"""`holdfast doctor`: what a person would look at before asking for help, each with what to do.

It changes nothing: where a directory is not there yet, it is not made. A daemon that runs is asked,
a stopped one's files are read. No look waits for long, and none says a secret: every text goes
through `Redaction` before it is shown.
"""

import importlib.metadata
import importlib.util
import os
import platform
import resource
import shutil
import socket
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from daemon.admin_client import AdminClient, Answer, AnswerLostError, UnreachableError
from daemon.admin_requests import AnyAdminRequest, Health, JournalVerify, Ping, Status
from daemon.config import Loaded, load, secret_of, secrets_of
from daemon.config_file import ConfigError, ConfigFile
from daemon.config_models import SECRET_KEY, Config
from daemon.config_strategies import strategies_of
from daemon.errors import named
from daemon.version import installed_version
from daemon.words import plural
from domain.errors import Refusal
from runtime.disk import RealDisk
from storage import admin
from storage.connection import NAME as JOURNAL
from storage.connection import OLDEST_SQLITE, is_safe_with_two
from storage.errors import AlreadyRunningError, NoJournalError, StorageError
from storage.streams import StreamRegistry

Level = Literal["ok", "warn", "fail"]
_MIB = 1024 * 1024
_OTHERS, _OTHERS_WRITE = 0o077, 0o022
_LIBRARIES = ("msgspec", "orjson", "pydantic", "sqlalchemy", "structlog", "typer", "uvloop")
_SYNCS = 20
_SYNC_BYTES = 4096
_SLOW_SYNC_MS = 20.0
_DRIFT_WITHIN_S, _DRIFT_S = 0.2, 0.005
_FILES_NEEDED = 1024
_END = 1000  # records that a quick look checks
_DEADLINE_S = 3.0  # of the network, and of a program that is asked
_LATE_MS = 100.0


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    level: Level
    found: str
    remedy: str = ""  # what to do, unless all is well


class Redaction:
    """Takes secrets out of a text: those of the configuration, and what the environment hides."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._texts = {value for name, value in environment.items() if SECRET_KEY.search(name)}

    def know(self, loaded: Loaded) -> None:
        """Take note of what the configuration names."""
        for reference in loaded.config.secrets.values():
            self._texts.add(secret_of(reference, loaded.file.base))

    def of(self, finding: Finding) -> Finding:
        """Return the finding without them."""
        return Finding(
            finding.what, finding.level, self._without(finding.found), self._without(finding.remedy)
        )

    def _without(self, text: str) -> str:
        for secret in sorted(filter(None, self._texts), key=len, reverse=True):
            text = text.replace(secret, "****")
        return text


def examine(
    file: ConfigFile, registry: StreamRegistry, *, socket_path: Path | None, full: bool
) -> Iterator[Finding]:
    """Yield what is found, as it is found."""
    redaction = Redaction()
    yield from map(redaction.of, _versions())
    try:
        loaded = load(file)
    except ConfigError as error:
        yield redaction.of(_bad(error))
        return
    redaction.know(loaded)
    for found in _with(loaded, registry, socket_path or loaded.config.socket_path, full=full):
        yield redaction.of(found)


def _with(
    loaded: Loaded, registry: StreamRegistry, socket_path: Path, *, full: bool
) -> Iterator[Finding]:
    config = loaded.config
    yield _configuration(loaded)
    yield from _directory(config.data_dir)
    yield _free(config)
    yield _sync(config.data_dir)
    yield _clock()
    yield _synchronized()
    yield _open_files()
    daemon = _Daemon(socket_path)
    yield daemon.finding()
    if daemon.is_there:
        yield from daemon.findings(full=full)
    else:
        yield _stopped_journal(config.data_dir, registry, full=full)
        yield _venue(config)


# --- this machine ---


def _versions() -> Iterator[Finding]:
    python = platform.python_version()
    yield Finding(
        "holdfast", "ok", f"{installed_version()} on Python {python}, {os.uname().sysname}"
    )
    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        yield Finding("sqlite", "fail", found, f"Use a Python with SQLite {needed} or newer.")
    elif is_safe_with_two():
        yield Finding("sqlite", "ok", found)
    else:
        why = "two connections at once can damage its log (3.7.0 to 3.51.2); Holdfast opens one"
        yield Finding("sqlite", "ok", f"{found}: {why}, so open {JOURNAL} with nothing else")
    versions, missing = [], []
    for name in _LIBRARIES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        remedy = "Install Holdfast again from its requirements."
        yield Finding("libraries", "fail", f"not installed: {', '.join(missing)}", remedy)
    else:
        yield Finding("libraries", "ok", ", ".join(versions))


def _clock() -> Finding:
    """Compare the two clocks for a moment: a wall clock that is being set moves against the other."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(_DRIFT_WITHIN_S)
    drift_s = (time.time() - wall) - (time.monotonic() - steady)
    found = f"moved {drift_s * 1000:+.1f} ms against the steady one in {_DRIFT_WITHIN_S:g} s"
    if abs(drift_s) < _DRIFT_S:
        return Finding("clock", "ok", found)
    return Finding("clock", "warn", found, "Let it be set by a service that slews (chrony).")


def _synchronized() -> Finding:
    program = shutil.which("timedatectl")
    if program is None:
        return Finding("time service", "ok", "not known: timedatectl is not installed")
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [program, "show", "--property=NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return Finding("time service", "ok", "not known: timedatectl does not answer")
    if done.stdout.strip() == "yes":
        return Finding("time service", "ok", "the clock is synchronized")
    if done.stdout.strip() == "no":
        remedy = (
            "Run one: timedatectl set-ntp true, or chrony. A venue refuses orders of a wrong time."
        )
        return Finding("time service", "warn", "the clock is not synchronized", remedy)
    return Finding("time service", "ok", "not known: timedatectl has nobody to ask")


def _open_files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _FILES_NEEDED:
        shown = "no limit" if soft == resource.RLIM_INFINITY else f"up to {soft}"
        return Finding("open files", "ok", shown)
    remedy = f"Allow {_FILES_NEEDED}: ulimit -n, or LimitNOFILE= of the service."
    return Finding("open files", "warn", f"up to {soft}", remedy)


# --- configuration and files ---


def _bad(error: ConfigError) -> Finding:
    # Keys and lines only: a message may repeat what was written, and that may be anything.
    lines = sorted({one.line for one in error.problems})
    where = f"{plural(len(error.problems), 'problem')} at {plural_lines(lines)} of {error.path}"
    return Finding("configuration", "fail", where, "See each: holdfast config check.")


def plural_lines(lines: list[int]) -> str:
    """Return "line 3", "lines 3, 7"."""
    return f"{'line' if len(lines) == 1 else 'lines'} {', '.join(map(str, lines))}"


def _configuration(loaded: Loaded) -> Finding:
    try:
        strategies_of(loaded)
        secrets_of(loaded)
    except ConfigError as error:
        return _bad(error)
    config = loaded.config
    traders, symbols = len(config.traders), len(config.market.symbols)
    found = f"{loaded.file.path}: {plural(traders, 'trader')}, {plural(symbols, 'symbol')}"
    secrets = f", {plural(len(config.secrets), 'secret')} at hand" if config.secrets else ""
    return Finding("configuration", "ok", found + secrets)


def _directory(directory: Path) -> Iterator[Finding]:
    try:
        found = directory.lstat()
    except FileNotFoundError:
        yield Finding(
            "data directory", "ok", f"{directory} is not there yet: the first start makes it"
        )
        return
    except OSError as error:
        remedy = "Let the user who runs Holdfast reach it, or set data_dir."
        yield Finding("data directory", "fail", f"{directory}: {error.strerror}", remedy)
        return
    problems = list(_problems_of(directory, found))
    for path in sorted([*directory.glob("*.db*"), *directory.glob("*.lock")]):
        problems += _problems_of(path, path.lstat())
    if not problems:
        mode = stat.S_IMODE(found.st_mode)
        yield Finding("data directory", "ok", f"{directory}, yours, mode {mode:04o}")
    for level, what, remedy in problems:
        yield Finding("data directory", level, what, remedy)


def _problems_of(path: Path, found: os.stat_result) -> Iterator[tuple[Level, str, str]]:
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        yield "fail", f"{path} is a symbolic link", "Name the real one; move the file itself there."
        return
    if found.st_uid != os.geteuid():
        owner = f"{path} belongs to user {found.st_uid}, you are user {os.geteuid()}"
        yield "fail", owner, "Run this as the user who runs Holdfast, or chown what is there."
    closed = "700" if stat.S_ISDIR(found.st_mode) else "600"
    if mode & _OTHERS:
        # The admin socket wants its directory closed, a journal file may be nobody else's.
        yield "fail", f"{path} is open to others (mode {mode:04o})", f"chmod {closed} {path}"


def _free(config: Config) -> Finding:
    needed = config.journal.min_free_mb
    try:
        free = RealDisk().free_bytes(config.data_dir) // _MIB
    except OSError as error:
        return Finding("disk", "fail", f"{error.strerror}", "Set data_dir to a disk that is there.")
    found = f"{free} MB free, {needed} MB are needed"
    if free < needed:
        return Finding("disk", "fail", found, "Free some space: below that only exits are made.")
    if free < 4 * needed:
        return Finding("disk", "warn", found, "Free some space before it is too little.")
    return Finding("disk", "ok", found)


def _sync(directory: Path) -> Finding:
    """Time what each commit waits for."""
    place = directory
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            times = []
            for _ in range(_SYNCS):
                began = time.perf_counter()
                file.write(bytes(_SYNC_BYTES))
                file.flush()
                os.fsync(file.fileno())
                times.append((time.perf_counter() - began) * 1000)
    except OSError as error:
        remedy = "Let the user who runs Holdfast write there, or set data_dir."
        return Finding("disk speed", "fail", f"{place}: {error.strerror}", remedy)
    found = f"a sync takes {median(times):.2f} ms, the slowest of {_SYNCS} {max(times):.2f} ms"
    if median(times) > _SLOW_SYNC_MS:
        remedy = "Each entry waits for two or three of them: use a faster disk."
        return Finding("disk speed", "warn", found, remedy)
    return Finding("disk speed", "ok", found)


def _stopped_journal(directory: Path, registry: StreamRegistry, *, full: bool) -> Finding:
    remedy = "See the runbook, “A damaged journal”; copy the whole directory first."
    try:
        if full:
            report = admin.verify(directory, registry, RealDisk())
            problems = [*report.problems, *(each.problem for each in report.snapshots)]
            count, said = report.records, "all checked"
        else:
            count, problems = admin.verify_end(directory, registry, RealDisk(), _END)
            said = f"the last {min(count, _END)} checked"
    except NoJournalError:
        return Finding("journal", "ok", "none yet")
    except AlreadyRunningError as error:
        stuck = "If it hangs: its log, then kill -9; nothing that was acknowledged is lost."
        return Finding("journal", "warn", f"{error} It does not answer its socket.", stuck)
    except (StorageError, OSError) as error:
        return Finding("journal", "fail", named(error).message, remedy)
    problems = [each for each in problems if each]
    if problems:
        return Finding("journal", "fail", "; ".join(problems[:3]), remedy)
    return Finding("journal", "ok", f"{plural(count, 'record')}, {said}, snapshots usable")


# --- the venue ---


def _venue(config: Config) -> Finding:
    """Try to reach the venue; a name that does not resolve may hang, so a thread of its own asks."""
    if config.market.source != "binance":
        return Finding("venue", "ok", f"the market is {config.market.source}: no network is needed")
    from daemon.markets import address_of  # noqa: PLC0415 - only if there is one

    url = urlsplit(address_of(config))
    host, port = url.hostname or "", url.port or (443 if url.scheme == "wss" else 80)
    outcome: list[str] = []
    thread = threading.Thread(target=lambda: outcome.append(_reached(host, port)), daemon=True)
    thread.start()
    thread.join(_DEADLINE_S)
    why = outcome[0] if outcome else f"no answer within {_DEADLINE_S:g} s"
    if not why:
        return Finding("venue", "ok", f"{host}:{port} can be reached")
    remedy = "Look at the network, its DNS and its firewall; until then there are no prices."
    return Finding("venue", "fail", f"{host}:{port} cannot be reached: {why}", remedy)


def _reached(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), timeout=_DEADLINE_S).close()
    except OSError as error:
        return str(error.strerror or error)
    return ""


# --- a daemon that runs ---


class _Daemon:
    """The daemon behind a socket, if one answers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pid: object = None
        self._error: Exception | None = None
        try:
            answer = self._ask(Ping())
            self._pid = answer.get("pid") if not isinstance(answer, Refusal) else None
        except (UnreachableError, AnswerLostError) as error:
            self._error = error

    @property
    def is_there(self) -> bool:
        return self._error is None

    def finding(self) -> Finding:
        """Say whether it answers, and whether only its user can ask."""
        if isinstance(self._error, AnswerLostError):
            remedy = "It may hang: look at its log; kill -9 loses nothing that was acknowledged."
            return Finding("daemon", "fail", f"{self._path} does not answer", remedy)
        if self._error is not None:
            if self._path.exists() and isinstance(self._error.__cause__, PermissionError):
                remedy = "Run this as the user who runs Holdfast."
                return Finding("daemon", "fail", f"{self._path} is not for you", remedy)
            found = f"none answers at {self._path}"
            return Finding("daemon", "warn", found, "Start it: holdfast run, or the service.")
        mode = stat.S_IMODE(self._path.stat().st_mode)
        found = f"process {self._pid} answers at {self._path}, mode {mode:04o}"
        if mode & _OTHERS:
            return Finding("daemon", "fail", found, f"chmod 600 {self._path}")
        return Finding("daemon", "ok", found)

    def findings(self, *, full: bool) -> Iterator[Finding]:
        """Ask it for its health, its prices, its loop, its journal."""
        try:
            yield from self._findings(full=full)
        except (UnreachableError, AnswerLostError) as error:
            yield Finding("daemon", "fail", f"it stopped answering: {error}", "Look at its log.")

    def _findings(self, *, full: bool) -> Iterator[Finding]:
        health, status = self._ask(Health()), self._ask(Status())
        if isinstance(health, Refusal) or isinstance(status, Refusal):
            yield Finding("health", "warn", "it is still starting", "Ask again in a second.")
            return
        yield from _health(health)
        yield _prices(status)
        yield _loop(health)
        if full:
            answer = self._ask(JournalVerify())
            if isinstance(answer, Refusal):
                yield Finding("journal", "fail", answer.message, answer.remedy)
            else:
                yield Finding("journal", "ok", f"{answer.get('verified')} records, all checked")

    def _ask(self, request: AnyAdminRequest) -> Answer | Refusal:
        with AdminClient(self._path) as client:
            return client.ask(request)


class _CheckView(msgspec.Struct):
    what: str
    ok: bool
    why: str


class _HealthView(msgspec.Struct):
    mode: str
    live: bool
    ready: bool
    checks: list[_CheckView]
    loop_late_ms: dict[str, float]


class _QuoteView(msgspec.Struct):
    symbol: str
    age_s: float | None
    is_fresh: bool


class _StatusView(msgspec.Struct):
    prices: list[_QuoteView]


def _health(answer: Answer) -> Iterator[Finding]:
    health = msgspec.convert(answer, _HealthView)
    bad = [f"{each.what}: {each.why}" for each in health.checks if not each.ok]
    if not health.live:
        remedy = "Restart it: that would help. Its log says what led there."
        yield Finding("health", "fail", "; ".join(bad), remedy)
    elif not health.ready:
        yield Finding("health", "warn", "; ".join(bad), "See holdfast mode, and the runbook.")
    else:
        yield Finding("health", "ok", f"mode {health.mode}, alive and ready")


def _prices(answer: Answer) -> Finding:
    quotes = msgspec.convert(answer, _StatusView).prices
    stale = [
        f"{each.symbol} " + ("none yet" if each.age_s is None else f"{each.age_s:.1f} s old")
        for each in quotes
        if not each.is_fresh
    ]
    if stale:
        remedy = "Without fresh prices nothing opens: look at the network, see holdfast status."
        return Finding("prices", "warn", ", ".join(stale[:5]), remedy)
    oldest = max((each.age_s or 0.0 for each in quotes), default=0.0)
    return Finding("prices", "ok", f"{plural(len(quotes), 'symbol')}, at most {oldest:.1f} s old")


def _loop(answer: Answer) -> Finding:
    late = msgspec.convert(answer, _HealthView).loop_late_ms
    found = f"99 % of the last minute at most {late.get('p99', 0):.1f} ms late"
    if late.get("p99", 0) > _LATE_MS:
        remedy = "A strategy computes too long, or the machine is overloaded."
        return Finding("loop", "warn", found, remedy)
    return Finding("loop", "ok", found)
