"""What came of an attempt to place an order, in the words of the audit."""

from enum import StrEnum

from domain.order import Order, OrderStatus


class ExecutionStatus(StrEnum):
    """What is known of an attempt."""

    PENDING = "PENDING"  # no answer yet
    PLACED = "PLACED"  # the venue gave it an id
    SKIPPED = "SKIPPED"  # refused by us, not sent
    FAILED = "FAILED"  # refused by the venue, or proven never to have arrived
    UNKNOWN = "UNKNOWN"  # the answer was lost; evidence will tell


_S = OrderStatus


def status_of(order: Order) -> ExecutionStatus:
    """Return what is known of an attempt; never PLACED without the venue's order id."""
    match order.status:
        case _S.DENIED:
            return ExecutionStatus.SKIPPED
        case _S.REJECTED | _S.ABSENT:
            return ExecutionStatus.FAILED
        case _ if order.venue_order_id:
            return ExecutionStatus.PLACED
        case _S.INTENT | _S.SENDING:
            return ExecutionStatus.PENDING
        case _:
            return ExecutionStatus.UNKNOWN


def why_of(order: Order) -> tuple[str, str]:
    """Return code and text of what went wrong; both empty when nothing did."""
    if status_of(order) in {ExecutionStatus.PLACED, ExecutionStatus.PENDING}:
        return "", ""
    if order.status in {_S.DENIED, _S.REJECTED}:
        code, _, text = order.reason.partition(": ")
        return code, text
    return order.status.name, order.reason
