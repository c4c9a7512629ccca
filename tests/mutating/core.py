"""The core: what decides about money and remembers it, and where its tests are.

Under mutation (`make mutants`) nine of ten mistakes in each module must be noticed by these tests;
each branch must be taken by them (`make coverage`).
"""

_DOMAIN = "tests/domain/test_{}.py"


def _domain(*names: str) -> list[str]:
    return [_DOMAIN.format(name) for name in names]


_LIFE = _domain(
    "position",
    "position_decide",
    "position_life",
    "position_exits",
    "position_guards",
    "position_changes",
    "position_additions",
    "addition_rules",
    "position_conflicts",
    "position_outside",
    "exit_ids",
    "failed_exits",
    "venue_stop",
    "late_fills",
    "forgotten_exits",
    "closing_while_entering",
    "withdrawn_entries",
    "position_grid",
    "trailing",
    "pnl",
)
_EXACT = "tests/domain/test_triggers_exact.py::test_{}"
_TRIGGERS = [
    *_domain("triggers"),
    _EXACT.format("every_exact_crossing_is_reported_at_its_tick_and_nothing_twice"),
    _EXACT.format("a_long_life_on_a_tick_grid_has_no_false_alarms[0]"),
]
_WORLD = "tests/domain/test_venue_stop_properties.py::test_{}"
_VENUE_STOPS = [
    *_domain(
        "venue_stop",
        "venue_stop_life",
        "venue_stop_align",
        "venue_stop_reports",
        "venue_stop_timers",
        "venue_target",
    ),
    *_domain("position_guards", "position_offline", "addition_rules"),
    _WORLD.format("nothing_is_sold_twice_and_in_the_end_it_is_closed_or_protected"),
]


_ACCOUNT = _domain(
    "portfolio", "portfolio_life", "portfolio_cash", "portfolio_flows", "portfolio_limits"
)


def _storage(*names: str) -> list[str]:
    return [f"tests/storage/test_{name}.py" for name in names]


# The most important first.
CORE: dict[str, list[str]] = {
    "domain.triggers": [*_TRIGGERS, *_domain("trailing")],
    "domain.levels": [*_domain("levels"), *_TRIGGERS],
    "domain.extremes": _domain("extremes"),
    "domain.protection": _domain("protection", "position"),
    "domain.trailing": [*_TRIGGERS, *_domain("trailing", "trails")],
    "domain.order": _domain("order", "position"),
    "domain.position": _LIFE,
    "domain.position_life": _LIFE,
    "domain.position_decide": _LIFE,
    "domain.position_draft": _LIFE,
    "domain.position_guards": _LIFE,
    "domain.position_exits": _LIFE,
    "domain.position_additions": _LIFE,
    "domain.position_changes": _LIFE,
    "domain.position_outside": _LIFE,
    "domain.position_offline": [*_LIFE, *_domain("position_offline", "downtime")],
    "domain.pnl": _domain("pnl", "position"),
    "domain.portfolio": _domain("portfolio", "portfolio_life", "portfolio_entries"),
    "domain.portfolio_life": _ACCOUNT,
    "domain.portfolio_state": _ACCOUNT,
    "domain.portfolio_cash": _domain("portfolio_cash", "portfolio_flows"),
    "domain.portfolio_limits": _domain("portfolio_limits", "limit_changes"),
    "domain.reconciliation": _domain("reconciliation", "outside_trades"),
    "domain.dust": _domain("dust"),
    "domain.venue_stop": _VENUE_STOPS,
    "domain.venue_stop_attached": _VENUE_STOPS,
    "domain.venue_stop_life": _VENUE_STOPS,
    "domain.venue_stop_align": _VENUE_STOPS,
    "domain.venue_stop_reports": _VENUE_STOPS,
    "exchanges.paper.ledger": ["tests/exchanges/paper/test_paper_ledger.py"],
    "storage.journal": _storage("journal", "chain"),
    "storage.chain": _storage("chain", "journal", "damage"),
    "storage.fold": _storage("fold", "recovery"),
}


def path_of(module: str) -> str:
    """Return where a module is, from the root of the repository."""
    return module.replace(".", "/") + ".py"
