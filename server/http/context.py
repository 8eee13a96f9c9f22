"""What the handlers work with, put together once in `server/app.py`."""

from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.datastructures import State

from server.db import Database
from server.egress import Guard
from server.http.access_log import AccessLog
from server.http.gate import Gate
from server.http.metrics import Metrics
from server.http.pulse import Pulse
from server.library.orders import Limits
from server.library.uploads import Uploads
from server.parts import Parts
from server.supervision import Supervisor


@dataclass
class Services(Parts):
    """The parts that handlers use; here no read of `database` takes long."""

    # The database, for what may go through many rows: it leaves readers to others.
    searches: Database
    uploads: Uploads
    gate: Gate
    access_log: AccessLog
    metrics: Metrics
    pulse: Pulse
    supervisor: Supervisor
    guard: Guard
    default_provider: str
    public_url: str | None
    client_ip_header: str | None
    max_upload_bytes: int
    limits: Limits

    def base_url(self, request: Request[Any, Any, State]) -> str:
        """How the asker reaches us: the public URL, else what the request came to."""
        if self.public_url:
            return self.public_url
        return f"{request.url.scheme}://{request.url.netloc}"

    def client_ip(self, request: Request[Any, Any, State]) -> str | None:
        """The address of who asks. Behind Fly's proxy only its own header tells it."""
        if self.client_ip_header and (told := request.headers.get(self.client_ip_header)):
            return told
        return request.client.host if request.client else None
