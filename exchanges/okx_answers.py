"""What OKX's private REST (v5) answers, judged: endpoints, envelopes, rows. Pure.

Every answer is `{"code": "0", "msg": "", "data": […]}`. For orders a row has its own `sCode`, and
the envelope says 0 when all rows are done, 1 when none is, 2 when some are: the row decides, and
only together with an envelope that does not contradict it.

Source: www.okx.com/docs-v5/en (overview, order book trading); limits are per login and 2 s,
those of orders also per instrument.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from domain.ids import VenueOrderId
from exchanges.budget import Limit
from exchanges.ccxt_wire import Endpoint, Reply, Silence
from exchanges.okx_errors import code_of, remedy_of
from exchanges.okx_fields import stamp
from exchanges.port import Accepted, Refused, Unknown
from exchanges.rest import LieError, excerpt
from exchanges.verdict import Verdict

T = TypeVar("T")
Placed = Accepted | Refused | Unknown

_V = Verdict
_MAX_TEXT = 200  # characters of the venue's words that are kept
_NOT_SENT = "Nothing left this computer. If it stays so: check the network, or ask less often."
_TURNED_AWAY = frozenset({_V.LIMITED, _V.SKEWED, _V.LOGIN})
_NO_SUCH_PLACE = frozenset({403, 404, 405, 410})
_ALL_FAILED = "1"
_OF_ORDERS = frozenset({"0", _ALL_FAILED, "2"})  # envelopes of orders


def _orders(method: str, count: int, counted_by: str = "") -> Endpoint:
    limit = Limit(method, count)
    return Endpoint(f"private_post_trade_{method}", limit, True, counted_by)


def _reads(method: str, count: int) -> Endpoint:
    return Endpoint(f"private_get_{method}", Limit(method, count))


PLACE = _orders("order", 60, "instId")
CANCEL = _orders("cancel_order", 60, "instId")
AMEND = _orders("amend_order", 60, "instId")
# Counted by instrument too (www.okx.com/docs-v5/en: algo trading, "Rate limit rule").
PLACE_ALGO = _orders("order_algo", 20, "instId")
CANCEL_ALGO = _orders("cancel_algos", 20, "instId")
AMEND_ALGO = _orders("amend_algos", 20, "instId")
SET_LEVERAGE = Endpoint(
    "private_post_account_set_leverage", Limit("set_leverage", 20), for_orders=True
)
ORDER = _reads("trade_order", 60)
OPEN_ORDERS = _reads("trade_orders_pending", 60)
ALGO = _reads("trade_order_algo", 20)
OPEN_ALGOS = _reads("trade_orders_algo_pending", 20)
PAST_ALGOS = _reads("trade_orders_algo_history", 20)
FILLS = _reads("trade_fills", 60)
PAST_ORDERS = _reads("trade_orders_history", 40)
PAST_FILLS = _reads("trade_fills_history", 10)
BALANCE = _reads("account_balance", 10)
POSITIONS = _reads("account_positions", 10)
CONFIG = _reads("account_config", 5)
LEVERAGE = _reads("account_leverage_info", 20)
BILLS = Endpoint("private_get_account_bills", Limit("account_bills", 5, 1.0))
PAST_BILLS = Endpoint("private_get_account_bills_archive", Limit("bills_archive", 5))
INSTRUMENTS = Endpoint("public_get_public_instruments", Limit("instruments", 20))
TIME = Endpoint("public_get_public_time", Limit("time", 10), for_orders=True, proves=False)
ENDPOINTS = (
    *(PLACE, CANCEL, AMEND, PLACE_ALGO, CANCEL_ALGO, AMEND_ALGO, SET_LEVERAGE, ORDER, OPEN_ORDERS),
    *(ALGO, OPEN_ALGOS, PAST_ALGOS, FILLS, PAST_FILLS, BALANCE, POSITIONS, CONFIG, LEVERAGE),
    *(PAST_ORDERS, BILLS, PAST_BILLS, INSTRUMENTS, TIME),
)


class OkxJudge:
    """What the wire has to know of OKX."""

    exchange_id = "okx"
    time = TIME
    deadline_header = "expTime"  # ms of the venue's clock
    deadline_paths = frozenset({"trade/order", "trade/amend-order"})

    def verdict(self, payload: Any) -> Verdict:
        """Say what an envelope means; rows of orders are not looked at, unless all failed."""
        code = payload.get("code") if isinstance(payload, dict) else None
        if not isinstance(code, str):
            return _V.UNKNOWN
        if code in _OF_ORDERS:
            if code != _ALL_FAILED:
                return _V.FINE
            rows = payload.get("data")
            codes = {_row_code(row) for row in rows} if isinstance(rows, list) else set()
            verdict = code_of(codes.pop()).verdict if len(codes) == 1 else _V.FINE
            return verdict if verdict in _TURNED_AWAY | {_V.DOWN} else _V.FINE
        return code_of(code).verdict

    def time_ms(self, payload: Any) -> int | None:
        """Read `public/time`."""
        try:
            return stamp(only_row(data_of(payload)), "ts")
        except LieError:
            return None


def data_of(payload: Any) -> list[Any]:
    """Return the list in an envelope that says 0. Raises `LieError`."""
    if not isinstance(payload, dict) or payload.get("code") != "0":
        raise LieError(f"refused: {said_by(payload)}")
    data = payload.get("data")
    if not isinstance(data, list):
        raise LieError(f"data is {excerpt(data)}, not a list")
    return data


def rows_of(data: list[Any]) -> list[Mapping[str, Any]]:
    """Return rows, each an object. Raises `LieError`."""
    for row in data:
        if not isinstance(row, dict):
            raise LieError(f"a row is {excerpt(row)}, not an object")
    return data


def only_row(data: list[Any]) -> Mapping[str, Any]:
    """Return the row of an answer that must have exactly one. Raises `LieError`."""
    if len(data) != 1:
        raise LieError(f"{len(data)} rows, where one is expected")
    return rows_of(data)[0]


def said_by(payload: Any) -> str:
    """Print the code and text of an answer."""
    if not isinstance(payload, dict):
        return excerpt(payload)
    return excerpt(f"{payload.get('code')} {payload.get('msg')}".strip())


def read(answer: Reply | Silence, reader: Callable[[list[Mapping[str, Any]]], T]) -> T | Unknown:
    """Hand the rows of a good answer to `reader`; anything else is unknown, never "nothing"."""
    if isinstance(answer, Silence):
        return Unknown(answer.why)
    try:
        return reader(rows_of(data_of(answer.payload)))
    except LieError as lie:
        return Unknown(str(lie))


def is_not_found(answer: Reply | Silence) -> bool:
    """Whether the venue said, and nothing else, that it does not know the id."""
    return isinstance(answer, Reply) and code_in(answer) == "51603"


def is_unlisted(answer: Reply | Silence) -> bool:
    """Whether the venue said, and nothing else, that it lists no such instrument."""
    return isinstance(answer, Reply) and code_in(answer) == "51001"


def code_in(answer: Reply) -> str:
    """Return the code of an envelope; "" when there is none."""
    code = answer.payload.get("code") if isinstance(answer.payload, dict) else None
    return code if isinstance(code, str) else ""


def has_no_such_place(answer: Reply | Silence) -> bool:
    """Whether the venue says that it has no such endpoint."""
    if isinstance(answer, Silence):
        return answer.status in _NO_SUCH_PLACE
    return code_in(answer) == "404"


def placed(
    answer: Reply | Silence, id_field: str, *, ours: tuple[str, str] | None = None
) -> Placed:
    """Say what became of one order that was placed, changed or canceled.

    Args:
        answer: to a request about exactly one order.
        id_field: where the venue's id stands: `ordId`, `algoId`.
        ours: field and value of our id; an answer about another order is none.
    """
    if isinstance(answer, Silence):
        return Unknown(answer.why) if answer.left else Refused("NOT_SENT", answer.why, _NOT_SENT)
    payload = answer.payload
    code = payload.get("code") if isinstance(payload, dict) else None
    if not isinstance(code, str):
        return Unknown(f"no code: {excerpt(payload)}")
    if code not in _OF_ORDERS:
        return _judged(code, payload.get("msg"))
    try:
        row = only_row(payload.get("data") if isinstance(payload.get("data"), list) else [])
    except LieError as lie:
        return Unknown(f"{said_by(payload)}: {lie}")
    row_code = _row_code(row)
    if row_code != "0":
        return _judged(row_code, row.get("sMsg"))
    venue_id = row.get(id_field)
    if code == "1" or not isinstance(venue_id, str) or not venue_id:
        return Unknown(f"envelope {code}, row 0, {id_field} {excerpt(venue_id)}")
    if ours is not None and row.get(ours[0]) not in (None, "", ours[1]):
        return Unknown(f"the answer is about another order: {excerpt(row.get(ours[0]))}")
    return Accepted(VenueOrderId(venue_id))


def refusal(code: str, text: object) -> Refused:
    """Return a refusal in the venue's words, with what can be done about it."""
    words = text if isinstance(text, str) and text.isprintable() else excerpt(text)
    return Refused(code, words.strip()[:_MAX_TEXT], remedy_of(code))


def _row_code(row: Any) -> str:
    code = row.get("sCode") if isinstance(row, dict) else None
    return code if isinstance(code, str) else ""


def _judged(code: str, text: object) -> Refused | Unknown:
    verdict = code_of(code).verdict
    if verdict is _V.REFUSED or verdict is _V.GONE or verdict in _TURNED_AWAY:
        return refusal(code, text)
    return Unknown(f"{excerpt(code)} {excerpt(text)}".strip())
