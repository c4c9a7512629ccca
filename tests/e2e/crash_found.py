"""What a crash drill counts besides broken promises, and how it is told."""

import json
import statistics
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.crash_ledger import Ledger
from tests.e2e.crash_promises import Book

_LEVEL_OF_TROUBLE = {"error", "critical"}


@dataclass
class Label:
    """What came of one label."""

    kills: int = 0
    missed: int = 0  # it did not come in time; killed all the same, and not counted above
    broken: int = 0  # promises, found out in the life after


@dataclass
class Found:
    """All that is counted."""

    kills: int = 0
    early: int = 0  # of them: without waiting for the daemon to be ready
    hasty: int = 0  # of them: commanded before anybody looked whether it was well
    plain_starts: int = 0  # of the labelled lives: the others were forked
    min_open: int = 10**9
    ready_ms: list[float] = field(default_factory=list)  # process start to first answer
    armed_ms: list[float] = field(default_factory=list)  # process start to all levels armed
    asked_ms: list[float] = field(default_factory=list)  # all levels armed to venue asked
    replayed: list[int] = field(default_factory=list)
    trouble: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    journal_events: int = 0
    labels: dict[str, Label] = field(default_factory=dict)

    def read(self, log: Path) -> None:
        """Take times and troubles from the daemon's own log."""
        for text in log.read_text(errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                self.trouble["not JSON"] += 1
                print("daemon:", text, file=sys.stderr)
                continue
            if line.get("event") == "started":
                self.armed_ms.append(line["seconds"] * 1000)
                self.replayed.append(line["replayed"])
            if line.get("level") in _LEVEL_OF_TROUBLE:
                self.trouble[line["event"]] += 1

    def told(self, book: Book, ledger: Ledger) -> dict[str, Any]:
        """Return it with what was promised and what the venue booked, as it is printed."""
        return {
            "kills": self.kills,
            "acknowledged": book.acknowledged,
            "exits_fired": ledger.exits(manual=False),
            "min_open": self.min_open,
            **{kind: len(texts) for kind, texts in book.broken.items()},
            "early_kills": self.early,
            "hasty_kills": self.hasty,
            "plain_starts": self.plain_starts,
            "positions": len(ledger.of_position),
            "fills": len(ledger.fills),
            "manual_exits": ledger.exits(manual=True),
            "refused": dict(book.refused.most_common()),
            "unanswered": book.unanswered,
            "restart_to_ready_p50_ms": _median(self.ready_ms),
            "restart_to_ready_max_ms": round(max(self.ready_ms, default=0)),
            "recovery_p50_ms": _median(self.armed_ms),
            "recovery_max_ms": round(max(self.armed_ms, default=0)),
            "armed_to_venue_asked_p50_ms": _median(self.asked_ms),
            "armed_to_venue_asked_max_ms": round(max(self.asked_ms, default=0)),
            "beyond_a_level_longest_s": round(book.beyond_longest_s, 2),
            "replayed_max": max(self.replayed, default=0),
            "journal_events": self.journal_events,
            "actor_restarts": dict(self.restarts),
            "dead_letters": self.dead_letters,
            "errors_logged": dict(self.trouble),
            "labels": {label: asdict(each) for label, each in sorted(self.labels.items())},
        }


def _median(values: list[float]) -> int:
    return round(statistics.median(values)) if values else 0
