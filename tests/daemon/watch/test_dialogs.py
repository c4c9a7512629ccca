"""A dialog of the live view, on a screen that nobody sees."""

import asyncio
from typing import Any

from textual.app import App
from textual.widgets import Static

from daemon.admin_requests import AnyAdminRequest, CloseAll
from daemon.watch.dialogs import Confirm
from daemon.watch.proposals import Proposal


def test_what_close_all_does_not_close_stands_in_red_and_stays() -> None:
    async def do(_: AnyAdminRequest) -> dict[str, Any]:
        refused = {"position": "b", "rule": "QUARANTINED", "message": "it rests", "remedy": ""}
        return {"closing": ["a"], "refused": [refused]}

    def propose(_text: str, _widen: bool) -> Proposal:
        return Proposal("close everything", CloseAll(), is_risky=True)

    async def play() -> None:
        app: App[None] = App()
        async with app.run_test() as pilot:
            dialog = Confirm("Close all", propose, do)
            await app.push_screen(dialog)
            await pilot.press("y")
            await app.workers.wait_for_complete()
            said: Any = dialog.query_one("#refusal", Static).render()
            assert str(said) == "closing 1 position, NOT CLOSING 1\nb  QUARANTINED: it rests"
            assert any("red" in str(span.style) for span in said.spans)
            assert app.screen is dialog

    asyncio.run(play())
