"""What goes to stdout: results and documents. A reader who has gone harms nobody."""

from __future__ import annotations

import json
import os
import select
import sys
from typing import Any

from apothic.cli.hiding import hide
from apothic_backends.model.events import Event

RUN = "apothic.run.v1"
JOB = "apothic.job.v1"
JOBS = "apothic.jobs.v1"
LOGS = "apothic.logs.v1"
ITEM = "apothic.item.v1"
EVENT = "apothic.event.v1"


def shown(value: object) -> str:
    """A result for people and pipes: a string as it is, JSON where it can be, else its repr."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return _repr(value)


def with_value(document: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """The document with a value: itself where JSON can say it, else null and its repr beside it."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return {**document, key: None, f"{key}_repr": _repr(value)}
    return {**document, key: value}


def line_of(document: dict[str, Any]) -> str:
    """A document as one line; what JSON cannot say is given as its repr."""
    return json.dumps(document, ensure_ascii=False, default=_repr)


def line_of_event(event: Event) -> str:
    """An event as one line of a stream."""
    data = event.data
    if "value" in data:
        value = data["value"]
        data = with_value({k: v for k, v in data.items() if k != "value"}, "value", value)
    about = {"schema": EVENT, "event": event.event, "data": data, "cursor": str(event.cursor)}
    return line_of(about)


def put(text: str, end: str = "\n") -> bool:
    """Print text on stdout, at once; False if nobody reads any more."""
    stream = sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text = hide(text)
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + end)
        stream.flush()
    except (OSError, ValueError):
        let_stdout_go()
        return False
    return True


def put_error(text: str, patience_s: float | None = None) -> None:
    """Print a line on stderr, if anybody reads it, and does so in time."""
    try:
        if patience_s is not None and not select.select([], [sys.stderr], [], patience_s)[1]:
            return
    except (OSError, ValueError):
        pass  # it is no file: nothing holds it up
    try:
        print(hide(text), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines whose columns stand below each other."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def flush() -> None:
    """See to it that what was printed is out, or that its reader has gone."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        let_stdout_go()


def let_stdout_go() -> None:
    """Write to nowhere from here on, so that the interpreter's end does not trip over it."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass  # there never was one


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - it is the user's
        return object.__repr__(value)
