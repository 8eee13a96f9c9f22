"""Structured logs: one JSON object a line, or text on a terminal. No secret gets through."""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.types import EventDict, Processor

# What looks like a credential, wherever it stands.
_SECRETS = re.compile(
    r"(?i)(\btoken=|\bsk_|\br8_|\bwhsec_|\bBearer\s+|\bKey\s+(?=[\w-]+:)|\bsession=)[\w.~+/=:-]{6,}"
)


def redact(_: Any, __: str, event: EventDict) -> EventDict:
    """A processor that blots credentials out of every value."""
    event.pop("color_message", None)  # uvicorn's, for terminals
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _SECRETS.sub(r"\1…", value)
    return event


def configure(style: str) -> None:
    """Send all logs to stderr; `style` is `json`, `text`, or `auto` (text on a terminal)."""
    if style == "auto":
        style = "text" if sys.stderr.isatty() else "json"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    rendered: list[Processor] = (
        [structlog.processors.format_exc_info, redact, structlog.processors.JSONRenderer()]
        if style == "json"
        else [structlog.processors.format_exc_info, redact, structlog.dev.ConsoleRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # They log URLs with their queries, and ours have tokens in them.
    for name in ("httpx", "httpcore", "uvicorn.access", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
