"""Somebody who trades at the core directly, in the venue's own words."""

from decimal import Decimal

from exchanges.sandbox.algos import amend_algo, cancel_algo, place_algo
from exchanges.sandbox.catalog import listings
from exchanges.sandbox.params import Params
from exchanges.sandbox.refusals import VenueRefusal
from exchanges.sandbox.rows import algo_row, order_row
from exchanges.sandbox.trading import amend, cancel, place
from exchanges.sandbox.venue import Venue
from exchanges.sandbox.watch import Watch

NOW_MS = 1_700_000_000_000
SPOT, SWAP = "BTC-USDT", "BTC-USDT-SWAP"


class Desk:
    """One account, and all that was pushed to it. BTC costs 60,000, ask 60,000.1."""

    def __init__(self, mode: str = "net_mode", *, margin: str = "cross", **balances: str) -> None:
        self.margin = margin  # of swaps
        self.venue = Venue(listings(("BTC", "ETH")), NOW_MS)
        money = {name: Decimal(cash) for name, cash in balances.items()} or {"USDT": Decimal(10000)}
        self.account = self.venue.open_account(money)
        self.account.position_mode = mode
        self.account.push = self._pushed
        self.watch = Watch(self.account)
        self.pushed: list[tuple[str, dict]] = []

    def _pushed(self, channel, inst_type, inst_id, render) -> None:
        self.pushed.append((channel, render()))

    def told(self, channel: str) -> list[dict]:
        return [row for name, row in self.pushed if name == channel]

    def price(self, last: str, inst_id: str = SPOT, **more: str) -> None:
        self.venue.set_price(inst_id, last, **{name: Decimal(px) for name, px in more.items()})

    def pass_time(self, ms: int) -> None:
        self.venue.advance(self.account.now_ms + ms)

    def place(self, inst_id: str = SPOT, side: str = "buy", sz: str = "0.01", **more: str) -> dict:
        mode = self.margin if inst_id.endswith("SWAP") else "cash"
        kind = "limit" if "px" in more else "market"
        fields = {"instId": inst_id, "side": side, "sz": sz, "ordType": kind, "tdMode": mode}
        if mode == "cash" and kind == "market":
            fields["tgtCcy"] = "base_ccy"
        return order_row(place(self.account, Params({**fields, **more})))

    def order(self, row: dict) -> dict:
        return order_row(self.account.orders[row["ordId"]])

    def cancel(self, row: dict) -> dict:
        return order_row(cancel(self.account, _named(row)))

    def amend(self, row: dict, **changes) -> dict:
        params = Params({"instId": row["instId"], "ordId": row["ordId"], **changes})
        return order_row(amend(self.account, params))

    def stop(self, inst_id: str = SPOT, side: str = "sell", sz: str = "0.01", **more) -> dict:
        mode = self.margin if inst_id.endswith("SWAP") else "cash"
        fields = {"instId": inst_id, "side": side, "sz": sz, "tdMode": mode}
        fields["ordType"] = "conditional"
        if "slTriggerPx" in more:
            fields["slOrdPx"] = "-1"
        if "tpTriggerPx" in more:
            fields["tpOrdPx"] = "-1"
        return algo_row(place_algo(self.account, Params({**fields, **more})))

    def algo(self, row: dict) -> dict:
        return algo_row(self.account.algos[row["algoId"]])

    def cancel_stop(self, row: dict) -> dict:
        params = Params({"instId": row["instId"], "algoId": row["algoId"]})
        return algo_row(cancel_algo(self.account, params))

    def amend_stop(self, row: dict, **changes: str) -> dict:
        params = Params({"instId": row["instId"], "algoId": row["algoId"], **changes})
        return algo_row(amend_algo(self.account, params))

    def cash(self, asset: str) -> Decimal:
        return self.account.asset(asset).cash

    def free(self, asset: str) -> Decimal:
        return self.account.available(asset)

    def held(self, inst_id: str = SWAP) -> Decimal:
        return sum((one.signed for one in self.account.open_positions(inst_id)), Decimal(0))


def _named(row: dict) -> Params:
    return Params({"instId": row["instId"], "ordId": row["ordId"]})


def refusal(do) -> str:
    """Return the code that the venue refuses with; fails when it does not."""
    try:
        do()
    except VenueRefusal as refused:
        return refused.code
    raise AssertionError("accepted")
