"""Background tasks are started again when they end, and it shows while they are down."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from server.supervision import LONGEST_WAIT, STEADY, Supervisor
from tests.unit.clock import FakeClock

Start = Callable[[], Coroutine[Any, Any, None]]


class Task:
    """A background task that ends as it is told, run after run."""

    def __init__(self, clock: FakeClock, *runs: tuple[float, Exception | None]) -> None:
        """Each run: after how many seconds it ends, and with what; then it runs for ever."""
        self._clock, self._runs = clock, list(runs)
        self.started: list[float] = []

    async def __call__(self) -> None:
        self.started.append(self._clock.monotonic())
        if not self._runs:
            await asyncio.Event().wait()
        seconds, error = self._runs.pop(0)
        await self._clock.sleep(seconds)
        if error is not None:
            raise error


async def supervised(clock: FakeClock, task: Start, seconds: float) -> Supervisor:
    """A supervisor that has kept a task for so long."""
    supervisor = Supervisor(clock, asyncio.Event())
    running = asyncio.create_task(supervisor.run({"task": task}))
    await clock.advance(seconds)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return supervisor


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), None], ids=["error", "return"])
def test_a_task_that_ends_is_started_again(error: Exception | None) -> None:
    """One I/O error on a read once ended all live following until the restart, silently."""

    async def run() -> None:
        clock = FakeClock()
        task = Task(clock, (5, error))
        supervisor = await supervised(clock, task, 10)
        assert task.started == [0, 6]
        assert supervisor.restarts == {"task": 1}

    asyncio.run(run())


def test_waits_double_up_to_a_bound_and_begin_anew_once_it_runs() -> None:
    """A task that cannot run must not take the processor; one that recovered is not punished."""

    async def run() -> None:
        clock = FakeClock()
        failures = [(0.5, OSError())] * 9
        task = Task(clock, *failures, (STEADY, OSError()))
        await supervised(clock, task, 1000)
        ended = [began + 0.5 for began in task.started[:9]] + [task.started[9] + STEADY]
        waits = [start - end for start, end in zip(task.started[1:], ended, strict=True)]
        assert waits == [1, 2, 4, 8, 16, 32, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT, 1]

    asyncio.run(run())


def test_a_task_is_down_until_it_is_started_again() -> None:
    """`/readyz` says so as long as what people rely on does not run."""

    async def run() -> None:
        clock = FakeClock()
        supervisor = Supervisor(clock, asyncio.Event())
        task = Task(clock, (5, OSError()))
        other = Task(clock)
        running = asyncio.create_task(supervisor.run({"task": task, "other": other}))
        await clock.advance(4)
        assert supervisor.down == frozenset()
        await clock.advance(1.5)
        assert supervisor.down == {"task"}
        await clock.advance(1)
        assert supervisor.down == frozenset()
        assert other.started == [0], "one task's failure is not another's"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def test_a_task_may_end_once_the_service_stops() -> None:
    """Ending is right then: nothing is logged, counted or started again."""

    async def run() -> None:
        stopping = asyncio.Event()
        supervisor = Supervisor(FakeClock(), stopping)

        async def until_the_stop() -> None:
            await stopping.wait()

        running = asyncio.create_task(supervisor.run({"task": until_the_stop}))
        await asyncio.sleep(0)
        stopping.set()
        await running
        assert supervisor.restarts == {}

    asyncio.run(run())
