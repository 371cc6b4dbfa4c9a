"""One line per step outcome: JSON for machines, colors for a terminal; secrets never get in.

Everything that a process says passes `redact`: our own lines, those of libraries, warnings, and tracebacks that
nobody caught. A log that can't be written to (a full disk) stops nothing.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

SECRET_KEY = re.compile(
    r"secret|token|passw|authorization|signature|cookie|(api|private|fulfillment)_?key|credential|hmac", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"""
      (?:whsec_|[sr]k_live_|[sr]k_test_)[A-Za-z0-9_\-.=+/]+                  # keys of vendors
    | \b(?:Bearer|Basic)\s+[A-Za-z0-9_\-.=+/~]+                              # Authorization
    | \beyJ[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]*)?            # JSON web tokens
    | \bv1a?[=,][A-Za-z0-9+/=]{20,}                                          # signatures
    | (?<=://)[^\s/@:'"]*:[^\s/@'"]+(?=@)                                    # name and password in a URL
    | (?<=[?&])[\w-]*(?:token|secret|signature|passw|api_?key)[\w-]*=[^\s&'"]+  # tokens in a query
    | (?<=/portal/)[^\s/?'"]+                                                # a customer's own link
    | (?:hub_session|hub_visitor)=[^\s;,'"]+
    | [\w.+-]+(?:@|%40)[\w-]+\.[\w.]+                                        # e-mail addresses
    """,
    re.VERBOSE | re.IGNORECASE,
)
SHORTEST = 8  # a shorter "secret" would blot out words that say nothing
BLOT = "[redacted]"
Event = MutableMapping[str, Any]
_hidden: set[str] = set()
_this = {"process": ""}  # also of loggers that were in use before this process was forked and named anew


def hide(secrets: Iterable[str]) -> None:
    """From now on these texts are blotted out wherever they stand, whole. Grows only."""
    _hidden.update(one for one in secrets if len(one) >= SHORTEST)


def secrets_in(config: object, key: str = "") -> Iterable[str]:
    """Every text in `config` (tables, lists) that stands under a telling key; of a URL its password."""
    if isinstance(config, Mapping):
        for name, inner in config.items():
            yield from secrets_in(inner, str(name))
    elif isinstance(config, (list, tuple)):
        for inner in config:
            yield from secrets_in(inner, key)
    elif isinstance(config, str):
        if key.endswith("_url"):
            yield from re.findall(r"://[^\s/@:]*:([^\s/@]+)@", config)
        elif SECRET_KEY.search(key):
            yield config


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Blots out what must not be in a log: values of telling keys, known secrets, keys, tokens, e-mail addresses."""
    for key, value in event.items():
        event[key] = _clean(key, value)
    return event


def cleaned(text: str) -> str:
    """`text` without anything secret."""
    for secret in _hidden:
        if secret in text:
            text = text.replace(secret, BLOT)
    return _SECRET_TEXT.sub(BLOT, text)


def _clean(key: str, value: Any) -> Any:  # noqa: ANN401  (whatever is logged)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if SECRET_KEY.search(key):
        return BLOT
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, Mapping):
        return {cleaned(str(name)): _clean(str(name), inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean("", inner) for inner in value]
    return cleaned(repr(value))


class _Patient:
    """A stream whose failures stop nobody; the first line that gets through again says how many were lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> int:
        try:
            if self._lost and text.strip():
                self._stream.write(f'{{"event": "log.lost", "level": "warning", "lines": {self._lost}}}\n')
                self._lost = 0
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._lost += bool(text.strip())
        return len(text)

    def flush(self) -> None:
        """Each line is on its way when `write` returns."""


def configure(process: str, *, level: int = logging.INFO, to: TextIO | None = None) -> None:
    """Sends all that this process says `to` there (None: stderr), one line each. Repeatable."""
    to = to or sys.stderr
    _this["process"] = process
    renderer: Any = structlog.dev.ConsoleRenderer(colors=True) if to.isatty() else structlog.processors.JSONRenderer()
    stream: Any = _Patient(to)
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _named,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*before, redact, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    _listen_to_libraries(stream, before, renderer)
    _catch_the_uncaught()


def _named(_logger: object, _method: str, event: Event) -> Event:
    event.setdefault("process", _this["process"])
    return event


def _listen_to_libraries(stream: TextIO, before: list[Any], renderer: Any) -> None:  # noqa: ANN401
    """Lines of libraries (granian, rq, urllib3, Flask) and warnings: one handler, the same filter."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer],
        )
    )
    logging.captureWarnings(capture=True)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _catch_the_uncaught() -> None:
    """An error that ends the process or one of its threads is told like any other, without what is secret in it."""

    def ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        structlog.get_logger().critical("process.failed", exc_info=(kind, error, trace))

    def thread_ended(told: threading.ExceptHookArgs) -> None:
        name = told.thread.name if told.thread else ""
        error = told.exc_value or told.exc_type()
        structlog.get_logger().error("thread.failed", thread=name, exc_info=(told.exc_type, error, told.exc_traceback))

    sys.excepthook = ended
    threading.excepthook = thread_ended
