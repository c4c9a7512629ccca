"""Makes a failing day smaller: fewer faults, then fewer traders, then shorter; it must fail alike.

Alike: the same invariant is violated in the same way, whatever the ids and figures. What is left is
a plan that a test can keep and run.
"""

import re
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from daemon.assembly import Assembly
from daemon.simulation.day import run
from daemon.simulation.plan import CALM_S, COMMANDS, Plan, Span, Step

Fails = Callable[[Plan], bool]
Patch = Callable[[Assembly], None]
_SHORT_CALM_S = (120.0, 300.0)
_FIGURE = re.compile(r"\S*\d\S*")  # ids have digits, too


def shrunk(
    plan: Plan,
    *,
    runs: int = 200,
    note: Callable[[str], None] = lambda _: None,
    patch: Patch | None = None,
) -> Plan:
    """Return a smaller plan that violates an invariant as `plan` does.

    At most so many runs. Returns `plan` itself when it violates none.
    """
    ways = ways_of(plan, patch)
    if not ways:
        return plan
    left = [runs]

    def fails(candidate: Plan) -> bool:
        if left[0] <= 0:
            return False
        left[0] -= 1
        return bool(ways_of(candidate, patch) & ways)

    faults = tuple(step for step in plan.steps if step.do not in COMMANDS)
    plan = _fewer(plan, faults, fails, note)
    plan = _shorter(plan, fails, note)
    for traders in range(plan.traders):
        candidate = replace(plan, traders=traders)
        if fails(candidate):
            plan = candidate
            break
    commands = tuple(step for step in plan.steps if step.do in COMMANDS)
    plan = _fewer(plan, commands, fails, note)
    for calm_s in _SHORT_CALM_S:
        candidate = _with_calm(plan, calm_s)
        if fails(candidate):
            return candidate
    return plan


def ways_of(plan: Plan, patch: Patch | None = None) -> set[str]:
    """Return which invariants a plan violates, and how, without ids and figures."""
    return {way_of(text) for text in run(plan, patch=patch).violations}


def way_of(violation: str) -> str:
    """Return what a violation has in common with others of its kind."""
    rule, _, how = violation.partition(":")
    return f"{rule}:{_FIGURE.sub('#', how)}"


def _fewer(
    plan: Plan, removable: Sequence[Step], fails: Fails, note: Callable[[str], None]
) -> Plan:
    """Leave steps out: half of them, then quarters, then single ones."""
    kept = list(removable)
    size = len(kept)
    while size >= 1:
        at = 0
        while at < len(kept):
            gone = set(map(id, kept[at : at + size]))
            candidate = replace(
                plan, steps=tuple(step for step in plan.steps if id(step) not in gone)
            )
            if fails(candidate):
                plan = candidate
                del kept[at : at + size]
                note(f"{len(plan.steps)} steps")
            else:
                at += size
        size //= 2
    return plan


def _shorter(plan: Plan, fails: Fails, note: Callable[[str], None]) -> Plan:
    """Leave whole lives out, the first ones first."""
    number = 0
    while number < len(plan.lives) - 1:
        gone = plan.lives[number]
        candidate = replace(
            plan,
            lives=(*plan.lives[:number], *plan.lives[number + 1 :]),
            steps=tuple(step for step in plan.steps if not gone.begin <= step.at < gone.end),
        )
        if fails(candidate):
            plan = candidate
            note(f"{len(plan.lives)} lives")
        else:
            number += 1
    return plan


def _with_calm(plan: Plan, calm_s: float) -> Plan:
    last = plan.lives[-1]
    less_s = (plan.calm_s or CALM_S) - calm_s
    end = Span(last.begin, last.end - less_s, last.ends)
    return replace(plan, calm_s=calm_s, lives=(*plan.lives[:-1], end))
