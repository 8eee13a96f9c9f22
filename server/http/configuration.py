"""What Litestar is told of other origins' scripts, and of the description of the API."""

from litestar.config.cors import CORSConfig
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from server import __version__
from server.http import tus_protocol
from server.http.auth import COOKIE
from server.http.schema import SchemaPage


def openapi() -> OpenAPIConfig:
    """How the API is described, and where that is served."""
    return OpenAPIConfig(
        title="Reelbase",
        version=__version__,
        description=(
            "A key is sent as `X-API-Key`, or as `Authorization: Bearer`. In a browser that is "
            "signed in to the page nothing has to be sent: requests tried here have its "
            "session, whatever is said below of authentication."
        ),
        path="/schema",
        render_plugins=[SchemaPage(path="/")],
        use_handler_docstrings=True,
        security=[{"key": []}, {"bearer": []}, {"session": []}],
        components=Components(
            security_schemes={
                "key": SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header"),
                "bearer": SecurityScheme(type="http", scheme="bearer"),
                "session": SecurityScheme(type="apiKey", name=COOKIE, security_scheme_in="cookie"),
            }
        ),
    )


def cors(origins: str) -> CORSConfig | None:
    """Scripts of other origins: they see the range headers, and bring no cookies."""
    allowed = [origin.strip().rstrip("/") for origin in origins.split(",") if origin.strip()]
    if not allowed:
        return None
    return CORSConfig(
        allow_origins=allowed,
        allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"],
        allow_headers=[
            "authorization",
            "x-api-key",
            "content-type",
            "range",
            "idempotency-key",
            "last-event-id",
            *tus_protocol.REQUEST_HEADERS,
            "if-match",
            "if-none-match",
            "if-range",
            "if-modified-since",
        ],
        expose_headers=[
            "Accept-Ranges",
            "Content-Range",
            "Content-Length",
            "Content-Disposition",
            "ETag",
            "Last-Modified",
            "Location",
            "Retry-After",
            "X-Request-ID",
            *tus_protocol.RESPONSE_HEADERS,
        ],
    )
