"""What OKX's codes mean for an order: the one table that decides refused, unknown or not sent.

A code stands in the envelope (`code`) or in a row (`sCode`). Only a code that this table calls a
refusal ends an order; one that it does not know leaves it unknown, since asking again costs seconds
and a second order costs money. The table in `docs/okx.md` is printed from here.

Source: www.okx.com/docs-v5/en (error code), and what was seen against a server of that protocol.
"""

from collections.abc import Mapping

import msgspec

from exchanges.verdict import Verdict


class Code(msgspec.Struct, frozen=True):
    """One code: what it means, and what a person can do."""

    verdict: Verdict
    meaning: str
    remedy: str = ""


_V = Verdict
_WAIT = "Nothing to do: the daemon asks the venue until it knows."
_SLOWER = "The daemon slows down by itself."
_KEY = "Check key, secret and passphrase of the venue in the configuration."
_FUNDS = "Add funds, free margin, or order less."
_LOT = "The venue's rules changed: the daemon takes the new ones over when it asks next."
_PRICE = "Use a price nearer to the market."
_FARTHER = "Use one farther from the market."

CODES: Mapping[str, Code] = {
    # The request did not get past the door
    "50011": Code(_V.LIMITED, "too many requests", _SLOWER),
    "50061": Code(_V.LIMITED, "too many orders of this account", _SLOWER),
    "50101": Code(
        _V.LOGIN,
        "the key belongs to the other environment",
        "A demo key needs `environment: demo`, a live key `environment: live`.",
    ),
    "50102": Code(
        _V.SKEWED, "our clock differs from the venue's", "Set this computer's clock (NTP)."
    ),
    "50103": Code(_V.LOGIN, "no key was sent", _KEY),
    "50104": Code(_V.LOGIN, "no passphrase was sent", _KEY),
    "50105": Code(_V.LOGIN, "the passphrase is wrong", _KEY),
    "50106": Code(_V.LOGIN, "no signature was sent", _KEY),
    "50107": Code(_V.LOGIN, "no timestamp was sent"),
    "50110": Code(
        _V.LOGIN,
        "this address is not on the key's list",
        "Add this computer's public address to the key's IP list at OKX.",
    ),
    "50111": Code(_V.LOGIN, "the key is not known", _KEY),
    "50112": Code(_V.SKEWED, "the timestamp is not usable", "Set this computer's clock (NTP)."),
    "50113": Code(_V.LOGIN, "the signature is wrong", _KEY),
    "50114": Code(_V.LOGIN, "not authorized", _KEY),
    "50119": Code(_V.LOGIN, "the key does not exist", _KEY),
    "50120": Code(
        _V.LOGIN,
        "the key lacks a permission",
        "Give the key the permission to trade at OKX; never the one to withdraw.",
    ),
    "50100": Code(_V.LOGIN, "the key is frozen", "Ask OKX's support."),
    "50030": Code(
        _V.LOGIN,
        "the key may not use this part of the venue",
        "Give the key the permission to trade at OKX; never the one to withdraw.",
    ),
    "50035": Code(
        _V.LOGIN, "the key must be bound to addresses", "Give the key an IP list at OKX."
    ),
    # The same at the private streams
    "60004": Code(_V.SKEWED, "the timestamp is not usable", "Set this computer's clock (NTP)."),
    "60005": Code(_V.LOGIN, "the key is not known", _KEY),
    "60006": Code(
        _V.SKEWED, "our clock differs from the venue's", "Set this computer's clock (NTP)."
    ),
    "60007": Code(_V.LOGIN, "the signature is wrong: the secret is not the key's", _KEY),
    "60009": Code(_V.LOGIN, "login failed", _KEY),
    "60024": Code(_V.LOGIN, "the passphrase is wrong", _KEY),
    "60032": Code(
        _V.LOGIN,
        "the key is not known here",
        "A demo key needs `environment: demo`, a live key `environment: live`.",
    ),
    "404": Code(
        _V.LOGIN, "the venue has no such endpoint (any more)", "See OKX's announcements; update."
    ),
    # Nobody can say whether it was done
    "50001": Code(_V.DOWN, "maintenance", "Wait until the venue is back; stops there go on."),
    "50004": Code(_V.UNKNOWN, "the venue timed out", _WAIT),
    "50005": Code(_V.DOWN, "the interface is offline", _WAIT),
    "50013": Code(_V.DOWN, "the venue is busy", _WAIT),
    "50026": Code(_V.DOWN, "an error of the venue's own", _WAIT),
    "51011": Code(_V.UNKNOWN, "the order id was used before", _WAIT),
    "51016": Code(_V.UNKNOWN, "our order id was used before; the first may have arrived", _WAIT),
    "51054": Code(_V.UNKNOWN, "the request timed out at the venue", _WAIT),
    "51149": Code(_V.UNKNOWN, "the order timed out at the venue", _WAIT),
    # The account
    "50007": Code(_V.REFUSED, "the account is blocked", "Ask OKX's support."),
    "50009": Code(_V.REFUSED, "the account is being liquidated", "Add funds at once."),
    "50012": Code(_V.REFUSED, "not in the account's state", "Look at the account at OKX."),
    "50027": Code(_V.REFUSED, "the account may not trade", "Ask OKX's support."),
    "50028": Code(_V.REFUSED, "the venue takes no order", "Ask OKX's support."),
    "51008": Code(_V.REFUSED, "not enough balance or margin", _FUNDS),
    "51009": Code(_V.REFUSED, "orders are blocked for this account", "Ask OKX's support."),
    "51010": Code(
        _V.REFUSED,
        "the account's mode cannot trade this",
        "Switch the account at OKX to futures mode for swaps.",
    ),
    "51024": Code(_V.REFUSED, "the account is blocked", "Ask OKX's support."),
    "51119": Code(_V.REFUSED, "not enough balance", _FUNDS),
    "51127": Code(_V.REFUSED, "the available balance is 0", _FUNDS),
    "51131": Code(_V.REFUSED, "not enough balance", _FUNDS),
    "51061": Code(_V.REFUSED, "more than the account may have open", "Close or cancel something."),
    # The order
    "51000": Code(
        _V.REFUSED,
        "a parameter is wrong",
        "If it names posSide: the position mode at OKX was changed; the daemon reads it anew.",
    ),
    "51001": Code(_V.REFUSED, "the instrument does not exist", "Remove the symbol."),
    "51004": Code(_V.REFUSED, "larger than this leverage allows", "Order less, or lower leverage."),
    "51005": Code(_V.REFUSED, "larger than one order may be", "Order less."),
    "51006": Code(_V.REFUSED, "the price is outside the venue's band", _PRICE),
    "51020": Code(_V.REFUSED, "smaller than the least order", "Order more."),
    "51021": Code(_V.REFUSED, "not listed yet", "Wait until it trades."),
    "51022": Code(_V.REFUSED, "trading is suspended", "Wait until it trades again."),
    "51023": Code(_V.REFUSED, "there is no such position", "It was closed; nothing to do."),
    "51027": Code(_V.REFUSED, "the contract has expired", "Remove the symbol."),
    "51028": Code(_V.REFUSED, "the contract is being delivered", "Remove the symbol."),
    "51030": Code(_V.REFUSED, "funding is being settled", "It is tried again."),
    # What an order brings along, against its own price: of a buy, then of a sell
    "51046": Code(_V.REFUSED, "the target must be above the order's price", _FARTHER),
    "51047": Code(_V.REFUSED, "the stop must be below the order's price", _FARTHER),
    "51048": Code(_V.REFUSED, "the target must be below the order's price", _FARTHER),
    "51049": Code(_V.REFUSED, "the stop must be above the order's price", _FARTHER),
    # The same against the best price in the book
    "51050": Code(_V.REFUSED, "the target must be above the best ask", _FARTHER),
    "51051": Code(_V.REFUSED, "the stop must be below the best ask", _FARTHER),
    "51052": Code(_V.REFUSED, "the target must be below the best bid", _FARTHER),
    "51053": Code(_V.REFUSED, "the stop must be above the best bid", _FARTHER),
    "51058": Code(_V.REFUSED, "no position that the stop could close", "Nothing to do."),
    "51112": Code(_V.REFUSED, "closes more than is free to close", "Cancel other closing orders."),
    "51116": Code(_V.REFUSED, "price or trigger is outside the venue's band", _PRICE),
    "51121": Code(_V.REFUSED, "not a whole number of lots", _LOT),
    "51136": Code(_V.REFUSED, "the price is below the venue's band", _PRICE),
    "51137": Code(_V.REFUSED, "the price is above the venue's band", _PRICE),
    "51138": Code(_V.REFUSED, "the price is outside the venue's band", _PRICE),
    "51169": Code(_V.REFUSED, "nothing there to close", "It was closed; nothing to do."),
    "51170": Code(_V.REFUSED, "reduce-only, on the side that would open", "Nothing to do."),
    "51174": Code(_V.REFUSED, "too many orders are open", "Cancel some."),
    "51185": Code(_V.REFUSED, "worth more than one order may be", "Order less."),
    "51205": Code(_V.REFUSED, "reduce-only is not available here"),
    "51250": Code(_V.REFUSED, "the stop's price is out of range", _PRICE),
    "51277": Code(_V.REFUSED, "the target would trigger at once", "The daemon exits at market."),
    "51278": Code(_V.REFUSED, "the stop would trigger at once", "The daemon exits at market."),
    "51279": Code(_V.REFUSED, "the target would trigger at once", "The daemon exits at market."),
    "51280": Code(_V.REFUSED, "the stop would trigger at once", "The daemon exits at market."),
    # Cancel and amend
    "51400": Code(_V.GONE, "no such order in the book: it may have filled", _WAIT),
    "51401": Code(_V.GONE, "already canceled", _WAIT),
    "51402": Code(_V.GONE, "already filled", _WAIT),
    "51403": Code(_V.REFUSED, "this kind of order cannot be canceled"),
    "51404": Code(_V.REFUSED, "cannot be canceled just now", "It is tried again."),
    "51405": Code(_V.GONE, "nothing is there to cancel", _WAIT),
    "51407": Code(_V.REFUSED, "neither of the two ids was given"),
    "51408": Code(_V.REFUSED, "the id does not fit the instrument"),
    "51409": Code(_V.REFUSED, "neither of the two ids was given"),
    "51410": Code(_V.GONE, "is being canceled already", _WAIT),
    "51500": Code(_V.REFUSED, "no price or size to change to"),
    "51502": Code(_V.REFUSED, "not enough balance or margin for the change", _FUNDS),
    "51503": Code(_V.GONE, "no such order to change: it may have filled", _WAIT),
    "51506": Code(_V.REFUSED, "this kind of order cannot be changed"),
    "51508": Code(_V.REFUSED, "cannot be changed just now", "It is tried again."),
    "51509": Code(_V.GONE, "already canceled", _WAIT),
    "51510": Code(_V.GONE, "already filled", _WAIT),
    "51511": Code(_V.REFUSED, "cannot be changed as asked"),
    "51512": Code(_V.REFUSED, "cannot be changed together with others"),
    "51513": Code(_V.REFUSED, "too many changes are on their way", "It is tried again."),
    "51603": Code(_V.GONE, "no such order", _WAIT),
    # Leverage and modes
    "59000": Code(
        _V.REFUSED, "not while positions or orders are open", "Close them first, or leave it."
    ),
    "59100": Code(_V.REFUSED, "not while positions are open", "Keep the leverage they have."),
    "59101": Code(_V.REFUSED, "not while orders are open", "Cancel them first."),
    "59102": Code(_V.REFUSED, "more leverage than allowed", "Lower `leverage`."),
    "59103": Code(_V.REFUSED, "too little margin for this leverage", _FUNDS),
    "59107": Code(_V.REFUSED, "not while orders are open", "Cancel them first."),
    "59108": Code(_V.REFUSED, "too little margin for this leverage", _FUNDS),
    "59109": Code(_V.REFUSED, "too little margin for this leverage", _FUNDS),
}

# Documented as checks before an order is taken; nothing that a person could do is known of them.
_REFUSALS = frozenset(
    str(code)
    for codes in (
        (50002, 50006, 50014, 50015, 50016, 50024, 50025, 50044, 50062, 50115),
        range(50017, 50024),
        (51002, 51003, 51007, 51012, 51014, 51015, 51017, 51018, 51019, 51025, 51026, 51029, 51031),
        (51072, 51073, 51074, *range(51090, 51100)),
        (*range(51100, 51119), 51120, 51122, 51124, 51125, 51126, 51128, 51129, 51130),
        (*range(51132, 51136), 51139, 51143, 51148, *range(51150, 51169)),
        (*range(51201, 51205), *range(51251, 51277)),
    )
    for code in codes
)
_OTHER = Code(_V.REFUSED, "refused before it was taken")
_UNHEARD = Code(_V.UNKNOWN, "a code that is not known here", _WAIT)


def code_of(code: str) -> Code:
    """Return what a code means; one that is not known leaves everything open."""
    known = CODES.get(code)
    if known is not None:
        return known
    return _OTHER if code in _REFUSALS else _UNHEARD


def remedy_of(code: str) -> str:
    """Return what a person can do about a code; "" when nothing is known."""
    known = CODES.get(code)
    return known.remedy if known is not None else ""
