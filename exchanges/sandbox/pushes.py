"""What the private channels carry, after each change of an account."""

from collections.abc import Iterable

from exchanges.sandbox.account import Account
from exchanges.sandbox.money_rows import balance_and_position_row, balance_row, position_row
from exchanges.sandbox.records import Algo, Fill, Order, Position
from exchanges.sandbox.rows import Row, algo_row, order_push

ADVANCED = frozenset({"move_order_stop", "iceberg", "twap"})  # told on another channel


def push_order(
    account: Account,
    order: Order,
    fill: Fill | None = None,
    *,
    request_id: str = "",
    amended: str = "",
) -> None:
    """Tell `orders` of a placement, a fill, a cancellation, an amendment."""

    def render() -> Row:
        return order_push(order, fill, request_id=request_id, amended=amended)

    account.push("orders", order.listing.inst_type, order.listing.inst_id, render)


def push_algo(account: Account, algo: Algo) -> None:
    """Tell `orders-algo`, of trailing orders `algo-advance`."""
    channel = "algo-advance" if algo.type in ADVANCED else "orders-algo"
    account.push(channel, algo.listing.inst_type, algo.listing.inst_id, lambda: algo_row(algo))


def push_money(account: Account, assets: Iterable[str]) -> None:
    """Tell `account` of balances."""
    names = tuple(dict.fromkeys(assets))
    account.push("account", "", "", lambda: balance_row(account, names))


def push_state(
    account: Account,
    event: str,
    assets: Iterable[str],
    positions: Iterable[Position],
    fill: Fill | None = None,
) -> None:
    """Tell all channels of money and positions what an event (`filled`, …) changed."""
    held, names = tuple(positions), tuple(dict.fromkeys(assets))
    push_money(account, names)
    for one in held:
        _push_position(account, one)

    def render() -> Row:
        return balance_and_position_row(account, event, names, held, fill)

    account.push("balance_and_position", "", "", render)


def _push_position(account: Account, position: Position) -> None:
    listing = position.listing
    account.push(
        "positions", listing.inst_type, listing.inst_id, lambda: position_row(account, position)
    )
