"""What OKX's streams are called, and where they are."""

PUBLIC = "/ws/v5/public"
PRIVATE = "/ws/v5/private"  # orders, balances, positions of who logs in
BUSINESS = "/ws/v5/business"  # candles, every single trade; of who logs in: orders with a trigger


def stream_name(channel: str, inst_id: str) -> str:
    """Return the name of a stream: "trades:BTC-USDT"."""
    return f"{channel}:{inst_id}"
