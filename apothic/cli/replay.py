"""`apothic replay`: call what a failed job called, with what it was given."""

from __future__ import annotations

from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from apothic._serialize import decode_arguments
from apothic.cli import records
from apothic.cli.calls import Calls
from apothic.cli.load import load
from apothic.cli.records import JobRecord
from apothic.cli.talk import Talk
from apothic.cli.ways import Ways
from apothic.cli.wishes import Wishes
from apothic.functions import Declared, declared
from apothic_backends.model.errors import NotFound, UsageError


def replay(job_id: str, how: Ways, asked: Wishes) -> int:
    """Call the function of a recorded job with what the job was given; the exit code."""
    with Talk(asked) as talk:
        return talk.report(partial(_replay, job_id, how, talk))


def _replay(job_id: str, how: Ways, talk: Talk) -> int:
    talk.prepare(how)
    calls = Calls(talk)
    record = records.read(job_id)
    file = Path(record.file)
    if not file.is_file():
        raise NotFound(
            f"{record.job_id} called {record.function_name}() of {file}, which is not there any "
            "more; put it back, or call it anew with `apothic run`",
            name=record.file,
        )
    status, _ = calls.guarded(partial(calls.aside, partial(load, file)))
    if status:
        return status
    function = declared(record.app_name, record.function_name)
    args, kwargs = _arguments(record, function)
    talk.say(f"again: {record.job_id}, {file.name}::{record.function_name}")
    talk.say(f"it ended as {record.status}: {record.error}")
    return calls.remotely(function, args, kwargs)


def _arguments(record: JobRecord, function: Declared[..., Any]) -> tuple[list[Any], dict[str, Any]]:
    """What the job was given, if it still can be given."""
    try:
        args, kwargs = decode_arguments(record.arguments)
    except Exception as error:
        raise UsageError(
            f"the input of {record.job_id} cannot be rebuilt with the code as it is now: {error!r}"
        ) from error
    try:
        signature(function.raw()).bind(*args, **kwargs)
    except TypeError as error:
        raise UsageError(
            f"{record.job_id} called {function.name}() as it was then; now it is "
            f"{function.name}{signature(function.raw())}: {error}"
        ) from None
    return [*args], kwargs
