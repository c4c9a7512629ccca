"""Commands that steer the daemon as a whole and its traders."""

from typing import Annotated

import typer

from daemon.admin_requests import (
    Drain,
    Pause,
    Reload,
    ResetKillSwitch,
    Resume,
    ResumeEntries,
    Snapshot,
    StopEntries,
)
from daemon.cli.console import clean, fail, is_asked, print_json, say
from daemon.cli.link import (
    ConfigOption,
    JsonOption,
    SocketOption,
    ask,
    ask_line,
    do,
    exit_of,
    rows_of,
)
from domain.errors import Refusal

TraderArgument = Annotated[str, typer.Argument(metavar="TRADER", help="See holdfast traders.")]
_STATUS = "Look before you ask again: holdfast status."


def pause(
    trader: TraderArgument,
    *,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a trader open nothing more; guards go on.

    \b
    holdfast pause trend
    """  # noqa: D301
    do(Pause(trader=trader), config, socket, as_json=as_json, afterwards=_STATUS)


def resume(
    trader: TraderArgument,
    *,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a paused trader open positions again.

    \b
    holdfast resume trend
    """  # noqa: D301
    do(Resume(trader=trader), config, socket, as_json=as_json, afterwards=_STATUS)


def stop_entries(
    *, config: ConfigOption = None, socket: SocketOption = None, as_json: JsonOption = False
) -> None:
    """Open nothing, whoever asks; exits go on."""
    do(StopEntries(), config, socket, as_json=as_json, afterwards=_STATUS)


def resume_entries(
    *, config: ConfigOption = None, socket: SocketOption = None, as_json: JsonOption = False
) -> None:
    """Take `stop-entries` back."""
    do(ResumeEntries(), config, socket, as_json=as_json, afterwards=_STATUS)


def reset_kill_switch(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on after the total drawdown closed everything.

    Drawdown counts from today's equity then. Who did it is journaled.

    \b
    holdfast reset-kill-switch
    holdfast reset-kill-switch --yes
    """  # noqa: D301
    question = "Allow entries again, with drawdown counted from today's equity?"
    if not yes and is_asked() and not typer.confirm(question):
        refusal = Refusal("NOT_CONFIRMED", "The kill switch stays.", "Answer y, or give --yes.")
        fail(refusal)
    do(ResetKillSwitch(), config, socket, as_json=as_json, afterwards=_STATUS)


def snapshot(
    *, config: ConfigOption = None, socket: SocketOption = None, as_json: JsonOption = False
) -> None:
    """Write a snapshot of the state now."""
    do(Snapshot(), config, socket, as_json=as_json, afterwards=_STATUS)


def reload(
    *, config: ConfigOption = None, socket: SocketOption = None, as_json: JsonOption = False
) -> None:
    """Have the configuration read again.

    As SIGHUP does. What can change while it runs is applied, what cannot is named. A file with an
    error changes nothing.
    """
    answer = ask(Reload(), config, socket, afterwards="See the daemon's log: reloaded.")
    if as_json:
        print_json(answer)
        return
    applied, waiting = rows_of(answer, "applied"), rows_of(answer, "needs_restart")
    for title, rows in (("in force", applied), ("not before a restart", waiting)):
        for row in rows:
            was, now = clean(row.get("was")), clean(row.get("now"))
            say(f"{title}: {clean(row.get('key'))} {now}, was {was}")
    overridden = rows_of(answer, "overridden")
    for row in overridden:
        key, now, other = (clean(row.get(name)) for name in ("key", "now", "in_force"))
        say(
            f"NOT in force: {key} {now} in the file, but {other} is set; "
            f"`{clean(row.get('ends_by'))}` ends that"
        )
    changed = "nothing else changed" if applied or waiting or overridden else "nothing changed"
    say(f"{changed}; {clean(answer.get('unchanged'))} keys are as before")


def drain(
    *, config: ConfigOption = None, socket: SocketOption = None, as_json: JsonOption = False
) -> None:
    """Stop the daemon in good order.

    Positions stay, and are guarded again at the next start.
    """
    do(Drain(), config, socket, as_json=as_json, afterwards=_STATUS)


def admin(
    line: Annotated[str, typer.Argument(metavar="JSON", help='{"command": "ping"}')],
    *,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Send a line to the admin socket, print the answer.

    \b
    holdfast admin '{"command": "kill", "name": "feed"}'
    """  # noqa: D301 - \b keeps the lines of the examples
    answer = ask_line(line, config, socket)
    print_json(answer)
    if code := exit_of(answer):
        raise typer.Exit(code)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("stop-entries")(stop_entries)
    app.command("resume-entries")(resume_entries)
    app.command("reset-kill-switch")(reset_kill_switch)
    app.command("snapshot")(snapshot)
    app.command("reload")(reload)
    app.command("drain")(drain)
    app.command("admin")(admin)
