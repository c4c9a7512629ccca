"""What a venue's answer says about the request it answers, whichever venue it is."""

from enum import Enum


class Verdict(Enum):
    """Told apart by what may be done next."""

    FINE = "done"
    REFUSED = "refused"  # looked at, and not done
    GONE = "gone"  # no such order in the book: filled, canceled, or never there
    LIMITED = "rate limited"  # turned away at the door: may be sent again, later
    SKEWED = "clock skew"  # turned away: our clock is not the venue's
    LOGIN = "login"  # turned away: key, passphrase, permission, environment
    DOWN = "venue down"  # maintenance or overload: it may have been done or not
    UNKNOWN = "unknown"  # it may have been done or not
