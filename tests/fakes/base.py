"""What the fake providers have in common: predictions that run, outputs, inputs, webhooks."""

import asyncio
import hashlib
import re
import secrets
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

import httpx

from tests.fakes.clips import make_clip
from tests.fakes.script import (
    Delivery,
    Fault,
    Fetch,
    Hooks,
    Made,
    Moments,
    Outcome,
    Output,
    Script,
)
from tests.fakes.wire import Drop, Reply, Request, Wire


class Fake:
    """A provider on loopback: its API on `url`, its outputs on `media_url`, another port.

    What it remembers may be read at any time: `requests` (to the API), `downloads` (from the
    media port), `fetches` (of inputs), `deliveries` (of webhooks), `made` (predictions by id),
    `problems` (what the real one would not have borne). `moments` stops it in the middle. Methods
    without underscore are for tests, from any thread; all else runs on the fake's own loop.
    """

    def __init__(self, *, pace: float = 0.02) -> None:
        """`pace`: seconds that each step of a prediction takes."""
        self.pace = pace
        self.hooks = Hooks()
        self.clip_options: dict[str, Any] = {}
        self.requests: list[Request] = []
        self.downloads: list[Request] = []
        self.fetches: list[Fetch] = []
        self.deliveries: list[Delivery] = []
        self.problems: list[str] = []
        self.made: dict[str, Made] = {}
        self.moments = Moments()
        self._script = Script()
        self._held: list[str] = []
        self._held_fetches: list[str] = []

    def __enter__(self) -> Self:
        self._wire = Wire()
        self._http = httpx.AsyncClient(timeout=60.0, trust_env=False)
        self.url = f"http://127.0.0.1:{self._wire.listen(self._serve)}"
        self.media_url = f"http://127.0.0.1:{self._wire.listen(self._serve_media)}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wire.close(then=self._http.aclose)

    # For tests

    def fault(self, where: str, **what: Any) -> Fault:
        """Misbehave at an endpoint; see `Fault`."""
        fault = Fault(where, **what)
        self._wire.call(lambda: self._script.faults.append(fault))
        return fault

    def clear_faults(self, where: str) -> None:
        """Forget the faults that an endpoint was still to have."""
        self._wire.call(
            lambda: self._script.faults.__setitem__(
                slice(None), [one for one in self._script.faults if one.where != where]
            )
        )

    def outcome(self, error: str, matching: str = "", times: int = 1) -> None:
        """Let the next predictions end badly; see `Outcome`."""
        self._wire.call(lambda: self._script.outcomes.append(Outcome(error, matching, times)))

    def makes(self, shape: Any, files: dict[str, bytes] | None = None, matching: str = "") -> None:
        """Let predictions make something else than a clip; see `Output`."""
        output = Output(shape, files or {}, matching)
        self._wire.call(lambda: self._script.outputs.append(output))

    def hold(self, matching: str = "") -> None:
        """Predictions whose prompt has this do not end until `release`."""
        self._wire.call(lambda: self._held.append(matching))

    def release(self, matching: str | None = None) -> None:
        """Let go of what `hold` held with the same words, or of everything."""
        self._wire.call(
            lambda: self._held.clear() if matching is None else self._held.remove(matching)
        )

    def hold_fetch(self, matching: str) -> None:
        """Inputs whose URL has this are not fetched until `release_fetch`: a provider's queue."""
        self._wire.call(lambda: self._held_fetches.append(matching))

    def release_fetch(self) -> None:
        """Let all inputs be fetched."""
        self._wire.call(self._held_fetches.clear)

    def creates_by_prompt(self) -> Counter[str]:
        """How many predictions were made for each prompt: more than one was paid twice."""
        return Counter(made.prompt for made in list(self.made.values()))

    def of_prompt(self, prompt: str) -> Made:
        """The one prediction that was made for a prompt."""
        (made,) = [made for made in list(self.made.values()) if made.prompt == prompt]
        return made

    def sent(self, method: str, path: str) -> list[Request]:
        """The API requests with this method, whose path matches the whole regular expression."""
        return [
            request
            for request in list(self.requests)
            if request.method == method and re.fullmatch(path, request.path)
        ]

    def expire_outputs(self, matching: str = "") -> None:
        """Delete outputs, as when their time is over: URLs are dead, and there are no new ones."""

        def expire() -> None:
            for made in self._matching(matching):
                made.removed, made.clip, made.url_token = True, b"", ""

        self._wire.call(expire)

    def renew_outputs(self, matching: str = "") -> None:
        """Let old output URLs die; whoever looks the prediction up again gets a new one."""

        def renew() -> None:
            for made in self._matching(matching):
                made.url_token = secrets.token_hex(8)

        self._wire.call(renew)

    # Predictions

    def _matching(self, text: str) -> list[Made]:
        return [made for made in self.made.values() if text in made.prompt]

    def _begin(self, made: Made) -> None:
        self.made[made.id] = made
        self._wire.spawn(self._live(made))

    async def _live(self, made: Made) -> None:
        outcome = self._script.outcome(made.prompt)
        await asyncio.sleep(self.pace)
        if outcome == "aborted":
            return self._end(made, "aborted")
        if made.ended:
            return None
        made.status, made.started_at = "processing", time.time()
        self._emit(made, "start")
        unreadable = await self._fetch_inputs(made.input)
        if unreadable:
            return self._end(made, "failed", self._words("E006", unreadable))
        for percent in (0, 40, 80):
            made.logs += f"\r{percent:3d}%|{'█' * (percent // 10):10}| {percent // 10}/10 [00:01]"
            await asyncio.sleep(self.pace)
        while any(text in made.prompt for text in self._held):
            await asyncio.sleep(0.01)
        if made.ended:
            return None
        if outcome == "canceled":
            return self._end(made, "canceled")
        if outcome:
            return self._end(made, "failed", self._words(outcome, "it was scripted"))
        if (output := self._script.output(made.prompt)) is not None:
            made.output, made.files = output.shape, output.files
        else:
            made.clip = await asyncio.to_thread(make_clip, made.id, **self.clip_options)
            made.output, made.files = "output.mp4", {"output.mp4": made.clip}
        made.url_token = secrets.token_hex(8)
        return self._end(made, "succeeded")

    def _end(self, made: Made, status: str, error: str | None = None) -> None:
        if made.ended:  # canceled meanwhile
            return
        made.status, made.error, made.completed_at = status, error, time.time()
        self._emit(made, "completed")

    def _words(self, code: str, why: str) -> str:
        raise NotImplementedError

    # Inputs

    async def _fetch_inputs(self, value: Any) -> str | None:
        """Fetch every URL in an input, without any credential; why not, or None."""
        if isinstance(value, dict | list):
            for part in value.values() if isinstance(value, dict) else value:
                problem = await self._fetch_inputs(part)
                if problem:
                    return problem
        elif isinstance(value, str) and value.startswith("data:"):
            if len(value) > 256 * 1024 * 4 / 3 + 100:
                return "a data URI of more than 256 KB"
        elif isinstance(value, str) and value.startswith(("http://", "https://")):
            return await self._fetch_input(value)
        return None

    async def _fetch_input(self, url: str) -> str | None:
        while any(text in url for text in self._held_fetches):
            await asyncio.sleep(0.01)
        statuses, body, kind = [0, 0], b"", ""
        try:
            for index, method in enumerate(("HEAD", "GET")):
                answer = await self._http.request(method, url, follow_redirects=True)
                statuses[index] = answer.status_code
                body, kind = answer.content, answer.headers.get("content-type", "")
        except httpx.HTTPError:
            pass
        digest = hashlib.sha256(body).hexdigest()
        self.fetches.append(Fetch(url, statuses[0], statuses[1], len(body), digest, kind))
        return None if statuses == [200, 200] and body else f"could not download {url}"

    # Webhooks

    def _emit(self, made: Made, event: str) -> None:
        hooks = self.hooks
        if made.webhook and event in made.events and hooks.deliver and event not in hooks.omit:
            body = self._hook_body(made)
            self._wire.spawn(self._deliver(made, event, body))

    def _hook_body(self, made: Made) -> bytes:
        raise NotImplementedError

    def _sign(self, body: bytes, message_id: str, at: float | None) -> dict[str, str]:
        raise NotImplementedError

    async def _deliver(self, made: Made, event: str, body: bytes) -> None:
        hooks = self.hooks
        if hooks.reorder and event == "start":
            while not any(d.prediction_id == made.id for d in self.deliveries):
                await asyncio.sleep(0.01)
        await asyncio.sleep(hooks.delay)
        while hooks.held:
            await asyncio.sleep(0.01)
        message_id = f"msg_{secrets.token_hex(8)}"
        for _ in range(hooks.repeat):
            for attempt in range(1 + (hooks.retries if event == "completed" else 0)):
                await asyncio.sleep(hooks.retry_wait * attempt)
                if 200 <= await self._post(made, event, body, message_id) < 300:
                    break

    async def _post(self, made: Made, event: str, body: bytes, message_id: str) -> int:
        headers = {"content-type": "application/json", **self._sign(body, message_id, None)}
        status = 0
        await self.moments.one()
        try:
            answer = await self._http.post(str(made.webhook), content=body, headers=headers)
            status = answer.status_code
        except httpx.HTTPError:
            pass
        await self.moments.one()
        self.deliveries.append(Delivery(made.id, event, message_id, status))
        return status

    # HTTP

    async def _serve(self, request: Request) -> Reply:
        self.requests.append(request)
        await self.moments.one()
        reply = await self._route(request)
        await self.moments.one()
        return reply

    async def _route(self, request: Request) -> Reply:
        raise NotImplementedError

    async def _before(self, fault: Fault) -> Reply | None:
        """Play a fault at its start (or, with `made`, when all is done); None: go on."""
        await asyncio.sleep(fault.delay)
        if fault.stop is None:
            await fault.held()
        if fault.drop:
            raise Drop
        if fault.garbage:
            return Reply(200, {"content-type": "text/html"}, b"<html>we will be back soon</html>")
        if fault.status is None:
            return None
        headers = {"content-type": "application/json"}
        if fault.retry_after is not None:
            headers["retry-after"] = f"{fault.retry_after:g}"
        return Reply(fault.status, headers, self._error_body(fault.status))

    def _error_body(self, status: int) -> bytes:
        raise NotImplementedError

    async def _serve_media(self, request: Request) -> Reply:
        """Outputs: to anybody with the URL, with ranges, and never to see a credential."""
        self.downloads.append(request)
        await self.moments.one()
        for name in ("authorization", "cookie"):
            if name in request.headers:
                self.problems.append(f"{name} was sent to the media host")
        fault = self._script.fault("output", request.path)
        reply = await self._before(fault)
        if reply:
            return reply
        token = request.path.split("/")[1]
        found = [made for made in self.made.values() if token and made.url_token == token]
        if request.method not in ("GET", "HEAD") or not found:
            return Reply(404, {"content-type": "text/plain"}, b"Not Found")
        body = found[0].files.get(request.path.split("/")[-1])
        if body is None:
            return Reply(404, {"content-type": "text/plain"}, b"Not Found")
        reply = _ranged(request, body)
        reply.cut, reply.slow, reply.stop, reply.held = (
            fault.cut,
            fault.slow,
            fault.stop,
            fault.held,
        )
        return reply

    def _filled(self, made: Made, shape: Any) -> Any:
        """An output with URLs in the place of the names of its files."""
        if isinstance(shape, dict):
            return {name: self._filled(made, one) for name, one in shape.items()}
        if isinstance(shape, list):
            return [self._filled(made, one) for one in shape]
        if isinstance(shape, str) and shape in made.files:
            return f"{self.media_url}/{made.url_token}/{shape}"
        return shape


def _ranged(request: Request, body: bytes) -> Reply:
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    kind = "image/png" if request.path.endswith(".png") else "video/mp4"
    headers = {"content-type": kind, "accept-ranges": "bytes", "etag": etag}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if wanted is None or request.headers.get("if-range", etag) != etag:
        reply = Reply(200, headers, body)
    elif int(wanted[1]) >= len(body):
        return Reply(416, {"content-range": f"bytes */{len(body)}"})
    else:
        start = int(wanted[1])
        stop = min(int(wanted[2]) + 1 if wanted[2] else len(body), len(body))
        headers["content-range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        reply = Reply(206, headers, body[start:stop])
    return reply
