"""The judgment: what the daemon says after a restart, against what was told and what the venue has.

What was shown must be there with the first answer. Some things take a moment: the venue's fills are
asked for and booked, levels are confirmed, an exit under way ends. Those are looked at again until
they are right or their time is over.
"""

import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from domain.money import ZERO
from tests.e2e.crash_ledger import Ledger
from tests.e2e.crash_line import Line, see_all
from tests.e2e.crash_promises import ENDED, GUARDED, Book, Promise, Trader, View
from tests.e2e.crash_scale import PAPER_SCALE, Scale

D = Decimal
_TIME_EXIT_WITHIN_S = 2.0
_TRIED_AGAIN_WITHIN_S = 0.5  # an exit that never left is proven absent, and leaves anew
_POLL_S = 0.03
_ROUNDING = D("0.000001")  # quote; sums of many fills, each rounded to twelve digits
Problem = tuple[str, str]  # which counter, what


def told_no_more_than_the_venue_has(book: Book, ledger: Ledger) -> None:
    """Once the daemon is dead: every fill that it showed is at the venue."""
    for kind, found in (("duplicated", ledger.duplicated), ("lost", ledger.lost)):
        for text in found:
            book.blame(kind, text)
    for promise in book.promises.values():
        if promise.settled:
            continue
        invented = promise.fills - ledger.fills.keys()
        if invented:
            told = f"{promise.id}: fills {sorted(invented)} were shown, the venue lacks them"
            book.blame("duplicated", told)


class Judge:
    """Compares one incarnation, from its first answer on, with all promises."""

    def __init__(
        self, book: Book, ledger: Ledger, line: Line, ready_s: float, scale: Scale = PAPER_SCALE
    ) -> None:
        self.book = book
        self.ledger = ledger
        self.line = line
        self.ready_s = ready_s  # monotonic
        self.scale = scale

    def judge(self, *, everything: bool = False) -> None:
        """Look until all is right, or blame what is not."""
        waiting = {
            each
            for each in (*self.book.promises, *self.ledger.of_position)
            if everything or not self.book.of(each).settled
        }
        rows = see_all(self.book, self.line.ask, closed=True)
        for row in rows:
            if self.book.of(row["id"]).settled and not everything:
                told = f"{row['id']} was closed and is open again"
                self.book.blame("lost", told)
        guards_due = self.ready_s + self.scale.guarded_within_s
        due = self.ready_s + self.scale.settled_within_s
        pending: dict[str, list[Problem]] = {}
        guarded: set[str] = set()
        bare_s: dict[str, float] = {}  # since when, monotonic
        first = True
        while waiting:
            late = time.monotonic() >= due
            for position_id in sorted(waiting):
                problems = self._look(position_id, guarded, first=first)
                unprotected = [each for each in problems if each[0] == "unprotected"]
                if not unprotected:
                    bare_s.pop(position_id, None)
                elif time.monotonic() >= guards_due:
                    since_s = bare_s.setdefault(position_id, time.monotonic())
                    if time.monotonic() - since_s >= _TRIED_AGAIN_WITHIN_S:
                        self.book.blame(*unprotected[0])
                        guarded.add(position_id)
                pending[position_id] = problems
                if not problems:
                    waiting.discard(position_id)
            if late:
                break
            first = False
            time.sleep(_POLL_S if waiting else 0)
        for position_id in sorted(waiting):
            for kind, text in pending[position_id]:
                self.book.blame(kind, text)
        self._desk(due)

    def _look(self, position_id: str, guarded: set[str], *, first: bool) -> list[Problem]:
        """Return what is not right yet; blame what cannot become right."""
        promise = self.book.of(position_id)
        asked_s = time.monotonic()
        answer = self.line.ask("position", position=position_id)
        if not answer["ok"]:
            return self._unknown(promise, answer)
        view = answer["position"]
        self.book.see_view(view, asked_s)
        if first:
            self.book.check_in_force(view)
        problems = self._fills(promise, view)
        late_close = self.book.missing_close(view)
        if late_close:
            problems.append(("lost", late_close))
        if position_id not in guarded:
            unguarded = _unguarded(promise, view)
            if unguarded:
                problems.append(("unprotected", unguarded))
            else:
                guarded.add(position_id)
        overdue = _overdue(view)
        if overdue:
            problems.append(("lost", overdue))
        if view["status"] in ENDED and not problems:
            at_venue = {fill.trade_id for fill in self.ledger.of_position.get(position_id, ())}
            promise.settled = promise.fills == at_venue
        return problems

    def _unknown(self, promise: Promise, answer: View) -> list[Problem]:
        held = self.ledger.of_position.get(promise.id)
        rule = answer["error"]["rule"]
        if rule == "UNKNOWN_POSITION" and not (
            promise.acknowledged or promise.version or promise.fills or held
        ):
            self.book.promises.pop(promise.id, None)  # it was asked for, and never came to be
            return []
        net = sum((fill.signed for fill in held or ()), ZERO)
        told = "acknowledged" if promise.acknowledged else "shown"
        return [("lost", f"{promise.id} was {told}, the venue holds {net}; now {rule}")]

    def _fills(self, promise: Promise, view: View) -> list[Problem]:
        """Every fill at the venue must be counted, once."""
        counted = {fill["id"] for fill in view["fills"]}
        fills = self.ledger.of_position.get(promise.id, ())
        missing = [fill for fill in fills if fill.trade_id not in counted]
        if not missing:
            return []
        shown = ", ".join(f"{fill.leg} {fill.trade_id} {fill.quantity}" for fill in missing)
        return [("lost", f"{promise.id} ({view['status']}) does not count {shown}")]

    def _desk(self, due: float) -> None:
        """Traders and entries rest as they were told to; the account knows its positions."""
        for row in self.line.ask("traders")["traders"]:
            trader = self.book.traders.get(row["name"])
            if trader is not None:
                self._switch(trader, row["paused"], f"trader {row['name']}")
        causes = {each["code"] for each in self.line.ask("mode")["causes"]}
        self._switch(self.book.entries, "OPERATOR_STOP" in causes, "stop-entries")
        until(self._account_knows, due, lambda text: self.book.blame("lost", text))

    def _switch(self, told: Trader, is_on: bool, what: str) -> None:
        if is_on != told.paused and not told.in_flight:
            self.book.blame("lost", f"{what}: {told.paused} was acknowledged, now {is_on}")
        told.paused, told.in_flight = is_on, False

    def _account_knows(self) -> str | None:
        before = {row["id"] for row in self.line.ask("positions")["positions"]}
        held = self.line.ask("portfolio")["positions"]
        after = {row["id"] for row in self.line.ask("positions")["positions"]}
        if held < len(before & after) or held > len(before | after):
            return f"the account holds {held} positions, {len(before & after)} are shown"
        return None

    # --- the end

    def nothing_is_left(self, within_s: float) -> None:
        """After everything was ordered closed, the account holds nothing any more."""
        due = time.monotonic() + within_s
        until(self._still_open, due, lambda text: self.book.blame("lost", text))

    def _still_open(self) -> str | None:
        asked_s = time.monotonic()
        rows = self.line.ask("positions")["positions"]
        for row in rows:
            self.book.see_row(row, asked_s)
        account = self.line.ask("portfolio")
        if rows:
            shown = [f"{row['id']} {row['status']} {row['remaining_quantity']}" for row in rows]
            return f"after close-all: {'; '.join(shown)}"
        if account["positions"] or account["reservations"] or D(account["margin"]):
            shown = {name: account[name] for name in ("positions", "reservations", "margin")}
            return f"after close-all the account still has {shown}"
        return None

    def balance(self) -> Decimal:
        """Return what the daemon thinks the account is worth."""
        return D(self.line.ask("portfolio")["balance"])


def is_same(balance: Decimal, cash: Decimal) -> bool:
    """Whether two sums of the same fills are one, however each was rounded."""
    return abs(balance - cash) <= _ROUNDING


def same_money(book: Book, balance: Decimal, ledger: Ledger) -> None:
    """With nothing open, the daemon's balance is the venue's."""
    if ledger.open_positions():
        book.blame("lost", f"the venue still holds {ledger.open_positions()} positions")
    if not is_same(balance, ledger.cash):
        book.blame("lost", f"the balance is {balance}, the venue's is {ledger.cash}")


def until(look: Callable[[], str | None], due: float, blame: Callable[[str], None]) -> None:
    """Look until nothing is wrong; at the end of the time, say what."""
    while (wrong := look()) is not None:
        if time.monotonic() >= due:
            blame(wrong)
            return
        time.sleep(_POLL_S)


def _unguarded(promise: Promise, view: View) -> str | None:
    if view["status"] in ENDED or not D(view["remaining_quantity"]) or not promise.guards:
        return None
    rules = view["protection"]
    has_rule = rules["stop"] is not None or (promise.stop is None and rules["trail"] is not None)
    if view["status"] in GUARDED and has_rule:
        return None
    return f"{promise.id} is {view['status']}, stop {rules['stop']}, promised {promise.stop}"


def _overdue(view: View) -> str | None:
    """A time exit that is long past must have fired."""
    limit = view["protection"]["time_exit"]
    if limit is None or view["status"] in ENDED:
        return None
    passed_s = time.time() - _seconds(limit)
    if passed_s < _TIME_EXIT_WITHIN_S or view["status"] == "closing":
        return None
    return f"{view['id']} should have ended {passed_s:.1f} s ago, it is {view['status']}"


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
