"""What the handlers work with, put together once in `server/app.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from litestar import Request
from litestar.datastructures import State

from server.blobs.store import BlobStore
from server.blobs.volume import Volume
from server.clock import Clock
from server.db import Database
from server.egress import Guard
from server.http.access_log import AccessLog
from server.http.gate import Gate
from server.http.metrics import Metrics
from server.http.pulse import Pulse
from server.library.orders import Limits
from server.library.uploads import Uploads
from server.providers.base import Provider
from server.supervision import Supervisor
from server.tokens import Tokens


@dataclass
class Services:
    """The parts that handlers use; values, not settings."""

    database: Database
    # The same, for what may go through many rows: it leaves readers to others.
    searches: Database
    blobs: BlobStore
    volume: Volume
    uploads: Uploads
    tokens: Tokens
    gate: Gate
    access_log: AccessLog
    metrics: Metrics
    pulse: Pulse
    supervisor: Supervisor
    guard: Guard
    providers: Mapping[str, Provider]
    default_provider: str
    # Whether a provider can fetch from us: by name, as some may run beside us.
    reachable_by: Mapping[str, bool]
    # Tells the job loop that there is something to do.
    wake: Callable[[str | None], None]
    clock: Clock
    public_url: str | None
    client_ip_header: str | None
    max_upload_bytes: int
    limits: Limits
    # How long what is deleted stays in the trash.
    trash: timedelta

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
