"""What a server must do for ccxt's OKX clients: each check a life or a rule, in ccxt's words.

Prices are read, not assumed, so that the checks also run where the market moves. A check raises
`AssertionError`, or what ccxt raises; `Skipped` when the server cannot be told to do something.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import ccxt

SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
_PATIENCE_S = 10.0


class Skipped(Exception):  # noqa: N818 - no error
    """The server has no control to do this with."""


@dataclass
class Bench:
    """Two unmodified clients of one login, and a way to move the price where there is one."""

    rest: Any  # ccxt.async_support.okx
    pro: Any  # ccxt.pro.okx
    other: Callable[..., Any]  # makes a client of another login
    move_price: Callable[[str, str], Awaitable[None]] | None = None
    tasks: list[asyncio.Task] = field(default_factory=list)

    async def last(self, symbol: str) -> Decimal:
        return Decimal(str((await self.rest.fetch_ticker(symbol))["last"]))

    def price(self, symbol: str, price: Decimal) -> float:
        return float(self.rest.price_to_precision(symbol, float(price)))

    async def to(self, symbol: str, price: Decimal) -> None:
        if self.move_price is None:
            raise Skipped("the price cannot be set")
        await self.move_price(self.rest.market_id(symbol), str(price))

    def watch(self, call: Callable[[], Awaitable[Any]]) -> "Watcher":
        watcher = Watcher(call)
        self.tasks.append(watcher.task)
        return watcher


class Watcher:
    """Calls a watch method over and over, keeps what came."""

    def __init__(self, call: Callable[[], Awaitable[Any]]) -> None:
        self.seen: list[Any] = []
        self._came = asyncio.Event()
        self.task = asyncio.create_task(self._run(call))

    async def _run(self, call: Callable[[], Awaitable[Any]]) -> None:
        while True:
            came = await call()
            self.seen += deepcopy(came) if isinstance(came, list) else [deepcopy(came)]
            self._came.set()

    async def until(self, wanted: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                for one in self.seen:
                    if wanted(one):
                        return one
                if self.task.done():
                    self.task.result()
                await self._came.wait()
                self._came.clear()


Check = Callable[[Bench], Awaitable[None]]
CHECKS: list[tuple[str, Check]] = []


def check(name: str) -> Callable[[Check], Check]:
    def add(function: Check) -> Check:
        CHECKS.append((name, function))
        return function

    return add


def fresh() -> str:
    return uuid.uuid4().hex


async def raises(kind: type[BaseException], call: Awaitable[Any], code: str) -> None:
    why = f"accepted, though {kind.__name__} {code} was due"
    try:
        await call
    except kind as error:
        why = str(error)
    assert f'"{code}"' in why, why


async def subscribed(bench: Bench) -> None:
    """Let the subscriptions that watchers began be confirmed: the balance comes as a snapshot."""
    balances = bench.watch(bench.pro.watch_balance)
    await balances.until(lambda one: "USDT" in one)


@check("markets, sizes and contracts")
async def markets(bench: Bench) -> None:
    spot, swap = bench.rest.market(SPOT), bench.rest.market(SWAP)
    assert spot["spot"]
    assert swap["linear"]
    assert swap["contractSize"] == 0.01
    assert swap["precision"]["price"] == 0.1


@check("public reads: time, prices, candles, books, funding")
async def public(bench: Bench) -> None:
    rest = bench.rest
    assert abs(await rest.fetch_time() - rest.milliseconds()) < 5_000
    assert SPOT in await rest.fetch_tickers([SPOT])
    candles = await rest.fetch_ohlcv(SPOT, "1m", limit=10)
    assert [row[0] for row in candles] == sorted(row[0] for row in candles)
    book = await rest.fetch_order_book(SWAP, 5)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert (await rest.fetch_funding_rate(SWAP))["fundingRate"] is not None
    assert (await rest.fetch_mark_price(SWAP))["markPrice"] > 0
    assert await rest.fetch_trades(SPOT)


@check("the account: balance, fees, position mode, leverage")
async def account(bench: Bench) -> None:
    rest = bench.rest
    assert (await rest.fetch_balance())["USDT"]["free"] > 1000
    assert (await rest.fetch_trading_fee(SPOT))["taker"] > 0
    assert (await rest.fetch_position_mode())["hedged"] is False
    await rest.set_leverage(5, SWAP, {"mgnMode": "cross"})
    assert (await rest.fetch_leverage(SWAP, {"marginMode": "cross"}))["longLeverage"] == 5


@check("spot: bought at market, fee in base, told on the stream")
async def spot_market(bench: Bench) -> None:
    rest = bench.rest
    orders = bench.watch(lambda: bench.pro.watch_orders(SPOT))
    trades = bench.watch(lambda: bench.pro.watch_my_trades(SPOT))
    await subscribed(bench)
    before = (await rest.fetch_balance())["total"].get("BTC", 0)

    placed = await rest.create_order(SPOT, "market", "buy", 0.01, None, {"clOrdId": fresh()})

    order = await rest.fetch_order(placed["id"], SPOT)
    assert (order["status"], order["filled"]) == ("closed", 0.01)
    assert order["fee"]["currency"] == "BTC"
    assert (await orders.until(lambda one: one["status"] == "closed"))["id"] == placed["id"]
    pushed = await trades.until(lambda one: one["order"] == placed["id"])
    (fetched,) = await rest.fetch_order_trades(placed["id"], SPOT)
    assert pushed["id"] == fetched["id"]
    grown = (await rest.fetch_balance())["total"]["BTC"] - before
    assert abs(grown - (0.01 - order["fee"]["cost"])) < 1e-9


@check("spot: a limit order rests, binds money, is amended and canceled")
async def spot_limit(bench: Bench) -> None:
    rest = bench.rest
    far = await bench.last(SPOT) * Decimal("0.97")
    free = (await rest.fetch_balance())["free"]["USDT"]

    placed = await rest.create_order(SPOT, "limit", "buy", 0.01, bench.price(SPOT, far))

    assert placed["id"] in [one["id"] for one in await rest.fetch_open_orders(SPOT)]
    assert (await rest.fetch_balance())["free"]["USDT"] < free
    await rest.edit_order(placed["id"], SPOT, "limit", "buy", 0.02, bench.price(SPOT, far))
    assert (await rest.fetch_order(placed["id"], SPOT))["amount"] == 0.02
    await rest.cancel_order(placed["id"], SPOT)
    assert (await rest.fetch_order(placed["id"], SPOT))["status"] == "canceled"
    await raises(ccxt.OrderNotFound, rest.cancel_order(placed["id"], SPOT), "51400")


@check("spot: a stop binds the coins, is amended, canceled; the coins are sold")
async def spot_stop(bench: Bench) -> None:
    rest, name = bench.rest, bench.rest.market_id(SPOT)
    free = Decimal(str((await rest.fetch_balance())["free"]["BTC"]))
    size = rest.amount_to_precision(SPOT, float(free))
    last = await bench.last(SPOT)
    fields = {"instId": name, "tdMode": "cash", "side": "sell", "ordType": "conditional"}
    fields |= {"sz": size, "slOrdPx": "-1", "algoClOrdId": fresh()}
    fields["slTriggerPx"] = str(bench.price(SPOT, last * Decimal("0.9")))

    answer = await rest.private_post_trade_order_algo(fields)

    algo_id = answer["data"][0]["algoId"]
    waiting = await rest.fetch_open_orders(SPOT, params={"ordType": "conditional"})
    assert algo_id in [one["id"] for one in waiting]
    await raises(
        ccxt.InsufficientFunds, rest.create_order(SPOT, "market", "sell", float(size)), "51008"
    )
    lower = str(bench.price(SPOT, last * Decimal("0.89")))
    await rest.private_post_trade_amend_algos(
        {"instId": name, "algoId": algo_id, "newSlTriggerPx": lower}
    )
    query = {"algoClOrdId": fields["algoClOrdId"]}
    found = (await rest.private_get_trade_order_algo(query))["data"][0]
    assert Decimal(found["slTriggerPx"]) == Decimal(lower)
    await rest.private_post_trade_cancel_algos([{"instId": name, "algoId": algo_id}])
    sold = await rest.create_order(SPOT, "market", "sell", float(size))
    assert (await rest.fetch_order(sold["id"], SPOT))["status"] == "closed"


async def swap_life(bench: Bench, side: str) -> None:
    """Enter, protect, move the stop, take half, close."""
    rest, name = bench.rest, bench.rest.market_id(SWAP)
    exit_side = "sell" if side == "buy" else "buy"
    away = Decimal("0.9") if side == "buy" else Decimal("1.1")
    positions = bench.watch(lambda: bench.pro.watch_positions([SWAP]))
    await subscribed(bench)
    last = await bench.last(SWAP)

    await rest.create_order(SWAP, "market", side, 10, None, {"clOrdId": fresh()})

    (position,) = await rest.fetch_positions([SWAP])
    assert (position["contracts"], position["side"]) == (10, "long" if side == "buy" else "short")
    assert position["leverage"] == 5
    await positions.until(lambda one: one["contracts"] == 10)
    fields = {"instId": name, "tdMode": "cross", "side": exit_side, "ordType": "conditional"}
    fields |= {"sz": "10", "slOrdPx": "-1", "algoClOrdId": fresh(), "reduceOnly": "true"}
    fields["slTriggerPx"] = str(bench.price(SWAP, last * away))
    algo_id = (await rest.private_post_trade_order_algo(fields))["data"][0]["algoId"]
    half = await rest.create_order(SWAP, "market", exit_side, 5, None, {"reduceOnly": True})
    assert (await rest.fetch_order(half["id"], SWAP))["filled"] == 5
    nearer = str(bench.price(SWAP, last * (away + 1) / 2))
    changes = {"instId": name, "algoId": algo_id, "newSlTriggerPx": nearer, "newSz": "5"}
    await rest.private_post_trade_amend_algos(changes)
    await rest.private_post_trade_cancel_algos([{"instId": name, "algoId": algo_id}])
    await rest.create_order(SWAP, "market", exit_side, 5, None, {"reduceOnly": True})
    assert await rest.fetch_positions([SWAP]) == []
    await positions.until(lambda one: not one["contracts"])
    trades = await rest.fetch_my_trades(SWAP)
    assert all(one["fee"]["cost"] > 0 and one["fee"]["currency"] == "USDT" for one in trades)


@check("swap, long: entered, protected, stop moved, half taken, closed")
async def long_life(bench: Bench) -> None:
    await swap_life(bench, "buy")


@check("swap, short: the same")
async def short_life(bench: Bench) -> None:
    await swap_life(bench, "sell")


@check("swap: stopped out; the child carries the stop's id")
async def stopped_out(bench: Bench) -> None:
    rest, name = bench.rest, bench.rest.market_id(SWAP)
    if bench.move_price is None:
        raise Skipped("the price cannot be set")
    last = await bench.last(SWAP)
    algos = bench.watch(lambda: bench.pro.watch_orders(SWAP, params={"trigger": True}))
    orders = bench.watch(lambda: bench.pro.watch_orders(SWAP))
    await subscribed(bench)
    await rest.create_order(SWAP, "market", "buy", 10)
    fields = {"instId": name, "tdMode": "cross", "side": "sell", "ordType": "conditional"}
    fields |= {"sz": "10", "slOrdPx": "-1", "algoClOrdId": fresh(), "reduceOnly": "true"}
    fields["slTriggerPx"] = str(bench.price(SWAP, last * Decimal("0.99")))
    await rest.private_post_trade_order_algo(fields)

    await bench.to(SWAP, last * Decimal("0.98"))

    child = await orders.until(lambda one: one["info"]["algoClOrdId"] == fields["algoClOrdId"])
    fired = await algos.until(lambda one: one["info"]["state"] == "effective")
    assert fired["info"]["ordId"] == child["info"]["ordId"]  # ccxt's own id is the algo order's
    assert await rest.fetch_positions([SWAP]) == []
    await bench.to(SWAP, last)


@check("swap: a stop comes along with an entry")
async def attached(bench: Bench) -> None:
    rest = bench.rest
    last = await bench.last(SWAP)
    stop = {"triggerPrice": bench.price(SWAP, last * Decimal("0.9"))}

    await rest.create_order(SWAP, "market", "buy", 10, None, {"stopLoss": stop})

    (waiting,) = await rest.fetch_open_orders(SWAP, params={"ordType": "conditional"})
    assert waiting["stopLossPrice"] == stop["triggerPrice"]
    await rest.cancel_order(waiting["id"], SWAP, {"trigger": True})
    await rest.close_position(SWAP, params={"marginMode": "cross"})
    assert await rest.fetch_positions([SWAP]) == []


@check("swap: a trailing stop rests and is canceled")
async def trailing(bench: Bench) -> None:
    rest = bench.rest
    await rest.create_order(SWAP, "market", "buy", 10)
    params = {"trailingPercent": 2, "reduceOnly": True}

    trail = await rest.create_order(SWAP, "market", "sell", 10, None, params)

    (waiting,) = await rest.fetch_open_orders(SWAP, params={"ordType": "move_order_stop"})
    assert waiting["id"] == trail["id"]
    await rest.cancel_order(trail["id"], SWAP, {"trailing": True})
    await rest.create_order(SWAP, "market", "sell", 10, None, {"reduceOnly": True})
    assert await rest.fetch_positions([SWAP]) == []


@check("post-only and immediate-or-cancel")
async def in_force(bench: Bench) -> None:
    rest = bench.rest
    last = await bench.last(SPOT)
    high, low = (bench.price(SPOT, last * Decimal(by)) for by in ("1.02", "0.98"))

    refused = await rest.create_order(SPOT, "limit", "buy", 0.001, high, {"postOnly": True})
    missed = await rest.create_order(SPOT, "limit", "buy", 0.001, low, {"timeInForce": "IOC"})

    for placed in (refused, missed):
        order = await rest.fetch_order(placed["id"], SPOT)
        assert (order["status"], order["filled"]) == ("canceled", 0)


@check("a client's id is taken once")
async def once(bench: Bench) -> None:
    rest, client_id = bench.rest, fresh()
    low = bench.price(SPOT, await bench.last(SPOT) * Decimal("0.97"))
    params = {"clOrdId": client_id}
    placed = await rest.create_order(SPOT, "limit", "buy", 0.001, low, params)

    again = rest.create_order(SPOT, "limit", "buy", 0.001, low, params)
    await raises(ccxt.InvalidOrder, again, "51016")

    found = await rest.fetch_order("", SPOT, {"clOrdId": client_id})
    assert found["id"] == placed["id"]
    await rest.cancel_order("", SPOT, {"clOrdId": client_id})


@check("what cannot be is refused with OKX's codes")
async def refusals(bench: Bench) -> None:
    rest = bench.rest
    too_much = rest.create_order(SPOT, "market", "buy", 15)
    await raises(ccxt.InsufficientFunds, too_much, "51008")
    too_large = rest.create_order(SPOT, "market", "buy", 50)
    await raises(ccxt.InvalidOrder, too_large, "51202")
    tiny = {"instId": "BTC-USDT", "tdMode": "cash", "side": "buy", "ordType": "market"}
    tiny |= {"sz": "0.0000001", "tgtCcy": "base_ccy"}
    await raises(ccxt.InvalidOrder, rest.private_post_trade_order(tiny), "51020")
    nothing = rest.create_order(SWAP, "market", "sell", 1, None, {"reduceOnly": True})
    await raises(ccxt.ExchangeError, nothing, "51169")
    await raises(ccxt.OrderNotFound, rest.fetch_order("123", SPOT), "51603")
    await raises(ccxt.BadSymbol, rest.public_get_market_ticker({"instId": "NOPE-USDT"}), "51001")


@check("a login that is wrong is refused")
async def logins(bench: Bench) -> None:
    for changes, code in (
        ({"apiKey": "other"}, "50111"),
        ({"secret": "other"}, "50113"),
        ({"password": "other"}, "50105"),
    ):
        client = bench.other(**changes)
        try:
            await raises(ccxt.AuthenticationError, client.fetch_balance(), code)
        finally:
            await client.close()


@check("public streams: ticker, trades, candles, book")
async def streams(bench: Bench) -> None:
    pro = bench.pro
    watchers = [
        bench.watch(lambda: pro.watch_ticker(SWAP)),
        bench.watch(lambda: pro.watch_ohlcv(SWAP, "1m")),
        bench.watch(lambda: pro.watch_order_book(SWAP)),
        bench.watch(lambda: pro.watch_mark_price(SWAP)),
    ]
    for watcher in watchers:
        await watcher.until(bool)
    last = await bench.last(SWAP)
    if bench.move_price is not None:
        trades = bench.watch(lambda: pro.watch_trades(SWAP))
        for step in range(1, 200):
            await bench.to(SWAP, last + Decimal("0.1") * step)
            if trades.seen and len(watchers[2].seen) > 2:
                break
            await asyncio.sleep(0.01)
        book = watchers[2].seen[-1]
        assert book["bids"][0][0] < book["asks"][0][0]
        assert trades.seen
        await bench.to(SWAP, last)
