"""The table of positions: draws only the lines that are on the screen, however many there are."""

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from daemon.cli.console import Column, clean
from daemon.watch import figures

_WIDE_GAP, _NARROW_GAP = 2, 1
_HEADER = Style.parse("bold")
_PLAIN = Style()
_ALARM = Style.parse(figures.ALARM)
_SELECTED = Style.parse("reverse")
_SELECTED_ALARM = Style.parse("bold red reverse")
_MARGIN = 20  # rows below the screen that are asked for as well

PositionRow = dict[str, object]


class PositionsTable(ScrollView, can_focus=True):
    """Rows and a selected one, which stays selected wherever it goes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "move(-1000000)", show=False),
        Binding("end", "end", show=False),
    ]

    class Chosen(Message):
        """Enter, or a click on the selected row."""

    def __init__(self) -> None:
        super().__init__(id="positions")
        self._rows: list[PositionRow] = []
        self._total = 0  # positions, of which the first rows are here
        self._goes_to_end = False
        self._empty = ""
        self._selected: str | None = None  # id
        self._columns: list[Column] = []
        self._widths: list[int] = []
        self._gap = _WIDE_GAP

    @property
    def selected(self) -> PositionRow | None:
        """The selected position, as it was seen last."""
        index = self._index()
        return None if index is None else self._rows[index]

    @property
    def wanted(self) -> int:
        """How many rows are needed to show what is looked at."""
        if self._goes_to_end:
            return max(self._total, 1)
        return int(self.scroll_offset.y) + max(self.size.height, 1) + _MARGIN

    def show(self, rows: Sequence[PositionRow], total: int, empty: str) -> None:
        """Show the first rows of `total`; `empty` when there are none."""
        before = self._index()
        self._rows, self._total, self._empty = list(rows), total, empty
        if self._rows and self._index() is None:
            self._select(min(before or 0, len(self._rows) - 1))
        self._arrange()
        self.virtual_size = Size(self.size.width, len(self._rows) + 1)
        if self._goes_to_end and len(self._rows) >= total:
            self._goes_to_end = False
            self.action_move(total)
        self.refresh()

    def on_resize(self) -> None:
        """Choose columns anew."""
        self._widths = []
        self._arrange()
        self.refresh()

    def _arrange(self) -> None:
        """Choose columns and their widths; widths only grow, so that nothing jumps about."""
        listed = figures.columns(self._rows)
        room = max(self.size.width - 1, 1)
        for gap in (_WIDE_GAP, _NARROW_GAP):
            columns, widths = figures.fitting(listed, self._rows, room, gap)
            self._gap = gap
            if len(columns) == len(listed):
                break
        titles = [column.title for column in columns]
        if self._widths and titles == [column.title for column in self._columns]:
            grown = [max(pair) for pair in zip(widths, self._widths, strict=True)]
            if sum(grown) + self._gap * len(grown) <= room:
                widths = grown
        self._columns, self._widths = columns, widths

    def _index(self) -> int | None:
        for index, row in enumerate(self._rows):
            if row.get("id") == self._selected:
                return index
        return None

    def _select(self, index: int) -> None:
        self._selected = str(self._rows[index].get("id"))

    def action_move(self, steps: int) -> None:
        """Select another row."""
        if not self._rows:
            return
        index = min(max((self._index() or 0) + steps, 0), len(self._rows) - 1)
        self._select(index)
        # The line above, too: the titles stay on top of it.
        self.scroll_to_region(Region(0, index, 1, 2), animate=False)
        self.refresh()

    def action_end(self) -> None:
        """Select the last row, which may have to be asked for first."""
        self._goes_to_end = True

    def action_page(self, pages: int) -> None:
        """Select a row a screen away."""
        self.action_move(pages * max(self.size.height - 2, 1))

    def on_click(self, event: object) -> None:
        """Select the row under the pointer."""
        row = int(getattr(event, "y", 0) + self.scroll_offset.y) - 1
        if not 0 <= row < len(self._rows):
            return
        if row == self._index():
            self.post_message(self.Chosen())
        self._select(row)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one line of the screen."""
        line = y + int(self.scroll_offset.y)
        width = self.size.width
        if y == 0:
            return self._drawn([column.title for column in self._columns], _HEADER, width)
        if not self._rows and line == 2:  # noqa: PLR2004 - below the titles, after a gap
            return Strip([Segment(f"  {self._empty}", _PLAIN)]).adjust_cell_length(width)
        if not 0 < line <= len(self._rows):
            return Strip.blank(width)
        return self._position(self._rows[line - 1], width)

    def _position(self, row: PositionRow, width: int) -> Strip:
        is_alarm = bool(row.get("is_unprotected"))
        if row.get("id") == self._selected:
            style = _SELECTED_ALARM if is_alarm else _SELECTED
        else:
            style = _ALARM if is_alarm else _PLAIN
        texts = [clean(column.text(row)) for column in self._columns]
        if row.get("id") == self._selected:
            texts[0] = f"▸{texts[0][1:]}"
        styles = None if style is not _PLAIN else [_style_of(each, row) for each in self._columns]
        return self._drawn(texts, style, width, styles)

    def _drawn(
        self, texts: list[str], style: Style, width: int, styles: list[Style] | None = None
    ) -> Strip:
        segments = []
        for index, (text, column, size) in enumerate(
            zip(texts, self._columns, self._widths, strict=True)
        ):
            padded = text.rjust(size) if column.right else text.ljust(size)
            own = style if styles is None else styles[index]
            segments.append(Segment(padded, own))
            segments.append(Segment(" " * self._gap, style))
        return Strip(segments).adjust_cell_length(width, style)


def _style_of(column: Column, row: PositionRow) -> Style:
    return Style.parse(column.style(row)) if column.style and column.style(row) else _PLAIN
