"""Where questions from outside wait.

The one place with futures, so that no actor ever waits for another.
"""

import asyncio

from actors.messages import Answered
from domain.ids import RequestId
from runtime.actor import Actor, handles


class EdgeActor(Actor):
    """Resolves the future of each question when its answer comes."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: dict[RequestId, asyncio.Future[Answered]] = {}

    def expect(self, request_id: RequestId) -> "asyncio.Future[Answered]":
        """Return a future for the answer to a question about to be asked."""
        future = asyncio.get_running_loop().create_future()
        self.pending[request_id] = future
        future.add_done_callback(lambda _: self.pending.pop(request_id, None))
        return future

    @handles(Answered)
    def on_answered(self, answered: Answered) -> None:
        """Hand the answer over; a question given up on is gone."""
        future = self.pending.get(answered.request_id)
        if future is not None and not future.done():
            future.set_result(answered)
