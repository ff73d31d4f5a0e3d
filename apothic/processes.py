"""Programs that run in a sandbox: their input, their output, and their ends."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from apothic._twins import twin
from apothic._values import flag, is_string, is_tuple, number, refuse, whole
from apothic.iterations import Iteration
from apothic_backends.model.errors import InvalidOption, WaitTimeout

T = TypeVar("T", str, bytes)

MOST_ARGV = 65_536
"""Bytes of the arguments of a program, together."""

MOST_WRITTEN = 1 << 20
"""Bytes of input that go with one call."""

WAIT_S = 20.0
"""How long one call waits for output, or for an end; then the next one does."""

KILL = 9


class Arguments(NamedTuple):
    """What is said of a program beside its arguments."""

    timeout_s: float | None
    workdir: str | None
    env: Mapping[str, str]
    pty: bool | tuple[int, int]
    merge_stderr: bool


class SandboxProcess(Generic[T]):
    """A program in a sandbox. It runs on if nobody holds its handle: `box.process(exec_id)`."""

    def __init__(self, link: Any, state: Any, *, is_text: bool) -> None:
        self._link = link
        self._is_text = is_text
        self.exec_id: int
        """Its number in its sandbox."""
        self.returncode: int | None
        """How it has ended, once that is known: -1 if its time was over, -9 by signal 9."""
        self.exec_id, self.returncode, out, err = state
        self.stdin = ProcessInput(link, self.exec_id)
        """What it reads."""
        self.stdout: ProcessOutput[T] = ProcessOutput(
            link, self.exec_id, "stdout", out, is_text=is_text
        )
        """What it has written."""
        self.stderr: ProcessOutput[T] = ProcessOutput(
            link, self.exec_id, "stderr", err, is_text=is_text
        )
        """What it has written about errors."""

    @twin
    async def wait(self, timeout_s: float | None = None) -> int:
        """Its return code, once it has ended: -1 if its time was over.

        What it has started may go on; output of that may be missing.

        Raises:
            WaitTimeout: it has not ended within `timeout_s`; it runs on.
        """
        from apothic._drive import deadline_after, is_past  # loaded already  # noqa: PLC0415

        deadline = deadline_after(timeout_s)
        while self.returncode is None:
            wait_s = WAIT_S if timeout_s is None else min(WAIT_S, timeout_s)
            await self._look(wait_s)
            if self.returncode is None and is_past(deadline):
                raise WaitTimeout(
                    f"process {self.exec_id} of {self._link.sandbox_id} has not ended within "
                    f"{timeout_s:g} s; it runs on",
                    exec_id=self.exec_id,
                    timeout_s=timeout_s,
                )
        return self.returncode

    @twin
    async def poll(self) -> int | None:
        """Its return code; None while it runs."""
        if self.returncode is None:
            await self._look(0.0)
        return self.returncode

    async def _look(self, wait_s: float) -> None:
        _, self.returncode, out, err = await self._link.ask("look", self.exec_id, wait_s)
        self.stdout.known(out)
        self.stderr.known(err)

    @twin
    async def kill(self, signal: int = KILL) -> None:
        """Send a signal to it and all that it has started, if it runs."""
        await self._link.ask("kill", self.exec_id, whole("signal", signal, 1, 64))

    @twin
    async def resize(self, rows: int, columns: int) -> None:
        """Change the size of its terminal."""
        size = whole("rows", rows, 1, 10_000), whole("columns", columns, 1, 10_000)
        await self._link.ask("resize", self.exec_id, *size)

    @property
    def aio(self) -> ProcessAio:
        """The same methods, to be awaited."""
        return ProcessAio(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by its number, and read its output from the beginning."""
        return (_remade, (self._link.sandbox_id, self.exec_id, self._is_text))

    def __repr__(self) -> str:
        """Which one, and how it is."""
        how = "" if self.returncode is None else f" returncode={self.returncode}"
        return f"<SandboxProcess {self.exec_id} of {self._link.sandbox_id}{how}>"


class ProcessAio:
    """The methods of a process, to be awaited on asyncio or trio."""

    def __init__(self, process: SandboxProcess[Any]) -> None:
        self.wait = process.wait.aio
        self.poll = process.poll.aio
        self.kill = process.kill.aio
        self.resize = process.resize.aio


def _remade(sandbox_id: str, exec_id: int, is_text: bool) -> SandboxProcess[Any]:  # noqa: FBT001 - pickle gives it by place
    from apothic._sandboxes import Link  # brings much  # noqa: PLC0415

    return SandboxProcess(Link(sandbox_id), (exec_id, None, None, None), is_text=is_text)


class ProcessInput:
    """What a process reads."""

    def __init__(self, link: Any, exec_id: int) -> None:
        self._link = link
        self._exec_id = exec_id
        self._is_closed = False

    @twin
    async def write(self, data: str | bytes) -> None:
        """Give it input; text goes as UTF-8.

        Raises:
            ValueError: the input was closed.
        """
        if self._is_closed:
            raise ValueError(f"the input of process {self._exec_id} is closed")
        rest = memoryview(bytes_of(data))
        while rest:
            await self._link.ask("write", self._exec_id, bytes(rest[:MOST_WRITTEN]))
            rest = rest[MOST_WRITTEN:]

    @twin
    async def close(self) -> None:
        """Let it see the end of its input. Safe to repeat."""
        if not self._is_closed:
            self._is_closed = True
            await self._link.ask("close_stdin", self._exec_id)


class ProcessOutput(Iteration[T], Generic[T]):
    """What a process writes, line by line as it comes, for `for` and for `async for`.

    A line keeps its end. Whoever reads slowly slows the process down; what is not read is kept up
    to 16 MiB, of which the oldest goes first: see `lost_bytes`.
    """

    def __init__(
        self, link: Any, exec_id: int, stream: str, known: bytes | None, *, is_text: bool
    ) -> None:
        super().__init__(self._lines)
        self._link = link
        self._exec_id = exec_id
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace") if is_text else None
        self._whole = known
        self._position = 0
        self._rest: list[T] = []
        """A line that was begun."""
        self._is_end = False
        self.lost_bytes = 0
        """What was not kept until it was read."""

    def known(self, data: bytes | None) -> None:
        """All of it is known, and need not be asked for."""
        if self._position == 0 and not self._is_end:
            self._whole = data

    @twin
    async def read(self) -> T:
        """All that was not read before, once the process has ended or closed it."""
        found = [*self._ready, *self._rest]
        self._ready.clear()
        self._rest.clear()
        while not self._is_end:
            found.append(await self._next())
        return self._joined(found)

    @twin
    async def read_some(self) -> T:
        """What comes next, as soon as something does; nothing at the end."""
        found = [*self._ready, *self._rest]
        self._ready.clear()
        self._rest.clear()
        while not self._is_end and not any(found):
            found.append(await self._next())
        return self._joined(found)

    async def _lines(self) -> list[T]:
        """The lines that are there next; none at the end."""
        while not self._is_end:
            piece = await self._next()
            *lines, rest = self._split(piece)
            if lines:
                lines[0] = self._joined([*self._rest, lines[0]])
                self._rest = [rest]
                return lines
            self._rest.append(rest)
        last = self._joined(self._rest)
        self._rest.clear()
        return [last] if last else []

    def _split(self, piece: T) -> list[T]:
        """Lines with their ends, and what follows the last end, if only nothing."""
        end: Any = b"\n" if self._decoder is None else "\n"
        *lines, rest = piece.split(end)
        return [*(line + end for line in lines), rest]

    def _joined(self, pieces: list[T]) -> T:
        empty: Any = b"" if self._decoder is None else ""
        joined: T = empty.join(pieces)
        return joined

    async def _next(self) -> T:
        """What comes next, if only nothing."""
        data = self._whole
        if data is not None:
            self._whole, self._is_end = None, True
        else:
            data, position, lost, self._is_end = await self._link.ask(
                "read", self._exec_id, self._stream, self._position, WAIT_S
            )
            self.lost_bytes += lost
            self._position = position + len(data)
        decoder = self._decoder
        piece: Any = data if decoder is None else decoder.decode(data, final=self._is_end)
        found: T = piece
        return found


def bytes_of(data: Any) -> bytes:
    """Input as it travels.

    Raises:
        InvalidOption: it is neither text nor bytes.
    """
    if not isinstance(data, str | bytes | bytearray):
        refuse("data", data, "a str or bytes")
    found: bytes = data.encode() if isinstance(data, str) else bytes(data)
    return found


# --- what is said of one --------------------------------------------------------------------------


def argv_of(argv: tuple[Any, ...]) -> list[str]:
    """Check the arguments of a program, itself the first.

    Raises:
        InvalidOption: there are none, or they are no strings, or too long.
    """
    if not argv or not all(is_string(it) and "\0" not in it for it in argv):
        refuse("argv", argv, "at least one string, and all of them strings without NUL")
    length = sum(len(it.encode("utf-8", "surrogateescape")) for it in argv)
    if length > MOST_ARGV:
        raise InvalidOption(
            f"the arguments of {argv[0]:.100} have {length} bytes, of at most {MOST_ARGV}; put "
            "them into a file, or into the input",
            option="argv",
        )
    return [*argv]


def how_of(given: Arguments) -> dict[str, Any]:
    """What else is said of a program, as the host of its sandbox takes it.

    Raises:
        InvalidOption: something cannot be meant.
    """
    timeout_s, workdir, env, pty, merge_stderr = given
    how: dict[str, Any] = {"env": dict(env), "pty": size_of(pty)}
    if flag("merge_stderr", merge_stderr):
        how["merge_stderr"] = True
    if timeout_s is not None:
        how["timeout_s"] = number("timeout_s", timeout_s, 0)
    if workdir is not None:
        how["workdir"] = workdir
    return how


def size_of(pty: Any) -> tuple[int, int] | None:
    """The rows and columns of a terminal, if there is to be one."""
    if pty is False:
        return None
    if pty is True:
        return 24, 80
    if not is_tuple(pty) or len(pty) != 2:  # noqa: PLR2004 - a pair
        refuse("pty", pty, "True, False or (rows, columns)")
    return whole("rows", pty[0], 1, 10_000), whole("columns", pty[1], 1, 10_000)
