"""The page of an account."""

from daemon.cli.answers import causes_of, mapping_of
from daemon.cli.cells import money
from daemon.cli.console import Row, clean, print_pairs
from daemon.cli.limit_words import limits_set
from daemon.words import signed_number


def print_portfolio(account: Row) -> None:
    """Show an account."""
    quote = clean(account.get("quote"))
    limits = mapping_of(account.get("limits"))
    cap = limits.get("daily_loss_cap")
    print_pairs(
        [
            ("account", clean(account.get("account"))),
            ("mode", clean(account.get("mode"))),
            *causes_of(account),
            ("balance", f"{money(account.get('balance'))} {quote}"),
            ("unrealized", f"{signed_number(account.get('unrealized_pnl'))} {quote}"),
            ("equity", f"{money(account.get('equity'))} {quote}"),
            ("available", f"{money(account.get('available'))} {quote}"),
            ("margin", f"{money(account.get('margin'))} {quote}"),
            ("reserved", f"{money(account.get('reserved'))} {quote}"),
            (
                "exposure",
                (
                    f"{money(account.get('exposure'))} {quote}, "
                    f"{money(account.get('leverage'))} times equity "
                    f"(limit {clean(limits.get('max_leverage'))})"
                ),
            ),
            (
                "drawdown",
                (
                    f"{money(account.get('drawdown_pct'))} % below "
                    f"{money(account.get('high_water_mark'))} "
                    f"(kill switch at {clean(limits.get('total_drawdown_pct'))} %)"
                ),
            ),
            (
                "today",
                f"{money(account.get('daily_drawdown_pct'))} % below "
                f"{money(account.get('day_start_equity'))} "
                f"(entries stop at {clean(limits.get('daily_drawdown_pct'))} %"
                + (f" or a loss of {money(cap)} {quote})" if cap else ")"),
            ),
            (
                "positions",
                f"{clean(account.get('positions'))} of {clean(limits.get('max_positions'))}",
            ),
            ("limits set", limits_set(account)),
        ]
    )
