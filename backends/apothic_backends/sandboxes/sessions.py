"""Sessions: a shell or a Python interpreter in a sandbox, which keeps its state between commands.

A command is written to its input, and followed by a mark that nobody can guess, which it writes to
both of its outputs when it is done: what comes before is the command's. Commands of a session run
one after the other. One whose time is over is interrupted, as by Ctrl-C; where that does not help
the session is killed, and the next command begins another one.
"""

from __future__ import annotations

import itertools
import json
import secrets
import shlex
import signal
import threading
import time
from collections.abc import Callable
from typing import Protocol

from apothic_backends.model.errors import InvalidOption, NotFound
from apothic_backends.model.sandboxes import RunResult, StdinClosed
from apothic_backends.sandboxes.process import Process

SHELL, PYTHON = "shell", "python"

MOST_SESSIONS = 32
MOST_COMMAND = 1 << 20
"""Characters of a command."""
MOST_OUTPUT = 16 << 20
"""Bytes of one of its outputs that are kept, the newest."""
KEPT_RUNS = 64
INTERRUPT_S = 3.0
"""How long it is interrupted before it is killed."""
_EACH_S = 0.2
_LOOK_S = 5.0

_PRELUDE = """exec 8>&1 9>&2
_apothic_run() { eval "$1" </dev/null; }
trap 'break 9999 2>/dev/null; return 130 2>/dev/null' INT
"""

_DRIVER = """
import ast, json, os, signal, sys, traceback
asked = os.fdopen(os.dup(0), encoding="utf-8")
out, err = os.dup(1), os.dup(2)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
names = {"__name__": "__main__", "__builtins__": __builtins__}
signal.signal(signal.SIGINT, signal.SIG_IGN)
def run(source):
    tree = ast.parse(source, "<session>")
    is_value = bool(tree.body) and isinstance(tree.body[-1], ast.Expr)
    last = tree.body.pop() if is_value else None
    exec(compile(tree, "<session>", "exec"), names)
    if last is not None:
        sys.displayhook(eval(compile(ast.Expression(last.value), "<session>", "eval"), names))
for line in asked:
    source, mark = json.loads(line)
    code = 0
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            run(source)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(out, f"\\n{mark} {code}\\n".encode())
    os.write(err, f"\\n{mark}\\n".encode())
"""


class Starts(Protocol):
    """What starts programs: a guest."""

    def start(self, argv: list[str]) -> Process:
        """Start one."""
        ...


def _shell_line(command: str, mark: str) -> str:
    return (
        f"_apothic_run {shlex.quote(command)}; "
        f"printf '\\n%s %d\\n' {mark} $? >&8; printf '\\n%s\\n' {mark} >&9\n"
    )


def _python_line(command: str, mark: str) -> str:
    return json.dumps([command, mark]) + "\n"


class Kind:
    """A kind of sessions: what is started, what it is told first, and how a command is put."""

    def __init__(self, argv: list[str], first: str, line: Callable[[str, str], str]) -> None:
        self.argv = argv
        self.first = first
        self.line = line


KINDS = {
    SHELL: Kind(["bash", "--noprofile", "--norc"], _PRELUDE, _shell_line),
    PYTHON: Kind(["python3", "-u", "-c", _DRIVER], "", _python_line),
}


class Run:
    """One command."""

    def __init__(self, command: str, timeout_s: float | None) -> None:
        self.command = command
        self.timeout_s = timeout_s
        self.is_done = threading.Event()
        self.result: RunResult | None = None
        self.error: Exception | None = None


class Session:
    """One session; `begin` and `work` are called by one thread at a time."""

    def __init__(self, guest: Starts, kind: str) -> None:
        self.kind = kind
        self.turn = threading.Lock()
        self.runs: dict[int, Run] = {}
        self._guest = guest
        self._how = KINDS[kind]
        self._process: Process | None = None
        self._positions = {"stdout": 0, "stderr": 0}

    def carry_out(self, run: Run) -> None:
        """Run a command to its end; what becomes of it is told by `run`."""
        with self.turn:
            try:
                run.result = self._carry_out(run)
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                run.error = error
            run.is_done.set()

    def close(self) -> None:
        """Kill it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def _begin(self) -> Process:
        if self._process is None or self._process.poll() is not None:
            self._process = self._guest.start(self._how.argv)
            self._positions = {"stdout": 0, "stderr": 0}
            if self._how.first:
                self._process.write(self._how.first.encode())
        return self._process

    def _carry_out(self, run: Run) -> RunResult:
        process, mark = self._begin(), secrets.token_hex(16)
        deadline = None if run.timeout_s is None else time.monotonic() + run.timeout_s
        try:
            process.write(self._how.line(run.command, mark).encode("utf-8", "surrogateescape"))
        except StdinClosed:
            pass  # it has ended; its output says so
        reading = _Reading(process, self._positions, mark, deadline)
        out, rest = reading.until_mark("stdout")
        err, _ = reading.until_mark("stderr")
        code = process.wait(1.0) if rest is None else int(rest)
        if rest is None:
            self._process = None
        if reading.is_late or code is None:
            code = -1
        return RunResult(code, out, err, is_session_over=rest is None)


class _Reading:
    """Reads what a command writes, and stops it when its time is over."""

    def __init__(
        self, process: Process, positions: dict[str, int], mark: str, deadline: float | None
    ) -> None:
        self._process = process
        self._positions = positions
        self._mark = f"\n{mark}".encode()
        self._deadline = deadline
        self.is_late = False

    def until_mark(self, stream: str) -> tuple[str, str | None]:
        """What comes before the mark, and what follows it in its line; None if it never comes."""
        data = bytearray()
        while True:
            chunk = self._process.read(stream, self._positions[stream], self._wait_s())
            self._positions[stream] = chunk.end
            first = max(0, len(data) - len(self._mark) - 16)
            data += chunk.data
            at = data.find(self._mark, first)
            if at >= 0 and data.endswith(b"\n"):
                rest = data[at + len(self._mark) :].decode().strip()
                return _text(data[:at]), rest
            if chunk.is_end:
                return _text(data), None
            if len(data) > 2 * MOST_OUTPUT:
                del data[: len(data) - MOST_OUTPUT]
            self._stop_if_late()

    def _wait_s(self) -> float:
        if self._deadline is None:
            return _LOOK_S
        left_s = self._deadline - time.monotonic()
        return min(_LOOK_S, max(left_s, _EACH_S))

    def _stop_if_late(self) -> None:
        now = time.monotonic()
        if self._deadline is None or now < self._deadline:
            return
        self.is_late = True
        is_hopeless = now > self._deadline + INTERRUPT_S
        self._process.kill(signal.SIGKILL if is_hopeless else signal.SIGINT)


def _text(data: bytes | bytearray) -> str:
    return bytes(data[-MOST_OUTPUT:]).decode("utf-8", "replace")


class Sessions:
    """The sessions of a sandbox, by name."""

    def __init__(self, guest: Starts) -> None:
        self._guest = guest
        self._sessions: dict[str, Session] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def run(self, name: str, kind: str, command: str, timeout_s: float | None) -> int:
        """Begin a command, after those before it; its number.

        Raises:
            InvalidOption: the session is of another kind, or something cannot be meant.
        """
        if len(command) > MOST_COMMAND or "\0" in command:
            raise InvalidOption(
                f"a command has {len(command)} characters, of at most {MOST_COMMAND}, and none of "
                "them may be NUL; put it into a file",
                option="command",
            )
        session, run = self._session(name, kind), Run(command, timeout_s)
        with self._lock:
            number = next(self._numbers)
            session.runs[number] = run
            for old in [it for it, run in session.runs.items() if run.is_done.is_set()][
                :-KEPT_RUNS
            ]:
                del session.runs[old]
        threading.Thread(
            target=session.carry_out, args=(run,), name="apothic-session", daemon=True
        ).start()
        return number

    def result(self, name: str, number: int, wait_s: float) -> RunResult | None:
        """What became of a command; None if it has not ended within that time."""
        with self._lock:
            session = self._sessions.get(name)
            run = None if session is None else session.runs.get(number)
        if run is None:
            raise NotFound(f"session {name!r} has no command {number} (any more)")
        run.is_done.wait(wait_s)
        if run.error is not None:
            raise run.error
        return run.result

    def close(self, name: str) -> None:
        """End a session, if there is one."""
        with self._lock:
            session = self._sessions.pop(name, None)
        if session is not None:
            session.close()

    def _session(self, name: str, kind: str) -> Session:
        if kind not in KINDS:
            raise InvalidOption(f"kind={kind!r}: it must be 'shell' or 'python'", option="kind")
        with self._lock:
            session = self._sessions.get(name)
            if session is None:
                if len(self._sessions) >= MOST_SESSIONS:
                    raise InvalidOption(
                        f"the sandbox has {MOST_SESSIONS} sessions already; close some",
                        option="name",
                    )
                session = self._sessions[name] = Session(self._guest, kind)
        if session.kind != kind:
            raise InvalidOption(
                f"session {name!r} is a {session.kind} session, and no {kind}; take another name",
                option="kind",
            )
        return session
