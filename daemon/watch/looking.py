"""How the live view asks the daemon: over the admin socket, like every other command."""

from collections.abc import Mapping
from pathlib import Path

from daemon.admin_client import AdminClient, Answer, AnswerLostError, UnreachableError
from daemon.admin_grammar import check
from daemon.admin_requests import AnyAdminRequest, Watch
from daemon.cli.link import lost, nobody
from domain.errors import Refusal

_PATIENCE_S = 3.0  # for an answer to a look; a daemon that is well needs milliseconds
UNREACHABLE = frozenset({"NO_DAEMON", "NOT_YOUR_DAEMON", "DAEMON_SILENT"})
LOST = "ANSWER_LOST"


class Looker:
    """Looks again and again, and is told only the events that it does not know yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._client = AdminClient(path, timeout_s=_PATIENCE_S)
        self._pid: object = None  # of the daemon that counted the events
        self._last_event = 0

    def look(self, limit: int) -> Answer | Refusal:
        """Return what is to be seen, or why nothing is; with all kept events of a new daemon."""
        answer = self._ask(Watch(since=self._last_event, limit=limit))
        if not isinstance(answer, Refusal) and self._pid not in {None, answer.get("pid")}:
            answer = self._ask(Watch(limit=limit))  # another daemon counts its own events
        if isinstance(answer, Refusal):
            return answer
        self._pid = answer.get("pid")
        last = answer.get("last_event")
        self._last_event = last if isinstance(last, int) else 0
        return answer

    def _ask(self, request: Watch) -> Answer | Refusal:
        return _asked(self._client, request)

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def ask_once(path: Path, request: AnyAdminRequest) -> Answer | Refusal:
    """Ask over a connection of its own; nobody there and a lost answer are refusals, too."""
    refusal = check(request)
    if refusal:
        return refusal
    with AdminClient(path) as client:
        return _asked(client, request)


def _asked(client: AdminClient, request: AnyAdminRequest) -> Answer | Refusal:
    try:
        return client.ask(request)
    except UnreachableError as error:
        client.close()
        return nobody(client.path, error)
    except AnswerLostError as error:
        return lost(error, "Look at the positions before you ask again.")


def is_entries_stopped(seen: Mapping[str, object]) -> bool:
    """Whether an operator stopped entries."""
    causes = seen.get("causes")
    return isinstance(causes, list) and any(
        isinstance(each, Mapping) and each.get("code") == "OPERATOR_STOP" for each in causes
    )
