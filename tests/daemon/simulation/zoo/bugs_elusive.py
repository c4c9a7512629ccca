"""Bugs that no whole day has found yet: what they need comes together too rarely.

The judge sees all but the first in a short day made for it (`short_days.py`); few whole days were
tried. One that is found moves to the other files.
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
    Bug(
        "fills_of_others_lost_at_the_end",
        "An order that the venue calls filled is over although its fills are still to come.",
        "I9",
        (
            Edit(
                "actors.exchange:ExchangeActor._apply",
                "if venue_order.filled > stream.state.filled:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "time_limit_forgotten_at_a_start",
        "After a start a position stays open beyond its time limit.",
        "I12",
        (
            Edit(
                "domain.position_decide:resume",
                "if position.protection.time_exit is not None:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "stop_refused_not_tried_again",
        "A stop that the venue has refused is not placed again.",
        "I3",
        (
            Edit(
                "domain.position_guards:wake_up",
                "wake_stop(decision, wake.purpose, wake.exit_id, wake.version)",
                "pass",
            ),
        ),
    ),
    Bug(
        "stop_loosened_by_breakeven",
        "The move to breakeven sets the stop there even where it was tighter.",
        "I14",
        (
            Edit(
                "domain.position_guards:to_breakeven",
                "if stop is None or is_tighter(position.direction, new=price, old=stop.price):",
                "if True:",
            ),
        ),
    ),
    Bug(
        "first_look_counts",
        "A difference counts at the first look, though a fill may be on its way.",
        "I5",
        (
            Edit(
                "actors.local_truth:unsettled",
                "return frozenset(found)",
                "return frozenset()",
            ),
            Edit("actors.holdings:Holdings._act", "finding.age_s >= CONFIRM_S", "True"),
            Edit(
                "actors.holdings:Holdings._act",
                "finding.age_s < self.stands_for_s(side.symbol)",
                "False",
            ),
        ),
    ),
    Bug(
        "cancel_not_tried_again",
        "A cancel whose answer is lost is not sent again.",
        "I11",
        (
            Edit(
                "actors.cancels:Cancels.note_answer",
                "            self.go_on(order_id)\n",
                "",
            ),
        ),
    ),
    Bug(
        "downtime_not_looked_at",
        "What the market crossed while the daemon was down, and came back from, does not count.",
        "I12",
        (
            Edit(
                "actors.catch_up:CatchUpActor.on_start",
                "if alive_at is None or not positions:",
                "if True:",
            ),
        ),
    ),
    Bug(
        "failed_exit_forgotten_at_a_start",
        "An exit that came to nothing before a crash is not tried again after it.",
        "I3",
        (
            Edit(
                "domain.position_decide:resume",
                "for exit_id in failed_exits(position)",
                "for exit_id in ()",
            ),
        ),
    ),
    Bug(
        "orders_gone_there_not_noticed",
        "A stop that is not in the venue's list any more counts as resting.",
        "I3",
        (
            Edit(
                "actors.order_list:OrderList.on_orders_seen",
                "for stream in list(self.streams.values()):",
                "for stream in ():",
            ),
        ),
    ),
)
