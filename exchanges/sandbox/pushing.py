"""Turns changes of market and accounts into frames for those who subscribed."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from exchanges.sandbox import endpoints_public as public
from exchanges.sandbox.account import Account
from exchanges.sandbox.channels import CANDLE, hears
from exchanges.sandbox.endpoints_account import positions as all_positions
from exchanges.sandbox.market import Quote, Trade
from exchanges.sandbox.money_rows import balance_and_position_row, balance_row
from exchanges.sandbox.params import Params
from exchanges.sandbox.rows import Row
from exchanges.sandbox.sockets import Socket, Sockets
from exchanges.sandbox.world import World

Json = dict[str, Any]
Book = tuple[int, list[list[str]], list[list[str]]]
_STATES = ("account", "positions")
_DEPTHS = {"books": 25, "books5": 5, "bbo-tbt": 1}


class Pushing:
    """Listens to the core, sends to sockets, with the faults in between."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sockets = Sockets(world, self._greet)
        self._books: dict[str, Book] = {}  # last published on `books`
        self._held: list[tuple[Socket, str]] = []  # pushes that the next one overtakes
        self._late: set[asyncio.TimerHandle] = set()
        world.venue.market.on_move.append(self._on_move)
        for account in world.venue.accounts:
            account.push = self._private(account)

    def _private(self, account: Account) -> Callable[[str, str, str, Callable[[], Row]], None]:
        def push(channel: str, inst_type: str, inst_id: str, render: Callable[[], Row]) -> None:
            row: Row | None = None
            for socket in self.sockets.open:
                if socket.account is not account:
                    continue
                for arg in socket.args:
                    if hears(arg, channel, inst_type, inst_id):
                        row = render() if row is None else row
                        frame: Json = {"arg": {**arg, "uid": account.uid}, "data": [row]}
                        if channel in _STATES:
                            frame["eventType"] = "event_update"
                        self._send(socket, channel, frame)

        return push

    def _send(self, socket: Socket, channel: str, frame: Json) -> None:
        if self.sockets.silent or self.sockets.half_open:
            return
        raw = orjson.dumps(frame).decode()
        fault = self._world.faults.on_push(channel, raw)
        kind = fault.kind if fault is not None else ""
        if kind == "drop":
            return
        if kind == "reorder":
            self._held.append((socket, raw))
            return
        if fault is not None and kind == "delay":
            loop = asyncio.get_running_loop()
            loop.call_later(fault.delay_ms / 1000, socket.send, raw)
            return
        socket.send(raw)
        if kind == "duplicate":
            socket.send(raw)
        if not self._held:
            return
        held = [one for one in self._held if one[0] is socket]
        self._held = [one for one in self._held if one[0] is not socket]
        for _, late in held:
            socket.send(late)

    def _public(self, channel: str, inst_id: str, render: Callable[[], Json]) -> None:
        frame: Json | None = None
        for socket in self.sockets.open:
            for arg in socket.hears.get((channel, inst_id), ()):
                frame = render() if frame is None else frame
                self._send(socket, channel, {"arg": arg, **frame})

    def _on_move(self, quote: Quote, trade: Trade | None) -> None:
        if not self.sockets.open:
            return
        name, now_ms = quote.listing.inst_id, self._world.venue.market.now_ms
        heard = self._heard(name)
        if "mark-price" in heard:
            self._public("mark-price", name, lambda: {"data": [public.mark_row(quote)]})
        if quote.listing.is_swap:
            index = quote.listing.index
            self._public("index-tickers", index, lambda: {"data": [public.index_row(quote)]})
        if trade is None:
            return
        for channel, row_of in _OF_TRADE.items():
            if channel in heard:
                self._public(channel, name, partial(_one_row, row_of, quote, trade, now_ms))
        if name in self._books:
            self._publish_book(quote)
        for channel in sorted(heard):
            if "candle" in channel:
                self._public(channel, name, partial(_candle, quote, channel, now_ms))

    def _heard(self, name: str) -> set[str]:
        """Return the channels of an instrument that somebody listens to."""
        return {
            channel
            for socket in self.sockets.open
            for channel, inst_id in socket.hears
            if inst_id == name
        }

    def _publish_book(self, quote: Quote) -> None:
        """Send what changed since the last one; forget it when nobody listens."""
        name = quote.listing.inst_id
        if not any(("books", name) in socket.hears for socket in self.sockets.open):
            del self._books[name]
            return
        before = self._books[name]
        asks, bids = quote.levels(_DEPTHS["books"])
        self._books[name] = (quote.seq, asks, bids)
        row = {
            "asks": _changes(before[1], asks),
            "bids": _changes(before[2], bids),
            "checksum": 0,
            "prevSeqId": before[0],
            "seqId": quote.seq,
            "ts": str(quote.at_ms),
        }
        self._public("books", name, lambda: {"action": "update", "data": [row]})

    def _greet(self, socket: Socket, arg: Json) -> None:
        """Send what a new subscriber gets at once."""
        channel, name = arg["channel"], arg.get("instId", "")
        account = socket.account
        if account is not None and channel in ("account", "positions", "balance_and_position"):
            self._send_snapshot(socket, account, arg)
            return
        quote = self._world.venue.market.quotes.get(name)
        if quote is None:
            return
        frame = self._first(quote, channel)
        if frame is not None:
            self._send(socket, channel, {"arg": arg, **frame})

    def repeat_prices(self, quiet_ms: int) -> None:
        """Send prices that have stood still for so long again."""
        market = self._world.venue.market
        for quote in market.quotes.values():
            if quote.at_ms <= market.now_ms - quiet_ms:
                self._on_move(quote, market.repeat(quote))

    def regular(self) -> None:
        """Send what account and positions are, though nothing happened, as the venue does."""
        for socket in self.sockets.open:
            for arg in socket.args:
                if socket.account is not None and arg["channel"] in _STATES:
                    self._send_snapshot(socket, socket.account, arg)

    def _send_snapshot(self, socket: Socket, account: Account, arg: Json) -> None:
        rows = _snapshot(account, arg["channel"], arg)
        frame: Json = {"arg": {**arg, "uid": account.uid}, "data": rows}
        if arg["channel"] in _STATES:
            frame |= {"eventType": "snapshot", "curPage": 1, "lastPage": True}
        self._send(socket, arg["channel"], frame)

    def _first(self, quote: Quote, channel: str) -> Json | None:
        now_ms = self._world.venue.market.now_ms
        if channel == "books":
            known = self._books.get(quote.listing.inst_id)
            if known is None or known[0] != quote.seq:
                known = (quote.seq, *quote.levels(_DEPTHS["books"]))
                self._books[quote.listing.inst_id] = known
            row = {
                "asks": known[1],
                "bids": known[2],
                "checksum": 0,
                "prevSeqId": -1,
                "seqId": known[0],
                "ts": str(quote.at_ms),
            }
            return {"action": "snapshot", "data": [row]}
        if CANDLE.fullmatch(channel):
            return _candle(quote, channel, now_ms) if quote.bars else None
        rows: dict[str, Callable[[], Row]] = {
            "tickers": lambda: public.ticker_row(quote, now_ms),
            "mark-price": lambda: public.mark_row(quote),
            "books5": lambda: _book(quote, 5),
            "bbo-tbt": lambda: _book(quote, 1),
            "funding-rate": lambda: public.funding_row(quote, now_ms),
            "open-interest": lambda: public.interest_row(quote, now_ms),
            "price-limit": lambda: public.limit_row(quote),
        }
        return {"data": [rows[channel]()]} if channel in rows else None


def _snapshot(account: Account, channel: str, arg: Json) -> list[Row]:
    if channel == "account":
        return [balance_row(account, (arg["ccy"],) if arg.get("ccy") else ())]
    if channel == "positions":
        return all_positions(account, Params({**arg, "instType": "ANY"}))
    names = tuple(account.assets)
    return [balance_and_position_row(account, "snapshot", names, account.open_positions(), None)]


def _book(quote: Quote, depth: int) -> Row:
    return {**public.book_row(quote, depth), "instId": quote.listing.inst_id}


RowOfTrade = Callable[[Quote, Trade, int], Row]
_OF_TRADE: dict[str, RowOfTrade] = {  # what a trade is told on, in this order
    "tickers": lambda quote, _, now_ms: public.ticker_row(quote, now_ms),
    "trades": lambda quote, trade, _: {**public.trade_row(quote, trade), "count": "1"},
    "trades-all": lambda quote, trade, _: public.trade_row(quote, trade),
    "books5": lambda quote, *_: _book(quote, _DEPTHS["books5"]),
    "bbo-tbt": lambda quote, *_: _book(quote, _DEPTHS["bbo-tbt"]),
}


def _one_row(row_of: RowOfTrade, quote: Quote, trade: Trade, now_ms: int) -> Json:
    return {"data": [row_of(quote, trade, now_ms)]}


def _changes(before: list[list[str]], after: list[list[str]]) -> list[list[str]]:
    """Return levels that are new or changed, and those that are gone with size 0."""
    kept = {level[0] for level in after}
    gone = [[level[0], "0", "0", "0"] for level in before if level[0] not in kept]
    return gone + [level for level in after if level not in before]


def _candle(quote: Quote, channel: str, now_ms: int) -> Json:
    minutes = public.bar_minutes(channel.removeprefix("mark-price-").removeprefix("candle"))
    bar = public.bars_of(quote, minutes)[-1]
    closed = bar.open_ms + max(1, minutes) * 60_000 <= now_ms
    row = public.candle_row(quote, bar, is_closed=closed)
    return {"data": [[*row[:5], row[-1]] if channel.startswith("mark-price-") else row]}
