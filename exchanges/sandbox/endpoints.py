"""The table of endpoints: where they are, who may ask, how often, and what answers.

Limits are requests within 2 s, as the venue documents them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from exchanges.sandbox import endpoints_account as of_account
from exchanges.sandbox import endpoints_algo as of_algos
from exchanges.sandbox import endpoints_public as public
from exchanges.sandbox import endpoints_trade as of_orders
from exchanges.sandbox.account import Account
from exchanges.sandbox.params import Params
from exchanges.sandbox.venue import Venue

PREFIX = "/api/v5/"
PublicHandler = Callable[[Venue, Params], Sequence[Any]]
PrivateHandler = Callable[[Account, Params], Sequence[Any]]
ListHandler = Callable[[Account, Sequence[Params]], Sequence[Any]]


class Endpoint(msgspec.Struct, frozen=True):
    """One of them: exactly one of the three handlers is set."""

    method: str
    path: str  # behind `/api/v5/`
    limit: int  # requests within 2 s
    public: PublicHandler | None = None
    private: PrivateHandler | None = None
    listed: ListHandler | None = None  # takes a list of objects
    changes: bool = False  # has an effect; answers a row with sCode per object

    @property
    def is_private(self) -> bool:
        """Whether it needs a signature."""
        return self.public is None


def _public(path: str, limit: int, handler: PublicHandler) -> Endpoint:
    return Endpoint("GET", path, limit, public=handler)


def _read(path: str, limit: int, handler: PrivateHandler) -> Endpoint:
    return Endpoint("GET", path, limit, private=handler)


def _change(path: str, limit: int, handler: PrivateHandler) -> Endpoint:
    return Endpoint("POST", path, limit, private=handler, changes=True)


def _changes(path: str, limit: int, handler: ListHandler) -> Endpoint:
    return Endpoint("POST", path, limit, listed=handler, changes=True)


_ALL = (
    _public("public/time", 10, public.time),
    _public("system/status", 5, public.status),
    _public("public/instruments", 20, public.instruments),
    _public("public/mark-price", 10, public.mark_price),
    _public("public/price-limit", 20, public.price_limit),
    _public("public/funding-rate", 10, public.funding_rate),
    _public("public/open-interest", 20, public.open_interest),
    _public("market/ticker", 20, public.ticker),
    _public("market/tickers", 20, public.tickers),
    _public("market/index-tickers", 20, public.index_tickers),
    _public("market/candles", 40, public.candles),
    _public("market/history-candles", 20, public.candles),
    _public("market/mark-price-candles", 20, public.mark_candles),
    _public("market/history-mark-price-candles", 10, public.mark_candles),
    _public("market/books", 40, public.books),
    _public("market/trades", 100, public.trades),
    _read("account/config", 5, of_account.config),
    _read("account/balance", 10, of_account.balance),
    _read("account/positions", 10, of_account.positions),
    _read("account/leverage-info", 20, of_account.leverage_info),
    _read("account/bills", 5, of_account.bills),
    _read("account/bills-archive", 5, of_account.bills),
    _read("account/trade-fee", 5, of_account.trade_fee),
    _read("account/max-size", 20, of_account.max_size),
    _read("asset/balances", 12, of_account.asset_balances),
    _read("asset/currencies", 12, of_account.currencies),
    Endpoint("POST", "account/set-leverage", 20, private=of_account.set_leverage),
    Endpoint("POST", "account/set-position-mode", 5, private=of_account.set_position_mode),
    _read("trade/order", 60, of_orders.get_order),
    _read("trade/orders-pending", 60, of_orders.orders_pending),
    _read("trade/orders-history", 40, of_orders.orders_history),
    _read("trade/orders-history-archive", 20, of_orders.orders_history),
    _read("trade/fills", 60, of_orders.fills),
    _read("trade/fills-history", 10, of_orders.fills),
    _read("trade/account-rate-limit", 1, of_orders.account_rate_limit),
    _read("trade/order-algo", 20, of_algos.get),
    _read("trade/orders-algo-pending", 20, of_algos.pending),
    _read("trade/orders-algo-history", 20, of_algos.history),
    _change("trade/order", 60, of_orders.place_order),
    _change("trade/cancel-order", 60, of_orders.cancel_order),
    _change("trade/amend-order", 60, of_orders.amend_order),
    _changes("trade/batch-orders", 300, of_orders.place_orders),
    _changes("trade/cancel-batch-orders", 300, of_orders.cancel_orders),
    _changes("trade/amend-batch-orders", 300, of_orders.amend_orders),
    Endpoint("POST", "trade/close-position", 20, private=of_orders.close_position),
    Endpoint("POST", "trade/cancel-all-after", 2, private=of_orders.cancel_all_after),
    _change("trade/order-algo", 20, of_algos.place),
    _changes("trade/cancel-algos", 20, of_algos.cancel),
    _change("trade/amend-algos", 20, of_algos.amend),
)
ENDPOINTS = {(one.method, PREFIX + one.path): one for one in _ALL}
