"""Dialogs over the live view: a change that waits for a yes, a choice, and pages to read."""

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from daemon.admin_client import Answer
from daemon.admin_requests import AnyAdminRequest
from daemon.cli.cells import outcome, refusals_said
from daemon.watch.proposals import Proposal
from domain.errors import Refusal

Do = Callable[[AnyAdminRequest], Awaitable[Answer | Refusal]]


class Confirm(ModalScreen[str]):
    """Says what will happen, and does it on a yes; shows a refusal and stays for another try.

    With `prefill` there is a field to fill in; the sentence follows what is written. Dismissed with
    what became of it, or with "" when nothing was asked.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "leave", show=False, priority=True),
        Binding("tab", "widen", show=False, priority=True),
        Binding("y", "yes", show=False),
        Binding("n", "leave", show=False),
    ]

    def __init__(
        self,
        title: str,
        propose: Callable[[str, bool], Proposal],
        do: Do,
        *,
        label: str = "",
        prefill: str | None = None,
        may_widen: bool = False,
    ) -> None:
        super().__init__()
        self._title = title
        self._propose = propose
        self._do = do
        self._label = label
        self._prefill = prefill
        self._may_widen = may_widen
        self._widen = False
        self._is_asking = False

    def compose(self) -> ComposeResult:
        """Lay out."""
        with Vertical(id="box") as box:
            box.border_title = self._title
            if self._prefill is not None:
                yield Input(self._prefill, placeholder=self._label, id="field", compact=True)
            yield Static(id="says")
            yield Static(id="refusal")
            yield Static(id="hint")

    def on_mount(self) -> None:
        """Begin."""
        self._say()
        if self._prefill is not None:
            self.query_one(Input).focus()

    def on_input_changed(self, _: Input.Changed) -> None:
        """Say what this would do."""
        self._answer(None)
        self._say()

    async def on_input_submitted(self, _: Input.Submitted) -> None:
        """Enter is a yes where there is a field."""
        await self._go()

    async def action_yes(self) -> None:
        """Do it."""
        if self._prefill is None:
            await self._go()

    def action_leave(self) -> None:
        """Do nothing."""
        if not self._is_asking:
            self.dismiss("")

    def action_widen(self) -> None:
        """Allow more risk, or not."""
        if self._may_widen:
            self._widen = not self._widen
            self._say()

    def _proposal(self) -> Proposal:
        text = "" if self._prefill is None else self.query_one(Input).value
        return self._propose(text, self._widen)

    def _say(self) -> None:
        proposal = self._proposal()
        is_wrong = isinstance(proposal.request, Refusal)
        style = "yellow" if is_wrong else "bold red" if proposal.is_risky else "bold"
        self.query_one("#says", Static).update(Text(proposal.says, style=style))
        yes = "y" if self._prefill is None else "enter"
        hint = Text.assemble((yes, "bold"), " do it   ", ("esc", "bold"), " leave it as it is")
        if self._may_widen:
            allowed = "allowed" if self._widen else "not allowed"
            hint.append("   ").append("tab", style="bold").append(f" more risk: {allowed}")
        self.query_one("#hint", Static).update(hint)

    async def _go(self) -> None:
        proposal = self._proposal()
        if self._is_asking:
            return
        if isinstance(proposal.request, Refusal):
            self._refuse(proposal.request)
            return
        self._is_asking = True
        self._answer(Text("asking the daemon…", style="dim"))
        request = proposal.request

        async def ask() -> None:
            answer = await self._do(request)
            self._is_asking = False
            if isinstance(answer, Refusal):
                self._refuse(answer)
            elif refused := refusals_said(answer):
                self._answer(Text("\n".join([outcome(answer), *refused]), style="bold red"))
            else:
                self.dismiss(outcome(answer))

        self.run_worker(ask(), exclusive=True)

    def _refuse(self, refusal: Refusal) -> None:
        said = Text(f"{refusal.rule}: {refusal.message}", style="bold red")
        if refusal.remedy:
            said.append(f"\n→ {refusal.remedy}", style="bold")
        self._answer(said)

    def _answer(self, said: Text | None) -> None:
        answer = self.query_one("#refusal", Static)
        answer.display = said is not None
        answer.update(said or "")


class Choose(ModalScreen[int | None]):
    """A list to choose from; dismissed with the index."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,ctrl+c", "dismiss(None)", show=False, priority=True)
    ]

    def __init__(self, title: str, options: Sequence[str], chosen: int = 0) -> None:
        super().__init__()
        self._title = title
        self._options = options
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        """Lay out."""
        with Vertical(id="box") as box:
            box.border_title = self._title
            yield OptionList(*(Option(Text(each)) for each in self._options), compact=True)
            yield Static(Text.assemble(("enter", "bold"), " choose   ", ("esc", "bold"), " back"))

    def on_mount(self) -> None:
        """Begin at the one that is meant most likely."""
        self.query_one(OptionList).highlighted = self._chosen

    def on_option_list_option_selected(self, chosen: OptionList.OptionSelected) -> None:
        """Return it."""
        self.dismiss(chosen.option_index)


class Page(ModalScreen[None]):
    """Text to read, asked for again every `every_s` if it is to stay current."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,ctrl+c", "dismiss", show=False, priority=True),
        Binding("down,j", "scroll('down')", show=False, priority=True),
        Binding("up,k", "scroll('up')", show=False, priority=True),
    ]

    def __init__(
        self, title: str, read: Callable[[], Awaitable[str]], *, every_s: float | None = None
    ) -> None:
        super().__init__()
        self._title = title
        self._read = read
        self._every_s = every_s

    def compose(self) -> ComposeResult:
        """Lay out."""
        with Vertical(id="page") as box:
            box.border_title = self._title
            with VerticalScroll(id="text"):
                yield Static("…", id="body")
            yield Static(Text.assemble(("↑ ↓", "bold"), " scroll   ", ("esc", "bold"), " back"))

    def on_mount(self) -> None:
        """Begin."""
        self._renew()
        if self._every_s is not None:
            self.set_interval(self._every_s, self._renew)

    def action_scroll(self, where: str) -> None:
        """Scroll by a line."""
        text = self.query_one("#text", VerticalScroll)
        text.scroll_relative(y=1 if where == "down" else -1, animate=False)

    def _renew(self) -> None:
        async def read() -> None:
            text = await self._read()
            self.query_one("#body", Static).update(Text(text))

        self.run_worker(read(), exclusive=True)
