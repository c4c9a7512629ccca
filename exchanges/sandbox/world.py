"""What the server's parts share: the core, the gate, the faults, and the venue's clock."""

import time
from collections.abc import Callable

from exchanges.sandbox.faults import Faults
from exchanges.sandbox.gate import Gate
from exchanges.sandbox.settings import SandboxSettings
from exchanges.sandbox.venue import Venue
from exchanges.sandbox.walk import Walks
from exchanges.sandbox.watch import Watch

_NS_A_MS = 1_000_000


def wall_ms() -> int:
    """Return ms since 1970."""
    return time.time_ns() // _NS_A_MS


class World:
    """The venue, with a clock that can be wrong and a door that can be shut."""

    def __init__(self, settings: SandboxSettings, clock: Callable[[], int] = wall_ms) -> None:
        self.settings = settings
        self._clock = clock
        self.skew_ms = 0  # what the venue's clock is ahead
        self.maintenance = False  # every request is answered 50001
        self.faults = Faults(settings.seed)
        self.gate = Gate(limits=settings.limits)
        self.venue = Venue(settings.listings, clock())
        account = self.venue.open_account(settings.balances)
        account.position_mode = settings.position_mode
        self.gate.admit_key(settings.key, account)
        self.watch = Watch(account)
        self.walks = Walks(self.venue.market, seed=settings.seed, volatility=settings.volatility)
        self.prices_frozen = False

    @property
    def now_ms(self) -> int:
        """Return the venue's time."""
        return self._clock() + self.skew_ms

    def advance(self) -> None:
        """Let the core know what time it is."""
        self.venue.advance(self.now_ms)
