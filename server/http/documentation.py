"""The OpenAPI document: what holds for many routes is said here, once.

A route says itself what else it answers: `responses=documented(...)`.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, cast

from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    OpenAPIMediaType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.plugins import ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute

from server.http.examples import EXAMPLES
from server.http.problems import documented

# Parameters of these kinds take whatever is sent.
_ANYTHING = (str, str | None)
_NULL = Schema(type=OpenAPIType.NULL)
_TEXT = Schema(type=OpenAPIType.STRING)
_MOMENT = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME)
_BYTES = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)


@dataclass
class Described(Operation):
    """An operation without what the framework says that is not so.

    Of fields that are wrong it says 400, in a shape of its own; they are 422, a problem as all
    others. Of parameters that may be left out it says that they may be null, which no query can
    say. `example` is a body that may be sent.
    """

    example: ClassVar[Any] = None

    def __post_init__(self) -> None:
        """Take that out, and put the example in."""
        found = (self.responses or {}).get("400")
        if found is not None and "application/json" in (getattr(found, "content", None) or {}):
            assert self.responses is not None
            del self.responses["400"]
        for parameter in self.parameters or ():
            if isinstance(parameter, Parameter) and isinstance(parameter.schema, Schema):
                parameter.schema = _without_null(parameter.schema)
        if self.example is not None and isinstance(self.request_body, RequestBody):
            for media in self.request_body.content.values():
                media.example = self.example


def _without_null(schema: Schema) -> Schema | Reference:
    """What is left of a choice between something and null."""
    choices = [one for one in schema.one_of or () if one != _NULL]
    if len(choices) == 1 and isinstance(choices[0], Schema):
        around = {one.name: getattr(schema, one.name) for one in fields(Schema)}
        around = {name: value for name, value in around.items() if value is not None}
        return replace(choices[0], **around | {"one_of": None})
    if len(choices) == 1:
        return choices[0]
    if isinstance(schema.type, list):
        (kind,) = (one for one in schema.type if one != OpenAPIType.NULL)
        values = [one for one in schema.enum or () if one is not None]
        return replace(schema, type=kind, enum=values or None)
    return schema


@dataclass
class TakesFile(Described):
    """An operation whose body is a file: as it is, or in a form."""

    def __post_init__(self) -> None:
        """Say so."""
        super().__post_init__()
        fields = {"project_id": _TEXT, "scene_id": _TEXT, "filename": _TEXT, "expires_at": _MOMENT}
        form = Schema(
            type=OpenAPIType.OBJECT, properties={"file": _BYTES, **fields}, required=["file"]
        )
        self.request_body = RequestBody(
            content={
                "application/octet-stream": OpenAPIMediaType(schema=_BYTES),
                "multipart/form-data": OpenAPIMediaType(schema=form),
            },
            required=True,
        )


@dataclass
class TakesPiece(Described):
    """An operation whose body is bytes of a resumable upload."""

    def __post_init__(self) -> None:
        """Say so."""
        super().__post_init__()
        piece = OpenAPIMediaType(schema=_BYTES)
        self.request_body = RequestBody(content={"application/offset+octet-stream": piece})


class Documentation(ReceiveRoutePlugin):
    """Completes the description of every route."""

    def receive_route(self, route: BaseRoute) -> None:
        """Called by the framework for each route when it is registered."""
        if isinstance(route, HTTPRoute):
            for handler, _ in route.route_handler_map.values():
                _complete(handler)


def _complete(handler: HTTPRouteHandler) -> None:
    takes = handler.parsed_fn_signature.parameters
    known = {"request", *handler.resolve_dependencies()}
    responses: dict[int, ResponseSpec] = {}
    if handler.resolve_guards():
        responses |= documented(401, 403)
    if "data" in takes:
        responses |= documented(400, 413)
    elif "GET" in handler.http_methods and handler.resolve_guards():
        responses |= documented(503)
    responses |= documented(414)
    if any(one.annotation not in _ANYTHING for name, one in takes.items() if name not in known):
        responses |= documented(422)
    if handler.opt.get("token_auth"):
        responses |= _of_bytes()
    handler.responses = responses | dict(handler.responses or {})
    if handler.operation_class is Operation:
        handler.operation_class = Described
    body = takes.get("data")
    example = EXAMPLES.get(getattr(body.annotation, "__name__", "")) if body is not None else None
    if example is not None:
        bases = (handler.operation_class,)
        made = type("Illustrated", bases, {"__doc__": Described.__doc__, "example": example})
        handler.operation_class = cast("type[Operation]", made)


def _of_bytes() -> dict[int, ResponseSpec]:
    """What every route answers that serves bytes (see `bytes.py`)."""
    return {
        200: _plain("The bytes", bytes),
        206: _plain("The range that was asked for, or several as multipart/byteranges", bytes),
        304: _plain("They are the bytes that the asker has"),
        307: _plain("They are still at the provider: see Location"),
        **documented(401, 403, 404, 409, 410, 412, 416),
    }


def _plain(description: str, container: Any = None) -> ResponseSpec:
    return ResponseSpec(
        data_container=container,
        description=description,
        media_type="application/octet-stream",
        generate_examples=False,
    )
