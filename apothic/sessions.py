"""Sessions: shells and Python interpreters in a sandbox, which keep their state."""

from __future__ import annotations

from typing import Any

from apothic._twins import twin
from apothic._values import number, text
from apothic_backends.model.sandboxes import RunResult

SHELL, PYTHON = "shell", "python"


class Session:
    """A shell, or a Python interpreter, that keeps its state from one command to the next.

    A handle: whoever names the same session of the same sandbox means the same one. Commands run
    one after the other.
    """

    def __init__(self, link: Any, name: str, kind: str) -> None:
        self._link = link
        self.name = name
        self.kind = kind

    @twin
    async def run(self, command: str, timeout_s: float | None = None) -> RunResult:
        """Run a command, or some Python; what it has written, and its return code.

        A shell is bash, in which folder, variables and functions stay. Python keeps its names; the
        value of a last expression is printed, as at a prompt, and what raises has the return code
        1. The input of a command is empty. After `timeout_s` it is interrupted, and the return code
        is -1; what goes on nevertheless is killed with its session.
        """
        if timeout_s is not None:
            timeout_s = number("timeout_s", timeout_s, 0)
        how = (self.name, self.kind, text("command", command), timeout_s)
        run, result = await self._link.ask("run", *how)
        while result is None:
            result = await self._link.ask("result", self.name, run)
        found: RunResult = result
        return found

    @twin
    async def close(self) -> None:
        """End it, and forget its state; a command begins another one of that name."""
        await self._link.ask("close_session", self.name)

    @property
    def aio(self) -> SessionAio:
        """The same methods, to be awaited."""
        return SessionAio(self)

    def __repr__(self) -> str:
        """Its kind, its name, and of which sandbox it is."""
        return f"<Session {self.kind} {self.name!r} of {self._link.sandbox_id}>"


class SessionAio:
    """The methods of a session, to be awaited on asyncio or trio."""

    def __init__(self, session: Session) -> None:
        self.run = session.run.aio
        self.close = session.close.aio
