"""A faithful small Replicate: https://replicate.com/docs/reference/http, as of November 2026."""

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

from tests.fakes.base import Fake
from tests.fakes.script import Made
from tests.fakes.wire import Reply, Request

TOKEN = "r8_FakeTokenOfTheTests0000000000000000000"  # as long as a real one
_WORDS = {
    "E001": "The model ran out of memory.",
    "E003": "Service is currently unavailable due to high demand. Please try again later.",
    "E004": "Service is temporarily unavailable. Please try again later.",
    "E005": "The input or output was flagged as sensitive. Please try again.",
    "E006": "The input was invalid:",
}
_FIELDS = {"input", "webhook", "webhook_events_filter", "stream"}
_EVENTS = {"start", "output", "logs", "completed"}


class FakeReplicate(Fake):
    """See `Fake`. Endpoints for `fault`: create, get, list, cancel, file, secret, model, output.

    `token` is the only one accepted; `community` maps models that do not run by name alone to
    their latest version; `missing` models do not exist. New predictions are listed after
    `list_lag` seconds, `page_size` at a time. `metrics` are added to those of each prediction.
    """

    def __init__(self, *, pace: float = 0.02) -> None:
        super().__init__(pace=pace)
        self.token = TOKEN
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        self.community: dict[str, str] = {}
        self.missing: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.metrics: dict[str, Any] = {}
        self.page_size = 100
        self.list_lag = 0.0

    def signed(
        self, prediction_id: str, *, at: float | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """A genuine webhook about a prediction as it is now: body and headers, for tests to post.

        `at`: seconds since the epoch, when it is said to have been sent.
        """
        body = self._hook_body(self.made[prediction_id])
        return body, self._sign(body, f"msg_{secrets.token_hex(8)}", at)

    def redeliver(self, prediction_id: str, event: str = "completed") -> int:
        """Send a webhook about a prediction as it is now; the status it was answered with."""
        made = self.made[prediction_id]
        body = self._hook_body(made)
        status: int = self._wire.run(self._post(made, event, body, f"msg_{secrets.token_hex(8)}"))
        return status

    def _sign(self, body: bytes, message_id: str, at: float | None) -> dict[str, str]:
        stamp = str(int(at if at is not None else time.time()))
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        digest = hmac.new(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": stamp,
            # There may be several, of which one must fit: the real one does so while rotating.
            "webhook-signature": f"v1,{base64.b64encode(b'0' * 32).decode()} "
            f"v1,{base64.b64encode(digest).decode()}",
        }

    def _hook_body(self, made: Made) -> bytes:
        return json.dumps(self._shown(made)).encode()

    def _words(self, code: str, why: str) -> str:
        why = why if code == "E006" else ""
        return f"{' '.join(filter(None, (_WORDS.get(code, 'It failed.'), why)))} ({code}) (k3Yb7)"

    def _error_body(self, status: int) -> bytes:
        words = {
            429: "Request was throttled. Expected available in 1 second.",
            500: "An internal error occurred.",
        }
        return json.dumps(_problem(status, words.get(status, "It did not work."))).encode()

    async def _route(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return _json(_problem(401, "You did not pass a valid authentication token"), 401)
        key = f"{request.method} {request.path}"
        if match := re.fullmatch(r"POST /v1/models/([^/]+/[^/]+)/predictions", key):
            return await self._create(request, match[1], None)
        if key == "POST /v1/predictions":
            return await self._create(request, "", "version")
        if key == "GET /v1/predictions":
            return await self._faulty("list", request) or self._list(request)
        if match := re.fullmatch(r"GET /v1/predictions/([^/]+)", key):
            return await self._faulty("get", request) or self._get(match[1])
        if match := re.fullmatch(r"POST /v1/predictions/([^/]+)/cancel", key):
            return await self._faulty("cancel", request) or self._cancel(match[1])
        if match := re.fullmatch(r"GET /v1/models/([^/]+/[^/]+)", key):
            return await self._faulty("model", request) or self._model(match[1])
        if key == "POST /v1/files":
            return await self._faulty("file", request) or self._upload(request)
        if key == "GET /v1/webhooks/default/secret":
            return await self._faulty("secret", request) or _json({"key": self.secret})
        return _json(_problem(404, "The requested resource could not be found."), 404)

    async def _faulty(self, where: str, request: Request) -> Reply | None:
        return await self._before(self._script.fault(where, request.path))

    async def _create(self, request: Request, model: str, by: str | None) -> Reply:
        fault = self._script.fault("create", request.body.decode(errors="replace"))
        if not fault.made:
            reply = await self._before(fault)
            if reply:
                return reply
        if model in self.missing or model in self.community:
            return _json(_problem(404, "The requested resource could not be found."), 404)
        wrong = _wrong_create(request, _FIELDS | ({"version"} if by else set()))
        if wrong:
            self.problems.append(wrong)
            return _json(_problem(422, wrong), 422)
        asked = json.loads(request.body)
        version = asked.get("version", "hidden")
        made = Made(
            # 26 characters of base 32, as real ids are
            id=base64.b32encode(secrets.token_bytes(17)).decode().lower().rstrip("=")[:26],
            model=model
            or next((m for m, v in self.community.items() if v == version), "some/model"),
            version=version,
            input=asked["input"],
            webhook=asked.get("webhook"),
            events=tuple(asked.get("webhook_events_filter") or sorted(_EVENTS)),
        )
        shown = self._shown(made)
        self._begin(made)
        if fault.made:
            reply = await self._before(fault)
            if reply:
                return reply
        return _json(shown, 201)

    def _get(self, prediction_id: str) -> Reply:
        made = self.made.get(prediction_id)
        if made is None:
            return _json(_problem(404, "The requested resource could not be found."), 404)
        return _json(self._shown(made))

    def _cancel(self, prediction_id: str) -> Reply:
        made = self.made.get(prediction_id)
        if made is None:
            return _json(_problem(404, "The requested resource could not be found."), 404)
        self._end(made, "canceled")
        return _json(self._shown(made))

    def _list(self, request: Request) -> Reply:
        born = time.time() - self.list_lag
        rows = [made for made in self.made.values() if made.created_at <= born]
        rows.reverse()  # newest first
        start = int(base64.b64decode(request.query.get("cursor", "")) or b"0")
        page = [self._shown(made) for made in rows[start : start + self.page_size]]
        for row in page:
            del row["logs"]
        more = start + self.page_size < len(rows)
        return _json(
            {
                "previous": self._page(max(0, start - self.page_size)) if start else None,
                "next": self._page(start + self.page_size) if more else None,
                "results": page,
            }
        )

    def _page(self, start: int) -> str:
        cursor = base64.b64encode(str(start).encode()).decode().replace("=", "%3D")
        return f"{self.url}/v1/predictions?cursor={cursor}"

    def _model(self, model: str) -> Reply:
        if model in self.missing:
            return _json(_problem(404, "The requested resource could not be found."), 404)
        owner, name = model.split("/")
        version = {"id": self.community.get(model, "0" * 64), "created_at": _time(time.time())}
        return _json(
            {
                "url": f"https://replicate.com/{model}",
                "owner": owner,
                "name": name,
                "description": "A model.",
                "visibility": "public",
                "github_url": None,
                "paper_url": None,
                "license_url": None,
                "run_count": 7,
                "cover_image_url": None,
                "default_example": None,
                "latest_version": {**version, "cog_version": "0.9.0", "openapi_schema": {}},
            }
        )

    def _upload(self, request: Request) -> Reply:
        kind = request.headers.get("content-type", "")
        form = message_from_bytes(
            b"content-type: " + kind.encode() + b"\r\n\r\n" + request.body, policy=HTTP
        )
        (part,) = [
            part
            for part in form.iter_parts()
            if part.get_param("name", header="content-disposition") == "content"
        ]
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        file_id = secrets.token_urlsafe(24)
        self.files[file_id] = data
        return _json(
            {
                "id": file_id,
                "name": part.get_filename(),
                "content_type": part.get_content_type(),
                "size": len(data),
                "etag": hashlib.md5(data).hexdigest(),
                "checksums": {"sha256": hashlib.sha256(data).hexdigest()},
                "metadata": {},
                "created_at": _time(time.time()),
                "expires_at": _time(time.time() + 86400),
                "urls": {"get": f"{self.url}/v1/files/{file_id}"},
            },
            201,
        )

    async def _fetch_input(self, url: str) -> str | None:
        # Its own files it reads itself; nobody else can without the account's token.
        if url.startswith(f"{self.url}/v1/files/"):
            return None if url.rpartition("/")[2] in self.files else f"no such file: {url}"
        return await super()._fetch_input(url)

    def _shown(self, made: Made) -> dict[str, Any]:
        """A prediction as the API shows it; neither webhook nor nonce is in it."""
        api = f"https://api.replicate.com/v1/predictions/{made.id}"
        shown: dict[str, Any] = {
            "id": made.id,
            "model": made.model,
            "version": made.version,
            "input": {} if made.removed else made.input,
            "logs": None if made.removed else made.logs,
            "output": self._filled(made, made.output) if made.url_token else None,
            "data_removed": made.removed,
            "error": made.error,
            "source": "api",
            "status": made.status,
            "created_at": _time(made.created_at),
            "started_at": _time(made.started_at),
            "completed_at": _time(made.completed_at),
            "urls": {"get": api, "cancel": f"{api}/cancel", "stream": api, "web": api},
            "metrics": {},
        }
        if made.completed_at and made.started_at:
            took = made.completed_at - made.started_at
            shown["metrics"] = {"predict_time": took, "total_time": took + 0.1}
            shown["metrics"] |= self.metrics
        return shown


def _wrong_create(request: Request, fields: set[str]) -> str | None:
    """What the real one would refuse in a create."""
    try:
        asked = json.loads(request.body)
    except ValueError:
        return "The body is not JSON."
    if not isinstance(asked, dict) or not isinstance(asked.get("input"), dict):
        return "- (root): input is required"
    if set(asked) - fields:
        return f"- (root): Additional property {min(set(asked) - fields)} is not allowed"
    if "version" in fields and not asked.get("version"):
        return "- (root): version is required"
    if not isinstance(asked["input"].get("prompt"), str):
        return "- input: prompt is required"
    if not str(asked.get("webhook", "https://")).startswith(("https://", "http://127.0.0.1:")):
        return "- webhook: must be an HTTPS URL"
    if set(asked.get("webhook_events_filter", ())) - _EVENTS:
        return "- webhook_events_filter: unknown event"
    return None


def _problem(status: int, detail: str) -> dict[str, Any]:
    return {"title": "Problem", "detail": detail, "status": status}


def _json(content: object, status: int = 200) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json.dumps(content).encode())


def _time(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
