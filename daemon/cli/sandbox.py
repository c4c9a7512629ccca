"""`holdfast sandbox`: a venue on this machine that speaks OKX's protocol, to practice on."""

import asyncio
import signal
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.console import fail, print_json, say
from daemon.cli.link import JsonOption
from domain.errors import Refusal

if TYPE_CHECKING:
    from exchanges.sandbox import Sandbox, SandboxSettings

_ALL = "BTC,ETH,SOL,XRP,DOGE"
_LARGEST_PORT = 65_535


def sandbox(  # noqa: PLR0913 - one argument an option
    *,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=_LARGEST_PORT, help="0 takes a free one.")
    ] = 8899,
    symbols: Annotated[
        str,
        typer.Option(metavar="LIST", help="Of BTC, ETH, SOL, XRP, DOGE: spot and swap of each."),
    ] = _ALL,
    balance: Annotated[
        str, typer.Option(metavar="USDT", help="What the account begins with.")
    ] = "10000",
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Another number, other prices.")
    ] = 1,
    ticks_per_second: Annotated[
        float, typer.Option(metavar="N", min=0, max=1000, help="Per symbol; 0: prices stand still.")
    ] = 4.0,
    recorded: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Play recorded prices, over and over; may be repeated."),
    ] = None,
    hedge: Annotated[
        bool, typer.Option("--hedge", help="Long and short of a swap are two positions.")
    ] = False,
    no_limits: Annotated[
        bool, typer.Option("--no-limits", help="Without OKX's rate limits.")
    ] = False,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; other machines see it then.")
    ] = "127.0.0.1",
    as_json: JsonOption = False,
) -> None:
    """Run a venue of your own that speaks OKX's protocol.

    It has prices, an account with play money, orders, stops, margin, fees and funding, and breaks
    on demand. Any OKX client that takes another address can trade there. Runs until Ctrl-C; what
    happened is gone then.

    \b
    holdfast sandbox                                 prints the configuration for a daemon
    curl -X POST localhost:8899/sandbox/price -d '{"instId": "BTC-USDT-SWAP", "last": "59000"}'
    curl -X POST localhost:8899/sandbox/faults -d '{"kind": "lost", "match": "POST trade/*"}'
    curl localhost:8899/sandbox/judge                doubled, oversold, unprotected?
    """  # noqa: D301
    from exchanges.recording import RecordingError, survey  # noqa: PLC0415 - aiohttp takes its time

    try:
        if recorded:
            survey(recorded)
        settings = _settings(
            symbols=symbols,
            balance=balance,
            port=port,
            host=host,
            seed=seed,
            ticks_per_second=0.0 if recorded else ticks_per_second,
            recorded=tuple(recorded or ()),
            limits=not no_limits,
            position_mode="long_short_mode" if hedge else "net_mode",
        )
        asyncio.run(_serve(settings, as_json=as_json))
    except RecordingError as error:
        remedy = "Give files with one frame a line: <receive time, ns> <raw JSON>."
        fail(Refusal("INVALID_RECORDING", f"{error}.", remedy))
    except OSError as error:
        why = error.strerror or str(error)
        remedy = "Give another --port; 0 takes a free one."
        fail(Refusal("PORT_UNUSABLE", f"Nothing can listen at {host}:{port}: {why}.", remedy))


def _settings(*, symbols: str, balance: str, **more: object) -> "SandboxSettings":
    from exchanges.sandbox import SandboxSettings  # noqa: PLC0415
    from exchanges.sandbox.catalog import BASES, listings  # noqa: PLC0415
    from exchanges.sandbox.numbers import parse  # noqa: PLC0415

    bases = [one.strip().upper().partition("/")[0] for one in symbols.split(",") if one.strip()]
    unknown = [one for one in bases if one not in BASES]
    if unknown or not bases:
        named = ", ".join(unknown) or "nothing"
        why = f"The sandbox does not list {named}."
        fail(Refusal("UNKNOWN_SYMBOL", why, f"Choose from {', '.join(BASES)}."))
    money = parse(balance)
    if money is None or money < 0:
        fail(Refusal("INVALID_BALANCE", f"{balance} is no amount.", "Give USDT, 0 or more."))
    balances: dict[str, Decimal] = {"USDT": money}
    return SandboxSettings(
        listings=listings(dict.fromkeys(bases)),
        balances=balances,
        **more,  # type: ignore[arg-type]
    )


async def _serve(settings: "SandboxSettings", *, as_json: bool) -> None:
    from exchanges.sandbox import running  # noqa: PLC0415

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(settings) as venue:
        if as_json:
            print_json(_facts(venue))
        else:
            _introduce(venue)
        await stop.wait()


def _facts(venue: "Sandbox") -> dict[str, object]:
    key = venue.world.settings.key
    return {
        "rest": venue.rest_url,
        "ws": venue.ws_url,
        "control": f"{venue.rest_url}/sandbox",
        "key": key.key,
        "secret": key.secret,
        "passphrase": key.passphrase,
        "instruments": list(venue.venue.market.quotes),
    }


def _introduce(venue: "Sandbox") -> None:
    key = venue.world.settings.key
    bases = dict.fromkeys(one.listing.base for one in venue.venue.market.quotes.values())
    names = ", ".join(f"{base}/USDT" for base in bases)
    lines = f"""\
A venue that speaks OKX v5 is at {venue.rest_url}; Ctrl-C ends it.

Its keys, which open nothing else:
  export OKX_API_KEY={key.key} OKX_API_SECRET={key.secret} OKX_API_PASSPHRASE={key.passphrase}

For a daemon's configuration:
  data_dir: ./practice
  metrics: {{ port: 0 }}
  account: {{ name: practice, quote: USDT, venue: sandbox }}
  venues:
    sandbox:
      exchange: okx
      environment: demo
      urls: {{ rest: "{venue.rest_url}", ws: "{venue.ws_url}" }}
  market:
    source: okx
    kind: swap
    symbols: [{names}]

What can be done to it: GET {venue.rest_url}/sandbox; how the account was traded: /sandbox/judge"""
    for line in lines.splitlines():
        typer.echo(line)
    if venue.host not in ("127.0.0.1", "localhost", "::1"):
        say("Other machines can reach it. Its control answers this one only.")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("sandbox")(sandbox)
