"""The program inside an executor: load one function, then take jobs one at a time.

Runs in a process that was forked for it. User code runs on the main thread; a function with
several slots runs on as many threads, and an async one as tasks of one asyncio loop.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
from _socket import SHUT_RD, socket  # `socket` wraps this in enums, which costs the start 3 ms
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from apothic_emulator.executors import calls, linux, packets, wire
from apothic_emulator.executors.breakpoints import Breakpoints
from apothic_emulator.executors.control import Control
from apothic_emulator.executors.output import Output
from apothic_emulator.executors.stops import Stopped, Stops
from apothic_emulator.executors.wire import Buffer, Frame, Packet
from apothic_emulator.executors.world import OwnWorld

Report = tuple[int, Buffer, tuple[Buffer, ...]]
"""The kind of a frame, its body, and its buffers."""


class Executor:
    """One process, its three channels and its two pipes."""

    passing = Stopped
    place: Any = None
    """What is true in a container, and not where it was started from."""
    secrets: Any = None
    lasting: Any = None
    """Volumes that are there for as long as the process is."""
    holder: Any = None
    """What holds the object of an instance, if it is a process of one."""
    _outlets: Any = None

    def __init__(self, channels: list[int]) -> None:
        jobs, bulk, session, out, err, shared, *door = map(linux.raise_fd, channels)
        self.door = door
        """The sockets that a service takes connections from."""
        self.jobs = socket(fileno=jobs)
        self.bulk = socket(fileno=bulk)
        self.control = Control(session)
        self.pid = os.getpid()
        self.function: Callable[..., Any] = print
        self.around: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function
        self.stops = Stops()
        self.retiring = False
        """Take no more jobs."""
        self.is_loaded = False
        self.leaving = False
        """Its exit handlers run, or are about to: asking it to end once more must not tear them."""
        self._shared = shared
        self._logs = (out, err)
        self.world = OwnWorld()
        self.receive_rest: Callable[[socket, Packet], tuple[Buffer, list[Any]]] = wire.receive_rest
        """What follows a packet; for a batch, the frames of its inputs."""
        self.work: Callable[[Packet, Buffer, list[Any]], None] = self.run_job
        """What is done with it."""
        self._receiving = threading.Lock()
        self._sending = threading.Lock()
        self._active = 0
        self.note: Callable[[BaseException], object] = lambda _: None
        """Adds to an error what there is to say of where the function runs."""

    def start(self) -> dict[str, Any] | None:
        """Become what the first packet describes; None when the function cannot be loaded."""
        _, body, buffers = self.receive()
        spec: dict[str, Any] = json.loads(bytes(body))
        self._settle(spec)
        self.breakpoints.install()
        self.begin()
        needs = spec["tree"] or spec["mounts"] or spec["waits_for_secrets"]
        if needs and not self._meet_needs(spec):
            return None
        try:
            self._load(spec, buffers)
        except BaseException as error:  # noqa: BLE001 - an import may raise anything, exit too
            self.stops.leave(0)
            self.report(0, 0, self.cannot_load(spec["name"], error))
            return None
        if spec["service"] is None:  # which is ready later
            self.is_ready()
        return spec

    def is_ready(self) -> None:
        """It can do what it is for, from now on."""
        self.world = OwnWorld()
        self.is_loaded = True
        self.report(0, 0, (wire.LOADED, b"", ()))

    def _meet_needs(self, spec: dict[str, Any]) -> bool:
        from apothic_emulator.executors import needs  # few functions have some  # noqa: PLC0415

        missing = needs.meet(self, spec)
        if missing is not None:
            self.report(0, 0, (wire.LOAD_FAILED, missing, ()))
        return missing is None

    def _load(self, spec: dict[str, Any], buffers: list[Buffer]) -> None:
        try:
            self.stops.enter(0)
            if spec["methods"]:
                from apothic_emulator.executors import objects  # seldom  # noqa: PLC0415

                objects.load(self, buffers[0], buffers[1:], spec)
                return
            self.function = self.around(calls.load(spec["codec"], buffers[0], tuple(buffers[1:])))
        finally:
            self.stops.leave(0)
        if self.window is not None:
            self.function = self.produce(self.function, is_async=self.is_async)

    def produce(self, function: Callable[..., Any], *, is_async: bool) -> Callable[..., Any]:
        """In place of a generator function, what runs it to its end and sends its items."""
        from apothic_emulator.executors import items  # for generators only  # noqa: PLC0415

        if self._outlets is None:
            assert self.window is not None, "an executor of generators has a window"
            self._outlets = items.Outlets(self, self.window)
            self.control.start()
        if not is_async:
            return items.producer(self._outlets, function)
        from apothic_emulator.executors import tasks  # noqa: PLC0415 - asyncio is slow to import

        return tasks.producer(self._outlets, function)

    def _settle(self, spec: dict[str, Any]) -> None:
        """Take over the caller's working directory, environment, and module path."""
        if self.place is not None:
            self.place.settle(spec)
        os.environ.clear()
        os.environ.update(spec["env"])
        os.environ["APOTHIC_WORKER"] = str(self.pid)
        sys.path[:] = [*spec["path"], *sys.path] if spec["is_guest"] else spec["path"]
        sys.argv[:] = [spec["name"]]
        try:
            os.chdir(spec["cwd"])
        except OSError:
            os.chdir("/")  # the caller's directory was removed under it; its own calls fail too
        self.breakpoints = Breakpoints(spec["name"], spec["terminal"])
        self.output = Output(*self._logs, bytes.fromhex(spec["token"]), self._shared)
        is_shared = spec["slots"] > 1 and not spec["is_async"]
        self.stops = Stops(is_shared=is_shared or bool(spec["methods"]))
        self.is_async: bool = spec["is_async"]
        self.window: tuple[int, int] | None = spec["window"]
        faulthandler.enable(self._logs[1])
        os.lseek(self._shared, wire.SHARED_FLAGS, os.SEEK_SET)
        faulthandler.register(wire.DUMP_SIGNAL, self._shared, all_threads=True)
        signal.signal(signal.SIGTERM, self._on_term)

    def _on_term(self, signum: int, frame: FrameType | None) -> None:
        """Stop every call; an executor without one ends as if the host had hung up."""
        if self.leaving:
            return
        if not self._active:
            self.leaving = True
            raise EOFError
        self.retiring = True
        self.stops.on_signal(signum, frame)

    def cannot_load(self, name: str, error: BaseException) -> Report:
        """A report of why it can never do what it is for."""
        info = self._failure(error).info
        info["code"] = "setup_failed"
        info["message"] = f"{name} cannot be loaded: {info['type_name']}: {info['message']}"
        info["message"] = ". ".join([info["message"], *getattr(error, "__notes__", ())])
        return error_report(calls.Failure(info))

    # --- channels -------------------------------------------------------------------------------

    def receive(self) -> tuple[Packet, Buffer, list[Any]]:
        """Block for the next packet and what follows it on the bulk channel."""
        data = self.jobs.recv(wire.MOST_PACKET)
        if not data:
            self.leaving = True
            raise EOFError
        packet = wire.parse_packet(data)
        body, buffers = self.receive_rest(self.bulk, packet)
        return packet, body, buffers

    def report(self, job: int, attempt: int, report: Report) -> None:
        """Tell how a call ended; in a process that user code forked off, nothing but the end."""
        if os.getpid() != self.pid:
            os._exit(0)
        kind, body, buffers = report
        if self.breakpoints.at_work:
            self.breakpoints.leave(job)
        with self._sending:
            flags = self._end_text() | self._end_use()
            wire.send_all(
                self.bulk, wire.frame_parts(Frame(kind, flags, attempt, job, body, buffers))
            )
            self._active -= 1

    def send(self, frame: Frame) -> None:
        """Send what is no report: what a generator has yielded, what a service says."""
        if os.getpid() != self.pid:
            os._exit(0)
        with self._sending:
            wire.send_all(self.bulk, wire.frame_parts(frame))

    def report_all(self, reports: Sequence[tuple[int, int, Report]]) -> None:
        """The same for a call for several jobs, job by job: text goes before, leftovers after."""
        if os.getpid() != self.pid:
            os._exit(0)
        with self._sending:
            frames = [Frame(r[0], 0, attempt, job, r[1], r[2]) for job, attempt, r in reports]
            frames[0] = frames[0]._replace(flags=self._end_text())
            frames[-1] = frames[-1]._replace(flags=frames[-1].flags | self._end_use())
            wire.send_all(self.bulk, packets.joined(frames))
            self._active -= 1

    def _end_text(self) -> int:
        return wire.PRINTED if self.output.end_job() else 0

    def _end_use(self) -> int:
        """Whether to be used again, as it stands once the last call has ended."""
        if self._active == 1 and (self.retiring or self._is_used_up()):
            self.retiring = True
            return wire.RETIRE
        return 0

    def _is_used_up(self) -> bool:
        """Whether a call has left something behind; what an object has started is its own."""
        return self.holder is None and self.world.has_leftovers()

    # --- one job --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Count a call that begins."""
        with self._sending:
            self._active += 1

    def run_job(self, packet: Packet, body: Buffer, buffers: list[Buffer]) -> None:
        """Run one call to its end and report it."""
        job, attempt = packet.job, packet.attempt
        self.begin()
        token = calls.CURRENT.set((job, attempt))
        try:
            self.report(job, attempt, self._outcome(job, body, buffers))
        finally:
            calls.CURRENT.reset(token)

    def _outcome(self, job: int, body: Buffer, buffers: list[Buffer]) -> Report:
        """What to report; when it is known, the call's objects are gone and have had their say."""
        try:
            return self._call(job, body, buffers)
        except BaseException as error:  # noqa: BLE001 - SystemExit and friends are the user's
            self.stops.leave(job)
            return self.failed(error)

    def _call(self, job: int, body: Buffer, buffers: list[Buffer]) -> Report:
        try:
            self.stops.enter(job)
            args, kwargs = calls.arguments(body, buffers)
            value = self.function(*args, **kwargs)
            return self.finished(value)
        finally:
            self.stops.leave(job)

    def finished(self, value: Any) -> Report:
        """A report of a result. Pickling and flushing run user code too."""
        data, parts = calls.encode_result(value)
        self.output.flush()
        return wire.RESULT, data, parts

    def failed(self, error: BaseException, skip: int | None = None) -> Report:
        """A report of what a call raised, `skip` frames below ours.

        Raises:
            Stopped: there is nothing to report, because the process is on its way out.
        """
        return error_report(self._failure(error, skip))

    def told(self, code: str, message: str, type_name: str = "") -> Report:
        """A report of a failure that is known by its code."""
        return error_report(calls.told(code, message, type_name))

    def _failure(self, error: BaseException, skip: int | None = None) -> calls.Failure:
        if self.stops.terminated and isinstance(error, Stopped):
            self._let_go()
            raise error
        if isinstance(error, MemoryError | SystemError):
            self.retiring = True  # the interpreter itself may be damaged
        self.note(error)
        ours = 2 if self.window is None else 3
        failure = calls.failure_of(error, ours if skip is None else skip)
        if self.secrets is not None:
            failure = self.secrets.disguise(failure, error)
        self.output.flush()
        return failure

    def _let_go(self) -> None:
        """A call was stopped together with its process, which ends with the last of them."""
        with self._sending:
            self._active -= 1
            if not self._active:
                self.output.flush()
                linux.die_of(signal.SIGTERM)

    # --- loops ----------------------------------------------------------------------------------

    def serve(self) -> None:
        """Take jobs on this thread until the channel ends or the executor retires."""
        while not self.retiring:
            with self._receiving:
                if self.retiring:
                    return
                packet, body, buffers = self.receive()
            self.work(packet, body, buffers)
            del body, buffers  # a large argument would live until the next call
            if not self._active:
                self.restore()

    def restore(self) -> None:
        """Undo what a call has changed for the next one."""
        self.world.restore()
        self.output.restore()

    def serve_threads(self, count: int) -> None:
        """Take jobs on `count` threads, this one among them, and let each end its last call."""
        if self.window is None:
            self.control.on_interrupt = self.stops.interrupt
        self.control.start()
        how: dict[str, Any] = {"name": "apothic-slot", "daemon": True}
        others = [threading.Thread(target=self._serve_quietly, **how) for _ in range(count - 1)]
        for thread in others:
            thread.start()
        self._serve_quietly()
        for thread in others:
            thread.join()

    def _serve_quietly(self) -> None:
        try:
            self.serve()
        except (EOFError, OSError, Stopped):
            self.retiring = True
            self.jobs.shutdown(SHUT_RD)  # wakes the other threads


def error_report(failure: calls.Failure) -> Report:
    """A report of what went wrong."""
    info, exception = failure
    parts = (exception.data, *exception.buffers) if exception is not None else ()
    kind = wire.LOAD_FAILED if info["code"] == "setup_failed" else wire.ERROR
    return kind, json.dumps(info).encode(), parts
