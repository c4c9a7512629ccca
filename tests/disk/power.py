"""The power is cut at every instant at which something becomes durable, and at others.

A story is told to the real journal on a simulated disk: commits of many sizes, snapshots,
checkpoints, restarts. At each sync, several disks are drawn that a power cut there might leave;
each is opened by the usual code on the usual disk. What had been acknowledged must be there, and
nothing that never happened.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from storage.admin import verify_open
from storage.errors import JournalUnavailableError, StorageError
from storage.journal import Entry, Journal
from storage.store import Store
from storage.streams import Streams
from tests.disk.simulated import Call, Fault, SimulatedDisk
from tests.disk.specimens import Files, lay
from tests.storage.words import DISK, REGISTRY, Writer, life_of, live, order_stream

_INSTANTS = {"sync", "truncate", "delete", "atomic write", "atomic rename"}
_AT_OTHERS = 0.02  # the chance of a cut at any other call
_EXPECTED = "power failed while it was written"


@dataclass
class Cut:
    """What a power cut might leave, and what had been promised by then."""

    call: Call
    files: Files
    acknowledged: int  # seq
    begun: int  # seq: of the batch under way, if any


@dataclass
class Story:
    """What was written, and the cuts."""

    states: dict[int, Streams] = field(default_factory=dict)  # after each record
    cuts: list[Cut] = field(default_factory=list)
    calls: int = 0


@dataclass
class Cuts:
    """What became of them."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def blame(self, cut: Cut, what: str) -> None:
        self.outcomes["broken"] += 1
        if len(self.faults) < 20:
            self.faults.append(f"cut at call {cut.call.number} ({cut.call.kind}): {what}")


def told(directory: Path, seed: int, *, commits: int, images: int, failing: float = 0.0) -> Story:
    """Tell the story; draw `images` disks at each instant; a part of the syncs fails."""
    directory.mkdir(mode=0o700)
    chance = Random(f"power {seed}")
    story = Story(states={0: {}})
    disk = SimulatedDisk(directory)
    progress = [0, 0]  # acknowledged, begun
    asked = Random(f"cuts {seed}")

    def cut(call: Call) -> None:
        if call.kind not in _INSTANTS and asked.random() > _AT_OTHERS:
            return
        for _ in range(images):
            story.cuts.append(Cut(call, disk.after_power_cut(asked), *progress))

    disk.on_call = cut
    with disk.mounted():
        streams: Streams = {}
        while commits > 0:
            with Store(directory, REGISTRY, disk) as store:
                assert live(streams) == live(store.recovered.streams)
                writer = Writer(store.journal, streams)
                for _ in range(chance.randrange(10, 40)):
                    disk.fault = _failing(failing, chance)
                    _commit(writer, story, progress, chance)
                    disk.fault = lambda _: None
                    commits -= 1
                    if chance.random() < 0.1:
                        store.write_snapshot(live(writer.streams))
                    if chance.random() < 0.05:
                        mode = chance.choice(("PASSIVE", "FULL", "RESTART", "TRUNCATE"))
                        store.database.connection.execute(f"PRAGMA wal_checkpoint({mode})")
                streams = writer.streams
    story.calls = disk.calls
    return story


def _commit(writer: Writer, story: Story, progress: list[int], chance: Random) -> None:
    """Write the lives of a few orders, or parts of them, in one batch."""
    batch: list[Entry] = []
    first = len(story.states) * 10
    for number in range(first, first + chance.choice((1, 1, 1, 2, 8))):
        events = life_of(number)[: chance.randrange(1, 5)]
        for event in events:
            batch += writer.entries(order_stream(number), event)
            story.states[progress[0] + len(batch)] = dict(writer.streams)
    progress[1] = progress[0] + len(batch)
    try:
        writer.journal.append(batch)
    except JournalUnavailableError:
        while not _is_in(writer.journal):
            with suppress(JournalUnavailableError):
                writer.journal.append(batch)
                break
    progress[0] = progress[1]


def _is_in(journal: Journal) -> bool:
    """Ask until there is an answer: whether the last batch is durable."""
    while True:
        with suppress(JournalUnavailableError):
            return journal.reopen().has_last_batch


def _failing(share: float, chance: Random) -> Callable[[Call], Fault | None]:
    def fault(call: Call) -> Fault | None:
        return Fault.LOST if call.kind == "sync" and chance.random() < share else None

    return fault


def judged(story: Story, scratch: Path) -> Cuts:
    """Open what each cut left, as the next start would."""
    found = Cuts()
    for cut in story.cuts:
        with TemporaryDirectory(dir=scratch) as parent:
            directory = Path(parent) / "data"
            lay(directory, cut.files)
            try:
                _judge(cut, story, directory, found)
            except StorageError as error:
                found.blame(cut, f"the start was refused: {error}")
    return found


def _judge(cut: Cut, story: Story, directory: Path, found: Cuts) -> None:
    with Store(directory, REGISTRY, DISK) as store:
        recovered = store.recovered
        unexpected = [text for text in recovered.problems if _EXPECTED not in text]
        if recovered.last_seq not in {cut.acknowledged, cut.begun}:
            found.blame(cut, f"{cut.acknowledged} acknowledged, {recovered.last_seq} recovered")
        elif recovered.streams != live(story.states[recovered.last_seq]):
            found.blame(cut, "the states are others")
        elif unexpected:
            found.blame(cut, f"alarms: {unexpected}")
        elif not verify_open(store.database, REGISTRY, DISK).is_sound:
            found.blame(cut, "the journal is not sound")
        else:
            writer = Writer(store.journal, recovered.streams)
            writer.append(order_stream(10**8), *life_of(10**8))
            whole = "unacknowledged, there" if recovered.last_seq > cut.acknowledged else "whole"
            found.outcomes["torn tail told" if recovered.problems else whole] += 1
