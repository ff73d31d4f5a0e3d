"""The host's end of one executor: its channels, its log pipes, and what can be taken back."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_emulator.agent.logs import LogPipe
from apothic_emulator.agent.outgoing import Outgoing
from apothic_emulator.core.effects import Dispatch, StartExecutor
from apothic_emulator.core.facts import Input, Loaded, LoadFailed, Printed, Reported
from apothic_emulator.executors import wire
from apothic_emulator.executors.wire import Buffer, Frame, FrameReader, WireError

_RECEIVE = 64 * 1024  # `recv` of 128 KiB and more maps fresh memory for every call: 25 us

Post = Callable[[Input], None]


class Line:
    """One executor as this process holds it. Reading is for the holder of `reading`."""

    def __init__(self, effect: StartExecutor, post: Post) -> None:
        self.number = effect.executor
        self.post = post
        self.is_closed = False
        self.fault = ""
        """How it broke the protocol, if it did."""
        self.reading = threading.Lock()
        self.logging = threading.Lock()
        token = os.urandom(16)
        self._ours: list[int] = []
        jobs, self._unread = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.bulk, bulk = socket.socketpair()
        self.session, session = socket.socketpair()
        for mine in (jobs, self.bulk, self.session):
            mine.setblocking(False)
        self.jobs_out = Outgoing(jobs)
        self.bulk_out = Outgoing(self.bulk)
        self.session_out = Outgoing(self.session)
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        self.logs = (LogPipe(out, "stdout", token), LogPipe(err, "stderr", token))
        self._dump = os.memfd_create("apothic-stack")
        self.theirs = [self._unread.fileno(), bulk.detach(), session.detach(), out_end, err_end]
        self._frames = FrameReader()
        self._session_frames = FrameReader()
        self._begin(effect, token)

    @property
    def descriptors(self) -> list[int]:
        """What the executor gets, in the order in which it expects it."""
        return [*self.theirs, self._dump]

    def handed_over(self) -> None:
        """The executor has its descriptors: ours must not keep its channels open."""
        for fd in self.theirs[1:]:
            os.close(fd)

    def _begin(self, effect: StartExecutor, token: bytes) -> None:
        """The first packet: what to be, and the code."""
        spec = {
            "name": effect.spec.name,
            "slots": effect.spec.concurrent_requests,
            "is_async": effect.spec.is_async,
            "codec": effect.code.codec,
            "token": token.hex(),
            "env": dict(os.environ),
            "path": [*sys.path],
            "cwd": _cwd(),
        }
        code = (effect.code.data, *effect.code.buffers)
        self._send(wire.LOAD, 0, 0, json.dumps(spec).encode(), code)

    # --- down -----------------------------------------------------------------------------------

    def dispatch(self, effect: Dispatch) -> None:
        """Put a job at the end of the line; `flush` writes it."""
        arguments = effect.arguments
        self._send(wire.JOB, effect.attempt, effect.job, arguments.data, arguments.buffers)

    def _send(
        self, kind: int, attempt: int, job: int, body: Buffer, buffers: tuple[Buffer, ...]
    ) -> None:
        if not buffers and len(body) <= wire.MOST_INLINE:
            packet = wire.head(kind, wire.INLINE, attempt, job, body, ()) + body
            self.jobs_out.waiting.append(packet)
            return
        header = wire.head(kind, 0, attempt, job, body, buffers)
        self.jobs_out.waiting.append(header[: wire.HEADER_SIZE])
        self.bulk_out.waiting.append(header[wire.HEADER_SIZE :] + body)
        self.bulk_out.waiting.extend(memoryview(b).cast("B") for b in buffers)

    def reply(self, kind: int, request: int, body: bytes, buffers: tuple[Buffer, ...]) -> None:
        """Answer a command of user code, or interrupt a job; `flush` writes it."""
        self.session_out.waiting.extend(wire.frame_parts(Frame(kind, 0, request, 0, body, buffers)))

    def interrupt(self, job: int) -> None:
        """Ask one job to stop."""
        frame = Frame(wire.INTERRUPT, 0, 0, job, b"")
        self.session_out.waiting.extend(wire.frame_parts(frame))

    def flush(self) -> None:
        """Write what the kernel takes."""
        for outgoing in (self.jobs_out, self.bulk_out, self.session_out):
            if outgoing.waiting:
                outgoing.flush()

    @property
    def blocked(self) -> list[Outgoing]:
        """What waits for the kernel."""
        return [o for o in (self.jobs_out, self.bulk_out, self.session_out) if o.blocked]

    def take_back(self, *, all_of_them: bool) -> tuple[int, ...]:
        """Receive what the executor has not: the numbers of jobs that certainly have not begun.

        A job whose arguments are on the bulk channel stays, because those cannot be taken back,
        unless `all_of_them` go with the executor.
        """
        packets = self._packets_back()
        kept: list[Buffer] = []
        taken: list[int] = []
        for packet in packets:
            kind, job, is_inline = wire.peek(packet)
            if kind == wire.JOB and (is_inline or all_of_them):
                taken.append(job)
            else:
                kept.append(packet)
        if kept and not all_of_them:
            self.jobs_out.waiting.extend(kept)
            self.jobs_out.flush()
        return tuple(taken)

    def _packets_back(self) -> list[bytes]:
        unwritten = self.jobs_out.take_back()
        packets: list[bytes] = []
        with contextlib.suppress(OSError):
            while packet := self._unread.recv(wire.MOST_PACKET, socket.MSG_DONTWAIT):
                packets.append(packet)
        return packets + [bytes(piece) for piece in unwritten]

    def hang_up(self) -> None:
        """Tell the executor that no more jobs come."""
        with contextlib.suppress(OSError):
            self.jobs_out.socket.shutdown(socket.SHUT_WR)

    # --- up -------------------------------------------------------------------------------------

    def read_bulk(self) -> bool:
        """Take what the executor has reported, in order; whether the channel is still good."""
        return self._read(self.bulk, self._frames, self._report)

    def read_session(self, answer: Callable[[Line, Frame], None]) -> bool:
        """Take what user code has asked."""
        return self._read(self.session, self._session_frames, lambda frame: answer(self, frame))

    def _read(
        self, source: socket.socket, frames: FrameReader, handle: Callable[[Frame], None]
    ) -> bool:
        try:
            while (target := frames.target()) is not None:
                count = source.recv_into(target)
                if not count:
                    return False
                whole = frames.received(count)
                if whole is not None:
                    handle(whole)
            data = source.recv(_RECEIVE)
            for frame in frames.feed(data):
                handle(frame)
        except BlockingIOError:
            return True
        except WireError as error:
            self.fault = str(error)
            return False
        except OSError:
            return False
        return bool(data)

    def _report(self, frame: Frame) -> None:
        kind = frame.kind
        if kind == wire.RESULT:
            self._read_logs_before(frame)
            result = Payload(bytes(frame.body), frame.buffers)
            retire = bool(frame.flags & wire.RETIRE)
            self.post(Reported(self.number, frame.job, frame.attempt, result, None, retire))
        elif kind == wire.ERROR:
            self._read_logs_before(frame)
            error, retire = _error_info(frame), bool(frame.flags & wire.RETIRE)
            self.post(Reported(self.number, frame.job, frame.attempt, None, error, retire))
        elif kind == wire.LOADED:
            self.post(Loaded(self.number))
        elif kind == wire.LOAD_FAILED:
            self._read_logs_before(frame)
            self.post(LoadFailed(self.number, _error_info(frame)))
        else:
            raise WireError(f"a frame of kind {kind} where reports are expected")

    def _read_logs_before(self, frame: Frame) -> None:
        """See to it that a job's text is known before its end is."""
        with self.logging:  # taken in any case: another thread may hold text that it has just read
            if frame.flags & wire.PRINTED:
                self._drain_logs()

    def read_log(self, pipe: LogPipe) -> bool:
        """Take text from a pipe that has some; whether the pipe is still open."""
        with self.logging:
            for owner, text in pipe.read():
                self.post(Printed(self.number, owner, pipe.stream, text))
            return pipe.is_open

    def _drain_logs(self) -> None:
        for pipe in self.logs:
            for owner, text in pipe.drain():
                self.post(Printed(self.number, owner, pipe.stream, text))

    def read_stack(self) -> str:
        """What the executor wrote when it was asked where it is."""
        return os.pread(self._dump, 1 << 20, 0).decode(errors="replace")

    def drain(self, answer: Callable[[Line, Frame], None]) -> None:
        """Its process is gone: take everything that it has left in its channels."""
        while self.read_bulk() and not self.fault and _is_readable(self.bulk):
            pass
        with self.logging:
            self._drain_logs()

    def close(self) -> None:
        """Let go of every descriptor."""
        self.is_closed = True
        for mine in (self.jobs_out.socket, self.bulk, self.session, self._unread):
            mine.close()
        for fd in (*(pipe.fd for pipe in self.logs), self._dump):
            os.close(fd)


def _is_readable(source: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        return bool(source.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    return False


def _cwd() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return "/"


def _error_info(frame: Frame) -> ErrorInfo:
    """What an executor says of a failure, taken as text only.

    Raises:
        WireError: it is not what an executor says.
    """
    try:
        said = json.loads(bytes(frame.body))
        exception = Payload(bytes(frame.buffers[0]), frame.buffers[1:]) if frame.buffers else None
        return ErrorInfo(
            code=str(said["code"]),
            message=str(said["message"]),
            type_name=str(said["type_name"]),
            traceback=str(said["traceback"]),
            exception=exception,
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WireError(f"an error report that cannot be read: {error!r}") from error
