"""The host's end of one executor: its channels, its log pipes, and what can be taken back."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import PICKLES, Payload
from apothic_backends.model.record import Record
from apothic_emulator.agent import interpreter
from apothic_emulator.agent.channels import Channels
from apothic_emulator.agent.lent import Lent
from apothic_emulator.agent.logs import LogPipe, Read
from apothic_emulator.agent.outgoing import Outgoing
from apothic_emulator.agent.terminal import terminal
from apothic_emulator.agent.zygotes import Environment
from apothic_emulator.core.effects import Credit, Dispatch, DispatchBatch, StartExecutor
from apothic_emulator.core.facts import (
    Input,
    Loaded,
    LoadFailed,
    Printed,
    Produced,
    Reported,
    Said,
    StackDumped,
)
from apothic_emulator.core.streams import MOST_AHEAD, MOST_AHEAD_BYTES
from apothic_emulator.executors import packets, wire
from apothic_emulator.executors.wire import Buffer, Frame, FrameReader, WireError

_RECEIVE = 64 * 1024  # `recv` of 128 KiB and more maps fresh memory for every call: 25 us

Post = Callable[[Input], None]


class Line:
    """One executor as this process holds it. Reading is for the holder of `reading`."""

    def __init__(
        self,
        effect: StartExecutor,
        post: Post,
        env: dict[str, str],
        tree: dict[str, str] | None = None,
        *,
        environment: Environment | None = None,
        task: dict[str, Any] | None = None,
    ) -> None:
        self.number, self.post, self._environment = effect.executor, post, environment
        self.preload = _preload(effect.spec)
        """Modules that further executors of this function should find imported."""
        self.is_loaded = False
        self.asked_for_stack = False
        self.is_closed = False
        self.fault = ""
        """How it broke the protocol, if it did."""
        self.needs = effect.spec.needs
        self.keeps_secrets = effect.spec.cls is not None and effect.spec.cls.is_sandbox
        """Whether it goes on with those that it began with, since it would be lost with them."""
        self.secrets: tuple[str, ...] | None = None
        """Which version of those it has got; None while it has none."""
        self.veils: Any = None
        """`Veils`, from before it gets its secrets."""
        self.requests: dict[int, Any] = {}
        """What its code waits for, by the number that it gave it."""
        self.reading = threading.Lock()
        self.logging = threading.Lock()
        self.channels = channels = Channels()
        self.lent = Lent(channels.flags)
        self.bulk, self.session = channels.bulk, channels.session
        self.outgoing = tuple(map(Outgoing, (channels.jobs, self.bulk, self.session)))
        self.jobs_out, self.bulk_out, self.session_out = self.outgoing
        self.bulk_fd = self.bulk.fileno()
        token = os.urandom(16)
        self.logs = (
            LogPipe(channels.out, "stdout", token, channels.flags),
            LogPipe(channels.err, "stderr", token, channels.flags),
        )
        self._frames, self._session_frames = FrameReader(), FrameReader()
        self._begin(effect, self._told(effect, token, env, tree), task)

    def _begin(
        self, effect: StartExecutor, told: dict[str, Any], task: dict[str, Any] | None
    ) -> None:
        """The first packets: for whoever builds its environment, and what to be, with the code."""
        if task is not None:
            self._send(wire.BUILD, 0, 0, json.dumps(task).encode(), ())
        if self._environment is not None:
            from apothic_emulator.agent.environments import own_image  # for few  # noqa: PLC0415

            self._environment.settle(told)
            told["env"] |= own_image(effect.spec)
        code = (effect.code.data, *effect.code.buffers)
        self._send(wire.LOAD, 0, 0, json.dumps(told).encode(), code)

    def _told(
        self,
        effect: StartExecutor,
        token: bytes,
        env: dict[str, str],
        tree: dict[str, str] | None,
    ) -> dict[str, Any]:
        """What it has to know before its code."""
        return {
            "name": effect.spec.name,
            "slots": effect.spec.concurrent_requests,
            "is_async": effect.spec.is_async,
            "window": (MOST_AHEAD, MOST_AHEAD_BYTES) if effect.spec.yields else None,
            **_of_class(effect.spec),
            "is_batched": effect.spec.batch is not None,
            "codec": effect.code.codec,
            "token": token.hex(),
            "env": env,
            "path": interpreter.path() if tree is None else interpreter.installed(),
            "is_guest": False,
            "tree": tree,
            "source_path": effect.spec.path,
            "cwd": _cwd(),
            "terminal": terminal(),
            "waits_for_secrets": bool(self.needs),
            "service": _fields(effect.spec.service),
            "timeout_s": effect.spec.timeout_s,
            "mounts": [_fields(mount) for mount in effect.spec.mounts],
        }

    # --- down -----------------------------------------------------------------------------------

    def dispatch(self, effect: Dispatch) -> None:
        """Put a job at the end of the line; the agent flushes it."""
        arguments = effect.arguments
        self._send(wire.JOB, effect.attempt, effect.job, arguments.data, arguments.buffers)

    def dispatch_batch(self, effect: DispatchBatch) -> None:
        """The same with the jobs of one call, which are taken back together or not at all."""
        packet, rest = packets.batch_packet(
            [
                Frame(wire.JOB, 0, one.attempt, one.job, one.arguments.data, one.arguments.buffers)
                for one in effect.jobs
            ]
        )
        self.jobs_out.waiting.append(packet)
        self.bulk_out.waiting.extend(memoryview(part).cast("B") for part in rest)

    def _send(
        self, kind: int, attempt: int, job: int, body: Buffer, buffers: tuple[Buffer, ...]
    ) -> None:
        if not buffers and len(body) <= wire.MOST_INLINE:
            packet = wire.head(Frame(kind, wire.INLINE, attempt, job, body)) + body
            self.jobs_out.waiting.append(packet)
            return
        header = wire.head(Frame(kind, 0, attempt, job, body, buffers))
        self.jobs_out.waiting.append(header[: wire.HEADER_SIZE])
        self.bulk_out.waiting.append(header[wire.HEADER_SIZE :] + body)
        self.bulk_out.waiting.extend(memoryview(b).cast("B") for b in buffers)

    def reply(
        self, kind: int, request: int, body: bytes, buffers: tuple[Buffer, ...], place: int = 0
    ) -> None:
        """Answer a command of user code; the agent flushes it.

        `place` is where to say that its code has it, see `Lent`.
        """
        frame = Frame(kind, 0, request, place, body, buffers)
        self.session_out.waiting.extend(wire.frame_parts(frame))

    def interrupt(self, job: int) -> None:
        """Ask one job to stop."""
        frame = Frame(wire.INTERRUPT, 0, 0, job, b"")
        self.session_out.waiting.extend(wire.frame_parts(frame))

    def credit(self, effect: Credit) -> None:
        """Let a generator go on."""
        body = wire.number_body(effect.taken)
        frame = Frame(wire.CREDIT, 0, effect.attempt, effect.job, body)
        self.session_out.waiting.extend(wire.frame_parts(frame))

    def take_back(self, *, all_of_them: bool) -> tuple[int, ...]:
        """Receive what the executor has not: the numbers of jobs that certainly have not begun.

        A job whose arguments are on the bulk channel stays, because those cannot be taken back,
        unless `all_of_them` go with the executor.
        """
        found = self._packets_back()
        kept: list[Buffer] = []
        taken: list[int] = []
        for packet in found:
            kind, jobs, is_inline = packets.peek(packet)
            if kind in (wire.JOB, wire.BATCH) and (is_inline or all_of_them):
                taken.extend(jobs)
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
            while packet := self.channels.unread.recv(wire.MOST_PACKET, socket.MSG_DONTWAIT):
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
            self._receive_in_place(source, frames, handle)
            data = source.recv(_RECEIVE)
            only = frames.only(data)
            if only is not None:
                handle(only)
                return True
            for frame in frames.feed(data):
                handle(frame)
        except BlockingIOError:
            return True
        except WireError as error:
            self.fault = str(error)
            return False
        except (EOFError, OSError):
            return False
        return bool(data)

    @staticmethod
    def _receive_in_place(
        source: socket.socket, frames: FrameReader, handle: Callable[[Frame], None]
    ) -> None:
        """Go on with a large part, for as long as one is under way."""
        while (target := frames.target()) is not None:
            count = source.recv_into(target)
            if not count:
                raise EOFError
            whole = frames.received(count)
            if whole is not None:
                handle(whole)

    def _report(self, frame: Frame) -> None:
        fact = self._fact(frame)
        if self.asked_for_stack:
            self.post(StackDumped(self.number, self.read_stack()))
        with self.logging:  # taken in any case: another thread may hold text that it has just read
            if frame.flags & wire.PRINTED:
                self._print([(it.stream, it.read_to_end()) for it in self.logs])
            if self.veils is not None and frame.kind != wire.ITEMS:
                self._tell(self.veils.flush(frame.job))
            self.post(fact)
            if frame.flags & wire.PRINTED:
                self._print([(it.stream, it.split(b"")) for it in self.logs])

    def _fact(self, frame: Frame) -> Input:
        """What a report says."""
        kind, job, attempt = frame.kind, frame.job, frame.attempt
        retire = bool(frame.flags & wire.RETIRE)
        if kind == wire.RESULT:
            result = Payload(bytes(frame.body), frame.buffers)
            return Reported(self.number, job, attempt, result, None, retire)
        if kind == wire.ERROR:
            return Reported(self.number, job, attempt, None, self._error(frame), retire)
        if kind == wire.ITEMS:
            after, count, rest = wire.parse_items(frame.body)
            items = Payload(rest, frame.buffers, PICKLES)
            return Produced(self.number, job, attempt, after, count, items)
        if kind == wire.SAID:
            return Said(self.number, bytes(frame.body[:16]).decode("ascii", "replace"))
        if kind == wire.LOAD_FAILED:
            return LoadFailed(self.number, self._error(frame))
        if kind != wire.LOADED:
            raise WireError(f"a frame of kind {kind} where reports are expected")
        self.is_loaded = True
        return Loaded(self.number, "" if self._environment is None else self._environment.disk)

    def _error(self, frame: Frame) -> ErrorInfo:
        info = _error_info(frame)
        return info if self.veils is None else self.veils.error(info)

    def read_log(self, pipe: LogPipe) -> bool:
        """Take text from a pipe that has some; whether the pipe is still open."""
        with self.logging:
            others = [] if self.veils is None else [it for it in self.logs if it is not pipe]
            self._print([(it.stream, it.read()) for it in (pipe, *others)])
            return pipe.is_open

    def _print(self, reads: list[Read]) -> None:
        """Take what was in the streams at one time."""
        for stream, pieces in reads if self.veils is None else self.veils.in_order(reads):
            for owner, text in pieces:
                if self.veils is None:
                    self.post(Printed(self.number, owner, stream, text))
                else:
                    self._tell(self.veils.feed(owner, stream, text))

    def _tell(self, pieces: list[tuple[int, str, str]]) -> None:
        for owner, stream, text in pieces:
            self.post(Printed(self.number, owner, stream, text))

    def read_stack(self) -> str:
        """What the executor wrote when it was asked where it is."""
        stack = os.pread(self.channels.shared, 1 << 20, wire.SHARED_FLAGS).decode(errors="replace")
        return stack if self.veils is None else self.veils.masks.text(stack)

    def drain(self, answer: Callable[[Line, Frame], None]) -> None:
        """Its process is gone: take everything that it has left in its channels."""
        while self.read_bulk() and not self.fault and _is_readable(self.bulk):
            pass
        while self.read_session(answer) and not self.fault and _is_readable(self.session):
            pass
        with self.logging:
            self._print([(it.stream, it.read_all()) for it in self.logs])
            if self.veils is not None:
                self._tell(self.veils.flush_all())

    def close(self) -> None:
        """Let go of every descriptor."""
        self.is_closed = True
        self.channels.close()


def _of_class(spec: FunctionSpec) -> dict[str, Any]:
    """What an executor of an instance has to know; one of a function has no methods."""
    cls = spec.cls
    if cls is None:
        return {"methods": ()}
    return {"methods": [it.name for it in cls.methods], "enter": cls.enter, "exit": cls.exit}


def _preload(spec: FunctionSpec) -> tuple[str, ...]:
    """What further executors of a function should find imported."""
    if spec.service is None:
        return spec.preload
    from apothic_emulator.executors import web  # few functions are services  # noqa: PLC0415

    return (*spec.preload, *web.modules(spec.service.shape))


def _is_readable(source: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        return bool(source.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    return False


def _fields(record: Record | None) -> dict[str, Any] | None:
    return None if record is None else {f: getattr(record, f) for f in record.fields}


def _cwd() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - pathlib costs 5 ms at the start
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
            data=dict(said.get("data", ())),
            is_final=said.get("is_final") is True,
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WireError(f"an error report that cannot be read: {error!r}") from error
