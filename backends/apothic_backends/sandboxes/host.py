"""What holds a sandbox: an object in a process of ours, whose methods are called as others are.

It is outside the isolation, and what users run is inside, in processes of the guest. A call names
the sandbox that it means by its token, so that a handle never reaches another one.

Nothing waits here for long: whoever waits for output or for an end asks again. So calls end soon,
and so does the process once it is to.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apothic_backends.model.errors import NotFound
from apothic_backends.model.sandboxes import RunResult, SandboxGone
from apothic_backends.sandboxes.dials import Dials
from apothic_backends.sandboxes.files import Files
from apothic_backends.sandboxes.guest import Guest, open_guest
from apothic_backends.sandboxes.homes import new_home, remove
from apothic_backends.sandboxes.isolation import GuestSpec
from apothic_backends.sandboxes.process import Process
from apothic_backends.sandboxes.sessions import Sessions
from apothic_backends.sandboxes.transfers import Transfers

SOON_S = 0.02
"""What ends within that after its start is told with the start, in one call."""

MOST_WAIT_S = 20.0
"""How long one call waits at most."""

KEPT = 32
"""Processes that have ended, and whose output is kept."""

State = tuple[int, int | None, bytes | None, bytes | None]
"""A process: its number, its return code once it has ended, and its output if that is short."""


class Host:
    """One sandbox. `how` is what its guest needs: see `GuestSpec`."""

    def __init__(self, token: str, how: Mapping[str, Any]) -> None:
        self._token = token
        self._home, self._lock = new_home()
        workspace = self._home / "workspace"
        self._guest = _opened(workspace, **how)
        self._transfers = Transfers(Files(workspace, owner=self._guest.owner), self._home)
        self._sessions = Sessions(self._guest)
        self._dials = Dials(self._guest)
        self._processes: dict[int, Process] = {}
        self._changing = threading.Lock()
        self._is_closed = False

    # --- the sandbox ----------------------------------------------------------------------------

    def describe(self, token: str) -> tuple[str, tuple[str, ...]]:
        """How far it is isolated, and what is missing."""
        self._check(token)
        it = self._guest.isolation
        return it.level, tuple(it.missing)

    def close(self, token: str = "") -> None:
        """End everything in it, and remove its files. Safe to repeat."""
        if token:
            self._check(token)
        with self._changing:
            was_closed, self._is_closed = self._is_closed, True
        if not was_closed:
            self._guest.close()
            self._dials.close()
            self._transfers.close()
            remove(self._home)
            os.close(self._lock)

    def _check(self, token: str) -> None:
        if token != self._token or self._is_closed:
            raise SandboxGone("there is no such sandbox (any more)")

    def files(self, token: str, name: str, args: tuple[Any, ...], how: dict[str, Any]) -> Any:
        """Do something with its files: see `Transfers`."""
        self._check(token)
        return self._transfers.do(name, args, how)

    # --- sessions -------------------------------------------------------------------------------

    def run(
        self, token: str, name: str, kind: str, command: str, timeout_s: float | None
    ) -> tuple[int, RunResult | None]:
        """Run a command in a session: its number, and what became of it if that is soon."""
        self._check(token)
        number = self._sessions.run(name, kind, command, timeout_s)
        return number, self._sessions.result(name, number, MOST_WAIT_S)

    def result(self, token: str, name: str, number: int) -> RunResult | None:
        """What became of a command; None if it has not ended yet."""
        self._check(token)
        return self._sessions.result(name, number, MOST_WAIT_S)

    def close_session(self, token: str, name: str) -> None:
        """End a session, if there is one."""
        self._check(token)
        self._sessions.close(name)

    # --- ports ----------------------------------------------------------------------------------

    def dial(self, token: str, port: int, wait_s: float) -> int | None:
        """Connect to a port: see `Dials`; so do the next three."""
        self._check(token)
        return self._dials.dial(port, min(wait_s, MOST_WAIT_S))

    def send(self, token: str, number: int, data: bytes) -> None:
        """Send bytes; none at all is their end."""
        self._check(token)
        self._dials.send(number, data)

    def receive(self, token: str, number: int, wait_s: float) -> bytes | None:
        """What has come, once something has; None if that time was too short."""
        self._check(token)
        return self._dials.receive(number, min(wait_s, MOST_WAIT_S))

    def hang_up(self, token: str, number: int) -> None:
        """Close a connection, if it is open."""
        self._check(token)
        self._dials.hang_up(number)

    # --- processes ------------------------------------------------------------------------------

    def exec(self, token: str, argv: Sequence[str], how: Mapping[str, Any]) -> State:
        """Start a process; what ends soon is told at once."""
        self._check(token)
        given = dict(how)
        timeout_s = given.pop("timeout_s", None)
        process = self._guest.start(list(argv), **given)
        for stream in ("stdout", "stderr"):
            process.read(stream, 0, 0)  # somebody is about to read, so that nothing is lost yet
        if timeout_s is not None:
            process.expire(timeout_s)
        self._keep(process)
        return self._state(process, SOON_S)

    def look(self, token: str, exec_id: int, wait_s: float) -> State:
        """How a process is, once it has ended, or after that time."""
        state = self._state(self._process(token, exec_id), min(wait_s, MOST_WAIT_S))
        self._check(token)  # that it was ended is more to know than how
        return state

    def read(
        self, token: str, exec_id: int, stream: str, position: int, wait_s: float
    ) -> tuple[bytes, int, int, bool]:
        """Output from a position on: bytes, where they begin, how many are lost, and the end."""
        process = self._process(token, exec_id)
        chunk = process.read(stream, position, min(wait_s, MOST_WAIT_S))
        self._check(token)
        return chunk.data, chunk.position, chunk.lost_bytes, chunk.is_end

    def write(self, token: str, exec_id: int, data: bytes) -> None:
        """Give a process input."""
        self._process(token, exec_id).write(data)

    def close_stdin(self, token: str, exec_id: int) -> None:
        """Let a process see the end of its input."""
        self._process(token, exec_id).close_stdin()

    def kill(self, token: str, exec_id: int, signal: int) -> None:
        """Send a signal to a process, if it runs."""
        self._process(token, exec_id).kill(signal)

    def resize(self, token: str, exec_id: int, rows: int, cols: int) -> None:
        """Change the size of a terminal."""
        self._process(token, exec_id).resize(rows, cols)

    def _process(self, token: str, exec_id: int) -> Process:
        self._check(token)
        found = self._processes.get(exec_id)
        if found is None:
            raise NotFound(
                f"the sandbox has no process {exec_id} (any more): it keeps the last {KEPT} that "
                "have ended",
                exec_id=exec_id,
            )
        return found

    def _keep(self, process: Process) -> None:
        with self._changing:
            self._processes[process.exec_id] = process
            if len(self._processes) > KEPT:
                over = [it for it in self._processes.values() if it.poll() is not None]
                for old in over[:-KEPT]:
                    del self._processes[old.exec_id]

    def _state(self, process: Process, wait_s: float) -> State:
        code = process.wait(wait_s)
        if code is None:
            return process.exec_id, None, None, None
        out, err = (process.read(stream, 0, 0) for stream in ("stdout", "stderr"))
        is_whole = out.is_end and err.is_end and not (out.lost_bytes or err.lost_bytes)
        if not is_whole:
            return process.exec_id, code, None, None
        return process.exec_id, code, out.data, err.data


# --- its guest ------------------------------------------------------------------------------------


def _opened(
    workspace: Path,
    *,
    env: Mapping[str, str],
    image: str | None = None,
    has_secrets: bool = False,
    **how: Any,
) -> Guest:
    """What its programs run in: a container of an image, or this machine as far as it lets them."""
    names = os.environ["APOTHIC_SECRETS"].split(",") if has_secrets else ()
    given = {name: os.environ[name] for name in names if name}
    spec = GuestSpec(workspace=workspace, env={**given, **env}, **how)
    if image is None:
        return open_guest(spec)
    from apothic_backends.sandboxes.container import open_container  # an extra  # noqa: PLC0415

    return open_container(spec, image)
