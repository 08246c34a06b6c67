"""Where log lines go and what may never be in them: one JSON object a line, capabilities and keys struck out.

Why strike out at the end: whatever a library puts into an error's words passes here too.
"""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import IO, Any

import structlog

_SECRET = re.compile(
    r"\b((?:hold|ord|tkt)_)[a-z2-7]{32}\b|(FM1:)[A-Z2-7]{16,}|\b((?:sk|pk|rk)_(?:test|live)_)\w+|\b(whsec_)\w+"
    r"|\b(fm_(?:test|live)_)[\w-]+|(_secret_)\w{8,}|(postgres(?:ql)?://[^:/@\s]+:)[^@\s]+"
)


def strike_out(text: str) -> str:
    """The text with every capability and key reduced to its prefix."""
    return _SECRET.sub(lambda match: next(group for group in match.groups() if group) + "…", text)


class _Lines:
    """A structlog logger that writes whole lines to several streams at once."""

    def __init__(self, streams: list[IO[str]]) -> None:
        self._streams = streams

    def msg(self, line: str) -> None:
        for stream in self._streams:
            stream.write(strike_out(line) + "\n")
            stream.flush()

    log = debug = info = warning = error = critical = exception = msg


def configure(folder: Path | None = None, level: int = logging.INFO) -> None:
    """Log to standard output and, with a folder, to `fm.log` in it. Once per process."""
    streams: list[IO[str]] = [sys.stdout]
    if folder is not None:
        streams.append((folder / "fm.log").open("a", encoding="utf-8"))
    logger = _Lines(streams)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: logger,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Handler(logger)], force=True)


class _Handler(logging.Handler):
    """Lines of libraries, in the same form."""

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._lines = logger

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            record.levelno,
            "library",
            logger=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info,
        )
