"""How the daemon is spoken to while it may die at any instant, and how it is watched."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from daemon.admin_client import AdminClient, AnswerLostError, UnreachableError
from tests.e2e.crash_promises import Book, View
from tests.e2e.harness import HOLDFAST

_WATCH_S = 0.04
_KNOWS_NOT_YET = {"RECONCILING", "CATCHING_UP"}  # what happened while it was dead


class GoneError(Exception):
    """The daemon does not answer any more."""


class Line:
    """One connection to the admin socket that notes what it is told."""

    def __init__(self, socket: Path) -> None:
        self.client = AdminClient(socket)

    def ask(self, command: str, **arguments: Any) -> View:
        """Return the whole answer. Raises `GoneError`."""
        request = {"command": command} | arguments
        try:
            return self.client.ask_line(json.dumps(request).encode())
        except (AnswerLostError, UnreachableError) as error:
            raise GoneError(str(error)) from error

    def close(self) -> None:
        self.client.close()


@dataclass(frozen=True)
class Place:
    """Where the daemon is."""

    socket: Path
    config: Path


def by_cli(request: View, place: Place) -> View:
    """Move a stop as a person does. Raises `GoneError`."""
    command = [HOLDFAST, "move-stop", request["position"], request["price"]]
    command += ["--widen"] * request["widen"] + ["--config", str(place.config), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 0:
        return {"ok": True, **json.loads(done.stdout)}
    try:
        return {"ok": False, "error": json.loads(done.stdout)["error"]}
    except (ValueError, KeyError):
        raise GoneError(done.stderr or done.stdout) from None


def watch(book: Book, place: Place, stop: Event) -> None:
    """Read what a person would look at, again and again."""
    line = Line(place.socket)
    try:
        turn = 0
        while not stop.wait(_WATCH_S):
            turn += 1
            causes = {each["code"] for each in line.ask("mode")["causes"]}
            book.knows = not causes & _KNOWS_NOT_YET
            see_all(book, line.ask, closed=turn % 5 == 0)
    except GoneError:
        pass
    finally:
        line.close()


def see_all(book: Book, ask: Callable[..., View], *, closed: bool, limit: int = 20) -> list[View]:
    """Read the list of open positions, and perhaps that of the last closed ones."""
    asked_s = time.monotonic()
    rows = ask("positions")["positions"]
    for row in rows:
        book.see_row(row, asked_s)
    if closed:
        asked_s = time.monotonic()
        for row in ask("positions", closed=True, limit=limit)["positions"]:
            book.see_row(row, asked_s)
    return rows
