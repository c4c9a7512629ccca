"""A pytest session that runs its tests once, then again for each mutant, in a process of its own.

The tests are collected once. A child is forked for each mutant, puts the changed code into the
function itself, so that everybody who imported it has it, and runs the tests that reach the changed
line, the fastest first, until one fails. So a mutant costs about as much as the test that kills it.
"""

import importlib
import math
import os
import resource
import signal
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import coverage
import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutating.core import path_of
from tests.mutating.mutants import Mutant, code_of, mutants_of

KILLED, SURVIVED, UNREACHED, SLOW = "killed", "survived", "unreached", "too slow"
_SURVIVED_CODE, _KILLED_CODE, _BROKEN_CODE = 0, 1, 3
_SETTINGS = "_hypothesis_internal_use_settings"
EXAMPLES = 25  # of a property, for each mutant
_PATIENCE = 8  # times what a test took, and
_LEAST_S = 10.0
_LEAST_CPU_S = 2


@dataclass
class Verdict:
    """What became of the mutants of one module."""

    module: str
    outcomes: dict[str, list[Mutant]] = field(default_factory=lambda: defaultdict(list))
    tests: int = 0
    untried: int = 0  # for want of time
    seconds: float = 0.0


class Session:
    """A plugin for pytest: takes the place of its loop over the tests."""

    def __init__(self, module: str, limit: int | None, deadline_s: float, jobs: int) -> None:
        self.verdict = Verdict(module)
        self.path = Path(path_of(module)).resolve()
        self._limit = limit
        self._jobs = jobs
        self._deadline_s = time.monotonic() + deadline_s
        self._failed = False
        self._took_s: dict[str, float] = {}
        self._reached: dict[int, list[str]] = {}
        self._items: dict[str, pytest.Item] = {}

    def pytest_configure(self, config: pytest.Config) -> None:
        """Make hypothesis repeat itself, and not spend time on shrinking."""
        settings.register_profile(
            "mutation",
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        settings.load_profile("mutation")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember a failure."""
        if report.failed:
            self._failed = True

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests once, then the mutants."""
        if session.testsfailed:
            raise pytest.UsageError("tests could not be collected")
        began_s = time.monotonic()
        self._items = {item.nodeid: item for item in session.items}
        for item in session.items:
            _hurry(item)
        self._run_once(session.items)
        source = self.path.read_text()
        mutants = mutants_of(source)[: self._limit]
        self._run_mutants(mutants, source)
        self.verdict.tests = len(session.items)
        self.verdict.seconds = time.monotonic() - began_s
        return True

    def _run(self, item: pytest.Item) -> bool:
        """Run one test; return whether it passed."""
        self._failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return not self._failed

    def _run_in_time(self, name: str) -> bool:
        """Run one test; a mutant that no longer ends ends its process."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        until_s = used.ru_utime + used.ru_stime + _LEAST_CPU_S + _PATIENCE * self._took_s[name]
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(until_s), most))
        return self._run(self._items[name])

    def _run_once(self, items: list[pytest.Item]) -> None:
        """Find out which test reaches which line, and how long it takes."""
        watch = coverage.Coverage(data_file=None, include=[str(self.path)], config_file=False)
        watch.start()
        for item in items:
            watch.switch_context(item.nodeid)
            began_s = time.perf_counter()
            if not self._run(item):
                raise pytest.UsageError(f"{item.nodeid} fails without any mutant")
            self._took_s[item.nodeid] = time.perf_counter() - began_s
        watch.stop()
        by_line = watch.get_data().contexts_by_lineno(str(self.path))
        for line, names in by_line.items():
            known = [name for name in names if name in self._took_s]
            self._reached[line] = sorted(known, key=self._took_s.__getitem__)

    def _run_mutants(self, mutants: list[Mutant], source: str) -> None:
        running: dict[int, tuple[Mutant, float]] = {}
        waiting = list(mutants)
        while (waiting and time.monotonic() < self._deadline_s) or running:
            while waiting and len(running) < self._jobs:
                mutant = waiting.pop(0)
                tests = self._reached.get(mutant.line, [])
                if not tests:
                    self.verdict.outcomes[UNREACHED].append(mutant)
                    continue
                allowed_s = _LEAST_S + _PATIENCE * sum(map(self._took_s.__getitem__, tests))
                child = self._begin(mutant, source, tests)
                running[child] = (mutant, time.monotonic() + allowed_s)
            self._collect(running)
        self.verdict.untried = len(waiting)

    def _collect(self, running: dict[int, tuple[Mutant, float]]) -> None:
        time.sleep(0.002)
        for child, (mutant, until_s) in list(running.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                if code == _BROKEN_CODE:
                    raise RuntimeError(f"it could not be put in: {mutant}")
                outcome = {_SURVIVED_CODE: SURVIVED, -signal.SIGXCPU: SLOW}.get(code, KILLED)
            elif time.monotonic() > until_s:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                outcome = SLOW  # it no longer ends: that is noticed, too
            else:
                continue
            self.verdict.outcomes[outcome].append(mutant)
            del running[child]

    def _begin(self, mutant: Mutant, source: str, tests: list[str]) -> int:
        child = os.fork()
        if child:
            return child
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nothing = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(nothing, descriptor)
        try:
            self._install(mutant, source)
        except BaseException:  # noqa: BLE001 - told by the code, and raised by the parent
            os._exit(_BROKEN_CODE)
        try:
            survived = all(self._run_in_time(name) for name in tests)
        except BaseException:  # noqa: BLE001 - whatever it is, it was noticed
            survived = False
        os._exit(_SURVIVED_CODE if survived else _KILLED_CODE)

    def _install(self, mutant: Mutant, source: str) -> None:
        module = importlib.import_module(self.verdict.module)
        code = code_of(source, mutant, str(self.path))
        function_in(module, mutant.function).__code__ = _like(
            function_in(module, mutant.function).__code__, code
        )


def _hurry(item: pytest.Item) -> None:
    """Let a property be tried on few examples, however many its test asks for."""
    function = getattr(item.obj, "__func__", item.obj)  # type: ignore[attr-defined]
    asked = getattr(function, _SETTINGS, None)
    if asked is not None:
        fewer = settings(asked, max_examples=min(asked.max_examples, EXAMPLES), deadline=None)
        setattr(function, _SETTINGS, fewer)


def _like(before: CodeType, after: CodeType) -> CodeType:
    """Return `after`; it must take the same free variables."""
    assert before.co_freevars == after.co_freevars
    return after


def function_in(module: Any, qualified: str) -> FunctionType:
    """Return a function of a module, whatever it is wrapped in."""
    place: Any = module
    for name in qualified.split("."):
        place = vars(place)[name]
    while not isinstance(place, FunctionType):
        place = (
            getattr(place, "fget", None)
            or getattr(place, "__wrapped__", None)
            or getattr(place, "__func__", None)
        )
    while hasattr(place, "__wrapped__"):
        place = place.__wrapped__
    return place


def judged(
    module: str, tests: list[str], limit: int | None, deadline_s: float, jobs: int = 1
) -> Verdict:
    """Run the tests of a module against its mutants; in a process that does nothing else."""
    session = Session(module, limit, deadline_s, jobs)
    rewritten = "ignore::pytest.PytestAssertRewriteWarning"  # hypothesis is imported already
    options = "addopts=--strict-markers --import-mode=importlib"
    arguments = ["-o", options, "-W", rewritten, "-p", "no:cacheprovider", "-p", "no:terminal"]
    code = pytest.main([*arguments, *tests], plugins=[session])
    if code not in {0, 5}:
        raise RuntimeError(f"pytest ended with {code}")
    return session.verdict
