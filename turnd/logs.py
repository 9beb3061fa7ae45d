"""Structured logs on standard error: one line a record, for people or as JSON.

Fields are given with `extra`: `log.info("allocation made", extra={"transport": "udp"})`. Text from outside cannot forge
a line or steer a terminal: whatever is not printable is escaped. A warning repeated too often is summed up.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import sys
from typing import TextIO

MAX_REPEATS = 5  # of one message in one window
REPEAT_WINDOW_SECONDS = 10.0
MAX_REMEMBERED_MESSAGES = 512
MAX_VALUE_CHARACTERS = 1000

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m", "DEBUG": "\x1b[2m"}


def configure(format_name: str, level: str, stream: TextIO | None = None) -> None:
    """Sends all records from `level` up to `stream` (standard error) in the format `auto`, `text` or `json`."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    as_json = format_name == "json" or (format_name == "auto" and not target.isatty())
    handler.setFormatter(
        JsonFormatter() if as_json else TextFormatter(colour=target.isatty() and "NO_COLOR" not in os.environ)
    )
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a reader of our output that went away must not be answered with tracebacks


def set_level(level: str) -> None:
    """Changes the least severe level that is written, now. Libraries never say less than warnings."""
    logging.getLogger().setLevel(level.upper())
    for library in ("aiohttp", "asyncio", "aioice", "aiortc"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLogger().level))
    logging.getLogger("aiohttp.access").disabled = True


def printable(text: str) -> str:
    """`text` on one line with whatever could move a cursor, hide or reorder letters written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("_")}


class TextFormatter(logging.Formatter):
    """`12:00:01.234 INFO    turnd.daemon: message key=value`; a traceback follows indented."""

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """One record; further lines begin with spaces and a bar, which no escaped text can."""
        when = datetime.datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        line = f"{when} {record.levelname:7} {record.name}: {printable(record.getMessage())}"
        line += "".join(f" {key}={self._value(value)}" for key, value in _fields(record).items())
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            line += "".join(f"\n    | {printable(row)}" for row in trace.splitlines())
        if self._colour and record.levelname in _COLOURS:
            line = f"{_COLOURS[record.levelname]}{line}\x1b[0m"
        return line

    @staticmethod
    def _value(value: object) -> str:
        text = printable(str(value)[:MAX_VALUE_CHARACTERS])
        plain = text and not any(c in text for c in ' "=\\')
        return text if plain else json.dumps(text, ensure_ascii=False)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One record; ASCII, so that no character can end the line."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        entry: dict[str, object] = {
            "time": when.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in _fields(record).items():
            entry.setdefault(key, value)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=lambda value: str(value)[:MAX_VALUE_CHARACTERS])


class RepeatFilter(logging.Filter):
    """Lets `MAX_REPEATS` records of one message through in each window and then says how many were left out.

    A message is its text before arguments are filled in. Below WARNING everything passes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write `record`; adds the field `left_out` to the first one of a window after a flood."""
        if record.levelno < logging.WARNING:
            return True
        key = (record.name, str(record.msg))
        began, count = self._seen.get(key, (record.created, 0))
        if record.created - began >= REPEAT_WINDOW_SECONDS:
            if count > MAX_REPEATS:
                record.left_out = count - MAX_REPEATS
            began, count = record.created, 0
        if len(self._seen) >= MAX_REMEMBERED_MESSAGES and key not in self._seen:
            self._seen.clear()
        self._seen[key] = (began, count + 1)
        return count < MAX_REPEATS
