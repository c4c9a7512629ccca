"""Commands that change positions: open, close, and what guards them."""

from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from daemon.admin_requests import (
    Add,
    AddTarget,
    CancelTarget,
    Close,
    CloseAll,
    ModifyTarget,
    MoveStop,
    Open,
    TrailStop,
)
from daemon.cli import numbers
from daemon.cli.cells import outcome, refusals_said
from daemon.cli.console import Exit, complain, fail, is_asked, print_json, say
from daemon.cli.link import (
    ConfigOption,
    IdArgument,
    JsonOption,
    SocketOption,
    ask,
    do,
    rows_of,
)
from domain.errors import Refusal
from domain.instrument import Direction, PriceSource
from domain.money import ONE

_NUMBERS = {"ignore_unknown_options": True}  # "-5" is a price that is refused, not an option

TargetArgument = Annotated[
    str, typer.Argument(metavar="TARGET", help="Such as target-1, see holdfast position ID.")
]
BasedOn = Annotated[
    int | None,
    typer.Option(metavar="VERSION", help="Refuse if the protection has changed since."),
]


def open_position(  # noqa: PLR0913 - one option each
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Such as BTC/USDT.")],
    direction: Annotated[Direction, typer.Argument(metavar="long|short")],
    *,
    quantity: Annotated[
        str | None, typer.Option(metavar="BASE", help="Size in base units, such as 0.01.")
    ] = None,
    notional: Annotated[
        str | None, typer.Option(metavar="QUOTE", help="Size in quote, such as 500.")
    ] = None,
    risk: Annotated[
        str | None,
        typer.Option(metavar="PART", help="Size so that the stop loses this much of equity: 1%."),
    ] = None,
    stop: Annotated[str | None, typer.Option(metavar="PRICE", help="Stop loss.")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="PRICE:PART", help="Take profit for a part: 62000:50%. Repeatable."),
    ] = None,
    trail: Annotated[
        str | None,
        typer.Option(
            metavar="RATIO|DISTANCE",
            help="Trailing stop: 2%, or 150 in quote; no nearer than both fees take.",
        ),
    ] = None,
    breakeven: Annotated[
        str | None,
        typer.Option(metavar="PRICE", help="When reached, the stop moves to entry plus fees."),
    ] = None,
    limit: Annotated[
        str | None, typer.Option(metavar="PRICE", help="Enter at this price; else at market.")
    ] = None,
    leverage: Annotated[str, typer.Option(metavar="TIMES", help="Leverage.")] = "1",
    max_holding: Annotated[
        str | None, typer.Option(metavar="TIME", help="Close after this long: 90s, 15m, 2h, 1d.")
    ] = None,
    watch: Annotated[
        PriceSource, typer.Option(metavar="last|bid|ask|mark", help="The price that exits watch.")
    ] = PriceSource.LAST,
    stop_watch: Annotated[
        PriceSource | None,
        typer.Option(metavar="PRICE", help="The price that stop and trail watch, if another."),
    ] = None,
    target_watch: Annotated[
        PriceSource | None,
        typer.Option(metavar="PRICE", help="The price that targets watch, if another."),
    ] = None,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a position of the trader `manual`.

    \b
    holdfast open BTC/USDT long --notional 500 --stop 60000 --target 62000:50%
    holdfast open ETH/USDT short --risk 1% --stop 2700 --trail 1.5%
    holdfast open SOL/USDT long --quantity 2 --limit 150.5 --stop 145 --max-holding 2h
    holdfast open BTC/USDT long --risk 1% --stop 60000 --target 66000:50% --stop-watch mark
    """  # noqa: D301
    ratio, distance = numbers.trail(trail)
    position_id = str(uuid4())
    request = Open(
        symbol=symbol.upper(),
        direction=direction,
        quantity=numbers.optional("quantity", quantity),
        notional=numbers.optional("notional", notional),
        risk=None if risk is None else numbers.fraction("risk", risk),
        stop=numbers.optional("stop", stop),
        targets=tuple(numbers.target(text) for text in target or ()),
        trail_ratio=ratio,
        trail_distance=distance,
        breakeven=numbers.optional("breakeven", breakeven),
        limit_price=numbers.optional("limit_price", limit),
        leverage=numbers.amount("leverage", leverage),
        max_holding_s=numbers.duration_s(max_holding),
        watches=watch,
        stop_watches=stop_watch,
        target_watches=target_watch,
        position_id=position_id,
    )
    afterwards = f"Look before you ask again: holdfast position {position_id}"
    do(request, config, socket, as_json=as_json, afterwards=afterwards)


def add(  # noqa: PLR0913 - one option each
    position: IdArgument,
    *,
    quantity: Annotated[
        str | None, typer.Option(metavar="BASE", help="Size in base units, such as 0.01.")
    ] = None,
    notional: Annotated[
        str | None, typer.Option(metavar="QUOTE", help="Size in quote, such as 500.")
    ] = None,
    risk: Annotated[
        str | None,
        typer.Option(metavar="PART", help="Size so that it loses this much of equity at the stop."),
    ] = None,
    limit: Annotated[
        str | None, typer.Option(metavar="PRICE", help="Add at this price; else at market.")
    ] = None,
    stop: Annotated[
        str | None, typer.Option(metavar="PRICE", help="Move the stop of the whole here first.")
    ] = None,
    widen: Annotated[
        bool, typer.Option("--widen", help="Allow the stop to move away: more risk than before.")
    ] = False,
    number: Annotated[
        int | None,
        typer.Option(metavar="N", help="Only as the Nth addition: asked again, it adds nothing."),
    ] = None,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enlarge an open position by one more entry.

    It is guarded with the rest.

    \b
    holdfast add 3f2a --notional 300
    holdfast add 3f2a --quantity 0.01 --limit 61000 --stop 60500
    """  # noqa: D301
    request = Add(
        position=position,
        quantity=numbers.optional("quantity", quantity),
        notional=numbers.optional("notional", notional),
        risk=None if risk is None else numbers.fraction("risk", risk),
        limit_price=numbers.optional("limit_price", limit),
        stop=numbers.optional("stop", stop),
        widen=widen,
        number=number,
    )
    afterwards = f"Look before you ask again: holdfast position {position}"
    do(request, config, socket, as_json=as_json, afterwards=afterwards)


def close(
    position: Annotated[
        str | None, typer.Argument(metavar="ID", help="Its id, or a unique beginning.")
    ] = None,
    *,
    part: Annotated[
        str | None, typer.Option(metavar="PART", help="Only a part of what remains: 50%.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Close every position.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close a position at market, a part of it, or all.

    Exit code 4 if it is not through after two seconds; it is tried until it is. With --all it is
    not waited for: exit code 1 if one of them cannot be closed, 4 if it is not known of one.

    \b
    holdfast close 3f2a --part 50%
    holdfast close --all
    """  # noqa: D301
    if everything == (position is not None) or (everything and part):
        message = "Name one position, or all of them with --all."
        raise typer.BadParameter(message)
    if not everything:
        assert position is not None  # one of the two
        share = ONE if part is None else numbers.fraction("part", part)
        _close_one(Close(position=position, part=share), config, socket, as_json=as_json)
        return
    if not yes and is_asked() and not typer.confirm("Close every position at market?"):
        fail(Refusal("NOT_CONFIRMED", "Nothing was closed.", "Answer y, or give --yes."))
    answer = ask(CloseAll(), config, socket, afterwards="Look: holdfast positions.")
    if as_json:
        print_json(answer)
    else:
        say(outcome(answer))
        for line in refusals_said(answer):
            complain(f"error {line}")
    rules = {str(each.get("rule")) for each in rows_of(answer, "refused")}
    if rules:
        raise typer.Exit(Exit.UNKNOWN if "NO_ANSWER" in rules else Exit.REFUSED)


def _close_one(request: Close, config: Path | None, socket: Path | None, *, as_json: bool) -> None:
    answer = ask(request, config, socket, afterwards="Look: holdfast positions.")
    if as_json:
        print_json(answer)
    else:
        say(outcome(answer))
    if answer.get("under_way"):
        if not as_json:
            complain(f"→ See why: holdfast position {request.position}, holdfast mode")
        raise typer.Exit(Exit.UNKNOWN)


def move_stop(
    position: IdArgument,
    price: Annotated[str, typer.Argument(metavar="PRICE")],
    *,
    widen: Annotated[
        bool, typer.Option("--widen", help="Allow it to move away: more risk than before.")
    ] = False,
    based_on: BasedOn = None,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a stop loss, or set one.

    \b
    holdfast move-stop 3f2a 60500
    holdfast move-stop 3f2a 59000 --widen
    """  # noqa: D301
    request = MoveStop(
        position=position, price=numbers.amount("price", price), widen=widen, based_on=based_on
    )
    do(request, config, socket, as_json=as_json)


def trail_stop(
    position: IdArgument,
    trail: Annotated[str, typer.Argument(metavar="RATIO|DISTANCE", help="2%, or 150 in quote.")],
    *,
    widen: Annotated[
        bool, typer.Option("--widen", help="Allow it to follow from further away.")
    ] = False,
    based_on: BasedOn = None,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set or replace a trailing stop.

    A new one keeps the best price that the old one has seen. No nearer than both fees take.

    \b
    holdfast trail-stop 3f2a 1.5%
    holdfast trail-stop 3f2a 150
    """  # noqa: D301
    ratio, distance = numbers.trail(trail)
    request = TrailStop(
        position=position,
        trail_ratio=ratio,
        trail_distance=distance,
        widen=widen,
        based_on=based_on,
    )
    do(request, config, socket, as_json=as_json)


def add_target(
    position: IdArgument,
    target: Annotated[str, typer.Argument(metavar="PRICE:PART", help="62000:50%")],
    *,
    based_on: BasedOn = None,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a target.

    \b
    holdfast add-target 3f2a 62000:50%
    """  # noqa: D301
    wanted = numbers.target(target)
    request = AddTarget(position=position, price=wanted.price, part=wanted.part, based_on=based_on)
    do(request, config, socket, as_json=as_json)


def modify_target(
    position: IdArgument,
    target: TargetArgument,
    wanted: Annotated[str, typer.Argument(metavar="PRICE[:PART]", help="62000, or 62000:50%")],
    *,
    based_on: BasedOn = None,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a target's price, or price and part.

    \b
    holdfast modify-target 3f2a target-1 62500
    holdfast modify-target 3f2a target-1 62500:30%
    """  # noqa: D301
    price, colon, part = wanted.partition(":")
    request = ModifyTarget(
        position=position,
        target=target,
        price=numbers.amount("price", price),
        part=numbers.fraction("part", part) if colon else None,
        based_on=based_on,
    )
    do(request, config, socket, as_json=as_json)


def cancel_target(
    position: IdArgument,
    target: TargetArgument,
    *,
    based_on: BasedOn = None,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a target out.

    \b
    holdfast cancel-target 3f2a target-2
    """  # noqa: D301
    request = CancelTarget(position=position, target=target, based_on=based_on)
    do(request, config, socket, as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("open", context_settings=_NUMBERS)(open_position)
    app.command("add", context_settings=_NUMBERS)(add)
    app.command("close")(close)
    app.command("move-stop", context_settings=_NUMBERS)(move_stop)
    app.command("trail-stop", context_settings=_NUMBERS)(trail_stop)
    app.command("add-target", context_settings=_NUMBERS)(add_target)
    app.command("modify-target", context_settings=_NUMBERS)(modify_target)
    app.command("cancel-target")(cancel_target)
