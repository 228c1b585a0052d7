"""One logging set-up for every process: ``key=value`` lines or JSON, on standard error.

Log with a short event as the message and facts in ``extra={"fields": {...}}`` via `log_fields`.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["text", "json"]


def set_up(process: str, level: str = "INFO", style: LogFormat = "text") -> None:
    """Configure the root logger; called once by a process's main."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(process) if style == "json" else _TextFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aiokafka", "asyncio", "faust", "mode"):
        logging.getLogger(noisy).setLevel(max(root.level, logging.WARNING))
    # They log each failed attempt to connect, some with a traceback; who uses them says it once.
    for failing in ("kafka", "clickhouse_driver"):
        logging.getLogger(failing).setLevel(logging.DEBUG if root.level == logging.DEBUG else logging.CRITICAL)


def log_fields(**fields: Any) -> dict[str, Any]:
    """The ``extra`` of a log call: ``log.info("inserted", extra=log_fields(rows=10))``."""
    return {"fields": fields}


def _record_fields(record: logging.LogRecord, process: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "ts": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "process": process,
        "logger": record.name,
        "msg": record.getMessage(),
    }
    fields.update(getattr(record, "fields", {}))
    return fields


class _TextFormatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line = " ".join(f"{key}={_quoted(value)}" for key, value in _record_fields(record, self._process).items())
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JsonFormatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        fields = _record_fields(record, self._process)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text) if not text or any(c in text for c in ' "=\n') else text
