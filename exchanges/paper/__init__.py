"""A venue without money: it meets real prices and keeps its own books."""

from exchanges.paper.ledger import LedgerError, LedgerLockedError, LedgerVersionError
from exchanges.paper.rules import PaperRules
from exchanges.paper.venue import PaperVenue

__all__ = ["LedgerError", "LedgerLockedError", "LedgerVersionError", "PaperRules", "PaperVenue"]
