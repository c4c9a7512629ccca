"""A seed's day, written down before it begins: when the daemon lives, and what happens to it.

A plan is data, so that a failing day can be made smaller and kept. What a step does to whom is in
the step; what is drawn while the day runs (latencies, interleavings, the market's small moves)
comes from the seed that the plan names.

Swarm: each seed leaves some kinds of faults out and does others more often, since kinds can hide
each other.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

DAY_S = 86_400.0
CALM_S = 600.0  # at the end, without faults
TRADERS = ("alpha", "beta", "gamma")
_BUSY_S = (110.0, 210.0)  # of one life
_LAST_BUSY_S = 120.0
_OPENED_WHILE_MUTE = 2
_OLD_BY_THEN_S = (13.0, 30.0)  # since then
_BELOW_ONE = 0.999999
_FAULTS = (255, 310)
_COMMANDS = (45, 70)


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happens."""

    at: float  # seconds since the day began
    do: str
    u: float = 0.0  # which one, how much: a draw in [0, 1)
    v: float = 0.0
    count: int = 0  # of requests or frames
    lasts: float = 0.0  # s


class Span(msgspec.Struct, frozen=True):
    """One life of the daemon: from, until, and how it ends."""

    begin: float
    end: float
    ends: str  # "kill", "stop"


class Plan(msgspec.Struct, frozen=True):
    """A day."""

    seed: int
    kind: str  # "swap", "spot"
    lives: tuple[Span, ...]
    steps: tuple[Step, ...]
    calm_s: float = CALM_S
    traders: int = len(TRADERS)
    volatility: float = 0.0004  # of the log price, per square root of a second
    adopts: bool = False  # what nobody here opened
    outside_changes: str = "restore"
    target_at_venue: bool = False  # the last target rests in one order with the stop

    @property
    def ends(self) -> float:
        """When the day is over."""
        return self.lives[-1].end


# What a person does; the weight of each.
COMMANDS = {
    "open": 40,
    "close": 10,
    "part": 6,
    "withdraw": 5,  # an entry that rests
    "move_stop": 12,
    "trail": 5,
    "add_target": 5,
    "cancel_target": 3,
    "add": 8,
    "pause": 2,
    "resume": 3,
    "limits": 6,
    "account_limits": 3,
    "snapshot": 2,
    "reconcile": 2,
}
LIMITS = frozenset({"limits", "account_limits"})
# What goes wrong, by kind of request, frame, act; the weight of each where a seed has it.
FAULTS = {
    # requests that change something
    "lost": 14,
    "swallowed": 8,
    "unsent": 6,
    "late": 8,
    "slow": 6,
    "straggler": 8,  # its answer is lost, and then it arrives
    "slow_cancel": 5,  # accepted, and then it fills
    "html": 6,
    "code": 8,
    "row": 4,
    "truncated": 4,
    "busy": 5,
    # reads
    "read_lost": 8,
    "read_html": 4,
    "read_code": 5,
    "read_late": 4,
    "read_stale": 4,
    "read_one": 3,  # one endpoint is down for a while
    # frames
    "cut": 6,
    "silence": 3,
    "mute": 2,  # one symbol is silent, and people open it
    "half_open": 2,
    "notice": 2,
    "push_drop": 6,
    "push_twice": 5,
    "push_reorder": 4,
    "push_late": 4,
    "garbage": 4,
    "bad_price": 4,
    "partition": 2,
    # the venue
    "maintenance": 2,
    "child_rejected": 3,
    "thin": 4,
    "part_fill": 8,
    "outside_close": 4,
    "outside_part": 3,
    "outside_order": 3,
    "cancel_stop": 5,
    "move_stop_there": 4,
    "deposit": 3,
    "withdraw": 2,
    "liquidate": 2,
    "funding": 2,
    "suspend": 2,
    "skew": 2,
    # the market
    "gap": 5,
    "spike": 4,
    "quiet": 3,
    # the process and its disk
    "kill_position": 5,
    "kill_portfolio": 2,
    "kill_exchange": 3,
    "kill_feed": 3,
    "kill_persistence": 1,
    "kill_reconciler": 2,
    "slow_disk": 3,
    "full_disk": 2,
    "commit_fails": 4,
    "journal_fails": 3,
    "clock_step": 2,
}


def planned(seed: int, *, with_faults: bool = True) -> Plan:
    """Return the day of a seed."""
    chance = random.Random(f"{seed}/plan")  # noqa: S311 - reproducible, no secret
    lives = _lives(chance)
    steps = _steps(chance, lives, COMMANDS, chance.randint(*_COMMANDS))
    if with_faults:
        kinds = {name: weight for name, weight in FAULTS.items() if chance.random() < 0.65}  # noqa: PLR2004
        weights = {name: weight * chance.choice((0.3, 1, 1, 3)) for name, weight in kinds.items()}
        steps += _steps(chance, lives, weights, chance.randint(*_FAULTS))
    steps += [after for step in steps for after in _what_follows(chance, step, lives)]
    return Plan(
        seed=seed,
        kind="spot" if chance.random() < 0.25 else "swap",  # noqa: PLR2004
        lives=lives,
        steps=tuple(sorted(steps, key=lambda step: (step.at, step.do))),
        volatility=chance.choice((0.0002, 0.0004, 0.0004, 0.001)),
        adopts=chance.random() < 0.3,  # noqa: PLR2004
        outside_changes=chance.choice(("restore", "restore", "adopt")),
        target_at_venue=chance.random() < 0.4,  # noqa: PLR2004
    )


def _lives(chance: random.Random) -> tuple[Span, ...]:
    """Draw when the daemon lives: short pauses and long ones, a calm evening."""
    count = chance.randint(4, 6)
    lengths = [chance.uniform(*_BUSY_S) for _ in range(count - 1)] + [_LAST_BUSY_S + CALM_S]
    pauses = [chance.choice((0.5, 3.0, 30.0, 300.0)) for _ in range(count - 1)]
    rest = DAY_S - sum(lengths) - sum(pauses)
    shares = [chance.random() ** 3 for _ in pauses]
    spans, now = [], 0.0
    for number, length in enumerate(lengths):
        is_last = number == count - 1
        ends = "stop" if is_last or chance.random() < 0.25 else "kill"  # noqa: PLR2004
        end = round(now + length, 3)
        spans.append(Span(now, end, ends))
        if not is_last:
            now = round(end + pauses[number] + rest * shares[number] / sum(shares), 3)
    return tuple(spans)


def _steps(
    chance: random.Random, lives: Sequence[Span], weights: dict[str, float] | dict[str, int], n: int
) -> list[Step]:
    """Draw steps within the busy time of lives, and a few while nobody is there."""
    names = list(weights)
    busy = [(one.begin, one.end - (CALM_S if one is lives[-1] else 0.0)) for one in lives]
    total = sum(end - begin for begin, end in busy)
    found = []
    for _ in range(n):
        at = chance.uniform(0.0, total)
        for begin, end in busy:
            if at < end - begin:
                break
            at -= end - begin
        found.append(
            Step(
                at=round(begin + at, 4),
                do=chance.choices(names, [float(weights[name]) for name in names])[0],
                u=min(round(chance.random(), 6), _BELOW_ONE),
                v=round(chance.random(), 6),
                count=chance.choice((1, 1, 1, 2, 3, 6)),
                lasts=round(chance.choice((1.0, 3.0, 8.0, 20.0)) * chance.uniform(0.5, 1.0), 3),
            )
        )
    return found


def _what_follows(chance: random.Random, step: Step, lives: Sequence[Span]) -> Iterator[Step]:
    """Yield what people do after a step, within the same life."""
    over_s = next(
        one.end - (CALM_S if one is lives[-1] else 0.0) for one in lives if step.at < one.end
    )
    if step.do in LIMITS and not is_lifted(step):
        at = min(step.at + chance.uniform(15.0, 40.0), over_s - 1.0)
        yield replace(step, at=round(at, 4), v=1.0)
    if step.do == "mute":  # an old price might be believed
        for _ in range(_OPENED_WHILE_MUTE):
            at = step.at + chance.uniform(*_OLD_BY_THEN_S)
            if at < over_s:
                yield Step(at=round(at, 4), do="open", u=step.u, v=round(chance.random(), 6))


def is_lifted(step: Step) -> bool:
    """Whether a limit is set back to what is configured."""
    return step.v > 0.9  # noqa: PLR2004


def encode(plan: Plan, **more: Any) -> bytes:
    """Return a plan as JSON that a person can read, with `more` beside it."""
    return msgspec.json.format(msgspec.json.encode({**more, "plan": plan}), indent=1)


class _Kept(msgspec.Struct):
    plan: Plan


def decode(data: bytes) -> Plan:
    """Read a plan that `encode` wrote. Raises `msgspec.DecodeError`."""
    return msgspec.json.decode(data, type=_Kept).plan
