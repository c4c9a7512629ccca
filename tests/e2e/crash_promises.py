"""What a daemon that was killed had told, and whether another one keeps it.

Whatever was shown may not be taken back: a fill, an end, a version, a trailing level. Whatever was
acknowledged is in force until something later explains that it is not. A command whose answer was
lost may have been done or not; both are right.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf
from threading import RLock
from typing import Any

from domain.money import ZERO, plain

D = Decimal
View = dict[str, Any]
ENDED = frozenset({"closed", "closed_with_dust", "closed_external", "liquidated"})
GUARDED = frozenset({"open_protected", "closing"})
_NO_LONGER_ASKED = ENDED | {"closing"}


@dataclass
class Promise:
    """What was told about one position."""

    id: str
    symbol: str = ""
    long: bool | None = None
    acknowledged: bool = False  # its opening; the rules below count from then on
    stop: Decimal | None = None
    targets: dict[str, tuple[Decimal, str]] = field(default_factory=dict)  # price, part in percent
    trail: tuple[str | None, str | None] | None = None  # ratio, distance
    in_flight: list[View] = field(default_factory=list)  # commands without an answer
    must_close: bool = False
    # What was shown.
    shown_s: float = 0.0  # when the last of it was received
    version: int = 0
    stop_shown: str | None = None  # of that version
    fills: frozenset[str] = frozenset()
    exits: dict[str, Decimal] = field(default_factory=dict)  # order id: filled
    remaining: Decimal | None = None
    entered: Decimal = ZERO
    is_closed: bool = False
    was_guarded: bool = False
    level: Decimal | None = None
    level_at_death: Decimal | None = None  # of the life before
    level_from: int = 0  # versions before this one had another trail
    trail_changes: bool = False  # a change of it is under way
    beyond_s: float | None = None  # since when the price has been beyond a level
    settled: bool = False  # over, and everybody agrees about it

    @property
    def guards(self) -> bool:
        return self.was_guarded or (self.acknowledged and self.stop is not None)


@dataclass
class Trader:
    """Whether a trader is paused."""

    paused: bool = False
    in_flight: bool = False


class Book:
    """All promises, and every one that was broken."""

    def __init__(self, fires_within_s: float = 0.7) -> None:
        self.lock = RLock()
        self.fires_within_s = fires_within_s
        self.promises: dict[str, Promise] = {}
        self.traders: dict[str, Trader] = {}
        self.knows = True  # the daemon that lives: what happened at its venue meanwhile
        self.entries = Trader()  # `paused`: by stop-entries
        self.acknowledged = 0
        self.unanswered = 0
        self.beyond_longest_s = 0.0  # a price beyond a level, until that fired
        self.refused: Counter[str] = Counter()
        self.broken: dict[str, list[str]] = {
            "lost": [],
            "duplicated": [],
            "unprotected": [],
            "loosened_trails": [],
        }

    def of(self, position_id: str) -> Promise:
        """Return what was told about a position; nothing so far."""
        return self.promises.setdefault(position_id, Promise(position_id))

    def blame(self, kind: str, text: str) -> None:
        """Note a broken promise, once."""
        with self.lock:
            if text not in self.broken[kind]:
                self.broken[kind].append(text)

    def died(self) -> None:
        """Note that the daemon was killed: nobody guards until it is back, and that is not blamed.

        A price that is beyond a level has its time to fire from when the next one has asked the
        venue: it may have fired there.
        """
        with self.lock:
            self.knows = False
            for promise in self.promises.values():
                promise.beyond_s = None
                promise.level_at_death = promise.level

    def opened(self, promise: Promise, request: View) -> None:
        """Expect the rules that an opening asked for."""
        promise.acknowledged = True
        promise.in_flight.clear()
        promise.stop = D(request["stop"])
        promise.targets = {
            f"target-{number}": (D(each["price"]), plain(D(each["part"]) * 100))
            for number, each in enumerate(request.get("targets", ()), 1)
        }
        if "trail_ratio" in request or "trail_distance" in request:
            promise.trail = (request.get("trail_ratio"), request.get("trail_distance"))

    # --- what is shown

    def see_row(self, row: View, asked_s: float) -> None:
        """Take a line of `positions`, asked for at `asked_s` (monotonic)."""
        with self.lock:
            promise = self.of(row["id"])
            if row["protection_version"] is None:  # its events are archived, little of it is shown
                promise.is_closed = True
                if row["status"] not in ENDED or D(row["remaining_quantity"]):
                    self.blame("lost", f"{promise.id} is archived and {row['status']}")
                return
            later = asked_s >= promise.shown_s  # answers to different threads overtake each other
            if later:
                self._compare(promise, row)
                self._watch_guard(promise, row)
            self._note(promise, row, later=later)

    def see_view(self, view: View, asked_s: float) -> None:
        """Take all of a position."""
        with self.lock:
            promise = self.of(view["id"])
            later = asked_s >= promise.shown_s
            fills = frozenset(fill["id"] for fill in view["fills"])
            exits = {each["client_order_id"]: D(each["filled"]) for each in view["exits"]}
            if later:
                self._compare(promise, view)
                missing = promise.fills - fills
                if missing:
                    self.blame("lost", f"{promise.id}: fills {sorted(missing)} were shown")
                for order_id, filled in promise.exits.items():
                    # One that a stop at the venue came before is not shown any more.
                    if exits.get(order_id, ZERO) < filled:
                        now = exits.get(order_id)
                        told = f"exit {order_id} was shown, {filled} filled; now {now}"
                        self.blame("lost", f"{promise.id}: {told}")
            if not promise.trail_changes:
                self._check_trail_exits(promise, view)
            promise.fills |= fills
            for order_id, filled in exits.items():
                promise.exits[order_id] = max(filled, promise.exits.get(order_id, ZERO))
            self._note(promise, view, later=later)
            self._check_quantities(promise, view)

    def _compare(self, promise: Promise, row: View) -> None:
        """Nothing that was shown may be taken back."""
        version, stop = row["protection_version"], row["stop"]
        if promise.is_closed and row["status"] not in ENDED:
            self.blame("lost", f"{promise.id} was shown closed, now it is {row['status']}")
        if version < promise.version:
            told = f"protection version {promise.version} was shown, now {version}"
            self.blame("lost", f"{promise.id}: {told}")
        if version == promise.version and stop != promise.stop_shown:
            told = f"stop {promise.stop_shown} was shown for version {version}, now {stop}"
            self.blame("lost", f"{promise.id}: {told}")
        remaining, entered = D(row["remaining_quantity"]), D(row["entry_quantity"])
        if promise.remaining is not None and (
            entered < promise.entered
            or remaining - entered > promise.remaining - promise.entered  # less closed than before
        ):
            told = f"{promise.remaining} of {promise.entered} remained, now {remaining} of"
            self.blame("lost", f"{promise.id}: {told} {entered}")
        level = row["trail_level"]
        if self._counts(promise, row) and promise.level is not None:
            if level is None:
                self.blame("loosened_trails", f"{promise.id}: {promise.level} was shown, now none")
            elif (D(level) < promise.level) if promise.long else (D(level) > promise.level):
                told = f"trail level {promise.level} was shown, now {level}"
                self.blame("loosened_trails", f"{promise.id}: {told}, version {version}")

    @staticmethod
    def _counts(promise: Promise, row: View) -> bool:
        """Whether a row's trailing level may be compared with what was shown."""
        return (
            not promise.trail_changes
            and row["protection_version"] >= promise.level_from
            and row["status"] not in ENDED
        )

    def _note(self, promise: Promise, row: View, *, later: bool) -> None:
        promise.symbol = row["symbol"]
        promise.long = row["side"] == "LONG"
        counts = self._counts(promise, row) and row["status"] != "closing"
        if counts and row["trail_level"] is not None:
            level = D(row["trail_level"])
            best = max if promise.long else min
            promise.level = level if promise.level is None else best(level, promise.level)
        if row["status"] in ENDED:
            promise.is_closed = True
        if row["stop_lives"] == "client guard" and row["status"] == "open_protected":
            promise.was_guarded = True
        if row["protection_version"] > promise.version or not promise.version:
            promise.version = row["protection_version"]
            promise.stop_shown = row["stop"]
        if later:
            promise.remaining = D(row["remaining_quantity"])
            promise.entered = D(row["entry_quantity"])
        promise.shown_s = time.monotonic()

    def _check_quantities(self, promise: Promise, view: View) -> None:
        entry = view["entry_order"]
        ids = [fill["id"] for fill in view["fills"]]
        entered = sum(
            (D(fill["quantity"]) for fill in view["fills"] if fill["order"] == entry), ZERO
        )
        left = sum((D(fill["quantity"]) for fill in view["fills"] if fill["order"] != entry), ZERO)
        if len(ids) != len(set(ids)):
            self.blame("duplicated", f"{promise.id} counts a fill twice: {ids}")
        if entered > D(view["entry_requested"]):
            told = f"entered {entered} of {view['entry_requested']} asked for"
            self.blame("duplicated", f"{promise.id} {told}")
        if left > entered:
            self.blame("duplicated", f"{promise.id} closed {left} of {entered}")
        if D(view["entry_quantity"]) != entered or D(view["remaining_quantity"]) != entered - left:
            told = f"{view['remaining_quantity']} of {view['entry_quantity']}, fills say"
            self.blame("lost", f"{promise.id} shows {told} {entered - left} of {entered}")

    def _watch_guard(self, promise: Promise, row: View) -> None:
        """A level that is shown as guarded and lets the price pass is no guard."""
        levels = [D(row[name]) for name in ("stop", "trail_level") if row[name] is not None]
        price, long = row["current_price"], row["side"] == "LONG"
        beyond = (
            self.knows
            and row["status"] == "open_protected"
            and levels
            and row["price_is_fresh"]
            and (D(price) <= max(levels) if long else D(price) >= min(levels))
        )
        if not beyond:
            if promise.beyond_s not in {None, inf}:
                lasted_s = time.monotonic() - promise.beyond_s
                self.beyond_longest_s = max(self.beyond_longest_s, lasted_s)
            promise.beyond_s = None
        elif promise.beyond_s is None:
            promise.beyond_s = time.monotonic()
        elif time.monotonic() - promise.beyond_s > self.fires_within_s:
            told = f"price {price} beyond {levels} for {self.fires_within_s} s, {row['status']}"
            self.blame("unprotected", f"{promise.id}: {told}")
            promise.beyond_s = inf  # said once

    def _check_trail_exits(self, promise: Promise, view: View) -> None:
        """A trail that fires does so at the level that was shown, or at a tighter one.

        One that was crossed while the daemon was dead is found later: until then the level that is
        shown may follow the market on.
        """
        for each in view["exits"]:
            trigger = each["trigger"]
            if each["exit_id"] != "trail" or trigger is None:
                continue
            shown = promise.level_at_death if trigger["while_down"] else promise.level
            if shown is None or each["client_order_id"] in promise.exits:
                continue  # what is shown after it fired follows the market on
            level = D(trigger["level"])
            if (level < shown) if promise.long else (level > shown):
                told = f"trail level {shown} was shown, it fired at {level}"
                self.blame("loosened_trails", f"{promise.id}: {told}")

    # --- what is in force

    def check_in_force(self, view: View) -> None:
        """Compare the rules of an open position with what was acknowledged, after a restart."""
        with self.lock:
            promise = self.of(view["id"])
            if promise.in_flight and promise.in_flight[0]["command"] == "open":
                self.opened(promise, promise.in_flight[0])  # the answer was lost, it was done
            if not promise.acknowledged or view["status"] in _NO_LONGER_ASKED:
                return
            if not view["fills"]:
                return  # the rules of the plan begin with the first fill
            protection = view["protection"]
            self._check_stop(promise, protection)
            self._check_targets(promise, protection)
            self._check_trail(promise, protection)
            promise.in_flight.clear()
            promise.trail_changes = False

    def _check_stop(self, promise: Promise, protection: View) -> None:
        held = protection["stop"]
        price = None if held is None else D(held["price"])
        right = {promise.stop}
        right |= {D(each["price"]) for each in promise.in_flight if each["command"] == "move-stop"}
        even = protection["breakeven"]
        if even is not None and even["done"]:
            moved = D(even["stop_price"])
            if promise.stop is None or ((moved > promise.stop) == promise.long):
                right.add(moved)
        if price not in right:
            told = f"stop {promise.stop} was acknowledged, now {price}"
            self.blame("lost", f"{promise.id}: {told}; in flight {promise.in_flight}")
        promise.stop = price

    def _check_targets(self, promise: Promise, protection: View) -> None:
        held = {each["id"]: (D(each["price"]), each["part_pct"]) for each in protection["targets"]}
        for target, told in promise.targets.items():
            now = held.get(target)
            maybe = [each for each in promise.in_flight if each.get("target") == target]
            changed = now is not None and any(
                each["command"] == "modify-target" and D(each["price"]) == now[0] for each in maybe
            )
            gone = now is None and any(each["command"] == "cancel-target" for each in maybe)
            if now != told and not changed and not gone:
                self.blame("lost", f"{promise.id}: {target} {told} was acknowledged, now {now}")
        adding = {D(each["price"]) for each in promise.in_flight if each["command"] == "add-target"}
        for target, now in held.items():
            if target not in promise.targets and now[0] not in adding:
                self.blame("lost", f"{promise.id}: {target} {now} is there, and was not asked for")
        promise.targets = held

    def _check_trail(self, promise: Promise, protection: View) -> None:
        held = trail_of(protection)
        maybe = [each for each in promise.in_flight if each["command"] == "trail-stop"]
        if held != promise.trail:
            asked = [(each.get("trail_ratio"), each.get("trail_distance")) for each in maybe]
            if held not in asked:
                told = f"trail {promise.trail} was acknowledged, now {held}"
                self.blame("lost", f"{promise.id}: {told}")
            promise.trail = held
            promise.level = None
            promise.level_from = protection["version"]

    def missing_close(self, view: View) -> str | None:
        """Say so if a position must be closed by now and is not."""
        promise = self.of(view["id"])
        if promise.must_close and view["status"] not in ENDED:
            return f"{promise.id}: its closing was acknowledged, it is {view['status']}"
        return None


def trail_of(protection: View) -> tuple[str | None, str | None] | None:
    """Return a trail's ratio and distance."""
    trail = protection["trail"]
    return None if trail is None else (trail["ratio"], trail["distance"])
