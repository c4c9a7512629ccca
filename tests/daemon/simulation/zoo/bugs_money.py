"""Bugs in money and limits: fees, funding, profit, reservations, what a person has forbidden."""

from tests.daemon.simulation.zoo.planting import Bug, Edit

MONEY = (
    Bug(
        "fees_left_out",
        "Profit is told before fees.",
        "I5",
        (
            Edit(
                "domain.pnl:Ledger.realized_pnl",
                "return self.gross_pnl - self.fees + self.funding",
                "return self.gross_pnl + self.funding",
            ),
        ),
    ),
    Bug(
        "fee_with_the_wrong_sign",
        "A fee that was paid counts as a rebate.",
        "I5",
        (
            Edit(
                "exchanges.translate:_fill",
                "Fee(amount=-(maybe(row, charged, signed=True) or ZERO), asset=fee_asset)",
                "Fee(amount=maybe(row, charged, signed=True) or ZERO, asset=fee_asset)",
            ),
        ),
    ),
    Bug(
        "fee_in_coins_ignored",
        "On spot, the fee that is taken out of what was bought is thought to be still there.",
        "I5",
        (
            Edit(
                "domain.pnl:net_quantity",
                "return fill.quantity - fee if fill.side is Side.BUY else fill.quantity + fee",
                "return fill.quantity",
            ),
        ),
    ),
    Bug(
        "profit_of_shorts_with_the_wrong_sign",
        "A short earns when the price rises.",
        "I5",
        (
            Edit(
                "domain.pnl:reduced",
                "gross = (after.closed_value - _cost_of_closed(after)) * direction.sign",
                "gross = after.closed_value - _cost_of_closed(after)",
            ),
        ),
    ),
    Bug(
        "funding_counted_twice_by_position",
        "A position adds the funding it is told of to what it has, though it is told the total.",
        "I5",
        (
            Edit(
                "domain.position_life:_changed",
                "replace(position.ledger, funding=total)",
                "replace(position.ledger, funding=position.ledger.funding + total)",
            ),
        ),
    ),
    Bug(
        "funding_counted_twice_by_account",
        "A flow of money that is told again is booked again.",
        "I5",
        (
            Edit(
                "domain.portfolio_cash:move_cash",
                "or flow.flow_id in portfolio.flows:",
                "or False:",
            ),
        ),
    ),
    Bug(
        "funding_left_out",
        "Funding is never booked; the balance is corrected instead.",
        "I5",
        (
            Edit(
                "domain.portfolio_cash:move_cash",
                "if flow.asset != portfolio.quote or",
                "if flow.kind is CashKind.FUNDING or flow.asset != portfolio.quote or",
            ),
        ),
    ),
    Bug(
        "reservation_never_released",
        "An entry that did not fill keeps its money reserved.",
        "I6",
        (
            Edit(
                "domain.portfolio:end_order",
                "if client_order_id not in portfolio.reservations:",
                "if True:",
            ),
        ),
    ),
    Bug(
        "reservation_not_restored",
        "Reserved money is counted anew with each price, without what has filled.",
        "I6",
        (
            Edit(
                "domain.portfolio_life:_with_reservation",
                "reserved -= before.open_amount",
                "reserved -= before.amount",
            ),
        ),
    ),
    Bug(
        "pause_ignored",
        "A trader that a person has paused goes on opening.",
        "I14",
        (Edit("actors.trader:TraderActor._why_not_now", "if self.trader.paused:", "if False:"),),
    ),
    Bug(
        "mode_ignored",
        "Entries are opened while the mode forbids them.",
        "I10",
        (
            Edit(
                "domain.entry_checks:_mode_problem",
                "if cause is None or cause.mode.allows_entries:",
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
)
