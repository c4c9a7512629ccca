"""Bugs in what is believed: journal, snapshots, recovery, and what the venue says is held."""

from tests.daemon.simulation.zoo.planting import Bug, Edit

TRUTH = (
    Bug(
        "failed_read_taken_for_nothing",
        "A read that failed counts as an empty list: flat, nothing resting, no fills.",
        "I9",
        (
            Edit("exchanges.okx_answers:read", "return Unknown(answer.why)", "return reader([])"),
            Edit("exchanges.okx_answers:read", "return Unknown(str(lie))", "return reader([])"),
        ),
    ),
    Bug(
        "closed_outside_not_noticed",
        "What somebody closes at the venue stays open here.",
        "I5",
        (
            Edit(
                "domain.reconciliation:Side.lacks_or_exceeds",
                "return abs(self.gap) >=",
                "return self.gap * (1 if self.ours >= ZERO else -1) >=",
            ),
        ),
    ),
    Bug(
        "recovery_skips_the_last_event",
        "The last record of the journal is not read at a start.",
        "I7",
        (
            Edit(
                "storage.recovery:_fold_tail",
                "for record in verified(database.connection, last):",
                "for record in list(verified(database.connection, last))[:-1]:",
            ),
        ),
    ),
    Bug(
        "snapshot_folded_twice",
        "The record that a snapshot ends with is folded onto it once more.",
        "I7",
        (
            Edit(
                "storage.fold:Fold.apply",
                'raise InvariantError(f"version {record.version} follows {version}")',
                "pass",
            ),
            Edit(
                "storage.recovery:_recover",
                "last, damage = _fold_tail(fold, database, snapshot.tail)",
                "last, damage = _fold_tail(fold, database, Tail())",
            ),
        ),
    ),
    Bug(
        "effects_before_the_disk",
        "What was decided is done before it is on the disk.",
        "I7",
        (
            Edit(
                "actors.journaled:Journaled.journal",
                "if stream.durable >= stream.version or at_once:",
                "if True:",
            ),
        ),
    ),
    Bug(
        "event_not_sent_to_the_journal",
        "Of several events at once only the last is written.",
        "I7",
        (
            Edit(
                "actors.journaled:Journaled.journal",
                "events=tuple(events),",
                "events=tuple(events[-1:]),",
            ),
        ),
    ),
    Bug(
        "missed_while_the_stream_was_down",
        "When the private stream is back, nobody asks what it missed.",
        "I5",
        (
            Edit(
                "actors.exchange:ExchangeActor._stream_changed",
                "self.run(self._reconcile())",
                "pass",
            ),
        ),
    ),
    Bug(
        "shorts_read_as_longs",
        "The venue's short positions are read without their sign.",
        "I5",
        (
            Edit(
                "exchanges.translate:position_from_row",
                'size = base_units(amount(row, "pos", signed=True), instrument)',
                'size = abs(base_units(amount(row, "pos", signed=True), instrument))',
            ),
        ),
    ),
    Bug(
        "snapshot_forgets_orders_that_ended",
        "A snapshot leaves out the orders that are over, though their positions are not.",
        "I7",
        (
            Edit(
                "storage.streams:StreamRegistry.is_needed",
                "return not _is_over(kind, state) or self._has_owner(kind, state, streams)",
                "return not _is_over(kind, state)",
            ),
        ),
    ),
    Bug(
        "snapshot_ahead_of_the_journal",
        "A snapshot holds the newest states, among them some that no record has written yet.",
        "I7",
        (
            Edit(
                "actors.persistence:PersistenceActor._begin_snapshot",
                "self.world.states.durable",
                "self.world.states.latest",
            ),
        ),
    ),
    Bug(
        "failed_read_taken_for_flat",
        "When the venue's positions cannot be read, nothing is held.",
        "I9",
        (
            Edit(
                "exchanges.okx_account_reads:AccountReads.positions",
                "rows = okx.read(answer, lambda rows: rows)\n"
                "            if isinstance(rows, Unknown):\n                return rows",
                "rows = okx.read(answer, lambda rows: rows)\n"
                "            if isinstance(rows, Unknown):\n                rows = []",
            ),
        ),
    ),
    Bug(
        "silence_of_the_stream_not_noticed",
        "A stream that says nothing new is believed for ever.",
        "I10",
        (
            Edit(
                "domain.freshness:is_due",
                "return now_s - heard.new_s >= rules.max_silence_s",
                "return False",
            ),
            Edit(
                "actors.world:PriceBoard.is_fresh",
                "return self.age_s(symbol) < self.stale_after_s",
                "return True",
            ),
        ),
    ),
)
