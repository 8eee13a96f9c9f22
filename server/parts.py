"""What requests and jobs both work with, put together once in `server/app.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from server.blobs.store import BlobStore
from server.blobs.volume import Volume
from server.clock import Clock
from server.db import Database
from server.providers.base import Provider
from server.tokens import Tokens


@dataclass
class Parts:
    """Values, not settings."""

    database: Database
    blobs: BlobStore
    volume: Volume
    tokens: Tokens
    providers: Mapping[str, Provider]
    # Where a provider reaches us, by its name; None where it cannot.
    asset_base: Mapping[str, str | None]
    clock: Clock
    # Has the job loop look at a job, or at all there is to do.
    wake: Callable[[str | None], None]
    # How long what is deleted stays in the trash.
    trash: timedelta
