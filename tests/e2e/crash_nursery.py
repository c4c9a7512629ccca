"""A process that has loaded all of the daemon's code, and forks a daemon whenever it is asked.

    python -m tests.e2e.crash_nursery

Most of a start is loading code. A forked daemon is a process like any other, with files, sockets
and threads of its own, and dies like any other; what it lacks is that loading. So some lives of a
drill begin with the command as it is.

One request a line, as JSON: arguments of `crash_child`, environment, log. Two answers: the child's
pid, and, when it is over, its exit code, negative for a signal.
"""

import gc
import json
import os
import select
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Protocol, Self

from tests.e2e.crash_child import main as child
from tests.e2e.harness import ROOT

_LATER = (  # what a daemon loads only when it runs
    "daemon.lifecycle",
    "aiohttp",
    "ccxt.async_support",
)
_ENDS_WITHIN_S = 10.0


class Life(Protocol):
    """What a drill has to know of a daemon's process; as of `subprocess.Popen`."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code. Raises `subprocess.TimeoutExpired`."""


class Nursery:
    """The drill's side; one child at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.crash_nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd=ROOT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()  # it ends
            self._process.wait(_ENDS_WITHIN_S)

    def start(self, arguments: list[str], variables: dict[str, str], log: Path) -> "Child":
        """Fork a daemon; the one before is over."""
        asked = {"arguments": arguments, "variables": variables, "log": str(log)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        return Child(self)

    def said(self, within_s: float | None) -> int | None:
        """Return the next answer; None if it does not come in time."""
        answers = self._process.stdout
        assert answers is not None
        if not select.select([answers], [], [], within_s)[0]:
            return None
        line = answers.readline()
        if not line:
            message = "the nursery has ended"
            raise RuntimeError(message)
        return int(line)


class Child:
    """A daemon that was forked."""

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery
        self.returncode: int | None = None
        pid = nursery.said(None)
        assert pid is not None
        self.pid = pid  # it is nobody else's until the next one is started

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        if self.returncode is None:
            self.returncode = self._nursery.said(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            self.returncode = self._nursery.said(timeout)
        if self.returncode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.returncode


def main() -> None:
    """Fork until there are no more requests."""
    for name in _LATER:
        import_module(name)
    gc.freeze()
    before = 0
    for line in sys.stdin.buffer:
        if before:
            os.waitpid(before, 0)  # only now: until then its pid is no other's
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            _become(asked["variables"], Path(asked["log"]))
            sys.argv[1:] = asked["arguments"]
            child()
            return
        _answer(pid)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        _answer(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)
        before = pid


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _become(variables: dict[str, str], log: Path) -> None:
    """Take on the environment and the output of the daemon that this is to be."""
    os.environ.clear()
    os.environ.update(variables)
    with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)


if __name__ == "__main__":
    main()
