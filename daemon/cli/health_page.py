"""The health page: how every part is."""

from collections.abc import Sequence

from daemon.cli.answers import causes_of, list_of, mapping_of
from daemon.cli.cells import text
from daemon.cli.console import Column, Row, clean, print_heading, print_pairs, print_table
from daemon.words import plural

_SHOWN_STALE = 5


def _last_bad_frame(feed: Row) -> list[tuple[str, str]]:
    why = feed.get("last_bad_frame")
    return [("last bad frame", clean(why))] if why else []


def print_health(health: Row) -> None:
    """Show how every part is."""
    feed, journal = mapping_of(health.get("feed")), mapping_of(health.get("journal"))
    waiting = {name: depth for name, depth in mapping_of(health.get("mailboxes")).items() if depth}
    trouble = journal.get("trouble")
    print_pairs(
        [
            ("mode", clean(health.get("mode"))),
            *causes_of(health),
            ("live", _verdict(health, "live")),
            ("ready", _verdict(health, "ready")),
            *_checks(health),
            (
                "feed",
                ("connected" if feed.get("connected") else "NOT CONNECTED")
                + f", {clean(feed.get('frames'))} frames, {clean(feed.get('bad_frames'))} bad, "
                f"{plural(feed.get('armed_positions'), 'position')} armed",
            ),
            *_last_bad_frame(feed),
            *_stale_prices(list_of(feed.get("stale"))),
            (
                "journal",
                (f"TROUBLE: {clean(trouble)}" if trouble else "well")
                + f", at {clean(journal.get('last_seq'))}, "
                f"{clean(journal.get('waiting'))} waiting",
            ),
            ("actors", f"{clean(health.get('actors'))} running"),
            ("restarts", _counts(health.get("restarts"))),
            ("dead letters", clean(health.get("dead_letters"))),
            ("mailboxes", _counts(waiting)),
        ]
    )
    print_heading("Parts")
    columns = [
        Column("PART", text("name")),
        Column("STATE", lambda row: "well" if row.get("ok") else "NOT WELL", style=_part_style),
        Column("WHY", text("why")),
    ]
    print_table(columns, list_of(health.get("parts")), empty="none")


def _stale_prices(stale: Sequence[Row]) -> list[tuple[str, str]]:
    shown = [
        ("stale", f"{clean(one.get('symbol'))}: {clean(one.get('why'))}")
        for one in stale[:_SHOWN_STALE]
    ]
    left = len(stale) - len(shown)
    return [*shown, ("", f"and {left} more")] if left else shown


def is_well(health: Row) -> bool:
    """Whether it is alive, all of the market heard, the journal written, every part well."""
    feed, journal = mapping_of(health.get("feed")), mapping_of(health.get("journal"))
    heard = bool(feed.get("connected")) and not feed.get("stale") and not journal.get("trouble")
    parts = all(part.get("ok") for part in list_of(health.get("parts")))
    return heard and parts and health.get("live") is not False


def _part_style(part: Row) -> str:
    return "green" if part.get("ok") else "bold red"


def _verdict(health: Row, name: str) -> str:
    return "yes" if health.get(name) else "NO"


def _checks(health: Row) -> list[tuple[str, str]]:
    """Return what was looked at and is not told elsewhere: causes are."""
    causes = {cause.get("code") for cause in list_of(health.get("causes"))}
    return [
        (
            f"  {clean(check.get('what'))}",
            ("" if check.get("ok") else "NOT WELL: ") + clean(check.get("why")),
        )
        for check in list_of(health.get("checks"))
        if check.get("what") not in causes
    ]


def _counts(value: object) -> str:
    counts = mapping_of(value)
    return ", ".join(f"{clean(name)} {clean(count)}" for name, count in counts.items()) or "none"
