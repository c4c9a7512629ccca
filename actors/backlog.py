"""What is not durable yet, and the one call of the worker that is under way for it."""

from collections.abc import Sequence

from actors.messages import Append
from storage.errors import JournalUnavailableError
from storage.journal import Entry


class Backlog:
    """What is not durable yet. It outlives the actor: a restart goes on where the last one was."""

    def __init__(self) -> None:
        self.waiting: list[Append] = []
        self.writing: list[Append] = []  # in the commit under way, or in one that failed
        self.under_way = False  # the worker was asked, and its answer has not been heard
        self.number = 0  # of that call
        self.asked_s = 0.0  # when, monotonic
        self.is_broken = False  # the last commit failed; written by the worker
        self.trouble: JournalUnavailableError | None = None

    def asked(self, now_s: float) -> int:
        """Note that the worker is asked now; return the call's number."""
        self.under_way = True
        self.asked_s = now_s
        self.number += 1
        return self.number

    def heard(self, number: int) -> bool:
        """Whether this is the answer that is waited for; a life before may have heard it."""
        if number != self.number or not self.under_way:
            return False
        self.under_way = False
        return True


def entries_of(appends: Sequence[Append]) -> list[Entry]:
    """Return what the journal is to write."""
    return [
        Entry(append.stream, version, event, append.at, state)
        for append in appends
        for version, (event, state) in enumerate(
            zip(append.events, append.states, strict=True), append.first_version
        )
    ]
