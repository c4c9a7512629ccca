"""Whether a server speaks OKX well enough for unmodified ccxt clients.

    python -m tests.conformance [--json]                     against a sandbox of its own
    python -m tests.conformance --rest URL --ws URL --key … --secret … --passphrase … --control URL

Runs `ccxt.async_support.okx` and `ccxt.pro.okx` through full lives, spot and swap. The account must
be flat, in net mode, with some thousand USDT. `--control` is where a sandbox takes orders about
prices (`http://…/sandbox`); without it what needs a price to move is skipped. The exit code is 0
only if nothing failed.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass

import aiohttp
import ccxt.async_support
import ccxt.pro

from exchanges.sandbox import DEMO_KEY, SandboxSettings, running
from tests.conformance_lives import CHECKS, Bench, Skipped

_DEADLINE_S = 30.0


@dataclass(frozen=True)
class Target:
    """A server and a login there."""

    rest: str
    ws: str
    key: str
    secret: str
    passphrase: str
    control: str = ""


@dataclass(frozen=True)
class Result:
    """What came of one check: passed, failed or skipped."""

    name: str
    outcome: str
    why: str
    took_ms: int


def client_of(kind: type, target: Target, **changes: str):
    """Make an unmodified client that talks to the target and to nobody else."""
    login = {"apiKey": target.key, "secret": target.secret, "password": target.passphrase}
    client = kind({**login, **changes, "enableRateLimit": False, "newUpdates": True})
    client.set_sandbox_mode(True)
    api = client.urls["api"]
    client.urls["api"] = {**api, "rest": target.rest, "ws": target.ws}  # after the sandbox mode
    client.options["fetchMarkets"] = {"types": ["spot", "swap"]}
    return client


@contextlib.asynccontextmanager
async def bench_of(target: Target) -> AsyncIterator[Bench]:
    """Connect."""
    rest = client_of(ccxt.async_support.okx, target)
    try:
        async with aiohttp.ClientSession() as session:
            await rest.load_markets()

            async def move(inst_id: str, last: str) -> None:
                body = {"instId": inst_id, "last": last}
                async with session.post(f"{target.control}/price", json=body) as answer:
                    assert answer.status == 200, await answer.text()

            def other(**changes: str):
                return client_of(ccxt.async_support.okx, target, **changes)

            yield Bench(rest, rest, other, move if target.control else None)
    finally:
        await rest.close()


async def conform(target: Target) -> list[Result]:
    """Run all checks, one after another."""
    results = []
    async with bench_of(target) as bench:
        for name, check in CHECKS:
            bench.pro = client_of(ccxt.pro.okx, target)  # a new one, so that it subscribes anew
            bench.pro.set_markets(bench.rest.markets)
            try:
                results.append(await _result(name, check, bench))
            finally:
                await _let_go(bench)
    return results


async def _let_go(bench: Bench) -> None:
    for task in bench.tasks:
        task.cancel()
    await asyncio.gather(*bench.tasks, return_exceptions=True)
    bench.tasks.clear()
    await bench.pro.close()


async def _result(name: str, check: Callable[[Bench], Awaitable[None]], bench: Bench) -> Result:
    began_s = time.monotonic()
    outcome, why = "passed", ""
    try:
        async with asyncio.timeout(_DEADLINE_S):
            await check(bench)
    except Skipped as skipped:
        outcome, why = "skipped", str(skipped)
    except (AssertionError, TimeoutError, ccxt.BaseError, LookupError, ValueError) as error:
        outcome, why = "failed", f"{type(error).__name__}: {error}"
    return Result(name, outcome, why, round((time.monotonic() - began_s) * 1000))


@contextlib.asynccontextmanager
async def own_sandbox() -> AsyncIterator[Target]:
    """Run a sandbox for the checks."""
    async with running(SandboxSettings()) as sandbox:
        yield Target(
            sandbox.rest_url,
            sandbox.ws_url,
            DEMO_KEY.key,
            DEMO_KEY.secret,
            DEMO_KEY.passphrase,
            f"{sandbox.rest_url}/sandbox",
        )


async def run(options: argparse.Namespace) -> list[Result]:
    if not options.rest:
        async with own_sandbox() as target:
            return await conform(target)
    ws = options.ws or options.rest.replace("http", "ws", 1) + "/ws/v5"
    login = (options.key, options.secret, options.passphrase)
    return await conform(Target(options.rest, ws, *login, options.control))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rest", default="", help="http://…, without path")
    parser.add_argument("--ws", default="", help="ws://…/ws/v5")
    parser.add_argument("--key", default=DEMO_KEY.key)
    parser.add_argument("--secret", default=DEMO_KEY.secret)
    parser.add_argument("--passphrase", default=DEMO_KEY.passphrase)
    parser.add_argument("--control", default="", help="http://…/sandbox")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = asyncio.run(run(options))
    if options.json:
        print(json.dumps({"checks": [asdict(one) for one in results]}, indent=2))
    else:
        width = max(len(one.name) for one in results)
        for one in results:
            print(f"{one.name:<{width}}  {one.outcome:<7}  {one.took_ms:>5} ms  {one.why}".rstrip())
    return 1 if any(one.outcome == "failed" for one in results) else 0


if __name__ == "__main__":
    sys.exit(main())
