"""What a key would do, said before it is done: a sentence and the request, or a refusal."""

from decimal import Decimal

import msgspec

from daemon.admin_requests import (
    AnyAdminRequest,
    Close,
    CloseAll,
    MoveStop,
    Pause,
    Resume,
    ResumeEntries,
    StopEntries,
)
from daemon.cli import numbers
from daemon.cli.cells import held_quantity, is_waiting, money
from daemon.cli.console import Row, clean
from daemon.watch import figures
from daemon.words import number_of, plural, short_number, signed_number
from domain.errors import Refusal
from domain.money import ONE


class Proposal(msgspec.Struct, frozen=True):
    """What would be asked of the daemon."""

    says: str
    request: AnyAdminRequest | Refusal
    is_risky: bool = False


def close(row: Row, part: str) -> Proposal:
    """Close a position or a part of it at market."""
    share = numbers.read_fraction("part", part.strip())
    if isinstance(share, Refusal):
        return Proposal(share.message, share)
    if is_waiting(row):
        says = f"Takes the entry of {held_quantity(row)} back; nothing of it is filled."
        return Proposal(says, Close(position=clean(row.get("id")), part=share))
    left = number_of(row.get("remaining_quantity")) or Decimal(0)
    how_much = "all of it" if share == ONE else f"about {short_number(left * share)} of it"
    price = number_of(row.get("current_price"))
    quote = clean(row.get("symbol")).partition("/")[2]
    about = "" if price is None else f", worth {money(left * share * price)} {quote}"
    gain = row.get("unrealized_pnl")
    earns = "" if share != ONE or gain is None else f", P&L now {signed_number(gain)}"
    says = f"Closes {how_much} at market{about}{earns}."
    return Proposal(says, Close(position=clean(row.get("id")), part=share))


def move_stop(row: Row, price: str, *, widen: bool) -> Proposal:
    """Move a stop, based on the protection that is on the screen."""
    wanted = numbers.read_amount("price", price.strip())
    if isinstance(wanted, Refusal):
        return Proposal(wanted.message if price.strip() else "To which price?", wanted)
    version = row.get("protection_version")
    request = MoveStop(
        position=clean(row.get("id")),
        price=wanted,
        widen=widen,
        based_on=version if isinstance(version, int) else None,
    )
    says = f"Stop from {short_number(row.get('stop')) if row.get('stop') else 'none'} "
    says += f"to {short_number(wanted)}"
    current = number_of(row.get("current_price"))
    if current:
        says += f", {(wanted - current) / current * 100:+.2f} % from the price"
    before = number_of(row.get("stop"))
    away = before is not None and (
        wanted < before if row.get("side") == "LONG" else wanted > before
    )
    if away:
        says += ": MORE RISK than before" + ("" if widen else " (tab allows it)")
    return Proposal(f"{says}.", request, away)


def pause(trader: Row) -> Proposal:
    """Pause an active trader, or resume a paused one."""
    name = clean(trader.get("name"))
    count = trader.get("open_positions")
    guarded = f"{plural(count, 'open position')} {'stays' if count == 1 else 'stay'}"
    if trader.get("paused"):
        return Proposal(f"Resumes {name}: it may open positions again.", Resume(trader=name))
    says = f"Pauses {name}: it opens nothing more; its {guarded} guarded."
    return Proposal(says, Pause(trader=name))


def entries(*, stopped: bool) -> Proposal:
    """Stop entries, or resume them."""
    if stopped:
        return Proposal(
            "Resumes entries: traders and you may open positions again.", ResumeEntries()
        )
    return Proposal("Stops entries: nobody opens anything; exits and guards go on.", StopEntries())


def close_all(count: object, unrealized: object) -> Proposal:
    """Close everything."""
    says = f"Closes {plural(count, 'position')} at market, P&L now {signed_number(unrealized)}."
    return Proposal(says, CloseAll(), is_risky=True)


def title(verb: str, row: Row) -> str:
    """Name what a dialog is about."""
    return f"{verb} {clean(row.get('id'))[:8]}  {figures.summary(row)}"
