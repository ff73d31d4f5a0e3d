from __future__ import annotations

import gc
import pickle
from typing import Any

import pytest

from apothic import (
    App,
    BackendClosed,
    Job,
    JobCancelled,
    JobError,
    JobTimeout,
    RemoteError,
    UsageError,
    WaitTimeout,
    WorkerLost,
    current_job,
    is_local,
)
from apothic._connect import use
from apothic_backends.commands import CancelJob, ReleaseJob
from apothic_backends.model.jobs import ErrorInfo, JobStatus
from apothic_backends.model.payloads import Payload
from tests.unit.apothic.threads import ThreadBackend

app = App("jobs")


@app.function
def say(text: str) -> str:
    print(text)
    return text


def test_a_job_tells_its_status_its_result_and_what_it_printed(backend: ThreadBackend) -> None:
    job = say.spawn("hello")

    assert job.wait() == "hello"
    assert job.status() is JobStatus.SUCCEEDED
    assert f"{job.status()}" == "succeeded"
    assert job.logs() == "hello\n"


def test_a_result_can_be_waited_for_again(backend: ThreadBackend) -> None:
    job = say.spawn("hello")

    assert [job.wait(), job.wait()] == ["hello", "hello"]


def test_a_wait_that_takes_too_long_leaves_the_job_alone(held: ThreadBackend) -> None:
    job = say.spawn("hello")

    with pytest.raises(WaitTimeout, match="jobs:1 has not ended within 0 s; it runs on"):
        job.wait(timeout_s=0)
    assert held.seen(CancelJob) == []
    held.go()
    assert job.wait() == "hello"


def test_waiting_for_a_cancelled_job_says_that_it_was(held: ThreadBackend) -> None:
    job = say.spawn("hello")

    job.cancel()

    assert job.status() is JobStatus.CANCELLED
    with pytest.raises(JobCancelled) as caught:
        job.wait()
    assert caught.value.data["job_id"] == "jobs:1"


def test_the_result_goes_with_its_only_handle(backend: ThreadBackend) -> None:
    say.spawn("hello")
    gc.collect()

    assert backend.seen(ReleaseJob) == [ReleaseJob("jobs:1")]


def test_a_result_whose_id_was_read_outlives_the_handle(backend: ThreadBackend) -> None:
    job_id = say.spawn("hello").job_id
    gc.collect()

    assert backend.seen(ReleaseJob) == []
    assert Job.from_id(job_id).wait() == "hello"


def test_a_pickled_handle_is_the_same_job_and_keeps_its_result(backend: ThreadBackend) -> None:
    job = say.spawn("hello")

    again = pickle.loads(pickle.dumps(job))
    assert again == job
    assert hash(again) == hash(job)
    del job
    gc.collect()
    assert again.wait() == "hello"


def test_an_id_of_something_else_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="not an id of jobs"):
        Job.from_id("functions:1")
    not_text: Any = 1
    with pytest.raises(UsageError, match="job_id must be a non-empty string, not 1"):
        Job.from_id(not_text)


def test_outside_a_worker_there_is_no_current_job() -> None:
    assert is_local()
    assert current_job() is None


@pytest.mark.parametrize(
    ("status", "info", "kind", "message"),
    [
        (
            JobStatus.TIMED_OUT,
            ErrorInfo("job_timeout", "too long", traceback="stack", data={"stack": "stack"}),
            JobTimeout,
            "too long",
        ),
        (
            JobStatus.LOST,
            ErrorInfo("worker_lost", "gone", data={"reason": "signal"}),
            WorkerLost,
            "gone",
        ),
        (
            JobStatus.FAILED,
            ErrorInfo("user_error", "boom", "Odd", "Traceback: boom"),
            RemoteError,
            "Odd: boom",
        ),
        (
            JobStatus.FAILED,
            ErrorInfo("user_error", "bye", "SystemExit", "tb", Payload(pickle.dumps(SystemExit()))),
            RemoteError,
            "SystemExit: bye",
        ),
        (
            JobStatus.FAILED,
            ErrorInfo("user_error", "boom", "Odd", "tb", Payload(b"\x80\x05cnowhere\nOdd\n.")),
            RemoteError,
            "Odd: boom",
        ),
    ],
)
def test_what_became_of_a_job_is_raised_as_its_own_error(
    held: ThreadBackend, status: JobStatus, info: ErrorInfo, kind: type[JobError], message: str
) -> None:
    job = say.spawn("hello")
    held.fail("jobs:1", status, info)

    with pytest.raises(kind, match=message) as caught:
        job.wait()
    assert caught.value.data["job_id"] == "jobs:1"
    assert (info.traceback in str(caught.value)) or (
        caught.value.__cause__ is not None and info.traceback in str(caught.value.__cause__)
    )


def test_a_handle_from_before_a_fork_does_not_mean_another_job(backend: ThreadBackend) -> None:
    job = say.spawn("hello")
    after = ThreadBackend()
    use(after)
    say.spawn("other").wait()

    with pytest.raises(BackendClosed, match="jobs:1 belongs to a control plane"):
        job.wait()
    del job
    gc.collect()
    assert len(after.seen(ReleaseJob)) == 1  # of the job that was its own
