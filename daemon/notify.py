"""What a service manager is told, by the protocol of sd_notify(3): lines in a datagram.

The manager names its socket in NOTIFY_SOCKET and wants a sign of life each WATCHDOG_USEC. Without
these variables (a terminal, a container) nothing is sent. A manager that does not listen stops
nobody: its watchdog would notice.
"""

import os
import socket
import time
from collections.abc import Mapping

import structlog

_LONGEST_STATUS = 200
_log = structlog.get_logger("system")


class Notifier:
    """Speaks to the manager that started this process, if there is one."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._socket: socket.socket | None = None
        self._said_why = False
        self.watchdog_s = _watchdog_s(environment) if self._address else None

    @property
    def is_heard(self) -> bool:
        """Whether a service manager wants to know."""
        return self._address is not None

    def ready(self, status: str) -> None:
        """All levels are armed, commands are answered; or a reload is over."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """The configuration is read again; `ready` ends it."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def stopping(self, status: str) -> None:
        """The daemon drains."""
        self._send("STOPPING=1", _status(status))

    def alive(self, status: str) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1", _status(status))

    def status(self, status: str) -> None:
        """Say how it goes, and feed nothing."""
        self._send(_status(status))

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        try:
            if self._socket is None:
                kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
                self._socket = socket.socket(socket.AF_UNIX, kind)
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._said_why:  # once: it is the same each time
                self._said_why = True
                _log.warning("manager_not_told", error=str(error))


def _address(named: str) -> str | None:
    """Return where to send; None for what is no unix socket. "@" begins an abstract name."""
    if named.startswith("@"):
        return "\0" + named[1:]
    return named if named.startswith("/") else None


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Return within what time a sign of life is wanted of this process, if at all."""
    wanted, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not wanted.isdecimal() or int(wanted) == 0 or pid not in {"", str(os.getpid())}:
        return None
    return int(wanted) / 1_000_000


def _status(text: str) -> str:
    return "STATUS=" + text.replace("\n", " ")[:_LONGEST_STATUS]
