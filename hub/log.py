"""One line per step outcome: JSON for machines, colors for a terminal; secrets never get in."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET_KEYS = re.compile(r"secret|token|password|authorization|signature|cookie|api_key", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"(whsec_|sk_live_|sk_test_|rk_live_|rk_test_|Bearer )[A-Za-z0-9_\-.=]+|[\w.+-]+@[\w-]+\.[\w.]+"
)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blots out what must not be in a log: values of telling keys, keys, tokens, e-mail addresses."""
    for key, value in event.items():
        event[key] = _clean(key, value)
    return event


def _clean(key: str, value: Any) -> Any:  # noqa: ANN401  (whatever is logged)
    if _SECRET_KEYS.search(key):
        return "[redacted]"
    if isinstance(value, str):
        return _SECRET_TEXT.sub("[redacted]", value)
    if isinstance(value, dict):
        return {name: _clean(str(name), inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean("", inner) for inner in value]
    return value


def configure(process: str, *, level: int = logging.INFO) -> None:
    """Sends every log of this process to stderr, one line each."""
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=True) if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
