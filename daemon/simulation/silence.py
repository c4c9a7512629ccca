"""Logs during a simulated day: not printed, but heard; what says that something broke is kept."""

import logging
import warnings
from collections.abc import MutableMapping
from typing import Any, NoReturn, Self

import structlog

from daemon.simulation.outside import Outside

# What the log says when something in the daemon broke, rather than at the venue.
BUGS = frozenset(
    {
        "actor_given_up",
        "arming_failed",
        "failed",
        "position_born_twice",
        "recovery_problem",
        "upkeep_failed",
    }
)
_QUIET = frozenset({"spike_held", "message_not_sent"})


class Silence:
    """Takes the logs of everything while it lasts; `outside` hears them too, if it is set."""

    def __init__(self) -> None:
        self.bugs: list[str] = []
        self.outside: Outside | None = None
        self._before: dict[str, Any] = {}
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> Self:
        self._warnings.__enter__()
        # A crash drops what was about to begin: coroutines that nobody will await.
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        self._before = structlog.get_config()
        structlog.configure(
            processors=[self._hear],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            cache_logger_on_first_use=False,
        )
        return self

    def __exit__(self, *_: object) -> None:
        structlog.configure(**self._before)
        self._warnings.__exit__(None, None, None)

    def _hear(self, _logger: Any, level: str, event: MutableMapping[str, Any]) -> NoReturn:
        name = event.get("event")
        if name in BUGS:
            self.bugs.append(f"the log says {name} {event.get('name', '')}".rstrip())
        if self.outside is not None and name not in _QUIET:
            facts = " ".join(f"{key}={value}" for key, value in event.items() if key != "event")
            self.outside.story.append((self.outside.now_s, f"    {level} {name} {facts}".rstrip()))
        raise structlog.DropEvent
