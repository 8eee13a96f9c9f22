"""Every error as problem details (RFC 9457): one shape, a stable code, words that help."""

import re
from http import HTTPStatus
from typing import Any

import structlog
from litestar import Request, Response
from litestar._signature import model
from litestar.datastructures import State
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct

from server.catalog.names import NAME, NAME_WORDS
from server.errors import ReelbaseError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

# Errors of the framework, by status. The rest is named by what it is.
_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
}


_WORDS = {
    404: "There is nothing at this address. The API is described at /schema.",
    405: "This address takes other methods: the Allow header names them.",
    413: "The body is larger than this address takes.",
}


# msgspec names the field in the message: "Object missing required field `clips`".
_NAMED = re.compile(r"field `([^`]+)`\s*$")
# The framework looks for the field's path in msgspec's messages, which repeat what was sent. By
# its own pattern each "`$." in them is looked through to the end: hours for a megabyte.
model.ERR_RE = re.compile(r"`\$\.([^`\n]+)`$")
# Characters of such a message that are passed on.
LONGEST_MESSAGE = 300
# What is said of a parameter that is not there, here that for the body.
_NO_BODY = "'data'"


class FieldProblem(Struct):
    """One field of a request that is wrong."""

    field: str
    message: str


class Problem(Struct, omit_defaults=True):
    """What went wrong. Programs go by `code`; `detail` says what to do."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldProblem] = []


def response(
    status: int,
    title: str,
    code: str,
    detail: str,
    *,
    fields: list[FieldProblem] | None = None,
    headers: dict[str, str] | None = None,
) -> Response[Problem]:
    """A problem as a response; errors are never kept by caches."""
    return Response(
        Problem("about:blank", title, status, code, detail, fields or []),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def on_own_error(_: Request[Any, Any, State], error: ReelbaseError) -> Response[Problem]:
    """Our own errors say everything themselves."""
    fields = [FieldProblem(f.get("field", ""), f.get("message", "")) for f in error.fields]
    headers = dict(error.headers)
    if error.status == 401:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="reelbase"')
    return response(
        error.status, error.title, error.code, error.detail, fields=fields, headers=headers
    )


def on_http_error(_: Request[Any, Any, State], error: HTTPException) -> Response[Problem]:
    """The framework's errors, put into our shape."""
    status, detail = error.status_code, error.detail
    fields: list[FieldProblem] = []
    code = _CODES.get(status, "http_error")
    if isinstance(error, ValidationException):
        status, code = 422, "invalid_request"
        issues = error.extra if isinstance(error.extra, list) else []
        fields = [_field(issue) for issue in issues if isinstance(issue, dict)]
        detail = "; ".join(f"{f.field}: {f.message}" if f.field else f.message for f in fields)
        detail = f"The request has fields that are wrong: {detail}" if detail else error.detail
        if [one.get("message") for one in issues] == [_NO_BODY]:
            fields, detail = [], "The request has no body: JSON is wanted."
    title = HTTPStatus(status).phrase
    if detail == title:
        detail = _WORDS.get(status, detail)
    headers = {k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"}
    return response(status, title, code, detail, fields=fields, headers=headers)


def _field(issue: dict[str, Any]) -> FieldProblem:
    """A wrong field by the name that the caller knows: never our parameter's."""
    field, message = str(issue.get("key", ""))[:LONGEST_MESSAGE], str(issue.get("message", ""))
    if field == "data":
        named = _NAMED.search(message)
        field = named[1][:LONGEST_MESSAGE] if named else ""
    if repr(NAME) in message:
        message = NAME_WORDS
    if len(message) > LONGEST_MESSAGE:
        message = message[:LONGEST_MESSAGE] + "…"
    return FieldProblem(field, message)


def on_any_error(request: Request[Any, Any, State], error: Exception) -> Response[Problem]:
    """What nobody foresaw: logged in full, told in one sentence."""
    log.error("unhandled error", path=request.scope["path"], exc_info=error)
    return response(
        500,
        "Internal Server Error",
        "internal_error",
        "Something went wrong on our side; the log has it under the X-Request-ID of this answer.",
    )


HANDLERS: dict[int | type[Exception], Any] = {
    ReelbaseError: on_own_error,
    HTTPException: on_http_error,
    Exception: on_any_error,
}


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """These errors, for the OpenAPI page of a route."""
    return {
        status: ResponseSpec(
            data_container=Problem,
            description="Problem details",
            media_type=MEDIA_TYPE,
            generate_examples=False,
        )
        for status in statuses
    }
