"""The runner's side of the processes that it starts, all by the same interpreter."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import procs

HERE = Path(__file__).parent


class Failed(Exception):
    """A subject could not do what it was asked; the message says why."""


def environment() -> dict[str, str]:
    """This environment without what would change how Python behaves, such as no bytecode files."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return kept | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


class Driver:
    """A subject in its own long-lived process."""

    def __init__(self, subject: str, workers: int) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, "driver.py", subject, str(workers)],
            cwd=HERE,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def ask(self, measure: str, at_most_s: float = 180) -> dict[str, float]:
        """Have it measured; whoever takes too long or dies has failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{measure}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed(self._last_words()) from None
        if not select.select([self._process.stdout], [], [], at_most_s)[0]:
            raise Failed(f"no answer within {at_most_s:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise Failed(self._last_words())
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines() or ["without a word"]
        return f"ended with {self._process.returncode}: {lines[-1]}"

    def close(self, *, patience_s: float = 10) -> None:
        """Let it end by itself, or end it."""
        _end(self._process, patience_s)
        self._errors.close()


def _end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    below = {pid: procs.started(pid) for pid in procs.tree(process.pid)[1:]}
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        procs.kill_tree(process.pid)
        process.wait()
    deadline = time.monotonic() + 5
    while below := {pid: at for pid, at in below.items() if at and procs.started(pid) == at}:
        if time.monotonic() > deadline:
            for pid in below:
                procs.kill_tree(pid)
            return
        time.sleep(0.02)


def run_program(name: str) -> dict[str, float]:
    """Run a program of `programs/` from its start until it has ended."""
    before = time.perf_counter()
    done = subprocess.run(
        [sys.executable, f"programs/{name}.py"],
        cwd=HERE,
        env=environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    taken = time.perf_counter() - before
    expected = b"hello world\n" if name.startswith("hello") else b""
    if done.returncode or done.stdout != expected:
        words = done.stderr.decode().strip().splitlines() or [repr(done.stdout)]
        raise Failed(f"ended with {done.returncode}: {words[-1]}")
    return {"whole_ms": taken * 1e3}


class Staying:
    """A program of `programs/` that has made its first call and now waits for nothing."""

    def __init__(self, name: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, f"programs/{name}.py", "stay"],
            cwd=HERE,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"hello world\n":
            self._process.kill()
            raise Failed("the program did not greet")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _end(self._process, 10)
