"""`holdfast run` on a terminal: the daemon as a process of its own, and the live view on it.

The daemon lives in its own session, so neither Ctrl-C nor the end of this terminal nor a failure of
the view reaches it. What becomes of it is said, always: it is stopped in good order, or it goes on
guarding. Its log is a file.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import IO, Any, Self

import msgspec
import typer

from daemon.admin_client import AdminClient, AnswerLostError, UnreachableError
from daemon.admin_requests import Status
from daemon.cli.console import say
from daemon.config import Loaded
from daemon.errors import StartError
from daemon.log_words import in_words
from daemon.words import plural
from domain.errors import Refusal

LOG_NAME, OUTPUT_NAME = "holdfast.log", "holdfast.out"
_POLL_S = 0.05
_SILENT_S = 1.0  # a start that takes longer says that it goes on
_ASK_WITHIN_S = 2.0
_ALL, _LAST = 1_000_000, 10  # lines of the log
_INDENT = " " * 10  # a time and its gap
_OK, _FAILED = 0, 1


def run_attended(named: Path | None, loaded: Loaded) -> int:
    """Start the daemon, show it, and return the exit code once it is clear what becomes of it.

    Raises `StartError` when there is no place for its log.
    """
    with _Signals() as signals:
        daemon = _Daemon(named, loaded)
        _say(f"Starting the daemon; its log is {_near(daemon.log)}.")
        import_module("daemon.watch.view")  # takes its time, as the daemon does

        if not _is_ready(daemon, signals):
            return _stopped(daemon, signals) if signals.asked else _not_started(daemon)
    return _watched(daemon)


class _Daemon:
    """The daemon as a child: its process, its socket, what it writes to its log."""

    def __init__(self, named: Path | None, loaded: Loaded) -> None:
        config = loaded.config
        self.socket = config.socket_path
        self.data_dir = config.data_dir
        own = config.data_dir / LOG_NAME
        is_taken = config.log.file is not None and config.log.file.absolute() == own.absolute()
        self.log = config.data_dir / OUTPUT_NAME if is_taken else own
        command = [sys.executable, "-m", "daemon.cli", "run", "--no-watch"]
        if named is not None:
            command += ["--config", str(named)]
        with _opened(self.log) as output:
            self._read = self.log.open("rb")
            self._read.seek(0, os.SEEK_END)
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._rest = b""
        self._is_draining = False

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def answers(self) -> bool:
        """Whether this very daemon, and no other at its socket, has opened its account."""
        return self.answering() == self.pid

    def answering(self) -> object:
        """Return the process that answers at the socket with an open account; None if none does."""
        with AdminClient(self.socket, timeout_s=_ASK_WITHIN_S) as client:
            try:
                answer = client.ask(Status())
            except (UnreachableError, AnswerLostError):
                return None
        return None if isinstance(answer, Refusal) else answer.get("pid")

    def drain(self) -> None:
        """Ask it to stop in good order; once is enough."""
        if not self._is_draining:
            self._is_draining = True
            self.force()

    def force(self) -> None:
        """Signal it; a second time does not wait for good order, as with any daemon."""
        if self.code is None:
            self._process.send_signal(signal.SIGTERM)

    def tell(self, most: int = _ALL) -> int | None:
        """Print what its log says since the last time; return the positions it ended with."""
        positions = None
        *lines, self._rest = (self._rest + self._read.read()).split(b"\n")
        for line in lines[-most:] if most else ():
            said, count = _words(line)
            positions = positions if count is None else count
            _say(said)
        return positions

    def ended(self, most: int = _ALL) -> int:
        """Print its last words; return its exit code."""
        self.tell(most)
        code = self._process.wait()
        return code if code >= 0 else 128 - code  # as a shell says it


def _opened(log: Path) -> IO[bytes]:
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.fdopen(os.open(log, flags, 0o600), "ab")
    except OSError as error:
        message = f"{log}: {error.strerror or error}."
        remedy = "Set data_dir to a directory of yours with free space."
        raise StartError(Refusal("DATA_DIR_UNUSABLE", message, remedy)) from error


def _words(line: bytes) -> tuple[str, int | None]:
    """Return a line of the log for people, and the positions it counts if it is the last one."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, object])
    except msgspec.DecodeError:
        return line.decode(errors="replace"), None  # what keeps it from starting, or a traceback
    event, at = str(fields.pop("event", "")), str(fields.pop("time", ""))
    for name in ("level", "category"):
        fields.pop(name, None)
    count = fields.get("positions") if event == "stopped" else None
    return f"{at[11:19]}  {in_words(event, fields)}", count if isinstance(count, int) else None


def _is_ready(daemon: _Daemon, signals: "_Signals") -> bool:
    """Wait until it answers; show what it says meanwhile. False when it ended or is to end."""
    began_s = said_s = time.monotonic()
    while daemon.code is None and not signals.asked:
        daemon.tell()
        if daemon.answers():
            return True
        if time.monotonic() - said_s > _SILENT_S:
            said_s = time.monotonic()
            _say(f"still starting, {said_s - began_s:.0f} s …")
        time.sleep(_POLL_S)
    return False


def _not_started(daemon: _Daemon) -> int:
    code = daemon.ended()
    if daemon.answering() is not None:
        _say("→ holdfast watch shows the one that runs, holdfast drain stops it.")
    return code


def _watched(daemon: _Daemon) -> int:
    from daemon.watch.looking import Looker  # noqa: PLC0415
    from daemon.watch.view import Ended, WatchApp  # noqa: PLC0415

    app = WatchApp(Looker(daemon.socket), own=daemon)
    ended: Ended | None = None
    try:
        ended = app.run()
    finally:
        with _Signals() as signals:  # Textual's loop took its own handlers along
            if daemon.code is not None:
                code = daemon.ended(_LAST)
                _say(f"The daemon has ended with exit code {code}; its log is {_near(daemon.log)}.")
            elif ended in {Ended.STOP, Ended.SIGNALED}:
                daemon.tell(0)  # it was on the screen
                code = _stopped(daemon, signals)
            else:
                code = _left(daemon, _OK if ended is Ended.LEAVE else _FAILED)
    return code


def _left(daemon: _Daemon, code: int) -> int:
    """Say that it goes on without us, and how to come back."""
    if code:
        _say("The view has failed. The daemon does not mind:")
    _say(f"The daemon goes on guarding, process {daemon.pid}; its log is {_near(daemon.log)}.")
    _say("→ holdfast watch comes back to it, holdfast drain stops it.")
    return code


def _stopped(daemon: _Daemon, signals: "_Signals") -> int:
    """Drain it and wait; another Ctrl-C forces it."""
    _say("Stopping the daemon (Ctrl-C forces it) …")
    daemon.drain()
    signals.asked = False
    positions = None
    while daemon.code is None:
        if signals.asked:
            signals.asked = False
            daemon.force()
        time.sleep(_POLL_S)
        positions = daemon.tell() if positions is None else positions
    positions = daemon.tell() if positions is None else positions
    code = daemon.ended()
    if positions == 0:
        _say("Stopped; no position is open.")
    else:
        what = "Positions" if positions is None else plural(positions, "position")
        _say(f"Stopped. {what} kept in {_near(daemon.data_dir)}, guarded again at the next start.")
    return code


class _Signals:
    """SIGINT, SIGTERM and SIGHUP become a wish that is looked at between two steps."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def _say(text: str) -> None:
    with suppress(typer.Exit):  # the terminal is gone; the daemon still has to be stopped
        say(text, indent=_INDENT)


def _near(path: Path) -> str:
    """Write a path as one types it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
