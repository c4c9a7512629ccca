"""What is known of the line to a real venue, for people and metrics. Nobody decides by it."""

from dataclasses import dataclass
from datetime import datetime

from exchanges.port import AccountFacts, StreamDown, StreamUp


@dataclass(slots=True)
class VenueLink:
    """The private stream, as the exchange actor hears of it, and the last check of the login."""

    stream_up: bool | None = None  # None: not heard of yet
    stream_since: datetime | None = None
    stream_why: str = ""  # of a stream that is down
    facts: AccountFacts | None = None  # as last told
    checked_at: datetime | None = None
    clock_offset_s: float | None = None  # the venue's clock less ours

    def note(self, update: StreamUp | StreamDown, now: datetime) -> None:
        """Take a change of the stream down; what is repeated does not begin anew."""
        is_up = isinstance(update, StreamUp)
        if self.stream_up is not is_up:
            self.stream_up, self.stream_since = is_up, now
        self.stream_why = update.why if isinstance(update, StreamDown) else ""
