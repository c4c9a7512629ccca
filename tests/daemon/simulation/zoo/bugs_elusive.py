"""Bugs that no day has found yet: what they need comes together too rarely, or leaves no trace.

Each is work to do: a kind of fault that the days lack, or an invariant that the judge lacks. One
that is found moves to the other files.
"""

from tests.daemon.simulation.zoo.planting import Bug, Edit

ELUSIVE = (
    Bug(
        "missed_fill_never_asked_for",
        "What the stream did not tell of fills is not read either.",
        "I9",
        (
            Edit(
                "actors.inquiry:Inquiry._needs_fills",
                "return answer.filled > self._booked(answer.terms.client_order_id)",
                "return False",
            ),
        ),
    ),
    Bug(
        "stop_order_id_used_again",
        "A stop that is placed anew has the order id of the one before.",
        "I2",
        (
            Edit(
                "domain.venue_stop_life:evolve_stop",
                "position = replace(position, epochs=next_epoch(position, GUARD))",
                "pass",
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
        "order_id_used_again",
        "An exit that failed is tried again under the same order id.",
        "I2",
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
        "accepted_cancel_taken_for_unfilled",
        "A cancel that the venue accepts ends the order; what it filled meanwhile is not asked.",
        "I9",
        (
            Edit(
                "actors.sending:Sender.on_cancel_answered",
                'why, within_s = "canceled, how much it filled is being asked", 0.0',
                "from domain.order import OrderCanceled; "
                "self._record(stream, OrderCanceled(self.world.clock.now())); "
                "return self._ended(stream)",
            ),
        ),
    ),
    Bug(
        "unknown_given_up_early",
        "An order that is not found at once is taken for one that never arrived.",
        "I9",
        (
            Edit(
                "actors.doubting:Doubting._window_s",
                "ATTACHED_WITHIN_S if order_id in self.attached else ACCEPTANCE_WINDOW_S",
                "0.0",
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
        "stop_taken_out_not_noticed",
        "A stop that somebody takes out at the venue is not placed again.",
        "I5",
        (
            Edit(
                "domain.position_guards:wake_up",
                "wake_stop(decision, wake.purpose, wake.exit_id, wake.version)",
                "pass",
            ),
        ),
    ),
    Bug(
        "silence_of_the_stream_not_noticed",
        "A stream that says nothing new is believed for ever.",
        "I10",
        (
            Edit(
                "domain.freshness:is_due",
                "return now_s - heard.new_s >= rules.max_silence_s",
                "return False",
            ),
            Edit(
                "actors.world:PriceBoard.is_fresh",
                "return self.age_s(symbol) < self.stale_after_s",
                "return True",
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
        "reservation_released_with_the_first_fill",
        "What an order may still buy is not reserved any more once a part of it has filled.",
        "I6",
        (Edit("domain.portfolio_life:_used", "if filled < reservation.quantity:", "if False:"),),
    ),
    Bug(
        "reservation_released_while_unknown",
        "What an order has reserved is free again when its answer is lost.",
        "I6",
        (
            Edit(
                "actors.sending:Sender.on_submitted",
                'log.warning("order_unknown", client_order_id=submitted.client_order_id, why=why)',
                "self.tell(names.PORTFOLIO, OrderEnded(order.terms.position_id, "
                "submitted.client_order_id, _S.UNKNOWN, why))",
            ),
        ),
    ),
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
        "limits_not_checked",
        "More positions are opened than a trader may have.",
        "I14",
        (
            Edit(
                "domain.entry_checks:_count_problem",
                "if own + new > limits.max_positions:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "failed_read_taken_for_flat",
        "When the venue's positions cannot be read, nothing is held.",
        "I9",
        (
            Edit(
                "exchanges.okx_account_reads:AccountReads.positions",
                "rows = okx.read(answer, lambda rows: rows)\n"
                "            if isinstance(rows, Unknown):\n                return rows",
                "rows = okx.read(answer, lambda rows: rows)\n"
                "            if isinstance(rows, Unknown):\n                rows = []",
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
)
