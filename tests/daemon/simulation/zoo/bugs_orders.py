"""Bugs in the life of orders: what leaves, what a lost answer means, which fills count."""

from tests.daemon.simulation.zoo.planting import Bug, Edit

_SENDER = "actors.sending:Sender"

ORDERS = (
    Bug(
        "lost_answer_sent_again",
        "A request whose answer is lost is sent once more, to be sure.",
        "I2",
        (
            Edit(
                f"{_SENDER}.on_submitted",
                'log.warning("order_unknown", client_order_id=submitted.client_order_id, why=why)',
                "self._send(stream.state)",
            ),
        ),
    ),
    Bug(
        "lost_answer_taken_for_failure",
        "A request without an answer counts as one that was never sent.",
        "I9",
        (
            Edit(
                "exchanges.okx_answers:placed",
                "return Unknown(answer.why) if answer.left else "
                'Refused("NOT_SENT", answer.why, _NOT_SENT)',
                'return Refused("NOT_SENT", answer.why, _NOT_SENT)',
            ),
        ),
    ),
    Bug(
        "server_error_taken_for_refusal",
        "An answer 'busy' or 'timed out' counts as a refusal of the order.",
        "I9",
        (
            Edit(
                "exchanges.okx_answers:_judged",
                'return Unknown(f"{excerpt(code)} {excerpt(text)}".strip())',
                "return refusal(code, text)",
            ),
        ),
    ),
    Bug(
        "unknown_told_as_the_end",
        "A position is told that its order is over as soon as the answer is lost.",
        "I4",
        (
            Edit(
                f"{_SENDER}.on_submitted",
                'log.warning("order_unknown", client_order_id=submitted.client_order_id, why=why)',
                "self._ended(stream)",
            ),
        ),
    ),
    Bug(
        "unknown_never_asked_about",
        "Nobody asks the venue about an order whose answer was lost.",
        "I5",
        (
            Edit(
                "actors.doubting:Doubting._doubt",
                "if order_id not in self.in_doubt and self.reconciled:",
                "if order_id in self.in_doubt and self.reconciled:",
            ),
        ),
    ),
    Bug(
        "refused_cancel_taken_for_canceled",
        "A cancel that the venue refuses ends the order: it must be gone, else why refuse.",
        "I9",
        (
            Edit(
                f"{_SENDER}.on_cancel_answered",
                'why, within_s = f"cancel refused: {code}", ASK_AGAIN_AFTER_S[0]',
                "from domain.order import OrderCanceled; "
                "self._record(stream, OrderCanceled(self.world.clock.now())); "
                "return self._ended(stream)",
            ),
        ),
    ),
    Bug(
        "sent_before_its_intent_is_durable",
        "An entry leaves while its intent is still on the way to the disk.",
        "I1",
        (
            Edit(
                f"{_SENDER}._submit",
                "self.journal(stream, (self._intent(effect, now),), evolve, (send,))",
                "self._record(stream, self._intent(effect, now)); self.release(send)",
            ),
        ),
    ),
    Bug(
        "acknowledgement_not_journaled",
        "The venue's answer is kept in memory and never written down.",
        "I7",
        (
            Edit(
                f"{_SENDER}.on_submitted",
                "self._record(stream, OrderAccepted(outcome.venue_order_id, now, seconds))",
                "stream.state = evolve(stream.state, "
                "OrderAccepted(outcome.venue_order_id, now, seconds))",
            ),
        ),
    ),
    Bug(
        "duplicate_fill_counted_twice_by_order",
        "An order counts an execution as often as the venue tells of it.",
        "I9",
        (
            Edit(
                "domain.order:Order.has",
                "any(fill.trade_id == trade_id for fill in self.fills)",
                "False",
            ),
        ),
    ),
    Bug(
        "duplicate_fill_counted_twice_by_position",
        "A position counts an execution again that it is told of again.",
        "I5",
        (
            Edit(
                "domain.position_life:is_known_fill",
                "any(known.trade_id == fill.trade_id for known in position.fills)",
                "False",
            ),
        ),
    ),
    Bug(
        "exit_sent_before_it_is_armed",
        "An exit whose order id is not on the disk leaves at once, like one that was armed.",
        "I1",
        (
            Edit("domain.position_exits:fire", "armed=armed and known,", "armed=True,"),
            Edit(
                "actors.position:PositionActor.may_leave_at_once",
                "return effect.armed and self._is_durable(effect.terms.client_order_id)",
                "return effect.armed",
            ),
        ),
    ),
    Bug(
        "stop_sent_as_a_target",
        "A stop is sent in the fields of a target: it waits on the wrong side.",
        "I5",
        (
            Edit(
                "exchanges.okx_orders:_trigger",
                'prefix = "sl" if terms.type is OrderType.STOP else "tp"',
                'prefix = "tp"',
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
)
