"""Group commit for the paper venue: nobody hears of a change before the ledger holds it.

While one transaction runs on the worker, later changes and whoever waits for them gather, and go
into the next one.
"""

from collections.abc import Callable
from functools import partial

from exchanges.paper.ledger import PaperLedger
from exchanges.paper.records import Changes
from exchanges.port import Unknown, VenueUpdate
from runtime.ports import Worker

Release = Callable[[Unknown | None], None]  # told None when durable, else that nobody knows


class _Batch:
    """What goes into one transaction, and who waits for it."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.releases: list[Release] = []


class GroupCommit:
    """The queue between matching and the ledger."""

    def __init__(
        self,
        worker: Worker,
        ledger: PaperLedger,
        *,
        push: Callable[[VenueUpdate], None],
        on_failure: Callable[[BaseException, int], None],
    ) -> None:
        """Prepare.

        Args:
            worker: runs the transactions.
            ledger: takes them.
            push: told every update of a committed batch, in order.
            on_failure: told the error and how many get `Unknown`; memory must be loaded anew.
        """
        self._worker = worker
        self._ledger = ledger
        self._push = push
        self._on_failure = on_failure
        self._pending = _Batch()
        self._writing = False

    def add(self, changes: Changes) -> None:
        """Put changes into the next transaction."""
        self._pending.changes.absorb(changes)

    def after(self, release: Release) -> None:
        """Call `release` when everything added so far is durable or lost; maybe at once."""
        self._pending.releases.append(release)
        self.commit()

    def commit(self) -> None:
        """Write what is pending, unless a transaction runs; its end calls this again."""
        if self._writing:
            return
        batch, self._pending = self._pending, _Batch()
        if batch.changes.is_empty:
            for release in batch.releases:
                release(None)
            return
        self._writing = True
        self._worker.call(partial(self._ledger.write, batch.changes), partial(self._written, batch))

    def _written(self, batch: _Batch, result: BaseException | None) -> None:
        try:
            if result is None:
                for release in batch.releases:
                    release(None)
                for update in batch.changes.updates:
                    self._push(update)
            else:
                self._lose(batch, result)
        finally:
            self._writing = False  # only now: what a listener asked for must not overtake
            self.commit()

    def _lose(self, batch: _Batch, error: BaseException) -> None:
        """Drop everything since the last good commit: what came later was built upon it."""
        waiting = batch.releases + self._pending.releases
        self._pending = _Batch()
        why = Unknown(f"the paper ledger did not commit: {error}")
        try:
            self._on_failure(error, len(waiting))
        finally:
            for release in waiting:
                release(why)
