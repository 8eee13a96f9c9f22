"""A faithful small FAL queue: https://fal.ai/docs/documentation/model-apis/inference/queue."""

import base64
import hashlib
import json
import re
import time
import uuid
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.fakes.base import Fake
from tests.fakes.script import Made
from tests.fakes.wire import Reply, Request

KEY = "11111111-2222-3333-4444-555555555555:FakeKeyOfTheTests"
# The shapes of errors: a model's (a list with a type), the platform's (a text and a type).
_MODEL_ERRORS = {
    "E006": ("file_download_error", "Failed to download the file. Please check that it is public."),
    "E005": ("content_policy_violation", "The content could not be processed."),
    "E001": ("feature_not_supported", "The model cannot do this."),
}
_PLATFORM_ERRORS = {
    "E003": ("runner_scheduling_failure", "No runner could be allocated."),
    "E004": ("runner_disconnected", "The runner disconnected."),
    "canceled": ("client_cancelled", "The request was cancelled."),
}


class FakeFal(Fake):
    """See `Fake`. Endpoints for `fault`: create, status, response, cancel, jwks, output.

    Outcomes are named as Replicate's (E001 … E006, `canceled`), in FAL's own shapes and types.
    `jwks_url` serves the public keys; `rotate_keys` replaces them. `units` is what results say in
    `x-fal-billable-units`, and webhooks do not.
    """

    def __init__(self, *, pace: float = 0.02) -> None:
        super().__init__(pace=pace)
        self.key = KEY
        self.units: str | None = None
        self._signer = Ed25519PrivateKey.generate()

    @property
    def jwks_url(self) -> str:
        """Where the public keys are."""
        return f"{self.url}/.well-known/jwks.json"

    def rotate_keys(self) -> None:
        """Sign with another key from now on."""
        self._signer = Ed25519PrivateKey.generate()

    def signed(
        self, prediction_id: str, *, at: float | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """A genuine webhook about a request as it is now; `at`: when it is said to be sent."""
        body = self._hook_body(self.made[prediction_id])
        return body, self._sign(body, "", at)

    def redeliver(self, prediction_id: str) -> int:
        """Send a webhook about a request as it is now; the status it was answered with."""
        made = self.made[prediction_id]
        status: int = self._wire.run(self._post(made, "completed", self._hook_body(made), ""))
        return status

    def _sign(self, body: bytes, message_id: str, at: float | None) -> dict[str, str]:
        stamp = str(int(at if at is not None else time.time()))
        request_id, user_id = json.loads(body)["request_id"], "user_1"
        digest = hashlib.sha256(body).hexdigest()
        message = f"{request_id}\n{user_id}\n{stamp}\n{digest}".encode()
        return {
            "x-fal-webhook-request-id": request_id,
            "x-fal-webhook-user-id": user_id,
            "x-fal-webhook-timestamp": stamp,
            "x-fal-webhook-signature": self._signer.sign(message).hex(),
        }

    def _hook_body(self, made: Made) -> bytes:
        told: dict[str, Any] = {"request_id": made.id, "gateway_request_id": made.id}
        status, payload = self._payload(made)
        if status == 200:
            told |= {"status": "OK", "payload": payload}
        else:
            error = f"Unexpected status code: {status}"
            told |= {"status": "ERROR", "error": error, "payload": payload}
        return json.dumps(told).encode()

    def _words(self, code: str, why: str) -> str:
        return f"{code}|{why}"

    def _error_body(self, status: int) -> bytes:
        return json.dumps({"detail": "It did not work."}).encode()

    async def _route(self, request: Request) -> Reply:
        key = f"{request.method} {request.path}"
        if key == "GET /.well-known/jwks.json":
            if "authorization" in request.headers:
                self.problems.append("the key was sent to the JWKS host")
            return await self._faulty("jwks", request) or self._jwks()
        if request.headers.get("authorization") != f"Key {self.key}":
            return _json({"detail": "Cannot access application. Authentication is required."}, 401)
        # The path behind the application's name is part of the submission only.
        if match := re.fullmatch(r"(\w+) /[\w.-]+/[\w.-]+/requests/([\w-]+)(/\w+)?", key):
            return await self._about(request, match[1], match[2], match[3] or "")
        if request.method == "POST" and re.fullmatch(r"(/[\w.-]+){2,}", request.path):
            return await self._create(request)
        return _json({"detail": "Not Found"}, 404)

    async def _faulty(self, where: str, request: Request) -> Reply | None:
        return await self._before(self._script.fault(where, request.path))

    def _jwks(self) -> Reply:
        raw = self._signer.public_key().public_bytes_raw()
        x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        return _json({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x}]})

    async def _create(self, request: Request) -> Reply:
        fault = self._script.fault("create", request.body.decode(errors="replace"))
        if not fault.made:
            reply = await self._before(fault)
            if reply:
                return reply
        wrong = _wrong_create(request)
        if wrong:
            self.problems.append(wrong)
            return _json({"detail": [{"loc": ["body"], "msg": wrong, "type": "missing"}]}, 422)
        made = Made(
            id=str(uuid.uuid4()),
            model=request.path.strip("/"),
            input=json.loads(request.body),
            webhook=request.query.get("fal_webhook"),
            events=("completed",),  # FAL has no other
        )
        self._begin(made)
        if fault.made:
            reply = await self._before(fault)
            if reply:
                return reply
        return _json({"status": "IN_QUEUE", "queue_position": 0, **self._urls(made)})

    async def _about(self, request: Request, method: str, request_id: str, tail: str) -> Reply:
        made = self.made.get(request_id)
        where = {"": "response", "/status": "status", "/cancel": "cancel"}.get(tail, "none")
        reply = await self._faulty(where, request)
        if reply:
            return reply
        if made is None or method != ("PUT" if where == "cancel" else "GET"):
            return _json({"detail": "Not Found"}, 404)
        if where == "status":
            return self._status(made, request.query.get("logs") == "1")
        if where == "cancel":
            if made.ended:
                return _json({"status": "ALREADY_COMPLETED"}, 400)
            self._end(made, "canceled")
            return _json({"status": "CANCELLATION_REQUESTED"}, 202)
        if not made.ended:
            return _json({"detail": "Request is still in progress"}, 400)
        status, payload = self._payload(made)
        reply = _json(payload, 404 if made.removed else status)
        if self.units is not None and not made.removed:
            reply.headers["x-fal-billable-units"] = self.units
        return reply

    def _status(self, made: Made, with_logs: bool) -> Reply:
        told: dict[str, Any] = {"status": "IN_PROGRESS", **self._urls(made)}
        if made.status == "starting":
            return _json({**told, "status": "IN_QUEUE", "queue_position": 2}, 202)
        lines = [line for line in made.logs.split("\r") if line] if with_logs else []
        told["logs"] = [{"message": line, "level": "INFO", "timestamp": ""} for line in lines]
        if not made.ended:
            return _json(told, 202)
        took = (made.completed_at or 0) - (made.started_at or made.created_at)
        told |= {"status": "COMPLETED", "metrics": {"inference_time": took}}
        code = _code(made)
        if code in _PLATFORM_ERRORS:
            told["error_type"], told["error"] = _PLATFORM_ERRORS[code]
        return _json(told)

    def _payload(self, made: Made) -> tuple[int, dict[str, Any]]:
        code = _code(made)
        if code in _PLATFORM_ERRORS:
            kind, words = _PLATFORM_ERRORS[code]
            return 503, {"detail": words, "error_type": kind}
        if code:
            kind, words = _MODEL_ERRORS.get(code, ("unknown", "It failed."))
            if code == "E006":
                words = f"{words} {(made.error or '').partition('|')[2]}"
            return 422, {"detail": [{"loc": ["body", "image_url"], "msg": words, "type": kind}]}
        if made.output != "output.mp4":
            return 200, self._filled(made, made.output)
        url = self._filled(made, made.output) if made.url_token else ""
        video = {"url": url, "content_type": "video/mp4", "file_name": "output.mp4"}
        return 200, {"video": {**video, "file_size": len(made.clip)}, "seed": 7}

    def _urls(self, made: Made) -> dict[str, str]:
        application = "/".join(made.model.split("/")[:2])
        url = f"{self.url}/{application}/requests/{made.id}"
        return {
            "request_id": made.id,
            "response_url": url,
            "status_url": f"{url}/status",
            "cancel_url": f"{url}/cancel",
        }


def _wrong_create(request: Request) -> str | None:
    """What the real one would refuse in a submission, or what would cost twice."""
    try:
        asked = json.loads(request.body)
    except ValueError:
        return "The body is not JSON."
    if not isinstance(asked, dict) or not isinstance(asked.get("prompt"), str):
        return "prompt is required"
    if request.path.endswith("/image-to-video") and not asked.get("image_url"):
        return "image_url is required"
    if request.headers.get("x-fal-no-retry") != "1":
        return "x-fal-no-retry is missing: FAL would try again by itself"
    if set(request.query) - {"fal_webhook"}:
        return "unknown query parameters"
    try:
        kept = json.loads(request.headers.get("x-fal-object-lifecycle-preference", "{}"))
        assert isinstance(kept.get("expiration_duration_seconds", 1), int)
    except (ValueError, AssertionError):
        return "the lifecycle preference cannot be read"
    return None


def _code(made: Made) -> str | None:
    if made.status in ("canceled", "aborted"):
        return "canceled"
    return made.error.partition("|")[0] if made.error else None


def _json(content: object, status: int = 200) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json.dumps(content).encode())
