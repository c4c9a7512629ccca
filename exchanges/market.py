"""The port to market data: a stream that calls a sink for every frame and price, in arrival order.

Prices travel as the venue's text. The sink compares floats and keeps the text, so that nothing is
parsed to a decimal unless somebody acts on it.
"""

from typing import Protocol

from domain.ids import Symbol


class PriceListener(Protocol):
    """Who hears prices."""

    def on_trade(
        self, symbol: Symbol, price: str, quantity: str, trade_id: str, event_ms: int
    ) -> None:
        """Take the last price of an executed trade. `event_ms`: venue time."""

    def on_quote(self, symbol: Symbol, bid: str, ask: str, update_id: str, event_ms: int) -> None:
        """Take best bid and ask. `event_ms` is 0 where the venue gives no time."""

    def on_mark(self, symbol: Symbol, price: str, event_ms: int) -> None:
        """Take the mark price."""


class MarketSink(PriceListener, Protocol):
    """Who receives a stream. Called synchronously from the reader, one frame at a time."""

    def on_frame(self) -> None:
        """Count a frame; called before the prices it carries."""

    def on_connected(self) -> None:
        """Note that the stream is up and subscribed."""

    def on_disconnected(self, why: str) -> None:
        """Note that the stream is down; it reconnects by itself."""

    def on_bad_frame(self, why: str) -> None:
        """Note a frame that cannot be used: not JSON, a price that is zero, text or infinite."""


class MarketStream(Protocol):
    """A source of frames: a venue's websocket, a recording, the simulated market."""

    async def run(self, sink: MarketSink) -> None:
        """Feed `sink` until canceled, reconnecting as needed.

        A finite recording returns at its end.
        """
