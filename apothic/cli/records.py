"""What failed jobs were given, on disk: so that they can be run again.

    PROJECT/.apothic/.gitignore          "*": nothing in here is anybody else's
    PROJECT/.apothic/replay/jobs-3       a line of JSON that says what was called, then the pickle

Unless the program keeps its state, ids begin anew with every run, so a record is that of the latest
run in which a job of this id failed. The newest hundred are kept. Succeeded jobs leave nothing, as
their input may be private and nobody asks for it.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.model.ids import number_of
from apothic_backends.model.payloads import Payload
from apothic_backends.model.record import Record
from apothic_backends.project import own_folder, project

SCHEMA = "apothic.replay.v1"
MOST_RECORDS = 100
MOST_BYTES = 16 << 20
"""Of all records together; one has 64 KiB at the most."""

LATEST = ("@failed", "@last")
"""What stands for the newest record in place of an id."""


class JobRecord(Record):
    """One call that did not succeed. `file` is where its function was found."""

    job_id: str
    file: str
    app_name: str
    function_name: str
    status: str
    error: str
    at: float
    arguments: Payload


def folder() -> Path:
    """Where the records are."""
    return project() / ".apothic" / "replay"


def write(records: list[JobRecord]) -> None:
    """Keep them, and no more than there may be.

    Raises:
        OSError: there is no place for them.
    """
    where = folder()
    own_folder(project(), "replay")
    for record in records:
        _write(where / _name(record.job_id), record)
    _prune(where)


def _write(path: Path, record: JobRecord) -> None:
    """Put a record in its place, in one piece, for nobody else to read."""
    root, payload = path.parents[2], record.arguments
    told = {field: getattr(record, field) for field in record.fields if field != "arguments"}
    file = Path(record.file)
    told["file"] = str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
    head = json.dumps({"schema": SCHEMA, **told, "codec": payload.codec}).encode()
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:  # noqa: PTH123
            out.write(head + b"\n" + payload.data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _prune(where: Path) -> None:
    """Let the oldest go."""
    size = 0
    for count, path in enumerate(_newest_first(where), 1):
        size += path.stat().st_size
        if count > MOST_RECORDS or size > MOST_BYTES:
            path.unlink(missing_ok=True)


def _newest_first(where: Path) -> list[Path]:
    return sorted(where.glob("jobs-*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _name(job_id: str) -> str:
    return f"jobs-{number_of(job_id, 'jobs')}"


# --- reading ------------------------------------------------------------------------------------


def read(job_id: str) -> JobRecord:
    """The record of a job, or of the newest one for `@failed`.

    Raises:
        NotFound: there is none; the message lists those there are.
        UsageError: that is no id, or what is there is not ours to trust.
    """
    where = folder()
    known = _newest_first(where) if where.is_dir() else []
    path = where / _name(job_id) if job_id not in LATEST else next(iter(known), None)
    if path is None or path not in known:
        listed = ", ".join(f"jobs:{each.name[5:]}" for each in known) or "none"
        raise NotFound(
            f"no record of {job_id} in {where}; there are: {listed}. `apothic run` keeps the input "
            "of jobs that fail, if it is small",
            name=job_id,
        )
    return _parsed(path, _trusted(path))


def _trusted(path: Path) -> bytes:
    """What a file of our own says: loading a pickle runs code.

    Raises:
        UsageError: somebody else may have written it.
    """
    for place in (path, *path.parents[:2]):
        found = place.lstat()
        is_ours = found.st_uid == os.getuid() and not found.st_mode & 0o022
        if not is_ours or stat.S_ISLNK(found.st_mode):
            raise UsageError(
                f"{place} could have been written by somebody else (it is a link, or not yours "
                "alone to write), and loading what is in it runs code; delete it, or chmod go-w it"
            )
    return path.read_bytes()


def _parsed(path: Path, data: bytes) -> JobRecord:
    head, _, body = data.partition(b"\n")
    try:
        told: dict[str, Any] = json.loads(head)
        if told.pop("schema") != SCHEMA:
            raise ValueError("another format")  # noqa: TRY301 - refused as everything else is
        arguments = Payload(body, codec=str(told.pop("codec")))
        record = JobRecord(arguments=arguments, **told)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is no record of this version: {error!r}; delete it") from None
    return record.replace(file=str(path.parents[2] / record.file))
