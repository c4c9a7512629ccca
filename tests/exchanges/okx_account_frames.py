"""Private frames as OKX pushes them, and a sink that keeps what was said of them."""

import orjson

from tests.exchanges.okx_rows import INSTRUMENTS, algo_row, balance_row, order_row, position_row

__all__ = ["INSTRUMENTS", "algo_row", "balance_row", "order_row", "position_row"]


def push(channel, *rows, **arg) -> bytes:
    """Return a frame of a channel, with the account's number, as the venue adds it."""
    return orjson.dumps({"arg": {"channel": channel, "uid": "44705892343619584"} | arg,
                         "data": rows})  # fmt: skip


def orders(*rows) -> bytes:
    return push("orders", *rows, instType="ANY")


def algos(*rows) -> bytes:
    return push("orders-algo", *rows, instType="ANY")


def positions(*rows) -> bytes:
    return push("positions", *rows, instType="ANY")


def account(*details, **more) -> bytes:
    return push("account", {"details": list(details), "uTime": "1718000000500"} | more)


def both(*held, balances=()) -> bytes:
    known = [{k: v for k, v in each.items() if k not in ("liqPx", "lever")} for each in held]
    row = {
        "pTime": "1718000000501", "eventType": "filled", "balData": list(balances),
        "posData": known, "trades": [],
    }  # fmt: skip
    return push("balance_and_position", row)


def filled_row(number="1323", size="2", total="2", **changes):
    """Return a row of `orders` that tells of an execution at 60,000."""
    state = "filled" if total == "2" else "partially_filled"
    return order_row(
        state=state, accFillSz=total, avgPx="60000", tradeId=number, fillSz=size,
        fillPx="60000", fillTime="1718000000400", fillFee="-0.3", fillFeeCcy="USDT", execType="T",
        **changes,
    )  # fmt: skip


class AccountLog:
    """Keeps what a reader said."""

    def __init__(self) -> None:
        self.frames = 0
        self.updates: list = []
        self.bad: list[str] = []
        self.unlisted: list[str] = []

    def on_frame(self) -> None:
        self.frames += 1

    def on_update(self, update) -> None:
        self.updates.append(update)

    def on_bad_frame(self, why) -> None:
        self.bad.append(why)

    def on_unlisted(self, name) -> None:
        self.unlisted.append(name)
