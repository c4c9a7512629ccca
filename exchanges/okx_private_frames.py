"""Reads OKX's private frames (v5): raw text in, updates of the port out, and nothing else touched.

| channel | path | becomes |
|---|---|---|
| orders | private | the fill a row tells of, then the order; of what a stop created, under its id |
| orders-algo, algo-advance | business | orders that wait for a trigger: open, fired, out, failed |
| account | private | balances that changed |
| positions | private | holdings with liquidation price and leverage |
| balance_and_position | private | holdings, sooner; its balances say nothing of what is available |

A fill of an order without an id of ours is an `OutsideFill`. An order that has no owner's id at all
is not told of as an order: a person placed it, and its fills are. A report of positions names all
sides of a symbol that it names, so that a side gone flat does not hide the other one.

What comes in is a stranger's text: what is wrong with it becomes `on_bad_frame(why)`, never an
exception, and does not spoil the rest of its frame. A row of an instrument that nobody here trades
becomes `on_unlisted`.

Source: www.okx.com/docs-v5/en (websocket: order, algo orders, advance algo orders, account,
positions, balance and position channel; error codes).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import orjson
from msgspec.structs import replace

from domain.ids import Symbol, identity_of
from domain.order import Fill
from exchanges.dialect import PONG, Answer, LoginRefused, Notice, ShutdownNotice, Unlisted
from exchanges.frame_checks import excerpt
from exchanges.okx_errors import code_of
from exchanges.okx_fields import Row
from exchanges.okx_private_told import Side, Told
from exchanges.port import (
    Balance,
    BalanceReport,
    PositionReport,
    VenueOrder,
    VenuePosition,
    VenueUpdate,
)
from exchanges.rest import LieError, stamp_ms
from exchanges.translate import (
    Instruments,
    algo_from_row,
    balance_from_row,
    children_of,
    direction_of,
    fill_from_order_row,
    is_listed,
    order_from_row,
    outside_fill,
    position_from_row,
)
from exchanges.verdict import Verdict

LOGIN = "login"  # what confirms a login
# Without these, an account is watched all the same: by the other channels and by asking.
OPTIONAL_CHANNELS = frozenset({"algo-advance", "balance_and_position"})
_RESTARTS = "64008"
_UNLISTED = "60018"
_CHANNEL = re.compile(r"channel:([\w-]+)")
_TOO_MANY = "channel-conn-count-error"
_MARGIN_MODES = frozenset({"cross", "isolated"})


class AccountSink(Protocol):
    """Who receives what a private stream says. Called synchronously from the reader."""

    def on_frame(self) -> None:
        """Count a frame; called before what it says."""

    def on_update(self, update: VenueUpdate) -> None:
        """Take an update."""

    def on_bad_frame(self, why: str) -> None:
        """Note a frame, or a row of one, that cannot be used."""

    def on_unlisted(self, name: str) -> None:
        """Note a row of an instrument that is not traded here, or of a channel not asked for."""


def read_frame(
    raw: bytes | str, instruments: Instruments, sink: AccountSink, told: Told
) -> Notice | None:
    """Hand what `raw` says to `sink`; return the notice instead when that is what it is."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if raw in (b"pong", "pong"):
            return PONG
        sink.on_frame()
        sink.on_bad_frame(f"not JSON ({error}): {excerpt(raw)}")
        return None
    if type(message) is dict and "event" in message:
        notice = _notice_in(message)
        if notice is None:  # of no use here
            sink.on_frame()
        return notice
    sink.on_frame()
    try:
        channel, rows = _rows_of(message)
    except LieError as lie:
        sink.on_bad_frame(str(lie))
        return None
    reader = _READERS.get(channel)
    if reader is None:
        sink.on_unlisted(excerpt(channel))
        return None
    good = [row for row in rows if type(row) is dict]
    if len(good) < len(rows):
        sink.on_bad_frame(f"{channel}: {len(rows) - len(good)} rows are no objects")
    reader(good, instruments, sink, told)
    return None


def notice_in(raw: bytes | str) -> Notice | None:
    """Return the notice that `raw` is, if it is one; nothing else is looked at."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return PONG if raw in (b"pong", "pong") else None
    return _notice_in(message) if type(message) is dict else None


def _notice_in(message: Mapping[str, Any]) -> Notice | None:
    """Return the notice in an event; None for one that is of no use here."""
    event, code = message.get("event"), message.get("code")
    if event == "login" and code in ("0", None):
        return Answer(LOGIN, "")
    if event == "subscribe":
        arg = message.get("arg")
        return Answer(excerpt(arg.get("channel")), "") if type(arg) is dict else None
    if event in ("error", "login"):
        return _refusal(excerpt(code), message.get("msg"))
    if event == _TOO_MANY:
        channel = excerpt(message.get("channel"))
        return Answer(None, f"{channel}: too many connections of this account subscribe to it")
    if event == "notice" and code == _RESTARTS:
        return ShutdownNotice()
    return None


def _refusal(code: str, text: Any) -> Notice:
    # What the venue could not read it repeats, a login with its passphrase too: not into any log.
    words = text.partition("{")[0].strip() if type(text) is str else text
    error = f"{code} {excerpt(words)}".strip(" .")
    known = code_of(code)
    if known.verdict in (Verdict.LOGIN, Verdict.SKEWED):
        told = f"{error}. {known.remedy}".removesuffix(". ")
        return LoginRefused(told, is_final=known.verdict is Verdict.LOGIN)
    if code == _UNLISTED and type(text) is str:
        named = _CHANNEL.search(text)
        if named is not None and named[1] in OPTIONAL_CHANNELS:
            return Unlisted(named[1], error)
    return Answer(None, error)


def _rows_of(message: Any) -> tuple[str, list[Any]]:
    if type(message) is not dict:
        raise LieError(f"not an object: {excerpt(message)}")
    arg, rows = message.get("arg"), message.get("data")
    if type(arg) is not dict or type(rows) is not list:
        raise LieError(f"neither event nor data of a channel: {excerpt(message)}")
    channel = arg.get("channel")
    if type(channel) is not str:
        raise LieError(f"channel is {excerpt(channel)}, not text")
    return channel, rows


# Orders


def _read_orders(
    rows: Sequence[Row], instruments: Instruments, sink: AccountSink, told: Told
) -> None:
    """Tell the fill even of a row that is wrong otherwise: the money moved."""
    for listed in _listed(rows, instruments, sink):
        row = _with_owner(listed, told)
        with _noting(sink, "orders"):
            _tell_fill(row, fill_from_order_row(row, instruments), sink, told)
        with _noting(sink, "orders"):
            _tell_order(order_from_row(row, instruments), sink, told)


def _tell_fill(row: Row, fill: Fill | None, sink: AccountSink, told: Told) -> None:
    if fill is None or told.has_fill(fill.trade_id):
        return
    is_ours = identity_of(fill.client_order_id) is not None
    sink.on_update(fill if is_ours else outside_fill(row, fill))
    told.note_fill(fill.trade_id)


def _tell_order(order: VenueOrder, sink: AccountSink, told: Told) -> None:
    if order.terms.client_order_id and told.is_news(order):
        sink.on_update(order)
        told.note_order(order)


def _read_algos(
    rows: Sequence[Row], instruments: Instruments, sink: AccountSink, told: Told
) -> None:
    for row in _listed(rows, instruments, sink):
        with _noting(sink, "orders-algo"):
            order = algo_from_row(row, instruments)
            if order.terms.client_order_id:
                for child in children_of(row):
                    told.note_child(child, order.terms.client_order_id)
            _tell_order(order, sink, told)


def _with_owner(row: Row, told: Told) -> Row:
    """Name the stop that created an order, where its row does not and the stop's row did."""
    order_id = row.get("ordId")
    if type(order_id) is str and not row.get("algoClOrdId") and not row.get("clOrdId"):
        owner = told.owner_of(order_id)
        if owner is not None:
            return {**row, "algoClOrdId": owner}
    return row


# Balances and positions


def _read_account(
    rows: Sequence[Row], instruments: Instruments, sink: AccountSink, told: Told
) -> None:
    del instruments
    fresh: dict[str, tuple[int, Balance]] = {}
    for row in rows:
        for detail in _objects(row, "details", sink):
            with _noting(sink, "account"):
                balance = balance_from_row(detail)
                stamp = detail.get("uTime") or row.get("uTime")
                at_ms = stamp_ms(stamp) if stamp else 0
                if told.is_balance_news(balance, at_ms):
                    fresh[balance.asset] = (at_ms, balance)
    if fresh:
        sink.on_update(BalanceReport(tuple(balance for _, balance in fresh.values())))
    for at_ms, balance in fresh.values():
        told.note_balance(balance, at_ms)


def _read_positions(
    rows: Sequence[Row], instruments: Instruments, sink: AccountSink, told: Told
) -> None:
    touched: dict[Symbol, None] = {}
    for row in _listed(rows, instruments, sink):
        with _noting(sink, "positions"):
            side, position = _side_of(row), position_from_row(row, instruments)
            known = told.position(side)
            news = position if known is None else _after(known, position, row)
            if news is not None:
                told.note_position(side, news)
                touched[news.symbol] = None
    if touched:
        held = tuple(each for symbol in touched for each in told.holdings(symbol))
        sink.on_update(PositionReport(held))


def _after(known: VenuePosition, told: VenuePosition, row: Row) -> VenuePosition | None:
    """Return what a row adds to what is known of its side; None for nothing new.

    The venue says the same every few seconds.
    """
    if known.updated_at and told.updated_at and told.updated_at < known.updated_at:
        return None
    if "liqPx" in row:
        return told if replace(told, updated_at=known.updated_at) != known else None
    # The other channel tells no more than this; what only `positions` knows stands beside it.
    if (told.quantity, told.average_price) == (known.quantity, known.average_price):
        return None
    liquidation = known.liquidation_price if told.quantity else None
    return replace(told, liquidation_price=liquidation, leverage=known.leverage)


def _read_both(
    rows: Sequence[Row], instruments: Instruments, sink: AccountSink, told: Told
) -> None:
    held = [each for row in rows for each in _objects(row, "posData", sink)]
    _read_positions(held, instruments, sink, told)


def _side_of(row: Row) -> Side:
    mode, direction = row.get("mgnMode"), direction_of(row)
    return (
        row["instId"],
        mode if type(mode) is str and mode in _MARGIN_MODES else "",
        "" if direction is None else direction.value,
    )


# What the readers share


@contextmanager
def _noting(sink: AccountSink, channel: str) -> Iterator[None]:
    """Note a row that cannot be believed, and go on with the next."""
    try:
        yield
    except LieError as lie:
        sink.on_bad_frame(f"{channel}: {lie}")


def _listed(rows: Sequence[Row], instruments: Instruments, sink: AccountSink) -> Iterator[Row]:
    """Yield the rows of what somebody here trades."""
    for row in rows:
        if is_listed(row, instruments):
            yield row
        else:
            sink.on_unlisted(excerpt(row.get("instId")))


def _objects(row: Row, field: str, sink: AccountSink) -> list[Row]:
    listed = row.get(field, [])
    if type(listed) is not list or not all(type(each) is dict for each in listed):
        sink.on_bad_frame(f"{field} is {excerpt(listed)}, not a list of objects")
        return []
    return listed


_Reader = Callable[[Sequence[Row], Instruments, AccountSink, Told], None]
_READERS: dict[str, _Reader] = {
    "orders": _read_orders,
    "orders-algo": _read_algos,
    "algo-advance": _read_algos,
    "account": _read_account,
    "positions": _read_positions,
    "balance_and_position": _read_both,
}
