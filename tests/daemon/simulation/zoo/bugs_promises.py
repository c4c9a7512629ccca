"""Bugs in what people were told: answers, levels, parts, sizes, and what a start makes up for.

The daemon contradicts nothing of what it says itself; only who remembers the question sees them.
"""

from tests.daemon.simulation.zoo.planting import Bug, Edit

PROMISES = (
    Bug(
        "pause_answered_and_not_kept",
        "Who pauses a trader is told that it is paused, and it is not.",
        "I14",
        (
            Edit(
                "actors.trader:TraderActor.on_pause",
                "TraderPaused(command.by, self.world.clock.now()), then=",
                "then=",
            ),
        ),
    ),
    Bug(
        "limits_answered_and_not_kept",
        "Who sets the limits of a trader is told that they are set, and they are not.",
        "I14",
        (
            Edit(
                "actors.trader:TraderActor.on_set_limits",
                "self._record(*events, then=",
                "self._record(then=",
            ),
        ),
    ),
    Bug(
        "change_answered_and_not_made",
        "Who moves a stop is told that it is moved, and it stays.",
        "I11",
        (
            Edit(
                "domain.position_changes:modify",
                "    apply_change(decision, modification)\n",
                "",
            ),
        ),
    ),
    Bug(
        "close_answered_and_not_made",
        "Who closes a position is told that it closes, and it does not.",
        "I11",
        (
            Edit(
                "domain.position_changes:close",
                "fire_all(decision, CLOSE, close.reason, armed=True)",
                "pass",
            ),
        ),
    ),
    Bug(
        "part_closes_everything",
        "Who closes a half closes all.",
        "I11",
        (
            Edit(
                "domain.position_changes:close",
                "instrument.whole_lots(position.free_quantity * close.part)",
                "instrument.whole_lots(position.free_quantity)",
            ),
        ),
    ),
    Bug(
        "twice_the_size",
        "An entry is twice as large as it was asked for.",
        "I11",
        (
            Edit(
                "domain.sizing:wanted_quantity",
                "return request.size / price",
                "return 2 * request.size / price",
            ),
        ),
    ),
    Bug(
        "limit_price_ignored",
        "An entry that was to rest at a limit goes to the market.",
        "I11",
        (
            Edit(
                "actors.approvals:Approvals.entry",
                "limit_price=request.limit_price,",
                "limit_price=None,",
            ),
        ),
    ),
    Bug(
        "target_sells_everything",
        "The first of several targets closes all.",
        "I4",
        (
            Edit(
                "domain.position_exits:target_quantity",
                "if last or dust:",
                "if True:",
            ),
        ),
    ),
    Bug(
        "trail_never_follows",
        "A trailing stop stays where it was armed.",
        "I3",
        (Edit("domain.trailing:Trails.follow", "if front is None:", "if True:"),),
    ),
    Bug(
        "trail_never_fires",
        "The price comes back through a trailing stop, and nothing happens.",
        "I12",
        (
            Edit(
                "domain.position_guards:_level",
                "return protection.trail.level(position.direction, best), long",
                "return None",
            ),
        ),
    ),
    Bug(
        "breakeven_on_the_wrong_side",
        "At breakeven the stop lies where both fees are lost once more.",
        "I14",
        (
            Edit(
                "domain.position_guards:breakeven_stop",
                "(ONE + sign * 2 * rules.taker_fee_ratio)",
                "(ONE - sign * 2 * rules.taker_fee_ratio)",
            ),
        ),
    ),
    Bug(
        "fires_before_it_is_crossed",
        "A stop fires when the price is near it.",
        "I10",
        (
            Edit(
                "domain.position_guards:crossed_level",
                "if not has_crossed(level=price, below=below, price=crossed.price):",
                "if False:",
            ),
            Edit(
                "domain.protection:levels_of",
                "Level(STOP, stop.price, long, stop.watches)",
                "Level(STOP, stop.price * Decimal('1.0015' if long else '0.9985'), long, "
                "stop.watches)",
            ),
        ),
    ),
    Bug(
        "funding_of_the_first_position",
        "Of several positions of a symbol the first one gets all of the funding.",
        "I5",
        (
            Edit(
                "domain.portfolio_cash:funding_shares",
                "share = left if number == len(held) else share",
                "share = left",
            ),
        ),
    ),
    Bug(
        "fee_in_coins_is_no_cost",
        "On spot, a fee that is taken in coins costs nothing.",
        "I5",
        (
            Edit(
                "domain.pnl:fee_in_quote",
                "return fill.fee.amount * fill.price",
                "return ZERO",
            ),
        ),
    ),
    Bug(
        "limits_of_the_account_not_checked",
        "All together open more positions than the account may have.",
        "I14",
        (
            Edit(
                "domain.entry_checks:_count_problem",
                "if len(holdings) + new > most:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "withdrawn_entry_rests_on",
        "Who takes back an entry is told so, and it rests at the venue until it fills.",
        "I11",
        (
            Edit(
                "domain.position_changes:close",
                "        decision.then(*cancel_entries(position))\n",
                "",
            ),
        ),
    ),
    Bug(
        "breakeven_never_moves",
        "The price reaches where the stop is to move to breakeven, and it stays.",
        "I12",
        (
            Edit(
                "domain.position_guards:crossed_level",
                "        to_breakeven(decision)\n        return",
                "        return",
            ),
        ),
    ),
)
