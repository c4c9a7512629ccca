"""What the venue says no with. Codes and texts as OKX documents them; `{}` are filled in.

Source: www.okx.com/docs-v5/en (error codes), and what its servers were seen to answer.
"""

_OK = 200

_TEXTS: dict[str, tuple[int, str]] = {  # code: HTTP status, text
    "50000": (400, "Body for POST request cannot be empty."),
    "50001": (503, "Service temporarily unavailable. Please try again later."),
    "50002": (400, "JSON syntax error"),
    "50004": (400, ("API endpoint request timeout (does not mean that the request was successful"
              " or failed, please check the request result)")),
    "50005": (410, "API is offline or unavailable."),
    "50011": (429, "Too Many Requests"),
    "50013": (429, "Systems are busy. Please try again later."),
    "50014": (400, "Parameter {} cannot be empty"),
    "50015": (400, "Either parameter {} or {} is required"),
    "50026": (500, "System error. Please try again later."),
    "50030": (200, "You don't have permission to use this API endpoint"),
    "50061": (200, "Order failed. Your sub-account exceeded the order rate limit."),
    "50101": (401, "APIKey does not match current environment."),
    "50102": (401, "Timestamp request expired"),
    "50103": (401, 'Request header "OK-ACCESS-KEY" cannot be empty.'),
    "50104": (401, 'Request header "OK-ACCESS-PASSPHRASE" cannot be empty.'),
    "50105": (401, 'Request header "OK-ACCESS-PASSPHRASE" incorrect.'),
    "50106": (401, 'Request header "OK-ACCESS-SIGN" cannot be empty.'),
    "50107": (401, 'Request header "OK-ACCESS-TIMESTAMP" cannot be empty.'),
    "50111": (401, "Invalid OK-ACCESS-KEY"),
    "50112": (401, "Invalid OK-ACCESS-TIMESTAMP"),
    "50113": (401, "Invalid Sign"),
    "50119": (401, "API key doesn't exist"),
    "50120": (401, "This API key doesn't have permission to use this function"),
    "51000": (400, "Parameter {} error"),
    "51001": (200, "Instrument ID doesn't exist."),
    "51006": (200, ("Order price is not within the price limit (max buy price: {}, min sell price:"
              " {})")),
    "51008": (200, "Order failed. Insufficient {} balance in account"),
    "51010": (200, "Request unsupported under current account mode"),
    "51016": (200, "Client order ID already exists."),
    "51020": (200, "Your order should meet or exceed the minimum order amount."),
    "51022": (200, "Contract suspended."),
    "51023": (200, "Position doesn't exist."),
    "51054": (200, "Request timed out. Please try again."),
    "51065": (200, "algoClOrdId already exists."),
    "51112": (200, "Closing order size exceeds your available size."),
    "51121": (200, "Order quantity must be a multiple of the lot size."),
    "51137": (200, "The highest price limit for buy orders is {}."),
    "51138": (200, "The lowest price limit for sell orders is {}."),
    "51149": (200, "Order timed out. Please try again."),
    "51169": (200, ("Order failed because you don't have any positions in this direction for this"
              " contract to reduce or close.")),
    "51201": (200, "The value of a market order can't exceed {}."),
    "51202": (200, "The market order amount exceeds the maximum amount."),
    "51203": (200, "Order amount exceeds the maximum limit."),
    "51277": (200, "TP trigger price can't be higher than the last price"),
    "51278": (200, "SL trigger price can't be lower than the last price"),
    "51279": (200, "TP trigger price can't be lower than the last price"),
    "51280": (200, "SL trigger price can't be higher than the last price"),
    "51400": (200, ("Order cancellation failed as the order has been filled, canceled or does not"
              " exist.")),
    "51503": (200, ("Order modification failed as the order has been filled, canceled or does not"
              " exist.")),
    "51506": (200, "Order modification unsupported for the current order type"),
    "51603": (200, "Order does not exist"),
    "59000": (200, ("Setting failed. Cancel any open orders, close positions, and stop trading bots"
              " first.")),
    "59102": (200, "Leverage exceeds the maximum limit. Please lower the leverage."),
    "59107": (200, "Leverage setting failed. Cancel any isolated orders or close positions first."),
}  # fmt: skip


CODES = tuple(_TEXTS)


class VenueRefusal(Exception):  # noqa: N818 - the venue's no is an answer
    """The venue's word: a code, a text, and the HTTP status it comes with."""

    def __init__(self, code: str, *parts: object, text: str = "", status: int = 0) -> None:
        known_status, known_text = _TEXTS.get(code, (_OK, "Operation failed."))
        self.code = code
        named = parts or ("?",) * known_text.count("{}")  # a fault on demand names nothing
        self.text = text or known_text.format(*named)
        self.status = status or known_status
        super().__init__(f"{code}: {self.text}")
