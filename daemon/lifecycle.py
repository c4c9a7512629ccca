"""The life of the daemon's process: start, main loop, shutdown.

    lock and recover → take socket and port → arm every level → answer → … → drain → close

What can keep the daemon from starting is tried before the first actor runs, so that a start that
fails has changed nothing; what is not needed to arm waits until after it. SIGTERM and `holdfast
drain` stop within 20 s, a second signal forces. Positions stay as they are and are guarded again at
the next start.
"""

import asyncio
import faulthandler
import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import structlog

from actors import names
from actors.messages import SetCause
from daemon.admin import AdminServer
from daemon.archive import Archive
from daemon.assembly import Assembly, Ports, assemble, open_store
from daemon.background import Background
from daemon.config import Loaded, Login, login_of, secrets_of
from daemon.config_models import Config, LogSection
from daemon.config_strategies import strategies_of
from daemon.config_text import portable
from daemon.desk import Desk
from daemon.desk_reads import DeskReads
from daemon.desk_watch import DeskWatch
from daemon.errors import StartError, named
from daemon.file_watch import FileWatch
from daemon.logs import Logs
from daemon.markets import reads_of, stream_of
from daemon.metrics import Metrics
from daemon.metrics_server import MetricsServer
from daemon.notify import Notifier
from daemon.observe import observe
from daemon.pulse import KeepAlive, Pulse
from daemon.reload import Reloader
from daemon.upkeep import Upkeep
from daemon.venues import account_of, check_venue
from daemon.version import installed_version
from domain.errors import Refusal
from domain.ids import TraderName
from domain.modes import DRAINING, Mode, ModeCause
from domain.position import Position
from domain.position_life import resting_entries
from exchanges.paper.ledger import LedgerError, LedgerLockedError
from exchanges.paper.venue import PaperVenue
from runtime.chance import SeededChance, SystemIds
from runtime.clocks import SystemClock
from runtime.disk import RealDisk
from runtime.threads import ThreadWorker
from runtime.time_limit import RealLimit
from runtime.watchdog import LoopWatchdog
from storage.errors import AlreadyRunningError, StorageError
from storage.store import Store
from strategies.base import Strategy

log = structlog.get_logger("system")
STOP_WITHIN_S = 8.0  # and for the actors; together below the 20 s a service manager is told
SETTLE_WITHIN_S = 10.0  # of them: for answers of the venue that are on their way
THREADS_WITHIN_S = 1.0  # for files that somebody still waits for when all is closed
SAME_SIGNAL_S = 1.0
ACCOUNT_WITHIN_S = 2.0  # else questions are answered with STARTING
BLOCKED_AFTER_S = 2.0
ARMING_LIMIT = 10_000_000  # messages
_PAIR = (
    "Restore paper.db and holdfast.db of the same backup together; to begin anew, move the whole"
    " data_dir away."
)
EXIT_OK, EXIT_FAILED, EXIT_FORCED = 0, 1, 130


def run_daemon(loaded: Loaded) -> int:
    """Run the daemon until it is told to stop; return the process's exit code.

    Raises `ConfigError` and `StartError` for what keeps it from starting.
    """
    began_s = time.monotonic()
    strategies = strategies_of(loaded)
    logs = _logs(loaded.config.log)
    logs.start()
    faulthandler.enable()  # a service manager's watchdog kills by SIGABRT: where did it stand?
    logs.mask(*secrets_of(loaded).values())
    login = login_of(loaded)
    os.umask(0o077)  # whatever is written is for us alone
    stop = _Stop(Notifier())
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            code = runner.run(_serve(loaded, strategies, logs, login, stop, began_s))
            leave = threading.Timer(THREADS_WITHIN_S, _leave, (code, logs))
            leave.daemon = True
            leave.start()  # leaving the runner waits for its threads, for ever if need be
        leave.cancel()
    except SystemExit as error:  # somebody's code, a strategy's say; it may call itself a success
        log.critical("failed", error=repr(error))
        return EXIT_OK if stop.is_asked else EXIT_FAILED
    else:
        return code
    finally:
        logs.close()


def _logs(settings: LogSection) -> Logs:
    file = settings.file
    try:
        if file is not None:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Logs(level=settings.level, format=settings.format, file=file)
    except OSError as error:
        why = f"The log {file} cannot be written: {error.strerror or error}."
        remedy = "Set log.file to a file of yours, or leave it out."
        raise StartError(Refusal("LOG_UNUSABLE", why, remedy)) from error


def _leave(code: int, logs: Logs) -> None:
    """End the process though a thread hangs, as on a file of a server that is gone.

    All that is ours is closed and durable by now.
    """
    log.warning("threads_left")
    logs.close()
    os._exit(code)


def new_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that a daemon runs on: the fastest there is."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _serve(
    loaded: Loaded,
    strategies: Mapping[TraderName, Strategy],
    logs: Logs,
    login: Login | None,
    stop: "_Stop",
    began_s: float,
) -> int:
    """Open what the daemon rests on, run it, close in reverse."""
    loop, config, notifier = asyncio.get_running_loop(), loaded.config, stop.notifier
    stop.listen(loop)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        stack.callback(notifier.close)
        gc.disable()  # while recovery builds its states; see `_start`
        disk = RealDisk()
        store = _opened(config, disk)
        stack.callback(store.close)
        check_venue(config, store)
        ports = _real_ports(config, disk, login, stack)
        parts = assemble(config, strategies, ports, store, metrics)
        watchdog = LoopWatchdog(loop, BLOCKED_AFTER_S, _on_blocked)
        background = Background(ports.journal_worker)
        archive = Archive(store, background)
        pulse = Pulse(parts, watchdog.lag)
        reads = DeskReads(parts, archive, pulse)
        watch = DeskWatch(reads, logs.recent, loop)
        reloader = Reloader(loaded, parts, logs, notifier)
        desk = Desk(
            parts,
            reads,
            stop.ask,
            watch,
            reloader.reload,
            lambda: portable(parts.config, loaded.file.base),
        )
        admin = AdminServer(config.socket_path, desk)
        stack.push_async_callback(admin.close)
        admin.bind()
        scraped = await _bound(config, metrics, parts, watchdog, pulse, stack)
        stack.push_async_callback(parts.venue.close)
        if parts.paper is not None:
            await _paper_opened(parts.paper, parts, store)
        _start(parts, store, began_s)
        stack.push_async_callback(_closed, parts)
        watchdog.start()
        stack.callback(watchdog.stop)
        stack.push_async_callback(admin.close)  # before the actors: nobody is there to answer
        await _account_opened(parts)
        watch.trail.start()
        stack.callback(watch.trail.stop)
        await admin.start()
        if scraped is not None:
            await scraped.start()
            log.info("metrics", url=scraped.url)
        upkeep = Upkeep(lambda: parts.config, store, background, ports.clock, desk.maintenance)
        upkeep.start()
        stack.push_async_callback(upkeep.close)
        log.info("ready", socket=str(config.socket_path), pid=os.getpid())
        stop.on_hangup = reloader.on_signal
        _watch_files(parts, config, stack)
        keep_alive = KeepAlive(pulse, notifier, loop)
        stack.callback(keep_alive.stop)
        keep_alive.start()
        return await stop.wait(parts)


def _real_ports(
    config: Config, disk: RealDisk, login: Login | None, stack: AsyncExitStack
) -> Ports:
    """Return time, chance, threads and market as they are."""
    loop = asyncio.get_running_loop()
    journal_worker, paper_worker = ThreadWorker(loop), ThreadWorker(loop)
    stack.callback(journal_worker.close)  # finishes what it was asked, before the store closes
    stack.callback(paper_worker.close)
    chance = SeededChance(time.time_ns())
    time_limit = RealLimit(config.data_dir)
    stack.callback(time_limit.close)
    return Ports(
        loop=loop,
        clock=SystemClock(),
        chance=chance,
        paper_chance=SeededChance(config.paper.seed),
        ids=SystemIds(),
        disk=disk,
        journal_worker=journal_worker,
        paper_worker=paper_worker,
        stream=stream_of(config, chance),
        reads=reads_of(config),
        time_limit=time_limit,
        account=account_of(config, login, chance),
    )


def _watch_files(parts: Assembly, config: Config, stack: AsyncExitStack) -> None:
    file_watch = FileWatch(parts, config.socket_path)
    stack.callback(file_watch.stop)
    file_watch.start()


async def _account_opened(parts: Assembly) -> None:
    """Let the first question find an account; a new one takes a commit to be there."""
    states, name = parts.world.states, names.portfolio(parts.world.account)
    deadline = time.monotonic() + ACCOUNT_WITHIN_S
    while name not in states.durable and time.monotonic() < deadline:  # noqa: ASYNC110 - once
        await asyncio.sleep(0.001)


def _opened(config: Config, disk: RealDisk) -> Store:
    try:
        return open_store(config.data_dir, disk)
    except AlreadyRunningError as error:
        remedy = (
            "Stop it first (holdfast drain), or give this one its own data_dir."
            " Where drain finds no daemon, its socket was removed: end that process (kill, not -9)."
        )
        raise StartError(named(error, remedy)) from error
    except StorageError as error:
        raise StartError(named(error)) from error
    except OSError as error:
        raise StartError(
            Refusal(
                "DATA_DIR_UNUSABLE",
                f"{config.data_dir}: {error.strerror or error}.",
                "Set data_dir to a directory of yours with free space.",
            )
        ) from error


async def _paper_opened(venue: PaperVenue, parts: Assembly, store: Store) -> None:
    """Open the paper venue; its ledger is another file that only one process may hold."""
    ledger = parts.ledger_path
    if not ledger.exists() and any(
        each.remaining for each in parts.world.states.latest_of("position")
    ):
        why = f"The journal holds open positions, but the paper venue's ledger {ledger} is gone."
        raise StartError(Refusal("PAPER_LEDGER_MISSING", why, _PAIR))
    try:
        await venue.start(lambda _update: None)  # the exchange actor listens from its start
    except LedgerLockedError as error:
        remedy = "Stop it (holdfast drain), or give this daemon its own data_dir."
        raise StartError(Refusal("PAPER_LEDGER_LOCKED", f"{error}.", remedy)) from error
    except LedgerError as error:
        raise StartError(Refusal("PAPER_LEDGER_UNUSABLE", f"{error}.", _PAIR)) from error
    balances = await venue.balances()
    if isinstance(balances, tuple) and balances:
        parts.world.opening = balances[0].total  # an account that comes back finds what it left
    if store.recovered.last_seq:
        return
    fills = await venue.fills(None)
    if isinstance(fills, tuple) and fills:
        why = f"The paper venue's ledger {ledger} has fills that the empty journal does not know."
        raise StartError(Refusal("JOURNAL_MISSING", why, _PAIR))


def _start(parts: Assembly, store: Store, began_s: float) -> None:
    """Start the actors and say what was found."""
    recovered = store.recovered
    for problem in recovered.problems:
        log.error("recovery_problem", problem=problem)
        parts.world.telemetry.alarm("RECOVERY_PROBLEM", problem)
    positions = parts.world.states.latest_of("position")
    if parts.config.venue is not None and parts.config.venue.is_live:
        log.warning("live", venue=parts.world.venue)
    parts.start()
    parts.system.dispatcher.drain(ARMING_LIMIT)  # every level is armed before anything else runs
    gc.freeze()  # what lives long is not looked through again and again
    gc.enable()
    log.info(
        "started",
        version=installed_version(),
        data_dir=str(store.directory),
        positions=len(positions),
        armed=parts.armed(),
        last_seq=recovered.last_seq,
        replayed=recovered.replayed,
        seconds=round(time.monotonic() - began_s, 3),
    )


async def _closed(parts: Assembly) -> None:
    in_time = await parts.close(STOP_WITHIN_S)
    log.info("stopped", in_time=in_time, positions=len(parts.world.states.of_kind("position")))


async def _bound(
    config: Config,
    metrics: Metrics,
    parts: Assembly,
    watchdog: LoopWatchdog,
    pulse: Pulse,
    stack: AsyncExitStack,
) -> MetricsServer | None:
    """Take the address where Prometheus asks, if it is to."""
    if not config.metrics.enabled:
        return None
    server = MetricsServer(
        metrics,
        lambda: observe(parts, watchdog),
        pulse.look,
        host=config.metrics.host,
        port=config.metrics.port,
    )
    await server.bind()
    stack.push_async_callback(server.close)
    return server


def _on_blocked(stacks: str) -> None:
    log.error("loop_blocked", stacks=stacks)


class _Stop:
    """Why and how fast to stop: a signal, a drain, or a failure of the tree's root.

    SIGHUP has two meanings. Somebody sends it for a reload; the kernel sends it when the terminal
    that the daemon was started on has gone, and then it is a wish to stop.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._asked = asyncio.Event()
        self._asked_s = 0.0
        self.notifier = notifier
        self._on_terminal = _on_terminal()
        self.on_hangup: Callable[[], None] = _nothing  # while it starts, it reads the file anyway

    @property
    def is_asked(self) -> bool:
        """Whether somebody wants it to end."""
        return self._asked.is_set()

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear signals from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signaled, number)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)

    def ask(self) -> None:
        """Stop in good order."""
        self._asked.set()

    def _signaled(self, number: int) -> None:
        if self._asked.is_set():
            if time.monotonic() - self._asked_s < SAME_SIGNAL_S:
                return  # one wish, told twice: a service manager signals the group as well
            # The journal is durable to the last commit; nothing that was acknowledged is lost.
            log.warning("forced", signal=signal.Signals(number).name)
            os._exit(EXIT_FORCED)
        log.info("draining", signal=signal.Signals(number).name)
        self._asked_s = time.monotonic()
        self._asked.set()

    def _hung_up(self) -> None:
        if self._on_terminal and not _on_terminal():
            self._signaled(signal.SIGHUP)
        elif not self._asked.is_set():
            self.on_hangup()

    async def wait(self, parts: Assembly) -> int:
        """Return the exit code once it is time to stop."""
        asked = asyncio.ensure_future(self._asked.wait())
        ends: tuple[asyncio.Future[Any], ...] = (asked, parts.system.failed)
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        self.notifier.stopping("stopping; positions stay, and are guarded again at the next start")
        if parts.system.failed.done():
            log.critical("failed", error=repr(parts.system.failed.exception()))
            return EXIT_FAILED
        await _settled(parts)
        return EXIT_OK


def _nothing() -> None:
    pass


def _on_terminal() -> bool:
    """Whether stdin is a terminal that is still there."""
    try:
        os.tcgetpgrp(0)
    except OSError:
        return False
    return True


async def _settled(parts: Assembly) -> None:
    """Open nothing more; wait for the venue's answers and the journal's commits.

    Entries that rest at a real venue are canceled: a fill would have no stop until the next start.
    """
    cause = ModeCause(DRAINING, Mode.NO_ENTRY, "The daemon is stopping.", "Start it again.")
    parts.system.tell(names.PORTFOLIO, SetCause(cause))
    deadline = time.monotonic() + SETTLE_WITHIN_S
    while (  # noqa: ASYNC110 - many owners, no event
        parts.in_flight() or _left_at_venue(parts)
    ) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    left = _left_at_venue(parts)
    if left:
        log.warning("entries_left", orders=left)


def _left_at_venue(parts: Assembly) -> list[str]:
    """Name the entries that rest where they may fill while nobody here looks."""
    if parts.distant is None:  # the paper venue's world stops with us
        return []
    positions: list[Position] = parts.world.states.latest_of("position")
    return [
        f"{each.instrument.symbol} {entry.client_order_id}"
        for each in positions
        for entry in resting_entries(each)
    ]
