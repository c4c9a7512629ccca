"""The control of the sandbox over HTTP, beside the venue: `/sandbox/…`, JSON, loopback only.

| request | what it does |
|---|---|
| GET `/sandbox` | where everything is |
| GET `/sandbox/ledger`, `/sandbox/judge` | all that happened; what was wrong with it |
| POST `/sandbox/price` | `{instId, last, bid?, ask?, mark?}`; `{frozen: true}` stops the walk |
| POST `/sandbox/suspend` | `{instId, on: true}`: no new orders in it |
| POST `/sandbox/liquidity` | `{instId, sz}`: so much may still trade; `sz: null` lifts it |
| GET, POST, DELETE `/sandbox/faults` | list, add (the fields of `faults.Fault`), clear |
| POST `/sandbox/outside/order` | the fields of `trade/order`, without an id of the client's |
| POST `/sandbox/outside/close` | `{instId, share?}` |
| POST `/sandbox/outside/cancel-stops` | `{instId, algoId?}` |
| POST `/sandbox/outside/cancel-orders` | `{instId}` |
| POST `/sandbox/outside/move-stop` | `{instId, slTriggerPx}` |
| POST `/sandbox/outside/liquidate` | `{instId, adl?: true}` |
| POST `/sandbox/outside/transfer` | `{ccy, amt}`, out when negative |
| POST `/sandbox/outside/funding` | `{instId, rate?}` |
| POST `/sandbox/reject-children` | `{codes: ["51008"]}`: what coming triggers fail with |
| POST `/sandbox/maintenance` | `{on: true}` |
| POST `/sandbox/clock` | `{skew_ms}` |
| POST `/sandbox/sockets` | `{do: cut, path?}`, `{do: notice}`, `{silent}`, `{half_open}` |
"""

import ipaddress
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import orjson
from aiohttp import web

from exchanges.sandbox import outside
from exchanges.sandbox.account import Account
from exchanges.sandbox.faults import Fault
from exchanges.sandbox.judge import judge, ledger
from exchanges.sandbox.numbers import text
from exchanges.sandbox.params import Params
from exchanges.sandbox.refusals import VenueRefusal
from exchanges.sandbox.sockets import Sockets
from exchanges.sandbox.trading import work
from exchanges.sandbox.world import World

Answer = dict[str, Any] | list[Any]
Handler = Callable[["Control", Params], Answer]


class Control:
    """Answers requests to `/sandbox/`."""

    def __init__(self, world: World, sockets: Sockets) -> None:
        self.world = world
        self.sockets = sockets

    @property
    def account(self) -> Account:
        """The account that is acted on."""
        return self.world.venue.account

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one; 403 for other hosts and for pages of a browser."""
        if not _is_local(request):
            return _json({"error": "only from this machine"}, 403)
        name = request.path.removeprefix("/sandbox").strip("/")
        handler = _HANDLERS.get((request.method, name))
        if handler is None:
            known = sorted(f"{method} /sandbox/{path}" for method, path in _HANDLERS)
            return _json({"error": "no such request", "known": known}, 404)
        try:
            fields = dict(request.query) if request.method != "POST" else await _body(request)
            self.world.advance()
            return _json(handler(self, Params(fields)))
        except VenueRefusal as refusal:
            return _json({"error": refusal.text, "code": refusal.code}, 400)
        except (ValueError, msgspec.ValidationError) as error:
            return _json({"error": str(error)}, 400)


async def _body(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    fields = orjson.loads(raw) if raw else {}
    if not isinstance(fields, dict):
        raise ValueError("not an object")  # noqa: TRY004 - told to the caller
    return fields


def _is_local(request: web.Request) -> bool:
    """Whether it comes from this machine, and from no web page."""
    try:
        is_loopback = ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
    name = request.host.rpartition(":")[0].strip("[]") or request.host
    is_named = name == "localhost" or name.startswith("127.") or name == "::1"
    return is_loopback and is_named and "Origin" not in request.headers


def _json(answer: Answer, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(answer), status=status, content_type="application/json")


def _number(params: Params, name: str) -> Decimal:
    number = params.number(name)
    if number is None:
        raise VenueRefusal("50014", name)
    return number


def _overview(control: Control, params: Params) -> Answer:
    del params
    market = control.world.venue.market
    return {
        "now": str(market.now_ms),
        "prices": {name: text(quote.last) for name, quote in market.quotes.items()},
        "faults": len(control.world.faults.rules),
        "websockets": len(control.sockets.open),
        "maintenance": control.world.maintenance,
        "requests": sorted(f"{method} /sandbox/{path}" for method, path in _HANDLERS),
    }


def _ledger(control: Control, params: Params) -> Answer:
    del params
    return ledger(control.account)


def _judge(control: Control, params: Params) -> Answer:
    del params
    return judge(control.account, control.world.watch)


def _price(control: Control, params: Params) -> Answer:
    if "frozen" in params.fields:
        control.world.prices_frozen = params.flag("frozen")
    if not params.text("instId"):
        return {"frozen": control.world.prices_frozen}
    market = control.world.venue.market
    market.move(
        params.text("instId"),
        _number(params, "last"),
        bid=params.positive("bid"),
        ask=params.positive("ask"),
        mark=params.positive("mark"),
    )
    quote = market.quote(params.text("instId"))
    return {"last": text(quote.last), "bid": text(quote.bid), "ask": text(quote.ask)}


def _liquidity(control: Control, params: Params) -> Answer:
    quote = control.world.venue.market.quote(params.need("instId"))
    quote.liquidity = params.number("sz")
    if quote.liquidity is None:
        for account in control.world.venue.accounts:
            work(account, quote)
    return {"liquidity": None if quote.liquidity is None else text(quote.liquidity)}


def _suspend(control: Control, params: Params) -> Answer:
    quote = control.world.venue.market.quote(params.need("instId"))
    quote.is_suspended = params.flag("on")
    return {"instId": quote.listing.inst_id, "on": quote.is_suspended}


def _faults(control: Control, params: Params) -> Answer:
    del params
    return [msgspec.to_builtins(one) for one in control.world.faults.rules]


def _add_fault(control: Control, params: Params) -> Answer:
    fault = msgspec.convert(params.fields, Fault)
    built: Answer = msgspec.to_builtins(control.world.faults.add(fault))
    return built


def _clear_faults(control: Control, params: Params) -> Answer:
    number = params.text("number")
    control.world.faults.clear(int(number) if number else None)
    return {"left": len(control.world.faults.rules)}


def _order(control: Control, params: Params) -> Answer:
    return {"ordId": outside.order(control.account, dict(params.fields)).order_id}


def _close(control: Control, params: Params) -> Answer:
    share = params.positive("share") or Decimal(1)
    closed = outside.close(control.account, params.need("instId"), share=share)
    return {"ordIds": [one.order_id for one in closed]}


def _cancel_stops(control: Control, params: Params) -> Answer:
    gone = outside.cancel_stops(control.account, params.need("instId"), params.text("algoId"))
    return {"algoIds": [one.algo_id for one in gone]}


def _cancel_orders(control: Control, params: Params) -> Answer:
    gone = outside.cancel_orders(control.account, params.need("instId"))
    return {"ordIds": [one.order_id for one in gone]}


def _move_stop(control: Control, params: Params) -> Answer:
    trigger = _number(params, "slTriggerPx")
    moved = outside.move_stop(control.account, params.need("instId"), trigger)
    return {"algoIds": [one.algo_id for one in moved]}


def _liquidate(control: Control, params: Params) -> Answer:
    category = "adl" if params.flag("adl") else "full_liquidation"
    gone = outside.liquidate(control.account, params.need("instId"), category)
    return {"ordIds": [one.order_id for one in gone]}


def _transfer(control: Control, params: Params) -> Answer:
    outside.transfer(control.account, params.need("ccy"), _number(params, "amt"))
    return {"cash": text(control.account.asset(params.need("ccy")).cash)}


def _funding(control: Control, params: Params) -> Answer:
    came = outside.fund(control.account, params.need("instId"), params.number("rate"))
    return {"amt": text(came)}


def _reject_children(control: Control, params: Params) -> Answer:
    codes = params.fields.get("codes")
    if not isinstance(codes, list):
        raise VenueRefusal("51000", "codes")
    control.account.reject_children = [str(code) for code in codes]
    return {"codes": control.account.reject_children}


def _maintenance(control: Control, params: Params) -> Answer:
    control.world.maintenance = params.flag("on")
    if control.world.maintenance:
        control.sockets.cut()
    return {"on": control.world.maintenance}


def _clock(control: Control, params: Params) -> Answer:
    control.world.skew_ms = int(_number(params, "skew_ms"))
    return {"skew_ms": control.world.skew_ms}


def _sockets(control: Control, params: Params) -> Answer:
    sockets = control.sockets
    if "silent" in params.fields:
        sockets.silent = params.flag("silent")
    if "half_open" in params.fields:
        sockets.half_open = params.flag("half_open")
    cut = 0
    if params.text("do") == "cut":
        cut = sockets.cut(params.text("path"))
    elif params.text("do") == "notice":
        sockets.notice()
    return {
        "open": len(sockets.open),
        "cut": cut,
        "silent": sockets.silent,
        "half_open": sockets.half_open,
    }


_HANDLERS: dict[tuple[str, str], Handler] = {
    ("GET", ""): _overview,
    ("GET", "ledger"): _ledger,
    ("GET", "judge"): _judge,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _add_fault,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "price"): _price,
    ("POST", "liquidity"): _liquidity,
    ("POST", "suspend"): _suspend,
    ("POST", "outside/order"): _order,
    ("POST", "outside/close"): _close,
    ("POST", "outside/cancel-stops"): _cancel_stops,
    ("POST", "outside/cancel-orders"): _cancel_orders,
    ("POST", "outside/move-stop"): _move_stop,
    ("POST", "outside/liquidate"): _liquidate,
    ("POST", "outside/transfer"): _transfer,
    ("POST", "outside/funding"): _funding,
    ("POST", "reject-children"): _reject_children,
    ("POST", "maintenance"): _maintenance,
    ("POST", "clock"): _clock,
    ("POST", "sockets"): _sockets,
}
