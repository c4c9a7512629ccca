"""The desk's answer to `reconcile`: the reconciler looks at the venue, and both sides are told."""

from actors import names
from actors.messages import ReconcileNow
from actors.reconcile_report import Report
from daemon.admin_requests import Reconcile
from daemon.assembly import Assembly
from daemon.desk_owners import DeskOwners
from daemon.desk_reads import Result
from daemon.view_text import exact, jsonable, time_text
from domain.errors import Refusal
from domain.ids import Symbol


class DeskReconcile:
    """Has the account compared with its venue."""

    def __init__(self, assembly: Assembly, owners: DeskOwners) -> None:
        self._parts = assembly
        self._owners = owners

    async def handle(self, request: Reconcile) -> Result | Refusal:
        """Look, wait until what differs is dealt with or confirmed, tell both sides."""
        adopt = None if request.adopt is None else Symbol(request.adopt)
        if adopt is not None and not request.dry_run:
            refusal = self._owners.not_now()
            if refusal is not None:
                return refusal
        asked = ReconcileNow(self._owners.request_id(), dry_run=request.dry_run, adopt=adopt)
        answer = await self._owners.tell(names.RECONCILER, asked)
        if isinstance(answer, Refusal):
            return answer
        actor = self._parts.actor(names.RECONCILER)
        report: Report | None = None if actor is None else actor.report
        if report is None:
            return Refusal("RESTARTING", "The daemon restarts a part of itself.", "Try again.")
        return report_view(report) | {"dry_run": request.dry_run}


def report_view(report: Report) -> Result:
    """Write what a look found."""
    ours, venue = report.balance_ours, report.balance_venue
    gap = None if ours is None or venue is None else venue - ours
    return {
        "at": time_text(report.at),
        "read_s": report.seconds,
        "agrees": report.agrees,
        "symbols": jsonable(report.rows),
        "strange_orders": jsonable(report.strange),
        "balance": {
            "asset": report.asset,
            "ours": exact(ours),
            "venue": exact(venue),
            "difference": exact(gap),
        },
        "failed": list(report.failed),
        "done": list(report.done),
        "drifts": report.drifts,
    }
