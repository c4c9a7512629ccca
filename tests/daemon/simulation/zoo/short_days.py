"""Short days in which the judge must see a bug, and see nothing without it."""

from msgspec.structs import replace

from daemon.simulation.plan import Plan, Span, Step, planned

# u=0.1 is a long of the first base, 0.101 a short. What v draws: the stop nearest to the price;
# an entry that rests 0.3 % away; at market with a stop 2 % away; that with a time limit; one
# with a move to breakeven; one with two targets.
OPENS = Step(at=5.0, do="open", u=0.1, v=0.2)
RESTS = replace(OPENS, v=0.01715)
STAYS = replace(OPENS, v=0.00435)
LIMITED = replace(OPENS, v=0.01475)
EVENS = replace(OPENS, v=0.01065)
PARTS = replace(OPENS, v=0.00385)
FALLS = Step(at=20.0, do="gap", u=0.1, v=0.0)


def short(*steps: Step, **changes: object) -> Plan:
    """Return a day of one short life, without traders of its own."""
    plan = planned(1, with_faults=False)
    life = replace(plan.lives[0], end=180.0, ends="stop")
    day = replace(plan, kind="swap", lives=(life,), steps=steps, calm_s=120.0, traders=0)
    return replace(day, **changes)


def at(seconds: float, do: str, **more: object) -> Step:
    """Return a step of the first base."""
    return replace(Step(at=seconds, do=do, u=0.1), **more)


def dropped(seconds: float, count: int = 6) -> Step:
    """Return the loss of what the stream tells of orders."""
    return at(seconds, "push_drop", u=0.0, count=count)


def unread(seconds: float, path: float) -> Step:
    """Return an endpoint that is down: 0.1 positions, 0.6 the look-up of an order."""
    return at(seconds, "read_one", u=path, lasts=20.0)


QUIET = 0.00001  # volatility
LONG = (Span(0.0, 240.0, "stop"),)
KILLED = (Span(0.0, 11.0, "kill"), Span(12.0, 252.0, "stop"))
DOWN = (Span(0.0, 30.0, "kill"), Span(400.0, 640.0, "stop"))
RISES = at(10.0, "gap", v=0.95)
THIN = at(9.0, "thin", v=0.1, lasts=8.0)
CLOSES = at(10.0, "close")

SEEN: dict[str, tuple[str, Plan]] = {
    "lost_answer_sent_again": (
        "I2",
        short(
            OPENS,  # sets the leverage, which is the first request that would be lost
            Step(at=14.9, do="push_drop", count=6),
            Step(at=14.9, do="lost", count=1, lasts=2.0),
            replace(OPENS, at=15.0),
        ),
    ),
    "sent_before_its_intent_is_durable": ("I1", short(OPENS)),
    "duplicate_fill_counted_twice_by_order": (
        "I9",
        short(OPENS, Step(at=12.0, do="cut", v=0.6)),
    ),
    "exit_may_turn_the_position": ("I4", short(OPENS, Step(at=20.0, do="close"))),
    "fees_left_out": ("I5", short(OPENS, FALLS)),
    "profit_of_shorts_with_the_wrong_sign": (
        "I5",
        short(replace(OPENS, u=0.101), replace(FALLS, v=0.99)),
    ),
    "closed_outside_not_noticed": ("I5", short(OPENS, Step(at=20.0, do="outside_close", u=0.1))),
    "adopted_without_a_stop": (
        "I3",
        short(Step(at=5.0, do="outside_order", u=0.1, v=0.5, lasts=900.0), adopts=True),
    ),
    "unknown_given_up_early": (
        "I9",
        short(STAYS, at(9.9, "straggler", count=1, lasts=20.0), replace(STAYS, at=10.0)),
    ),
    "accepted_cancel_taken_for_unfilled": (
        "I9",
        short(RESTS, at(8.0, "slow_cancel"), at(9.0, "withdraw")),
    ),
    "closed_with_an_entry_working": (
        "I9",
        short(STAYS, at(8.0, "add", v=0.0003), at(9.9, "slow_cancel"), CLOSES),
    ),
    "fills_of_others_lost_at_the_end": (
        "I9",
        short(RESTS, dropped(7.9, 1), at(8.0, "part_fill", v=0.5), at(8.2, "withdraw")),
    ),
    "missed_fill_never_asked_for": (
        "I9",
        short(STAYS, at(9.9, "push_drop", u=0.99, count=6), replace(STAYS, at=10.0, u=0.5)),
    ),
    "reservation_released_with_the_first_fill": (
        "I6",
        short(RESTS, at(8.0, "part_fill", v=0.5)),
    ),
    "reservation_released_while_unknown": (
        "I6",
        short(
            STAYS,
            at(9.9, "lost", count=1, lasts=20.0),
            at(9.9, "push_drop", u=0.99, count=6),
            at(9.9, "read_lost", count=100, lasts=15.0),
            replace(STAYS, at=10.0),
        ),
    ),
    "failed_exit_not_tried_again": ("I3", short(STAYS, THIN, CLOSES)),
    "order_id_used_again": ("I3", short(STAYS, THIN, CLOSES)),
    "stop_order_id_used_again": (
        "I3",
        short(STAYS, at(9.0, "cancel_stop"), at(14.0, "cancel_stop")),
    ),
    "stop_refused_not_tried_again": (
        "I3",
        short(STAYS, at(8.9, "unsent", count=3, lasts=20.0), at(9.0, "cancel_stop")),
    ),
    "stop_loosened_by_breakeven": (
        "I14",
        short(EVENS, at(10.0, "gap", v=0.5833), at(12.0, "move_stop"), at(18.0, "gap", v=0.6333)),
    ),
    "time_limit_forgotten_at_a_start": (
        "I12",
        short(LIMITED, lives=(Span(0.0, 30.0, "kill"), Span(31.0, 331.0, "stop"))),
    ),
    "limits_not_checked": (
        "I14",
        short(
            STAYS,
            replace(STAYS, at=8.0),
            at(15.0, "limits", u=0.9, v=0.1),
            replace(STAYS, at=30.0),
        ),
    ),
    "silence_of_the_stream_not_noticed": (
        "I10",
        short(at(20.0, "mute", lasts=10.0), replace(STAYS, at=40.0)),
    ),
    "failed_read_taken_for_flat": ("I5", short(STAYS, unread(9.9, 0.1))),
    "first_look_counts": (
        "I2",
        short(
            STAYS,
            dropped(9.9),
            at(9.9, "lost", count=3, lasts=8.0),
            unread(9.9, 0.6),
            CLOSES,
            *(at(10.5 + number * 0.3, "reconcile") for number in range(20)),
        ),
    ),
    "pause_answered_and_not_kept": ("I14", short(at(10.0, "pause"), traders=1)),
    "limits_answered_and_not_kept": ("I14", short(at(15.0, "limits", u=0.9, v=0.1))),
    "change_answered_and_not_made": ("I11", short(STAYS, at(12.0, "move_stop"))),
    "close_answered_and_not_made": ("I11", short(STAYS, at(12.0, "close"))),
    "withdrawn_entry_rests_on": (
        "I11",
        short(RESTS, at(12.0, "withdraw"), volatility=QUIET, lives=LONG),
    ),
    "cancel_not_tried_again": (
        "I11",
        short(
            RESTS,
            at(11.9, "unsent", count=2, lasts=20.0),
            at(12.0, "withdraw"),
            volatility=QUIET,
            lives=LONG,
        ),
    ),
    "part_closes_everything": ("I11", short(STAYS, at(12.0, "part"))),
    "twice_the_size": ("I11", short(STAYS)),
    "limit_price_ignored": ("I11", short(RESTS)),
    "target_sells_everything": ("I4", short(PARTS, at(14.0, "gap", v=0.65))),
    "trail_never_follows": (
        "I3",
        short(STAYS, at(10.0, "trail"), at(20.0, "gap", v=0.6), at(60.0, "gap", v=0.4)),
    ),
    "trail_never_fires": (
        "I12",
        short(STAYS, at(10.0, "trail"), at(20.0, "gap", v=0.6), at(30.0, "gap", v=0.38)),
    ),
    "breakeven_never_moves": ("I12", short(EVENS, RISES)),
    "breakeven_on_the_wrong_side": ("I14", short(EVENS, RISES)),
    "fires_before_it_is_crossed": ("I10", short(OPENS, at(14.0, "gap", v=0.485))),
    "downtime_not_looked_at": (
        "I12",
        short(
            PARTS,
            at(200.0, "gap", v=0.65),
            at(260.0, "gap", v=0.35),
            lives=DOWN,
            volatility=QUIET,
        ),
    ),
    "failed_exit_forgotten_at_a_start": ("I3", short(STAYS, THIN, CLOSES, lives=KILLED)),
    "orders_gone_there_not_noticed": (
        "I3",
        short(STAYS, dropped(9.9), at(9.95, "push_drop", u=0.99, count=6), at(10.0, "cancel_stop")),
    ),
    "funding_of_the_first_position": (
        "I5",
        short(STAYS, replace(STAYS, at=8.0), at(20.0, "funding")),
    ),
    "fee_in_coins_is_no_cost": ("I5", short(STAYS, at(20.0, "close"), kind="spot")),
    "limits_of_the_account_not_checked": (
        "I14",
        short(
            STAYS,
            replace(STAYS, at=8.0),
            at(15.0, "account_limits", v=0.1),
            replace(STAYS, at=30.0),
        ),
    ),
}
