"""Faults on demand: what goes wrong with requests and pushes, how often, and for whom.

| kind | what happens |
|---|---|
| `late` | done, the answer comes after `delay_ms` |
| `lost` | done, the connection is dropped instead of an answer |
| `unsent` | the connection is dropped, nothing is done |
| `truncated` | done, the body breaks off in the middle |
| `html` | a page of HTML with HTTP `status` (200, 429, 502, 524 …) |
| `code` | a JSON error with `code` (50001, 50004, 50011, 50013, 50026, 51054, 51149 …) |
| `row` | code 0, but the row says `code` (51149, …) |
| `empty` | code 0 with an empty `data` |
| `stale` | a read is answered as of `delay_ms` ago |
| `gone` | 404, as if the endpoint did not exist |
| `drop`, `duplicate` | a push is lost, sent twice |
| `reorder`, `delay` | a push is overtaken by the next, comes late |

`html`, `code`, `row` and `empty` come instead of the effect; with `acts` the request is done first.
A rule hits what `match` names: a pattern over `METHOD path` or `path` ("trade/order", "POST
trade/*"), for pushes over the channel ("orders"), and only what has `contains` in its query, body
or frame. It lets `skip` matches pass, hits with
`probability`, and ends after `count` hits.
"""

import random
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

Kind = Literal[
    "late",
    "lost",
    "unsent",
    "truncated",
    "html",
    "code",
    "row",
    "empty",
    "stale",
    "gone",
    "drop",
    "duplicate",
    "reorder",
    "delay",
]
ON_PUSHES = frozenset({"drop", "duplicate", "reorder", "delay"})
_BEFORE = frozenset({"unsent", "gone"})
_INSTEAD = frozenset({"html", "code", "row", "empty"})


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """One rule; see the table of this file."""

    kind: Kind
    match: str = "*"
    contains: str = ""  # in query, body or frame
    count: int | None = 1  # hits, None: without end
    probability: float = 1.0
    skip: int = 0
    delay_ms: int = 0
    code: str = "50013"
    status: int = 200
    acts: bool = False
    number: int = 0  # given by `Faults.add`
    hits: int = 0

    @property
    def is_before(self) -> bool:
        """Whether the request must not take effect."""
        return self.kind in _BEFORE or (self.kind in _INSTEAD and not self.acts)


class Faults:
    """The rules in force. Seeded: the same requests in the same order meet the same faults."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(f"faults/{seed}")  # noqa: S311 - reproducible, no secret
        self._number = 0
        self.rules: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Put a rule into force."""
        self._number += 1
        fault.number = self._number
        self.rules.append(fault)
        return fault

    def clear(self, number: int | None = None) -> None:
        """End one rule, or all."""
        self.rules = [one for one in self.rules if number is not None and one.number != number]

    def on_request(self, method: str, path: str, text: str = "") -> Fault | None:
        """Return the fault that this request meets; `path` without `/api/v5/`."""
        return self._take(f"{method} {path}", path, text, pushes=False)

    def on_push(self, channel: str, text: str = "") -> Fault | None:
        """Return the fault that this push meets."""
        return self._take(channel, channel, text, pushes=True)

    def _take(self, long: str, short: str, text: str, *, pushes: bool) -> Fault | None:
        for rule in self.rules:
            if (rule.kind in ON_PUSHES) != pushes:
                continue
            if not (fnmatchcase(long, rule.match) or fnmatchcase(short, rule.match)):
                continue
            if rule.contains not in text:
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.probability < 1 and self._chance.random() >= rule.probability:
                continue
            rule.hits += 1
            if rule.count is not None:
                rule.count -= 1
                if rule.count <= 0:
                    self.rules.remove(rule)
            return rule
        return None
