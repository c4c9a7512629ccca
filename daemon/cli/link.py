"""How commands reach the daemon: find its socket, ask, and tell apart what may have gone wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer

from daemon.admin_client import (
    ANSWER_S,
    AdminClient,
    Answer,
    AnswerLostError,
    UnreachableError,
    refusal_in,
)
from daemon.admin_grammar import check
from daemon.admin_requests import LONG, LONG_ANSWER_S, READS, AnyAdminRequest
from daemon.cli.cells import outcome
from daemon.cli.console import Exit, changed, fail, print_json, say
from daemon.config_file import ConfigError, ConfigFile, find
from domain.errors import Refusal

_MANY = 20
_UNKNOWN_OUTCOMES = frozenset({"ANSWER_TIMEOUT", "NO_ANSWER", "INTERNAL_ERROR"})


def _is_typed(context: typer.Context, option: str) -> bool:
    """Whether an option was given on the command line, not by a variable."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _named(context: typer.Context, socket: Path | None) -> Path | None:
    """Return the socket that counts: what was typed goes before what a variable says.

    Both typed must mean the same daemon.
    """
    config = context.params.get("config")  # as text yet
    if socket is None or config is None or not _is_typed(context, "config"):
        return socket
    if not _is_typed(context, "socket"):
        return None  # as that configuration says
    try:
        said = find(Path(config)).socket_path()
    except ConfigError:
        return socket  # it does not say
    if said.resolve() != socket.resolve():
        why = f"{config} says that its daemon listens at {said}, not at {socket}."
        fail(Refusal("TWO_DAEMONS", why, "Give --config or --socket, not both."), Exit.USAGE)
    return socket


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="HOLDFAST_CONFIG",
        is_eager=True,  # read before --socket, which needs to know where it came from
        metavar="FILE",
        help="The configuration.  [default: ./config.yaml]",
        show_default=False,
    ),
]
SocketOption = Annotated[
    Path | None,
    typer.Option(
        "--socket",
        envvar="HOLDFAST_SOCKET",
        callback=_named,
        metavar="PATH",
        readable=False,  # another user's is told apart when it is asked
        help="The daemon's admin socket.  [default: as the configuration says]",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Its id, or a unique beginning.")]


def config_file(named: Path | None) -> ConfigFile:
    """Return the configuration that a command uses."""
    return find(named)


def fail_config(error: ConfigError) -> NoReturn:
    """Print every problem of a configuration and end the command."""
    _need_file(error)
    lines = error.lines()
    for line in lines[:_MANY]:
        typer.echo(line, err=True)
    if len(lines) > _MANY:
        typer.echo(f"… and {len(lines) - _MANY} more", err=True)
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    fail(
        Refusal(
            rule="INVALID_CONFIG",
            message=f"{error.path} cannot be used: {count}, see above.",
            remedy="Mend the file; holdfast config check shows what is left.",
        )
    )


def _need_file(error: ConfigError) -> None:
    """End the command if what is wrong with a configuration is that it is not there."""
    if not error.path.exists():
        remedy = "Name another with --config; without it ./config.yaml or the shipped one is used."
        fail(Refusal("CONFIG_NOT_FOUND", f"There is no file {error.path}.", remedy))


def socket_of(config: Path | None, socket: Path | None) -> Path:
    """Find the admin socket."""
    if socket is not None:
        return socket
    try:
        return find(config).socket_path()
    except ConfigError as error:
        _need_file(error)
        problem = "; ".join(error.lines()[:3])
        refusal = Refusal(
            rule="SOCKET_NOT_FOUND",
            message=f"The configuration does not say where the daemon listens: {problem}.",
            remedy="Mend it, or give --socket PATH.",
        )
        fail(refusal)


def ask(
    request: AnyAdminRequest,
    config: Path | None,
    socket: Path | None,
    *,
    afterwards: str = "Look before you ask again: holdfast status.",
) -> Answer:
    """Ask the daemon and return its answer; on anything else print it and end the command.

    `afterwards` is what to do when the answer is lost.
    """
    refusal = check(request)
    if refusal:
        fail(refusal)
    path = socket_of(config, socket)
    timeout_s = LONG_ANSWER_S + ANSWER_S if isinstance(request, LONG) else ANSWER_S
    try:
        with AdminClient(path, timeout_s=timeout_s) as client, _interrupted(client, request):
            answer = client.ask(request)
    except UnreachableError as error:
        fail(nobody(path, error), Exit.UNREACHABLE)
    except AnswerLostError as error:
        fail(lost(error, afterwards), Exit.UNKNOWN)
    if isinstance(answer, Refusal):
        fail(answer, _exit_of(answer))
    if not isinstance(request, READS):
        changed()
    return answer


@contextmanager
def _interrupted(client: AdminClient, request: AnyAdminRequest | None) -> Iterator[None]:
    """Tell Ctrl-C after something was sent as what it is: its answer is lost, it may be done."""
    try:
        yield
    except KeyboardInterrupt:
        if isinstance(request, READS) or not client.is_connected:
            raise
        why = "interrupted"
        raise AnswerLostError(why) from None


def do(
    request: AnyAdminRequest,
    config: Path | None,
    socket: Path | None,
    *,
    as_json: bool,
    afterwards: str = "Look before you ask again: holdfast positions.",
) -> None:
    """Ask for a change and print what became of it."""
    answer = ask(request, config, socket, afterwards=afterwards)
    if as_json:
        print_json(answer)
    else:
        say(outcome(answer))


def ask_line(line: str, config: Path | None, socket: Path | None) -> Answer:
    """Send a line as somebody wrote it; return the whole answer."""
    path = socket_of(config, socket)
    try:
        with AdminClient(path) as client, _interrupted(client, None):
            answer = client.ask_line(line.replace("\n", " ").encode())
            changed()  # it may have
            return answer
    except UnreachableError as error:
        fail(nobody(path, error), Exit.UNREACHABLE)
    except AnswerLostError as error:
        fail(lost(error, "Look before you ask again."), Exit.UNKNOWN)


def exit_of(answer: Answer) -> Exit:
    """Return how a command ends with a whole answer."""
    try:
        refusal = refusal_in(answer)
    except AnswerLostError:
        return Exit.UNKNOWN
    return Exit.OK if refusal is None else _exit_of(refusal)


def _exit_of(refusal: Refusal) -> Exit:
    return Exit.UNKNOWN if refusal.rule in _UNKNOWN_OUTCOMES else Exit.REFUSED


def rows_of(answer: Answer, name: str) -> list[dict[str, object]]:
    """Return the named list of an answer."""
    return msgspec.convert(answer.get(name, []), list[dict[str, object]])


def nobody(path: Path, error: UnreachableError) -> Refusal:
    """Say that no daemon was there; nothing was sent."""
    if isinstance(error.__cause__, PermissionError):
        return Refusal(
            rule="NOT_YOUR_DAEMON",
            message=f"The socket {path} is not for you: {error}.",
            remedy="Ask as the user who runs the daemon.",
        )
    if error.is_busy:
        return Refusal(
            rule="DAEMON_SILENT",
            message=f"The daemon at {path} takes no more connections: it hangs, or is stopped.",
            remedy="See its log, and end what asks it all the time; else restart it.",
        )
    return Refusal(
        rule="NO_DAEMON",
        message=f"No daemon answers at {path}: {error}.",
        remedy="Start one with holdfast run, or name its --config or --socket.",
    )


def lost(error: AnswerLostError, afterwards: str) -> Refusal:
    """Say that an answer got lost; `afterwards` is what to do now."""
    return Refusal(
        rule="ANSWER_LOST",
        message=f"The answer was lost ({error}); whether it was done is not known.",
        remedy=afterwards,
    )
