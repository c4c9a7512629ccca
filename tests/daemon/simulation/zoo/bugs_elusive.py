"""Bugs that no day has found yet: what they need comes together too rarely, or leaves no trace.

Each is work to do: a kind of fault that the days lack, or an invariant that the judge lacks. One
that is found moves to the other files.
"""

from tests.daemon.simulation.zoo.planting import Bug, Edit

ELUSIVE = (
    Bug(
        "duplicate_fill_counted_twice_by_account",
        "An account books an execution again that it is told of again.",
        "I5",
        (
            Edit(
                "domain.portfolio:book_fill",
                "if fill.trade_id in known or (holding is None and not is_entry):",
                "if holding is None and not is_entry:",
            ),
        ),
    ),
)
