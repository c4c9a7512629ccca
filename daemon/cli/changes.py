"""How a change of protection is shown: done, refused, or suggested."""

from daemon.cli.answers import list_of, mapping_of
from daemon.cli.cells import listed, moment, text
from daemon.cli.console import Column, Row
from daemon.words import short_number, spoken, who

_CHANGES = {
    "MOVE_SL": "move stop",
    "TRAIL_SL": "trail stop",
    "ADD_TP": "add target",
    "MODIFY_TP": "modify target",
    "CANCEL_TP": "cancel target",
}


def conflict_columns() -> list[Column]:
    """Return the columns that show a suggestion held for a person."""
    return [
        Column("CONFLICT", text("id")),
        Column("WANTS TO", change_words),
        Column("BEFORE", lambda row: rules_words(row.get("previous")), keep=5),
        Column("AFTER", lambda row: rules_words(row.get("new")), keep=6),
        Column("BY", lambda row: who(row.get("requested_by")), keep=3),
        Column("SUGGESTED", moment("at"), keep=4),
        Column(
            "STATE",
            lambda row: "outdated" if row.get("outdated") else "open",
            style=lambda row: "yellow" if row.get("outdated") else "green",
        ),
        Column("REASON", text("reason"), keep=2),
    ]


def change_words(row: Row) -> str:
    """Say what was to be changed."""
    return _CHANGES.get(str(row.get("type")), spoken(row.get("type")))


def rules_words(value: object) -> str:
    """Say what protection was or is."""
    rules = mapping_of(value)
    prices = [target.get("price") for target in list_of(rules.get("targets"))]
    return f"stop {short_number(rules.get('stop'))} targets {listed(prices)}"
