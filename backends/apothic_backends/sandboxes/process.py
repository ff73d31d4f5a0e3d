"""One program of a guest, seen from outside."""

from __future__ import annotations

import fcntl
import os
import signal as signals
import struct
import termios
import threading
import time
from typing import Protocol

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.sandboxes import StdinClosed
from apothic_backends.sandboxes.inside import packets
from apothic_backends.sandboxes.output import Chunk, Output

EXPIRED = -1
"""What `wait` gives for a program that was stopped at its time-out."""

_DRAIN_S = 1.0
_DYING_S = 2.0
_READ_BYTES = 64 * 1024
_MOST_PENDING_BYTES = 1024 * 1024
_END_OF_INPUT = b"\x04"


class Owner(Protocol):
    """What a program needs of its guest."""

    def tell(self, kind: int, number: int, value: int = 0) -> None:
        """Send a packet inside."""
        ...

    def watch(self, fd: int, process: Process, *, is_written: bool) -> None:
        """Call `process.ready` when something can be read, or written."""
        ...

    def forget(self, fd: int) -> None:
        """Do not call it for that any more."""
        ...

    def wake(self) -> None:
        """Look at the deadlines again."""
        ...


class Process:
    """A program that was started; any thread may call what is public."""

    def __init__(self, owner: Owner, exec_id: int) -> None:
        self.exec_id = exec_id
        self.pid = 0
        """Its process id in the guest."""
        self._owner = owner
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._over = threading.Condition(lock)
        """Whoever waits for the end is not to wake up for everything else."""
        self._outputs = {"stdout": Output(), "stderr": Output()}
        self._sources: dict[int, Output] = {}
        self._paused: dict[int, Output] = {}
        self._stdin = -1
        self._terminal = -1
        self._pending = bytearray()
        self._is_closing_stdin = False
        self._is_connected = False
        self._exit_code: int | None = None
        self._code: int | None = None
        self._expires_at: float | None = None
        self._ends_at: float | None = None

    # --- for its users --------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send it more input; waits while 1 MiB of it is unread.

        Raises:
            StdinClosed: it reads no more.
        """
        with self._changed:
            if self._stdin < 0 or self._is_closing_stdin:
                raise self._closed()
            self._pending += data
            self._flush()
            while len(self._pending) > _MOST_PENDING_BYTES and self._stdin >= 0:
                self._changed.wait()
            if self._pending and self._stdin < 0:
                raise self._closed()

    def close_stdin(self) -> None:
        """Let it read to the end of its input; may be called again."""
        with self._changed:
            if self._stdin < 0 or self._is_closing_stdin:
                return
            if self._terminal >= 0:
                self._pending += _END_OF_INPUT
            self._is_closing_stdin = True
            self._flush()

    def read(self, stream: str, position: int, wait_s: float | None = None) -> Chunk:
        """What it wrote to "stdout" or "stderr" from that position on.

        Waits for the first byte, `wait_s` at most; `data` is empty then, and at the end.
        """
        if stream not in self._outputs:
            raise InvalidOption(
                f"stream={stream!r}: it must be 'stdout' or 'stderr'", option="stream"
            )
        output = self._outputs[stream]
        with self._changed:
            chunk = output.read(position, time.monotonic())
            self._resume()
            if not chunk.data and not chunk.is_end:
                self._changed.wait_for(
                    lambda: output.end > position or output.is_ended, timeout=wait_s
                )
                chunk = output.read(position, time.monotonic())
            return chunk

    def poll(self) -> int | None:
        """Its exit code, or a signal below zero; None while it runs."""
        return self._code

    def wait(self, timeout_s: float | None = None) -> int | None:
        """As `poll`, when it has ended; None after `timeout_s`.

        What it has left running may still hold its output: that is waited for 1 s at most.
        """
        with self._changed:
            self._over.wait_for(lambda: self._code is not None, timeout=timeout_s)
            return self._code

    def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send a signal to it and its group; SIGKILL goes to all that it has started."""
        if self._code is None:
            is_last = signal == signals.SIGKILL
            kind = packets.KILL if is_last else packets.SIGNAL
            self._owner.tell(kind, self.exec_id, int(signal))

    def resize(self, rows: int, cols: int) -> None:
        """Say how large its terminal is; without one nothing happens."""
        with self._changed:
            if self._terminal >= 0:
                size = struct.pack("4H", rows, cols, 0, 0)
                fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def expire(self, timeout_s: float) -> None:
        """Kill it with all that it started after so long; `wait` gives -1 then."""
        self._expires_at = time.monotonic() + timeout_s
        self._owner.wake()

    # --- for its guest, whose thread calls these --------------------------------------------------

    def connect(self, stdin: int, outputs: dict[str, int], *, is_terminal: bool = False) -> None:
        """These are our ends of its pipes, or of its terminal."""
        with self._changed:
            self._is_connected = True
            self._stdin = stdin
            self._sources = {fd: self._outputs[name] for name, fd in outputs.items()}
            if len(outputs) == 1:
                self._outputs["stderr"].is_ended = True
            if is_terminal:
                self._terminal = next(iter(outputs.values()))
            for fd in self._sources:
                self._owner.watch(fd, self, is_written=False)
            if self._exit_code is not None:
                self._drain(time.monotonic())  # it has ended before its terminal was here

    def ready(self, fd: int, now: float) -> None:
        """Something can be read or written there."""
        with self._changed:
            if fd == self._stdin:
                self._flush()
            elif fd in self._sources:
                self._take(fd, now)
                self._settle()
            self._changed.notify_all()

    def exited(self, code: int, now: float) -> None:
        """It has ended; its output is taken for as long as others hold it, but not for long."""
        with self._changed:
            self._exit_code = EXPIRED if self._ends_at is not None else code
            if self._is_connected:
                self._drain(now)

    def deadline(self) -> float | None:
        """When `tick` is to be called."""
        if self._code is not None:
            return None
        paused = [output.patience_ends() for output in list(self._paused.values())]
        times = [self._expires_at, self._ends_at, *paused]
        return min((at for at in times if at is not None), default=None)

    def tick(self, now: float) -> None:
        """Do what is due."""
        with self._changed:
            if self._ends_at is not None and now >= self._ends_at:
                self._finish()
            elif self._expires_at is not None and now >= self._expires_at:
                self._expires_at = None
                if self._exit_code is None:
                    self._ends_at = now + _DYING_S
                    self._owner.tell(packets.KILL, self.exec_id)
            for output in list(self._paused.values()):
                if now >= output.patience_ends():
                    self._resume()

    def is_over(self) -> bool:
        """Whether there is nothing left to do for it: it has ended, and so has its output."""
        return self._code is not None and not self._sources

    def drop(self) -> None:
        """Its guest is gone."""
        with self._changed:
            if self._exit_code is None:
                self._exit_code = EXPIRED if self._ends_at is not None else -int(signals.SIGKILL)
            for fd in list(self._sources):
                self._end(fd)
            self._finish()

    # --- with the lock held -----------------------------------------------------------------------

    def _take(self, fd: int, now: float) -> None:
        """Read what can be read without waiting; a program that floods us has to share."""
        output = self._sources[fd]
        for _ in range(16):
            room = output.room(now)
            if not room and self._exit_code is None:
                self._owner.forget(fd)
                self._paused[fd] = output
                return
            try:
                data = os.read(fd, _READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""  # a terminal that nobody holds any more
            if not data:
                self._end(fd)
                return
            if self._code is None:
                output.append(data)
            if len(data) < _READ_BYTES and self._exit_code is None:
                return

    def _drain(self, now: float) -> None:
        self._ends_at = now + _DRAIN_S
        self._close_stdin()
        for fd in list(self._sources):
            self._take(fd, now)
        self._resume()
        self._settle()

    def _end(self, fd: int) -> None:
        output = self._sources.pop(fd)
        if self._paused.pop(fd, None) is None:
            self._owner.forget(fd)
        if fd == self._terminal:
            self._terminal = -1
        os.close(fd)
        output.is_ended = True

    def _resume(self) -> None:
        for fd in list(self._paused):
            del self._paused[fd]
            self._owner.watch(fd, self, is_written=False)

    def _settle(self) -> None:
        if self._exit_code is not None and not self._sources:
            self._finish()

    def _finish(self) -> None:
        if self._code is None:
            self._code = EXPIRED if self._exit_code is None else self._exit_code
        for output in self._outputs.values():
            output.is_ended = True
        self._close_stdin()
        self._resume()
        self._changed.notify_all()
        self._over.notify_all()

    def _flush(self) -> None:
        try:
            while self._pending:
                del self._pending[: os.write(self._stdin, self._pending[:_READ_BYTES])]
        except BlockingIOError:
            self._owner.watch(self._stdin, self, is_written=True)
            return
        except OSError:
            self._close_stdin()  # it reads no more
            return
        self._owner.forget(self._stdin)
        self._changed.notify_all()
        if self._is_closing_stdin:
            self._close_stdin()

    def _close_stdin(self) -> None:
        if self._stdin >= 0:
            self._owner.forget(self._stdin)
            os.close(self._stdin)
            self._stdin = -1
            self._changed.notify_all()

    def _closed(self) -> StdinClosed:
        return StdinClosed(f"program {self.exec_id} reads no more: its input is closed")
