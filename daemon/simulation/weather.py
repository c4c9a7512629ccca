"""What the network and the venue's answers do to requests and frames, by the rules in force.

A rule hits so many of what it is about, within its time. One rule at a time touches a request.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from daemon.simulation import slow_cancel
from daemon.simulation.network import Fate, parameters
from daemon.simulation.outside import Outside
from daemon.simulation.venue import SimVenue
from exchanges.sandbox.account import Account
from exchanges.sandbox.endpoints import Endpoint

HTML: Final = "<html><head><title>502</title></head><body>Bad gateway</body></html>"
_PRICE: Final = re.compile(r'"(px|last|markPx)":"[0-9.]+"')
_BAD_PRICES: Final = ("0", "-1", "NaN", "Infinity", "1e9", "", "60,000")
_ON_READS: Final = "read_"
_READS: Final = (
    *("account/positions", "account/positions", "account/balance"),
    *("trade/fills", "trade/order", "trade/orders-pending", "trade/orders-algo-pending"),
)
_CANCELS_S: Final = 90.0
_ACCEPTED_S: Final = (0.5, 4.5)  # less than the time in which it may be accepted
ON_REQUESTS: Final = frozenset(
    {
        "lost",
        "swallowed",
        "unsent",
        "late",
        "slow",
        "straggler",
        "slow_cancel",
        "html",
        "code",
        "row",
        "truncated",
        "busy",
    }
    | {"read_lost", "read_html", "read_code", "read_late", "read_stale"}
    | {"read_one"}
)
ON_FRAMES: Final = frozenset({"garbage", "bad_price"})


@dataclass(slots=True)
class Rule:
    """One fault in force."""

    do: str
    until_s: float
    left: int
    u: float
    account: Account | None = None
    path: str = ""  # the only one that it is about


class SimWeather:
    """Draws latencies, applies rules."""

    def __init__(self, outside: Outside, venue: SimVenue) -> None:
        self.outside = outside
        self.venue = venue
        self.rules: list[Rule] = []
        self.hits = 0
        self.partitioned_until_s = 0.0
        self.mute_until_s: dict[str, float] = {}  # of instruments, in what is public
        self._requests = outside.chance("requests")
        self._frames = outside.chance("frames")

    def add(self, do: str, count: int, lasts_s: float, u: float) -> str:
        """Put a rule into force; return its words."""
        account = self.venue.account.copy() if do == "read_stale" else None
        lasts_s = min(lasts_s, 2.5) if account is not None else lasts_s
        path = ""
        if do == "slow_cancel":  # cancels are rare
            path, count, lasts_s = slow_cancel.PATH, 6, _CANCELS_S
        elif do == "read_one":  # so that one look after the other lacks it
            path, count, lasts_s = _READS[int(u * len(_READS))], 60, 15.0 + lasts_s
        self.rules.append(Rule(do, self.outside.now_s + lasts_s, count, u, account, path))
        return f"{count} within {lasts_s:.1f} s{path and f' of {path}'}"

    def clear(self) -> None:
        """Let everything be fine from now on."""
        self.rules.clear()
        self.mute_until_s.clear()
        self.partitioned_until_s = 0.0

    @property
    def is_partitioned(self) -> bool:
        """Whether nothing gets through at all."""
        return self.outside.now_s < self.partitioned_until_s

    # --- requests

    def of_request(self, endpoint: Endpoint, fields: Any) -> Fate:
        """Return what becomes of a request."""
        chance = self._requests
        fate = Fate(chance.uniform(0.004, 0.03), chance.uniform(0.004, 0.03))
        if self.is_partitioned:
            self.hits += 1
            fate.left = fate.acts = chance.random() < 0.5  # noqa: PLR2004
            fate.acts, fate.reset, fate.back_s = False, True, 5.0
            return fate
        rule = self._taken(endpoint) if self.rules else None
        if rule is not None:
            self.hits += 1
            self._spoil(fate, rule, endpoint, fields)
            if endpoint.method == "POST":
                self.outside.tell(f"  {rule.do}: {endpoint.path} {_id_of(fields)}")
        return fate

    def _taken(self, endpoint: Endpoint) -> Rule | None:
        now_s, is_read = self.outside.now_s, endpoint.method == "GET"
        self.rules = [rule for rule in self.rules if rule.until_s > now_s and rule.left > 0]
        for rule in self.rules:
            if rule.path not in ("", endpoint.path):
                continue
            if rule.do in ON_REQUESTS and rule.do.startswith(_ON_READS) == is_read:
                rule.left -= 1
                return rule
        return None

    def _spoil(self, fate: Fate, rule: Rule, endpoint: Endpoint, fields: Any) -> None:
        chance = self._requests
        match rule.do.removeprefix(_ON_READS):
            case "lost":
                fate.reset = True
            case "swallowed":
                fate.acts, fate.reset = False, True
            case "unsent":
                fate.left = False
            case "late":
                fate.back_s = chance.uniform(1.0, 12.0)
            case "slow":
                fate.out_s = chance.uniform(*_ACCEPTED_S)
            case "straggler":
                fate.out_s, fate.cut_s = chance.uniform(*_ACCEPTED_S), chance.uniform(0.01, 0.3)
            case "slow_cancel":
                fate.instead = slow_cancel.later(self.outside, self.venue, chance, fields)
            case "html":
                fate.acts, fate.answer = chance.random() < 0.5, HTML  # noqa: PLR2004
            case "truncated":
                fate.answer = '{"code":"0","data":[{"ordId":"1767'
            case "code":
                code = chance.choice(("50001", "50004", "50013", "50026", "51149", "51054"))
                fate.acts = code in {"50004", "51149", "51054"} and chance.random() < 0.5  # noqa: PLR2004
                fate.answer = {"code": code, "data": [], "msg": "Busy, or so it says."}
            case "busy":
                fate.acts = False
                fate.answer = {"code": "50011", "data": [], "msg": "Too Many Requests"}
            case "row":
                fate.acts = chance.random() < 0.5  # noqa: PLR2004
                fate.answer = _row_refused(endpoint, fields)
            case "one":
                fate.answer = {"code": "50001", "data": [], "msg": "Service unavailable"}
            case "stale":
                fate.account = rule.account

    # --- frames

    def of_frame(self, path: str, frame: str) -> tuple[str, float] | None:
        """Return a frame as it arrives, and how long it takes."""
        delay_s = self._frames.uniform(0.002, 0.02)
        if self.is_partitioned:
            return None
        is_data = frame.startswith('{"arg"')
        if self.mute_until_s and is_data and path != "private" and self._is_mute(frame):
            return None
        if self.rules and is_data:
            for rule in self.rules:
                if rule.do == "garbage" and rule.left > 0 and rule.until_s > self.outside.now_s:
                    rule.left -= 1
                    self.hits += 1
                    return frame[: int(len(frame) * rule.u)], delay_s
                if rule.do == "bad_price" and path == "public" and rule.left > 0:
                    rule.left -= 1
                    self.hits += 1
                    bad = _BAD_PRICES[int(rule.u * len(_BAD_PRICES))]
                    return _PRICE.sub(f'"\\1":"{bad}"', frame), delay_s
        return frame, delay_s

    def _is_mute(self, frame: str) -> bool:
        now_s = self.outside.now_s
        return any(inst in frame for inst, at_s in self.mute_until_s.items() if now_s < at_s)

    def connects(self, path: str) -> str:
        """Return why a connection cannot be opened; "" when it can."""
        del path
        if self.is_partitioned:
            return "No route to host"
        return "503 Service Unavailable" if self.venue.world.maintenance else ""


def _row_refused(endpoint: Endpoint, fields: Any) -> dict[str, Any]:
    name = "algoId" if "algo" in endpoint.path else "ordId"
    theirs = parameters(fields)
    row = {
        name: "",
        "clOrdId": theirs.get("clOrdId", ""),
        "sCode": "51149",
        "sMsg": "Order timed out. Please try again.",
        "tag": "",
    }
    return {"code": "1", "data": [row], "msg": "All operations failed"}


def _id_of(fields: Any) -> str:
    theirs = parameters(fields)
    return str(theirs.get("clOrdId") or theirs.get("algoClOrdId") or theirs.get("algoId") or "")
