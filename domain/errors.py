"""Refusals are values: what was asked, which rule stood against it, and what would pass."""

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """Why a request was not done. Nothing has changed.

    `rule` is a code that programs match ("BELOW_MIN_NOTIONAL"); `message` says it to a person with
    the numbers; `remedy` says what would pass. Amounts are printed decimals so that every refusal
    has one shape.
    """

    rule: str
    message: str
    remedy: str = ""
    actual: str = ""
    limit: str = ""

    def __str__(self) -> str:
        """Return one line for a log or a terminal."""
        return f"{self.rule}: {self.message}" + (f" {self.remedy}" if self.remedy else "")


class InvariantError(Exception):
    """A bug: something happened that the tables exclude.

    The owner crashes and is restored from the journal.
    """
