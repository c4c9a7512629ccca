"""What OKX's streams are called, and where they are."""

PUBLIC = "/ws/v5/public"
BUSINESS = "/ws/v5/business"  # candles, and every single trade


def stream_name(channel: str, inst_id: str) -> str:
    """Return the name of a stream: "trades:BTC-USDT"."""
    return f"{channel}:{inst_id}"
