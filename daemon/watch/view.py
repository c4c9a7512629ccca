"""The live view: looks several times a second, shows, and asks before it changes anything.

It holds no state of its own but what it saw last: a daemon that goes away and comes back is simply
seen again.
"""

import asyncio
import re
import signal
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from enum import Enum
from functools import partial
from textwrap import fill
from typing import Any, ClassVar, Protocol

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.events import Resize
from textual.widgets import Static

from daemon.admin_client import Answer
from daemon.admin_requests import AnyAdminRequest, ShowPosition, Why
from daemon.cli.console import Row, clean, printed
from daemon.cli.link import rows_of
from daemon.cli.position_page import print_position
from daemon.cli.story import print_story
from daemon.watch import figures, proposals
from daemon.watch.dialogs import Choose, Confirm, Page
from daemon.watch.driver import VanishingTerminal
from daemon.watch.help import HELP, KEYS
from daemon.watch.looking import LOST, UNREACHABLE, Looker, ask_once, is_entries_stopped
from daemon.watch.proposals import Proposal
from daemon.watch.table import PositionsTable
from domain.errors import Refusal

EVERY_S = 0.25
_LOAD = 12  # looks take at most about a twelfth of the daemon's time, however much there is to show
_LONGEST_PAUSE_S = 3.0
_EVENTS = 200
_ANSWER_SHOWN_S = 15.0
_DETAILS_EVERY_S = 1.0
_LEAST_HEIGHT, _TALL, _WIDE = 10, 30, 100  # of the terminal
_UUID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f-]{22,28}\b")
_FRAME = 10  # columns around a page's text
_STORY_INDENT = " " * 14  # a time and its gap


class Ended(Enum):
    """Why the view ended."""

    QUIT = "quit"
    STOP = "stop"  # the daemon is to stop, too
    LEAVE = "leave"  # the daemon is to go on
    GONE = "gone"  # the daemon ended by itself
    SIGNALED = "signaled"


class OwnDaemon(Protocol):
    """A daemon that was started for a view."""

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""

    def drain(self) -> None:
        """Ask it to stop in good order; once is enough."""


class WatchApp(App[Ended]):
    """`holdfast watch`."""

    CSS_PATH = "view.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "details", show=False),
        Binding("w", "why", show=False),
        Binding("c", "close", show=False),
        Binding("m", "move_stop", show=False),
        Binding("p", "pause", show=False),
        Binding("s", "entries", show=False),
        Binding("x", "close_all", show=False),
        Binding("question_mark,f1", "explain", show=False),
        Binding("escape", "forget", show=False),
        Binding("q,ctrl+c,ctrl+q", "leave", show=False),
    ]

    def __init__(
        self,
        looker: Looker,
        *,
        every_s: float = EVERY_S,
        own: "OwnDaemon | None" = None,
    ) -> None:
        """Look through `looker`; `own` is a daemon that was started for this view."""
        super().__init__(driver_class=VanishingTerminal, ansi_color=True)
        self.theme = "ansi-dark"
        self._looker = looker
        self._every_s = every_s
        self._own = own
        self._seen: Answer = {}
        self._seen_s = 0.0
        self._trouble: Refusal | None = None
        self._events: deque[Row] = deque(maxlen=_EVENTS)
        self._answered_s = 0.0

    # --- life ---

    def compose(self) -> ComposeResult:
        """Lay out."""
        yield Static(id="head")
        yield Static(id="money")
        yield Static(id="causes")
        yield Static(id="trouble")
        yield PositionsTable()
        with VerticalScroll(id="events", can_focus=False):
            yield Static(id="lines")
        yield Static(id="answer")
        yield Static(id="keys")

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#events").border_title = "Events (UTC)"
        self.query_one(PositionsTable).focus()
        self._show_trouble(Refusal("", "looking for the daemon…", ""))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signaled)
        self.run_worker(self._look_again_and_again(), name="look")

    def _signaled(self) -> None:
        if self._own is not None:
            self._own.drain()  # first: whatever becomes of the view
        self.exit(Ended.SIGNALED)

    async def _look_again_and_again(self) -> None:
        table = self.query_one(PositionsTable)
        while True:
            if self._own is not None and self._own.code is not None:
                self.exit(Ended.GONE)
                return
            began_s = time.monotonic()
            answer = await asyncio.to_thread(self._looker.look, table.wanted)
            took_s = time.monotonic() - began_s
            pause_s = self._every_s
            if isinstance(answer, Refusal):
                self._show_trouble(answer)
            else:
                self._show(answer)
                pause_s = max(pause_s, min(_LOAD * took_s, _LONGEST_PAUSE_S))
            await asyncio.sleep(pause_s)

    # --- showing ---

    def _show(self, answer: Answer) -> None:
        self._seen, self._seen_s, self._trouble = answer, time.monotonic(), None
        self._events.extend(rows_of(answer, "events"))
        self._draw()

    def _show_trouble(self, refusal: Refusal) -> None:
        self._trouble = refusal
        self._draw()

    def on_resize(self, _: Resize) -> None:
        """Fit anew."""
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        """Show what was seen last, in the room there is."""
        screen = self.screen_stack[0]
        room = self.size.width
        is_lost = self._trouble is not None
        screen.set_class(is_lost, "lost")
        screen.set_class(self.size.height < _LEAST_HEIGHT, "tiny")
        self._put("#trouble", self._trouble_text() if is_lost else None)
        self._put("#keys", KEYS.fitting(room))
        if self._answered_s and time.monotonic() - self._answered_s > _ANSWER_SHOWN_S:
            self.action_forget()
        if not self._seen:
            return
        seen = self._seen
        self._put("#head", figures.headline(seen, room, is_lost=is_lost))
        is_tall = self.size.height >= _TALL and room >= _WIDE
        self._put("#money", figures.moneylines(seen, room, 3 if is_tall else 1))
        causes = figures.causes(seen)
        self._put("#causes", Text("\n").join(causes) if causes else None)
        table = screen.query_one(PositionsTable)
        count = seen.get("positions_open")
        table.show(
            rows_of(seen, "positions"),
            count if isinstance(count, int) else 0,
            figures.nothing_open(seen),
        )
        table.border_title = self._table_title()
        self._draw_events()

    def _table_title(self) -> str:
        count, bare = self._seen.get("positions_open"), self._seen.get("positions_unprotected")
        alarm = f" · {bare} WITHOUT PROTECTION" if bare else ""
        unknown = self._seen.get("orders_unknown")
        doubt = f" · {unknown} orders UNKNOWN" if unknown else ""
        return f"Positions {count}{alarm}{doubt}"

    def _draw_events(self) -> None:
        screen = self.screen_stack[0]
        pane = screen.query_one("#events")
        count = max(pane.size.height, 1)
        lines = [figures.event_line(each) for each in list(self._events)[-count:]]
        for line in lines:
            line.truncate(max(self.size.width, 1), overflow="ellipsis")
        self._put("#lines", Text("\n").join(lines) if lines else Text(" nothing yet", style="dim"))

    def _put(self, selector: str, text: Text | None) -> None:
        widget = self.screen_stack[0].query_one(selector, Static)
        widget.display = text is not None
        if text is not None:
            widget.update(text)

    def _trouble_text(self) -> Text:
        assert self._trouble is not None  # asked for only then
        trouble = self._trouble
        if trouble.rule in UNREACHABLE:
            said = "daemon not reachable, trying again"
        elif trouble.rule == LOST:
            said = "daemon does not answer, trying again"
        else:
            said = trouble.message
        if self._seen:
            said += f" · last seen {time.monotonic() - self._seen_s:.0f}s ago"
        elif trouble.rule in UNREACHABLE:
            said += f" · {trouble.message} {trouble.remedy}"
        return Text(f" {said} ")

    def _tell(self, said: str) -> None:
        """Show what became of a change."""
        self._answered_s = time.monotonic()
        self._put("#answer", Text.assemble((" ✓ ", "bold green"), _UUID.sub(r"\1", clean(said))))

    # --- keys: reading ---

    @on(PositionsTable.Chosen)
    def action_details(self) -> None:
        """Show all of a position."""
        self._with_position(self._page_of_position)

    def action_why(self) -> None:
        """Show its story."""
        self._with_position(self._page_of_story)

    def action_explain(self) -> None:
        """Show help."""

        async def text() -> str:
            return HELP

        self.push_screen(Page("Help", text))

    def action_forget(self) -> None:
        """Take the last answer away."""
        self._answered_s = 0.0
        self._put("#answer", None)

    def _page_of_position(self, row: Row) -> None:
        position_id = clean(row.get("id"))

        def show(answer: Answer) -> str:
            found = answer.get("position")
            position = found if isinstance(found, Mapping) else {}
            return printed(lambda: print_position(position))

        read = partial(self._read, ShowPosition(position=position_id), show)
        self.push_screen(Page(f"Position {position_id[:8]}", read, every_s=_DETAILS_EVERY_S))

    def _page_of_story(self, row: Row) -> None:
        position_id = clean(row.get("id"))

        def show(answer: Answer) -> str:
            lines = printed(lambda: print_story(rows_of(answer, "events"))).splitlines()
            room = max(self.size.width - _FRAME, _FRAME)
            return "\n".join(fill(one, room, subsequent_indent=_STORY_INDENT) for one in lines)

        read = partial(self._read, Why(subject=position_id), show)
        self.push_screen(Page(f"Why {position_id[:8]}", read))

    async def _read(self, request: AnyAdminRequest, show: Callable[[Answer], str]) -> str:
        answer = await self._do(request)
        if isinstance(answer, Refusal):
            return f"{answer.rule}: {answer.message}\n→ {answer.remedy}"
        return show(answer).strip("\n")

    # --- keys: changing, each after a yes ---

    def action_close(self) -> None:
        """Close the selected position, or a part of it."""

        def ask(row: Row) -> None:
            self._confirm(
                Confirm(
                    proposals.title("Close", row),
                    lambda part, _: proposals.close(row, part),
                    self._do,
                    label="part",
                    prefill="100%",
                )
            )

        self._with_position(ask)

    def action_move_stop(self) -> None:
        """Move the selected position's stop."""

        def ask(row: Row) -> None:
            self._confirm(
                Confirm(
                    proposals.title("Move stop of", row),
                    lambda price, widen: proposals.move_stop(row, price, widen=widen),
                    self._do,
                    label="price",
                    prefill=clean(row.get("stop") or ""),
                    may_widen=True,
                )
            )

        self._with_position(ask)

    def action_pause(self) -> None:
        """Pause or resume a trader."""
        traders = rows_of(self._seen, "traders")
        if not traders:
            return
        own = self.screen_stack[0].query_one(PositionsTable).selected or {}
        names = [each.get("name") for each in traders]
        chosen = names.index(own.get("trader")) if own.get("trader") in names else 0
        lines = [
            f"{clean(each.get('name')):<20}  {'PAUSED' if each.get('paused') else 'active':<7}"
            f"  {clean(each.get('open_positions'))} open"
            for each in traders
        ]

        def ask(index: int | None) -> None:
            if index is not None:
                trader = traders[index]
                verb = "Resume" if trader.get("paused") else "Pause"
                title = f"{verb} trader {clean(trader.get('name'))}"
                self._confirm_plain(title, proposals.pause(trader))

        self.push_screen(Choose("Pause or resume which trader?", lines, chosen), ask)

    def action_entries(self) -> None:
        """Stop entries, or resume them."""
        stopped = is_entries_stopped(self._seen)
        title = "Resume entries" if stopped else "Stop entries"
        self._confirm_plain(title, proposals.entries(stopped=stopped))

    def action_close_all(self) -> None:
        """Close everything."""
        count = self._seen.get("positions_open")
        if not count:
            self._tell("nothing is open")
            return
        proposal = proposals.close_all(count, self._seen.get("unrealized_pnl"))
        self._confirm_plain("Close everything", proposal)

    def action_leave(self) -> None:
        """End the view; ask what becomes of a daemon that was started for it."""
        if self._own is None:
            self.exit(Ended.QUIT)
            return

        def end(index: int | None) -> None:
            if index is not None:
                self.exit((Ended.STOP, Ended.LEAVE)[index])

        options = [
            "stop the daemon: positions stay, guarded again at the next start",
            "leave it running: it goes on guarding; holdfast watch comes back",
        ]
        self.push_screen(Choose("Leave the view", options), end)

    # --- asking ---

    def _with_position(self, ask: Callable[[Row], None]) -> None:
        row = self.screen_stack[0].query_one(PositionsTable).selected
        if row is None:
            self._tell("no position is selected")
        else:
            ask(row)

    def _confirm_plain(self, title: str, proposal: Proposal) -> None:
        self._confirm(Confirm(title, lambda _text, _widen: proposal, self._do))

    def _confirm(self, dialog: Confirm) -> None:
        def done(told: str | None) -> None:
            if told:
                self._tell(told)

        self.push_screen(dialog, done)

    def _do(self, request: AnyAdminRequest) -> Coroutine[Any, Any, Answer | Refusal]:
        return asyncio.to_thread(ask_once, self._looker.path, request)
