"""Prometheus metrics. Labels are bounded: routes by their template, never by id."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """One registry for one application, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "reelbase_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "reelbase_request_seconds",
            "Time from a request to the end of its response, streams left out.",
            registry=self.registry,
        )
        self.bytes_served = Counter(
            "reelbase_bytes_served", "Bytes of assets sent.", registry=self.registry
        )
        self.streams = Gauge(
            "reelbase_active_streams", "Responses that are sending bytes.", registry=self.registry
        )
        self.jobs = Gauge(
            "reelbase_jobs", "Jobs by state.", ["kind", "status"], registry=self.registry
        )
        self.restarts = Gauge(
            "reelbase_background_restarts",
            "How often a background task ended and was started again.",
            ["task"],
            registry=self.registry,
        )
        self.volume_total = Gauge(
            "reelbase_volume_bytes", "Size of the volume.", registry=self.registry
        )
        self.volume_free = Gauge(
            "reelbase_volume_free_bytes", "Bytes left on the volume.", registry=self.registry
        )
        self.database = Gauge(
            "reelbase_database_bytes", "Size of the database file.", registry=self.registry
        )
        self.wal = Gauge(
            "reelbase_wal_bytes", "Size of the write-ahead log.", registry=self.registry
        )
        self.last_backup = Gauge(
            "reelbase_last_backup_timestamp_seconds",
            "When the last complete backup was made; 0 for never.",
            registry=self.registry,
        )

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)
