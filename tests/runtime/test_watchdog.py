"""Loop lag and blocked loops, on a real loop."""

import asyncio
import threading
import time

from runtime.watchdog import Lag, LagSampler, LoopWatchdog, stacks


def hog(released: threading.Event) -> None:
    released.wait(20)


def test_a_blocked_loop_is_reported_once_with_the_culprits_stack() -> None:
    async def main() -> list[str]:
        reports: list[str] = []
        released = threading.Event()

        def on_blocked(report: str) -> None:
            reports.append(report)
            released.set()

        watchdog = LoopWatchdog(asyncio.get_running_loop(), 0.05, on_blocked)
        watchdog.start()
        await asyncio.sleep(0)
        hog(released)  # blocks until the watchdog has seen it
        await asyncio.sleep(0.05)
        watchdog.stop()
        return reports

    reports = asyncio.run(main())
    assert reports[0].startswith("the loop has not run for 0.")
    assert "in hog" in reports[0]
    assert "MainThread" in reports[0]


def test_each_blockage_is_reported() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        beaten = asyncio.Event()
        reported = threading.Semaphore(0)
        watchdog = LoopWatchdog(
            loop, 0.04, lambda _: reported.release(), on_sample=lambda _: beaten.set()
        )
        watchdog.start()
        for _ in range(2):
            beaten.clear()
            await beaten.wait()
            assert reported.acquire(timeout=20)
        watchdog.stop()
        watchdog.stop()
        return watchdog.lag().samples

    assert asyncio.run(main()) >= 2


def test_lag_is_how_late_a_timer_comes() -> None:
    async def main() -> tuple[Lag, list[float]]:
        samples: list[float] = []
        sampled = asyncio.Event()

        def on_sample(lag_s: float) -> None:
            samples.append(lag_s)
            sampled.set()

        sampler = LagSampler(asyncio.get_running_loop(), period_s=0.01, on_sample=on_sample)
        assert sampler.lag() == Lag(0, 0.0, 0.0, 0.0)
        sampler.start()
        time.sleep(0.1)  # noqa: ASYNC251  the lag to be measured
        await sampled.wait()
        sampler.stop()
        sampler.stop()
        return sampler.lag(), samples

    lag, samples = asyncio.run(main())
    assert 0.08 < lag.max_s < 5
    assert lag.samples == len(samples)


def test_percentiles_are_of_the_last_samples(perform) -> None:
    async def play(stage) -> None:
        sampler = LagSampler(stage.loop, keep=100)
        for lag_ms in range(200):
            sampler._samples.append(lag_ms / 1000)
        lag = sampler.lag()
        assert (lag.samples, lag.p50_s, lag.p99_s, lag.max_s) == (100, 0.149, 0.198, 0.199)

    perform(play)


def test_a_loop_on_time_has_no_lag(perform) -> None:
    async def play(stage) -> None:
        sampler = LagSampler(stage.loop, period_s=0.05)
        sampler.start()
        await asyncio.sleep(60.01)
        sampler.stop()
        assert sampler.lag().samples == 1200
        assert sampler.lag().max_s < 1e-9

    perform(play)


def test_quantiles_are_named_as_metrics_name_them(perform) -> None:
    async def play(stage) -> None:
        watchdog = LoopWatchdog(stage.loop, 1.0, print)
        assert watchdog.quantiles() == {"0.5": 0.0, "0.99": 0.0, "1": 0.0}
        watchdog.stop()

    perform(play)


def test_stacks_name_every_thread() -> None:
    started, gate = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        gate.wait(20)

    thread = threading.Thread(target=wait, name="the other one")
    thread.start()
    started.wait(20)
    text = stacks()
    gate.set()
    thread.join()
    assert "thread the other one" in text
    assert "test_stacks_name_every_thread" in text
