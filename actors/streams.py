"""The kinds of stream in the journal.

For each, its state, its events, how they fold, and when it is over.
"""

from domain import feed_state, order, portfolio, position_life, trader_state
from domain.order import Order, OrderAdopted, OrderIntended
from domain.portfolio_events import AnyPortfolioEvent
from domain.position import Position
from domain.position_events import AnyPositionEvent
from storage.streams import StreamKind, StreamRegistry


def _intent(event: OrderIntended | OrderAdopted) -> str:
    return event.terms.client_order_id


def _position_of(state: Order) -> str:
    return f"position/{state.terms.position_id}"


def _is_settled(state: Position) -> bool:
    return state.is_settled


def _is_terminal(state: Order) -> bool:
    return state.is_terminal


def _never(_state: object) -> bool:
    return False


def registry() -> StreamRegistry:
    """Return all kinds of stream that Holdfast writes."""
    return StreamRegistry(
        [
            StreamKind(
                name="position",
                state_type=Position,
                evolve=position_life.evolve,
                events=AnyPositionEvent,
                is_retired=_is_settled,
            ),
            StreamKind(
                name="order",
                state_type=Order,
                evolve=order.evolve,
                events=order.AnyOrderEvent,
                is_retired=_is_terminal,
                owner=_position_of,
                intents={OrderIntended: _intent, OrderAdopted: _intent},
            ),
            StreamKind(
                name="portfolio",
                state_type=portfolio.Portfolio,
                evolve=portfolio.evolve,
                events=AnyPortfolioEvent,
                is_retired=_never,
            ),
            StreamKind(
                name="trader",
                state_type=trader_state.Trader,
                evolve=trader_state.evolve,
                events=trader_state.AnyTraderEvent,
                is_retired=_never,
            ),
            StreamKind(
                name="feed",
                state_type=feed_state.FeedState,
                evolve=feed_state.evolve,
                events=feed_state.AnyFeedEvent,
                is_retired=_never,
            ),
        ]
    )
