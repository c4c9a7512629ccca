"""The persistence actor: group commit, and what a full, slow, failing or stolen disk does."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors import names
from actors.messages import Append, ResumeEntries, StopEntries, TakeSnapshot
from domain.commands import ClosePosition, ModificationType, ModifyProtection
from domain.ids import MANUAL
from domain.modes import Mode
from domain.position import PositionStatus
from domain.protection import ExitReason
from storage.errors import JournalUnavailableError, Trouble
from tests.actors.box import COMMIT_S, CONFIG, Box, D, pid, stop_at
from tests.actors.troubles import LowDisk, SilentDisk, fail_and, fill_up, steal

MOVE = ModificationType.MOVE_SL


def mode(box):
    return box.actor(names.PORTFOLIO).mode


def exits(box):
    return [terms for terms in box.venue.sent if terms.reduce_only]


def journaled_versions(box):
    connection = box.store.database.connection
    return dict(connection.execute("SELECT stream, max(stream_version) FROM journal GROUP BY 1"))


def check(box):
    """What is said to be durable is in the file, without holes; what is known follows from it."""
    versions = journaled_versions(box)
    for stream, (version, _) in box.parts.world.states.durable.items():
        assert version <= versions[stream], stream
    return versions


def check_settled(box):
    """Nothing waits: what is in memory is what the file says."""
    check(box)
    for stream, (_, state) in box.parts.world.states.latest.items():
        assert box.journaled(stream) == state, stream
    assert not box.actor(names.PERSISTENCE).backlog.waiting
    assert not box.actor(names.PERSISTENCE).backlog.writing


# --- group commit ---


def test_what_comes_while_a_commit_is_under_way_goes_into_the_next_one(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for number in range(1, 41):
            await box.open(number=number)
        await box.soon(2)
        before = len(box.ears.commits)
        for number in range(1, 41):
            box.parts.system.tell(
                names.position(pid(number)), ModifyProtection(pid(number), MOVE, price=D(59_500))
            )
        await box.soon(COMMIT_S * 2.5)
        rows = box.ears.commits[before:]
        assert len(rows) == 2  # the first one alone, all the others together
        assert sum(rows) == 80

    perform(play)


def test_all_that_was_told_before_a_stop_is_in_the_file(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        for number in range(1, 6):
            await box.open(number=number)
        for number in range(1, 6):
            box.parts.system.tell(
                names.position(pid(number)), ModifyProtection(pid(number), MOVE, price=D(59_500))
            )

    async def second(box: Box) -> None:
        for number in range(1, 6):
            assert box.position(number).protection.stop.price == 59_500
        await box.start()

    perform(first, second)


# --- full ---


def test_on_a_full_disk_nothing_is_accepted_but_armed_exits_go_on(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for number in (1, 2, 3):
            await box.open(number=number)
        disk = await fill_up(box)
        box.say("60000")
        answered = await box.ask(
            names.trader(MANUAL),
            lambda request_id: replace(box.request(number=4), request_id=request_id),
        )
        assert answered.refusal.rule == "NO_ENTRY_MODE"
        assert answered.refusal.actual == "PROTECT_ONLY"
        box.say("58990")
        await box.soon(3)
        assert len(exits(box)) == 3
        assert await box.paper.positions() == ()
        disk.make_room()
        await box.soon(3)
        assert mode(box) is Mode.NORMAL
        assert [box.position(number).status for number in (1, 2, 3)] == [PositionStatus.CLOSED] * 3
        assert {box.position(number).exit_reason for number in (1, 2, 3)} == {ExitReason.STOP_LOSS}
        assert len(await box.paper.fills(None)) == 6
        check_settled(box)

    perform(play)


def test_a_full_disk_is_one_alarm_and_one_mode_for_as_long_as_it_lasts(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        disk = await fill_up(box)
        for _ in range(300):
            await box.soon(0.1)
            assert mode(box) is Mode.PROTECT_ONLY
        assert disk.reopened > 20
        assert box.ears.codes().count("JOURNAL_DOWN") == 1
        disk.make_room()
        await box.soon(3)
        assert mode(box) is Mode.NORMAL
        check_settled(box)

    perform(play)


def test_when_space_returns_nothing_is_lost_and_nothing_is_there_twice(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open()
        disk = await fill_up(box)
        wishes = [
            asyncio.ensure_future(box.modify(MOVE, price=D(59_500) + number))
            for number in range(1, 6)
        ]
        await box.soon(5)
        assert not any(wish.done() for wish in wishes)
        disk.make_room()
        for wish in wishes:
            assert (await wish).refusal is None
        await box.soon()
        assert box.position().protection.stop.price == 59_505
        check_settled(box)
        box.kill()

    async def second(box: Box) -> None:
        assert not box.store.recovered.problems
        assert box.position().protection.stop.price == 59_505
        await box.start("60000")
        assert box.levels() == {"stop": 59_505}

    perform(first, second)


def test_a_crash_while_the_disk_is_full_loses_nothing_that_was_answered(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open()
        await fill_up(box)
        box.say("58990")
        await box.soon(2)
        assert await box.paper.positions() == ()
        box.kill()

    async def second(box: Box) -> None:
        assert not box.store.recovered.problems
        await box.start("60000")
        await box.soon(1)
        assert not exits(box)  # the venue has sold it already
        assert box.position().status is PositionStatus.CLOSED
        assert box.position().exit_reason is ExitReason.STOP_LOSS
        assert not box.portfolio.holdings

    perform(first, second)


def test_asking_a_slow_disk_twice_whether_it_is_well_does_not_make_it_so(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for number in (1, 2):
            await box.open(number=number)
        disk = await fill_up(box)
        box.disk.latency_s = 3.0  # longer than the beat on which it is asked
        box.disk.on_told = lambda: check(box)
        await box.soon(10)
        disk.make_room()
        for number in range(10):
            box.parts.system.tell(
                names.position(pid(2)), ModifyProtection(pid(2), MOVE, price=D(59_500) + number)
            )
            await box.soon(1.5)
        await box.soon(30)
        box.disk.on_told = lambda: None
        assert mode(box) is Mode.NORMAL
        box.disk.latency_s = COMMIT_S  # or the feed's sign of life is always under way
        await box.soon(5)
        check_settled(box)

    perform(play)


def test_little_room_beside_the_journal_is_a_reason_to_open_nothing(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        real = box.store.disk

        class Low:
            def __getattr__(self, name):
                return getattr(real, name)

            def free_bytes(self, path):
                return 1024

        box.store.disk = Low()
        await box.soon(3)
        assert mode(box) is Mode.PROTECT_ONLY
        assert box.ears.codes() == ["DISK_LOW"]
        box.store.disk = real
        await box.soon(3)
        assert mode(box) is Mode.NORMAL

    perform(play)


def test_a_disk_that_does_not_say_how_much_is_free_is_a_reason_to_open_nothing(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.store.disk = SilentDisk(box.store.disk)
        await box.soon(8)
        assert mode(box) is Mode.PROTECT_ONLY
        assert "Input/output error" in box.parts.world.causes["DISK_LOW"].message
        assert box.ears.codes() == ["DISK_LOW"]
        assert box.actor(names.PERSISTENCE).incarnation == 1
        box.say("58990")
        await box.soon()
        assert len(exits(box)) == 1
        box.store.disk = LowDisk(box.store.disk.real)
        await box.soon(3)
        assert "are needed" in box.parts.world.causes["DISK_LOW"].message
        box.store.disk = box.store.disk.real
        await box.soon(3)
        assert mode(box) is Mode.NORMAL

    perform(play)


# --- errors after which nobody knows ---


@pytest.mark.parametrize("is_in", [True, False])
def test_a_commit_that_failed_is_looked_for_and_written_once(perform, is_in):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        journal = box.store.journal
        append = journal.append
        failed = []

        def fail(batch):
            if not failed:
                failed.append(len(batch))
                if is_in:
                    append(batch)
                else:
                    journal._attempted = journal._prepare(batch).tail
                raise JournalUnavailableError(Trouble.IO, "fsync failed")
            return append(batch)

        journal.append = fail
        answered = await box.modify(MOVE, price=D(59_500))
        await box.soon()
        assert failed
        assert answered.refusal is None
        assert box.position().protection.stop.price == 59_500
        assert mode(box) is Mode.NORMAL
        check_settled(box)

    perform(play)


def zero(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * 4096)


@pytest.mark.parametrize("befall", [Path.unlink, zero, lambda path: path.write_bytes(b"")])
def test_while_the_journals_file_is_gone_or_damaged_exits_go_on_from_memory(perform, befall):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        path = box.store.database.path

        def take(path: Path) -> None:
            whole.append(path.read_bytes())
            befall(path)

        whole = []
        fail_and(box, take)
        box.tell(names.position(pid()), ModifyProtection(pid(), MOVE, price=D(59_100)))
        await box.soon(8)
        assert mode(box) is Mode.PROTECT_ONLY
        assert "restore a backup" in box.parts.world.causes["JOURNAL_DOWN"].way_out
        assert box.actor(names.PERSISTENCE).incarnation == 1
        box.say("58990")
        await box.soon()
        assert len(exits(box)) == 1
        path.write_bytes(whole[0])
        path.chmod(0o600)
        await box.soon(3)
        assert mode(box) is Mode.NORMAL
        assert box.position().status is PositionStatus.CLOSED
        check_settled(box)

    perform(play)


def test_a_journal_that_lost_what_was_acknowledged_is_not_written_on(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        connection, path = box.store.database.connection, box.store.database.path
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        old, kept = path.read_bytes(), box.store.journal.tail.seq
        await box.open(number=2)
        await box.soon(2)
        lost = box.store.journal.tail.seq - kept
        fail_and(box, lambda path: path.write_bytes(old))
        box.tell(names.position(pid(1)), ModifyProtection(pid(1), MOVE, price=D(59_100)))
        await box.soon(8)
        assert mode(box) is Mode.PROTECT_ONLY
        assert any(
            f"{lost} acknowledged record(s) are missing" in said for _, said in box.ears.alarms
        )
        assert "the venue" in box.parts.world.causes["JOURNAL_DOWN"].way_out
        assert box.ears.codes() == ["JOURNAL_DOWN"] * 2  # an error, then what it turned out to be
        box.say("58990")
        await box.soon(3)
        assert len(exits(box)) == 2
        assert sum(1 for _ in box.journal()) == kept
        box.kill()

    perform(play)


# --- killed ---


@pytest.mark.parametrize("after_s", [n * COMMIT_S / 4 for n in range(17)])
def test_whenever_it_is_killed_nothing_is_lost_and_nothing_is_there_twice(perform, after_s):
    async def play(box: Box) -> None:
        await box.start("60000")
        for number in (1, 2, 3):
            await box.open(number=number)
        box.disk.on_told = lambda: check(box)
        for price in (59_100, 59_200, 59_300):
            for number in (1, 2, 3):
                box.parts.system.tell(
                    names.position(pid(number)),
                    ModifyProtection(pid(number), MOVE, price=D(price)),
                )
            await box.soon(COMMIT_S / 3)
        await box.soon(after_s)
        box.parts.system.kill(names.PERSISTENCE)
        await box.soon(3)
        assert [box.position(number).protection.stop.price for number in (1, 2, 3)] == [59_300] * 3
        assert [box.levels(number) for number in (1, 2, 3)] == [{"stop": 59_300}] * 3
        assert mode(box) is Mode.NORMAL
        check_settled(box)
        box.say("59300")
        await box.soon()
        assert len(exits(box)) == 3

    perform(play)


def test_a_result_that_waits_in_the_mailbox_of_a_dead_actor_counts_once(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        killed = []

        def kill_before_it_is_heard() -> None:
            check(box)
            if len(killed) < 3:
                killed.append(box.parts.system.kill(names.PERSISTENCE))

        box.disk.on_told = kill_before_it_is_heard
        for number in range(60):
            price = D(59_000) + number
            box.parts.system.tell(names.position(pid()), ModifyProtection(pid(), MOVE, price=price))
            await box.soon(COMMIT_S / 3)
        await box.soon(3)
        assert killed == [True] * 3
        assert box.position().protection.stop.price == 59_059
        check_settled(box)

    perform(play)


def test_a_death_while_the_disk_is_full_does_not_end_the_mode(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        disk = await fill_up(box)
        box.parts.system.kill(names.PERSISTENCE)
        for _ in range(30):
            await box.soon(0.1)
            assert mode(box) is Mode.PROTECT_ONLY
        disk.make_room()
        await box.soon(3)
        assert mode(box) is Mode.NORMAL
        check_settled(box)

    perform(play)


def test_the_process_ends_when_the_journal_cannot_be_written_for_a_bug(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.tell(names.PERSISTENCE, Append("x", "order/1", 1, (object(),), (None,), box.now))
        with pytest.raises(Exception, match="root failed more"):
            await asyncio.wait_for(box.parts.system.failed, 10)
        box.kill()

    perform(play)


def test_a_last_batch_is_not_written_over_a_hole(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open()
        journal = box.store.journal
        append = journal.append
        batches = []

        def fail_once(batch):
            batches.append(len(batch))
            if len(batches) == 1:
                raise JournalUnavailableError(Trouble.FULL, "no room for a large batch")
            return append(batch)

        journal.append = fail_once
        box.tell(names.position(pid()), ModifyProtection(pid(), MOVE, price=D(59_100)))
        await box.soon(COMMIT_S / 10)
        box.tell(names.position(pid()), ModifyProtection(pid(), MOVE, price=D(59_200)))
        await box.stop()

    async def second(box: Box) -> None:
        assert not box.store.recovered.problems
        assert not box.store.recovered.broken
        await box.start("60000")
        assert box.levels()

    perform(first, second)


# --- another writer ---


def test_another_writer_ends_everything_but_armed_exits_until_a_person_comes(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        await box.open(number=2)
        steal(box)
        before = journaled_versions(box)
        box.tell(names.position(pid(2)), ModifyProtection(pid(2), MOVE, price=D(59_500)))
        await box.soon()
        assert mode(box) is Mode.FENCED
        assert box.ears.codes() == ["FENCED"]
        box.say("58990")
        await box.soon(5)
        assert len(exits(box)) == 2
        assert journaled_versions(box) == before
        box.parts.system.kill(names.PERSISTENCE)
        await box.soon(5)
        assert mode(box) is Mode.FENCED
        box.kill()

    perform(play)


# --- snapshots ---


def test_a_start_from_a_snapshot_is_a_start_from_the_journal(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        for number in range(1, 8):
            await box.open(number=number, plan=stop_at("59000", ("61000", "0.5")))
        answered = await box.ask(names.PERSISTENCE, TakeSnapshot)
        assert answered.refusal is None
        assert answered.note
        box.tell(names.position(pid(2)), ModifyProtection(pid(2), MOVE, price=D(59_500)))
        await box.soon()
        states = dict(box.parts.world.states.latest)
        box.kill()
        return states

    async def second(box: Box) -> None:
        recovered = box.store.recovered
        assert recovered.snapshot_seq > 0
        assert 0 < recovered.replayed < 20
        for stream, (_, state) in recovered.streams.items():
            assert box.journaled(stream) == state
        await box.start("60000")
        assert box.levels(2)["stop"] == 59_500

    perform(first, second)


def test_a_snapshot_that_cannot_be_written_is_refused_and_hurts_nobody(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        (box.store.directory / "snapshots").write_text("in the way")
        answered = await box.ask(names.PERSISTENCE, TakeSnapshot)
        assert answered.refusal.rule == "SNAPSHOT_FAILED"
        assert (await box.modify(MOVE, price=D(59_500))).refusal is None
        assert box.actor(names.PERSISTENCE).incarnation == 1

    perform(play)


def test_snapshots_are_taken_by_themselves_and_hold_no_closed_position(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        for number in range(1, 6):
            await box.open(number=number)
        await box.open(number=6, plan=stop_at("50000"))
        box.say("58990")
        await box.soon(10)
        for number in range(10):
            box.tell(names.PORTFOLIO, StopEntries(f"s{number}", "me"))
            box.tell(names.PORTFOLIO, ResumeEntries(f"r{number}", "me"))
            await box.soon()
        box.kill()

    async def second(box: Box) -> None:
        assert box.store.recovered.snapshot_seq > 0
        streams = box.store.recovered.streams
        assert [name for name in streams if name.startswith("position/")] == [
            names.position(pid(6))
        ]
        await box.start("60000")

    perform(first, second, config=CONFIG + "journal: {snapshot_every_events: 20}\n")


def test_what_a_start_had_to_fold_counts_toward_the_next_snapshot(perform):
    """Else the tail would grow with every crash that comes before the next snapshot."""
    lives = []

    async def start_and_crash(box: Box) -> None:
        lives.append(box.store.recovered)
        await box.start("60000")
        box.tell(names.PORTFOLIO, StopEntries("s", "me"))
        await box.soon()
        box.tell(names.PORTFOLIO, ResumeEntries("r", "me"))
        await box.soon()
        box.kill()

    perform(*[start_and_crash] * 6, config=CONFIG + "journal: {snapshot_every_events: 10}\n")

    ends = [life.last_seq for life in lives]
    assert all(end - start < 10 for start, end in pairwise(ends))  # no life alone comes that far
    assert lives[-1].snapshot_seq > 0


def test_the_streams_of_what_is_over_leave_memory_even_when_their_last_commit_comes_late(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for number in range(1, 6):
            await box.open(number=number)
        box.disk.latency_s = 0.2
        for number in range(1, 6):
            box.tell(names.position(pid(number)), ClosePosition(pid(number)))
        await box.soon(10)
        states = box.parts.world.states
        for book in (states.latest, states.durable):
            assert not [name for name in book if name.startswith(("position/", "order/"))]

    perform(play)
