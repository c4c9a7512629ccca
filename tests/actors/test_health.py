"""`health` as the daemon answers it: what the page shows, and the verdicts of the moment."""

from actors import names
from actors.messages import StopEntries
from daemon.admin_requests import Health
from daemon.archive import Archive
from daemon.background import Background
from daemon.desk_reads import DeskReads
from tests.actors.box import Box
from tests.docs.test_json_shapes import same_keys, shown


def reads_of(box: Box) -> DeskReads:
    return DeskReads(box.parts, Archive(box.store, Background(box.disk)))


def test_it_has_the_keys_that_the_page_shows(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        health = await reads_of(box).handle(Health())
        same_keys(shown("health") | {"restarts": {}}, health)

    perform(play)


def test_alive_and_ready_are_two_verdicts(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        reads = reads_of(box)
        assert (reads.health()["live"], reads.health()["ready"]) == (True, True)
        box.market.sink.on_disconnected("no network")
        await box.soon()
        assert (reads.health()["live"], reads.health()["ready"]) == (True, False)
        (bad,) = [each for each in reads.health()["checks"] if not each["ok"]]
        assert bad["what"] == "FEED_DOWN"
        assert "no network" in bad["why"]

    perform(play)


def test_what_a_person_stopped_leaves_it_ready(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.ask(names.PORTFOLIO, lambda request_id: StopEntries(request_id, "somebody"))
        assert reads_of(box).health()["mode"] == "NO_ENTRY"
        assert reads_of(box).health()["ready"] is True

    perform(play)
