"""The pulse of a daemon in a box: what is read while things go wrong, and what follows from it."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from actors import names
from actors.messages import StopEntries
from daemon.notify import Notifier
from daemon.pulse import DiskProbe, KeepAlive, Pulse
from daemon.vitals import failures, liveness, passed, readiness
from domain.ids import RequestId
from runtime.watchdog import Lag
from tests.actors.box import Box, stop_at


class Probe(DiskProbe):
    """A probe whose answer the test gives."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.result = "untried"

    def ask(self) -> None:
        self.result = self.answer

    def forget(self) -> None:
        self.result = "untried"


def pulse_of(box: Box, answer: str = "answers") -> Pulse:
    return Pulse(box.parts, lambda: Lag(1, 0.001, 0.002, 0.003), Probe(answer))


async def looked(box: Box, pulse: Pulse, seconds: float) -> list[str]:
    """Look each five seconds, as the watchdog does; return what is not well at the end."""
    for _ in range(int(seconds // 5)):
        box.say("60000")
        pulse.look()
        await box.soon(5)
    return failures(liveness(pulse.look()))


def test_a_guarded_position_is_well_for_as_long_as_it_lives(perform):
    async def play(box: Box) -> None:
        pulse = pulse_of(box)
        await box.start("60000")
        await box.open()
        assert await looked(box, pulse, 60) == []
        assert pulse.look().guarded == 1
        box.say("60000")
        assert passed(readiness(pulse.look()))

    perform(play)


def test_a_position_that_the_feed_has_forgotten_starves_the_watchdog(perform):
    async def play(box: Box) -> None:
        pulse = pulse_of(box)
        await box.start("60000")
        await box.open()
        box.feed.armed_since.clear()  # a bug
        assert await looked(box, pulse, 15) == []
        (why,) = await looked(box, pulse, 10)
        assert why.startswith("guards: nobody guards 00000000-")

    perform(play)


def test_nobody_is_surprised_by_a_position_that_was_opened_without_a_stop(perform):
    async def play(box: Box) -> None:
        pulse = pulse_of(box)
        await box.start("60000")
        await box.open(plan=stop_at(None, ("70000", "1")))
        assert await looked(box, pulse, 60) == []
        assert pulse.look().alarmed == 1

    perform(play)


@pytest.mark.parametrize(("disk", "well"), [("answers", False), ("silent", True)])
def test_a_commit_that_does_not_come_back_is_the_disks_fault_or_ours(perform, disk, well):
    async def play(box: Box) -> None:
        pulse = pulse_of(box, disk)
        await box.start("60000")
        await box.open()
        box.disk.hold()
        box.tell(names.PORTFOLIO, StopEntries(RequestId("r"), "somebody"))  # to be written
        assert await looked(box, pulse, 25) == []
        found = await looked(box, pulse, 15)
        assert (found == []) is well
        if not well:
            assert found[0].startswith("journal: a call to the disk has taken ")
        box.disk.go_on()
        await box.soon()
        assert await looked(box, pulse, 5) == []
        assert pulse.look().disk == "untried"

    perform(play)


def test_a_full_disk_stops_entries_and_not_the_watchdog(perform, monkeypatch):
    async def play(box: Box) -> None:
        pulse = pulse_of(box)
        await box.start("60000")
        await box.open()

        monkeypatch.setattr(box.store.disk, "free_bytes", lambda _: 0, raising=False)
        assert await looked(box, pulse, 120) == []
        codes = [cause.code for cause in pulse.look().causes]
        assert codes == ["DISK_LOW"]
        assert not passed(readiness(pulse.look()))

    perform(play)


def test_an_actor_that_is_not_restarted_starves_the_watchdog(perform):
    async def play(box: Box) -> None:
        pulse = pulse_of(box)
        await box.start("60000")
        pulse._parts = _Without(box.parts, names.EXCHANGE)
        assert await looked(box, pulse, 30) == []
        assert await looked(box, pulse, 5) == ["actors: not restarted: exchange for 35 s"]

    perform(play)


class _Without:
    """An assembly in which one actor does not live."""

    def __init__(self, parts, name) -> None:
        self.parts = parts
        self.name = name

    def __getattr__(self, name):
        return getattr(self.parts, name)

    def actor(self, name):
        return None if name == self.name else self.parts.actor(name)


def test_the_watchdog_is_fed_at_half_its_time_and_only_while_all_is_alive(perform, tmp_path: Path):
    async def play(box: Box) -> None:
        with managed(box, tmp_path) as (manager, keep, _):
            await box.start("60000")
            await box.open()
            keep.start()
            await box.soon(20.1)
            assert heard(manager) == ["READY", *["WATCHDOG"] * 5]
            box.feed.armed_since.clear()  # a bug: nobody watches
            await box.soon(20)
            assert heard(manager)[:3] == ["WATCHDOG"] * 3  # it could still close itself
            await box.soon(30)
            assert set(heard(manager)) == {"STATUS"}
            keep.stop()
            await box.soon(30)
            assert heard(manager) == []

    perform(play)


def test_a_sleep_of_the_computer_does_not_starve_the_watchdog(perform, tmp_path: Path):
    async def play(box: Box) -> None:
        with managed(box, tmp_path) as (manager, keep, _):
            await box.start("60000")
            await box.soon(0.2)
            keep.start()
            await box.soon(4.9)
            box.clock.sleep(hours=8)  # 0.1 s before it looks, and before the next beat
            await box.soon(4)
            assert heard(manager) == ["READY", "WATCHDOG", "STATUS", "WATCHDOG"]

    perform(play)


def test_a_look_that_fails_is_not_the_last_one(perform, tmp_path: Path):
    async def play(box: Box) -> None:
        with managed(box, tmp_path) as (manager, keep, pulse):
            await box.start("60000")
            keep.start()
            look, errors = pulse.look, []
            box.loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
            pulse.look = lambda: 1 // 0
            await box.soon(5.1)
            assert [type(each) for each in errors] == [ZeroDivisionError]
            pulse.look = look
            await box.soon(5)
            assert heard(manager) == ["READY", "WATCHDOG", "WATCHDOG"]

    perform(play)


@contextmanager
def managed(box: Box, directory: Path) -> Iterator[tuple[socket.socket, KeepAlive, Pulse]]:
    """Give a service manager's socket, whose watchdog bites after ten seconds, and who feeds it."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(directory / "notify"))
        manager.setblocking(False)
        environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "10000000"}
        notifier, pulse = Notifier(environment), pulse_of(box)
        keep = KeepAlive(pulse, notifier, box.loop)
        yield manager, keep, pulse
        keep.stop()
        notifier.close()


def heard(manager: socket.socket) -> list[str]:
    """Return the first word of each message that has come."""
    words = []
    while True:
        try:
            words.append(manager.recv(4096).decode().partition("=")[0])
        except BlockingIOError:
            return words
