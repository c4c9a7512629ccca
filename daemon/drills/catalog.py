"""All drills, in the order of their table."""

from daemon.drills import absence, answers, crashes, outside, stops
from daemon.drills.drill import Drill

DRILLS: tuple[Drill, ...] = (
    *answers.DRILLS,
    *absence.DRILLS,
    *stops.DRILLS,
    *outside.DRILLS,
    *crashes.DRILLS,
)


def named(names: list[str]) -> tuple[Drill, ...]:
    """Return the drills of these names, all without names. Raises `KeyError` with a wrong one."""
    known = {drill.name: drill for drill in DRILLS}
    return tuple(known[name] for name in dict.fromkeys(names)) if names else DRILLS
