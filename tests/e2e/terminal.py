"""A real pseudo-terminal with a program on it, and the screen that a person would see."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from typing import Self

import pyte

from tests.e2e.harness import ROOT

SHOWN_WITHIN_S = 30.0
_END_WITHIN_S = 10.0
KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "home": "\x1b[H",
    "clear": "\x01\x0b",  # to the beginning of the line, delete to its end
    "ctrl+c": "\x03",
}


class Terminal:
    """Runs a command in a session of its own on a new terminal; a context manager that ends it."""

    def __init__(
        self, command: Sequence[str], *, columns: int = 80, rows: int = 24, **environment: str
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.raw = ""
        self._stream = pyte.Stream(self.screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in {"NO_COLOR", "HOLDFAST_CONFIG", "HOLDFAST_SOCKET", "COLUMNS", "LINES"}
        }
        self._popen = subprocess.Popen(
            ["setsid", "--ctty", *command],  # the terminal is its own: SIGHUP comes when it closes
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            env=inherited | {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | environment,
        )
        os.close(slave)
        self.pid = self._popen.pid

    # --- what is seen ---

    def text(self) -> str:
        """Return the screen, without spaces at the ends of lines."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def shows(self, pattern: str) -> bool:
        """Whether a pattern is on the screen now."""
        return _has(self.text(), pattern)

    def until(self, shown: str | Callable[[str], bool]) -> str:
        """Wait for a text, or for a screen for which `shown` holds; return the screen."""
        holds = shown if callable(shown) else lambda text: _has(text, shown)
        deadline = time.monotonic() + SHOWN_WITHIN_S
        while not holds(self.text()):
            assert time.monotonic() < deadline, f"waited in vain for {shown!r}:\n{self.text()}"
            self._take(0.05)
        return self.text()

    def until_gone(self, shown: str) -> str:
        """Wait until a text is no longer there; return the screen."""
        return self.until(lambda text: not _has(text, shown))

    def _take(self, within_s: float) -> bool:
        """Draw what the program has written."""
        if self._master < 0 or not select.select([self._master], [], [], within_s)[0]:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # nobody holds the other end any more
            return False
        text = self._decoder.decode(data)
        self.raw += text
        *before, now = _UNKNOWN_TO_PYTE.sub("", text).split(_LEAVES_VIEW)
        if before:  # pyte has no second screen to come back from
            self.screen.reset()
        self._stream.feed(now)
        return bool(data)

    # --- what a person does ---

    def press(self, *keys: str) -> None:
        """Press keys by their names in `KEYS`; anything else is typed as it is."""
        for key in keys:
            os.write(self._master, KEYS.get(key, key).encode())

    def hang_up(self) -> None:
        """Close the terminal, as when a window is closed or a connection breaks."""
        os.close(self._master)
        self._master = -1

    def signal(self, number: signal.Signals) -> None:
        """Signal the program and nobody else."""
        os.kill(self.pid, number)

    def ended(self) -> int:
        """Wait for the program's end and return its exit code."""
        deadline = time.monotonic() + SHOWN_WITHIN_S
        while self._popen.poll() is None:
            assert time.monotonic() < deadline, f"it goes on:\n{self.text()}"
            if self._master < 0:
                time.sleep(0.02)
            else:
                self._take(0.02)
        while self._take(0):
            pass
        return self._popen.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait(_END_WITHIN_S)
        if self._master >= 0:
            os.close(self._master)


_LEAVES_VIEW = "\x1b[?1049l"


def _has(text: str, shown: str) -> bool:
    """Whether a pattern is on the screen; in a dialog it may be folded."""
    flat = re.sub(r"[\s│]+", " ", text)
    return re.search(shown, text) is not None or re.search(shown, flat) is not None


# Sequences with a private marker that pyte takes for others: keyboard modes, queries.
_UNKNOWN_TO_PYTE = re.compile(r"\x1b\[[<>=?][0-9;]*\$?[u-z]|\x1bP[^\x1b]*\x1b\\")
