"""Bugs in what guards positions: stops here and at the venue, trails, levels, prices."""

from tests.daemon.simulation.zoo.planting import Bug, Edit

GUARDS = (
    Bug(
        "partial_fill_not_resized",
        "The stop at the venue stays as large as the entry was asked to be.",
        "I5",
        (
            Edit(
                "domain.venue_stop_align:should_rest",
                "quantity = instrument.whole_lots(position.free_quantity)",
                "quantity = position.entry.quantity",
            ),
        ),
    ),
    Bug(
        "stop_not_resized_after_a_part",
        "After a part is closed the stop at the venue keeps its size.",
        "I5",
        (
            Edit(
                "domain.venue_stop_align:_ask",
                "if current.held != wanted:",
                "if current.held.trigger_price != wanted.trigger_price:",
            ),
        ),
    ),
    Bug(
        "stop_vanishes_while_it_is_moved",
        "A stop that is to be moved is canceled, and the new one is never placed.",
        "I5",
        (
            Edit(
                "domain.venue_stop_align:_ask",
                "_place_if_possible(decision, wanted)",
                "at_venue.round or _place_if_possible(decision, wanted)",
            ),
        ),
    ),
    Bug(
        "stop_loosened_by_a_program",
        "A strategy may move a stop away from the price.",
        "I14",
        (
            Edit(
                "domain.modifications:_move_stop",
                "if looser and old is not None and not "
                "(command.requested_by.is_manual and command.widen):",
                "if False:",
            ),
        ),
    ),
    Bug(
        "trail_goes_back_when_armed_again",
        "A trailing stop that is armed again begins where it began at first.",
        "I3",
        (
            Edit(
                "actors.arming:Arming._arm_level",
                "best = max(known) if level.below else min(known)",
                "best = trail.anchor",
            ),
        ),
    ),
    Bug(
        "trail_follows_the_wrong_way",
        "The trailing stop of a short follows highs.",
        "I3",
        (
            Edit(
                "actors.arming:Arming._arm_level",
                "best = max(known) if level.below else min(known)",
                "best = max(known)",
            ),
        ),
    ),
    Bug(
        "index_alarm_too_far",
        "A level that is armed nearer than the others does not move the alarm.",
        "I12",
        (Edit("domain.levels:Levels.add", "if level < self.at:", "if level > self.at:"),),
    ),
    Bug(
        "adopted_without_a_stop",
        "What is found at the venue is taken over without a stop.",
        "I3",
        (Edit("domain.position_outside:adopt", "protect(decision)", "pass"),),
    ),
    Bug(
        "entry_on_a_stale_price",
        "Every price counts as fresh.",
        "I10",
        (
            Edit(
                "actors.world:PriceBoard.is_fresh",
                "if price is None or not price.last or price.is_stale:\n            return False",
                "return price is not None and bool(price.last)",
            ),
        ),
    ),
    Bug(
        "wrong_price_believed",
        "A price of zero, or below, is taken for a price.",
        "I10",
        (Edit("exchanges.frame_checks:positive", "and float(text) > 0", ""),),
    ),
    Bug(
        "index_loses_a_level",
        "Of several levels on one side only those are watched that were the nearest when armed.",
        "I12",
        (
            Edit(
                "domain.triggers:TriggerIndex.arm",
                "self._below.add(trigger)",
                "level > self.below_at and self._below.add(trigger)",
            ),
            Edit(
                "domain.triggers:TriggerIndex.arm",
                "self._above.add(trigger)",
                "level < self.above_at and self._above.add(trigger)",
            ),
        ),
    ),
    Bug(
        "forgotten_position_at_a_start",
        "After a start only positions that are protected have somebody who looks after them.",
        "I3",
        (
            Edit(
                "daemon.assembly:_positions",
                "if names.position(each.id) not in world.unreadable",
                'if each.status.value == "open_protected"',
            ),
        ),
    ),
    Bug(
        "levels_not_armed_after_the_feed_restarts",
        "A feed that restarts does not say so, and nobody arms again.",
        "I3",
        (
            Edit(
                "actors.feed:FeedActor.on_start",
                "self.tell_positions(FeedRestarted())",
                "pass",
            ),
        ),
    ),
    Bug(
        "stop_order_id_used_again",
        "A stop that is placed anew has the order id of the one before.",
        "I3",
        (
            Edit(
                "domain.venue_stop_life:evolve_stop",
                "position = replace(position, epochs=next_epoch(position, GUARD))",
                "pass",
            ),
        ),
    ),
)
