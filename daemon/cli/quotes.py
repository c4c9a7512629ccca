"""The command that shows one symbol's market."""

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from daemon.admin_requests import Market
from daemon.cli.cells import price, short_age, short_time
from daemon.cli.console import (
    Column,
    Row,
    clean,
    print_heading,
    print_json,
    print_pairs,
    print_table,
)
from daemon.cli.link import ConfigOption, JsonOption, SocketOption, ask
from daemon.words import alike, short_number

_KINDS = ("last", "bid", "ask", "mark")
_SOURCES = {
    "stream": "heard from the stream",
    "quiet": "quiet: the venue names the same price",
    "fallback": "FALLBACK: the stream is stale, the price was asked for; no entries",
    "stale": "STALE; no entries",
}
_SAID = {"open_interest": "open interest"}


def market(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Such as BTC/USDT.")],
    *,
    depth: Annotated[
        int, typer.Option(metavar="LEVELS", help="Levels of the book on each side, 1 to 100.")
    ] = 5,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a symbol's prices, book and funding.

    Prices as heard; book, funding, open interest and candle as the venue says when asked.

    \b
    holdfast market BTC/USDT
    holdfast market ETH/USDT --depth 20 --json
    """  # noqa: D301
    answer = ask(Market(symbol=symbol.upper(), depth=depth), config, socket)
    if as_json:
        print_json(answer)
    else:
        print_market(_part(answer, "market"))


def print_market(found: Row) -> None:
    """Show it on one page."""
    book = _part(found, "book")
    sides = _sides(book)
    as_price = alike(
        *(_part(found, kind).get("price") for kind in _KINDS),
        *(side[name] for side in sides for name in ("bid", "ask")),
    )
    why = found.get("why")
    source = _SOURCES.get(str(found.get("source")), clean(found.get("source")))
    print_pairs(
        [
            ("symbol", clean(found.get("symbol")) + _only(found)),
            ("prices", source + (f" ({clean(why)})" if why else "")),
            *((kind, _price(_part(found, kind), as_price)) for kind in _KINDS),
            ("funding", _funding(_part(found, "funding"))),
            ("open interest", _interest(_part(found, "open_interest"))),
            ("candle", _candle(_part(found, "candle"))),
            *(
                ("not told", f"{_SAID.get(name, name)}: {clean(reason)}")
                for name, reason in _part(found, "failed").items()
            ),
        ]
    )
    if book:
        print_heading("Book")
        columns = [
            Column("BID QTY", price("bid_quantity"), right=True),
            Column("BID", lambda row: as_price(row["bid"]), right=True),
            Column("ASK", lambda row: as_price(row["ask"]), right=True),
            Column("ASK QTY", price("ask_quantity"), right=True),
        ]
        print_table(columns, sides, empty="empty")


def _only(found: Row) -> str:
    return "" if found.get("traded") else "  (watched, not traded)"


def _price(one: Row, shown: Callable[[object], str]) -> str:
    if one.get("price") is None:
        return ""
    age = one.get("age_s")
    old = "" if age is None else f", {short_age(age)} old"
    return f"{shown(one.get('price'))}{old}"


def _funding(funding: Row) -> str:
    if not funding:
        return ""
    return f"{clean(funding.get('rate_pct'))} % at {short_time(funding.get('next_at'))}"


def _interest(interest: Row) -> str:
    return short_number(interest.get("quantity")) if interest else ""


def _candle(candle: Row) -> str:
    if not candle:
        return ""
    prices = " ".join(f"{name} {short_number(candle.get(name))}" for name in _PRICES)
    volume = short_number(candle.get("volume"))
    return (
        f"{clean(candle.get('timeframe'))} of {short_time(candle.get('opened_at'))}: {prices}, "
        f"volume {volume}"
    )


_PRICES = ("open", "high", "low", "close")


def _sides(book: Row) -> list[Row]:
    """Return the book with both sides of a level in one row."""
    bids, asks = _rows(book.get("bids")), _rows(book.get("asks"))
    return [
        {
            "bid": _at(bids, number).get("price"),
            "bid_quantity": _at(bids, number).get("quantity"),
            "ask": _at(asks, number).get("price"),
            "ask_quantity": _at(asks, number).get("quantity"),
        }
        for number in range(max(len(bids), len(asks)))
    ]


def _at(rows: list[Row], number: int) -> Row:
    return rows[number] if number < len(rows) else {}


def _rows(value: object) -> list[Row]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def _part(row: Mapping[str, object], name: str) -> Row:
    found = row.get(name)
    return found if isinstance(found, Mapping) else {}


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("market")(market)
