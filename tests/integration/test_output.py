"""What user code prints: complete, of the right job, and never in the protocol's way."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

from apothic import Function
from tests.integration.support import logs, runner

pytestmark = pytest.mark.usefixtures("clean")
Run = Function[..., Any]


def printed(run: Run, action: Any, *args: Any) -> str:
    job = run.spawn(action, *args)
    job.wait()
    return logs(job)


def test_print_is_captured(run: Run) -> None:
    assert printed(run, lambda: print("hello")) == "hello\n"


def test_text_without_a_newline_is_captured(run: Run) -> None:
    assert printed(run, lambda: print("half", end="")) == "half"


def test_both_streams_are_captured_in_order(run: Run) -> None:
    def action() -> None:
        print("one")
        print("two", file=sys.stderr)

    assert sorted(printed(run, action).split()) == ["one", "two"]


def test_c_code_that_has_not_flushed_is_captured(run: Run) -> None:
    def action() -> None:
        ctypes.CDLL(None).printf(b"from C\n")

    assert printed(run, action) == "from C\n"


def test_raw_writes_and_shells_are_captured(run: Run) -> None:
    def action() -> None:
        os.write(1, b"raw\n")
        subprocess.run(["echo", "shell"], check=True)

    assert printed(run, action) == "raw\nshell\n"


def test_text_that_is_not_utf_8_is_replaced(run: Run) -> None:
    assert printed(run, lambda: os.write(1, b"\xff\n")) == "\ufffd\n"


def test_surrogates_can_be_printed(run: Run) -> None:
    assert printed(run, lambda: print("\udcff")) == "\\udcff\n"


def test_an_error_in_a_warning_goes_to_the_log(run: Run) -> None:
    assert "mind the gap" in printed(run, lambda: warnings.warn("mind the gap", stacklevel=1))


def test_replacing_stdout_loses_nothing(run: Run) -> None:
    def action() -> None:
        sys.stdout = os.fdopen(os.dup(1), "w")
        print("buffered")

    assert printed(run, action) == "buffered\n"


def test_closing_stdout_harms_no_later_call(run: Run) -> None:
    run.remote(lambda: (sys.stdout.close(), None)[1])

    assert printed(run, lambda: print("again")) == "again\n"


def test_every_job_has_its_own_text(run: Run) -> None:
    jobs = [run.spawn(lambda n: print(f"job {n}"), n) for n in range(50)]

    for n, job in enumerate(jobs):
        job.wait()
        assert logs(job) == f"job {n}\n"


def test_every_job_has_its_own_text_from_c(run: Run) -> None:
    jobs = [run.spawn(lambda n: os.write(1, b"job %d\n" % n) and None, n) for n in range(50)]

    for n, job in enumerate(jobs):
        job.wait()
        assert logs(job) == f"job {n}\n"


READ_IN_BETWEEN = """
import os, tempfile
from mmap import mmap
from apothic_emulator.agent.logs import LogPipe
from apothic_emulator.executors import wire
from apothic_emulator.executors.output import Output

class Flags:
    "The host reads just after the executor has looked here."

    def __getitem__(self, place):
        seen = flags[place]
        host[place].read()
        return seen

shared = tempfile.TemporaryFile()
shared.truncate(wire.SHARED_FLAGS)
flags = mmap(shared.fileno(), wire.SHARED_FLAGS)
told = os.dup(1)
pipes = [os.pipe(), os.pipe()]
host = [LogPipe(ends[0], name, b"token", flags) for ends, name in zip(pipes, ("stdout", "stderr"))]
output = Output(pipes[0][1], pipes[1][1], b"token", shared.fileno())
output.flags = Flags()
os.write(1, b"text")
os.write(told, b"is told" if output.end_job() else b"is missed")
"""


def test_text_that_is_read_just_as_its_job_ends_is_not_missed(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", READ_IN_BETWEEN], cwd=tmp_path, stdout=subprocess.PIPE, check=True
    )

    assert told.stdout == b"is told"


def test_text_from_c_after_a_job_that_printed_is_its_own(run: Run) -> None:
    run.remote(lambda: print("first"))

    assert printed(run, lambda: os.write(1, b"second\n")) == "second\n"


def test_threads_print_for_the_call_they_serve() -> None:
    run = runner(concurrent_requests=4)
    gate = "import threading; gate = threading.Barrier(4)"

    def action(n: int) -> None:
        exec(f"global gate\nif 'gate' not in globals():\n    {gate}", sys.__dict__)
        for _ in range(500):
            print(f"job {n}")

    jobs = [run.spawn(action, n) for n in range(4)]

    for n, job in enumerate(jobs):
        job.wait()
        assert logs(job) == f"job {n}\n" * 500


def test_tasks_print_for_the_call_they_serve() -> None:
    async def action(n: int) -> None:
        for _ in range(20):
            print(f"job {n}")
            await asyncio.sleep(0)

    async def call(n: int) -> None:
        await action(n)

    from apothic import App

    function: Any = App("tasks").function(concurrent_requests=4)(call)
    jobs = [function.spawn(n) for n in range(4)]

    for n, job in enumerate(jobs):
        job.wait()
        assert logs(job) == f"job {n}\n" * 20


def test_the_last_words_of_a_result_belong_to_its_job(run: Run) -> None:
    class Talker:
        def __del__(self) -> None:
            print("bye")

        def __reduce__(self) -> Any:
            return str, ("plain",)

    assert printed(run, Talker) == "bye\n"


def test_a_job_that_fails_keeps_its_text(run: Run) -> None:
    def action() -> None:
        print("before")
        raise ValueError

    job = run.spawn(action)

    with pytest.raises(ValueError):  # noqa: PT011
        job.wait()
    assert logs(job) == "before\n"


def test_a_flood_without_newlines_is_bounded_and_its_end_kept(run: Run) -> None:
    def action() -> None:
        for _ in range(64):
            os.write(1, b"x" * (1 << 20))
        print("\nthe end")

    text = printed(run, action)

    assert len(text) < 3 << 20
    assert text.endswith("the end\n")
    assert "dropped" in text


def test_a_child_that_floods_on_does_not_hold_up_the_report(run: Run) -> None:
    def action() -> str:
        subprocess.Popen(["yes"])
        return "done"

    assert run.remote(action) == "done"


def test_a_daemon_thread_that_floods_on_does_not_hold_up_later_jobs(run: Run) -> None:
    def flood() -> None:
        while True:
            os.write(1, b"y\n" * 1000)

    run.remote(lambda: threading.Thread(target=flood, daemon=True).start())

    assert [run.remote(lambda n: n, n) for n in range(20)] == list(range(20))


def test_printing_from_an_import_is_no_error() -> None:
    run = runner()

    assert printed(run, lambda: __import__("this") and None).startswith("The Zen of Python")
