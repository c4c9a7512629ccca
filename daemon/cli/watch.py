"""`holdfast watch`: the daemon, live."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from daemon.admin_requests import Watch
from daemon.cli.console import Exit, fail
from daemon.cli.link import ConfigOption, JsonOption, SocketOption, ask, socket_of
from daemon.terminals import on_terminals
from domain.errors import Refusal

_JSON_EVERY_S = 1.0


def watch(
    *,
    every: Annotated[
        float | None,
        typer.Option(
            "--every",
            metavar="S",
            min=0.1,
            max=3600,
            help="Seconds between looks.  [default: 0.25; with --json 1]",
            show_default=False,
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="With --json: look once.")] = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch it live; keys close, move stops and pause.

    \b
    holdfast watch
    holdfast watch --json --every 5     one object a line, for scripts
    holdfast watch --json --once

    ? in the view explains it. q leaves it; the daemon goes on.
    """  # noqa: D301
    if as_json:
        _lines(config, socket, _JSON_EVERY_S if every is None else every, once=once)
        return
    if once:
        message = "--once is for --json."
        raise typer.BadParameter(message)
    if not on_terminals():
        fail_without_terminal(
            "Run it in one, give --json for lines of JSON, or see holdfast status."
        )
    path = socket_of(config, socket)
    from daemon.watch.looking import Looker  # noqa: PLC0415 - Textual takes its time
    from daemon.watch.view import EVERY_S, WatchApp  # noqa: PLC0415

    app = WatchApp(Looker(path), every_s=EVERY_S if every is None else every)
    app.run()
    if app.return_code:
        raise typer.Exit(app.return_code)


def fail_without_terminal(remedy: str) -> NoReturn:
    """End a command that would show the view to nobody."""
    message = "The live view needs a terminal for its input and output."
    fail(Refusal("NOT_A_TERMINAL", message, remedy), Exit.USAGE)


def _lines(config: Path | None, socket: Path | None, every_s: float, *, once: bool) -> None:
    since = 0
    try:
        while True:
            answer = ask(Watch(since=since), config, socket)
            last = answer.get("last_event")
            since = last if isinstance(last, int) else 0
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
            if once:
                return
            time.sleep(every_s)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:  # who read it has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("watch")(watch)
