"""`/schema`: the OpenAPI document, to be read and tried in a browser. Nothing comes from elsewhere.

A page of this origin is as good as signed in: no script of a CDN may run here.
"""

import gzip
import html
from functools import cache
from pathlib import Path
from typing import Any

from litestar import Request, Response, Router, get
from litestar.datastructures import State
from litestar.openapi.plugins import RapidocRenderPlugin

# vendor/README.md
VERSION = "9.3.8"
_SCRIPT = Path(__file__).parent / "vendor" / "rapidoc.js"
# RapiDoc styles its parts by attributes. `data:` is its icons.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta http-equiv="Content-Security-Policy" content="{policy}">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title}</title>
  <link rel="icon" href="/web/icon.svg" type="image/svg+xml">
  <script src="/schema/rapidoc-{version}.js" defer></script>
</head>
<body>
  <rapi-doc spec-url="{document}" render-style="view" show-header="false" load-fonts="false"
    regular-font="system-ui, sans-serif" mono-font="ui-monospace, monospace"
    allow-server-selection="false">
  </rapi-doc>
</body>
</html>
"""


class SchemaPage(RapidocRenderPlugin):
    """Litestar's page of RapiDoc, with the script that is here."""

    def render(self, request: Request[Any, Any, State], openapi_schema: dict[str, Any]) -> bytes:
        """The page, in HTML."""
        title = f"{openapi_schema['info']['title']}: the API"
        return _PAGE.format(
            policy=_POLICY,
            title=html.escape(title),
            version=VERSION,
            document=self.get_openapi_json_route(request),
        ).encode()

    def receive_router(self, router: Router) -> None:
        """Add the script."""
        router.register(_script)


@get(f"/rapidoc-{VERSION}.js", media_type="text/javascript", include_in_schema=False)
async def _script(request: Request[Any, Any, State]) -> Response[bytes]:
    packs = "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Vary": "Accept-Encoding", "Cache-Control": "public, max-age=31536000, immutable"}
    if packs:
        headers["Content-Encoding"] = "gzip"
    return Response(_packed() if packs else _SCRIPT.read_bytes(), headers=headers)


@cache
def _packed() -> bytes:
    return gzip.compress(_SCRIPT.read_bytes(), mtime=0)
