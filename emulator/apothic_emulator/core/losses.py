"""What to say of a job whose process died: the error, with the reason and the way out."""

from __future__ import annotations

from apothic_backends.model.errors import MemoryLimitExceeded, SetupFailed, WorkerLost
from apothic_backends.model.images import ImageBuildFailed
from apothic_backends.model.jobs import ErrorInfo
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.facts import Ended
from apothic_emulator.core.functions import Function
from apothic_emulator.core.jobs import Job

PREEMPTED = "preempted"
"""Why one was lost whose machine was given to somebody who pays more."""


def charge(fact: Ended) -> int:
    """For how many losses an end counts: nobody pays for what a provider takes away."""
    return int(fact.reason != PREEMPTED)


def code_of(fact: Ended) -> str:
    """The code of the error that an end becomes."""
    return WorkerLost.code if fact.excess is None else MemoryLimitExceeded.code


def error_of(job: Job, fact: Ended, reason: str, *, maybe_ran: bool) -> ErrorInfo:
    """The error of a job that was lost; a limit that was exceeded is the reason of all."""
    data: dict[str, object] = {
        "maybe_ran": maybe_ran,
        "reason": reason,
        "signal": fact.signal,
        "exit_code": fact.exit_code,
        "losses": job.losses,
    }
    excess = fact.excess
    if excess is not None:
        data["reason"] = fact.reason
        data |= {field: getattr(excess, field) for field in excess.fields}
    return ErrorInfo(code_of(fact), _how_lost(job, fact, reason), data=data)


def _how_lost(job: Job, fact: Ended, reason: str) -> str:
    """Say what took the process, and what to do about it."""
    what = what_happened(job.function, fact) + (f": {fact.detail}" if fact.detail else "")
    if reason == "start":
        return f"no process for {job.job_id} got as far as loading it: the last {what}"
    return f"the process that ran {job.job_id} {what}{_whether_again(job, fact)}"


def _whether_again(job: Job, fact: Ended) -> str:
    if not job.may_run_again:
        return "; items of it had been taken, so it is not run again"
    is_hopeless = fact.excess is not None or job.function.spec.retries.max_retries
    return "" if is_hopeless else "; retries=1 would run it again"


def overdue(executor: Executor, now: float) -> ErrorInfo:
    """Why an executor is stopped that has not got as far as taking jobs."""
    limit_s, name = now - executor.idle_since, executor.function.spec.name
    if not executor.is_prepared:
        return ErrorInfo(
            ImageBuildFailed.code,
            f"making the image of {name!r} took longer than {limit_s:g} s. Take steps out of it, "
            "or have it built where it is stored: `apothic image build`",
        )
    return ErrorInfo(
        SetupFailed.code,
        f"loading {name!r} took longer than {limit_s:g} s. "
        "Import less at the top of its module, or raise "
        f"{'service_startup_timeout_s' if executor.serves else 'timeout_s'}",
    )


def what_happened(function: Function, fact: Ended) -> str:
    """What a process did that is no more."""
    excess = fact.excess
    if excess is not None:
        return (
            f"was killed because it used {excess.peak_mb} MB, more than "
            f"memory_mb={excess.limit_mb} of {function.spec.name!r} allows "
            f"({excess.evidence}). Raise memory_mb, or hold less at once"
        )
    return {
        "signal": f"was killed by signal {fact.signal}",
        "exit": f"exited with code {fact.exit_code}",
        "protocol": "broke its channel to the control plane",
        "start": "could not be started",
        "restart": "ended with its control plane",
        "gpu": "lost its GPU",
        "preempted": "was on a machine that its provider gave to somebody who pays more",
        "disconnect": "was on a machine that has gone, or was not heard of for too long",
    }.get(fact.reason, fact.reason)
