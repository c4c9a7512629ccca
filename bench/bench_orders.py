"""What an order at OKX costs besides the way there: against the sandbox venue, in its own process.

    python -m bench.bench_orders [--orders N] [--together N] [--json]

`overhead` is from the decision (the call of `submit`) to the first byte of the request, one order
at a time on a warm connection. `together` is from decision to answer with that many at once, by
kind of order. Nothing may fail.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import time
from decimal import Decimal
from multiprocessing.connection import Connection

import orjson

from domain.ids import AccountName, PositionId, client_order_id
from domain.instrument import Side
from domain.order import OrderTerms, OrderType
from exchanges.budget import Budget
from exchanges.okx_account import OkxAccount, OkxSettings
from exchanges.port import Accepted
from exchanges.sandbox import DEMO_KEY, SandboxSettings, running
from runtime.clocks import SystemClock
from tests.exchanges.okx_rows import BTC_SWAP

POSITION = PositionId("0190f0a0-0000-7000-8000-000000000001")
KINDS = ("market", "limit", "stop", "amend", "cancel")


def venue(pipe: Connection) -> None:
    """Run a sandbox until the other end hangs up."""

    async def run() -> None:
        async with running(SandboxSettings(balances={"USDT": Decimal(10**8)})) as sandbox:
            sandbox.set_price("BTC-USDT-SWAP", "60000")
            pipe.send(sandbox.rest_url)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(run())


def terms(leg: str, number: int, type_: OrderType = OrderType.MARKET) -> OrderTerms:
    side = Side.SELL if type_ is OrderType.STOP else Side.BUY
    return OrderTerms(
        client_order_id=client_order_id(AccountName("bench"), POSITION, leg, number),
        position_id=POSITION,
        symbol=BTC_SWAP.symbol,
        side=side,
        type=type_,
        quantity=Decimal("0.001"),
        price=Decimal(50000) if type_ is OrderType.LIMIT else None,
        trigger_price=Decimal(50000) if type_ is OrderType.STOP else None,
        leverage=Decimal(3),
        reduce_only=type_ is OrderType.STOP,
    )


async def overheads_ms(account: OkxAccount, count: int) -> list[float]:
    """Return how long each order took from the decision to its first byte."""
    found = []
    for number in range(count):
        order = terms("entry-0", number)
        begun_s = time.monotonic()
        outcome = await account.submit(order)
        assert isinstance(outcome, Accepted), outcome
        found.append((account.wire.last_left_s - begun_s) * 1000)
    return found


async def together_ms(account: OkxAccount, kind: str, count: int, begin: int) -> list[float]:
    """Return how long each of `count` simultaneous requests took to its answer."""
    numbers = range(begin, begin + count)
    guards = [terms("guard-0", number, OrderType.STOP) for number in numbers]
    if kind in {"amend", "cancel"}:
        await asyncio.gather(*map(account.submit, guards))

    async def one(number: int) -> float:
        guard = terms("guard-0", number, OrderType.STOP)
        begun_s = time.monotonic()
        match kind:
            case "market":
                outcome = await account.submit(terms("entry-1", number))
            case "limit":
                outcome = await account.submit(terms("entry-2", number, OrderType.LIMIT))
            case "stop":
                outcome = await account.submit(guard)
            case "amend":
                outcome = await account.amend(guard)
            case _:
                outcome = await account.cancel(guard.symbol, guard.client_order_id)
        assert isinstance(outcome, Accepted), outcome
        return (time.monotonic() - begun_s) * 1000

    return list(await asyncio.gather(*map(one, numbers)))


def quantiles(values: list[float]) -> dict[str, float]:
    """Return P50, P95 and the worst, in ms."""
    cuts = statistics.quantiles(values, n=100)
    return {"p50": round(cuts[49], 3), "p95": round(cuts[94], 3), "max": round(max(values), 3)}


async def measure(url: str, orders: int, together: int) -> dict[str, dict[str, float]]:
    settings = OkxSettings(DEMO_KEY.key, DEMO_KEY.secret, DEMO_KEY.passphrase, rest_url=url)
    account = OkxAccount(settings, SystemClock(), [BTC_SWAP])
    account.wire.budget = Budget(scale=1000)  # not about the venue's limits
    await account.start(lambda _: None)
    try:
        await account.submit(terms("entry-0", 999_999))  # sets leverage
        found = {"overhead": quantiles(await overheads_ms(account, orders))}
        for place, kind in enumerate(KINDS):
            values: list[float] = []
            for turn in range(5):
                begin = 1000 + 10_000 * place + turn * together
                values += await together_ms(account, kind, together, begin)
            found[f"{kind} x{together}"] = quantiles(values)
        return found
    finally:
        await account.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--together", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=venue, args=(theirs,))
    process.start()
    try:
        found = asyncio.run(measure(ours.recv(), arguments.orders, arguments.together))
    finally:
        ours.send("end")
        process.join()
    if arguments.json:
        print(orjson.dumps(found).decode())
        return
    print(f"{'':14} {'P50 ms':>9} {'P95 ms':>9} {'max ms':>9}")
    for name, row in found.items():
        print(f"{name:14} {row['p50']:9.3f} {row['p95']:9.3f} {row['max']:9.3f}")


if __name__ == "__main__":
    main()
