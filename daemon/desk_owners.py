"""How the desk asks the owner of a fact to change it: tell its actor, wait for the answer."""

import asyncio
import os
from typing import Any

from actors import names
from actors.messages import Answered
from daemon.assembly import Assembly
from daemon.desk_reads import DeskReads, Result
from domain.errors import Refusal
from domain.ids import RequestId
from domain.modes import Mode

ANSWER_WITHIN_S = 10.0
OPERATOR = f"uid {os.getuid()}"  # who may use the admin socket


class DeskOwners:
    """Asks actors on a person's behalf."""

    def __init__(self, assembly: Assembly, reads: DeskReads) -> None:
        self._parts = assembly
        self._reads = reads

    def request_id(self) -> RequestId:
        """Return the id that an answer will name."""
        return RequestId(self._parts.world.ids.uuid())

    async def tell(self, name: str, message: Any) -> Result | Refusal:
        """Tell an actor, wait for its answer. Nothing heard in time is said as that."""
        edge = self._parts.actor(names.EDGE)
        if edge is None:
            return Refusal("RESTARTING", "The daemon restarts a part of itself.", "Try again.")
        future: asyncio.Future[Answered] = edge.expect(message.request_id)
        told = self._parts.system.tell(name, message)
        if told is not True:
            future.cancel()
            return Refusal(
                "BUSY", f"{name} cannot take a command now.", "Try again; see holdfast health."
            )
        try:
            answered = await asyncio.wait_for(future, ANSWER_WITHIN_S)
        except TimeoutError:
            _, causes = self._reads.mode_and_causes()
            why = "".join(f" {cause.message}" for cause in causes if cause.mode > Mode.NO_ENTRY)
            return Refusal(
                "NO_ANSWER",
                f"No answer within {ANSWER_WITHIN_S:.0f} s: it may still be done.{why}",
                "Look before asking again: holdfast positions, holdfast health.",
            )
        if answered.refusal is not None:
            return answered.refusal
        result: Result = {"done": True}
        if answered.position_id is not None:
            result["position_id"] = answered.position_id
        if answered.note:
            result["note"] = answered.note
        return result

    def not_now(self) -> Refusal | None:
        """Refuse changes that cannot be made durable."""
        mode, causes = self._reads.mode_and_causes()
        if mode < Mode.PROTECT_ONLY:
            return None
        cause = max(causes, key=lambda each: each.mode)
        return Refusal(mode.name, f"{cause.code}: {cause.message}", cause.way_out)
