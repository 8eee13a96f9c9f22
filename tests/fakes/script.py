"""How tests tell a fake what to do wrong, and what a fake remembers."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fault:
    """A misbehaviour of one endpoint, for the next `times` requests whose text has `matching`.

    `status` answers an error instead (with `retry_after`), `drop` closes the connection; both
    before anything was done or, with `made`, after. `delay` seconds pass first (with `made`:
    after), and with `hold` all the time until it is set to False; `reached` says that a request
    has come so far. `garbage` answers 200 with what is no JSON. `cut`, `slow` and `stop` are for
    downloads: close after so many bytes, send so many bytes per second, hold after so many bytes
    instead of at the start.
    """

    where: str
    status: int | None = None
    retry_after: float | None = None
    drop: bool = False
    made: bool = False
    delay: float = 0.0
    garbage: bool = False
    cut: int | None = None
    slow: float | None = None
    hold: bool = False
    stop: int | None = None
    matching: str = ""
    times: int = 1
    reached: bool = False

    async def held(self) -> None:
        """Wait as long as `hold` says."""
        self.reached = True
        while self.hold:
            await asyncio.sleep(0.01)


@dataclass
class Outcome:
    """How predictions end whose prompt has `matching`: an error code, `canceled`, `aborted`."""

    error: str
    matching: str = ""
    times: int = 1


@dataclass
class Hooks:
    """How webhooks are delivered: may be changed at any time."""

    deliver: bool = True
    repeat: int = 1  # each event so many times
    reorder: bool = False  # `start` only after `completed`
    delay: float = 0.0  # seconds before each
    held: bool = False  # none leaves until this is False
    omit: set[str] = field(default_factory=set)  # events that are never sent
    retries: int = 5  # of `completed`, when it is not answered with 2xx
    retry_wait: float = 0.2


@dataclass(frozen=True)
class Delivery:
    """A webhook that was sent; `status` is the answer's, 0 when there was none."""

    prediction_id: str
    event: str
    message_id: str
    status: int


@dataclass(frozen=True)
class Fetch:
    """An input file that a fake model asked for; `status` 0: no connection."""

    url: str
    head_status: int
    status: int
    size: int
    sha256: str
    content_type: str


@dataclass
class Made:
    """A prediction of a fake."""

    id: str
    model: str
    input: dict[str, Any]
    webhook: str | None
    version: str = "hidden"
    events: tuple[str, ...] = ()
    status: str = "starting"
    logs: str = ""
    error: str | None = None
    clip: bytes = b""
    # What it makes instead of one clip: file names stand for URLs of those files.
    output: Any = None
    files: dict[str, bytes] = field(default_factory=dict)
    url_token: str = ""
    created_at: float = field(default_factory=time.time)
    started_at: float | None = None
    completed_at: float | None = None
    removed: bool = False

    @property
    def prompt(self) -> str:
        """The prompt, by which tests tell clips apart."""
        return str(self.input.get("prompt", ""))

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.completed_at is not None


@dataclass
class Output:
    """What predictions make whose prompt has `matching`, instead of one clip.

    In `shape` the names of `files` stand for their URLs, wherever they are.
    """

    shape: Any
    files: dict[str, bytes] = field(default_factory=dict)
    matching: str = ""


class Moments:
    """Counts what goes to and fro, each time before and after it, and can stop at one of them."""

    def __init__(self) -> None:
        self.count = 0
        self._stop: int | None = None

    def stop_at(self, number: int | None) -> None:
        """Begin to count anew, and hold whatever is the `number`th, until this is called again."""
        self.count, self._stop = 0, number

    @property
    def reached(self) -> bool:
        """Whether something is held."""
        return self._stop is not None and self.count >= self._stop

    async def one(self) -> None:
        """A moment passes, if it may."""
        self.count += 1
        mine, stop = self.count, self._stop
        while mine == stop == self._stop:
            await asyncio.sleep(0.01)


class Script:
    """Faults and outcomes in the order in which they were asked for. Used on the fake's loop."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.outcomes: list[Outcome] = []
        self.outputs: list[Output] = []

    def fault(self, where: str, text: str) -> Fault:
        """The next fault for an endpoint; one that does nothing when none is due."""
        for fault in self.faults:
            if fault.where == where and fault.times > 0 and fault.matching in text:
                fault.times -= 1
                return fault
        return Fault(where)

    def outcome(self, prompt: str) -> str | None:
        """The error with which a prediction is to end; None: it succeeds."""
        for outcome in self.outcomes:
            if outcome.times > 0 and outcome.matching in prompt:
                outcome.times -= 1
                return outcome.error
        return None

    def output(self, prompt: str) -> Output | None:
        """What a prediction is to make; None: a clip."""
        return next((one for one in self.outputs if one.matching in prompt), None)


async def until(condition: Callable[[], Any], timeout: float = 60.0) -> None:
    """Wait for a condition to hold; AssertionError when it does not in time."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)
