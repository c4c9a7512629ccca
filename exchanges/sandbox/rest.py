"""The REST side: a request in, an answer out, with the faults in between."""

import asyncio
from collections import deque
from typing import Any

import orjson
from aiohttp import web

from exchanges.sandbox.account import Account
from exchanges.sandbox.endpoints import ENDPOINTS, PREFIX, Endpoint
from exchanges.sandbox.faults import Fault
from exchanges.sandbox.params import Params
from exchanges.sandbox.refusals import VenueRefusal
from exchanges.sandbox.world import World

_JSON = "application/json"
_PAGE = b"<html><head><title>%d</title></head><body><h1>Something went wrong</h1></body></html>"
_COPIES = 200
_COPY_EVERY_MS = 20


class Rest:
    """Answers requests to `/api/v5/`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._past: deque[tuple[int, Account]] = deque(maxlen=_COPIES)
        self._keeps = False  # the rule of a stale read is gone before the read is answered
        self.requests = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one."""
        self.requests += 1
        world = self._world
        endpoint = ENDPOINTS.get((request.method, request.path))
        body = await request.read()
        text = request.query_string + _text_of(body)
        fault = world.faults.on_request(request.method, request.path.removeprefix(PREFIX), text)
        world.advance()
        if fault is not None and fault.kind == "unsent":
            return _dropped(request)
        if endpoint is None or (fault is not None and fault.kind == "gone"):
            return _json({"code": "404", "data": {}, "msg": "Not Found"}, 404)
        if fault is not None and fault.is_before:
            return _instead(fault, endpoint)
        self._remember()
        answer, status = self._answer(request, endpoint, body, fault)
        if fault is None:
            return _json(answer, status)
        return await _spoiled(request, fault, endpoint, answer, status)

    def _answer(
        self, request: web.Request, endpoint: Endpoint, body: bytes, fault: Fault | None
    ) -> tuple[dict[str, Any], int]:
        world = self._world
        try:
            if world.maintenance:
                raise VenueRefusal("50001")  # noqa: TRY301
            account, who = None, request.remote or ""
            if endpoint.is_private:
                target = request.raw_path
                account = world.gate.enter(
                    request.headers, request.method, target, _text_of(body), world.now_ms
                )
                who = account.uid
            fields = _fields(request, body)
            weight = len(fields) if isinstance(fields, list) and endpoint.limit >= 300 else 1  # noqa: PLR2004
            world.gate.count(endpoint, who + _counted_by(endpoint, fields), world.now_ms, weight)
            if account is not None and fault is not None and fault.kind == "stale":
                account = self._as_of(fault.delay_ms) or account
            return perform(world, endpoint, account, fields)
        except VenueRefusal as refusal:
            return _refused(refusal)

    def _remember(self) -> None:
        """Keep a copy of the account before the next request, while some reads are to be stale."""
        if not any(rule.kind == "stale" for rule in self._world.faults.rules):
            if self._past and not self._keeps:
                self._past.clear()
            self._keeps = False
            return
        self._keeps = True
        now_ms = self._world.now_ms
        if not self._past or now_ms - self._past[-1][0] >= _COPY_EVERY_MS:
            self._past.append((now_ms, self._world.venue.account.copy()))

    def _as_of(self, delay_ms: int) -> Account | None:
        """Return the account as it was about `delay_ms` ago, or as long ago as it is known."""
        until_ms = self._world.now_ms - delay_ms
        old = [copy for at_ms, copy in self._past if at_ms <= until_ms]
        return old[-1] if old else (self._past[0][1] if self._past else None)


def perform(
    world: World, endpoint: Endpoint, account: Account | None, fields: Any
) -> tuple[dict[str, Any], int]:
    """Do what a request asks, of somebody who was let in; return the answer and its status."""
    try:
        return _enveloped(endpoint, _call(world, endpoint, account, fields)), 200
    except VenueRefusal as refusal:
        return _refused(refusal)


def _refused(refusal: VenueRefusal) -> tuple[dict[str, Any], int]:
    return {"code": refusal.code, "data": [], "msg": refusal.text}, refusal.status


def _call(world: World, endpoint: Endpoint, account: Account | None, fields: Any) -> list[Any]:
    if endpoint.public is not None:
        return list(endpoint.public(world.venue, Params(fields)))
    assert account is not None
    if endpoint.listed is not None:
        rows = fields if isinstance(fields, list) else [fields]
        if not all(isinstance(one, dict) for one in rows):
            raise VenueRefusal("50002")
        return list(endpoint.listed(account, [Params(one) for one in rows]))
    assert endpoint.private is not None
    if isinstance(fields, list):  # the venue takes a list of one too
        fields = fields[0] if len(fields) == 1 else None
    if not isinstance(fields, dict):
        raise VenueRefusal("50002")
    return list(endpoint.private(account, Params(fields)))


def _counted_by(endpoint: Endpoint, fields: Any) -> str:
    """Return the instrument: orders are counted by user and instrument, all else by user."""
    row = fields[0] if isinstance(fields, list) and fields else fields
    return f"/{row.get('instId')}" if endpoint.changes and isinstance(row, dict) else ""


def _text_of(body: bytes) -> str:
    return body.decode(errors="replace")


def _fields(request: web.Request, body: bytes) -> Any:
    if request.method == "GET":
        return dict(request.query)
    if not body:
        raise VenueRefusal("50000")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise VenueRefusal("50002") from None


def _enveloped(endpoint: Endpoint, data: list[Any]) -> dict[str, Any]:
    """Wrap rows: code 0 when all are done, 1 when none is, 2 when some are."""
    if not endpoint.changes:
        return {"code": "0", "data": data, "msg": ""}
    failed = sum(row["sCode"] != "0" for row in data)
    code = "0" if not failed else ("1" if failed == len(data) else "2")
    texts = {"0": "", "1": "All operations failed", "2": "Bulk operation partially succeeded"}
    return {"code": code, "data": data, "msg": texts[code]}


def _json(answer: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(answer), status=status, content_type=_JSON)


def _page(status: int) -> web.Response:
    return web.Response(body=_PAGE % status, status=status, content_type="text/html")


def _dropped(request: web.Request) -> web.Response:
    """Cut the connection instead of an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _instead(fault: Fault, endpoint: Endpoint, ids: dict[str, str] | None = None) -> web.Response:
    """Answer with the fault, whatever the truth is."""
    if fault.kind == "html":
        return _page(fault.status)
    if fault.kind == "empty":
        return _json({"code": "0", "data": [], "msg": ""})
    refusal = VenueRefusal(fault.code)
    if fault.kind == "row":
        name = "algoId" if "algo" in endpoint.path else "ordId"
        row = {name: "", "clOrdId": "", "sCode": refusal.code, "sMsg": refusal.text, "tag": ""}
        return _json({"code": "0", "data": [row | (ids or {})], "msg": ""})
    return _json({"code": refusal.code, "data": [], "msg": refusal.text}, refusal.status)


async def _spoiled(
    request: web.Request, fault: Fault, endpoint: Endpoint, answer: dict[str, Any], status: int
) -> web.StreamResponse:
    """Answer after the request was done, as the fault says."""
    if fault.kind == "lost":
        return _dropped(request)
    if fault.kind == "late":
        await asyncio.sleep(fault.delay_ms / 1000)
    if fault.kind == "truncated":
        whole = orjson.dumps(answer)
        response = web.StreamResponse(status=status)
        response.content_type, response.content_length = _JSON, len(whole)
        await response.prepare(request)
        await response.write(whole[: len(whole) // 2])
        if request.transport is not None:
            request.transport.close()
        return response
    if fault.kind in ("html", "code", "row", "empty"):
        return _instead(fault, endpoint)
    return _json(answer, status)
