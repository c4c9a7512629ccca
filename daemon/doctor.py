"""`holdfast doctor`: what a person would look at before asking for help, each with what to do.

It mends nothing: where a directory is not there yet, it is not made. A daemon that runs is asked, a
stopped one's journal is opened as `journal verify` opens it. No look waits for long, and none says
a secret: every text goes through `Redaction` before it is shown.
"""

import os
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from daemon import doctor_machine as machine
from daemon import doctor_venue
from daemon.admin_client import AdminClient, Answer, AnswerLostError, UnreachableError
from daemon.admin_requests import AnyAdminRequest, Health, JournalVerify, Ping, Status
from daemon.config import Loaded, load, secret_of, secrets_of
from daemon.config_file import ConfigError, ConfigFile, Use
from daemon.config_models import Config
from daemon.config_section import SECRET_KEY
from daemon.config_strategies import strategies_of
from daemon.config_venues import Credentials
from daemon.doctor_machine import DEADLINE_S, Finding
from daemon.errors import named
from daemon.words import plural
from domain.errors import Refusal
from runtime.disk import RealDisk
from storage import admin
from storage.errors import AlreadyRunningError, NoJournalError, StorageError
from storage.streams import StreamRegistry

_END = 1000  # records that a quick look checks
_LATE_MS = 100.0
_OTHERS = 0o077
_SHORTEST = 4  # a shorter value hides nothing, and would black out half of the page
_ANSWER_S, _VERIFY_S = 5.0, 600.0


class Redaction:
    """Takes secrets out of a text: those of the configuration, and what the environment hides."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._texts = {
            value
            for name, value in environment.items()
            if SECRET_KEY.search(name) and len(value) >= _SHORTEST
        }

    def know(self, loaded: Loaded) -> None:
        """Take note of what the configuration names."""
        references = [*loaded.config.secrets.values()]
        for venue in loaded.config.venues.values():
            references += (getattr(venue.credentials, part) for part in Credentials.model_fields)
        self._texts.update(secret_of(each, loaded.file.base) for each in references)

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
    yield from map(redaction.of, machine.versions())
    try:
        loaded = load(file, Use.RUN)
    except ConfigError as error:
        yield redaction.of(_bad(error))
        yield from map(redaction.of, _without_configuration(file, socket_path))
        return
    redaction.know(loaded)
    for found in _with(loaded, registry, socket_path or loaded.config.socket_path, full=full):
        yield redaction.of(found)


def _without_configuration(file: ConfigFile, socket_path: Path | None) -> Iterator[Finding]:
    """Ask the daemon all the same: it may run by what the file said before."""
    if socket_path is None:
        try:
            socket_path = file.socket_path()
        except ConfigError:
            return
    daemon = _Daemon(socket_path)
    yield daemon.finding()
    if daemon.is_there:
        yield from daemon.findings(full=False)


def _with(
    loaded: Loaded, registry: StreamRegistry, socket_path: Path, *, full: bool
) -> Iterator[Finding]:
    config = loaded.config
    yield _configuration(loaded)
    yield from machine.directory_of(config.data_dir)
    yield machine.free(config)
    yield machine.sync(config.data_dir)
    yield machine.clock()
    yield machine.synchronized()
    yield machine.open_files()
    yield from doctor_venue.secret_files(loaded)
    daemon = _Daemon(socket_path)
    yield daemon.finding()
    if daemon.is_there:
        yield from daemon.findings(full=full)
    else:
        yield _stopped_journal(config.data_dir, registry, full=full)
        yield _market(config)
        yield from doctor_venue.of_login(loaded, registry)


# --- configuration and files ---


def _bad(error: ConfigError) -> Finding:
    if not error.path.exists():
        remedy = "Name another with --config."
        return Finding("configuration", "fail", f"there is no file {error.path}", remedy)
    # Lines only: a message may repeat what was written, and that may be anything.
    lines = sorted({one.line for one in error.problems})
    where = f"{plural(len(error.problems), 'problem')} at {_lines(lines)} of {error.path}"
    return Finding("configuration", "fail", where, "See each: holdfast config check.")


def _lines(lines: list[int]) -> str:
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


def _market(config: Config) -> Finding:
    """Try to reach who tells prices, on a thread of its own: a name may take time to resolve."""
    if config.market.source not in {"binance", "okx"}:
        source = config.market.source
        return Finding("market", "ok", f"the market is {source}: no network is needed")
    from daemon.markets import address_of  # noqa: PLC0415 - only if there is one

    url = urlsplit(address_of(config))
    host, port = url.hostname or "", url.port or (443 if url.scheme == "wss" else 80)
    outcome: list[str] = []
    thread = threading.Thread(target=lambda: outcome.append(_reached(host, port)), daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    why = outcome[0] if outcome else f"no answer within {DEADLINE_S:g} s"
    if not why:
        return Finding("market", "ok", f"{host}:{port} can be reached")
    remedy = "Look at the network, its DNS and its firewall; until then there are no prices."
    return Finding("market", "fail", f"{host}:{port} cannot be reached: {why}", remedy)


def _reached(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), timeout=DEADLINE_S).close()
    except OSError as error:
        return str(error.strerror or error)
    return ""


# --- a daemon that runs ---


class _Daemon:
    """The daemon behind a socket, if one answers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pid: object = None
        self._refusal: Refusal | None = None
        self._error: UnreachableError | AnswerLostError | None = None
        try:
            answer = self._ask(Ping())
            if isinstance(answer, Refusal):
                self._refusal = answer
            else:
                self._pid = answer.get("pid")
        except (UnreachableError, AnswerLostError) as error:
            self._error = error

    @property
    def is_there(self) -> bool:
        return self._error is None

    def finding(self) -> Finding:
        """Say whether it answers, and whether only its user can ask."""
        if self._refusal is not None:
            return Finding("daemon", "fail", self._refusal.message, self._refusal.remedy)
        if isinstance(self._error, AnswerLostError):
            remedy = "It may hang: look at its log; kill -9 loses nothing that was acknowledged."
            return Finding("daemon", "fail", f"{self._path} does not answer", remedy)
        if self._error is not None:
            if self._path.exists() and isinstance(self._error.__cause__, PermissionError):
                remedy = "Run this as the user who runs Holdfast."
                return Finding("daemon", "fail", f"{self._path} is not for you", remedy)
            if self._error.is_busy:
                found = f"{self._path} takes no more connections"
                return Finding("daemon", "fail", found, "It may hang: look at its log.")
            found = f"none answers at {self._path}"
            return Finding("daemon", "warn", found, "Start it: holdfast run, or the service.")
        mode = stat.S_IMODE(self._path.stat().st_mode)
        found = f"process {self._pid} answers at {self._path}, mode {mode:04o}"
        if mode & _OTHERS:
            return Finding("daemon", "fail", found, f"chmod 600 {self._path}")
        return Finding("daemon", "ok", found)

    def findings(self, *, full: bool) -> Iterator[Finding]:
        """Ask it for its health, its prices, its loop, its journal."""
        if self._refusal is not None:
            return
        try:
            yield from self._findings(full=full)
        except (UnreachableError, AnswerLostError) as error:
            yield Finding("daemon", "fail", f"it stopped answering: {error}", "Look at its log.")

    def _findings(self, *, full: bool) -> Iterator[Finding]:
        health, status = self._ask(Health()), self._ask(Status())
        for each in (health, status):
            if isinstance(each, Refusal):
                yield Finding("health", "warn", each.message, each.remedy)
                return
        assert not isinstance(health, Refusal)
        assert not isinstance(status, Refusal)
        yield from _health(health)
        yield _prices(status)
        yield from _link(status)
        yield _loop(health)
        if full:
            answer = self._ask(JournalVerify(), _VERIFY_S)
            if isinstance(answer, Refusal):
                yield Finding("journal", "fail", answer.message, answer.remedy)
            else:
                count = plural(answer.get("records"), "record")
                yield Finding("journal", "ok", f"{count}, all checked")

    def _ask(self, request: AnyAdminRequest, within_s: float = _ANSWER_S) -> Answer | Refusal:
        with AdminClient(self._path, timeout_s=within_s) as client:
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
    venue: str
    causes: list[doctor_venue.CauseView]
    link: doctor_venue.LinkView | None


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


def _link(answer: Answer) -> Iterator[Finding]:
    status = msgspec.convert(answer, _StatusView)
    if status.link is not None:
        yield from doctor_venue.of_daemon(status.venue, status.link, status.causes)


def _loop(answer: Answer) -> Finding:
    late = msgspec.convert(answer, _HealthView).loop_late_ms
    found = f"99 % of the last minute at most {late.get('p99', 0):.1f} ms late"
    if late.get("p99", 0) > _LATE_MS:
        remedy = "A strategy computes too long, or the machine is overloaded."
        return Finding("loop", "warn", found, remedy)
    return Finding("loop", "ok", found)
