"""A desk at the actors of a box, as the daemon wires it."""

from typing import NoReturn

from daemon.archive import Archive
from daemon.background import Background
from daemon.desk import Desk
from daemon.desk_reads import DeskReads
from daemon.desk_watch import DeskWatch
from daemon.recent import Recent
from tests.actors.box import Box


def desk_of(box: Box) -> Desk:
    reads = DeskReads(box.parts, Archive(box.store, Background(box.disk)))
    watch = DeskWatch(reads, Recent(), box.loop)
    return Desk(box.parts, reads, lambda: None, watch, _never)


async def _never() -> NoReturn:
    raise AssertionError("nobody asked for a reload")
