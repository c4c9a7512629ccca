"""Bugs in what positions close, and when."""

from tests.daemon.simulation.zoo.planting import Bug, Edit

EXITS = (
    Bug(
        "exit_larger_than_the_position",
        "An exit of all closes what was once bought instead of what is left.",
        "I4",
        (
            Edit(
                "domain.position_exits:fire_all",
                "position.instrument.whole_lots(position.free_quantity)",
                "position.instrument.whole_lots(position.entry_quantity)",
            ),
            Edit("actors.sending:Sender._submit", "if not self._has_room(effect):", "if False:"),
        ),
    ),
    Bug(
        "exits_under_way_not_counted",
        "An exit claims what another one is closing already.",
        "I4",
        (
            Edit(
                "domain.position:Position.free_quantity",
                "return self.remaining - self.outstanding_exits",
                "return self.remaining",
            ),
            Edit("actors.sending:Sender._submit", "if not self._has_room(effect):", "if False:"),
        ),
    ),
    Bug(
        "two_guards_both_sell",
        "The daemon's exit does not wait until the stop at the venue has let go.",
        "I4",
        (
            Edit(
                "domain.position_exits:fire",
                "waits=bool(position.at_venue.live) and not beside,",
                "waits=False,",
            ),
            Edit("actors.sending:Sender._submit", "if not self._has_room(effect):", "if False:"),
        ),
    ),
    Bug(
        "exit_may_turn_the_position",
        "Exits of swaps are sent without saying that they may only reduce.",
        "I4",
        (
            Edit(
                "exchanges.okx_orders:_common",
                'return body | ({"reduceOnly": True} if terms.reduce_only else {})',
                "return body",
            ),
        ),
    ),
    Bug(
        "lots_rounded_up",
        "Quantities are rounded up to the lot.",
        "I4",
        (
            Edit(
                "domain.instrument:Instrument.whole_lots",
                "floor_to(quantity, self.lot_size)",
                "(quantity / self.lot_size).to_integral_value('ROUND_UP') * self.lot_size",
            ),
        ),
    ),
    Bug(
        "contracts_told_as_coins",
        "What the venue says in contracts is read as base units.",
        "I9",
        (
            Edit(
                "exchanges.translate:base_units",
                "size * instrument.contract_size if instrument.kind is Kind.SWAP else size",
                "size",
            ),
        ),
    ),
    Bug(
        "venue_stop_left_behind",
        "A position closes and leaves its stop at the venue.",
        "I5",
        (
            Edit("domain.venue_stop_align:align", "_ask(decision)", "pass"),
            Edit(
                "domain.position_decide:_close_if_nothing_remains",
                "is_working = entry_is_working(position) or position.at_venue.live",
                "is_working = entry_is_working(position)",
            ),
        ),
    ),
    Bug(
        "target_on_the_wrong_side",
        "The targets of shorts wait above the price.",
        "I12",
        (
            Edit(
                "domain.protection:levels_of",
                "Level(target.exit_id, target.price, not long, target.watches)",
                "Level(target.exit_id, target.price, False, target.watches)",
            ),
        ),
    ),
    Bug(
        "closed_position_kept_open_by_dust",
        "A rest of less than a lot keeps a position closing for ever.",
        "I5",
        (
            Edit(
                "domain.position_decide:_close_if_nothing_remains",
                "if position.instrument.can_be_ordered(position.remaining):",
                "if True:",
            ),
        ),
    ),
    Bug(
        "refused_change_not_answered",
        "Who asks for a change that is refused is not answered.",
        "I11",
        (
            Edit(
                "domain.position_changes:modify",
                "decision.answer(command.request_id, refusal_of(validation))",
                "pass",
            ),
        ),
    ),
    Bug(
        "order_id_used_again",
        "An exit that failed is tried again under the same order id.",
        "I3",
        (
            Edit(
                "domain.position_life:_exit_ended",
                "epochs=position.epochs if ended.at_venue else "
                "next_epoch(position, ended.exit_id),",
                "epochs=position.epochs,",
            ),
            Edit(
                "domain.position_exits:_not_under_way",
                "used = {order.client_order_id for order in position.exits}",
                "used: set[str] = set()",
            ),
        ),
    ),
    Bug(
        "failed_exit_not_tried_again",
        "An exit that came to nothing is not tried again.",
        "I3",
        (
            Edit(
                "domain.position_guards:wake_up",
                'case "retry_exit":\n            _retry(decision, wake)',
                'case "retry_exit":\n            pass',
            ),
        ),
    ),
    Bug(
        "closed_with_an_entry_working",
        "A position ends while an addition to it may still fill.",
        "I5",
        (
            Edit(
                "domain.position_decide:_close_if_nothing_remains",
                "is_working = entry_is_working(position) or position.at_venue.live",
                "is_working = position.at_venue.live",
            ),
        ),
    ),
)
